//! What a client is told of its own accord.

use wire::EventKind;

use super::rig::*;

#[test]
fn m1_the_modem_state_has_levels_and_what_changed() {
    let mut rig = Rig::agreed();
    // CTS and DSR are on, and told. DTR is ours and no news.
    for (levels, value) in [
        (Signals::CTS, 0x12),
        (Signals::CTS | Signals::RI, 0x50),
        (Signals::RI | Signals::DCD, 0xc9),
        (Signals::DCD, 0x84),
        (Signals::NONE, 0x08),
    ] {
        rig.session.handle_signals(levels);
        assert_eq!(rig.hear(), [Heard::Port(Command::ModemState(value))], "{levels:?}");
    }
    rig.session.handle_signals(Signals::DTR | Signals::RTS);
    assert_eq!(rig.hear(), []);
}

#[test]
fn m1_line_errors_have_their_bits() {
    let mut rig = Rig::agreed();
    rig.ask(Command::LineStateMask(Some(255)));
    for (kind, bits) in [
        (EventKind::Overrun, 2),
        (EventKind::Gap(9), 2),
        (EventKind::Parity, 4),
        (EventKind::Framing, 8),
        (EventKind::Break, 16),
    ] {
        rig.session.handle_event(kind);
        assert_eq!(rig.hear(), [Heard::Port(Command::LineState(bits))], "{kind:?}");
    }
    rig.session.handle_event(EventKind::Down);
    rig.session.handle_event(EventKind::Up);
    assert_eq!(rig.hear(), []);
}

#[test]
fn m2_the_mask_chooses() {
    let mut rig = Rig::agreed();
    let told = |rig: &mut Rig, mask, from: Signals, to: Signals| {
        rig.session.handle_signals(from);
        rig.ask(Command::ModemStateMask(Some(mask)));
        rig.session.handle_signals(to);
        rig.hear()
    };
    let value = |value| [Heard::Port(Command::ModemState(value))];
    let (none, cts, dcd) = (Signals::NONE, Signals::CTS, Signals::DCD);
    assert_eq!(told(&mut rig, 0x01, none, cts), value(0x11), "one message with all bits");
    assert_eq!(told(&mut rig, 0x01, none, dcd), []);
    assert_eq!(told(&mut rig, 0x10, none, cts), value(0x11));
    assert_eq!(told(&mut rig, 0x10, cts, none), value(0x01), "a fall is told, too");
    assert_eq!(told(&mut rig, 0xf0, dcd, none), value(0x08));
    assert_eq!(told(&mut rig, 0, none, Signals::ALL), [], "a mask of 0 is silence");
    rig.ask(Command::LineStateMask(Some(16)));
    rig.session.handle_event(EventKind::Parity);
    assert_eq!(rig.hear(), []);
    rig.session.handle_event(EventKind::Break);
    assert_eq!(rig.hear(), [Heard::Port(Command::LineState(16))]);
}

#[test]
fn m2_changes_are_told_once_and_of_the_last_sample() {
    let mut rig = Rig::agreed();
    rig.ask(Command::ModemStateMask(Some(0x01)));
    // DCD's change is masked out, and no longer news when CTS changes.
    rig.session.handle_signals(Signals::DCD | Signals::CTS | Signals::DSR);
    assert_eq!(rig.hear(), []);
    rig.session.handle_signals(Signals::DCD | Signals::DSR);
    assert_eq!(rig.hear(), [Heard::Port(Command::ModemState(0xa1))]);
    rig.session.handle_signals(Signals::DCD | Signals::DSR);
    assert_eq!(rig.hear(), []);
    assert_eq!(rig.ask(Command::ModemState(0)), [Command::ModemState(0xa0)]);
}

/// Any number of changes while it is suspended is one notification.
#[test]
fn m2_a_suspended_client_is_told_once_of_all_that_changed() {
    let mut rig = Rig::agreed();
    rig.ask(Command::LineStateMask(Some(255)));
    rig.ask(Command::Suspend);
    for _ in 0..100_000 {
        rig.session.handle_signals(Signals::NONE);
        rig.session.handle_signals(Signals::CTS);
        rig.session.handle_event(EventKind::Parity);
        rig.session.handle_event(EventKind::Break);
    }
    assert_eq!(rig.hear(), []);
    let told = rig.ask(Command::Resume);
    assert_eq!(told, [Command::LineState(20), Command::ModemState(0x13)]);
}

/// The place of an error is between the bytes before and after it.
#[test]
fn m4_an_error_is_told_at_its_place_in_the_data() {
    let mut rig = Rig::agreed();
    rig.ask(Command::LineStateMask(Some(255)));
    let mut out = BytesMut::new();
    rig.session.encode(b"before", &mut out);
    rig.session.handle_event(EventKind::Framing);
    rig.session.encode(b"after", &mut out);
    let (before, after) = (Heard::Data(b"before".into()), Heard::Data(b"after".into()));
    let error = Heard::Port(Command::LineState(8));
    assert_eq!(rig.understand(out), [before, error, after]);
}

/// Data that was encoded as binary must not come before the word that it is.
#[test]
fn an_agreement_is_sent_before_data_that_rests_on_it() {
    let mut rig = Rig::new(TelnetOptions::default());
    rig.hear();
    rig.say(&[255, 254, BINARY]);
    rig.take_in(&[255, 253, BINARY]);
    let mut out = BytesMut::new();
    rig.session.encode(b"\r", &mut out);
    assert_eq!(out, &[255, 251, BINARY, b'\r'][..]);
}
