//! Deliberately bad gateways of the dialects: each verdict must be given exactly when it is due.
//! A real gateway speaks, and what it says is spoilt on its way. No clock: the time is the test's.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod desk;

use std::collections::BTreeSet;
use std::time::Duration;

use billing::SimEvent;
use billing_sim::Scenario;
use billing_sim::core::exchange::Report;
use billing_sim::core::exchange::entry::End;
use billing_sim::core::exchange::judge::Judge;
use billing_sim::core::exchange::truth::Truth;
use billing_sim::core::exchange::verdict::{Counts, Grade, Verdict};
use bytes::Bytes;
use desk::{Played, play_compared, play_spoilt};

fn framed(text: &[u8]) -> Bytes {
    let check = text.iter().fold(3, |check, byte| check ^ byte);
    [&[2][..], text, &[3, check]].concat().into()
}

fn is_charge(frame: &[u8]) -> bool {
    frame.starts_with(b"\x02PS|")
}

/// Five charges; the `nth` on its first way becomes what `spoil` makes of it.
fn nth(nth: u32, spoil: impl Fn(&Bytes) -> Vec<Bytes>) -> Report {
    let mut scenario = Scenario::new("fias");
    scenario.load.charges = 5;
    scenario.load.count = Some(5);
    let mut count = 0;
    play_spoilt(&scenario, |bytes| {
        count += u32::from(is_charge(&bytes));
        if is_charge(&bytes) && count == nth { spoil(&bytes) } else { vec![bytes] }
    })
    .report
}

fn reframed(frame: &[u8], from: &str, to: &str) -> Bytes {
    let text = std::str::from_utf8(&frame[1..frame.len() - 2]).unwrap();
    assert!(text.contains(from), "{text}");
    framed(text.replacen(from, to, 1).as_bytes())
}

fn with_wrong_check(frame: &[u8]) -> Bytes {
    let (check, rest) = frame.split_last().unwrap();
    [rest, &[check ^ 1]].concat().into()
}

/// A gateway that says nothing to records, so that their sender gives up.
fn mute() -> Played {
    let mut scenario = Scenario::new("fias");
    scenario.load.count = Some(3);
    scenario.load.charges = 2;
    scenario.patience = Duration::from_secs(300);
    // The link comes up by single bytes, too; charges come after that.
    let mut is_up = false;
    play_spoilt(&scenario, |bytes| {
        is_up |= is_charge(&bytes);
        if is_up && bytes.len() == 1 { Vec::new() } else { vec![bytes] }
    })
}

/// What the judge says at the end if the truth is not what the gateway did.
fn compared(change: impl Fn(&mut Truth)) -> Report {
    let mut scenario = Scenario::new("fias");
    scenario.load.charges = 5;
    scenario.load.count = Some(5);
    play_compared(&scenario, change).report
}

