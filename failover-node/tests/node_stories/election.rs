//! Who claims, and when.

use failover_node::core::{Action, LOCK, Occurrence};
use wire::{Epoch, FreeCause, LineState, RefuseWhy, Role};

use crate::story::{FIRST, FREE, Story, ms, name, status};

const START: Action = Action::StartInstance(LOCK);

#[test]
fn a_node_listens_before_it_acts() {
    let mut story = Story::begin();
    let begun = story.now;
    story.beacon(FREE, "old", FIRST);
    story.wait(ms(199));
    assert!(!story.did(&START));
    story.wait(ms(1));
    assert_eq!(story.when(|a| *a == START), Some(begun + ms(200)));
    assert_eq!(story.node.role(), Role::Candidate);
    assert!(story.frames.is_empty(), "nothing is said before the instance has started");
}

#[test]
fn without_beacons_silence_for_dead_after_is_a_vacancy() {
    let mut story = Story::begin();
    let begun = story.now;
    story.wait(ms(1000));
    assert_eq!(story.when(|a| *a == START), Some(begun + ms(450)));
    let claiming = Occurrence::Claiming { rank: 0, cause: None };
    assert!(story.reports().contains(&&claiming));
}

#[test]
fn a_free_line_by_beacon_is_claimed_at_once() {
    let mut story = Story::begin();
    story.beacon(LineState::Held, "old", FIRST);
    story.wait(ms(300));
    let at = story.now;
    story.beacon(FREE, "old", FIRST);
    assert_eq!(story.when(|a| *a == START), Some(at));
    let claiming = Occurrence::Claiming { rank: 0, cause: Some(FreeCause::Closed) };
    assert!(story.reports().contains(&&claiming));
    assert_eq!(story.last_heartbeat().role, Role::Candidate, "and the others hear of it at once");
}

#[test]
fn held_by_beacon_delays_a_claim_for_one_lease_and_no_more() {
    let mut story = Story::begin();
    story.wait(ms(300));
    let at = story.now;
    story.beacon(LineState::Held, "old", FIRST);
    story.wait(ms(1000));
    assert_eq!(story.when(|a| *a == START), Some(at + ms(400)));
}

#[test]
fn rank_k_waits_for_k_staggers() {
    let mut story = Story::begin();
    story.beacon(LineState::Held, "old", FIRST);
    // By name, by priority, and one that goes after.
    story.hear("a");
    story.hear_with("z", |h| h.priority = 200);
    story.hear_with("b", |h| h.priority = 50);
    story.wait(ms(200));
    story.beacon(LineState::Held, "old", FIRST);
    for peer in ["a", "b", "z"] {
        let priority = |h: &mut wire::Heartbeat| {
            h.priority = match peer {
                "z" => 200,
                "b" => 50,
                _ => 100,
            };
        };
        story.hear_with(peer, priority);
    }
    let at = story.now;
    story.beacon(FREE, "old", FIRST);
    assert!(!story.did(&START));
    story.wait(ms(200));
    assert_eq!(story.when(|a| *a == START), Some(at + ms(2 * 30)));
    let claiming = Occurrence::Claiming { rank: 2, cause: Some(FreeCause::Closed) };
    assert!(story.reports().contains(&&claiming));
}

#[test]
fn whoever_is_faster_is_not_disturbed() {
    let mut story = Story::begin();
    story.beacon(LineState::Held, "old", FIRST);
    story.hear("a");
    story.wait(ms(200));
    story.hear("a");
    story.beacon(FREE, "old", FIRST);
    story.wait(ms(29));
    story.beacon(LineState::Held, "a", Epoch::new(1, 2));
    story.wait(ms(300));
    assert!(!story.did(&START));
}

#[test]
fn a_line_that_is_kept_for_another_is_left_alone_while_it_is_kept() {
    let mut story = Story::begin();
    story.wait(ms(300));
    let mut kept = status("old", FIRST);
    kept.state = LineState::Free(FreeCause::Reserved);
    kept.reserved_for = Some(name("a"));
    let at = story.now;
    story.beacon_of(kept);
    story.wait(ms(1000));
    assert_eq!(story.when(|a| *a == START), Some(at + ms(400)));
}

#[test]
fn after_a_restart_the_incumbent_goes_first_and_others_wait_for_a_lease() {
    for (incumbent, wait) in [("me", 0), ("other", 400)] {
        let mut story = Story::begin();
        story.beacon(LineState::Held, incumbent, FIRST);
        story.wait(ms(300));
        let at = story.now;
        story.beacon(LineState::Free(FreeCause::Restarted), incumbent, FIRST);
        story.wait(ms(1000));
        assert_eq!(story.when(|a| *a == START), Some(at + ms(wait)), "{incumbent}");
    }
}

#[test]
fn a_refusal_ends_the_instance_and_counts_as_a_beacon() {
    let mut story = Story::begin();
    story.wait(ms(450));
    story.connect();
    let at = story.now;
    story.refuse(RefuseWhy::Held, "other", Epoch::new(1, 7));
    assert!(story.did(&Action::EndInstance(LOCK)));
    let refused = Occurrence::Refused { why: RefuseWhy::Held, holder: Some(name("other")) };
    assert!(story.reports().contains(&&refused));
    story.instance_gone();
    assert_eq!(story.node.role(), Role::Standby);
    assert_eq!(story.node.highest_epoch(LOCK), Epoch::new(1, 7));
    story.forget();
    story.wait(ms(1000));
    assert_eq!(story.when(|a| *a == START), Some(at + ms(400)), "not before that lease is over");
}

#[test]
fn a_node_that_cannot_connect_says_so_and_backs_off() {
    let mut story = Story::begin();
    story.beacon(FREE, "old", FIRST);
    story.wait(ms(200));
    let mut starts = Vec::new();
    for _ in 0..9 {
        story.forget();
        story.node.handle_connect_failed(LOCK, "no route".into(), story.now);
        story.drain();
        story.instance_gone();
        assert!(story.last_heartbeat().connect_failed, "the others go first now");
        let from = story.now;
        while !story.did(&START) {
            story.wait(ms(1));
        }
        starts.push(story.now.since(from).as_millis());
    }
    assert_eq!(starts, [20, 40, 80, 160, 320, 640, 1000, 1000, 1000]);
}

#[test]
fn a_terminal_server_that_starts_anew_is_tried_at_once_however_often_the_one_before_failed() {
    let mut story = Story::begin();
    story.beacon(FREE, "me", FIRST);
    story.wait(ms(200));
    for _ in 0..6 {
        story.forget();
        story.node.handle_connect_failed(LOCK, "refused".into(), story.now);
        story.drain();
        story.instance_gone();
        while !story.did(&START) {
            story.wait(ms(1));
        }
    }
    story.forget();
    story.node.handle_connect_failed(LOCK, "refused".into(), story.now);
    story.drain();
    story.instance_gone();
    story.wait(ms(10));
    let at = story.now;
    story.restart(LineState::Free(FreeCause::Restarted), "me", FIRST);
    assert_eq!(story.when(|a| *a == START), Some(at));
}

#[test]
fn an_answer_that_does_not_come_is_a_failure() {
    let mut story = Story::begin();
    story.wait(ms(450));
    story.connect();
    story.wait(ms(399));
    assert!(!story.did(&Action::EndInstance(LOCK)));
    story.wait(ms(1));
    assert!(story.did(&Action::EndInstance(LOCK)));
}
