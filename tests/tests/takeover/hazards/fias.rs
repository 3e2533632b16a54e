//! `fias`, posting.

use std::time::Duration;

use billing::{Charge, Misdeed, Notice, Outcome, SimEvent, Write};
use linekeeper_tests::takeover::{Pipe, Setting};

use super::seen::{is_interleave, is_partial, quiet};

const SECOND: Duration = Duration::from_secs(1);
const ENQ: u8 = 0x05;
const ACK: u8 = 0x06;
const NAK: u8 = 0x15;

fn up() -> Pipe {
    Pipe::up(&quiet("fias"))
}

/// A posts and is cut off after so many bytes; it is some time until B goes on.
fn torn(at: usize, silence: Duration) -> Pipe {
    let mut pipe = up();
    pipe.sit();
    pipe.post(1);
    pipe.run_until_said(at);
    pipe.leave();
    pipe.run(silence);
    pipe
}

/// B posts the same charge.
fn goes_on(pipe: &mut Pipe) {
    pipe.sit();
    pipe.post(1);
    pipe.run(90 * SECOND);
}

fn length() -> usize {
    let mut pipe = up();
    pipe.post(1);
    pipe.pending().len()
}

#[test]
fn f1_half_frame_then_silence() {
    for at in 1..length() {
        let mut pipe = torn(at, 5 * SECOND);
        assert!(pipe.saw(is_partial), "{at}");
        assert_eq!(pipe.posted(), [0; 0], "{at}");
        goes_on(&mut pipe);
        assert_eq!((pipe.posted(), pipe.settled()), (vec![1], vec![1]), "{at}");
    }
}

#[test]
fn f2_half_frame_then_the_next_ones_bytes() {
    // Behind ETX is a hazard of its own.
    for at in 1..length() - 1 {
        let mut pipe = torn(at, Duration::ZERO);
        goes_on(&mut pipe);
        assert!(pipe.saw(is_interleave), "{at}");
        assert_eq!((pipe.posted(), pipe.settled()), (vec![1], vec![1]), "{at}");
    }
}

#[test]
fn f3_answer_lost_and_sent_again() {
    let mut pipe = up();
    pipe.far.end().misbehave(Misdeed::DropAnswers { count: 1 }, pipe.now);
    pipe.far.end().misbehave(Misdeed::DropCommits { count: 1 }, pipe.now);
    pipe.post(1);
    pipe.run(SECOND);
    assert_eq!((pipe.posted(), pipe.settled()), (vec![1], vec![]));
    pipe.sit();
    pipe.run(90 * SECOND);
    assert!(pipe.saw(|event| matches!(event, SimEvent::Repeated { number: 1 })));
    assert_eq!((pipe.posted(), pipe.settled()), (vec![1], vec![1]));
}

/// The billing system asks for the answer that A gave; B repeats it, and need not be sent the record
/// again.
#[test]
fn f3_answer_lost_and_given_again() {
    let mut pipe = up();
    pipe.sit();
    pipe.is_deaf = true;
    let now = pipe.now;
    pipe.far.send(1, now);
    pipe.run(SECOND);
    assert_eq!(pipe.said(), [ACK]);
    pipe.is_deaf = false;
    pipe.sit();
    pipe.run(20 * SECOND);
    assert_eq!(pipe.said(), [ACK]);
    assert!(pipe.saw(|event| matches!(event, SimEvent::Confirmed { serial: 1 })));
    assert!(!pipe.saw(|event| matches!(event, SimEvent::Sent { attempt: 2, .. })));
}

#[test]
fn f4_no_new_holder_begins_with_enq() {
    for at in 0..length() + 3 {
        for silence in [Duration::ZERO, 2 * SECOND, 4 * SECOND, 13 * SECOND] {
            for is_known in [true, false] {
                let mut pipe = torn(at, silence);
                if !is_known {
                    pipe.forget();
                }
                pipe.sit();
                pipe.run(20 * SECOND);
                assert_ne!(pipe.said().first(), Some(&ENQ), "{at} {silence:?} {is_known}");
                assert!(!pipe.saw(|event| *event == SimEvent::AnswerReplayed), "{at} {silence:?}");
            }
        }
    }
}

#[test]
fn f5_answer_to_the_charge_lost() {
    let mut pipe = up();
    pipe.far.end().misbehave(Misdeed::DropCommits { count: 1 }, pipe.now);
    pipe.post(1);
    pipe.run(SECOND);
    assert_eq!((pipe.posted(), pipe.settled()), (vec![1], vec![]), "posted, and nobody knows");
    pipe.sit();
    pipe.run(90 * SECOND);
    assert_eq!((pipe.posted(), pipe.settled()), (vec![1], vec![1]));
    pipe.post(2);
    pipe.run(20 * SECOND);
    assert_eq!(pipe.posted(), [1, 2]);
}

