//! The takeover hazards by their names, cut frames, and any bytes at all.
#![deny(clippy::disallowed_methods)]

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::stories::{HOUR, answers, assert_answered_once, chain, is_done, response, settings};
use super::*;
use crate::bid::abuse::{self, WALL};
use crate::bid::values::Draw;
use crate::bid::{Check, frame};
use crate::billing_end::SimEvent;
use crate::gateway::{Notice, Reply, Resume, Write};

const TEXTS: &[&str] = &[
    "000417 AU 2781 39 ADD",
    "000418 RF 2781",
    "000417 DA 2781 39 DEL",
    "LO B",
    "LF",
    "000417",
    "odd",
    "000417 OK",
    "000001 ER 17 TK",
    "000417 07 AU 2781 39",
    "000417 08 DA 2781 39",
];

/// Sites where an abused gateway stands.
const SITES: &[&[(&str, &str)]] =
    &[&[], &[("logon", "B"), ("idle_logoff", "20s")], &[("unit_id", "07")]];

fn gateway(pairs: &[(&str, &str)]) -> Box<dyn crate::Gateway> {
    let resume = Resume { acked: 0, note: None, cut: false, last_number: 0, wall: WALL };
    Box::new(Gateway::new(settings(pairs), resume, Duration::ZERO))
}

fn billing(pairs: &[(&str, &str)]) -> Box<Billing> {
    Box::new(Billing::new(settings(pairs), 1, WALL, Duration::ZERO))
}

fn text(text: &str) -> Vec<u8> {
    frame(Check::Xor, text.as_bytes()).to_vec()
}

/// The gateway's frames, what it wrote, and what it noticed.
fn drain(gateway: &mut dyn crate::Gateway) -> (Vec<Bytes>, Vec<Write>, Vec<Notice>) {
    let writes = std::iter::from_fn(|| gateway.poll_write()).collect();
    let frames = std::iter::from_fn(|| gateway.poll_output()).map(|output| output.bytes);
    let frames = frames.filter(|bytes| !bytes.is_empty()).collect();
    (frames, writes, std::iter::from_fn(|| gateway.poll_event()).collect())
}

#[test]
fn f1_half_a_command_and_silence_is_not_acknowledged() {
    let mut chain = chain(&settings(&[]), 0);
    chain.inject(b"\x05\x02000417 AU");
    chain.run(Duration::from_secs(20), |_| false);
    assert_eq!(chain.frames.len(), 1, "{:?}", chain.frames);
    assert!(chain.notices.contains(&Notice::Partial { start: 1, end: 11 }));
    assert_eq!(chain.inbox.len(), 0);
}

#[test]
fn f2_a_tail_without_a_head_is_passed_over_and_refused_to_a_sender_that_waits() {
    let mut gateway = gateway(&[]);
    let tail = text(TEXTS[0])[9..].to_vec();
    gateway.handle_input(0, &tail, Duration::ZERO);
    assert!(drain(gateway.as_mut()).0.is_empty());
    let at = tail.len() as u64;
    gateway.handle_input(at, &[b"\x05", &tail[..], b"\x05"].concat(), Duration::ZERO);
    let (frames, writes, _) = drain(gateway.as_mut());
    // Asked again, it repeats what it last took: nothing. So its peer sends the text again.
    assert_eq!(frames, [b"\x10\x30".as_slice(), b"\x15", b"\x10\x30"]);
    assert_eq!(writes, []);
}

