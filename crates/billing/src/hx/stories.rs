//! Both ends in one loop.
#![deny(clippy::disallowed_methods)]

use std::time::Duration;

use super::*;
use crate::Gateway as _;
use crate::bid::chain::Chain;
use crate::bid::values::Draw;
use crate::billing_end::{Misdeed, SimEvent};
use crate::gateway::{LastSent, LineNews, Notice, Outcome};
use crate::settings::Settings as _;

pub(super) const HOUR: Duration = Duration::from_secs(3600);

pub(super) fn chain(settings: Settings, charges: u64) -> Chain {
    let wall = crate::WallClock { at_boot: 1_529_280_000 };
    let billing = Billing::new(settings, 1, wall, Duration::ZERO);
    let make = move |resume, now| -> Box<dyn crate::Gateway> {
        Box::new(Gateway::new(settings, resume, now))
    };
    let mut chain = Chain::new(make, Box::new(billing));
    (1..=charges).for_each(|n| chain.post(generate::charge(5, n)));
    chain
}

/// Each charge exactly once, in order, with the content that it ought to have.
pub(super) fn assert_posted_once(chain: &Chain, settings: &Settings) {
    let posted: Vec<_> = chain
        .events
        .iter()
        .filter_map(|event| match event {
            SimEvent::Posted { number, content, .. } => Some((*number, content.clone())),
            _ => None,
        })
        .collect();
    let wanted: Vec<_> = (1..)
        .zip(&chain.rows)
        .map(|(number, row)| (number, record::content(&row.charge, settings).unwrap()))
        .collect();
    assert_eq!(posted, wanted, "{}", chain.label);
    assert!(chain.rows.iter().all(|row| row.outcome == Some(Outcome::Posted)), "{}", chain.label);
    let wrong = |event: &SimEvent| {
        matches!(
            event,
            SimEvent::Conflict { .. } | SimEvent::Gap { .. } | SimEvent::Reordered { .. }
        )
    };
    assert_eq!(chain.count(wrong), 0, "{}: {:?}", chain.label, chain.events);
}

#[test]
fn a_record_takes_a_bid_and_a_text() {
    let settings = Settings::default();
    let mut chain = chain(settings, 2);
    chain.run(HOUR, Chain::is_all_settled);
    assert_posted_once(&chain, &settings);
    let bytes: Vec<_> = chain.frames.iter().map(|(_, bytes)| bytes.clone()).collect();
    let text = |row: usize| {
        let text = &chain.rows[row].number.as_ref().unwrap().1;
        crate::bid::frame(settings.check, text)
    };
    let (enq, ack) = (&b"\x05"[..], &b"\x06"[..]);
    assert_eq!(bytes, [enq, ack, &text(0), ack, enq, ack, &text(1), ack]);
    assert!(text(0).starts_with(b"\x02001A HTL 01/01"));
    assert!(chain.now < Duration::from_secs(2), "{:?}", chain.now);
}

#[test]
fn every_setting_works_at_both_ends() {
    for (key, value) in [
        ("check", "sum"),
        ("check", "sum2"),
        ("seq", "n4"),
        ("reset", "6h"),
        ("eot", "yes"),
        ("dialled_width", "15"),
        ("station", "left"),
    ] {
        let mut settings = Settings::default();
        settings.set(key, value).unwrap();
        let mut chain = chain(settings, 5);
        chain.run(HOUR, Chain::is_all_settled);
        assert_posted_once(&chain, &settings);
    }
}

#[test]
fn numbers_begin_again_at_midnight() {
    let mut settings = Settings::default();
    settings.set("reset", "midnight").unwrap();
    let mut chain = chain(settings, 3);
    chain.run(HOUR, Chain::is_all_settled);
    chain.now = 24 * HOUR;
    (4..=5).for_each(|n| chain.post(generate::charge(5, n)));
    chain.run(HOUR, Chain::is_all_settled);
    assert_posted_once(&chain, &settings);
    let text = |row: usize| chain.rows[row].number.clone().unwrap().1;
    assert!(text(2).starts_with(b"003A") && text(3).starts_with(b"001A"), "{:?}", chain.rows);
}