#[test]
fn f6_two_write_at_once() {
    let mut pipe = up();
    pipe.post(2);
    let other = pipe.pending();
    for at in 1..length() - 1 {
        let mut pipe = up();
        pipe.sit();
        pipe.post(1);
        pipe.run_until_said(at);
        let rest = pipe.pending();
        pipe.leave();
        pipe.say(&other);
        pipe.say(&rest);
        assert!(pipe.saw(is_interleave), "{at}");
        let mixed = |event: &SimEvent| match event {
            SimEvent::Posted { content, .. } => content.is_empty(),
            SimEvent::Conflict { .. } => true,
            _ => false,
        };
        assert!(!pipe.saw(mixed), "{at}");
        assert!(pipe.posted().len() <= 1, "{at}: one of them may be whole, never both as one");
    }
}

/// A has said its charge up to ETX, and its check would have been STX. What the next one is told
/// is from before that; the number is that of the charge.
fn torn_before_check(goes_on: impl Fn(&mut Pipe, Charge)) -> Vec<Pipe> {
    let mut pipes = Vec::new();
    let example = Setting::of("fias", &[]).dialect.charge(1, 1).expect("a charge");
    for film in 0..600 {
        let mut pipe = up();
        pipe.sit();
        let before = pipe.state();
        let text = Some(format!("Film{}{film}", ["", "m"][film % 2]));
        let charge = Charge { key: "film".into(), room: "77".into(), text, ..example.clone() };
        pipe.post_charge(2, charge.clone());
        let frame = pipe.pending();
        if frame.last() == Some(&0x02) && pipes.len() < 3 {
            pipe.run_until_said(frame.len() - 1);
            pipe.restore(before);
            pipe.sit();
            goes_on(&mut pipe, charge);
            pipe.run(120 * SECOND);
            pipes.push(pipe);
        }
    }
    assert!(!pipes.is_empty(), "some check is STX");
    pipes
}

/// The billing system takes B's first byte for A's check and posts A's charge. B sends that very
/// charge, as a store or a note tells it to: the acknowledgement is right, whoever caused it.
#[test]
fn f7_check_is_the_next_ones_stx() {
    for pipe in torn_before_check(|pipe, charge| pipe.post_charge(2, charge)) {
        assert_eq!((pipe.posted(), pipe.settled()), (vec![1], vec![1]));
        assert!(pipe.saw(|event| matches!(event, SimEvent::Partial { .. })), "B's has no head");
    }
}

/// B knows nothing of A's charge and sends one of its own under the same number: it takes A's
/// acknowledgement, but not A's `PA`, and then hears that the number is taken.
#[test]
fn f7_the_number_tells_whose_charge_was_posted() {
    for pipe in torn_before_check(|pipe, _| pipe.post(1)) {
        assert_eq!(pipe.posted(), [1], "A's");
        let other = Notice::Unexpected { what: "an answer for another room" };
        assert!(pipe.notices.contains(&other), "{:?}", pipe.notices);
        assert!(pipe.saw(|event| matches!(event, SimEvent::Conflict { number: 1, .. })));
        let refused = |write: &Write| {
            matches!(write, Write::Settle { number: 1, outcome: Outcome::Refused, .. })
        };
        assert!(pipe.writes.iter().any(refused), "B's is not taken for posted");
    }
}

#[test]
fn f7_another_check_is_refused() {
    let mut pipe = torn(length() - 1, Duration::ZERO);
    goes_on(&mut pipe);
    assert!(pipe.saw(|event| matches!(event, SimEvent::BadCheck { .. })));
    assert_eq!((pipe.posted(), pipe.settled()), (vec![1], vec![1]));
}

#[test]
fn f8_sender_gave_up() {
    let mut pipe = up();
    pipe.far.end().misbehave(Misdeed::Nak { count: 4 }, pipe.now);
    pipe.post(1);
    pipe.run(2 * SECOND);
    assert!(pipe.notices.contains(&Notice::GaveUp { number: Some(1) }));
    assert_eq!(pipe.posted(), [0; 0]);
    pipe.sit();
    pipe.run(120 * SECOND);
    assert_eq!((pipe.posted(), pipe.settled()), (vec![1], vec![1]), "the same number, later");
    assert!(!pipe.saw(|event| matches!(event, SimEvent::Gap { .. })));
}

#[test]
fn f1_an_enquiry_after_half_a_frame_is_refused() {
    let mut pipe = torn(7, 5 * SECOND);
    let before = pipe.heard().len();
    pipe.say(&[ENQ]);
    pipe.run(SECOND);
    assert_eq!(pipe.heard()[before..], [NAK]);
}
