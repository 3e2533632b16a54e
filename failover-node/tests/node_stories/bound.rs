//! I6, I8, and difficulties that are none.

use std::time::Duration;

use failover_node::core::config::CONNECT_FAILED;
use failover_node::core::{Action, LOCK, LinkEnd, Occurrence, Profile};
use wire::{Epoch, Frame, FreeCause, LineState, RevokeWhy, Revoked, Role};

use crate::story::{FIRST, FREE, Story, ack, ms, number, output};

const START: Action = Action::StartInstance(LOCK);

/// A node that has heard the line held, and peers that go first: `a` and `b`, by their names.
fn standby_behind(peers: &[&str]) -> Story {
    let mut story = Story::begin();
    story.beacon(LineState::Held, "old", FIRST);
    for peer in peers {
        story.hear(peer);
    }
    while story.now.since_boot() < ms(1300) {
        story.wait(ms(50));
        story.beacon(LineState::Held, "old", FIRST);
        for peer in peers {
            story.hear(peer);
        }
    }
    assert!(!story.did(&START));
    story
}

/// How many milliseconds after `from` it claims, if within three seconds.
fn claims_after(story: &mut Story, from: wire::Time) -> Option<u128> {
    story.wait(ms(3000));
    story.when(|a| *a == START).map(|at| at.since(from).as_millis())
}

#[test]
fn i6_a_line_free_by_beacon_is_claimed_within_rank_times_stagger() {
    let profile = Profile::STANDARD;
    for cause in [FreeCause::Closed, FreeCause::Lease] {
        for peers in [&[][..], &["a"], &["a", "b"]] {
            let mut story = standby_behind(peers);
            let from = story.now;
            story.beacon(LineState::Free(cause), "old", FIRST);
            let bound = (profile.stagger * peers.len() as u32).as_millis();
            assert_eq!(claims_after(&mut story, from), Some(bound), "{cause:?} {peers:?}");
        }
    }
}

#[test]
fn i6_without_beacons_silence_is_a_vacancy_within_dead_after_and_the_stagger() {
    for rank in 0..=2 {
        let mut story = Story::begin();
        let coordinator = |h: &mut wire::Heartbeat| {
            h.role = Role::Coordinator;
            h.epoch = FIRST;
        };
        story.hear_with("old", coordinator);
        // They live on when the coordinator does not.
        for _ in 0..10 {
            story.hear_with("old", coordinator);
            for peer in &["a", "b"][..rank] {
                story.hear(peer);
            }
            story.wait(ms(100));
        }
        story.hear_with("old", coordinator);
        let from = story.now;
        assert!(!story.did(&START), "the coordinator is heard");
        for _ in 0..5 {
            for peer in &["a", "b"][..rank] {
                story.hear(peer);
            }
            if story.did(&START) {
                break;
            }
            story.wait(ms(100));
        }
        let profile = Profile::STANDARD;
        let bound = profile.dead_after + profile.stagger * rank as u32;
        assert_eq!(claims_after(&mut story, from), Some(bound.as_millis()), "rank {rank}");
    }
}

#[test]
fn i8_a_node_that_is_not_polled_sends_nothing_and_wakes_without_its_grant() {
    let mut story = Story::begin();
    story.become_coordinator(FIRST);
    story.wait_renewed(ms(1000));
    story.forget();
    // Stopped: there is no other loop that could speak for it.
    story.now = story.now + ms(3000);
    story.drain();
    assert_eq!((&story.frames[..], &story.actions[..]), (&[][..], &[][..]));
    story.payload_says(output(0));
    story.payload_says(ack(0));
    story.frame(Frame::Revoked(Revoked { epoch: FIRST, why: RevokeWhy::Expired }));
    assert_eq!(story.frames, [], "neither output nor a late renewal");
    assert!(story.did(&Action::EndInstance(LOCK)));
    let lost = Occurrence::Lost { epoch: FIRST, end: LinkEnd::LeaseExpired };
    assert!(story.reports().contains(&&lost));
    assert_ne!(story.last_heartbeat().role, Role::Coordinator, "the first it says after waking");
}

