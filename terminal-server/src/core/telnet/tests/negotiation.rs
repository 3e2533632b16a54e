//! Options: who offers what, and what holds before and after.

use wire::telnet::Verb::{Do, Dont, Will, Wont};
use wire::telnet_options::option::{BINARY, COM_PORT, ECHO, SUPPRESS_GO_AHEAD};

use super::rig::*;

#[test]
fn t3_nothing_is_refused_unasked_and_nothing_answered_twice() {
    let mut rig = Rig::new(TelnetOptions::default());
    let offers = rig.hear();
    assert!(offers.iter().all(|heard| matches!(heard, Heard::Option(Do | Will, _))), "{offers:?}");
    assert_eq!(rig.say(&[255, 252, 31, 255, 254, 31, 255, 252, 44]), []);
    assert_eq!(rig.say(&[255, 251, 31]), [Heard::Option(Dont, 31)]);
    assert_eq!(rig.say(&[255, 253, 39]), [Heard::Option(Wont, 39)]);
    assert_eq!(rig.say(&[255, 251, 31, 255, 252, 31, 255, 251, 31, 255, 253, 39]), []);
}

#[test]
fn t3_a_peer_that_flips_1000_times_gets_bounded_replies() {
    let mut rig = Rig::agreed();
    let flips = [[255, 251, BINARY, 255, 252, BINARY], [255, 251, 31, 255, 252, 31]].concat();
    let mut replies = 0;
    for _ in 0..1000 {
        replies += rig.say(&flips).len();
    }
    // Each change of a known option has one, a request for an unknown one is refused once.
    assert_eq!(replies, 1999 + 1);
    // Who does not read them is read no further.
    let flips = Bytes::from(flips.repeat(10_000));
    let mut left = flips.clone();
    assert_eq!(rig.session.handle_bytes(&mut left), None);
    assert!(rig.session.is_full() && left.len() > flips.len() / 2);
    let mut out = BytesMut::new();
    rig.session.poll_control(&mut out);
    assert!(out.len() < 5000, "{} bytes waited", out.len());
}

#[test]
fn t4_opening_offers() {
    let plain = [
        Heard::Option(Will, SUPPRESS_GO_AHEAD),
        Heard::Option(Do, SUPPRESS_GO_AHEAD),
        Heard::Option(Will, BINARY),
        Heard::Option(Do, BINARY),
        Heard::Option(Do, COM_PORT),
    ];
    assert_eq!(Rig::new(TelnetOptions::default()).hear(), plain);
    let mut console = Rig::new(TelnetOptions { echo: true, ..TelnetOptions::default() });
    assert_eq!(console.hear(), [&plain[..], &[Heard::Option(Will, ECHO)]].concat());
    assert_eq!(console.say(&[255, 253, ECHO]), [], "that was the answer");
    // Without the setting it is refused, as a line does not echo by itself.
    let mut line = Rig::new(TelnetOptions::default());
    line.hear();
    assert_eq!(line.say(&[255, 253, ECHO, 255, 253, ECHO]), [Heard::Option(Wont, ECHO)]);
}

#[test]
fn t5_each_direction_is_binary_by_itself() {
    let encoded = |rig: &mut Rig| {
        rig.hear();
        let mut out = BytesMut::new();
        rig.session.encode(b"a\rb\xff", &mut out);
        out
    };
    // The client refuses to send binary data, and takes it.
    let mut rig = Rig::new(TelnetOptions::default());
    rig.say(&[255, 252, BINARY, 255, 253, BINARY]);
    rig.say(b"a\r\0b\r\n");
    assert_eq!(rig.data(), b"a\rb\r\n");
    assert_eq!(encoded(&mut rig), &b"a\rb\xff\xff"[..]);
    // And the other way round.
    let mut rig = Rig::new(TelnetOptions::default());
    rig.say(&[255, 251, BINARY, 255, 254, BINARY]);
    rig.say(b"a\r\0b\r\n");
    assert_eq!(rig.data(), b"a\r\0b\r\n");
    assert_eq!(encoded(&mut rig), &b"a\r\0b\xff\xff"[..]);
}

#[test]
fn t6_are_you_there_is_answered_visibly() {
    let signature = "ts-1 \u{ff}".to_owned();
    let mut rig = Rig::new(TelnetOptions { signature, ..TelnetOptions::default() });
    rig.hear();
    let heard = rig.say(b"a\xff\xf6b");
    assert_eq!(heard, [Heard::Data("\r\n[ts-1 \u{ff}]\r\n".into())]);
    assert_eq!(rig.data(), b"ab");
}

#[test]
fn t6_a_break_stands_between_the_data_around_it() {
    let mut rig = Rig::agreed();
    rig.say(b"before\xff\xf3after\xff\xf1\xff\xf4\xff\xf5\xff\xf7\xff\xf8\xff\xf9!");
    let data = |text: &'static [u8]| Said::Data(Bytes::from_static(text));
    assert_eq!(rig.line, [data(b"before"), Said::Break, data(b"after"), data(b"!")]);
}

