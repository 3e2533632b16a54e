//! The holder dies at every byte, before and after every commit, and around every frame.

use std::time::Duration;

use linekeeper_tests::takeover::{Place, Report, Setting, Stores, What, judge};

use crate::sweep::{dialect, moments, sweep};

fn killed_everywhere(name: &str, stores: Stores, gap: Duration, stride: u64) {
    let place = Place::default();
    let setting = Setting { gap, ..dialect(name).stores(stores) };
    let points = moments(&place, &setting, stride, What::Kill);
    let settings = points.into_iter().map(|fault| setting.with(&[fault]));
    let judge = |setting: &Setting, report: &Report| {
        let mut findings = judge(setting, report);
        // A question that came meanwhile is answered, too, and so is what was given up.
        findings.retain(|finding| gap < LATER || !finding.contains("LateAnswer"));
        findings.retain(|finding| gap < LATE || !finding.contains("GaveUp"));
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
