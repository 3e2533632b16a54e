//! Every command is answered with the value in force afterwards, in order.

use wire::rfc2217::Control;
use wire::{Flow, Parity, StopBits};

use super::rig::*;

#[test]
fn c0_signature_is_ours_to_a_question_and_once_to_a_text() {
    let signature = "ts-1\u{ff}".to_owned();
    let ours = Command::Signature(Bytes::from(signature.clone().into_bytes()));
    let mut rig = Rig::new(TelnetOptions { signature, ..TelnetOptions::default() });
    rig.say(&AGREE);
    assert_eq!(rig.ask(Command::Signature(Bytes::new())), std::slice::from_ref(&ours));
    let text = Bytes::from_static(b"pyserial \xff");
    assert_eq!(rig.ask(Command::Signature(text.clone())), std::slice::from_ref(&ours));
    assert_eq!(rig.session.client(), Some(&text));
    assert_eq!(rig.ask(Command::Signature(text)), [], "or two such sides would never end");
    assert_eq!(rig.ask(Command::Signature(Bytes::new())), [ours]);
}

#[test]
fn c1_baud_is_set_and_asked() {
    let mut rig = Rig::agreed();
    for baud in [255, 3840, 65_280, 1_250_000, 9600] {
        let set = Command::Baud(Some(baud));
        assert_eq!(rig.ask(set.clone()), std::slice::from_ref(&set));
        assert_eq!(rig.ask(Command::Baud(None)), [set]);
        assert_eq!(rig.state.settings.baud, baud);
    }
    for impossible in [u32::MAX, 1] {
        let refused = rig.ask(Command::Baud(Some(impossible)));
        assert_eq!(refused, [Command::Baud(Some(9600))], "the value in force");
    }
}

#[test]
fn c1_ciscos_index_is_answered_in_kind() {
    let mut rig = Rig::agreed();
    let fast = Heard::Port(Command::CiscoBaud(Some(115_200)));
    assert_eq!(rig.say(&sub(&[1, 14])), std::slice::from_ref(&fast));
    assert_eq!(rig.say(&sub(&[1, 0])), std::slice::from_ref(&fast));
    assert_eq!(rig.say(&sub(&[1, 77])), [fast]);
    assert_eq!(rig.state.settings.baud, 115_200);
}

#[test]
fn c1_a_real_speed_within_2_percent_is_told_as_the_nominal_one() {
    let mut rig = Rig::agreed();
    rig.refuses = true;
    rig.state.settings.baud = 115_384;
    let asked = Command::Baud(Some(115_200));
    assert_eq!(rig.ask(asked.clone()), [asked]);
    assert_eq!(rig.ask(Command::Baud(None)), [Command::Baud(Some(115_384))]);
}

#[test]
fn c2_c3_c4_formats_are_set_and_asked() {
    let mut rig = Rig::agreed();
    let data = (5..=8).map(|bits| Command::DataBits(Some(bits)));
    let parities = [Parity::Odd, Parity::Even, Parity::Mark, Parity::Space, Parity::None];
    let parities = parities.map(|parity| Command::Parity(Some(parity)));
    let stops = [StopBits::Two, StopBits::One].map(|stop| Command::StopBits(Some(stop)));
    for set in data.chain(parities).chain(stops) {
        assert_eq!(rig.ask(set.clone()), [set]);
    }
    let eight = Heard::Port(Command::DataBits(Some(8)));
    for wrong in [&[2, 4][..], &[2, 9], &[2, 255], &[2]] {
        assert_eq!(rig.say(&sub(wrong)), std::slice::from_ref(&eight));
    }
    assert_eq!(rig.say(&sub(&[3, 6])), [Heard::Port(Command::Parity(Some(Parity::None)))]);
    assert_eq!(rig.say(&sub(&[4, 4])), [Heard::Port(Command::StopBits(Some(StopBits::One)))]);
}

#[test]
fn c4_an_impossible_combination_is_answered_with_what_is_in_force() {
    let mut rig = Rig::agreed();
    let one_point_five = Command::StopBits(Some(StopBits::OnePointFive));
    assert_eq!(rig.ask(one_point_five.clone()), [Command::StopBits(Some(StopBits::One))]);
    rig.ask(Command::DataBits(Some(5)));
    assert_eq!(rig.ask(one_point_five.clone()), std::slice::from_ref(&one_point_five));
    assert_eq!(rig.ask(Command::StopBits(Some(StopBits::Two))), [one_point_five]);
}

