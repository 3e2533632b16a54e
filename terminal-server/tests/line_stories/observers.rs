//! Observers: any number, never in the way of the line or its holder.

use terminal_server::core::{ClientId, LineConfig, ObserverLag};
use wire::handshake::{self, Transcript};
use wire::{EventKind, Frame, Hello, LineEvent, Nonce, Observe, ObserveFrom};

use crate::stage::{Stage, config, ms, start};

/// Connects and observes with the line's key.
fn observe(s: &mut Stage, from: ObserveFrom) -> (ClientId, u64) {
    let id = s.connect();
    let hello = Hello { min: 1, max: 2, nonce: Nonce([9; 16]), line: "pms".parse().unwrap() };
    s.send(id, Frame::Hello(hello.clone()));
    let [Frame::Welcome(welcome)] = &s.frames(id)[..] else { panic!("no WELCOME") };
    let observe = Observe {
        group: "crew".parse().unwrap(),
        node: "watcher".parse().unwrap(),
        from,
        key_id: 0,
        mac: [0; 32],
    };
    let observe = Transcript::new(&hello, welcome).sign_observe(&s.key, observe);
    s.line.handle_frame(id, Frame::Observe(observe.clone()), s.now);
    let Some(Frame::Observing(observing)) = s.line.poll_frame(id, s.now) else {
        panic!("not observing")
    };
    assert!(handshake::verify_observing(&s.key, &observe.mac, &observing));
    s.settle();
    (id, observing.offset)
}

#[test]
fn an_observer_begins_live_at_the_oldest_or_at_any_kept_offset() {
    let mut s = Stage::with(LineConfig { history: 4, ..config() }, start(7));
    let (alpha, grant) = s.granted("alpha");
    s.input(b"0123456789");
    s.ack(alpha, 8, None);
    let incarnation = grant.incarnation;
    let at = |offset| ObserveFrom::At { incarnation, offset };
    for (from, offset, sees) in [
        (ObserveFrom::Live, 10, &b""[..]),
        (ObserveFrom::Oldest, 4, &b"456789"[..]),
        (at(6), 6, &b"6789"[..]),
        (at(0), 4, &b"456789"[..]),
        (at(99), 10, &b""[..]),
        (ObserveFrom::At { incarnation: 1, offset: 6 }, 4, &b"456789"[..]),
    ] {
        let (id, begins) = observe(&mut s, from);
        assert_eq!(begins, offset, "{from:?}");
        assert_eq!(s.received(id).1, sees, "{from:?}");
    }
    assert_eq!(s.acked(), 8);
}

#[test]
fn observing_takes_the_lines_key() {
    let mut s = Stage::new();
    let id = s.connect();
    s.hello(id);
    let observe = Observe {
        group: "crew".parse().unwrap(),
        node: "spy".parse().unwrap(),
        from: ObserveFrom::Oldest,
        key_id: 0,
        mac: [7; 32],
    };
    s.input(b"secret");
    s.send(id, Frame::Observe(observe));
    assert!(matches!(s.frames(id)[..], [Frame::Error(..)]));
    assert_eq!(s.line.counters().refused_stranger, 1);
}

#[test]
fn a_slow_observer_never_slows_the_holder_and_is_told_what_it_missed() {
    let mut s = Stage::with(LineConfig { ring: 64, history: 16, ..config() }, start(7));
    let (alpha, _) = s.granted("alpha");
    let (slow, _) = observe(&mut s, ObserveFrom::Live);
    s.blocked.insert(slow);
    for round in 0..100_u64 {
        s.input(&[b'x'; 50]);
        assert_eq!(s.received(alpha).1.len(), 50);
        s.ack(alpha, (round + 1) * 50, None);
    }
    assert_eq!(s.line.counters().bytes_lost, 0);
    s.blocked.remove(&slow);
    s.settle();
    let frames = s.frames(slow);
    let gap = Frame::Event(LineEvent { offset: 4984, kind: EventKind::Gap(4984) });
    assert_eq!(frames[0], gap);
    let Frame::Input(input) = &frames[1] else { panic!("{frames:?}") };
    assert_eq!((input.offset, input.bytes.len()), (4984, 16));
    assert_eq!(s.line.counters().bytes_missed, 4984);
}

#[test]
fn a_slow_observer_is_closed_where_the_line_says_so() {
    let lag = LineConfig { ring: 64, history: 16, observer_lag: ObserverLag::Close, ..config() };
    let mut s = Stage::with(lag, start(7));
    let raw = s.connect_raw();
    s.blocked.insert(raw);
    for _ in 0..3 {
        s.input(&[b'x'; 50]);
    }
    s.blocked.remove(&raw);
    s.settle();
    assert!(s.dropped.contains(&raw));
    assert_eq!(s.line.counters().lagging, 1);
}

#[test]
fn events_reach_holder_and_observers_at_their_offsets() {
    let mut s = Stage::new();
    let (alpha, _) = s.granted("alpha");
    let (watcher, _) = observe(&mut s, ObserveFrom::Live);
    s.blocked.extend([alpha, watcher]);
    s.input(b"ab");
    s.line.handle_event(EventKind::Break, s.now);
    s.input(b"cd");
    s.line.handle_event(EventKind::Parity, s.now);
    s.input(b"e");
    s.blocked.clear();
    s.settle();
    for id in [alpha, watcher] {
        let seen: Vec<String> = s.frames(id).iter().map(short).collect();
        assert_eq!(seen, ["ab", "Break@2", "cd", "Parity@4", "e"]);
    }
    let (late, _) = observe(&mut s, ObserveFrom::Oldest);
    let seen: Vec<String> = s.frames(late).iter().map(short).collect();
    assert_eq!(seen, ["ab", "Break@2", "cd", "Parity@4", "e"], "in the history too");
}

fn short(frame: &Frame) -> String {
    match frame {
        Frame::Input(input) => String::from_utf8_lossy(&input.bytes).into_owned(),
        Frame::Event(event) => format!("{:?}@{}", event.kind, event.offset),
        other => other.name().to_owned(),
    }
}

#[test]
fn who_has_asked_for_the_wires_is_told_of_every_change() {
    let mut s = Stage::new();
    let (watcher, _) = observe(&mut s, ObserveFrom::Live);
    s.line.handle_signals(wire::Signals::CTS, s.now);
    s.settle();
    assert!(s.frames(watcher).is_empty(), "who has not asked is not told");
    s.send(watcher, Frame::SetSignals(wire::SignalChange::default()));
    assert_eq!(s.frames(watcher), [Frame::Signals(wire::Signals::CTS)]);
    s.line.handle_signals(wire::Signals::DSR, s.now);
    s.settle();
    assert_eq!(s.frames(watcher), [Frame::Signals(wire::Signals::DSR)]);
    s.pass(ms(60_000));
    assert!(s.frames(watcher).is_empty() && !s.dropped.contains(&watcher));
}
