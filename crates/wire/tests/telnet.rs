//! Telnet as bytes: what is read of them, and what is written. The ids are those of the list of
//! requirements on terminal servers that `terminal-server` keeps.

#[path = "fuzz/bodies.rs"]
#[expect(dead_code, reason = "the bodies for other formats")]
mod bodies;

use bodies::telnet_events;
use bytes::{Bytes, BytesMut};
use wire::TelnetEvent::{Command, Data, Negotiation, Subnegotiation};
use wire::telnet::{
    IAC, MAX_SUBNEGOTIATION, SB, SE, Verb, encode_data, encode_negotiation, encode_subnegotiation,
};
use wire::telnet_options::{Negotiation as Options, Outcome, Side, option};
use wire::{CrLf, TelnetCommand, TelnetEvent, TelnetParser};

#[test]
fn t1_iac_is_doubled_both_ways() {
    for binary in [false, true] {
        let bytes: Vec<u8> = (0..=255).chain([255, 255, 255]).collect();
        let mut out = BytesMut::new();
        encode_data(&bytes, binary, &mut out);
        assert_eq!(out.iter().filter(|byte| **byte == IAC).count(), 8);
        assert_eq!(read(&out, binary), [data(&bytes)]);
    }
}

#[test]
fn t1_every_split_gives_the_same() {
    for binary in [false, true] {
        let whole = read(EVERYTHING, binary);
        assert_eq!(whole.len(), 14, "{whole:?}");
        for first in 0..=EVERYTHING.len() {
            for second in first..=EVERYTHING.len() {
                let pieces =
                    [&EVERYTHING[..first], &EVERYTHING[first..second], &EVERYTHING[second..]];
                assert_eq!(telnet_events(parser(binary), &pieces), whole, "{first}, {second}");
            }
        }
    }
}

#[test]
fn t2_iac_in_a_subnegotiation_is_doubled() {
    for sub in [&[1, 0, 0, 0, IAC][..], &[11, IAC], &[0, b'a', IAC, IAC, SE, IAC, SB], &[]] {
        let mut out = BytesMut::new();
        encode_subnegotiation(44, sub, &mut out);
        let event = Subnegotiation(44, Bytes::copy_from_slice(sub));
        assert_eq!(read(&out, false), [event]);
    }
    let baud_255 = [IAC, SB, 44, 1, 0, 0, 0, IAC, IAC, IAC, SE];
    let mut out = BytesMut::new();
    encode_subnegotiation(44, &[1, 0, 0, 0, 255], &mut out);
    assert_eq!(out, &baud_255[..]);
    // Even the option can be 255.
    let event = Subnegotiation(255, Bytes::from_static(b"x"));
    assert_eq!(read(&[IAC, SB, IAC, IAC, b'x', IAC, SE], true), [event]);
}

/// Some clients forget to double in a subnegotiation. What cannot be a command is content.
#[test]
fn t2_an_iac_that_was_not_doubled_is_content_where_it_can_be() {
    let baud_65280 = [IAC, SB, 44, 1, 0, 0, IAC, 0, IAC, SE];
    let event = Subnegotiation(44, Bytes::from_static(&[1, 0, 0, 255, 0]));
    assert_eq!(read(&baud_65280, true), [event]);
}

#[test]
fn t3_each_unknown_option_is_refused_once_however_often_it_is_asked_for() {
    let mut options = Options::new(&[option::BINARY], &[option::BINARY]);
    let mut replies = Vec::new();
    for round in 0..1000 {
        for option in 4..=43 {
            for verb in [Verb::Will, Verb::Wont, Verb::Do, Verb::Dont] {
                let outcome = options.handle(verb, option);
                assert_eq!(outcome.change, None);
                replies.extend(outcome.reply.map(|reply| (round, option, verb, reply)));
            }
        }
    }
    let first = (4..=43).flat_map(|option| {
        [(0, option, Verb::Will, Verb::Dont), (0, option, Verb::Do, Verb::Wont)]
    });
    assert_eq!(replies, first.collect::<Vec<_>>());
}