#[test]
fn c5_control_values_are_answered_by_the_state() {
    let mut rig = Rig::agreed();
    for (asked, told) in [
        (0, 1),
        (3, 3),
        (0, 3),
        (13, 16),
        (14, 16),
        (18, 16),
        (17, 3),
        (19, 3),
        (20, 3),
        (127, 3),
        (255, 3),
        (2, 2),
        (13, 15),
        (1, 1),
        (13, 14),
        (4, 6),
        (5, 5),
        (4, 5),
        (6, 6),
        (4, 6),
        (7, 8),
        (9, 9),
        (7, 9),
        (8, 8),
        (10, 11),
        (12, 12),
        (10, 12),
        (11, 11),
    ] {
        let mut out = BytesMut::new();
        rig.take_in(&sub(&[5, asked]));
        rig.session.poll_control(&mut out);
        assert_eq!(out, sub(&[105, told]), "{asked}");
    }
}

/// Queries must not be answered by the far end's wires.
#[test]
fn c5_dtr_and_rts_are_ours_not_dsr_and_cts() {
    let mut rig = Rig::agreed();
    rig.state.signals = Signals::DSR | Signals::CTS;
    let dtr = |level| Command::Control(Control::Dtr(level));
    let rts = |level| Command::Control(Control::Rts(level));
    assert_eq!(rig.ask(dtr(None)), [dtr(Some(false))]);
    assert_eq!(rig.ask(rts(None)), [rts(Some(false))]);
}

#[test]
fn c6_c7_polls_are_answered_with_the_current_value() {
    let mut rig = Rig::agreed();
    assert_eq!(rig.ask(Command::ModemState(0)), [Command::ModemState(0x30)]);
    assert_eq!(rig.ask(Command::LineState(0)), [Command::LineState(0)]);
}

#[test]
fn c8_c9_a_suspended_client_hears_nothing_until_it_resumes() {
    let mut rig = Rig::agreed();
    assert_eq!(rig.ask(Command::Suspend), [], "an answer would suspend the client");
    assert!(rig.session.is_suspended());
    assert_eq!(rig.ask(Command::Suspend), []);
    assert_eq!(rig.ask(Command::DataBits(Some(7))), []);
    rig.session.handle_signals(Signals::NONE);
    rig.session.handle_signals(Signals::DCD);
    assert_eq!(rig.hear(), []);
    rig.say(b"to the line");
    assert_eq!(rig.data(), b"to the line", "its own data goes on");
    assert_eq!(rig.state.settings.flow, Flow::None, "the line's flow control is another matter");
    let told = rig.ask(Command::Resume);
    assert_eq!(told, [Command::DataBits(Some(7)), Command::ModemState(0x8b)]);
    assert!(!rig.session.is_suspended());
}

#[test]
fn c10_c11_masks_are_acknowledged_and_the_state_follows() {
    let mut rig = Rig::agreed();
    for mask in [0, 16, 255] {
        let command = Command::LineStateMask(Some(mask));
        assert_eq!(rig.ask(command.clone()), [command]);
    }
    for mask in [16, 255] {
        let command = Command::ModemStateMask(Some(mask));
        assert_eq!(rig.ask(command.clone()), [command, Command::ModemState(0x30)]);
    }
    let none = Command::ModemStateMask(Some(0));
    assert_eq!(rig.ask(none.clone()), [none], "silence was asked for");
}

#[test]
fn c12_purges_are_carried_out_and_acknowledged() {
    let mut rig = Rig::agreed();
    for (input, output) in [(true, false), (false, true), (true, true)] {
        let purge = Command::Purge { input, output };
        assert_eq!(rig.ask(purge.clone()), [purge]);
        assert_eq!(rig.line.pop(), Some(Said::Ask(Query::Purge { input, output })));
    }
    let nothing = Heard::Port(Command::Purge { input: false, output: false });
    for unknown in [&[12, 0][..], &[12, 4], &[12]] {
        assert_eq!(rig.say(&sub(unknown)), std::slice::from_ref(&nothing));
    }
    assert_eq!(rig.line, [], "nothing was thrown away");
}

