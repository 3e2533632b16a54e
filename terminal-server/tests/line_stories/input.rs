//! What comes from the line: numbered, kept, replayed, never forgotten unasked.

use terminal_server::core::{LineConfig, Occurrence, Packing};
use wire::frame::{INPUT_WINDOW, MAX_INPUT};
use wire::{EventKind, Frame, FreeCause, LineEvent, LineState};

use crate::stage::{LEASE, Stage, config, ms, start};

fn events(frames: &[Frame]) -> Vec<LineEvent> {
    let event = |frame: &Frame| match frame {
        Frame::Event(event) => Some(*event),
        _ => None,
    };
    frames.iter().filter_map(event).collect()
}

#[test]
fn i3_a_new_holder_starts_at_the_last_acknowledged_offset_and_knows_what_is_in_doubt() {
    let mut s = Stage::new();
    let (alpha, _) = s.granted("alpha");
    s.input(b"one two ");
    s.ack(alpha, 4, Some(b"one is done"));
    s.close(alpha);
    s.input(b"three ");
    let (beta, grant) = s.granted("beta");
    assert_eq!((grant.acked, grant.delivered, grant.end), (4, 8, 14));
    assert_eq!(&grant.note[..], b"one is done");
    assert_eq!(s.received(beta), (Some(4), b"two three ".to_vec()));
    let in_doubt = |o: &Occurrence| match o {
        Occurrence::Granted { in_doubt, .. } => Some(*in_doubt),
        _ => None,
    };
    let doubts: Vec<_> = s.reports.iter().filter_map(in_doubt).collect();
    assert_eq!(doubts, [0, 4]);
}

#[test]
fn i3_input_is_kept_while_nobody_holds_the_line() {
    let mut s = Stage::new();
    s.input(b"before anybody came");
    let (alpha, grant) = s.granted("alpha");
    assert_eq!((grant.acked, grant.delivered, grant.end), (0, 0, 19), "nothing is in doubt");
    assert_eq!(s.received(alpha), (Some(0), b"before anybody came".to_vec()));
}

#[test]
fn an_incarnation_names_the_stream_as_long_as_the_process_lives() {
    let mut s = Stage::new();
    let (alpha, first) = s.granted("alpha");
    s.close(alpha);
    let (_, second) = s.granted("beta");
    assert_eq!(first.incarnation, second.incarnation);
    let (_, other) = Stage::with(config(), start(8)).granted("alpha");
    assert!(other.incarnation > first.incarnation);
}

#[test]
fn a_note_stays_until_it_is_replaced() {
    let mut s = Stage::new();
    let (alpha, _) = s.granted("alpha");
    s.input(b"abc");
    s.ack(alpha, 1, Some(b"first"));
    s.ack(alpha, 2, None);
    s.close(alpha);
    let (beta, grant) = s.granted("beta");
    assert_eq!(&grant.note[..], b"first");
    s.ack(beta, 2, Some(b""));
    s.close(beta);
    assert_eq!(&s.granted("alpha").1.note[..], b"", "an empty note is a note");
}

#[test]
fn input_in_flight_has_a_window_and_each_acknowledgement_opens_it() {
    let mut s = Stage::new();
    let (alpha, _) = s.granted("alpha");
    let line: Vec<u8> = (0..INPUT_WINDOW + 10_000).map(|n| n as u8).collect();
    s.input(&line);
    let (first, got) = s.received(alpha);
    assert_eq!((first, got.len() as u64), (Some(0), INPUT_WINDOW));
    s.ack(alpha, 6_000, None);
    let (first, more) = s.received(alpha);
    assert_eq!((first, more.len()), (Some(INPUT_WINDOW), 6_000));
    s.ack(alpha, INPUT_WINDOW, None);
    let (_, rest) = s.received(alpha);
    assert_eq!([got, more, rest].concat(), line);
}

#[test]
fn control_frames_overtake_input() {
    let mut s = Stage::new();
    let (alpha, grant) = s.granted("alpha");
    s.blocked.insert(alpha);
    s.input(&[b'x'; 3 * MAX_INPUT]);
    s.output(alpha, 0, b"record", None);
    s.send(alpha, Frame::Renew(1));
    s.blocked.clear();
    s.settle();
    let names: Vec<_> = s.frames(alpha).iter().map(Frame::name).collect();
    assert_eq!(names, ["RENEWED", "WRITTEN", "INPUT", "INPUT", "INPUT"]);

    s.blocked.insert(alpha);
    s.input(&[b'y'; MAX_INPUT]);
    s.pass(LEASE);
    s.blocked.clear();
    s.settle();
    let frames = s.frames(alpha);
    let [Frame::Revoked(revoked)] = &frames[..] else { panic!("{frames:?}") };
    assert_eq!(revoked.epoch, grant.epoch, "and what is not the holder's any more stays here");
}

#[test]
fn only_the_newest_renewal_needs_an_answer() {
    let mut s = Stage::new();
    let (alpha, _) = s.granted("alpha");
    s.blocked.insert(alpha);
    (1..=1000).for_each(|n| s.send(alpha, Frame::Renew(n)));
    s.blocked.clear();
    s.settle();
    assert_eq!(s.frames(alpha), [Frame::Renewed(1000)]);
}

