//! For tests: gateways and billing systems among any bytes, timers and takeovers.
#![deny(clippy::disallowed_methods)]

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::check::{Check, frame};
use crate::BillingEnd;
use crate::billing_end::{Misdeed, SimEvent};
use crate::civil::WallClock;
use crate::gateway::{Gateway, LineNews, Notice, Output, Posting, Reply, Resume, Write};

/// Something that happens to either end.
#[derive(Debug, Clone)]
pub(crate) enum Deed {
    Bytes(Vec<u8>),
    Wait(u64),
    Written,
    Damage,
    Gap(u64),
    /// A charge for the gateway, a command for the billing system.
    Work(u64),
    Reply(bool),
    TakeOver,
    Device(bool),
    Misdeed(u32, u8),
}

/// Any deeds; among the bytes are whole frames of these texts.
pub(crate) fn deeds(texts: &'static [&'static str]) -> impl Strategy<Value = Vec<Deed>> {
    let words =
        prop::sample::select(&b"\x05\x04\x06\x15\x10\x300\x10\x311\x10\x3b;<\x02\x03A 07"[..]);
    let text = prop::sample::select(texts);
    let deed = prop_oneof![
        4 => prop::collection::vec(words, 1..6).prop_map(Deed::Bytes),
        2 => prop::sample::select(WORDS)
            .prop_map(|word| Deed::Bytes(word.to_vec())),
        2 => text.prop_map(|text| Deed::Bytes(frame(Check::Xor, text.as_bytes()).to_vec())),
        2 => (1..40_000_u64).prop_map(Deed::Wait),
        3 => Just(Deed::Written),
        1 => Just(Deed::Damage),
        1 => (1..300_u64).prop_map(Deed::Gap),
        2 => (1..50_u64).prop_map(Deed::Work),
        1 => any::<bool>().prop_map(Deed::Reply),
        1 => Just(Deed::TakeOver),
        1 => any::<bool>().prop_map(Deed::Device),
        1 => (0..3_u32, 0..5_u8).prop_map(|(count, which)| Deed::Misdeed(count, which)),
    ];
    prop::collection::vec(deed, 0..80)
}

const WORDS: &[&[u8]] = &[b"\x05", b"\x06", b"\x10\x30", b"\x10\x31", b"\x04"];

pub(crate) const WALL: WallClock = WallClock { at_boot: 1_529_280_000 };

/// Whether a gateway keeps to the contract whatever happens.
pub(crate) fn abuse_gateway(
    make: impl Fn(Resume, Duration) -> Box<dyn Gateway>,
    charge: fn(u64) -> crate::Charge,
    deeds: &[Deed],
) {
    let (mut now, mut at, mut frames) = (Duration::from_secs(1), 0, 0);
    let mut resume = Resume { acked: 0, note: None, cut: false, last_number: 0, wall: WALL };
    let mut gateway = make(resume.clone(), now);
    for (step, deed) in deeds.iter().enumerate() {
        now += Duration::from_millis(1);
        match deed {
            Deed::Bytes(bytes) => {
                gateway.handle_input(at, bytes, now);
                at += bytes.len() as u64;
            }
            Deed::Wait(milliseconds) => now += Duration::from_millis(*milliseconds),
            Deed::Written => gateway.handle_written(frames, now),
            Deed::Damage => gateway.handle_line(LineNews::Damage, now),
            Deed::Gap(count) => {
                at += count;
                gateway.handle_line(LineNews::Gap { offset: at }, now);
            }
            Deed::Work(_) if gateway.wants_charge() => {
                let posting = Posting::New { id: step as u64, charge: charge(step as u64) };
                gateway.handle_charge(posting, now);
            }
            Deed::Reply(is_ok) => {
                let number = gateway.awaits_reply().unwrap_or(7);
                let reply = if *is_ok { Reply::Ok } else { Reply::Error(*b"\x02\xff") };
                gateway.handle_reply(number, reply, now);
            }
            Deed::TakeOver => {
                gateway = make(resume.clone(), now);
                (frames, at) = (0, resume.acked);
            }
            Deed::Device(true) => gateway.handle_line(LineNews::Up, now),
            Deed::Device(false) => gateway.handle_line(LineNews::Down, now),
            Deed::Work(_) | Deed::Misdeed(..) => {}
        }
        let mut rounds = 0;
        loop {
            while let Some(write) = gateway.poll_write() {
                if let Write::Receive(record) = write {
                    assert!(record.start < record.end && record.end <= at);
                }
            }
            while let Some(Output { bytes, ack, note }) = gateway.poll_output() {
                assert!(bytes.len() <= 2048 && ack >= resume.acked && ack <= at, "{ack} of {at}");
                frames += u64::from(!bytes.is_empty());
                resume.acked = ack;
                assert!(note.as_ref().is_none_or(|note| note.len() <= 4096));
                resume.note = note.or(resume.note);
            }
            while let Some(notice) = gateway.poll_event() {
                assert_ne!(notice, Notice::NoteRefused);
            }
            if gateway.poll_timeout().is_none_or(|next| next > now) {
                break;
            }
            gateway.handle_timeout(now);
            rounds += 1;
            assert!(rounds < 5, "a timer that is due for ever");
        }
    }
}