/// Baud, size, parity, stop, as RFC 2217 recommends, from any settings to any others.
#[test]
fn o0_every_settings_are_reached_from_every_other() {
    let all = ["9600,8N1", "1200,7E2", "300,5O1.5", "115200,5N1", "50,6S2", "19200,8M2"];
    for from in all {
        for to in all {
            let mut rig = Rig::agreed();
            rig.state.settings = from.parse().unwrap();
            let to: LineSettings = to.parse().unwrap();
            for set in [
                Command::Baud(Some(to.baud)),
                Command::DataBits(Some(to.data_bits)),
                Command::Parity(Some(to.parity)),
                Command::StopBits(Some(to.stop_bits)),
            ] {
                assert_eq!(rig.ask(set.clone()), [set], "from {from} to {to}");
            }
            assert_eq!(rig.state.settings, to);
        }
    }
}

#[test]
fn o1_a_setting_stands_between_the_data_around_it() {
    let mut rig = Rig::agreed();
    let mut segment = BytesMut::from(&b"at 9600"[..]);
    segment.extend(said_by_client(&[Command::Baud(Some(300))]));
    segment.extend(*b"at 300");
    rig.say(&segment);
    let [Said::Data(before), Said::Ask(Query::Set { change, .. }), Said::Data(after)] =
        &rig.line[..]
    else {
        panic!("{:?}", rig.line);
    };
    assert_eq!(
        (&before[..], change.baud, &after[..]),
        (&b"at 9600"[..], Some(300), &b"at 300"[..])
    );
}

/// The line may take its time over an answer; what was asked later is answered later.
#[test]
fn o1_replies_keep_the_order_of_the_questions() {
    let mut rig = Rig::agreed();
    let asked = [
        Command::Baud(Some(300)),
        Command::Signature(Bytes::new()),
        Command::LineStateMask(Some(16)),
        Command::Control(Control::Dtr(None)),
        Command::LineState(0),
    ];
    let mut bytes = said_by_client(&asked).freeze();
    let said: Vec<_> = std::iter::from_fn(|| rig.session.handle_bytes(&mut bytes)).collect();
    let [Said::Ask(baud), Said::Ask(dtr)] = &said[..] else { panic!("{said:?}") };
    assert_eq!(rig.hear(), [], "all wait for the first");
    rig.state.settings.baud = 300;
    rig.session.handle_answer(baud, &rig.state);
    let ours = Command::Signature(Bytes::from_static(b"linekeeper"));
    let first = [asked[0].clone(), ours, asked[2].clone()];
    assert_eq!(rig.hear(), first.map(Heard::Port));
    rig.session.handle_answer(dtr, &rig.state);
    let last = [Command::Control(Control::Dtr(Some(true))), Command::LineState(0)];
    assert_eq!(rig.hear(), last.map(Heard::Port));
}

/// A reset circuit needs both edges within a millisecond: nothing may stand between them.
#[test]
fn o3_dtr_and_rts_of_one_segment_come_one_after_the_other() {
    let mut rig = Rig::agreed();
    let both = [Control::Dtr(Some(false)), Control::Rts(Some(true))].map(Command::Control);
    rig.say(&said_by_client(&both));
    let [
        Said::Ask(Query::Signals { change: dtr, .. }),
        Said::Ask(Query::Signals { change: rts, .. }),
    ] = &rig.line[..]
    else {
        panic!("{:?}", rig.line);
    };
    assert_eq!((dtr.dtr, rts.rts), (Some(false), Some(true)));
}

#[test]
fn o4_who_may_not_change_the_line_is_told_what_is_in_force() {
    let mut rig = Rig::agreed();
    rig.refuses = true;
    assert_eq!(rig.ask(Command::Baud(Some(300))), [Command::Baud(Some(9600))]);
    assert_eq!(rig.ask(Command::DataBits(Some(5))), [Command::DataBits(Some(8))]);
    let parity = rig.ask(Command::Parity(Some(Parity::Even)));
    assert_eq!(parity, [Command::Parity(Some(Parity::None))]);
    let dtr = rig.ask(Command::Control(Control::Dtr(Some(false))));
    assert_eq!(dtr, [Command::Control(Control::Dtr(Some(true)))]);
    let flow = rig.ask(Command::Control(Control::Flow(Some(Flow::RtsCts))));
    assert_eq!(flow, [Command::Control(Control::Flow(Some(Flow::None)))]);
    assert_eq!(rig.changes().len(), 4);
}
