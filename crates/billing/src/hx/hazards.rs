//! The takeover hazards by their names, cut frames, and any bytes at all.
#![deny(clippy::disallowed_methods)]

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::stories::{HOUR, assert_posted_once, chain};
use super::*;
use crate::bid::abuse::{self, WALL};
use crate::bid::chain::Chain;
use crate::bid::values::Draw;
use crate::bid::{Check, frame};
use crate::billing_end::{BillingEnd, SimEvent};
use crate::gateway::{Notice, Resume};

const TEXTS: &[&str] = &[
    "001A HTL 06/18  2781 12:35 0004 $010.50 805-688-1000 L",
    "002A HTL 06/18  2781 12:36 0004 $010.50 805-688-1000 L",
    "001A HTL 06/18  2782 12:35 0004 $010.50 805-688-1000 L",
    "odd",
];

fn billing() -> Billing {
    Billing::new(Settings::default(), 1, WALL, Duration::ZERO)
}

fn gateway() -> Gateway {
    let resume = Resume { acked: 0, note: None, cut: false, last_number: 0, wall: WALL };
    Gateway::new(Settings::default(), resume, Duration::ZERO)
}

/// What the billing system says to the bytes, and what it makes of them.
fn hear(billing: &mut Billing, bytes: &[u8]) -> (Vec<Bytes>, Vec<SimEvent>) {
    billing.handle_bytes(bytes, Duration::from_secs(1));
    let frames = std::iter::from_fn(|| billing.poll_transmit()).collect();
    (frames, std::iter::from_fn(|| billing.poll_event()).collect())
}

#[test]
fn f1_half_a_record_and_silence_is_dropped_without_an_answer() {
    let mut billing = billing();
    hear(&mut billing, b"\x05\x02001A HTL");
    billing.handle_timeout(Duration::from_secs(9));
    assert_eq!(billing.poll_transmit(), None);
    let bytes = Bytes::from_static(b"\x02001A HTL");
    assert_eq!(billing.poll_event(), Some(SimEvent::Partial { bytes }));
    let (frames, _) = hear(&mut billing, &frame(Check::Xor, TEXTS[0].as_bytes()));
    assert_eq!(frames, [b"\x06".as_slice()]);
}

#[test]
fn f2_half_a_record_and_the_bid_of_another_is_answered_and_never_spliced() {
    let mut billing = billing();
    let (frames, events) = hear(&mut billing, b"\x05\x02001A HTL\x05");
    assert_eq!(frames, [b"\x06".as_slice(), b"\x06"]);
    let bytes = Bytes::from_static(b"\x02001A HTL");
    assert_eq!(events.last(), Some(&SimEvent::Interleave { bytes }));
}

#[test]
fn f3_same_number_and_text_is_acknowledged_and_another_text_is_a_conflict() {
    let mut billing = billing();
    for (text, wanted) in [(0, "Posted"), (0, "Repeated"), (2, "Conflict"), (1, "Posted")] {
        let text = frame(Check::Xor, TEXTS[text].as_bytes());
        let (frames, events) = hear(&mut billing, &[b"\x05", &text[..]].concat());
        assert_eq!(frames, [b"\x06".as_slice(), b"\x06"]);
        let names: Vec<_> = events.iter().map(|event| format!("{event:?}")).collect();
        assert!(names.last().unwrap().starts_with(wanted), "{names:?}");
    }
}

#[test]
fn f5_an_acknowledgement_is_all_there_is_to_lose() {
    // The node dies after each byte of the ACK's way through it; the successor reads it again.
    let settings = Settings::default();
    for wait in 0..4 {
        let mut chain = chain(settings, 1);
        chain.run(HOUR, |chain| chain.frames.len() == 4);
        for _ in 0..wait {
            chain.tick();
        }
        chain.kill(Duration::from_millis(50));
        chain.run(HOUR, Chain::is_all_settled);
        assert_posted_once(&chain, &settings);
        assert_eq!(chain.frames.len(), 4, "{:?}", chain.frames);
    }
}

#[test]
fn f6_bytes_of_two_senders_make_no_record() {
    let (one, two) =
        (frame(Check::Xor, TEXTS[0].as_bytes()), frame(Check::Xor, TEXTS[1].as_bytes()));
    for cut in 1..one.len() - 1 {
        let mut billing = billing();
        let (_, events) = hear(&mut billing, &[b"\x05", &one[..cut], &two, &one[cut..]].concat());
        let posted = events.iter().filter(|event| matches!(event, SimEvent::Posted { .. })).count();
        let mixed = events.iter().filter(|e| matches!(e, SimEvent::Interleave { .. })).count();
        assert_eq!((posted, mixed), (1, 1), "{cut}: {events:?}");
    }
}

