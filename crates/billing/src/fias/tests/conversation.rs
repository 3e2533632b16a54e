//! Both ends, talking.
#![deny(clippy::disallowed_methods)]

use std::time::Duration;

use super::super::Settings;
use super::super::settings::Exhausted;
use super::world::{Noise, World};
use crate::billing_end::{BillingEnd, Misdeed, SimEvent};
use crate::gateway::{Gateway as _, Notice, Outcome};

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn the_link_comes_up_and_charges_and_guests_go_both_ways() {
    let mut world = World::new(Settings::default(), 20, 30);
    assert!(world.run(MINUTE), "{:?}", world.notices);
    world.assert_exact(30);
    assert_eq!(world.pms.is_link_up(), Some(true));
    assert_eq!(world.noticed(|notice| matches!(notice, Notice::GaveUp { .. })), 0);
    assert_eq!(world.count(|event| matches!(event, SimEvent::Confirmed { .. })), 30);
}

#[test]
fn input_does_not_stay_unacknowledged() {
    let mut world = World::new(Settings::default(), 3, 3);
    assert!(world.run(MINUTE));
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.unacknowledged(), 0);
}

fn misbehaved(misdeed: Misdeed) -> World {
    let mut world = World::new(Settings::default(), 10, 10);
    world.run_for(Duration::from_millis(900));
    world.pms.misbehave(misdeed, world.now);
    assert!(world.run(20 * MINUTE), "{misdeed:?}: {:?}", world.notices);
    world.assert_exact(10);
    world
}

#[test]
fn answers_that_are_lost_are_enquired_after() {
    let world = misbehaved(Misdeed::DropAnswers { count: 3 });
    assert_eq!(world.count(|event| matches!(event, SimEvent::Repeated { .. })), 0);
    assert_eq!(world.count(|event| *event == SimEvent::AnswerReplayed), 0);
}

#[test]
fn a_record_that_is_refused_is_sent_again() {
    let world = misbehaved(Misdeed::Nak { count: 3 });
    assert_eq!(world.noticed(|notice| matches!(notice, Notice::GaveUp { .. })), 0);
}

#[test]
fn after_four_transmissions_the_charge_waits_and_keeps_its_number() {
    let world = misbehaved(Misdeed::Nak { count: 4 });
    assert_eq!(world.noticed(|notice| matches!(notice, Notice::GaveUp { number: Some(_) })), 1);
}

#[test]
fn answers_that_come_late_are_waited_for() {
    let by = Duration::from_secs(4);
    misbehaved(Misdeed::DelayAnswers { count: 3, by });
    misbehaved(Misdeed::LateEnq { count: 1, by });
}

#[test]
fn a_wrong_check_is_refused_and_the_record_comes_again() {
    let world = misbehaved(Misdeed::CorruptCheck { count: 3 });
    assert_eq!(world.noticed(|notice| matches!(notice, Notice::BadCheck { .. })), 3);
}

#[test]
fn a_missing_commit_is_asked_for_by_the_same_charge() {
    let world = misbehaved(Misdeed::DropCommits { count: 2 });
    assert_eq!(world.count(|event| matches!(event, SimEvent::Repeated { .. })), 2);
}

#[test]
fn a_charge_declined_for_now_comes_again_with_its_number() {
    let world = misbehaved(Misdeed::Retry { count: 3 });
    assert_eq!(world.count(|event| matches!(event, SimEvent::Declined { .. })), 3);
}

#[test]
fn a_night_audit_holds_charges_until_it_is_over() {
    let lasting = Duration::from_secs(5);
    let world = misbehaved(Misdeed::NightAudit { lasting });
    assert_eq!(world.count(|event| matches!(event, SimEvent::Declined { .. })), 1);
    // The end of the audit came before the time to try again.
    assert!(world.now < Duration::from_secs(100) + Duration::from_secs(9), "{:?}", world.now);
}

#[test]
fn a_refused_charge_is_settled_so() {
    let mut world = World::new(Settings::default(), 3, 0);
    world.pms.misbehave(Misdeed::Refuse { count: 1 }, world.now);
    assert!(world.run(MINUTE));
    let outcomes: Vec<_> = world.store.settled.values().copied().collect();
    assert_eq!(outcomes, [Outcome::Refused, Outcome::Posted, Outcome::Posted]);
}

#[test]
fn a_link_that_ends_starts_again_and_nothing_is_lost() {
    let world = misbehaved(Misdeed::EndLink { pause: Duration::from_secs(2) });
    assert_eq!(world.count(|event| *event == SimEvent::Link { up: false }), 1);
    assert_eq!(world.count(|event| *event == SimEvent::Link { up: true }), 2);
    assert_eq!(world.noticed(|notice| matches!(notice, Notice::LinkUp)), 2);
}

#[test]
fn a_billing_system_that_says_nothing_is_asked_whether_it_is_there() {
    let mut world = World::new(Settings::default(), 0, 1);
    assert!(world.run(MINUTE));
    world.run_for(20 * MINUTE);
    let asked = world.wire.windows(4).filter(|bytes| bytes == b"\x02LS|").count();
    assert!((3..=4).contains(&asked), "{asked}");
    assert!(world.gateway.wants_charge(), "the link is up");
    assert_eq!(world.unacknowledged(), 0);
}

#[test]
fn without_a_check_it_works_too() {
    let check = super::super::frame::Check::None;
    let mut world = World::new(Settings { check, ..Settings::default() }, 10, 10);
    assert!(world.run(MINUTE));
    world.assert_exact(10);
}

fn lossy(seed: u64, on_enq_exhausted: Exhausted) {
    let settings = Settings { on_enq_exhausted, ..Settings::default() };
    let mut world = World::seeded(settings, seed, 25, 25);
    world.noise = Some(Noise::new(seed, 150));
    assert!(world.run(120 * MINUTE), "seed {seed}: {:?}", world.notices.last());
    let mut numbers = Vec::new();
    for event in &world.events {
        match event {
            SimEvent::Posted { number, .. } => numbers.push(*number),
            SimEvent::Conflict { .. } | SimEvent::Gap { .. } => panic!("seed {seed}: {event:?}"),
            _ => {}
        }
    }
    assert_eq!(numbers, (1..=25).collect::<Vec<_>>(), "seed {seed}");
    assert!(world.store.settled.values().all(|outcome| *outcome == Outcome::Posted));
}

#[test]
fn over_a_lossy_line_every_charge_is_posted_once_and_in_order() {
    for seed in 0..100 {
        lossy(seed, Exhausted::Discard);
        lossy(seed, Exhausted::Resend);
    }
}
