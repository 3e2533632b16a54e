//! Deliberately bad gateways: each verdict must be given exactly when it is due, and a judge that
//! never fails anybody would fail here. No clock: the time is the test's.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::collections::BTreeMap;
use std::time::Duration;

use billing::LinkEngine;
use billing::numbered::{Answer, Gateway, Record, answer_for, record};
use billing_sim::core::event::{End, Event, Verdict};
use billing_sim::core::generator::{Plan, Sent};
use billing_sim::core::judge::{Judge, Tally, WINDOW};
use billing_sim::core::report::Outcome;
use billing_sim::core::simulation::{Settings, Simulation};
use proptest::prelude::*;

const SEED: u64 = 7;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn settings(count: u32) -> Settings {
    Settings {
        plan: Plan {
            seed: SEED,
            first: 1,
            count: Some(count),
            duration: None,
            interval: Some(ms(100)),
            char_time: Some(Duration::from_micros(100)),
        },
        settle: ms(1000),
        max_outstanding: None,
        unserved_over: ms(150),
    }
}

/// Plays a run against a gateway that is a function: for each whole record, chunks of bytes and how
/// long after the record's last byte each arrives.
fn play(
    settings: Settings,
    mut gateway: impl FnMut(&Record) -> Vec<(Duration, Vec<u8>)>,
) -> (Outcome, Vec<Event>) {
    let mut now = Duration::from_secs(1000);
    let mut simulation = Simulation::new(settings, now);
    let mut line: BTreeMap<(Duration, usize), Vec<u8>> = BTreeMap::new();
    let (mut queued, mut events) = (0_usize, Vec::new());
    for step in 0.. {
        assert!(step < 1_000_000, "the run does not end");
        simulation.handle_timeout(now);
        while let Some(bytes) = simulation.poll_transmit(now) {
            simulation.handle_written(bytes.len(), now);
        }
        while let Some(event) = simulation.poll_event() {
            if let Event::Sent { number, .. } = event {
                for (delay, bytes) in gateway(&record(SEED, number)) {
                    queued += 1;
                    line.insert((now + delay, queued), bytes);
                }
            }
            events.push(event);
        }
        if simulation.is_done() {
            break;
        }
        let arrival = line.first_key_value().map(|((at, _), _)| *at);
        let Some(next) = [simulation.poll_timeout(), arrival].into_iter().flatten().min() else {
            panic!("nothing will ever happen: {simulation:?}")
        };
        now = next.max(now);
        if let Some(entry) = line.first_entry()
            && entry.key().0 <= now
        {
            simulation.handle_bytes(&entry.remove(), now);
        }
    }
    (simulation.outcome(now), events)
}

/// Answers at once, with exceptions.
fn judge_of(mut exception: impl FnMut(&Record) -> Option<Vec<u8>>) -> Outcome {
    let gateway =
        |record: &Record| vec![(ms(5), exception(record).unwrap_or_else(|| answer_for(record)))];
    play(settings(10), gateway).0
}

fn fails_with(outcome: &Outcome, expected: Tally) {
    assert_eq!(outcome.verdicts, expected, "{:#?}", outcome.findings);
    assert!(!outcome.passed());
}

#[test]
fn a_good_gateway_passes() {
    let mut good = Gateway::new(0);
    let gateway = |record: &Record| {
        good.handle_bytes(&record.to_bytes(), Duration::ZERO);
        vec![(ms(5), good.poll_transmit().unwrap().bytes.to_vec())]
    };
    let (outcome, events) = play(settings(10), gateway);
    assert!(outcome.passed(), "{outcome:#?}");
    assert_eq!(outcome.verdicts, Tally::default());
    assert_eq!((outcome.sent.records, outcome.received.answers), (10, 10));
    assert_eq!(outcome.ended, End::Count);
    let latency = outcome.latency.unwrap();
    assert_eq!((latency.min, latency.max), (ms(5), ms(5)));
    assert_eq!(outcome.unserved.longest_length, ms(5));
    assert_eq!(outcome.unserved.spans, []);
    assert!(matches!(events[0], Event::Started { .. }));
    assert!(matches!(events[events.len() - 1], Event::Ended { why: End::Count, .. }));
}

#[test]
fn lost() {
    let outcome = judge_of(|record| [4, 5, 8].contains(&record.number()).then(Vec::new));
    fails_with(&outcome, Tally { lost: 3, ..Tally::default() });
    let details: Vec<_> = outcome.findings.iter().map(|f| (f.verdict, f.number)).collect();
    assert_eq!(details, [(Verdict::Lost, Some(4)), (Verdict::Lost, Some(8))]);
}

#[test]
fn an_answer_after_the_settle_time_is_lost() {
    let gateway = |record: &Record| {
        let late = if record.number() == 10 { ms(1001) } else { ms(5) };
        vec![(late, answer_for(record))]
    };
    fails_with(&play(settings(10), gateway).0, Tally { lost: 1, ..Tally::default() });
}

