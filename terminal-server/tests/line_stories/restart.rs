//! A clean stop leaves everything to the next start; a kill is not hidden.

use terminal_server::core::{LineConfig, Start};
use wire::{
    Epoch, EventKind, Fate, Frame, FreeCause, LineEvent, LineState, RefuseWhy, RevokeWhy, Revoked,
};

use crate::stage::{LEASE, Stage, config, ms};

fn stop(s: &mut Stage) {
    s.line.handle_stop(s.now);
    s.settle();
}

#[test]
fn a_clean_stop_and_start_lose_nothing() {
    let mut s = Stage::new();
    let (alpha, before) = s.granted("alpha");
    s.input(b"one two three");
    s.frames(alpha);
    s.output(alpha, 0, b"answer", Some(4));
    s.ack(alpha, 4, Some(b"one is done"));
    s.pass(ms(50));
    stop(&mut s);
    let frames = s.frames(alpha);
    let revoked = Revoked { epoch: before.epoch, why: RevokeWhy::Stopping };
    assert_eq!(frames.last(), Some(&Frame::Revoked(revoked)));
    assert!(s.line.is_stopped());

    let mut s = Stage::restarted(config(), 8, s.line.save());
    let (alpha, after) = s.granted("alpha");
    assert_eq!(after.incarnation, before.incarnation, "the same stream goes on");
    assert_eq!((after.acked, after.delivered, after.end), (4, 13, 13));
    assert_eq!((after.position, after.last.fate), (6, Fate::Finished));
    assert_eq!(&after.note[..], b"one is done");
    assert!(after.epoch > before.epoch);
    assert_eq!(after.epoch, Epoch::new(8, 1));
    assert_eq!(s.received(alpha), (Some(4), b"two three".to_vec()));
}

#[test]
fn after_a_restart_the_last_holder_is_preferred_for_one_lease() {
    let mut s = Stage::new();
    s.granted("alpha");
    stop(&mut s);
    let saved = s.line.save();
    let mut s = Stage::restarted(config(), 8, saved.clone());
    let status = s.line.status(s.now);
    assert_eq!(status.state, LineState::Free(FreeCause::Restarted));
    assert_eq!((status.reserved_for, status.left_ms), ("alpha".parse().ok(), 400));
    let refuse = s.refused("beta");
    assert_eq!((refuse.why, refuse.retry_ms), (RefuseWhy::Reserved, 400));
    s.granted("alpha");

    let mut s = Stage::restarted(config(), 8, saved);
    s.pass(LEASE);
    s.granted("beta");
}

#[test]
fn a_stop_finishes_the_record_that_was_begun() {
    let mut s = Stage::new();
    let (alpha, _) = s.granted("alpha");
    s.input(b"question");
    s.output(alpha, 0, &[b'x'; 50], Some(8));
    s.output(alpha, 50, b"not begun", None);
    stop(&mut s);
    assert!(!s.line.is_stopped());
    s.pass(ms(100));
    assert!(s.line.is_stopped());
    assert_eq!(s.tty, [b'x'; 50]);
    let saved = s.line.save();
    assert_eq!((saved.acked, saved.position, saved.last.fate), (8, 50, Fate::Finished));
}

#[test]
fn a_stop_does_not_wait_for_a_device_that_is_not_there() {
    let mut s = Stage::new();
    let (alpha, _) = s.granted("alpha");
    s.output(alpha, 0, &[b'x'; 50], None);
    s.device(false);
    stop(&mut s);
    assert!(s.line.is_stopped());
}

#[test]
fn nobody_is_granted_a_line_that_is_stopping() {
    let mut s = Stage::new();
    let early = s.connect();
    s.hello(early);
    let claim = s.claim(early, "alpha", 1, Epoch::NONE);
    stop(&mut s);
    s.send(early, Frame::Claim(claim));
    let frames = s.frames(early);
    let [Frame::Refuse(refuse)] = &frames[..] else { panic!("{frames:?}") };
    assert_eq!(refuse.why, RefuseWhy::Stopping);
    assert!(!s.line.wants_input(), "what comes now is for the next start");
}