fn columns(chain: &Chain) -> Vec<String> {
    let columns = |text: &bytes::Bytes| String::from_utf8(text[..4].to_vec()).unwrap();
    chain.rows.iter().map(|row| columns(&row.number.as_ref().unwrap().1)).collect()
}

/// A chain whose first two charges are posted before midnight, and it is midnight.
fn at_midnight(settings: Settings) -> Chain {
    let mut chain = chain(settings, 2);
    chain.run(HOUR, Chain::is_all_settled);
    chain.now = 24 * HOUR;
    chain
}

#[test]
fn a_clock_that_goes_back_over_midnight_resets_no_number_twice() {
    let mut settings = Settings::default();
    settings.set("reset", "midnight").unwrap();
    for by_takeover in [false, true] {
        let mut chain = at_midnight(settings);
        chain.post(generate::charge(5, 3));
        chain.run(HOUR, Chain::is_all_settled);
        chain.wall.at_boot -= 7200;
        if by_takeover {
            chain.kill(Duration::from_millis(200));
        } else {
            let wall = chain.wall;
            chain.tell(|gateway, _| gateway.set_wall_clock(wall));
        }
        chain.post(generate::charge(5, 4));
        chain.run(HOUR, Chain::is_all_settled);
        chain.now += 2 * HOUR;
        chain.post(generate::charge(5, 5));
        chain.run(HOUR, Chain::is_all_settled);
        assert_posted_once(&chain, &settings);
        assert_eq!(columns(&chain), ["001A", "002A", "001A", "002A", "003A"]);
    }
}

#[test]
fn a_charge_numbered_after_midnight_by_a_dead_gateway_takes_the_reset_along() {
    let mut settings = Settings::default();
    settings.set("reset", "midnight").unwrap();
    let mut chain = at_midnight(settings);
    chain.post(generate::charge(5, 3));
    // It is numbered and durable; nothing of it has left.
    chain.run(HOUR, |_| true);
    chain.kill(Duration::from_millis(200));
    chain.post(generate::charge(5, 4));
    chain.run(HOUR, Chain::is_all_settled);
    assert_posted_once(&chain, &settings);
    assert_eq!(columns(&chain), ["001A", "002A", "001A", "002A"]);
}

#[test]
fn another_rule_for_resets_begins_no_period_again() {
    let mut settings = Settings::default();
    settings.set("reset", "6h").unwrap();
    let mut gateway = gateway_with(settings, None);
    gateway.handle_last(&told(b""), Duration::ZERO);
    let note = gateway.poll_output().and_then(|output| output.note);
    settings.set("reset", "midnight").unwrap();
    let mut next = gateway_with(settings, note);
    assert_eq!(next_columns(&mut next), "001A");
    let note = std::iter::from_fn(|| next.poll_output()).filter_map(|output| output.note).last();
    let note = note::Note::decode(note.unwrap()).unwrap();
    // 2018-06-18, 12:00: the period of six hours that began then.
    assert_eq!(note.place.unwrap().period, 1_529_323_200);
}

fn told(text: &'static [u8]) -> LastSent {
    LastSent::Known(bytes::Bytes::from_static(text))
}

fn gateway_with(settings: Settings, note: Option<bytes::Bytes>) -> Gateway {
    let noon = crate::WallClock { at_boot: 1_529_323_200 };
    let resume = crate::Resume { acked: 0, note, cut: false, last_number: 9, wall: noon };
    Gateway::new(settings, resume, Duration::ZERO)
}

/// Gives it a charge: what stands in the columns.
fn next_columns(gateway: &mut dyn crate::Gateway) -> String {
    let posting = crate::Posting::New { id: 1, charge: generate::charge(5, 1) };
    gateway.handle_charge(posting, Duration::from_secs(9));
    let text = std::iter::from_fn(|| gateway.poll_write()).find_map(|write| match write {
        crate::Write::Number { text, .. } => Some(text),
        _ => None,
    });
    String::from_utf8(text.unwrap()[..4].to_vec()).unwrap()
}

