//! `cable`: the billing system sends commands and waits for responses.

use std::time::Duration;

use billing::{Misdeed, SimEvent, Write};
use linekeeper_tests::takeover::Pipe;

use super::seen::quiet;

const SECOND: Duration = Duration::from_secs(1);

/// A is there, and command 1 begins to come.
fn commanded() -> Pipe {
    let mut pipe = Pipe::up(&quiet("cable"));
    pipe.sit();
    let now = pipe.now;
    pipe.far.send(1, now);
    pipe
}

fn received(pipe: &Pipe) -> usize {
    let mut starts: Vec<_> = pipe
        .writes
        .iter()
        .filter_map(|write| match write {
            Write::Receive(record) if record.handled_by == billing::gateway::HandledBy::Handler => {
                Some(record.start)
            }
            _ => None,
        })
        .collect();
    starts.sort_unstable();
    starts.dedup();
    starts.len()
}

fn answers(pipe: &Pipe) -> usize {
    let answer = |event: &&SimEvent| matches!(event, SimEvent::Answered { serial: 1, .. });
    pipe.far.events.iter().filter(answer).count()
}

/// The command was carried out once, and answered once.
fn is_done_once(pipe: &mut Pipe, what: &str) {
    pipe.run(200 * SECOND);
    assert_eq!((received(pipe), answers(pipe)), (1, 1), "{what}: {:?}", pipe.far.events);
}

/// All that A says in a conversation without a fault.
fn said() -> usize {
    let mut pipe = commanded();
    pipe.run(5 * SECOND);
    pipe.said().len()
}

#[test]
fn f1_half_frame_then_silence() {
    // A dies answering.
    for at in 0..said() {
        let mut pipe = commanded();
        pipe.run_until_said(at);
        pipe.leave();
        pipe.run(6 * SECOND);
        pipe.sit();
        is_done_once(&mut pipe, &format!("said {at}"));
    }
}

#[test]
fn f2_half_frame_then_the_next_ones_bytes() {
    let mut whole = commanded();
    let first = whole.heard().len();
    whole.run_until_said(3);
    // From its bid to the byte before its check.
    for at in 1..whole.heard().len() - first {
        // A dies reading; what came meanwhile is lost, and B sees a tail.
        let mut pipe = commanded();
        while pipe.heard().len() < first + at {
            pipe.run(Duration::from_millis(1));
        }
        pipe.forget();
        pipe.sit();
        is_done_once(&mut pipe, &format!("heard {at}"));
    }
}

#[test]
fn f3_answer_lost_and_sent_again() {
    for count in 1..4 {
        let mut pipe = Pipe::up(&quiet("cable"));
        let now = pipe.now;
        pipe.far.end().misbehave(Misdeed::DropAnswers { count }, now);
        pipe.far.send(1, now);
        is_done_once(&mut pipe, &format!("{count} answers dropped"));
    }
}

#[test]
fn f4_enq_of_a_new_holder_is_a_bid() {
    for at in 0..said() {
        let mut pipe = commanded();
        pipe.run_until_said(at);
        pipe.sit();
        is_done_once(&mut pipe, &format!("said {at}"));
        assert!(!pipe.saw(|event| *event == SimEvent::AnswerReplayed), "{at}");
    }
}

#[test]
fn f5_response_lost() {
    // The response goes out, and nobody hears it: the command comes again after 30 s.
    for at in 3..said() {
        let mut pipe = commanded();
        pipe.run_until_said(at);
        pipe.leave();
        pipe.run(35 * SECOND);
        pipe.sit();
        is_done_once(&mut pipe, &format!("said {at}"));
    }
}

#[test]
fn f6_two_responses_for_one_number() {
    let mut pipe = commanded();
    pipe.run(5 * SECOND);
    let done = answers(&pipe);
    pipe.leave();
    // The old one comes back and says it again.
    pipe.say(b"\x05");
    pipe.run(SECOND);
    pipe.say(b"\x02000001 OK\x03\x26");
    pipe.run(20 * SECOND);
    assert_eq!((done, answers(&pipe)), (1, 1), "{:?}", pipe.far.events);
}

#[test]
fn f7_check_is_the_next_ones_first_byte() {
    let whole = said();
    for first in [0x02, 0x05] {
        for at in 3..whole {
            let mut pipe = commanded();
            pipe.run_until_said(at);
            pipe.leave();
            pipe.say(&[first]);
            pipe.sit();
            is_done_once(&mut pipe, &format!("said {at}, then {first:#x}"));
        }
    }
}

#[test]
fn f8_sender_gave_up() {
    let mut pipe = Pipe::up(&quiet("cable"));
    pipe.leave();
    let now = pipe.now;
    pipe.far.send(1, now);
    pipe.run(400 * SECOND);
    assert!(pipe.saw(|event| matches!(event, SimEvent::GaveUp { serial: 1 })));
    assert_eq!(received(&pipe), 0);
}
