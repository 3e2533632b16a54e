//! The hazards of a takeover, by the names under which they are known.
#![deny(clippy::disallowed_methods)]

use std::time::Duration;

use super::super::Settings;
use super::super::frame::lrc;
use super::bench::{ACK, ENQ, GatewayBench, NAK, PmsBench, frame};
use crate::billing_end::{BillingEnd, Misdeed, SimEvent};
use crate::gateway::{Notice, Outcome, Write};

const SECOND: Duration = Duration::from_secs(1);
const CHARGE: &str = "PS|RN2781|PTC|TA1050|DA180618|TI123545|P#1729|";
const NEXT: &str = "PS|RN2782|PTC|TA200|DA180618|TI123611|P#1730|";

fn posted(bench: &PmsBench) -> Vec<u64> {
    let number = |event: &SimEvent| match event {
        SimEvent::Posted { number, .. } => Some(*number),
        _ => None,
    };
    bench.events.iter().filter_map(number).collect()
}

#[test]
fn f1_half_a_frame_and_then_silence() {
    for at in 1..frame(CHARGE).len() {
        let mut bench = PmsBench::alive();
        assert_eq!(bench.hears(&frame(CHARGE)[..at]), b"");
        assert_eq!(bench.waits(5 * SECOND), b"");
        assert!(matches!(bench.events[..], [SimEvent::Partial { .. }]), "{at}: {:?}", bench.events);
        assert_eq!(bench.hears(ENQ), NAK);
        bench.posts(CHARGE);
        assert_eq!(posted(&bench), [1729]);
    }
}

#[test]
fn f2_half_a_frame_and_then_the_next_one_s_bytes() {
    // Up to ETX, which has a hazard of its own.
    for at in 1..frame(CHARGE).len() - 1 {
        let mut bench = PmsBench::alive();
        bench.hears(&frame(CHARGE)[..at]);
        bench.posts(CHARGE);
        assert!(matches!(bench.events[0], SimEvent::Interleave { .. }), "{:?}", bench.events);
        assert_eq!(posted(&bench), [1729]);
    }
}

#[test]
fn f3_the_acknowledgement_is_lost_and_the_next_one_sends_again() {
    let mut bench = PmsBench::alive();
    bench.posts(CHARGE);
    bench.posts(CHARGE);
    bench.posts(NEXT);
    assert_eq!(posted(&bench), [1729, 1730]);
    assert!(bench.events.contains(&SimEvent::Repeated { number: 1729 }));
}

#[test]
fn f4_an_enquiry_first_asks_for_another_record_s_answer() {
    let mut bench = PmsBench::alive();
    bench.posts(CHARGE);
    assert_eq!(bench.hears(ENQ), NAK);
    assert!(bench.events.contains(&SimEvent::AnswerReplayed));
}

#[test]
fn f4_a_gateway_does_not_enquire_after_its_predecessor_s_record() {
    let settings = Settings::default;
    let mut bench = GatewayBench::alive(settings());
    let sent = bench.posts(1);
    let mut bench = bench.taken_over(settings(), false);
    assert!(matches!(&bench.writes[..], [Write::Adopt { number: 1, .. }]), "{:?}", bench.writes);
    // Not even when something comes that is no answer.
    assert_eq!(bench.hears(b"?"), b"");
    assert_eq!(bench.waits(6 * SECOND - SECOND / 100), b"");
    assert_eq!(bench.waits(SECOND / 100), sent);
    // Now it is its own.
    assert_eq!(bench.waits(3 * SECOND), ENQ);
    assert_eq!(bench.hears(ACK), b"");
    assert_eq!(bench.hears(&frame("PA|ASOK|P#1|")), ACK);
    assert!(bench.notices.contains(&Notice::Settled { number: 1, outcome: Outcome::Posted }));
}

#[test]
fn f4_an_answer_to_the_predecessor_s_record_is_the_successor_s() {
    let settings = Settings::default;
    let mut bench = GatewayBench::alive(settings());
    bench.posts(1);
    let mut bench = bench.taken_over(settings(), false);
    assert_eq!(bench.hears(ACK), b"");
    assert_eq!(bench.waits(20 * SECOND), b"");
    assert_eq!(bench.hears(&frame("PA|ASOK|P#1|")), ACK);
    assert!(matches!(bench.writes.last(), Some(Write::Settle { number: 1, .. })));
}

#[test]
fn f4_enquiries_made_while_nobody_was_there_get_one_answer() {
    let settings = Settings::default;
    let bench = GatewayBench::alive(settings());
    let mut bench = bench.taken_over(settings(), false);
    assert_eq!(bench.hears(&frame("GI|RN101|")), ACK);
    assert_eq!(bench.hears(b"\x05\x05"), b"");
    bench.waits(3 * SECOND);
    assert_eq!(bench.hears(ENQ), ACK);
}