#[test]
fn f3_a_command_that_comes_again_is_taken_once_and_its_number_with_another_text_is_refused() {
    let mut gateway = gateway(&[]);
    let one = [b"\x05", &text(TEXTS[0])[..], b"\x04"].concat();
    let other = [b"\x05", &text(TEXTS[2])[..], b"\x04"].concat();
    let mut at = 0;
    let mut say = |gateway: &mut dyn crate::Gateway, bytes: &[u8]| {
        gateway.handle_input(at, bytes, Duration::ZERO);
        at += bytes.len() as u64;
        drain(gateway)
    };
    assert_eq!(say(gateway.as_mut(), &one).1.len(), 1);
    let (frames, writes, notices) = say(gateway.as_mut(), &one);
    assert_eq!((frames.len(), writes.len()), (2, 0));
    assert_eq!(notices, [Notice::Repeated { number: Some(417) }]);
    // While the reply is awaited the other text is not even taken.
    let (frames, writes, _) = say(gateway.as_mut(), &other);
    assert_eq!((&frames[1][..], writes.len()), (&b"\x15"[..], 0));
    gateway.handle_reply(417, Reply::Ok, Duration::ZERO);
    assert_eq!(drain(gateway.as_mut()).0, [b"\x05".as_slice()]);
    gateway.handle_written(7, Duration::ZERO);
    // Asked for the wrong number, it says so and carries nothing out.
    let (frames, ..) = say(gateway.as_mut(), b"\x10\x30");
    assert_eq!(frames, [frame(Check::Xor, b"000417 OK")]);
    gateway.handle_written(8, Duration::ZERO);
    say(gateway.as_mut(), b"\x10\x31");
    let (frames, writes, notices) = say(gateway.as_mut(), &other);
    assert!(notices.contains(&Notice::Unexpected { what: "another command's number" }));
    assert!(matches!(&writes[..], [Write::Receive(record)]
        if record.handled_by == crate::gateway::HandledBy::Nobody));
    assert_eq!(frames.last().unwrap()[..], *b"\x05");
    gateway.handle_written(12, Duration::ZERO);
    let (frames, ..) = say(gateway.as_mut(), b"\x10\x30");
    assert_eq!(frames, [frame(Check::Xor, b"000417 ER SQ")]);
    gateway.handle_written(13, Duration::ZERO);
    // The first one's result is not forgotten for that.
    say(gateway.as_mut(), b"\x10\x31");
    let (_, writes, _) = say(gateway.as_mut(), &one);
    assert_eq!(writes, []);
    gateway.handle_written(17, Duration::ZERO);
    let (frames, ..) = say(gateway.as_mut(), b"\x10\x30");
    assert_eq!(frames, [frame(Check::Xor, b"000417 OK")]);
}

#[test]
fn a_refused_number_leaves_the_result_that_could_not_be_given() {
    // The response to the first text is not taken; the second text is refused, and its refusal is
    // not taken either; a successor goes on with that, and gives the first one its result again.
    let one = [b"\x05", &text(TEXTS[0])[..], b"\x04"].concat();
    let other = [b"\x05", &text(TEXTS[2])[..], b"\x04"].concat();
    let mut first = gateway(&[]);
    first.handle_input(0, &one, Duration::ZERO);
    first.handle_reply(417, Reply::Ok, Duration::ZERO);
    drain(first.as_mut());
    first.handle_written(3, Duration::ZERO);
    // It gives up after three bids, and hears the other text.
    for _ in 0..3 {
        let now = first.poll_timeout().unwrap();
        first.handle_timeout(now);
        drain(first.as_mut());
        first.handle_written(9, now);
    }
    let (at, now) = (one.len() as u64, Duration::from_secs(20));
    first.handle_input(at, &other, now);
    let outputs: Vec<_> = std::iter::from_fn(|| first.poll_output()).collect();
    assert_eq!(outputs.last().unwrap().bytes[..], *b"\x05", "it bids to say that it refuses");
    let note = outputs.into_iter().filter_map(|output| output.note).next_back();
    let acked = at + other.len() as u64;
    let resume = Resume { acked, note, cut: false, last_number: 0, wall: WALL };
    let mut next: Box<dyn crate::Gateway> = Box::new(Gateway::new(settings(&[]), resume, now));
    next.handle_input(acked, b"\x10\x30", now);
    assert_eq!(drain(next.as_mut()).0, [frame(Check::Xor, b"000417 ER SQ")]);
    next.handle_written(1, now);
    next.handle_input(acked + 2, &[b"\x10\x31", &one[..]].concat(), now);
    let (_, writes, _) = drain(next.as_mut());
    assert_eq!(writes, [], "it was carried out");
    next.handle_written(9, now);
    next.handle_input(acked + 4 + one.len() as u64, b"\x10\x30", now);
    assert_eq!(drain(next.as_mut()).0, [frame(Check::Xor, b"000417 OK")]);
}