#[test]
fn without_a_note_numbers_go_on_after_the_last_record_that_the_store_knows() {
    for (last, next) in [(&b""[..], "001A"), (b"417C HTL 06/18", "418C"), (b"999Z", "000A")] {
        let mut gateway = gateway_with(Settings::default(), None);
        gateway.handle_last(&told(last), Duration::ZERO);
        assert_eq!(next_columns(&mut gateway), next);
    }
    // Who knows of none listens whether something was lost.
    let mut gateway = gateway_with(Settings::default(), None);
    gateway.handle_last(&LastSent::Unused, Duration::ZERO);
    assert!(!gateway.wants_charge() && !gateway.needs_last());
    assert_eq!((gateway.poll_output(), gateway.poll_timeout()), (None, Some(3 * HOUR / 3600)));
    gateway.handle_timeout(Duration::from_secs(3));
    assert!(gateway.wants_charge());
    assert_eq!(next_columns(&mut gateway), "001A");
}

/// What it has to say, in order.
fn notices(gateway: &mut Gateway) -> Vec<Notice> {
    let gateway: &mut dyn crate::Gateway = gateway;
    std::iter::from_fn(|| gateway.poll_event()).collect()
}

/// The terminal server was replaced, or the line got another name: there is no gap.
#[test]
fn a_line_that_was_used_waits_for_a_person_though_it_is_silent() {
    // A record of another dialect tells no number, though nobody has sent one since.
    for last in [LastSent::Unknown, told(b"PS|RN2781|")] {
        let mut gateway = gateway_with(Settings::default(), None);
        gateway.handle_last(&last, Duration::ZERO);
        gateway.handle_timeout(HOUR);
        assert!(gateway.needs_last() && !gateway.wants_charge(), "{last:?}");
        assert_eq!(notices(&mut gateway), [Notice::NumbersUnknown]);
    }
}

#[test]
fn a_gap_of_a_device_that_was_away_denies_no_beginning() {
    let gap = LineNews::Gap { offset: 0 };
    for (news, is_held) in [
        (&[LineNews::Down, gap, LineNews::Up][..], false),
        (&[gap, LineNews::Down, gap, LineNews::Up], true),
    ] {
        let mut gateway = gateway_with(Settings::default(), None);
        gateway.handle_last(&LastSent::Unused, Duration::ZERO);
        news.iter().for_each(|news| gateway.handle_line(*news, Duration::ZERO));
        gateway.handle_timeout(Duration::from_secs(3));
        assert_eq!((gateway.needs_last(), gateway.wants_charge()), (is_held, !is_held), "{news:?}");
        let unknown = |notice: &&Notice| **notice == Notice::NumbersUnknown;
        let said = notices(&mut gateway).iter().filter(unknown).count();
        assert_eq!(said, usize::from(is_held), "{news:?}");
    }
}

#[test]
fn nothing_is_sent_while_nobody_knows_the_last_number() {
    let mut gateway = gateway_with(Settings::default(), None);
    gateway.handle_last(&LastSent::Unused, Duration::ZERO);
    gateway.handle_line(LineNews::Gap { offset: 0 }, Duration::ZERO);
    assert_eq!(notices(&mut gateway), [Notice::NumbersUnknown]);
    let note = gateway.poll_output().and_then(|output| output.note);
    // A successor knows no more, nor does time tell.
    let mut gateway = gateway_with(Settings::default(), note.clone());
    gateway.handle_last(&LastSent::Unused, Duration::ZERO);
    gateway.handle_timeout(HOUR);
    assert!(gateway.needs_last() && !gateway.wants_charge());
    assert_eq!(notices(&mut gateway), [Notice::NumbersUnknown], "said once");
    gateway.handle_last(&told(b"417C"), HOUR);
    assert!(!gateway.needs_last() && gateway.wants_charge());
    assert_eq!(next_columns(&mut gateway), "418C");
    // One whose store knows has nothing to complain of.
    let mut gateway = gateway_with(Settings::default(), note);
    gateway.handle_last(&told(b"417C"), Duration::ZERO);
    assert_eq!(notices(&mut gateway), []);
}

#[test]
fn a_charge_that_does_not_fit_is_refused_and_leaves_no_gap() {
    let settings = Settings::default();
    let mut chain = chain(settings, 1);
    chain.post(crate::Charge { amount: 100_000, ..generate::charge(5, 2) });
    chain.post(generate::charge(5, 3));
    chain.run(HOUR, Chain::is_all_settled);
    let outcomes: Vec<_> = chain.rows.iter().map(|row| row.outcome.unwrap()).collect();
    assert_eq!(outcomes, [Outcome::Posted, Outcome::Refused, Outcome::Posted]);
    assert_eq!(chain.count(|event| matches!(event, SimEvent::Gap { .. })), 0);
    assert_eq!(chain.count(|event| matches!(event, SimEvent::Posted { .. })), 2);
}

