//! The terminal server dies: the note is lost, the input has a new name, and what lay in the tty is
//! gone. What is lost then is what the line itself has lost.

use billing::SimEvent;
use linekeeper_tests::takeover::judge::{charges, outboxes, received};
use linekeeper_tests::takeover::place::OutRow;
use linekeeper_tests::takeover::{Next, Place, Report, Setting, Stores, What};

use crate::sweep::{dialect, moments, sweep};

fn restarted_everywhere(
    name: &str,
    (stores, next): (Stores, Next),
    stride: u64,
    find: impl FnMut(&Setting, &Report) -> Vec<String>,
) {
    let place = Place::default();
    // Whom a gateway asks where numbers stand: `numbers` has what happens if nobody says it.
    let setting = Setting { has_person: true, ..dialect(name).stores(stores) };
    let points = moments(&place, &setting, stride, What::Restart { next });
    sweep(&place, points.into_iter().map(|fault| setting.with(&[fault])), find);
}

/// Charges with one store for all: it knows every number, so all of them come to their end.
fn settled(setting: &Setting, report: &Report) -> Vec<String> {
    [charges(setting, report), outboxes(setting, report)].concat()
}

/// Charges with a store for each node: those that nobody can know about wait for a person. No
/// number and no content is posted twice.
fn settled_or_in_doubt(setting: &Setting, report: &Report) -> Vec<String> {
    let mut findings = charges(setting, report);
    findings.retain(|finding| !finding.contains("posted 0 times"));
    let posted = |event: &&SimEvent| matches!(event, SimEvent::Posted { .. });
    let posted = report.events.iter().filter(posted).count() as u64;
    let rows = || report.outboxes.iter().flatten();
    let told = |row: &&OutRow| matches!(row.state.as_str(), "doubt" | "refused");
    let told = rows().filter(told).count() as u64;
    if posted + told < setting.charges {
        findings.push(format!("{posted} posted and {told} in doubt or refused"));
    }
    findings.extend(
        rows()
            .filter(|row| !matches!(row.state.as_str(), "posted" | "elsewhere" | "doubt"))
            .map(|row| format!("left: {row:?}")),
    );
    findings
}

fn sent(report: &Report) -> Vec<Vec<u8>> {
    let queued = report.events.iter().filter_map(|event| match event {
        SimEvent::Queued { text, .. } => Some(text.to_vec()),
        _ => None,
    });
    queued.collect()
}

/// Records that were confirmed on the link are there; the one whose confirmation was lost may be
/// there twice, under two names of the input.
fn at_least_once(report: &Report) -> Vec<String> {
    let (mut received, all) = (received(report), received(report).len());
    received.dedup();
    let mut findings = Vec::new();
    if received != sent(report) {
        findings.push(format!("sent {:?}, received {received:?}", sent(report)));
    }
    if all > received.len() + 1 {
        findings.push(format!("{} records came again", all - received.len()));
    }
    findings
}

const SHARED: (Stores, Next) = (Stores::Shared, Next::Other);
const OWN: (Stores, Next) = (Stores::Own, Next::Incumbent);
const UNKNOWN: (Stores, Next) = (Stores::Own, Next::Other);

#[test]
fn fias_asks_by_ls_and_posts_nothing_twice() {
    restarted_everywhere("fias", SHARED, 3, |setting, report| {
        [settled(setting, report), at_least_once(report)].concat()
    });
}

#[test]
fn fias_with_two_stores_leaves_to_a_person_what_nobody_can_know() {
    restarted_everywhere("fias", OWN, 5, |setting, report| {
        [settled_or_in_doubt(setting, report), at_least_once(report)].concat()
    });
}

/// The note and the node that could know the numbers are gone at once. Numbers begin anew, and the
/// billing system refuses one that it knows.
#[test]
fn fias_without_note_and_without_the_last_node_posts_nothing_twice() {
    restarted_everywhere("fias", UNKNOWN, 5, |setting, report| {
        let mut findings = settled_or_in_doubt(setting, report);
        findings.retain(|finding| !finding.contains("refused"));
        [findings, at_least_once(report)].concat()
    });
}

#[test]
fn hx_posts_nothing_twice() {
    restarted_everywhere("hx", SHARED, 1, settled);
    restarted_everywhere("hx", OWN, 3, settled_or_in_doubt);
}

/// The one command whose number only the note knew may be carried out again.
#[test]
fn cable_carries_out_every_command_and_answers_it_once() {
    restarted_everywhere("cable", SHARED, 1, |setting, report| {
        let answered = |event: &&SimEvent| matches!(event, SimEvent::Answered { .. });
        let answered = report.events.iter().filter(answered).count() as u64;
        let mut findings = at_least_once(report);
        if answered != setting.records {
            findings.push(format!("{answered} of {} were answered", setting.records));
        }
        findings
    });
}

#[test]
fn cdr_loses_what_the_line_lost_and_has_nothing_twice() {
    let mut most = 0;
    restarted_everywhere("cdr", UNKNOWN, 1, |_, report| {
        let (received, sent) = (received(report), sent(report));
        let mut rest = sent.iter();
        let in_order = received.iter().all(|record| rest.any(|sent| sent == record));
        let missing = sent.len() - received.len().min(sent.len());
        most = most.max(missing);
        let mut findings = Vec::new();
        if !in_order {
            findings.push(format!("sent {sent:?}, received {received:?}"));
        }
        // One may have been torn before that, and one after it.
        let silent = report.lost / record_length(&sent);
        if missing as u64 > silent + 2 {
            findings.push(format!("{missing} records are missing and only {} bytes", report.lost));
        }
        findings
    });
    assert!(most > 0, "a terminal server that is not there loses what comes");
}

fn record_length(sent: &[Vec<u8>]) -> u64 {
    sent.iter().map(|text| text.len() as u64).min().unwrap_or(1)
}
