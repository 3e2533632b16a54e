//! The gateway dies at any byte, and the next one goes on.
#![deny(clippy::disallowed_methods)]

use std::time::Duration;

use super::super::Settings;
use super::bench::{ACK, GatewayBench, frame};
use super::world::{Noise, World};
use crate::billing_end::SimEvent;
use crate::gateway::{Notice, Write};

const MINUTE: Duration = Duration::from_secs(60);
/// From the first LS to a few charges and guests.
const CHARGES: u64 = 4;
const ITEMS: u64 = 6;

fn world() -> World {
    World::new(Settings::default(), CHARGES, ITEMS)
}

/// Bytes on the line in an undisturbed conversation, and when it ends.
fn undisturbed() -> (u64, Duration) {
    let mut world = world();
    assert!(world.run(MINUTE));
    (world.ticks, world.now)
}

fn assert_no_enq_first(world: &World, from: usize) {
    let enq = super::super::frame::ENQ;
    assert_ne!(world.wire.get(from), Some(&enq), "never ENQ first");
}

fn is_trouble(event: &SimEvent) -> bool {
    matches!(
        event,
        SimEvent::BadCheck { .. }
            | SimEvent::Interleave { .. }
            | SimEvent::Partial { .. }
            | SimEvent::LateAnswer { .. }
            | SimEvent::AnswerReplayed
            | SimEvent::Repeated { .. }
    )
}

#[test]
fn at_every_byte_of_a_conversation_nothing_is_lost_and_nothing_is_posted_twice() {
    let (length, end) = undisturbed();
    for tick in 0..length {
        let mut world = world();
        while world.ticks < tick {
            world.step();
        }
        let rest = world.going_out().map_or(0, |(bytes, at)| bytes.len() - at);
        world.kill();
        let from = world.wire.len() + rest;
        assert!(world.run(5 * MINUTE), "killed at byte {tick}: {:?}", world.notices);
        world.assert_exact(ITEMS);
        assert_no_enq_first(&world, from);
        let gave_up = world.noticed(|notice| matches!(notice, Notice::GaveUp { .. }));
        assert_eq!(gave_up, 0, "killed at byte {tick}");
        // The next one goes on where the last stood, and nobody notices anything.
        assert_eq!(world.events.iter().find(|event| is_trouble(event)), None, "byte {tick}");
        assert_eq!(world.noticed(|notice| *notice == Notice::NoteRefused), 0);
        assert_eq!(world.noticed(|notice| matches!(notice, Notice::Unexpected { .. })), 0);
        assert_eq!(world.now, end, "killed at byte {tick}: not one byte time is lost");
    }
}

#[test]
fn it_may_take_seconds_until_the_next_one_is_there() {
    for (millis, gives_up) in
        [(40, false), (500, false), (4000, false), (7000, false), (20_000, true)]
    {
        for tick in (0..undisturbed().0).step_by(3) {
            let mut world = world();
            while world.ticks < tick {
                world.step();
            }
            world.kill_for(Duration::from_millis(millis));
            assert!(world.run(5 * MINUTE), "killed at byte {tick} for {millis} ms");
            let posted = world.count(|event| matches!(event, SimEvent::Posted { .. }));
            assert_eq!(posted as u64, CHARGES);
            if !gives_up {
                world.assert_exact(ITEMS);
            }
            assert_eq!(world.count(|event| *event == SimEvent::AnswerReplayed), 0);
            let late = world.count(|event| matches!(event, SimEvent::LateAnswer { .. }));
            assert!(late == 0 || gives_up, "killed at byte {tick} for {millis} ms");
        }
    }
}

#[test]
fn killed_again_and_again_it_still_gets_through() {
    for every in [7, 31, 97, 151, 203] {
        let mut world = World::new(Settings::default(), 10, 10);
        let mut next = every;
        let limit = world.now + 60 * MINUTE;
        while !world.is_done() && world.now < limit && world.ticks < 40_000 {
            world.step();
            if world.ticks >= next {
                world.kill();
                next = world.ticks + every;
            }
        }
        // Then it may live.
        assert!(world.run(60 * MINUTE), "killed every {every} bytes: {:?}", world.notices.last());
        world.assert_exact(10);
    }
}

#[test]
fn killed_on_a_lossy_line_it_posts_every_charge_once() {
    for seed in 0..60 {
        let mut world = World::seeded(Settings::default(), seed, 10, 10);
        world.noise = Some(Noise::new(seed, 150));
        let mut next = 50 + seed * 7;
        for _ in 0..20 {
            while world.ticks < next && !world.is_done() {
                world.step();
            }
            world.kill();
            next = world.ticks + 60 + seed * 11 % 300;
        }
        assert!(world.run(240 * MINUTE), "seed {seed}: {:?}", world.notices.last());
        let posted = world.count(|event| matches!(event, SimEvent::Posted { .. }));
        let conflicts = world.count(|event| matches!(event, SimEvent::Conflict { .. }));
        assert_eq!((posted, conflicts), (10, 0), "seed {seed}");
    }
}

#[test]
fn what_is_half_received_is_not_acknowledged_by_what_is_sent_meanwhile() {
    let whole = frame("GI|RN101|");
    for at in 1..whole.len() {
        let mut bench = GatewayBench::alive(Settings::default());
        let before = bench.acked;
        assert_eq!(bench.hears(&whole[..at]), b"");
        assert!(bench.posts(1).starts_with(b"\x02PS|"));
        assert_eq!(bench.acked, before);
        let mut bench = bench.taken_over(Settings::default(), false);
        assert_eq!(bench.hears(&whole), ACK);
        assert!(bench.writes.iter().any(|write| matches!(write, Write::Receive(_))));
    }
}

#[test]
fn a_record_sent_again_across_a_takeover_is_not_received_twice() {
    let mut bench = GatewayBench::alive(Settings::default());
    assert_eq!(bench.hears(&frame("GI|RN101|")), ACK);
    let mut bench = bench.taken_over(Settings::default(), false);
    assert_eq!(bench.hears(&frame("GI|RN101|")), ACK);
    assert_eq!(
        (bench.writes.len(), &bench.notices[..]),
        (0, &[Notice::Repeated { number: None }][..])
    );
}

#[test]
fn without_a_note_it_listens_and_then_starts_the_link() {
    let mut world = world();
    assert!(world.run(MINUTE));
    world.lose_note();
    let (from, lost) = (world.wire.len(), world.now);
    world.charges += 2;
    world.begin(false);
    assert!(world.run(MINUTE));
    assert_eq!(&world.wire[from..from + 4], b"\x02LS|");
    assert!(world.now > lost + Duration::from_secs(3));
    world.assert_exact(ITEMS);
}

#[test]
fn a_note_of_somebody_else_counts_as_none() {
    use super::super::Gateway;
    use crate::gateway::{Gateway as _, Resume};
    let note = Some(bytes::Bytes::from_static(b"another dialect's"));
    let wall = super::world::WALL;
    let resume = Resume { acked: 5, note, cut: false, last_number: 9, wall };
    let mut gateway = Gateway::new(Settings::default(), resume, MINUTE);
    assert_eq!(gateway.poll_event(), Some(Notice::NoteRefused));
    assert_eq!(gateway.ledger().map(crate::Ledger::last), Some(9));
    assert_eq!(gateway.poll_timeout(), Some(MINUTE + Duration::from_secs(3)));
}
