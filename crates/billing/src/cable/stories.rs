//! Both ends in one loop.
#![deny(clippy::disallowed_methods)]

use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::bid::chain::Chain;
use crate::bid::values::Draw;
use crate::billing_end::{Misdeed, SimEvent};
use crate::gateway::Notice;
use crate::settings::Settings as _;

pub(super) const HOUR: Duration = Duration::from_secs(3600);
pub(super) const SEED: u64 = 3;

pub(super) fn settings(pairs: &[(&str, &str)]) -> Settings {
    let mut settings = Settings::default();
    pairs.iter().for_each(|(key, value)| settings.set(key, value).unwrap());
    settings
}

pub(super) fn chain(settings: &Settings, commands: u64) -> Chain {
    let wall = crate::WallClock { at_boot: 0 };
    let billing = Billing::new(settings.clone(), SEED, wall, Duration::ZERO);
    let site = settings.clone();
    let make = move |resume, now| -> Box<dyn crate::Gateway> {
        Box::new(Gateway::new(site.clone(), resume, now))
    };
    let mut chain = Chain::new(make, Box::new(billing));
    (1..=commands).for_each(|serial| chain.billing.send(serial, chain.now));
    chain
}

pub(super) fn is_done(chain: &Chain) -> bool {
    chain.billing.backlog() == 0
}

/// The responses, in order.
pub(super) fn answers(chain: &Chain) -> Vec<(u64, Bytes)> {
    let answer = |event: &SimEvent| match event {
        SimEvent::Answered { serial, text } => Some((*serial, text.clone())),
        _ => None,
    };
    chain.events.iter().filter_map(answer).collect()
}

/// What the handler of these tests makes of a command.
pub(super) fn response(serial: u64) -> Bytes {
    let result = if serial.is_multiple_of(7) { "ER 17" } else { "OK" };
    Bytes::from(format!("{serial:06} {result}"))
}

/// One response to each command, in order, and the handler was called once for each.
pub(super) fn assert_answered_once(chain: &Chain, commands: u64) {
    let wanted: Vec<_> = (1..=commands).map(|serial| (serial, response(serial))).collect();
    assert_eq!(answers(chain), wanted, "{}: {:?}", chain.label, chain.frames);
    let texts: Vec<_> = chain.handled.iter().map(|(number, _)| *number).collect();
    assert_eq!(texts, (1..=commands).collect::<Vec<_>>(), "{}", chain.label);
    let late = |event: &SimEvent| matches!(event, SimEvent::Repeated { .. });
    assert_eq!(chain.count(late), 0, "{}: {:?}", chain.label, chain.frames);
}

#[test]
fn a_command_and_its_response() {
    let site = settings(&[]);
    let mut chain = chain(&site, 2);
    chain.run(HOUR, is_done);
    chain.run(HOUR, |chain| chain.frames.len() == 16);
    assert_answered_once(&chain, 2);
    let command = crate::bid::frame(site.check, &generate::command(SEED, 1, &site));
    let response = crate::bid::frame(site.check, b"000001 OK");
    let frames: Vec<_> = chain.frames.iter().take(8).cloned().collect();
    let billing = |bytes: &[u8]| (false, Bytes::copy_from_slice(bytes));
    let gateway = |bytes: &[u8]| (true, Bytes::copy_from_slice(bytes));
    assert_eq!(
        frames,
        [
            billing(b"\x05"),
            gateway(b"\x10\x30"),
            billing(&command),
            gateway(b"\x10\x31"),
            billing(b"\x04"),
            gateway(b"\x05"),
            billing(b"\x10\x30"),
            gateway(&response),
        ]
    );
    let ends: Vec<_> = chain.frames.iter().skip(8).take(2).cloned().collect();
    assert_eq!(ends, [billing(b"\x10\x31"), gateway(b"\x04")]);
}

#[test]
fn every_setting_works_at_both_ends() {
    for pairs in [
        &[("check", "sum2")][..],
        &[("start_char", ":"), ("trailing_spaces", "2")],
        &[("auth", "ext-c")],
        &[("auth", "base"), ("check", "sum")],
        &[("logon", "BILL1")],
        &[("logon", "BILL1"), ("idle_logoff", "1s")],
    ] {
        let mut chain = chain(&settings(pairs), 9);
        chain.label = format!("{pairs:?}");
        chain.run(HOUR, is_done);
        assert_answered_once(&chain, 9);
        let record = chain.inbox.values().last().unwrap();
        assert_eq!(record.text, generate::command(SEED, 9, &settings(pairs)));
    }
}

