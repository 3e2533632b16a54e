//! Settings, wires and breaks: in their place among the output, answered, restored.

use bytes::BytesMut;
use terminal_server::core::{ClientId, ClientKind, Deed, LineConfig, OnBusy};
use wire::rfc2217::{Command, Control, Sender};
use wire::{Frame, LineSettings, Parity, SettingsChange, SignalChange, Signals, StopBits, telnet};

use crate::stage::{CHAR, LEASE, Stage, config, ms, start};

const WILL_COM_PORT: [u8; 3] = [255, 251, 44];

fn open_line() -> Stage {
    let groups = Vec::new();
    Stage::with(LineConfig { groups, on_busy: OnBusy::Observe, ..config() }, start(7))
}

/// A telnet client with RFC 2217 agreed on and its opening heard.
fn telnet_client(s: &mut Stage) -> ClientId {
    let id = s.connect_as(ClientKind::Telnet);
    s.say(id, &WILL_COM_PORT);
    s.heard(id);
    id
}

fn command(command: Command) -> Vec<u8> {
    let mut out = BytesMut::new();
    command.encode(Sender::Client, &mut out);
    out.to_vec()
}

fn reply(command: Command) -> Vec<u8> {
    let mut out = BytesMut::new();
    command.encode(Sender::Server, &mut out);
    out.to_vec()
}

fn settings(text: &str) -> LineSettings {
    text.parse().unwrap()
}

#[test]
fn o1_settings_take_effect_after_the_data_before_them_and_before_the_data_after() {
    let mut s = open_line();
    let id = telnet_client(&mut s);
    s.say(id, &[b"0123456789", &command(Command::Baud(Some(19200)))[..], b"after"].concat());
    assert_eq!(s.tty, b"0123456789");
    assert!(s.deeds.is_empty(), "ten characters are on their way");
    s.pass(CHAR * 9);
    assert!(s.deeds.is_empty());
    assert!(s.heard(id).is_empty(), "nor is it answered before");
    s.pass(CHAR * 1);
    let deed = Deed { settings: Some(settings("19200,8N1")), ..Deed::default() };
    assert_eq!(s.deeds, [(10, deed)]);
    assert_eq!(s.heard(id), reply(Command::Baud(Some(19200))));
    assert_eq!(s.tty, b"0123456789after");
}

#[test]
fn o5_a_held_back_line_is_answered_within_100_ms() {
    let mut s = open_line();
    let id = telnet_client(&mut s);
    s.tty_takes = 5;
    s.say(id, &[b"0123456789", &command(Command::Baud(Some(300)))[..]].concat());
    s.pass(ms(99));
    assert_eq!(s.heard(id), reply(Command::Baud(Some(300))));
    s.tty_takes = 99;
    s.settle();
    assert_eq!(s.tty, b"0123456789", "the rest was not lost by it");
}

#[test]
fn c1_to_c5_every_setting_is_answered_with_what_is_in_force() {
    let mut s = open_line();
    let id = telnet_client(&mut s);
    for (ask, expected) in [
        (Command::Baud(Some(115_200)), Command::Baud(Some(115_200))),
        (Command::Baud(None), Command::Baud(Some(115_200))),
        (Command::DataBits(Some(7)), Command::DataBits(Some(7))),
        (Command::Parity(Some(Parity::Even)), Command::Parity(Some(Parity::Even))),
        (Command::StopBits(Some(StopBits::Two)), Command::StopBits(Some(StopBits::Two))),
        (Command::StopBits(Some(StopBits::OnePointFive)), Command::StopBits(Some(StopBits::Two))),
        (Command::Control(Control::Dtr(Some(true))), Command::Control(Control::Dtr(Some(true)))),
        (Command::Control(Control::Dtr(None)), Command::Control(Control::Dtr(Some(true)))),
        (Command::Control(Control::Break(None)), Command::Control(Control::Break(Some(false)))),
    ] {
        s.say(id, &command(ask.clone()));
        assert_eq!(s.heard(id), reply(expected), "{ask:?}");
    }
    s.stubborn = true;
    s.say(id, &command(Command::DataBits(Some(8))));
    assert_eq!(s.heard(id), reply(Command::DataBits(Some(7))), "refused, and not silently");
}

#[test]
fn o3_wires_set_one_after_the_other_change_in_one_step() {
    let mut s = open_line();
    s.wires = Some(Signals::NONE);
    let id = telnet_client(&mut s);
    let dtr = |on| command(Command::Control(Control::Dtr(Some(on))));
    let rts = |on| command(Command::Control(Control::Rts(Some(on))));
    s.say(id, &[b"x".to_vec(), dtr(false), rts(true), dtr(true)].concat());
    s.pass(CHAR);
    let change =
        |dtr, rts| Deed { signals: SignalChange { dtr, rts, brk: None }, ..Deed::default() };
    let expected = [(1, change(Some(false), Some(true))), (1, change(Some(true), None))];
    assert_eq!(s.deeds, expected, "but a pulse stays a pulse");
}