#[test]
fn t3_only_a_change_is_answered() {
    let mut options = Options::new(&[option::BINARY], &[option::BINARY]);
    let on = Outcome { reply: Some(Verb::Do), change: Some((Side::Them, true)) };
    let off = Outcome { reply: Some(Verb::Dont), change: Some((Side::Them, false)) };
    assert_eq!(options.handle(Verb::Wont, option::BINARY), Outcome::default());
    for _ in 0..1000 {
        assert_eq!(options.handle(Verb::Will, option::BINARY), on);
        assert!(options.is_on(Side::Them, option::BINARY));
        assert_eq!(options.handle(Verb::Will, option::BINARY), Outcome::default());
        assert_eq!(options.handle(Verb::Wont, option::BINARY), off);
        assert!(!options.is_on(Side::Them, option::BINARY));
        assert_eq!(options.handle(Verb::Wont, option::BINARY), Outcome::default());
    }
    assert!(!options.is_on(Side::Us, option::BINARY), "the other direction is another matter");
}

#[test]
fn t3_an_answer_to_our_request_is_not_answered() {
    let mut options = Options::new(&[option::ECHO], &[option::BINARY]);
    assert_eq!(options.ask(Side::Us, option::ECHO, true), Some(Verb::Will));
    assert_eq!(options.ask(Side::Us, option::ECHO, true), None, "asked already");
    let on = Outcome { reply: None, change: Some((Side::Us, true)) };
    assert_eq!(options.handle(Verb::Do, option::ECHO), on);
    assert_eq!(options.ask(Side::Them, option::BINARY, true), Some(Verb::Do));
    assert_eq!(options.handle(Verb::Wont, option::BINARY), Outcome::default());
    assert!(!options.is_on(Side::Them, option::BINARY));
}

/// The queue bit of RFC 1143: a change of mind before the peer has answered.
#[test]
fn t3_a_change_of_mind_waits_for_the_answer() {
    let mut options = Options::new(&[option::ECHO], &[]);
    assert_eq!(options.ask(Side::Us, option::ECHO, true), Some(Verb::Will));
    assert_eq!(options.ask(Side::Us, option::ECHO, false), None);
    let outcome = options.handle(Verb::Do, option::ECHO);
    assert_eq!(outcome, Outcome { reply: Some(Verb::Wont), change: None });
    assert_eq!(options.ask(Side::Us, option::ECHO, true), None);
    let outcome = options.handle(Verb::Dont, option::ECHO);
    assert_eq!(outcome, Outcome { reply: Some(Verb::Will), change: None });
    let outcome = options.handle(Verb::Do, option::ECHO);
    assert_eq!(outcome, Outcome { reply: None, change: Some((Side::Us, true)) });
    assert_eq!(options.ask(Side::Us, option::ECHO, false), Some(Verb::Wont));
    assert_eq!(options.handle(Verb::Dont, option::ECHO), Outcome::default());
}

/// Two sides that both want everything, and hear each other late, come to rest.
#[test]
fn t3_two_sides_never_loop() {
    let all = [option::BINARY, option::ECHO, option::SUPPRESS_GO_AHEAD, option::COM_PORT];
    let mut sides = [Options::new(&all, &all), Options::new(&all, &all)];
    let mut wires = [Vec::new(), Vec::new()];
    for (side, wire) in sides.iter_mut().zip(&mut wires) {
        for option in all {
            let verbs = [Side::Us, Side::Them].map(|whose| side.ask(whose, option, true));
            wire.extend(verbs.into_iter().flatten().map(|verb| (verb, option)));
        }
    }
    let mut said = 0;
    while let Some(from) = wires.iter().position(|wire| !wire.is_empty()) {
        for (verb, option) in std::mem::take(&mut wires[from]) {
            said += 1;
            let reply = sides[1 - from].handle(verb, option).reply;
            wires[1 - from].extend(reply.map(|verb| (verb, option)));
        }
    }
    assert_eq!(said, 16, "a request each way for four options, and no answers");
    for option in all {
        for side in &sides {
            assert!(side.is_on(Side::Us, option) && side.is_on(Side::Them, option));
        }
    }
}

#[test]
fn t5_cr_nul_becomes_cr_until_data_is_binary() {
    let text = b"a\r\0b\r\nc\rd\r\r\0\0\r";
    assert_eq!(read(text, false), [data(b"a\rb\r\nc\rd\r\r\0\r")]);
    assert_eq!(read(text, true), [data(text)]);
    let as_keys = TelnetParser::new(CrLf::Cr);
    assert_eq!(telnet_events(as_keys, &[text]), [data(b"a\rb\rc\rd\r\r\0\r")]);
}

