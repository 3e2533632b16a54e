//! `hx`, posting.

use std::time::Duration;

use billing::{Misdeed, Notice, SimEvent};
use linekeeper_tests::takeover::{Pipe, Setting};

use super::seen::{is_interleave, is_partial, quiet};

const SECOND: Duration = Duration::from_secs(1);
const ENQ: u8 = 0x05;

fn up() -> Pipe {
    Pipe::up(&quiet("hx"))
}

/// A posts and is cut off after so many bytes, the bid included.
fn torn(at: usize, silence: Duration) -> Pipe {
    let mut pipe = up();
    pipe.sit();
    pipe.post(1);
    pipe.run_until_said(at);
    pipe.leave();
    pipe.run(silence);
    pipe
}

/// B goes on: with the charge in the note from the bid on, by itself.
fn goes_on(pipe: &mut Pipe) {
    pipe.sit();
    pipe.run(120 * SECOND);
}

/// The bid and the text.
fn length() -> usize {
    let mut pipe = up();
    pipe.sit();
    pipe.post(1);
    pipe.run(SECOND);
    pipe.said().len()
}

#[test]
fn f1_half_frame_then_silence() {
    for at in 2..length() {
        let mut pipe = torn(at, 5 * SECOND);
        assert!(pipe.saw(is_partial), "{at}");
        assert_eq!(pipe.posted(), [0; 0], "{at}");
        goes_on(&mut pipe);
        assert_eq!((pipe.posted(), pipe.settled()), (vec![1], vec![1]), "{at}");
    }
}

#[test]
fn f2_half_frame_then_the_next_ones_bytes() {
    for at in 2..length() - 1 {
        let mut pipe = torn(at, Duration::ZERO);
        pipe.sit();
        pipe.say(&[ENQ]);
        assert!(pipe.saw(is_interleave), "{at}");
        pipe.run(120 * SECOND);
        assert_eq!((pipe.posted(), pipe.settled()), (vec![1], vec![1]), "{at}");
    }
}

#[test]
fn f3_answer_lost_and_sent_again() {
    let mut pipe = up();
    pipe.far.end().misbehave(Misdeed::DropAnswers { count: 1 }, pipe.now);
    pipe.post(1);
    pipe.run(2 * SECOND);
    assert_eq!((pipe.posted(), pipe.settled()), (vec![1], vec![]));
    goes_on(&mut pipe);
    assert!(pipe.saw(|event| matches!(event, SimEvent::Repeated { number: 1 })));
    assert_eq!((pipe.posted(), pipe.settled()), (vec![1], vec![1]));
}

#[test]
fn f4_enq_of_a_new_holder_is_a_bid() {
    for at in 1..length() + 1 {
        let mut pipe = torn(at, 20 * SECOND);
        goes_on(&mut pipe);
        assert_eq!((pipe.posted(), pipe.settled()), (vec![1], vec![1]), "{at}");
        assert!(!pipe.saw(|event| *event == SimEvent::AnswerReplayed), "{at}");
    }
}

#[test]
fn f6_two_write_at_once() {
    for at in 2..length() - 1 {
        let mut pipe = torn(at, Duration::ZERO);
        pipe.say(&[ENQ, 0x02, b'0', b'0']);
        assert!(pipe.saw(is_interleave), "{at}");
        assert_eq!(pipe.posted(), [0; 0], "{at}");
        goes_on(&mut pipe);
        assert_eq!((pipe.posted(), pipe.settled()), (vec![1], vec![1]), "{at}");
    }
}

/// A posts, and has said all but a check that would have been this byte. The maker's id makes up
/// the sum.
fn torn_before_check(check: u8) -> Pipe {
    for letter in b'0'..=b'z' {
        let id = String::from_utf8(vec![letter; 3]).expect("letters");
        let settings = [("check", "sum"), ("property", id.as_str())];
        for n in 1..40 {
            let mut pipe = Pipe::up(&Setting { records: 0, ..Setting::of("hx", &settings) });
            pipe.sit();
            pipe.post(n);
            pipe.run_until_said(2);
            let rest = pipe.pending();
            if rest.last() == Some(&check) {
                pipe.run_until_said(1 + rest.len());
                pipe.leave();
                return pipe;
            }
        }
    }
    panic!("no check is {check:#x}");
}

/// The billing system takes the successor's first byte for the check, and posts: it is the same
/// charge, and comes again with the same number.
#[test]
fn f7_check_is_the_next_ones_first_byte() {
    for first in [0x02, ENQ] {
        let mut pipe = torn_before_check(first);
        pipe.say(&[first]);
        assert_eq!(pipe.posted(), [1]);
        goes_on(&mut pipe);
        assert_eq!((pipe.posted(), pipe.settled()), (vec![1], vec![1]));
    }
}

#[test]
fn f7_another_check_is_refused() {
    let mut pipe = torn(length() - 1, Duration::ZERO);
    pipe.say(&[ENQ]);
    assert!(pipe.saw(|event| matches!(event, SimEvent::BadCheck { .. })));
    goes_on(&mut pipe);
    assert_eq!((pipe.posted(), pipe.settled()), (vec![1], vec![1]));
}

#[test]
fn f8_sender_gave_up() {
    let mut pipe = up();
    pipe.far.end().misbehave(Misdeed::Nak { count: 3 }, pipe.now);
    pipe.post(1);
    pipe.run(20 * SECOND);
    assert!(pipe.notices.contains(&Notice::GaveUp { number: Some(1) }));
    assert_eq!(pipe.posted(), [0; 0]);
    goes_on(&mut pipe);
    assert_eq!((pipe.posted(), pipe.settled()), (vec![1], vec![1]), "the same number, later");
    assert!(!pipe.saw(|event| matches!(event, SimEvent::Gap { .. })));
}