#[test]
fn another_units_commands_are_carried_out_and_not_answered() {
    let site = settings(&[("unit_id", "07")]);
    let mut chain = chain(&site, 40);
    chain.run(HOUR, is_done);
    chain.run(Duration::from_secs(9), |_| false);
    let ours = |serial| generate::command(SEED, serial, &site)[7..9] == *b"07";
    let wanted: Vec<_> = (1..=40).filter(|n| ours(*n)).map(|n| (n, response(n))).collect();
    assert!(wanted.len() > 20 && wanted.len() < 40);
    assert_eq!(answers(&chain), wanted);
    assert_eq!(chain.handled.len(), 40);
    assert_eq!(chain.count(|event| matches!(event, SimEvent::Confirmed { .. })), 40);
}

#[test]
fn a_command_without_a_logon_is_refused_and_comes_again_after_one() {
    let mut chain = chain(&settings(&[("logon", "BILL1"), ("idle_logoff", "60s")]), 1);
    chain.run(HOUR, is_done);
    // The gateway forgets the logon, and the billing system does not know.
    chain.run(Duration::from_secs(100), |_| false);
    chain.billing.send(2, chain.now);
    chain.run(HOUR, is_done);
    assert_answered_once(&chain, 2);
    let down = Notice::LinkDown { why: "nothing came for too long" };
    assert!(chain.notices.contains(&down), "{:?}", chain.notices);
}

#[test]
fn a_logon_by_another_name_is_given_up_like_a_command_without_a_response() {
    let site = settings(&[("logon", "BILL1")]);
    let wall = crate::WallClock { at_boot: 0 };
    let other = Billing::new(settings(&[("logon", "BILL2")]), SEED, wall, Duration::ZERO);
    let make = move |resume, now| -> Box<dyn crate::Gateway> {
        Box::new(Gateway::new(site.clone(), resume, now))
    };
    let mut chain = Chain::new(make, Box::new(other));
    chain.billing.send(1, chain.now);
    chain.run(HOUR, is_done);
    assert_eq!(chain.events.last(), Some(&SimEvent::GaveUp { serial: 1 }));
    // Four times, 30 s apart; the pause after the last one need not be waited for.
    let logons = chain.inbox.values().filter(|record| record.kind == "LO").count();
    assert_eq!((logons, chain.handled.len()), (4, 0));
    let about_90 = Duration::from_secs(90)..Duration::from_secs(120);
    assert!(about_90.contains(&chain.now), "{:?} {:?}", chain.now, chain.events);
}

#[test]
fn the_billing_system_logs_off_and_on_again() {
    let mut chain = chain(&settings(&[("logon", "BILL1")]), 3);
    let pause = Duration::from_secs(600);
    chain.billing.misbehave(Misdeed::EndLink { pause }, chain.now);
    chain.run(2 * HOUR, is_done);
    assert_answered_once(&chain, 3);
    assert!(chain.now > pause);
    let kinds: Vec<_> = chain.inbox.values().map(|record| record.kind.clone()).collect();
    assert_eq!(kinds[..2], ["LO", "LF"]);
}

#[test]
fn f5_a_lost_response_is_given_again_and_nothing_is_carried_out_twice() {
    let mut chain = chain(&settings(&[("text_tries", "1")]), 2);
    // Its only transmission is refused, so the gateway gives it up; the command comes again.
    chain.billing.misbehave(Misdeed::Nak { count: 1 }, chain.now);
    chain.run(HOUR, is_done);
    assert_answered_once(&chain, 2);
    assert!(chain.notices.contains(&Notice::GaveUp { number: Some(1) }));
    assert!(chain.notices.contains(&Notice::Repeated { number: Some(1) }));
    assert!(chain.now > Duration::from_secs(30) && chain.now < Duration::from_secs(40));
}

#[test]
fn f3_a_lost_answer_is_asked_for_and_nothing_comes_twice() {
    let mut chain = chain(&settings(&[]), 3);
    chain.billing.misbehave(Misdeed::DropAnswers { count: 2 }, chain.now);
    chain.run(HOUR, is_done);
    assert_answered_once(&chain, 3);
}