#[test]
fn f8_giving_up_is_counted_and_the_same_record_comes_again() {
    let settings = Settings::default();
    let mut chain = chain(settings, 1);
    chain.billing.misbehave(Misdeed::Nak { count: 3 }, Duration::ZERO);
    chain.run(HOUR, Chain::is_all_settled);
    assert_posted_once(&chain, &settings);
    assert_eq!(
        chain.notices.iter().filter(|n| **n == Notice::GaveUp { number: Some(1) }).count(),
        1
    );
    assert!(chain.notices.contains(&Notice::Sending { number: 1, attempt: 4 }));
    // Two pauses of 3 s between three texts, then the wait.
    assert!(chain.now > Duration::from_secs(36) && chain.now < Duration::from_secs(40));
}

#[test]
fn f3_a_lost_ack_brings_the_record_again_and_it_is_posted_once() {
    let settings = Settings::default();
    let mut chain = chain(settings, 2);
    chain.billing.misbehave(Misdeed::DropAnswers { count: 2 }, Duration::ZERO);
    chain.run(HOUR, Chain::is_all_settled);
    assert_posted_once(&chain, &settings);
    assert_eq!(chain.count(|event| *event == SimEvent::Repeated { number: 1 }), 2);
    assert!(chain.now > Duration::from_secs(22) && chain.now < Duration::from_secs(25));
}

#[test]
fn late_answers_lose_and_double_nothing() {
    for by in [1, 4, 6, 10, 12, 14, 25] {
        for misdeed in [
            Misdeed::LateEnq { count: 3, by: Duration::from_secs(by) },
            Misdeed::DelayAnswers { count: 3, by: Duration::from_secs(by) },
        ] {
            let settings = Settings::default();
            let mut chain = chain(settings, 6);
            chain.billing.misbehave(misdeed, Duration::ZERO);
            chain.run(HOUR, Chain::is_all_settled);
            assert_posted_once(&chain, &settings);
        }
    }
}

#[test]
fn a_kill_at_every_byte_loses_and_doubles_nothing() {
    let settings = Settings::default();
    let mut whole = chain(settings, 3);
    whole.run(HOUR, Chain::is_all_settled);
    for at in 0..=whole.bytes {
        for pause in [0, 3, 200, 4000, 30_000].map(Duration::from_millis) {
            for lost_store in [false, true] {
                let mut chain = chain(settings, 3);
                chain.label = format!("killed at {at}, pause {pause:?}, lost {lost_store}");
                chain.run(HOUR, |chain| chain.bytes >= at);
                chain.kill(pause);
                if lost_store {
                    chain.lose_store();
                }
                chain.run(HOUR, Chain::is_all_settled);
                assert_posted_once(&chain, &settings);
                let doubled = chain.count(|event| matches!(event, SimEvent::Repeated { .. }));
                assert_eq!(doubled, 0, "{}: {:?}", chain.label, chain.frames);
            }
        }
    }
}

#[test]
fn f4_the_first_byte_after_a_takeover_is_a_harmless_bid() {
    let settings = Settings::default();
    let mut chain = chain(settings, 2);
    chain.run(HOUR, Chain::is_all_settled);
    chain.frames.clear();
    chain.post(generate::charge(5, 3));
    chain.kill(Duration::from_secs(1));
    chain.run(HOUR, Chain::is_all_settled);
    assert_eq!(chain.frames[0], (true, bytes::Bytes::from_static(b"\x05")));
    assert_posted_once(&chain, &settings);
}

#[test]
fn a_lossy_line_makes_progress() {
    let settings = Settings::default();
    for seed in 0..60 {
        let mut chain = chain(settings, 20);
        chain.label = format!("seed {seed}");
        chain.noise = Some((Draw::new(seed, 0), 5));
        chain.run(20 * HOUR, Chain::is_all_settled);
        assert_posted_once(&chain, &settings);
    }
}