#[test]
fn t5_the_nul_may_come_later() {
    let pieces: [&[u8]; 4] = [b"a\r", b"", b"\0b\r", b"\n"];
    assert_eq!(telnet_events(parser(false), &pieces), [data(b"a\rb\r\n")]);
    // Even behind a command, and not instead of one.
    let command = Command(TelnetCommand::Other(241));
    let pieces: [&[u8]; 3] = [b"\r", &[IAC, 241], b"\0\0"];
    let whole = [data(b"\r"), command, data(b"\0")];
    assert_eq!(telnet_events(parser(false), &pieces), whole);
    assert_eq!(read(&pieces.concat(), false), whole);
    // Once data is binary it is data.
    let mut parser = parser(false);
    assert_eq!(parser.handle_bytes(&mut Bytes::from_static(b"\r")), Some(data(b"\r")));
    parser.set_binary(true);
    assert_eq!(parser.handle_bytes(&mut Bytes::from_static(b"\0")), Some(data(b"\0")));
}

#[test]
fn t5_a_bare_cr_is_sent_with_a_nul_until_data_is_binary() {
    let sent = |pieces: &[&[u8]], binary| {
        let mut out = BytesMut::new();
        pieces.iter().for_each(|piece| encode_data(piece, binary, &mut out));
        out
    };
    assert_eq!(sent(&[b"a\rb\r\nc\0\r"], false), &b"a\r\0b\r\nc\0\r\0"[..]);
    assert_eq!(sent(&[b"a\r", b"\nb"], false), &b"a\r\0\nb"[..], "which means the same");
    assert_eq!(sent(&[b"a\rb\r\nc\0\r"], true), &b"a\rb\r\nc\0\r"[..]);
    assert_eq!(sent(&[&[b'\r', IAC, b'\r']], false), &[b'\r', 0, IAC, IAC, b'\r', 0][..]);
    let mut out = BytesMut::new();
    encode_negotiation(Verb::Dont, IAC, &mut out);
    assert_eq!(out, &[IAC, 254, IAC][..]);
}

#[test]
fn t6_commands_are_told_and_eat_no_data() {
    let mut stream = vec![b'a'];
    for command in (0..=239).chain(241..=249) {
        stream.extend([IAC, command, b'a']);
    }
    let events = read(&stream, false);
    assert_eq!(events.iter().filter(|event| **event == data(b"a")).count(), 250);
    let named = [TelnetCommand::Break, TelnetCommand::AreYouThere, TelnetCommand::DataMark];
    for (byte, command) in [243, 246, 242].into_iter().zip(named) {
        assert_eq!(read(&[b'a', IAC, byte], true), [data(b"a"), Command(command)]);
    }
    assert_eq!(read(&[b'a', IAC, SE, b'b'], false), [data(b"ab")], "SE outside is nothing");
}

#[test]
fn t6_a_command_inside_a_subnegotiation_does_not_lose_its_place() {
    let within = [IAC, SB, 44, 5, IAC, 246, 4, IAC, SE, b'x'];
    let five_four = Subnegotiation(44, Bytes::from_static(&[5, 4]));
    let there = Command(TelnetCommand::AreYouThere);
    assert_eq!(read(&within, true), [there, five_four.clone(), data(b"x")]);
    // A request, or another beginning, shows that the end was lost.
    let lost = [IAC, SB, 44, 9, IAC, 253, 0, IAC, SB, 7, IAC, SB, 44, 5, 4, IAC, SE, b'x'];
    let mut parser = parser(true);
    let mut input = Bytes::copy_from_slice(&lost);
    let events: Vec<_> = std::iter::from_fn(|| parser.handle_bytes(&mut input)).collect();
    assert_eq!(events, [Negotiation(Verb::Do, 0), five_four, data(b"x")]);
    assert_eq!(parser.skipped(), 2);
}