#[test]
fn a_kill_is_a_new_stream_with_a_gap_of_unknown_size() {
    let (_, before) = Stage::new().granted("alpha");
    let killed = Start { number: 8, saved: None, unclean: true };
    let mut s = Stage::with(config(), killed);
    s.input(b"fresh");
    let (id, after) = s.granted("beta");
    assert!(after.incarnation > before.incarnation && after.epoch > before.epoch);
    assert_eq!((after.acked, after.end), (0, 5));
    let frames = s.frames(id);
    let gap = LineEvent { offset: 0, kind: EventKind::Gap(u64::MAX) };
    assert_eq!(frames[0], Frame::Event(gap));
    assert!(matches!(&frames[1], Frame::Input(input) if input.offset == 0));
}

#[test]
fn i5_epochs_grow_over_any_number_of_restarts() {
    let mut last = Epoch::NONE;
    let mut saved = None;
    for number in 1..20 {
        let mut s = Stage::with(config(), Start { number, saved, unclean: false });
        for _ in 0..number {
            let (_, grant) = s.granted("alpha");
            assert!(grant.epoch > last);
            last = grant.epoch;
        }
        stop(&mut s);
        saved = Some(s.line.save());
    }
}

#[test]
fn input_that_comes_during_the_stop_is_saved_too() {
    let mut s = Stage::new();
    stop(&mut s);
    s.input(b"late");
    assert_eq!(&s.line.save().bytes[..], b"late");
}

#[test]
fn a_gap_and_a_smaller_ring_survive_a_restart() {
    let mut s = Stage::with(LineConfig { ring: 16, ..config() }, crate::stage::start(7));
    s.input(b"01234567890123456789");
    stop(&mut s);
    let smaller = LineConfig { ring: 8, ..config() };
    let mut s = Stage::restarted(smaller, 8, s.line.save());
    s.input(b"!");
    let (id, grant) = s.granted("alpha");
    assert_eq!((grant.acked, grant.end), (13, 21));
    let gap = LineEvent { offset: 13, kind: EventKind::Gap(13) };
    assert_eq!(s.frames(id)[0], Frame::Event(gap));
}

#[test]
fn a_port_that_keeps_nothing_was_gone_for_the_time_of_a_restart() {
    let config = LineConfig { keeps_when_closed: false, ..config() };
    let mut s = Stage::with(config.clone(), crate::stage::start(7));
    s.input(b"before");
    stop(&mut s);
    let mut s = Stage::restarted(config, 8, s.line.save());
    s.input(b"after");
    let (id, _) = s.granted("alpha");
    let events: Vec<_> =
        s.frames(id).into_iter().filter(|f| matches!(f, Frame::Event(_))).collect();
    let event = |kind| Frame::Event(LineEvent { offset: 6, kind });
    assert_eq!(events, [event(EventKind::Down), event(EventKind::Up)]);
}

#[test]
fn a_device_that_came_back_during_a_restart_is_told_to_be_back() {
    let mut s = Stage::new();
    s.input(b"before");
    s.device(false);
    stop(&mut s);
    let mut s = Stage::restarted(config(), 8, s.line.save());
    s.input(b"after");
    let (id, _) = s.granted("alpha");
    let events: Vec<_> =
        s.frames(id).into_iter().filter(|f| matches!(f, Frame::Event(_))).collect();
    let event = |kind| Frame::Event(LineEvent { offset: 6, kind });
    assert_eq!(events, [event(EventKind::Down), event(EventKind::Up)]);
}

#[test]
fn a_state_that_was_put_back_never_names_two_bytes_alike() {
    let mut s = Stage::new();
    let (alpha, before) = s.granted("alpha");
    s.close(alpha);
    // A claim from later than our state: what this stream is called was in use before.
    let id = s.connect();
    s.hello(id);
    let claim = s.claim(id, "beta", 2, Epoch::new(9, 4));
    s.send(id, Frame::Claim(claim));
    s.line.handle_stored(10, s.now);
    s.settle();
    let frames = s.frames(id);
    let Some(Frame::Grant(after)) = frames.first() else { panic!("{frames:?}") };
    assert!(after.incarnation > before.incarnation);
    assert!(matches!(
        frames.get(1),
        Some(Frame::Event(LineEvent { kind: EventKind::Gap(u64::MAX), .. }))
    ));
}