#[test]
fn late_wake_ups_are_counted_from_a_quarter_of_the_lease() {
    let mut story = Story::begin();
    let mut counted = Vec::new();
    for late in [0, 100, 101, 30] {
        let due = story.node.poll_timeout().unwrap();
        story.now = due + ms(late);
        story.node.handle_timeout(story.now);
        story.drain();
        counted.push((story.node.counters().late, story.node.counters().late_max_us));
    }
    assert_eq!(counted, [(0, 0), (0, 100_000), (1, 101_000), (1, 101_000)]);
}

#[test]
fn settings_that_differ_are_reported_once_for_each_boot() {
    let mut story = Story::begin();
    let same = story.node.config().digests.current;
    let differ = |story: &Story, peer: &str| {
        let wanted = Occurrence::SettingsDiffer(crate::story::name(peer));
        story.reports().into_iter().filter(|o| **o == wanted).count()
    };
    for _ in 0..5 {
        story.hear_with("a", |h| h.digest = 8);
        story.hear_with("b", |h| h.digest = same);
        story.wait(ms(50));
    }
    assert_eq!((differ(&story, "a"), differ(&story, "b")), (1, 0));
    story.wait(Profile::STANDARD.dead_after);
    for _ in 0..5 {
        story.hear_again("a", 10, |h| h.digest = 8);
        story.wait(ms(50));
    }
    assert_eq!(differ(&story, "a"), 2, "it has been started again, and is no better");
}

#[test]
fn a_better_node_that_joins_beside_a_holder_never_claims() {
    let mut story = Story::begin_with(|config| config.behaviour.priority = 255);
    for _ in 0..50 {
        story.beacon(LineState::Held, "old", FIRST);
        story.hear_with("old", |h| {
            h.priority = 1;
            h.role = Role::Coordinator;
            h.epoch = FIRST;
        });
        story.wait(ms(100));
    }
    assert!(!story.did(&START), "the incumbent stays");
}

#[test]
fn with_heartbeats_cut_and_beacons_heard_nothing_happens() {
    let mut story = standby_behind(&["a"]);
    for _ in 0..100 {
        story.beacon(LineState::Held, "old", FIRST);
        story.wait(ms(100));
    }
    assert!(!story.did(&START));
    assert_eq!(story.frames, []);
}

#[test]
fn a_coordinator_that_hears_no_heartbeats_stays() {
    let mut story = Story::begin();
    story.become_coordinator(FIRST);
    story.hear("a");
    story.wait_renewed(ms(10_000));
    assert_eq!((story.node.role(), story.node.epoch(LOCK)), (Role::Coordinator, Some(FIRST)));
    assert!(story.frames.iter().filter_map(number).count() >= 99);
}

/// When a line that is free `after` this node's connect has failed would be claimed by it, with a
/// peer of a later name beside it.
fn turn_after_a_failed_connect(after: Duration) -> Option<u128> {
    let mut story = Story::begin();
    story.beacon(FREE, "old", FIRST);
    story.wait(ms(200));
    story.node.handle_connect_failed(LOCK, "no route".into(), story.now);
    story.drain();
    let failed = story.now;
    story.instance_gone();
    story.beacon(LineState::Held, "z", Epoch::new(1, 2));
    while story.now < failed + after {
        story.hear("z");
        story.beacon(LineState::Held, "y", Epoch::new(1, 2));
        let left = (failed + after).since(story.now);
        story.wait(left.min(ms(50)));
    }
    story.forget();
    let from = story.now;
    story.hear("z");
    story.beacon(FREE, "y", Epoch::new(1, 2));
    claims_after(&mut story, from)
}

#[test]
fn a_node_whose_connect_failed_goes_last_for_five_seconds_and_no_longer() {
    assert_eq!(turn_after_a_failed_connect(ms(1000)), Some(30), "after the other");
    assert_eq!(turn_after_a_failed_connect(CONNECT_FAILED - ms(1)), Some(30));
    assert_eq!(turn_after_a_failed_connect(CONNECT_FAILED), Some(0), "its name goes first again");
}