#[test]
fn a_full_ring_loses_the_oldest_and_the_next_holder_is_told_what() {
    let mut s = Stage::with(LineConfig { ring: 16, ..config() }, start(7));
    s.input(b"0123456789");
    s.input(b"0123456789");
    assert_eq!(s.line.counters().bytes_lost, 4);
    assert_eq!(s.reports, [Occurrence::Lost { total: 4 }]);
    let (alpha, grant) = s.granted("alpha");
    assert_eq!((grant.acked, grant.end), (4, 20));
    let frames = s.frames(alpha);
    assert_eq!(events(&frames), [LineEvent { offset: 4, kind: EventKind::Gap(4) }]);
    let Some(Frame::Input(input)) = frames.last() else { panic!("{frames:?}") };
    assert_eq!((input.offset, &input.bytes[..]), (4, &b"4567890123456789"[..]));
    s.close(alpha);
    let (beta, _) = s.granted("beta");
    assert_eq!(events(&s.frames(beta)).len(), 1, "until somebody acknowledges beyond it");
    s.ack(beta, 5, None);
    s.close(beta);
    let (gamma, _) = s.granted("gamma");
    assert_eq!(events(&s.frames(gamma)), []);
}

#[test]
fn a_ring_that_overflows_under_a_holder_tells_it_at_once() {
    let mut s = Stage::with(LineConfig { ring: 16, ..config() }, start(7));
    let (alpha, _) = s.granted("alpha");
    s.input(b"0123456789");
    s.input(b"0123456789");
    let frames = s.frames(alpha);
    assert_eq!(events(&frames), [LineEvent { offset: 4, kind: EventKind::Gap(4) }]);
    s.ack(alpha, 20, None);
    assert_eq!(s.line.counters().misuse, 0, "what it was sent it may acknowledge");
}

#[test]
fn a_line_that_can_be_throttled_loses_nothing() {
    let mut s = Stage::with(LineConfig { ring: 16, flow_control: true, ..config() }, start(7));
    assert!(s.line.wants_input());
    s.input(b"0123456789ab");
    assert!(!s.line.wants_input());
    let (alpha, _) = s.granted("alpha");
    s.ack(alpha, 3, None);
    assert!(!s.line.wants_input(), "hysteresis");
    s.ack(alpha, 4, None);
    assert!(s.line.wants_input());
    assert_eq!(s.line.counters().bytes_lost, 0);
}

#[test]
fn a_line_that_cannot_be_throttled_is_always_read() {
    let mut s = Stage::with(LineConfig { ring: 16, ..config() }, start(7));
    s.input(&[b'x'; 100]);
    assert!(s.line.wants_input());
}

#[test]
fn a_vanished_device_is_the_lines_event_and_not_the_holders_difficulty() {
    let mut s = Stage::new();
    let (alpha, grant) = s.granted("alpha");
    s.input(b"ab");
    let before = s.announced;
    s.device(false);
    assert!(!s.line.status(s.now).up);
    assert!(s.announced > before);
    s.device(false);
    s.pass_renewing(alpha, ms(1000));
    s.device(true);
    s.input(b"cd");
    let frames = s.frames(alpha);
    let down = LineEvent { offset: 2, kind: EventKind::Down };
    let up = LineEvent { offset: 2, kind: EventKind::Up };
    assert_eq!(events(&frames), [down, up], "once each");
    let status = s.line.status(s.now);
    assert_eq!((status.up, status.state, status.epoch), (true, LineState::Held, grant.epoch));
    s.close(alpha);
    let (beta, _) = s.granted("beta");
    assert_eq!(events(&s.frames(beta)), [down, up], "the next holder learns of it too");
}

#[test]
fn an_event_has_its_exact_place_between_the_bytes() {
    let mut s = Stage::new();
    let (alpha, _) = s.granted("alpha");
    s.blocked.insert(alpha);
    s.input(b"ab");
    s.device(false);
    s.device(true);
    s.input(b"cd");
    s.blocked.clear();
    s.settle();
    let names: Vec<_> = s.frames(alpha).iter().map(Frame::name).collect();
    assert_eq!(names, ["INPUT", "EVENT", "EVENT", "INPUT"]);
}

#[test]
fn an_older_acknowledgement_changes_nothing() {
    let mut s = Stage::new();
    let (alpha, _) = s.granted("alpha");
    s.input(b"abcdef");
    s.ack(alpha, 4, None);
    s.ack(alpha, 2, None);
    assert_eq!(s.acked(), 4);
    s.close(alpha);
    assert_eq!(s.line.status(s.now).state, LineState::Free(FreeCause::Closed));
    assert_eq!(s.granted("beta").1.acked, 4);
}

#[test]
fn packed_input_reaches_every_kind_of_client_in_packets() {
    let packing = Packing { idle: Some(ms(5)), delimiter: Some(b'\r'), ..Packing::default() };
    let mut s = Stage::with(LineConfig { packing, ..config() }, start(7));
    let (alpha, _) = s.granted("alpha");
    let raw = s.connect_raw();
    s.input(b"ab");
    assert_eq!((s.received(alpha).1, s.heard(raw)), (Vec::new(), Vec::new()));
    s.input(b"c\rd");
    assert_eq!((s.received(alpha).1, s.heard(raw)), (b"abc\r".to_vec(), b"abc\r".to_vec()));
    assert_eq!(s.line.poll_timeout(), Some(s.now + ms(5)));
    s.pass(ms(5));
    assert_eq!((s.received(alpha).1, s.heard(raw)), (b"d".to_vec(), b"d".to_vec()));
}
