//! The holder sleeps in the middle of everything, and wakes when another has the line: whatever it
//! was about to do is refused.

use std::time::Duration;

use failover_node::billing::store::StoreError;
use linekeeper_tests::takeover::{Moment, Place, Report, Setting, Stores, What, judge};

use crate::sweep::{dialect, moments, sweep};

/// Sleeps at every moment. How many were refused by their store, and how many frames by the terminal
/// server.
fn paused_everywhere(name: &str, stores: Stores, wakes: Duration, stride: u64) -> (usize, u64) {
    let place = Place::default();
    let lease = Duration::from_millis(400);
    let setting = Setting { lease, ..dialect(name).stores(stores) };
    let points = moments(&place, &setting, stride, What::Pause { wakes }).into_iter();
    let settings = points.filter(|p| p.moment != Moment::Held).map(|fault| setting.with(&[fault]));
    let (mut superseded, mut stale) = (0, 0);
    sweep(&place, settings, |setting: &Setting, report: &Report| {
        let mut findings = judge(setting, report);
        for error in &report.refused {
            match error {
                StoreError::Superseded { .. } => superseded += 1,
                other => findings.push(format!("the store: {other}")),
            }
        }
        stale += report.stale;
        findings
    });
    (superseded, stale)
}

const AT_ONCE: Duration = Duration::from_millis(20);
const AFTERWARDS: Duration = Duration::from_secs(8);

#[test]
fn cdr_that_wakes_changes_nothing() {
    let (superseded, stale) = paused_everywhere("cdr", Stores::Shared, AT_ONCE, 2);
    assert!(superseded > 0, "some had a commit to make");
    let (_, own) = paused_everywhere("cdr", Stores::Own, AFTERWARDS, 3);
    // It says nothing but acknowledgements, and those of an ended grant are not counted.
    assert_eq!((stale, own), (0, 0));
}

#[test]
fn cable_that_wakes_changes_nothing() {
    let (superseded, stale) = paused_everywhere("cable", Stores::Shared, AT_ONCE, 1);
    assert!(superseded > 0, "some had a commit to make");
    assert!(stale > 0, "some had a frame to send");
    let (superseded, stale) = paused_everywhere("cable", Stores::Own, AFTERWARDS, 2);
    assert_eq!(superseded, 0, "nobody else writes into its store");
    assert!(stale > 0, "the line fences it all the same");
}

#[test]
fn hx_that_wakes_changes_nothing() {
    let (superseded, stale) = paused_everywhere("hx", Stores::Shared, AT_ONCE, 1);
    assert!(superseded > 0, "some had a commit to make");
    assert!(stale > 0, "some had a frame to send");
    let (superseded, stale) = paused_everywhere("hx", Stores::Own, AFTERWARDS, 2);
    assert_eq!(superseded, 0, "nobody else writes into its store");
    assert!(stale > 0, "the line fences it all the same");
}

#[test]
fn fias_that_wakes_changes_nothing() {
    let (superseded, stale) = paused_everywhere("fias", Stores::Shared, AT_ONCE, 3);
    assert!(superseded > 0, "some had a commit to make");
    assert!(stale > 0, "some had a frame to send");
    let (superseded, stale) = paused_everywhere("fias", Stores::Own, AFTERWARDS, 5);
    assert_eq!(superseded, 0, "nobody else writes into its store");
    assert!(stale > 0, "the line fences it all the same");
}