#[test]
fn t7_data_before_the_mark_is_discarded_and_commands_are_not() {
    let stream = [&b"lost\r"[..], &[IAC, IAC, IAC, 243, b'l', IAC, 253, 0, IAC, 242], b"\0kept"];
    let mut parser = TelnetParser::default();
    parser.handle_urgent();
    let events = telnet_events(parser, &stream);
    let marked = Command(TelnetCommand::DataMark);
    let begin = [Command(TelnetCommand::Break), Negotiation(Verb::Do, 0), marked.clone()];
    assert_eq!(events, [&begin[..], &[data(b"\0kept")]].concat());
    // Without urgent data the mark is nothing.
    assert_eq!(read(&[b'a', IAC, 242, b'b'], false), [data(b"a"), marked, data(b"b")]);
}

#[test]
fn t8_an_oversize_subnegotiation_is_skipped_to_its_end() {
    for (len, fits) in [(MAX_SUBNEGOTIATION, true), (MAX_SUBNEGOTIATION + 1, false)] {
        let content = vec![IAC; len];
        let mut out = BytesMut::new();
        encode_subnegotiation(24, &content, &mut out);
        out.extend(*b"after");
        let mut parser = parser(true);
        let mut input = out.freeze();
        let events: Vec<_> = std::iter::from_fn(|| parser.handle_bytes(&mut input)).collect();
        let sub = fits.then(|| Subnegotiation(24, content.into()));
        let wanted: Vec<_> = sub.into_iter().chain([data(b"after")]).collect();
        assert_eq!(events, wanted, "{len} bytes");
        assert_eq!(parser.skipped(), u64::from(!fits));
    }
}

#[test]
fn t8_an_endless_subnegotiation_gives_nothing_and_ends_with_its_end() {
    let mut parser = parser(false);
    let mut feed = |bytes: Vec<u8>| parser.handle_bytes(&mut bytes.into());
    assert_eq!(feed(vec![IAC, SB, 44]), None);
    for _ in 0..10_000 {
        assert_eq!(feed(vec![b'x'; 1024]), None);
    }
    assert_eq!(feed(vec![IAC, SE]), None);
    assert_eq!(feed(b"alive".to_vec()), Some(data(b"alive")));
    assert_eq!(parser.skipped(), 1);
}

#[test]
fn t8_a_subnegotiation_of_nothing_or_of_other_options_does_no_harm() {
    assert_eq!(read(&[IAC, SB, IAC, SE, b'a'], false), [data(b"a")]);
    let naws = Subnegotiation(31, Bytes::from_static(&[0, 80, 0, 24]));
    let ttype = Subnegotiation(24, Bytes::from_static(b"\0XTERM"));
    let mut out = BytesMut::new();
    encode_subnegotiation(31, &[0, 80, 0, 24], &mut out);
    encode_subnegotiation(24, b"\0XTERM", &mut out);
    assert_eq!(read(&out, false), [naws, ttype]);
}

/// Bulk speed rests on this: what holds no command is handed on as it lies in memory.
#[test]
fn data_without_commands_is_not_copied() {
    let mut input = Bytes::from(vec![b'd'; 4096]);
    let at = input.as_ptr();
    let Some(Data(whole)) = parser(true).handle_bytes(&mut input) else { panic!("data") };
    assert_eq!((whole.as_ptr(), whole.len(), input.len()), (at, 4096, 0));
}

fn parser(binary: bool) -> TelnetParser {
    let mut parser = TelnetParser::new(CrLf::Keep);
    parser.set_binary(binary);
    parser
}

fn read(stream: &[u8], binary: bool) -> Vec<TelnetEvent> {
    telnet_events(parser(binary), &[stream])
}

fn data(bytes: &[u8]) -> TelnetEvent {
    Data(Bytes::copy_from_slice(bytes))
}

/// A little of everything, with data in between.
const EVERYTHING: &[u8] = &[
    b'a', IAC, IAC, b'\r', 0, b'b', b'\r', b'\n', IAC, 241, b'\r', IAC, 253, 3, 0, b'c', IAC, SB,
    44, 1, 0, 0, IAC, IAC, IAC, SE, IAC, IAC, IAC, IAC, IAC, 243, b'\r', IAC, IAC, 0, IAC, SE,
    b'd', IAC, SB, 24, IAC, SE, IAC, 7, b'\r', b'\r', 0, IAC, SB, 44, 9, IAC, 252, 1, IAC, SB, IAC,
    SE, b'e',
];