#[test]
fn f5_the_answer_to_a_charge_is_lost() {
    let mut bench = PmsBench::alive();
    bench.pms.misbehave(Misdeed::DropCommits { count: 1 }, bench.now);
    assert_eq!(bench.hears(&frame(CHARGE)), ACK);
    bench.posts(CHARGE);
    assert_eq!(posted(&bench), [1729]);
    // Nobody acknowledges it either.
    let said = bench.hears(&frame(NEXT));
    assert!(said.starts_with(b"\x06\x02PA|"));
    assert_eq!(bench.waits(13 * SECOND), b"\x05\x05\x05");
    bench.posts(NEXT);
    assert_eq!(posted(&bench), [1729, 1730]);
}

#[test]
fn f6_two_that_write_at_once_post_nothing() {
    let (one, other) = (frame(CHARGE), frame(NEXT));
    for at in 1..one.len() - 1 {
        let mut bench = PmsBench::alive();
        for piece in [&one[..at], &other, &one[at..]] {
            bench.hears(piece);
        }
        assert!(matches!(bench.events[0], SimEvent::Interleave { .. }), "{:?}", bench.events);
        assert_eq!(posted(&bench), [1730], "only what came whole");
    }
    let mut mixed = PmsBench::alive();
    for (one, other) in one[1..].iter().zip(&other[1..]) {
        mixed.hears(&[*one, *other]);
    }
    assert_eq!(posted(&mixed), [0; 0]);
}

/// A charge whose check is the byte that begins the next one.
fn charge_with_check_stx() -> String {
    let text = |article: u32| format!("PS|RN101|PTC|TA900|DA180618|TI123545|P#1|CT{article}|");
    (1..100_000).map(text).find(|text| lrc(text.as_bytes()) == 2).expect("some article has it")
}

#[test]
fn f7_the_next_one_s_stx_is_taken_for_the_check() {
    let mut bench = PmsBench::alive();
    let whole = frame(CHARGE);
    bench.hears(&whole[..whole.len() - 1]);
    assert_eq!(bench.hears(&whole), NAK);
    assert!(matches!(bench.events[0], SimEvent::BadCheck { .. }));
    bench.posts(CHARGE);
    assert_eq!(posted(&bench), [1729]);
}

#[test]
fn f7_with_a_check_that_is_stx_another_s_charge_is_posted_and_the_number_tells() {
    let mut bench = PmsBench::alive();
    let torn = frame(&charge_with_check_stx());
    bench.hears(&torn[..torn.len() - 1]);
    let other = frame("PS|RN999|PTC|TA700|DA180618|TI123611|P#1|");
    // The successor's STX completes the predecessor's charge: the answer is not for the successor.
    let said = bench.hears(&other);
    assert!(said.starts_with(b"\x06\x02PA|RN101|ASOK|P#1|"), "{said:?}");
    assert_eq!(bench.hears(ACK), b"");
    let said = bench.hears(&other);
    assert!(said.starts_with(b"\x06\x02PA|RN999|ASUR|P#1|"), "{said:?}");
    assert!(matches!(bench.events.last(), Some(SimEvent::Conflict { number: 1, .. })));
}

#[test]
fn f7_a_gateway_does_not_take_an_answer_for_another_room_for_its_own() {
    let mut bench = GatewayBench::alive(Settings::default());
    let sent = bench.posts(1);
    assert_eq!(bench.hears(ACK), b"");
    let said = bench.hears(&frame("PA|RNother|ASOK|P#1|"));
    assert_eq!(said, [ACK, &sent].concat());
    assert_eq!(bench.writes.iter().filter(|w| matches!(w, Write::Settle { .. })).count(), 0);
    assert_eq!(bench.hears(ACK), b"");
    assert_eq!(bench.hears(&frame("PA|RNother|ASUR|P#1|")), ACK);
    assert!(bench.notices.contains(&Notice::Settled { number: 1, outcome: Outcome::Refused }));
}

#[test]
fn f7_after_a_cut_frame_a_gateway_is_quiet_until_it_is_forgotten() {
    let settings = Settings::default;
    let mut bench = GatewayBench::alive(settings());
    let sent = bench.posts(1);
    let mut bench = bench.taken_over(settings(), true);
    let quiet = settings().record_time();
    // Not even an answer: it could be taken for the check.
    assert_eq!(bench.hears(&frame("GI|RN101|")), b"");
    assert_eq!(bench.waits(quiet - SECOND / 100), b"");
    assert_eq!(bench.waits(SECOND / 100), [ACK, &sent].concat());
}

#[test]
fn f8_who_gives_up_sends_the_same_again_later() {
    let mut bench = GatewayBench::alive(Settings::default());
    let sent = bench.posts(1);
    assert_eq!(bench.waits(12 * SECOND), b"\x05\x05\x05");
    assert!(bench.notices.contains(&Notice::GaveUp { number: Some(1) }));
    assert_eq!(bench.waits(10 * SECOND), sent);
    assert!(bench.notices.contains(&Notice::Sending { number: 1, attempt: 2 }));
}

#[test]
fn f8_a_number_that_never_came_is_a_gap() {
    let mut bench = PmsBench::alive();
    bench.posts(CHARGE);
    bench.posts("PS|RN2782|PTC|TA200|DA180618|TI123611|P#1732|");
    assert!(bench.events.contains(&SimEvent::Gap { after: 1729, count: 2 }));
    bench.posts(NEXT);
    assert!(bench.events.contains(&SimEvent::Reordered { number: 1730, after: 1732 }));
}