#[test]
fn doubled() {
    let outcome = judge_of(|record| (record.number() == 4).then(|| answer_for(record).repeat(3)));
    fails_with(&outcome, Tally { doubled: 2, ..Tally::default() });
}

#[test]
fn doubled_long_after() {
    let outcome = judge_of(|r| {
        (r.number() == 9).then(|| [answer_for(r), answer_for(&record(SEED, 1))].concat())
    });
    fails_with(&outcome, Tally { doubled: 1, ..Tally::default() });
}

#[test]
fn torn_a_cut_record_taken_as_good() {
    // Its text lost the end, and the right answer follows: nothing but torn may be said.
    let outcome = judge_of(|record| {
        let text = record.text();
        let cut = Record::new(record.number(), &text[..text.len() / 2]).unwrap();
        (record.number() == 4).then(|| [answer_for(&cut), answer_for(record)].concat())
    });
    fails_with(&outcome, Tally { torn: 1, ..Tally::default() });
}

#[test]
fn torn_an_answer_to_a_number_never_sent() {
    let outcome = judge_of(|r| {
        (r.number() == 4).then(|| [answer_for(r), answer_for(&record(SEED, 5))].concat())
    });
    // Record 5 is answered again, in its time, and that is its first right answer.
    fails_with(&outcome, Tally { torn: 1, ..Tally::default() });
}

#[test]
fn torn_and_lost_if_only_the_wrong_answer_came() {
    let outcome = judge_of(|record| {
        let wrong = Answer { number: record.number(), digest: !record.digest() };
        (record.number() == 4).then(|| wrong.to_bytes())
    });
    fails_with(&outcome, Tally { torn: 1, lost: 1, ..Tally::default() });
}

#[test]
fn partial_is_counted_and_passes() {
    let whole = answer_for(&record(SEED, 4));
    for keep in 1..whole.len() {
        let outcome = judge_of(|record| {
            (record.number() == 4).then(|| [&whole[..keep], &whole[..]].concat())
        });
        assert_eq!(outcome.verdicts, Tally { partial: 1, ..Tally::default() }, "kept {keep}");
        assert!(outcome.passed());
    }
}

#[test]
fn partial_twice_in_a_row_and_one_at_the_very_end() {
    let whole = answer_for(&record(SEED, 10));
    let outcome = judge_of(|record| {
        (record.number() == 10)
            .then(|| [&whole[..4], &whole[..20], &whole[..], &whole[..1]].concat())
    });
    assert_eq!(outcome.verdicts, Tally { partial: 3, ..Tally::default() });
}

#[test]
fn partial_and_never_resent_is_lost() {
    let outcome =
        judge_of(|record| (record.number() == 4).then(|| answer_for(record)[..9].to_vec()));
    fails_with(&outcome, Tally { partial: 1, lost: 1, ..Tally::default() });
}

#[test]
fn reordered() {
    let outcome = judge_of(|r| match r.number() {
        4 => Some(Vec::new()),
        5 => Some([answer_for(r), answer_for(&record(SEED, 4))].concat()),
        _ => None,
    });
    fails_with(&outcome, Tally { reordered: 1, ..Tally::default() });
}

#[test]
fn mixed_two_writers_interleaved() {
    let (four, five) = (answer_for(&record(SEED, 4)), answer_for(&record(SEED, 5)));
    let mixed = [&four[..12], &five[..], &four[12..]].concat();
    let outcome = judge_of(|record| match record.number() {
        4 => Some(Vec::new()),
        5 => Some(mixed.clone()),
        _ => None,
    });
    // The head of 4 looks like an answer cut off; its tail after 5 is nobody's.
    fails_with(&outcome, Tally { mixed: 1, partial: 1, lost: 1, ..Tally::default() });
}

#[test]
fn mixed_byte_by_byte() {
    let (four, five) = (answer_for(&record(SEED, 4)), answer_for(&record(SEED, 5)));
    let zipped: Vec<u8> = four.iter().zip(&five).flat_map(|(a, b)| [*a, *b]).collect();
    let outcome = judge_of(|record| match record.number() {
        4 => Some(Vec::new()),
        5 => Some(zipped.clone()),
        _ => None,
    });
    assert!(outcome.verdicts.mixed >= 1, "{outcome:#?}");
    assert_eq!(outcome.verdicts.lost, 2);
    assert!(!outcome.passed());
}

#[test]
fn mixed_noise_is_one_finding_however_long() {
    let noise = [b"login: A00".repeat(60), b"\n".to_vec()].concat();
    let outcome = judge_of(|record| {
        (record.number() == 4).then(|| [&noise[..], &answer_for(record)].concat())
    });
    fails_with(&outcome, Tally { mixed: 1, ..Tally::default() });
}

#[test]
fn mixed_an_echo_of_the_record() {
    let outcome = judge_of(|record| {
        (record.number() == 4).then(|| [record.to_bytes(), answer_for(record)].concat())
    });
    fails_with(&outcome, Tally { mixed: 1, ..Tally::default() });
}