#[test]
fn t7_a_synch_discards_data_and_breaks_only_by_setting() {
    for break_on_sync in [false, true] {
        let mut rig = Rig::new(TelnetOptions { break_on_sync, ..TelnetOptions::default() });
        rig.say(b"first");
        rig.session.handle_urgent();
        let mut lost = b"lost".to_vec();
        lost.extend_from_slice(&AGREE);
        rig.say(&lost);
        rig.say(b"lost, too\xff\xf2kept");
        assert_eq!(rig.data(), b"firstkept");
        assert!(rig.session.speaks_2217(), "commands are carried out");
        assert_eq!(rig.line.contains(&Said::Break), break_on_sync);
    }
}

#[test]
fn n1_will_com_port_is_agreed_to_once() {
    let mut rig = Rig::new(TelnetOptions::default());
    assert_eq!(rig.hear().iter().filter(|h| **h == Heard::Option(Do, COM_PORT)).count(), 1);
    let state = Heard::Port(Command::ModemState(0x30));
    assert_eq!(rig.say(&[255, 251, COM_PORT]), [state], "our offer was the DO");
    assert_eq!(rig.say(&[255, 251, COM_PORT]), []);
    assert_eq!(rig.say(&[255, 253, COM_PORT]), [Heard::Option(Will, COM_PORT)]);
    assert_eq!(rig.say(&[255, 253, COM_PORT]), []);
    assert_eq!(rig.ask(Command::DataBits(None)), [Command::DataBits(Some(8))]);
}

#[test]
fn n1_a_client_that_only_says_do_is_served() {
    let mut rig = Rig::new(TelnetOptions::default());
    rig.hear();
    let first = rig.say(&[255, 253, COM_PORT]);
    let state = Heard::Port(Command::ModemState(0x30));
    assert_eq!(first, [Heard::Option(Will, COM_PORT), state]);
    assert_eq!(rig.ask(Command::DataBits(None)), [Command::DataBits(Some(8))]);
}

#[test]
fn n1_wont_turns_it_off_without_an_end() {
    for off in [[255, 252, COM_PORT], [255, 254, COM_PORT]] {
        let mut rig = Rig::agreed();
        rig.say(&[255, 253, COM_PORT]);
        rig.ask(Command::LineStateMask(Some(255)));
        rig.ask(Command::Suspend);
        rig.say(&off);
        assert!(!rig.session.speaks_2217() && !rig.session.is_suspended());
        assert_eq!(rig.ask(Command::DataBits(Some(7))), []);
        rig.session.handle_event(wire::EventKind::Break);
        rig.session.handle_signals(Signals::NONE);
        assert_eq!(rig.hear(), []);
        rig.say(b"data goes on");
        assert_eq!(rig.data(), b"data goes on");
    }
}

#[test]
fn n2_commands_before_the_agreement_are_ignored() {
    let mut rig = Rig::new(TelnetOptions::default());
    rig.hear();
    assert_eq!(rig.ask(Command::DataBits(Some(7))), []);
    assert_eq!(rig.line, []);
    // Behind the WILL in the same segment they count.
    let mut both = vec![255, 251, COM_PORT];
    both.extend_from_slice(&said_by_client(&[Command::DataBits(Some(7))]));
    let heard = rig.say(&both);
    assert!(heard.contains(&Heard::Port(Command::DataBits(Some(7)))), "{heard:?}");
}

#[test]
fn n3_the_modem_state_is_told_when_rfc_2217_begins() {
    let mut rig = Rig::new(TelnetOptions::default());
    rig.session.handle_signals(Signals::NONE);
    rig.hear();
    // Even if all are off: pyserial waits for the first one.
    let first = rig.say(&[255, 251, COM_PORT]);
    assert_eq!(first, [Heard::Port(Command::ModemState(0))]);
    // If the levels are not known yet, as soon as they are.
    let mut session = Session::new(TelnetOptions::default());
    let mut bytes = Bytes::copy_from_slice(&AGREE);
    assert_eq!(session.handle_bytes(&mut bytes), None);
    session.poll_control(&mut BytesMut::new());
    assert!(!session.poll_control(&mut BytesMut::new()));
    session.handle_signals(Signals::DCD);
    let mut out = BytesMut::new();
    assert!(session.poll_control(&mut out));
    assert_eq!(out, sub(&[107, 128]));
}

#[test]
fn n4_a_session_begins_with_the_masks_of_the_rfc() {
    let mut rig = Rig::agreed();
    assert!(!rig.session.is_suspended());
    rig.session.handle_event(wire::EventKind::Break);
    assert_eq!(rig.hear(), [], "the line state mask is 0");
    rig.session.handle_signals(Signals::RI);
    assert_eq!(rig.hear(), [Heard::Port(Command::ModemState(0x43))], "the modem state mask 255");
    assert_eq!(rig.ask(Command::LineStateMask(None)), [Command::LineStateMask(Some(0))]);
    let mask = rig.ask(Command::ModemStateMask(None));
    assert_eq!(mask[0], Command::ModemStateMask(Some(255)));
}