#[test]
fn f7_a_successors_first_byte_is_taken_for_a_check_and_no_charge_is_lost() {
    // A charge whose check is STX: the billing system acknowledges the record of the dead node while
    // the successor sends its own.
    let settings = |id| Settings { property: [b'H', b'T', id], ..Settings::default() };
    let check = |id: u8| {
        let content = record::content(&generate::charge(5, 1), &settings(id)).unwrap();
        Check::Xor.of(&record::compose(*b"001A", &content))
    };
    for wanted in [0x02, 0x05, 0x06] {
        let settings = settings((0x20..0x7f).find(|id| check(*id) == wanted).unwrap());
        for pause in [0, 200, 4000, 30_000].map(Duration::from_millis) {
            let mut chain = chain(settings, 0);
            chain.post(generate::charge(5, 1));
            chain.post(generate::charge(5, 2));
            // ENQ, ACK, STX, 54 columns, ETX: all but the check.
            chain.run(HOUR, |chain| chain.bytes == 58);
            chain.cut(pause);
            chain.lose_store();
            chain.run(HOUR, Chain::is_all_settled);
            chain.label = format!("check {wanted:02x}, pause {pause:?}: {:?}", chain.frames);
            assert_posted_once(&chain, &settings);
        }
    }
}

#[test]
fn a_frame_cut_at_every_byte_loses_and_doubles_nothing() {
    let settings = Settings::default();
    let mut whole = chain(settings, 3);
    whole.run(HOUR, Chain::is_all_settled);
    for at in 0..=whole.bytes {
        for pause in [0, 200, 4000, 30_000].map(Duration::from_millis) {
            let mut chain = chain(settings, 3);
            chain.label = format!("cut at {at}, pause {pause:?}");
            chain.run(HOUR, |chain| chain.bytes >= at);
            chain.cut(pause);
            chain.lose_store();
            chain.run(HOUR, Chain::is_all_settled);
            assert_posted_once(&chain, &settings);
        }
    }
}

#[test]
fn kills_on_a_lossy_line_lose_and_double_nothing() {
    let settings = Settings::default();
    for seed in 0..40 {
        let mut chain = chain(settings, 20);
        chain.label = format!("seed {seed}");
        chain.noise = Some((Draw::new(seed, 0), 6));
        let mut draw = Draw::new(seed, 1);
        for _ in 0..12 {
            let bytes = chain.bytes + draw.below(300) as usize;
            chain.run(HOUR, |chain| chain.bytes >= bytes || chain.is_all_settled());
            let pause = Duration::from_millis(draw.below(12_000));
            if draw.below(2) == 0 { chain.kill(pause) } else { chain.cut(pause) }
        }
        chain.run(20 * HOUR, Chain::is_all_settled);
        assert_posted_once(&chain, &settings);
    }
}

#[test]
fn a_note_that_cannot_be_read_is_reported_and_the_store_is_asked() {
    let note = Some(Bytes::from_static(b"\x01nonsense"));
    let resume = Resume { acked: 7, note, cut: false, last_number: 41, wall: WALL };
    let mut gateway = Gateway::new(Settings::default(), resume, Duration::ZERO);
    let gateway: &mut dyn crate::Gateway = &mut gateway;
    assert_eq!(gateway.poll_event(), Some(Notice::NoteRefused));
    assert_eq!(gateway.ledger().unwrap().last(), 41);
    assert!(gateway.needs_last(), "what it said about numbers is lost");
    // Its own replaces it at once.
    assert!(gateway.poll_output().is_some_and(|output| output.note.is_some() && output.ack == 7));
}

proptest! {
    #[test]
    fn a_gateway_keeps_to_its_contract_whatever_happens(deeds in abuse::deeds(TEXTS)) {
        let make = |resume, now| -> Box<dyn crate::Gateway> {
            Box::new(Gateway::new(Settings::default(), resume, now))
        };
        abuse::abuse_gateway(make, |n| generate::charge(1, n), &deeds);
    }

    #[test]
    fn a_billing_system_keeps_to_its_contract_whatever_happens(deeds in abuse::deeds(TEXTS)) {
        abuse::abuse_billing(Box::new(billing()), &deeds);
    }

    #[test]
    fn any_chunks_say_the_same(stream in abuse::stream(TEXTS), longest in 1..40_usize) {
        let whole = abuse::feed(Box::new(gateway()), &stream, usize::MAX);
        prop_assert_eq!(abuse::feed(Box::new(gateway()), &stream, longest), whole);
        let whole = abuse::hear(Box::new(billing()), &stream, usize::MAX);
        prop_assert_eq!(abuse::hear(Box::new(billing()), &stream, longest), whole);
    }
}
