//! Record numbers of `hx`: they begin again at midnight, once, whoever posts; and where nobody knows
//! the last one, no charge is booked as posted that the billing system has dropped.

use std::collections::BTreeSet;
use std::time::Duration;

use billing::{Civil, SimEvent, WallClock};
use linekeeper_tests::takeover::judge::{charges, outboxes};
use linekeeper_tests::takeover::{Fault, Next, Place, Report, Setting, Stores, What, judge};

use crate::sweep::{moments, sweep};

/// Charges go out before and after midnight, and the second node's clock is that much behind.
fn over_midnight(stores: Stores, behind: i64) -> Setting {
    // Without a note nodes with stores of their own listen first.
    let (charges, until) = match stores {
        Stores::Shared => (6, 1),
        Stores::Own => (10, 4),
    };
    let midnight = Civil { year: 2018, month: 6, day: 19, hour: 0, minute: 0, second: 0 };
    Setting {
        charges,
        wall: WallClock { at_boot: midnight.seconds() - until },
        behind,
        starts: Duration::from_millis(850),
        ..Setting::of("hx", &[("reset", "midnight")]).stores(stores)
    }
}

/// What happens to the first holder happens to the second one, too, some bytes later.
fn twice(setting: &Setting, fault: Fault) -> Setting {
    let again = match fault.what {
        What::Kill => Fault::kill(fault.moment, fault.at + 90),
        _ => return setting.with(&[fault]),
    };
    setting.with(&[fault, again])
}

fn killed_around_midnight(stores: Stores, behind: i64) {
    let place = Place::default();
    let setting = over_midnight(stores, behind);
    let points = moments(&place, &setting, 3, What::Kill);
    let once = points.iter().map(|fault| setting.with(&[*fault]));
    sweep(&place, once, judge);
    let points = points.iter().step_by(2).map(|fault| twice(&setting, *fault));
    sweep(&place, points, |setting, report| {
        let mut findings = judge(setting, report);
        findings.retain(|finding| !finding.starts_with("not all of the plan"));
        findings
    });
}

#[test]
fn hx_numbers_begin_again_once_whoever_dies_around_midnight() {
    killed_around_midnight(Stores::Shared, 0);
    killed_around_midnight(Stores::Own, 0);
}

#[test]
fn hx_numbers_begin_again_once_although_the_successors_clock_is_behind() {
    killed_around_midnight(Stores::Shared, 60);
    killed_around_midnight(Stores::Own, 60);
}

/// What the billing system must not see: a number twice, one left out, one out of turn.
fn numbers(report: &Report) -> Vec<String> {
    let wrong = |event: &&SimEvent| {
        matches!(
            event,
            SimEvent::Conflict { .. } | SimEvent::Gap { .. } | SimEvent::Reordered { .. }
        )
    };
    report.events.iter().filter(wrong).map(|event| format!("{event:?}")).collect()
}

fn restarted(setting: &Setting, next: Next, find: impl FnMut(&Setting, &Report) -> Vec<String>) {
    let place = Place::default();
    let points = moments(&place, setting, 3, What::Restart { next });
    sweep(&place, points.into_iter().map(|fault| setting.with(&[fault])), find);
}

#[test]
fn hx_numbers_go_on_without_a_note_as_the_store_knows_them() {
    for behind in [0, 60] {
        restarted(&over_midnight(Stores::Shared, behind), Next::Other, |setting, report| {
            [charges(setting, report), outboxes(setting, report), numbers(report)].concat()
        });
    }
}

/// Charges that a store calls posted and the billing system does not have.
fn booked_and_lost(setting: &Setting, report: &Report) -> Vec<String> {
    let posted: BTreeSet<_> = report
        .events
        .iter()
        .filter_map(|event| match event {
            SimEvent::Posted { content, .. } => Some(content.clone()),
            _ => None,
        })
        .collect();
    let has = |n: &u64| {
        let charge = setting.dialect.charge(setting.seed, *n).expect("a charge");
        let content = setting.dialect.content(&charge).ok().flatten().unwrap_or_default();
        let booked = |state: &str| {
            let rows = report.outboxes.iter().flatten();
            rows.filter(|row| row.key == charge.key).any(|row| row.state == state)
        };
        posted.contains(&content) || !(booked("posted") || booked("elsewhere"))
    };
    let lost = (1..=setting.charges).filter(|n| !has(n));
    lost.map(|n| format!("charge {n} is booked as posted, and is lost")).collect()
}

/// Note and last node are gone at once, or the note alone: with a store for each node nobody can know
/// the last number.
#[test]
fn hx_books_nothing_as_posted_while_nobody_knows_the_last_number() {
    for next in [Next::Other, Next::Incumbent] {
        let setting = Setting { charges: 4, ..Setting::of("hx", &[]).stores(Stores::Own) };
        restarted(&setting, next, |setting, report| {
            [booked_and_lost(setting, report), numbers(report)].concat()
        });
    }
}

#[test]
fn hx_goes_on_when_a_person_has_told_the_last_number() {
    let mut waited = 0;
    for next in [Next::Other, Next::Incumbent] {
        let setting = Setting::of("hx", &[]).stores(Stores::Own);
        let setting = Setting { charges: 4, has_person: true, ..setting };
        restarted(&setting, next, |setting, report| {
            let rows = || report.outboxes.iter().flatten();
            let open = rows().filter(|row| matches!(row.state.as_str(), "new" | "numbered"));
            let left = open.map(|row| format!("left: {row:?}"));
            waited += rows().filter(|row| row.state == "posted").count();
            [booked_and_lost(setting, report), numbers(report), left.collect()].concat()
        });
    }
    assert!(waited > 0, "some were posted");
}