#[test]
fn late_answers_and_bids_lose_and_double_nothing() {
    for by in [1, 2, 4, 8, 10].map(Duration::from_secs) {
        for misdeed in [Misdeed::LateEnq { count: 3, by }, Misdeed::DelayAnswers { count: 3, by }] {
            let mut chain = chain(&settings(&[]), 5);
            chain.label = format!("{misdeed:?}");
            chain.billing.misbehave(misdeed, chain.now);
            chain.run(HOUR, is_done);
            assert_eq!((answers(&chain).len(), chain.handled.len()), (5, 5), "{}", chain.label);
        }
    }
}

#[test]
fn f8_a_command_that_is_never_taken_is_given_up() {
    let mut chain = chain(&settings(&[]), 1);
    chain.billing.misbehave(Misdeed::CorruptCheck { count: 16 }, chain.now);
    chain.run(HOUR, is_done);
    assert_eq!(chain.events.last(), Some(&SimEvent::GaveUp { serial: 1 }));
    assert_eq!(chain.handled, []);
    let bad = |notice: &&Notice| matches!(notice, Notice::BadCheck { .. });
    assert_eq!(chain.notices.iter().filter(bad).count(), 16);
}

#[test]
fn a_slow_handler_makes_the_billing_system_ask_again_and_is_called_once() {
    let mut chain = chain(&settings(&[]), 3);
    chain.reply_after = Duration::from_secs(45);
    chain.run(HOUR, is_done);
    assert_answered_once(&chain, 3);
    assert!(chain.notices.contains(&Notice::Repeated { number: Some(2) }));
}

#[test]
fn a_kill_at_every_byte_loses_and_doubles_nothing() {
    for pairs in [&[][..], &[("logon", "B")]] {
        let site = settings(pairs);
        let mut whole = chain(&site, 3);
        whole.run(HOUR, is_done);
        for at in 0..=whole.bytes {
            for pause in [0, 3, 200, 4000, 8000, 40_000].map(Duration::from_millis) {
                let mut chain = chain(&site, 3);
                chain.label = format!("killed at {at}, pause {pause:?}, {pairs:?}");
                chain.run(HOUR, |chain| chain.bytes >= at);
                chain.kill(pause);
                chain.run(HOUR, is_done);
                assert_answered_once(&chain, 3);
            }
        }
    }
}

#[test]
fn a_kill_with_the_store_lost_calls_the_handler_again_for_one_command_at_most() {
    let site = settings(&[]);
    let mut whole = chain(&site, 3);
    whole.run(HOUR, is_done);
    for at in 0..=whole.bytes {
        let mut chain = chain(&site, 3);
        chain.run(HOUR, |chain| chain.bytes >= at);
        chain.kill(Duration::from_millis(200));
        chain.lose_store();
        chain.run(HOUR, is_done);
        let wanted: Vec<_> = (1..=3).map(|serial| (serial, response(serial))).collect();
        assert_eq!(answers(&chain), wanted, "killed at {at}");
        chain.handled.dedup();
        let numbers: Vec<_> = chain.handled.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [1, 2, 3], "killed at {at}");
    }
}

#[test]
fn the_first_response_after_a_takeover_says_so() {
    let mut chain = chain(&settings(&[("takeover_notice", "yes")]), 1);
    chain.run(HOUR, is_done);
    chain.kill(Duration::from_secs(1));
    chain.run(Duration::from_secs(5), |_| false);
    (2..=3).for_each(|serial| chain.billing.send(serial, chain.now));
    chain.run(HOUR, is_done);
    let texts: Vec<_> = answers(&chain).into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, ["000001 OK", "000002 OK TK", "000003 OK"]);
}

#[test]
fn a_lossy_line_makes_progress() {
    for seed in 0..60 {
        let mut chain = chain(&settings(&[("resends", "99")]), 20);
        chain.label = format!("seed {seed}");
        chain.noise = Some((Draw::new(seed, 0), 6));
        chain.run(20 * HOUR, is_done);
        let wanted: Vec<_> = (1..=20).map(|serial| (serial, response(serial))).collect();
        assert_eq!(answers(&chain), wanted, "{}", chain.label);
        assert_eq!(chain.handled.len(), 20, "{}", chain.label);
    }
}
