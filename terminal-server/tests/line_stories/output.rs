//! What goes to the line: whole records, one after the other, each with its acknowledgement.

use bytes::Bytes;
use terminal_server::core::{FrameEnd, LineConfig};
use wire::{Fate, Frame, LastFrame, Output, Written};

use crate::stage::{LEASE, Stage, config, ms, start};

/// A record longer than may be out of hand at once.
const LONG: &[u8; 50] = b"0123456789012345678901234567890123456789012345678\n";

fn written(frames: &[Frame]) -> Vec<(u64, u64)> {
    let position = |frame: &Frame| match frame {
        Frame::Written(Written { accepted, drained }) => Some((*accepted, *drained)),
        _ => None,
    };
    frames.iter().filter_map(position).collect()
}

#[test]
fn output_is_paced_and_told_when_handed_over_and_when_gone() {
    let mut s = Stage::new();
    let (alpha, _) = s.granted("alpha");
    s.output(alpha, 0, LONG, None);
    assert_eq!(s.tty.len(), 20, "twenty milliseconds are out of hand");
    s.pass_renewing(alpha, ms(29));
    assert!(s.tty.len() < 50);
    assert_eq!(written(&s.frames(alpha)), []);
    s.pass_renewing(alpha, ms(61));
    assert_eq!(s.tty, LONG);
    let told = written(&s.frames(alpha));
    let (accepted, drained) = told[0];
    assert!(accepted == 50 && drained < 50, "handed over, in part still in the port: {told:?}");
    assert_eq!(told.last(), Some(&(50, 50)));
}

#[test]
fn an_outputs_ack_takes_effect_only_with_its_last_byte() {
    let mut s = Stage::new();
    let (alpha, _) = s.granted("alpha");
    s.input(b"question");
    s.tty_takes = 49;
    let output = Output {
        position: 0,
        ack: Some(8),
        note: Some(Bytes::from_static(b"answered")),
        bytes: Bytes::from_static(LONG),
    };
    s.send(alpha, Frame::Output(output));
    s.pass_renewing(alpha, ms(200));
    assert_eq!((s.tty.len(), s.acked()), (49, 0));
    s.tty_takes = 1;
    s.settle();
    assert_eq!((s.tty.len(), s.acked()), (50, 8));
    s.close(alpha);
    assert_eq!(&s.granted("beta").1.note[..], b"answered");
}

#[test]
fn i2_a_record_begun_is_finished_and_its_ack_counts_once_for_the_new_holder() {
    let mut s = Stage::new();
    let (alpha, old) = s.granted("alpha");
    s.input(b"question");
    s.output(alpha, 0, LONG, Some(8));
    s.output(alpha, 50, b"never begun", None);
    s.close(alpha);
    let (beta, grant) = s.granted("beta");
    assert_eq!(grant.last, LastFrame { epoch: old.epoch, end: 50, fate: Fate::Finishing });
    assert_eq!((grant.position, grant.acked, grant.delivered), (50, 8, 8), "answered: not again");
    s.output(beta, 50, b"first of beta", None);
    assert_eq!(s.tty.len(), 20, "it queues behind the record being finished");
    s.input(b"more");
    s.pass_renewing(beta, ms(200));
    assert_eq!(s.tty, [&LONG[..], b"first of beta"].concat());
    assert_eq!(s.acked(), 8, "the promised ack did not count again");
}

#[test]
fn i2_a_record_not_begun_is_dropped_with_its_ack() {
    let mut s = Stage::new();
    let (alpha, _) = s.granted("alpha");
    s.input(b"question");
    s.tty_takes = 0;
    s.output(alpha, 0, b"answer", Some(8));
    s.close(alpha);
    s.tty_takes = usize::MAX;
    let (beta, grant) = s.granted("beta");
    assert_eq!((grant.position, grant.acked, grant.last.fate), (0, 0, Fate::None));
    s.pass_renewing(beta, ms(100));
    assert_eq!(s.tty, b"");
    assert_eq!(s.received(beta), (Some(0), b"question".to_vec()));
}

#[test]
fn i2_no_ack_overtakes_the_output_before_it() {
    let mut s = Stage::new();
    let (alpha, _) = s.granted("alpha");
    s.input(b"question");
    s.tty_takes = 0;
    s.output(alpha, 0, b"answer", None);
    s.ack(alpha, 8, Some(b"answered"));
    assert_eq!(s.acked(), 0, "the answer may still be dropped");
    s.close(alpha);
    s.tty_takes = usize::MAX;
    let (beta, grant) = s.granted("beta");
    assert_eq!((grant.acked, &grant.note[..]), (0, &b""[..]));
    s.output(beta, 0, b"answer", None);
    s.ack(beta, 8, None);
    assert_eq!((s.acked(), &s.tty[..]), (8, &b"answer"[..]));
}