#[test]
fn o4_an_observers_commands_are_answered_and_not_obeyed() {
    let mut s = open_line();
    let owner = telnet_client(&mut s);
    let other = telnet_client(&mut s);
    s.say(other, &command(Command::Baud(Some(300))));
    assert_eq!(s.heard(other), reply(Command::Baud(Some(9600))));
    assert!(s.deeds.is_empty());
    s.say(other, &[255, 243]);
    assert!(s.deeds.is_empty(), "nor its break");
    s.say(owner, &[255, 243]);
    let break_for = Some(ms(250));
    assert_eq!(s.deeds, [(0, Deed { break_for, ..Deed::default() })]);
}

#[test]
fn n5_the_end_of_a_session_restores_the_line() {
    let mut s = open_line();
    s.wires = Some(Signals::NONE);
    let id = telnet_client(&mut s);
    s.say(id, &command(Command::Baud(Some(300))));
    s.say(id, &command(Command::Control(Control::Break(Some(true)))));
    assert!(s.line.condition().1.has(Signals::BREAK));
    s.deeds.clear();
    s.close(id);
    let signals = SignalChange { brk: Some(false), ..SignalChange::default() };
    let deed = Deed { settings: Some(settings("9600,8N1")), signals, ..Deed::default() };
    assert_eq!(s.deeds, [(0, deed)]);
    assert_eq!(s.line.condition(), (settings("9600,8N1"), Signals::NONE));
}

#[test]
fn n5_also_when_the_device_was_still_at_it() {
    let mut s = open_line();
    let id = telnet_client(&mut s);
    s.busy = true;
    s.say(id, &command(Command::Baud(Some(300))));
    let (_, deed) = s.deeds[0];
    s.close(id);
    s.busy = false;
    s.done(deed);
    s.settle();
    assert_eq!(s.line.condition().0, settings("9600,8N1"));
}

#[test]
fn c12_a_purge_forgets_what_is_queued_both_ways() {
    let mut s = open_line();
    let id = telnet_client(&mut s);
    s.tty_takes = 4;
    s.blocked.insert(id);
    s.input(b"old");
    let purge = Command::Purge { input: true, output: true };
    s.say(id, b"0123456789");
    s.say(id, &[&command(purge.clone())[..], b"new"].concat());
    s.blocked.clear();
    s.tty_takes = 99;
    s.pass(ms(100));
    assert_eq!(s.tty, b"0123new");
    s.input(b"fresh");
    assert_eq!(s.heard(id), [&reply(purge)[..], b"fresh"].concat());
}

#[test]
fn m1_modem_changes_are_notified_and_m5_a_line_without_wires_shows_fixed_levels() {
    let mut s = open_line();
    let id = s.connect_as(ClientKind::Telnet);
    s.say(id, &WILL_COM_PORT);
    let heard = s.heard(id);
    let first = reply(Command::ModemState(0b1011_0000));
    assert!(heard.windows(first.len()).any(|w| w == first), "N3: the levels at once: {heard:?}");
    s.line.handle_signals(Signals::DSR, s.now);
    s.settle();
    assert_eq!(s.heard(id), reply(Command::ModemState(0b0010_1001)), "CTS and DCD fell");
}

#[test]
fn c8_a_suspended_client_is_sent_nothing_and_loses_nothing() {
    let mut s = open_line();
    let id = telnet_client(&mut s);
    s.say(id, &command(Command::Suspend));
    s.input(b"kept");
    s.say(id, &command(Command::Baud(None)));
    assert!(s.heard(id).is_empty());
    s.say(id, &command(Command::Resume));
    assert_eq!(s.heard(id), [&reply(Command::Baud(Some(9600)))[..], b"kept"].concat());
}

#[test]
fn frames_ask_in_order_too() {
    let mut s = Stage::new();
    let (id, grant) = s.granted("alpha");
    s.frames(id);
    s.output(id, grant.position, b"0123456789", None);
    let change = SettingsChange { baud: Some(1200), ..SettingsChange::default() };
    s.send(id, Frame::Settings(change));
    s.send(id, Frame::Break(50));
    s.send(id, Frame::SetSignals(SignalChange::default()));
    assert!(s.deeds.is_empty());
    s.pass_renewing(id, CHAR * 10);
    assert_eq!(s.deeds.len(), 3);
    let answers: Vec<_> = s.frames(id).iter().map(Frame::name).collect();
    let answers: Vec<_> =
        answers.into_iter().filter(|name| !["RENEWED", "WRITTEN"].contains(name)).collect();
    assert_eq!(answers, ["SETTINGS", "BREAK", "SIGNALS"]);
    s.pass(LEASE * 2);
    assert_eq!(s.line.condition().0, settings("9600,8N1"), "a lost lease restores them, too");
}