#[test]
fn mixed_a_flipped_bit() {
    let outcome = judge_of(|record| {
        let mut bytes = answer_for(record);
        bytes[14] ^= 1;
        (record.number() == 4).then_some(bytes)
    });
    fails_with(&outcome, Tally { mixed: 1, lost: 1, ..Tally::default() });
}

#[test]
fn unserved_span_with_its_place_in_time() {
    // Down while records 4 to 6 come; the successor answers all three at once.
    let mut held = Vec::new();
    let mut sent_four = Duration::ZERO;
    let gateway = |record: &Record| match record.number() {
        4..=6 => {
            held.extend(answer_for(record));
            match record.number() {
                6 => vec![(ms(20), std::mem::take(&mut held))],
                _ => Vec::new(),
            }
        }
        _ => vec![(ms(5), answer_for(record))],
    };
    let (outcome, events) = play(settings(10), gateway);
    assert!(outcome.passed());
    let mut answered_six = Duration::ZERO;
    for event in &events {
        match event {
            Event::Sent { at, number: 4, .. } => sent_four = *at,
            Event::Answered { at, number: 6, .. } => answered_six = *at,
            _ => {}
        }
    }
    let longest = outcome.unserved.longest.unwrap();
    assert_eq!((longest.from, longest.to), (sent_four, answered_six));
    assert_eq!(outcome.unserved.spans, [longest]);
    assert!(events.contains(&Event::Unserved(longest)));
}

#[test]
fn a_dead_gateway_holds_an_unpaced_run_and_ends_it() {
    let plan = Plan { interval: None, char_time: None, count: None, ..settings(1).plan };
    let settings = Settings { plan, max_outstanding: Some(16), ..settings(1) };
    let gateway = |record: &Record| match record.number() {
        1..=100 => vec![(ms(5), answer_for(record))],
        _ => Vec::new(),
    };
    let (outcome, _) = play(settings, gateway);
    assert_eq!(outcome.ended, End::Silent);
    assert_eq!((outcome.sent.records, outcome.verdicts.lost), (116, 16));
}

#[test]
fn nothing_answered_proves_nothing() {
    let mut simulation = Simulation::new(settings(10), ms(0));
    simulation.stop(ms(0));
    simulation.handle_timeout(ms(1000));
    let outcome = simulation.outcome(ms(1000));
    assert_eq!((outcome.ended, outcome.verdicts), (End::Stopped, Tally::default()));
    assert!(!outcome.passed());
}

#[test]
fn a_line_that_takes_no_bytes_ends_the_run_after_stop() {
    let mut simulation = Simulation::new(settings(10), ms(0));
    assert!(simulation.poll_transmit(ms(1)).is_some());
    simulation.stop(ms(2));
    let mut now = ms(2);
    while let Some(at) = simulation.poll_timeout() {
        now = at.max(now + ms(1));
        simulation.handle_timeout(now);
        assert!(now < ms(60_000));
    }
    assert_eq!(simulation.outcome(now).ended, End::Blocked);
}

#[test]
fn memory_is_bounded_although_the_oldest_record_is_never_answered() {
    let mut judge = Judge::new(SEED, 1, ms(150));
    let count = WINDOW as u32 + 10;
    for number in 1..=count {
        judge.handle_sent(Sent { number, at: ms(number.into()) });
        while judge.poll_event().is_some() {}
    }
    assert_eq!((judge.tally().lost, judge.outstanding()), (10, WINDOW));
    judge.handle_end(ms(u64::from(count) + 1));
    assert_eq!(judge.tally().lost, u64::from(count));
}

proptest! {
    #[test]
    fn the_judge_does_not_care_how_answers_are_chunked(
        pieces in prop::collection::vec((0..6u8, 1..40u32, any::<prop::sample::Index>()), 0..30),
        cuts in prop::collection::vec(0..4000usize, 0..30),
    ) {
        let mut stream = Vec::new();
        for (kind, number, at) in pieces {
            let mut bytes = answer_for(&record(SEED, number));
            match kind {
                0 => bytes.truncate(at.index(bytes.len())),
                1 => { let at = at.index(bytes.len()); bytes[at] ^= 0x11 }
                2 => bytes = record(SEED, number).to_bytes(),
                _ => {}
            }
            stream.extend(bytes);
        }
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let whole = verdict_of([&stream[..]]);
        prop_assert_eq!(&whole, &verdict_of(cuts.windows(2).map(|w| &stream[w[0]..w[1]])));
        prop_assert_eq!(&whole, &verdict_of(stream.chunks(1)));
    }
}

fn verdict_of<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> (Tally, Vec<Event>) {
    let mut judge = Judge::new(SEED, 1, ms(150));
    for number in 1..=30 {
        judge.handle_sent(Sent { number, at: ms(1) });
    }
    for chunk in chunks {
        judge.handle_bytes(chunk, ms(2));
    }
    judge.handle_end(ms(3));
    let events = std::iter::from_fn(|| judge.poll_event()).collect();
    (judge.tally(), events)
}