#[test]
fn i2_a_record_may_be_cut_by_policy_and_its_ack_dies_with_it() {
    let policy = LineConfig { frame_end: FrameEnd::Cut, ..config() };
    let mut s = Stage::with(policy, start(7));
    let (alpha, _) = s.granted("alpha");
    s.input(b"question");
    s.output(alpha, 0, LONG, Some(8));
    s.close(alpha);
    let (beta, grant) = s.granted("beta");
    assert_eq!(grant.last.fate, Fate::Cut(20));
    assert_eq!((grant.position, grant.acked), (20, 0));
    s.output(beta, 20, b"anew", None);
    s.pass_renewing(beta, ms(100));
    assert_eq!(s.tty, [&LONG[..20], b"anew"].concat());
}

#[test]
fn i2_several_takeovers_during_one_record_change_nothing() {
    let mut s = Stage::new();
    let (alpha, old) = s.granted("alpha");
    s.input(b"question");
    s.output(alpha, 0, LONG, Some(8));
    s.close(alpha);
    for node in ["beta", "gamma"] {
        let (id, grant) = s.granted(node);
        assert_eq!(grant.last, LastFrame { epoch: old.epoch, end: 50, fate: Fate::Finishing });
        assert_eq!((grant.acked, grant.position), (8, 50));
        s.output(id, 50, b"dropped", None);
        s.close(id);
    }
    let (delta, _) = s.granted("delta");
    s.output(delta, 50, b"delta", None);
    s.pass_renewing(delta, ms(200));
    assert_eq!(s.tty, [&LONG[..], b"delta"].concat());
    assert_eq!(s.acked(), 8);
}

#[test]
fn the_window_opens_as_records_are_finished() {
    let mut s = Stage::with(LineConfig { pace: false, ..config() }, start(7));
    let (alpha, _) = s.granted("alpha");
    let record = [0x55; 2048];
    for n in 0..100 {
        s.output(alpha, n * 2048, &record, None);
    }
    assert_eq!(s.line.counters().misuse, 0);
    assert_eq!(s.tty.len(), 100 * 2048);
    assert_eq!(written(&s.frames(alpha)).last(), Some(&(204_800, 204_800)));
}

#[test]
fn a_new_holders_window_is_its_own() {
    let mut s = Stage::new();
    let (alpha, _) = s.granted("alpha");
    s.output(alpha, 0, &[b'a'; 2048], None);
    s.close(alpha);
    s.tty_takes = 0;
    let (beta, grant) = s.granted("beta");
    assert_eq!(grant.position, 2048);
    for n in 1..=4 {
        s.output(beta, n * 2048, &[b'b'; 2048], None);
    }
    assert_eq!(s.line.counters().misuse, 0, "the record being finished is not counted");
}

#[test]
fn a_record_torn_by_a_vanishing_device_is_sent_again_whole() {
    let mut s = Stage::new();
    let (alpha, _) = s.granted("alpha");
    s.input(b"question");
    s.output(alpha, 0, LONG, Some(8));
    assert_eq!(s.tty.len(), 20);
    s.device(false);
    s.pass_renewing(alpha, ms(500));
    assert_eq!((s.tty.len(), s.acked()), (20, 0), "nothing is given to what is not there");
    s.device(true);
    s.pass_renewing(alpha, ms(200));
    assert_eq!(s.tty, [&LONG[..20], LONG].concat());
    assert_eq!(s.acked(), 8);
}

#[test]
fn a_port_that_is_held_back_is_not_believed_to_be_empty() {
    let mut s = Stage::new();
    let (alpha, _) = s.granted("alpha");
    s.tty_takes = 20;
    s.output(alpha, 0, LONG, None);
    s.pass_renewing(alpha, ms(100));
    s.tty_takes = usize::MAX;
    // By the clock all has gone; the port says that it still has everything.
    s.line.handle_port_holds(20, s.now);
    assert_eq!(s.line.poll_serial(s.now), None);
    s.pass_renewing(alpha, ms(100));
    assert_eq!(s.tty, LONG);
}

#[test]
fn a_slow_tty_is_never_given_more_than_twenty_milliseconds_ahead() {
    let mut s = Stage::new();
    let (alpha, _) = s.granted("alpha");
    let began = s.now;
    s.output(alpha, 0, &[b'x'; 1000], None);
    for _ in 0..300 {
        s.pass_renewing(alpha, ms(3));
        let gone = s.now.since(began).as_millis() as usize;
        assert!(s.tty.len() <= gone + 20, "{} after {gone} ms", s.tty.len());
        assert!(s.tty.len() >= gone.min(1000), "the wire must not idle");
    }
    s.pass_renewing(alpha, LEASE);
    assert_eq!(s.tty.len(), 1000);
}