#[test]
fn another_units_command_with_our_number_leaves_our_result_and_its_way_out() {
    let (ours, others) = (text("000001 07 AU 2781 39"), text("000001 08 DA 2781 39"));
    let site = &[("unit_id", "07")];
    let mut first = gateway(site);
    let once = [b"\x05", &ours[..], b"\x04\x05"].concat();
    first.handle_input(0, &once, Duration::ZERO);
    // The reply comes while the billing system has the line, and waits for its end.
    first.handle_reply(1, Reply::Ok, Duration::ZERO);
    first.handle_input(once.len() as u64, &others, Duration::ZERO);
    let outputs: Vec<_> = std::iter::from_fn(|| first.poll_output()).collect();
    let notes: Vec<_> = outputs.iter().filter_map(|output| output.note.clone()).collect();
    for (at, note) in notes.iter().enumerate() {
        assert!(note::Note::decode(note.clone()).is_some(), "the note of step {at}");
    }
    let (acked, now) = ((once.len() + others.len()) as u64, Duration::from_secs(1));
    let resume =
        Resume { acked, note: notes.last().cloned(), cut: false, last_number: 0, wall: WALL };
    let mut next: Box<dyn crate::Gateway> = Box::new(Gateway::new(settings(site), resume, now));
    let again = [b"\x05", &ours[..], b"\x04"].concat();
    next.handle_input(acked, &again, now);
    let (frames, writes, notices) = drain(next.as_mut());
    assert_eq!(writes, [], "it was carried out");
    assert_eq!(notices.last(), Some(&Notice::Repeated { number: Some(1) }));
    assert_eq!(frames.last().unwrap()[..], *b"\x05");
    next.handle_written(frames.len() as u64, now);
    next.handle_input(acked + again.len() as u64, b"\x10\x30", now);
    assert_eq!(drain(next.as_mut()).0, [frame(Check::Xor, b"000001 OK")]);
}

#[test]
fn f4_a_successor_that_has_a_response_to_give_begins_with_a_harmless_bid() {
    let mut chain = chain(&settings(&[]), 1);
    chain.reply_after = Duration::from_secs(5);
    chain.run(HOUR, |chain| chain.now > Duration::from_secs(3));
    chain.frames.clear();
    chain.kill(Duration::from_secs(1));
    chain.run(HOUR, is_done);
    assert_eq!(chain.frames[0], (true, Bytes::from_static(b"\x05")));
    assert_answered_once(&chain, 1);
}

#[test]
fn f6_a_second_response_to_one_command_is_seen() {
    let mut chain = chain(&settings(&[]), 1);
    chain.run(HOUR, is_done);
    chain.run(Duration::from_secs(1), |_| false);
    let again = |chain: &mut crate::bid::chain::Chain, response: &str| {
        let now = chain.now;
        chain.billing.handle_bytes(&[b"\x05", &text(response)[..], b"\x04"].concat(), now);
        chain.events.clear();
        chain.drain_billing();
        chain.events.pop().unwrap()
    };
    assert_eq!(again(&mut chain, "000001 OK"), SimEvent::Repeated { number: 1 });
    let bytes = Bytes::from_static(b"000001 ER 99");
    assert_eq!(again(&mut chain, "000001 ER 99"), SimEvent::LateAnswer { bytes });
    let bytes = Bytes::from_static(b"\x02000001");
    let now = chain.now;
    chain.billing.handle_bytes(&[b"\x05\x02000001", &text("000001 OK")[..]].concat(), now);
    chain.drain_billing();
    assert!(chain.events.contains(&SimEvent::Interleave { bytes }), "{:?}", chain.events);
}

