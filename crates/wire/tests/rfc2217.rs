//! RFC 2217: every command, byte for byte, from both sides, and the value in force.

use bytes::{Bytes, BytesMut};
use wire::rfc2217::{Command, Control, Sender, modem_state};
use wire::telnet::{IAC, SB, SE};
use wire::{Flow, LineSettings, Parity, SettingsChange, Signals, StopBits};

#[test]
fn c0_signature() {
    both(&[0], Command::Signature(Bytes::new()));
    both(&[0, b'm', b'e', 255], Command::Signature(Bytes::from_static(b"me\xff")));
}

#[test]
fn c1_baud_rates_and_their_doubled_bytes() {
    for baud in [1, 255, 3840, 9600, 65_280, 1_250_000, u32::MAX] {
        let [a, b, c, d] = baud.to_be_bytes();
        both(&[1, a, b, c, d], Command::Baud(Some(baud)));
    }
    both(&[1, 0, 0, 0, 0], Command::Baud(None));
    let mut out = BytesMut::new();
    Command::Baud(Some(255)).encode(Sender::Server, &mut out);
    assert_eq!(out, &[IAC, SB, 44, 101, 0, 0, 0, IAC, IAC, IAC, SE][..]);
}

#[test]
fn c1_a_short_baud_rate_is_ciscos_index() {
    let table = [
        (3, 300),
        (4, 600),
        (5, 1200),
        (6, 2400),
        (7, 4800),
        (8, 9600),
        (10, 19_200),
        (12, 38_400),
        (13, 57_600),
        (14, 115_200),
        (15, 230_400),
    ];
    for (index, baud) in table {
        both(&[1, index], Command::CiscoBaud(Some(baud)));
    }
    both(&[1, 0], Command::CiscoBaud(None));
    assert_eq!(client(&[1, 99]), Some(Command::CiscoBaud(None)), "a question");
    assert_eq!(client(&[1]), Some(Command::Baud(None)), "a question");
    let mut out = BytesMut::new();
    Command::CiscoBaud(Some(250_000)).encode(Sender::Server, &mut out);
    assert_eq!(out, &[IAC, SB, 44, 101, 0, 3, 0xd0, 0x90, IAC, SE][..], "the table lacks it");
}

#[test]
fn c2_to_c4_character_formats() {
    for bits in 5..=8 {
        both(&[2, bits], Command::DataBits(Some(bits)));
    }
    let parities = [Parity::None, Parity::Odd, Parity::Even, Parity::Mark, Parity::Space];
    for (code, parity) in (1..).zip(parities) {
        both(&[3, code], Command::Parity(Some(parity)));
    }
    let stops = [StopBits::One, StopBits::Two, StopBits::OnePointFive];
    for (code, stop) in (1..).zip(stops) {
        both(&[4, code], Command::StopBits(Some(stop)));
    }
    both(&[2, 0], Command::DataBits(None));
    both(&[3, 0], Command::Parity(None));
    both(&[4, 0], Command::StopBits(None));
}

#[test]
fn c5_control_values() {
    let values = [
        Control::Flow(None),
        Control::Flow(Some(Flow::None)),
        Control::Flow(Some(Flow::XonXoff)),
        Control::Flow(Some(Flow::RtsCts)),
        Control::Break(None),
        Control::Break(Some(true)),
        Control::Break(Some(false)),
        Control::Dtr(None),
        Control::Dtr(Some(true)),
        Control::Dtr(Some(false)),
        Control::Rts(None),
        Control::Rts(Some(true)),
        Control::Rts(Some(false)),
        Control::InputFlow(None),
        Control::InputFlow(Some(Flow::None)),
        Control::InputFlow(Some(Flow::XonXoff)),
        Control::InputFlow(Some(Flow::RtsCts)),
    ];
    for (code, control) in (0..).zip(values) {
        both(&[5, code], Command::Control(control));
    }
    for (code, asked) in [(17, values[0]), (18, values[13]), (19, values[0]), (20, values[0])] {
        assert_eq!(client(&[5, code]), Some(Command::Control(asked)));
    }
    assert_eq!(client(&[5, 255]), Some(Command::Control(Control::Flow(None))));
}

#[test]
fn c6_to_c12_the_other_commands() {
    both(&[6, 0x1e], Command::LineState(0x1e));
    both(&[7, 0xf3], Command::ModemState(0xf3));
    both(&[8], Command::Suspend);
    both(&[9], Command::Resume);
    both(&[10, 255], Command::LineStateMask(Some(255)));
    both(&[11, 0], Command::ModemStateMask(Some(0)));
    both(&[10], Command::LineStateMask(None));
    both(&[12, 1], Command::Purge { input: true, output: false });
    both(&[12, 2], Command::Purge { input: false, output: true });
    both(&[12, 3], Command::Purge { input: true, output: true });
    assert_eq!(client(&[6]), Some(Command::LineState(0)));
    assert_eq!(client(&[7]), Some(Command::ModemState(0)));
}

/// They change nothing, and are answered: silence would leave the client waiting.
#[test]
fn values_that_do_not_exist_are_questions() {
    for (bytes, command) in [
        (&[2, 4][..], Command::DataBits(None)),
        (&[2, 9], Command::DataBits(None)),
        (&[2], Command::DataBits(None)),
        (&[3, 6], Command::Parity(None)),
        (&[4, 4], Command::StopBits(None)),
        (&[5], Command::Control(Control::Flow(None))),
        (&[12, 4], Command::Purge { input: false, output: false }),
        (&[12], Command::Purge { input: false, output: false }),
    ] {
        assert_eq!(client(bytes), Some(command), "{bytes:?}");
    }
    assert_eq!(client(&[2, 7, 99]), Some(Command::DataBits(Some(7))), "excess is ignored");
}