/// Whether a billing system keeps to the contract whatever happens.
pub(crate) fn abuse_billing(mut billing: Box<dyn BillingEnd>, deeds: &[Deed]) {
    let (mut now, mut frames) = (Duration::from_secs(1), 0);
    for deed in deeds {
        now += Duration::from_millis(1);
        match deed {
            Deed::Bytes(bytes) => billing.handle_bytes(bytes, now),
            Deed::Wait(milliseconds) => now += Duration::from_millis(*milliseconds),
            Deed::Written => billing.handle_written(frames, now),
            Deed::Damage | Deed::Gap(_) => billing.handle_damage(now),
            Deed::Work(serial) => billing.send(*serial, now),
            Deed::Misdeed(count, which) => {
                let (count, by) = (*count, Duration::from_secs(5));
                let misdeed = match which {
                    0 => Misdeed::DropAnswers { count },
                    1 => Misdeed::DelayAnswers { count, by },
                    2 => Misdeed::Nak { count },
                    3 => Misdeed::LateEnq { count, by },
                    _ => Misdeed::EndLink { pause: by },
                };
                billing.misbehave(misdeed, now);
            }
            Deed::Reply(_) | Deed::TakeOver | Deed::Device(_) => {}
        }
        let mut rounds = 0;
        loop {
            while let Some(bytes) = billing.poll_transmit() {
                assert!(!bytes.is_empty());
                frames += 1;
            }
            while billing.poll_event().is_some() {}
            if billing.poll_timeout().is_none_or(|next| next > now) {
                break;
            }
            billing.handle_timeout(now);
            rounds += 1;
            assert!(rounds < 5, "a timer that is due for ever");
        }
    }
}

/// What came of some input, apart from how often it was said that nothing is new.
#[derive(Debug, PartialEq)]
pub(crate) struct Seen {
    frames: Vec<Bytes>,
    ack: u64,
    note: Option<Bytes>,
    writes: Vec<Write>,
    notices: Vec<Notice>,
}

/// Feeds a gateway with the bytes in chunks of at most so many.
pub(crate) fn feed(mut gateway: Box<dyn Gateway>, bytes: &[u8], longest: usize) -> Seen {
    let mut seen =
        Seen { frames: Vec::new(), ack: 0, note: None, writes: Vec::new(), notices: Vec::new() };
    let now = Duration::from_secs(9);
    let mut at = 0;
    for chunk in bytes.chunks(longest) {
        gateway.handle_input(at, chunk, now);
        at += chunk.len() as u64;
        seen.writes.extend(std::iter::from_fn(|| gateway.poll_write()));
        seen.notices.extend(std::iter::from_fn(|| gateway.poll_event()));
        while let Some(output) = gateway.poll_output() {
            seen.ack = output.ack;
            seen.note = output.note.or(seen.note);
            seen.frames.extend(Some(output.bytes).filter(|bytes| !bytes.is_empty()));
        }
    }
    seen
}

/// What a billing system says and does about the bytes, in chunks of at most so many.
pub(crate) fn hear(
    mut billing: Box<dyn BillingEnd>,
    bytes: &[u8],
    longest: usize,
) -> (Vec<Bytes>, Vec<SimEvent>) {
    let (mut frames, mut events) = (Vec::new(), Vec::new());
    for chunk in bytes.chunks(longest) {
        billing.handle_bytes(chunk, Duration::from_secs(9));
        frames.extend(std::iter::from_fn(|| billing.poll_transmit()));
        events.extend(std::iter::from_fn(|| billing.poll_event()));
    }
    (frames, events)
}

/// Bytes of whole frames and of noise.
pub(crate) fn stream(texts: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    deeds(texts).prop_map(|deeds| {
        let bytes = deeds.into_iter().filter_map(|deed| match deed {
            Deed::Bytes(bytes) => Some(bytes),
            _ => None,
        });
        bytes.flatten().collect()
    })
}