#[test]
fn f7_a_successors_first_byte_is_taken_for_a_check_and_the_response_arrives() {
    // Responses whose check looks like STX, ENQ or DLE, cut before it.
    for wanted in [0x02, 0x05, 0x10] {
        let number = (1..1_000_000).find(|n| Check::Sum.of(&response(*n)) == wanted).unwrap();
        for pause in [0, 200, 4000, 8000].map(Duration::from_millis) {
            let mut chain = chain(&settings(&[("check", "sum")]), 0);
            chain.billing.send(number, chain.now);
            let is_cut = |chain: &crate::bid::chain::Chain| {
                chain.frames.iter().filter(|(gateway, _)| *gateway).count() == 4
            };
            chain.run(HOUR, is_cut);
            assert!((0..response(number).len() + 1).all(|_| chain.tick()));
            chain.cut(pause);
            chain.run(HOUR, is_done);
            let found = answers(&chain);
            assert_eq!(found, [(number, response(number))], "{wanted:02x} {:?}", chain.frames);
            assert_eq!(chain.handled.len(), 1);
        }
    }
}

#[test]
fn a_frame_cut_at_every_byte_gives_each_command_its_response() {
    let site = settings(&[]);
    let mut whole = chain(&site, 3);
    whole.run(HOUR, is_done);
    for at in 0..=whole.bytes {
        for pause in [0, 200, 4000, 8000, 40_000].map(Duration::from_millis) {
            let mut chain = chain(&site, 3);
            chain.label = format!("cut at {at}, pause {pause:?}");
            chain.run(HOUR, |chain| chain.bytes >= at);
            chain.cut(pause);
            chain.run(HOUR, is_done);
            assert_answered_once(&chain, 3);
        }
    }
}

#[test]
fn kills_on_a_lossy_line_lose_and_double_nothing() {
    for seed in 0..40 {
        let mut chain = chain(&settings(&[("resends", "99")]), 20);
        chain.label = format!("seed {seed}");
        chain.noise = Some((Draw::new(seed, 0), 8));
        let mut draw = Draw::new(seed, 1);
        for _ in 0..12 {
            let bytes = chain.bytes + draw.below(300) as usize;
            chain.run(HOUR, |chain| chain.bytes >= bytes || is_done(chain));
            let pause = Duration::from_millis(draw.below(12_000));
            if draw.below(2) == 0 { chain.kill(pause) } else { chain.cut(pause) }
        }
        chain.run(20 * HOUR, is_done);
        let wanted: Vec<_> = (1..=20).map(|serial| (serial, response(serial))).collect();
        assert_eq!(answers(&chain), wanted, "{}", chain.label);
        assert_eq!(chain.handled.len(), 20, "{}", chain.label);
    }
}

proptest! {
    #[test]
    fn a_gateway_keeps_to_its_contract_whatever_happens(
        deeds in abuse::deeds(TEXTS),
        pairs in prop::sample::select(SITES),
    ) {
        let make = |resume, now| -> Box<dyn crate::Gateway> {
            Box::new(Gateway::new(settings(pairs), resume, now))
        };
        abuse::abuse_gateway(make, |n| crate::hx::generate::charge(1, n), &deeds);
    }

    #[test]
    fn a_billing_system_keeps_to_its_contract_whatever_happens(
        deeds in abuse::deeds(TEXTS),
        logon in any::<bool>(),
    ) {
        let pairs: &[_] = if logon { &[("logon", "B")] } else { &[] };
        abuse::abuse_billing(billing(pairs), &deeds);
    }

    #[test]
    fn any_chunks_say_the_same(stream in abuse::stream(TEXTS), longest in 1..40_usize) {
        let whole = abuse::feed(gateway(&[]), &stream, usize::MAX);
        prop_assert_eq!(abuse::feed(gateway(&[]), &stream, longest), whole);
        let whole = abuse::hear(billing(&[]), &stream, usize::MAX);
        prop_assert_eq!(abuse::hear(billing(&[]), &stream, longest), whole);
    }
}
