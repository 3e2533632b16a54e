//! The holder dies at every byte, before and after every commit, and around every frame.

use std::collections::BTreeSet;
use std::time::Duration;

use linekeeper_tests::takeover::{Place, Report, Setting, Stores, What, judge};

use crate::sweep::{checked, dialect, moments, sweep};

fn killed_everywhere(name: &str, stores: Stores, gap: Duration, stride: u64) {
    let place = Place::default();
    let setting = Setting { gap, ..dialect(name).stores(stores) };
    let points = moments(&place, &setting, stride, What::Kill);
    let settings = points.into_iter().map(|fault| setting.with(&[fault]));
    let judge = |setting: &Setting, report: &Report| {
        let mut findings = judge(setting, report);
        // A question that came meanwhile is answered, too, and so is what was given up. A billing
        // system that has turned away does not take an answer without a new bid.
        findings.retain(|finding| gap < LATER || !finding.contains("LateAnswer"));
        let late = |finding: &String| finding.contains("GaveUp") || finding.contains("Partial");
        findings.retain(|finding| gap < LATE || !late(finding));
        findings
    };
    sweep(&place, settings, judge);
}

const SOON: Duration = Duration::from_millis(30);
/// Later than the first question after an answer that did not come.
const LATER: Duration = Duration::from_secs(4);
/// Later than the last one: the billing system has given up.
const LATE: Duration = Duration::from_secs(13);

macro_rules! killed {
    ($($test:ident: $name:literal, $stores:ident, $gap:ident, $stride:literal;)*) => {
        $(#[test]
        fn $test() {
            killed_everywhere($name, Stores::$stores, $gap, $stride);
        })*
    };
}

killed! {
    cable_with_one_store_loses_nothing_at_any_offset: "cable", Shared, SOON, 1;
    cable_with_two_stores_loses_nothing_at_any_offset: "cable", Own, SOON, 1;
    cable_loses_nothing_when_the_successor_comes_later: "cable", Own, LATER, 3;
    cable_loses_nothing_when_the_successor_comes_late: "cable", Shared, LATE, 3;
    cdr_with_one_store_loses_nothing_at_any_offset: "cdr", Shared, SOON, 1;
    cdr_with_two_stores_loses_nothing_at_any_offset: "cdr", Own, SOON, 1;
    cdr_loses_nothing_when_the_successor_comes_later: "cdr", Own, LATER, 3;
    cdr_loses_nothing_when_the_successor_comes_late: "cdr", Shared, LATE, 3;
    hx_with_one_store_loses_nothing_at_any_offset: "hx", Shared, SOON, 1;
    hx_with_two_stores_loses_nothing_at_any_offset: "hx", Own, SOON, 1;
    hx_loses_nothing_when_the_successor_comes_later: "hx", Own, LATER, 3;
    hx_loses_nothing_when_the_successor_comes_late: "hx", Shared, LATE, 3;
    fias_with_one_store_loses_nothing_at_any_offset: "fias", Shared, SOON, 1;
    fias_with_two_stores_loses_nothing_at_any_offset: "fias", Own, SOON, 1;
    fias_loses_nothing_when_the_successor_comes_later: "fias", Own, LATER, 3;
    fias_loses_nothing_when_the_successor_comes_late: "fias", Shared, LATE, 3;
}

/// The handler is called once for each record, and once more for what it had not dealt with when its
/// node died: one command, or a batch.
fn calls(setting: &Setting, report: &Report) -> Vec<String> {
    let called: BTreeSet<_> = report.calls.iter().copied().collect();
    let again = report.calls.len() - called.len();
    let (calls, deaths) = (called.len() as u64, setting.faults.len());
    if calls == setting.records && again <= deaths {
        return Vec::new();
    }
    vec![format!("the handler was called for {calls} records, and {again} times again")]
}

/// The process reads much at once: several records are one commit.
fn killed_reading_much_at_once(name: &str, stride: u64) -> Report {
    let place = Place::default();
    let reads = Duration::from_millis(250);
    let setting = Setting { reads, records: 6, ..dialect(name) };
    let points = moments(&place, &setting, stride, What::Kill);
    sweep(&place, points.into_iter().map(|fault| setting.with(&[fault])), judge);
    checked(&place, &setting)
}

#[test]
fn cdr_that_is_read_in_large_pieces_loses_nothing() {
    let report = killed_reading_much_at_once("cdr", 3);
    assert!(report.writes < 6, "{} commits were made of six records", report.writes);
}

#[test]
fn fias_that_is_read_in_large_pieces_loses_nothing() {
    killed_reading_much_at_once("fias", 7);
}

#[test]
fn hx_that_is_read_in_large_pieces_loses_nothing() {
    killed_reading_much_at_once("hx", 3);
}

#[test]
fn cable_that_is_read_in_large_pieces_loses_nothing() {
    killed_reading_much_at_once("cable", 5);
}

/// A handler replies: a holder may die between a command and its reply, and in the handler.
fn killed_while_handling(stores: Stores) {
    let place = Place::default();
    let handler = Some(Duration::from_millis(120));
    let setting = Setting { handler, ..dialect("cable").stores(stores) };
    let points = moments(&place, &setting, 2, What::Kill);
    let settings = points.into_iter().map(|fault| setting.with(&[fault]));
    sweep(&place, settings, |setting, report| {
        let mut findings = judge(setting, report);
        let handled = report.inboxes.iter().flatten().filter(|row| row.is_handled);
        let handled: BTreeSet<_> = handled.map(|row| (row.incarnation, row.start)).collect();
        if (handled.len() as u64) < setting.records {
            findings.push(format!("{} commands were handled", handled.len()));
        }
        findings.extend(calls(setting, report));
        findings
    });
}

#[test]
fn cable_commands_are_handled_and_answered_whoever_dies() {
    killed_while_handling(Stores::Shared);
}

#[test]
fn cable_commands_are_handled_and_answered_by_nodes_with_stores_of_their_own() {
    killed_while_handling(Stores::Own);
}