#[test]
fn codes_that_do_not_exist_are_nothing() {
    for code in (13..=99).chain(100..=255) {
        assert_eq!(client(&[code, 1, 2, 3, 4]), None, "{code}");
    }
    assert_eq!(client(&[]), None);
    for code in (0..100).chain(113..=255) {
        assert_eq!(Command::decode(Sender::Server, &Bytes::from(vec![code, 1])), None, "{code}");
    }
}

#[test]
fn what_a_command_changes() {
    let none = SettingsChange::default();
    let change = |bytes: &[u8]| client(bytes).unwrap().settings_change();
    assert_eq!(change(&[1, 0, 0, 0x25, 0x80]), Some(SettingsChange { baud: Some(9600), ..none }));
    assert_eq!(change(&[1, 8]), Some(SettingsChange { baud: Some(9600), ..none }));
    assert_eq!(change(&[5, 3]), Some(SettingsChange { flow: Some(Flow::RtsCts), ..none }));
    for asks in [&[1, 0, 0, 0, 0][..], &[2, 0], &[3, 0], &[4, 0], &[5, 0], &[5, 13], &[5, 15]] {
        assert_eq!(change(asks), Some(none), "{asks:?}");
    }
    for other in [&[5, 8][..], &[0], &[10, 1], &[12, 1]] {
        assert_eq!(change(other), None, "{other:?}");
    }
    let wires = |bytes: &[u8]| client(bytes).unwrap().signal_change();
    assert_eq!(wires(&[5, 8]).unwrap().dtr, Some(true));
    assert_eq!(wires(&[5, 12]).unwrap().rts, Some(false));
    assert_eq!(wires(&[5, 5]).unwrap().brk, Some(true));
    assert!(wires(&[5, 7]).unwrap().is_empty());
    assert_eq!(wires(&[5, 1]), None);
}

#[test]
fn the_answer_is_what_is_in_force() {
    let settings: LineSettings = "115200,7E2,rtscts".parse().unwrap();
    let signals = Signals::DTR | Signals::CTS | Signals::BREAK;
    let answer = |asked: &[u8]| {
        let mut out = BytesMut::new();
        client(asked).unwrap().in_force(&settings, signals).encode(Sender::Server, &mut out);
        out[3..out.len() - 2].to_vec()
    };
    let real = [101, 0, 1, 0xc2, 0];
    for (asked, answered) in [
        (&[1, 0, 0, 0, 0][..], &real[..]),
        (&[1, 0, 0, 0x25, 0x80], &real),
        (&[1, 8], &[101, 14]),
        (&[2, 8], &[102, 7]),
        (&[3, 0], &[103, 3]),
        (&[4, 1], &[104, 2]),
        (&[5, 0], &[105, 3]),
        (&[5, 2], &[105, 3]),
        (&[5, 4], &[105, 5]),
        (&[5, 9], &[105, 8]),
        (&[5, 10], &[105, 12]),
        (&[5, 13], &[105, 16]),
        (&[5, 14], &[105, 16]),
        (&[5, 99], &[105, 3]),
    ] {
        assert_eq!(answer(asked), answered, "{asked:?}");
    }
}

/// pyserial takes any other answer for a refusal, and no UART divides to every speed exactly.
#[test]
fn a_speed_within_2_percent_is_the_one_asked_for() {
    let answer = |real: u32, asked: u32| {
        Command::Baud(Some(asked)).in_force(&LineSettings::new(real), Signals::NONE)
    };
    for (real, asked, told) in [
        (115_384, 115_200, 115_200),
        (9_792, 9_600, 9_600),
        (9_793, 9_600, 9_793),
        (9_408, 9_600, 9_600),
        (9_407, 9_600, 9_407),
        (9_600, u32::MAX, 9_600),
        (9_600, 1, 9_600),
    ] {
        assert_eq!(answer(real, asked), Command::Baud(Some(told)), "{real} for {asked}");
    }
}

#[test]
fn m1_modem_state_bits() {
    let wires = [
        (Signals::DCD, 128, 8),
        (Signals::RI, 64, 4),
        (Signals::DSR, 32, 2),
        (Signals::CTS, 16, 1),
    ];
    for (wire, level, change) in wires {
        assert_eq!(modem_state::levels(wire | Signals::DTR | Signals::BREAK), level);
        assert_eq!(modem_state::signals(level | 15), wire);
        let rise = if wire == Signals::RI { 0 } else { change };
        assert_eq!(modem_state::changes(Signals::NONE, wire), rise, "RI counts at its end");
        assert_eq!(modem_state::changes(wire, Signals::DTR), change);
        assert_eq!(modem_state::changes(wire, wire | Signals::RTS), 0);
    }
}

fn client(bytes: &[u8]) -> Option<Command> {
    Command::decode(Sender::Client, &Bytes::copy_from_slice(bytes))
}

/// These are the command's bytes from a client, and 100 higher from a server.
#[track_caller]
fn both(bytes: &[u8], command: Command) {
    for (sender, base) in [(Sender::Client, 0), (Sender::Server, 100)] {
        let mut bytes = bytes.to_vec();
        bytes[0] += base;
        let mut out = BytesMut::new();
        command.encode(sender, &mut out);
        let doubled = bytes.iter().flat_map(|byte| vec![*byte; 1 + usize::from(*byte == IAC)]);
        let framed: Vec<_> = [IAC, SB, 44].into_iter().chain(doubled).chain([IAC, SE]).collect();
        assert_eq!(out, framed, "{command:?} from {sender:?}");
        let decoded = Command::decode(sender, &Bytes::from(bytes));
        assert_eq!(decoded.as_ref(), Some(&command), "from {sender:?}");
    }
}