/// What is wrong, what came of it, and what is to be said of it.
type Case = (&'static str, Report, Vec<(Verdict, u64)>);

fn cases() -> Vec<Case> {
    use Verdict::*;
    let last = |frame: &Bytes| reframed(frame, "P#5|", "P#9|");
    let other = |frame: &Bytes, number| reframed(&reframed(frame, "P#5|", number), "|TA", "|TA1");
    let ack = || Bytes::from_static(b"\x06");
    let enq = || Bytes::from_static(b"\x05");
    vec![
        ("as it should be", nth(3, |frame| vec![frame.clone()]), vec![]),
        ("a charge twice", nth(3, |f| vec![f.clone(), f.clone()]), vec![(DupSuppressed, 1)]),
        (
            "a charge renumbered",
            nth(5, |f| vec![f.clone(), reframed(f, "P#5|", "P#6|")]),
            vec![(DoubleContent, 1)],
        ),
        (
            "numbers left out",
            nth(5, move |f| vec![f.clone(), last(f)]),
            vec![(Gap, 3), (DoubleContent, 1)],
        ),
        (
            "an earlier number later",
            nth(5, move |f| vec![f.clone(), last(f), other(f, "P#7|")]),
            vec![(Gap, 3), (Reordered, 1), (DoubleContent, 2)],
        ),
        (
            "a number of another charge",
            nth(3, |f| vec![f.clone(), reframed(f, "|TA", "|TA1")]),
            vec![(SeqConflict, 1)],
        ),
        (
            "a charge given up by its sender",
            nth(5, move |f| [vec![with_wrong_check(f); 4], vec![other(f, "P#6|")]].concat()),
            vec![(BadCheck, 4), (LostBySender, 1), (Reordered, 1), (DoubleContent, 1)],
        ),
        ("a wrong check", nth(3, |f| vec![with_wrong_check(f)]), vec![(BadCheck, 1)]),
        ("two writers", nth(3, |f| vec![f.slice(..20), f.clone()]), vec![(Interleave, 1)]),
        ("a torn record", nth(3, |f| vec![f.slice(..20)]), vec![(Partial, 1)]),
        ("a tail", nth(3, |f| vec![f.slice(20..)]), vec![(Partial, 1)]),
        ("an answer to nothing", nth(3, |f| vec![ack(), f.clone()]), vec![(LateAnswer, 1)]),
        ("ENQ first", nth(3, |_| vec![enq()]), vec![(AckReplayedAcrossTakeover, 1)]),
        ("no answer", mute().report, vec![(LostBySender, 3)]),
        (
            "a charge more was wanted",
            compared(|truth| truth.charges.as_mut().unwrap().push("PS|".into())),
            vec![(Lost, 1)],
        ),
        ("a record forgotten", compared(|truth| drop(taken(truth).remove(2))), vec![(Lost, 1)]),
        (
            "a record kept twice",
            compared(|truth| taken(truth).extend_from_within(4..)),
            vec![(DuplicatePosted, 1)],
        ),
        ("records out of order", compared(|truth| taken(truth).swap(1, 2)), vec![(Reordered, 1)]),
    ]
}

fn taken(truth: &mut Truth) -> &mut Vec<Bytes> {
    truth.records.as_mut().unwrap()
}

#[test]
fn each_verdict_is_given_when_it_is_due_and_only_then() {
    let mut given = BTreeSet::new();
    for (name, report, expected) in cases() {
        let expected: Counts = expected.into_iter().collect();
        assert_eq!(report.outcome.verdicts, expected, "{name}: {:#?}", report.outcome.findings);
        let verdicts = Verdict::ALL.into_iter().filter(|verdict| expected.get(*verdict) > 0);
        let verdicts: BTreeSet<_> = verdicts.collect();
        let fails = verdicts.iter().any(|verdict| verdict.grade() == Grade::Failure);
        assert_eq!(report.pass, !fails, "{name}: {report:#?}");
        given.extend(verdicts);
    }
    assert_eq!(given, BTreeSet::from(Verdict::ALL));
}

#[test]
fn a_charge_posted_twice_under_its_number_is_found_even_if_the_billing_system_did_not_see_it() {
    let mut judge = Judge::new(false);
    let posted = |number, content: &'static str| SimEvent::Posted {
        number,
        content: content.into(),
        text: content.into(),
    };
    for event in [posted(1, "a"), posted(2, "b"), posted(1, "a"), posted(3, "b")] {
        judge.handle_event(&event, Duration::ZERO);
    }
    judge.handle_end(&Truth::default(), &|_| false, End::Done);
    let found: Vec<_> =
        std::iter::from_fn(|| judge.poll_finding()).map(|finding| finding.verdict).collect();
    assert_eq!(found, [Verdict::DuplicatePosted, Verdict::DoubleContent]);
}

/// Nothing on such a line shows it: half of one record and the rest of a later one fit the layout.
#[test]
fn a_record_made_of_two_is_found_in_the_store() {
    let mut scenario = Scenario::new("cdr");
    scenario.load.count = Some(5);
    let spliced = |truth: &mut Truth| {
        let records = taken(truth);
        let rest = records.remove(3);
        records[2] = [&records[2][..28], &rest[28..]].concat().into();
    };
    let verdicts = play_compared(&scenario, spliced).report.outcome.verdicts;
    assert_eq!(verdicts, [(Verdict::Interleave, 1), (Verdict::Lost, 2)].into_iter().collect());
    // Titles are the exchange's own, whatever the gateway took them for.
    scenario.settings = vec![("layout".to_owned(), "kx".to_owned())];
    let titled = |truth: &mut Truth| taken(truth).extend(["PAGE 1", "PAGE 2"].map(Bytes::from));
    let verdicts = play_compared(&scenario, titled).report.outcome.verdicts;
    assert_eq!(verdicts, [(Verdict::Interleave, 1)].into_iter().collect());
}

#[test]
fn overwritten_calls_are_lost_by_their_sender() {
    let mut scenario = Scenario::new("cdr");
    scenario.load.count = Some(60);
    scenario.load.interval = Some(Duration::from_millis(20));
    scenario.settings = vec![("buffer".to_owned(), "10".to_owned())];
    let report = desk::play(&scenario).report;
    let tally = report.outcome.tally;
    assert!(tally.given_up > 10, "{tally:?}");
    assert_eq!(tally.given_up + tally.confirmed, 60);
    assert_eq!(
        report.outcome.verdicts,
        [(Verdict::LostBySender, tally.given_up)].into_iter().collect()
    );
}

#[test]
fn a_gateway_that_is_not_there_ends_the_run_by_patience() {
    let mut scenario = Scenario::new("fias");
    scenario.load.count = Some(3);
    let report = play_spoilt(&scenario, |_| Vec::new()).report;
    assert_eq!((report.outcome.ended, report.pass), (End::Silent, false));
    assert_eq!(report.outcome.verdicts.get(Verdict::Lost), 3);
    let xml = billing_sim::junit::render(&report);
    assert!(xml.contains("<failure message=\"the gateway settled nothing"), "{xml}");
}
