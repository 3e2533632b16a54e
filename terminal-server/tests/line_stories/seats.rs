//! Who may hold: one rule over all kinds of client.

use terminal_server::core::{ClientKind, LineConfig, OnBusy};
use wire::{Frame, LineState, ObserveFrom, RefuseWhy};

use crate::stage::{Stage, config, ms, start};

fn open_line(on_busy: OnBusy) -> Stage {
    Stage::with(LineConfig { groups: Vec::new(), on_busy, ..config() }, start(7))
}

const KINDS: [ClientKind; 2] = [ClientKind::Raw, ClientKind::Telnet];

#[test]
fn i1_the_second_plain_client_is_refused_observes_or_replaces_by_policy() {
    for kind in KINDS {
        let mut s = open_line(OnBusy::Refuse);
        let first = s.connect_raw();
        let second = s.connect_as(kind);
        assert!(s.dropped.contains(&second) && !s.dropped.contains(&first));

        let mut s = open_line(OnBusy::Observe);
        let first = s.connect_raw();
        let second = s.connect_as(kind);
        s.say(second, b"unheard");
        s.say(first, b"heard");
        assert_eq!(s.tty, b"heard");
        s.input(b"in");
        assert_eq!(s.heard(first), b"in");
        assert!(s.heard(second).ends_with(b"in"));

        let mut s = open_line(OnBusy::Replace);
        let first = s.connect_raw();
        let second = s.connect_as(kind);
        assert!(s.dropped.contains(&first), "at once, dead or not");
        s.say(second, b"new");
        assert_eq!((&s.tty[..], s.line.counters().replaced), (&b"new"[..], 1));
        s.line.handle_closed(first, s.now);
        assert_eq!(s.line.status(s.now).state, LineState::Held, "its end ends no grant");
    }
}

#[test]
fn a_line_with_keys_lets_plain_clients_hold_only_if_it_says_so() {
    for raw_may_hold in [false, true] {
        let mut s = Stage::with(LineConfig { raw_may_hold, ..config() }, start(7));
        let raw = s.connect_raw();
        s.say(raw, b"x");
        assert_eq!(s.tty.len(), usize::from(raw_may_hold));
    }
}

#[test]
fn i1_a_claim_outranks_a_plain_holder_and_closes_it() {
    let mut s = Stage::with(LineConfig { raw_may_hold: true, ..config() }, start(7));
    let raw = s.connect_raw();
    s.input(b"before");
    assert_eq!(s.heard(raw), b"before");
    let (alpha, grant) = s.granted("alpha");
    assert!(s.dropped.contains(&raw));
    assert_eq!((grant.acked, grant.end), (0, 6), "it took nothing away from the node");
    s.output(alpha, grant.position, b"mine", None);
    assert_eq!(s.tty, b"mine");
    let late = s.connect_raw();
    s.say(late, b"not me");
    assert_eq!(s.tty, b"mine", "nor does one outrank a node");
}

#[test]
fn kept_input_is_for_a_plain_client_that_comes_soon() {
    let raw_keep = ms(5000);
    for (wait, expected) in [(ms(4900), &b"kept"[..]), (ms(5100), &b""[..])] {
        let mut s = open_line(OnBusy::Refuse);
        s.pass(ms(60_000));
        let first = s.connect_raw();
        s.close(first);
        s.input(b"kept");
        s.pass(wait);
        let second = s.connect_raw();
        assert_eq!(s.heard(second), expected, "after {wait:?} of {raw_keep:?}");
        s.input(b"live");
        assert_eq!(s.heard(second), b"live");
        let expired = if expected.is_empty() { 4 } else { 0 };
        assert_eq!(s.line.counters().bytes_expired, expired);
    }
}

#[test]
fn a_console_observes_or_holds_what_nobody_holds() {
    let mut s = Stage::new();
    let console = |hold| ClientKind::Console { hold, from: ObserveFrom::Oldest };
    s.input(b"kept");
    let watcher = s.connect_as(console(false));
    let frames = s.frames(watcher);
    let [Frame::Observing(observing), Frame::Settings(_), Frame::Signals(_), Frame::Input(input)] =
        &frames[..]
    else {
        panic!("{frames:?}")
    };
    assert_eq!((observing.offset, &input.bytes[..]), (0, &b"kept"[..]));
    let holder = s.connect_as(console(true));
    let Frame::Grant(grant) = s.frames(holder).remove(0) else { panic!("no grant") };
    assert_eq!(grant.lease_ms, 0);
    s.output(holder, grant.position, b"typed", None);
    assert_eq!(s.tty, b"typed");
    let second = s.connect_as(console(true));
    let Frame::Refuse(refuse) = s.frames(second).remove(0) else { panic!("no refusal") };
    assert_eq!(refuse.why, RefuseWhy::Held);
    assert!(s.finished.contains(&second));
    s.granted("alpha");
    assert!(s.dropped.contains(&holder), "a node outranks it");
}

#[test]
fn a_node_finds_room_where_plain_observers_have_taken_it_all() {
    let mut s = Stage::with(LineConfig { max_clients: 4, ..config() }, start(7));
    let observers: Vec<_> = (0..4).map(|_| s.connect_raw()).collect();
    let fifth = s.connect_raw();
    assert!(s.dropped.contains(&fifth), "they keep each other out");
    s.granted("alpha");
    assert!(s.dropped.contains(&observers[0]), "the oldest gives way to a node");
    assert!(!s.dropped.contains(&observers[1]));
}

#[test]
fn who_is_told_that_the_line_is_full_leaves_no_room_behind() {
    let mut s = Stage::with(LineConfig { max_clients: 4, ..config() }, start(7));
    let id = s.connect();
    s.hello(id);
    let claim = s.claim(id, "alpha", 1, wire::Epoch::NONE);
    s.send(id, Frame::Claim(claim));
    let console = ClientKind::Console { hold: false, from: ObserveFrom::Live };
    let others: Vec<_> = (0..3).map(|_| s.connect_as(console)).collect();
    for _ in 0..5 {
        for kind in [console, ClientKind::Telnet, ClientKind::Raw] {
            let id = s.connect_as(kind);
            assert!(s.dropped.contains(&id) || s.finished.contains(&id));
        }
    }
    assert!(others.iter().all(|id| !s.dropped.contains(id)));
    assert!(s.line.clients().count() <= 5);
    assert_eq!(s.line.counters().full, 15);
}

#[test]
fn a_kicked_holder_frees_the_line() {
    let mut s = open_line(OnBusy::Refuse);
    let first = s.connect_raw();
    assert!(s.line.kick(first, s.now));
    s.settle();
    assert!(s.dropped.contains(&first));
    assert!(!s.line.kick(first, s.now));
    let second = s.connect_raw();
    assert!(!s.dropped.contains(&second));
}

#[test]
fn a_line_kept_for_a_node_is_not_taken_by_who_has_no_key() {
    let mut s = Stage::with(LineConfig { raw_may_hold: true, ..config() }, start(7));
    let (alpha, _) = s.granted("alpha");
    s.send(alpha, Frame::Release("beta".parse().ok()));
    let raw = s.connect_raw();
    let console = s.connect_as(ClientKind::Console { hold: true, from: ObserveFrom::Live });
    s.say(raw, b"x");
    assert!(s.tty.is_empty() && s.finished.contains(&console));
    assert_eq!(s.refused("gamma").why, RefuseWhy::Reserved);
    s.granted("beta");
}