#[test]
fn wires_follow_the_policy_when_a_holder_comes_and_goes() {
    let level = |dtr| SignalChange { dtr: Some(dtr), ..SignalChange::default() };
    let policy = LineConfig { on_attach: level(true), on_detach: level(false), ..config() };
    let mut s = Stage::with(policy, start(7));
    let (id, _) = s.granted("alpha");
    s.close(id);
    let signals = |dtr| Deed { signals: level(dtr), ..Deed::default() };
    assert_eq!(s.deeds, [(0, signals(true)), (0, signals(false))]);
}

#[test]
fn data_to_a_telnet_client_is_escaped_and_its_own_undone() {
    let mut s = open_line();
    let id = telnet_client(&mut s);
    s.input(b"a\xffb");
    let mut expected = BytesMut::new();
    telnet::encode_data(b"a\xffb", false, &mut expected);
    assert_eq!(s.heard(id), expected);
    s.say(id, b"x\xff\xffy");
    s.pass(ms(10));
    assert_eq!(s.tty, b"x\xffy");
}

#[test]
fn a_telnet_client_that_says_more_than_it_is_let_ask_is_heard_to_the_end() {
    for groups in [Vec::new(), config().groups] {
        let mut s = Stage::with(LineConfig { groups, ..config() }, start(7));
        let id = s.connect_as(ClientKind::Telnet);
        s.heard(id);
        // Are you there? Its answers are several times what may wait for it.
        s.say(id, &[255, 246].repeat(2000));
        assert!(s.line.wants_bytes(id), "it is read on");
        assert!(s.heard(id) == b"\r\n[linekeeper]\r\n".repeat(2000));
    }
}

#[test]
fn o1_after_a_break_the_data_goes_before_the_next_setting() {
    let mut s = open_line();
    let id = telnet_client(&mut s);
    s.busy = true;
    s.say(id, &[&[255, 243][..], b"hello", &command(Command::Baud(Some(19200)))].concat());
    let (_, deed) = s.deeds[0];
    assert_eq!(deed.break_for, Some(ms(250)));
    s.pass(ms(250));
    s.busy = false;
    s.done(deed);
    s.settle();
    assert_eq!(s.tty, b"hello");
    assert_eq!(s.deeds.len(), 1, "its characters are on their way");
    s.pass(CHAR * 5);
    assert_eq!(s.deeds[1].0, 5);
}

#[test]
fn o1_a_rest_of_our_own_is_no_sign_of_a_line_that_is_held_back() {
    let rests = LineConfig { groups: Vec::new(), line_delay: ms(500), ..config() };
    let mut s = Stage::with(rests, start(7));
    let id = telnet_client(&mut s);
    s.say(id, &[b"one\rtwo\r", &command(Command::Baud(Some(19200)))[..]].concat());
    s.pass(ms(400));
    assert_eq!((&s.tty[..], s.deeds.len()), (&b"one\r"[..], 0));
    s.pass(ms(2000));
    assert_eq!((&s.tty[..], s.deeds.len()), (&b"one\rtwo\r"[..], 1));
}

#[test]
fn o1_a_port_that_empties_is_not_held_back() {
    let mut s = open_line();
    let id = telnet_client(&mut s);
    s.say(id, &[b"0123456789", &command(Command::Baud(Some(19200)))[..]].concat());
    // Slower than the clock says, as its own count tells; but it moves.
    for left in (5..20).rev() {
        s.line.handle_port_holds(left * 20, s.now);
        s.pass(ms(70));
        assert!(s.deeds.is_empty(), "{left}");
    }
    s.line.handle_port_holds(0, s.now);
    s.pass(ms(70));
    assert_eq!(s.deeds.len(), 1);
}

#[test]
fn i3_a_purge_of_one_client_costs_the_next_one_nothing() {
    let replace = LineConfig { groups: Vec::new(), on_busy: OnBusy::Replace, ..config() };
    let mut s = Stage::with(replace, start(7));
    let first = telnet_client(&mut s);
    s.busy = true;
    s.say(first, &command(Command::Purge { input: true, output: false }));
    let (_, deed) = s.deeds[0];
    let second = s.connect_raw();
    s.blocked.insert(second);
    s.input(b"for the second");
    s.busy = false;
    s.done(deed);
    s.blocked.clear();
    s.settle();
    assert_eq!(s.heard(second), b"for the second");
}

#[test]
fn a_stop_waits_for_what_is_being_done_with_the_device() {
    let mut s = open_line();
    let id = telnet_client(&mut s);
    s.say(id, &command(Command::Baud(Some(300))));
    s.busy = true;
    s.line.handle_stop(s.now);
    s.settle();
    let (_, restore) = *s.deeds.last().unwrap();
    assert_eq!(restore.settings, Some(settings("9600,8N1")));
    assert!(!s.line.is_stopped());
    s.busy = false;
    s.done(restore);
    assert!(s.line.is_stopped());
}
