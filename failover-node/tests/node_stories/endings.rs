//! How a coordinator lets go: crash, stall, hand-over, stop.

use failover_node::core::{Action, HandoverError, LOCK, LinkEnd, Occurrence, ResignCause};
use wire::{Epoch, Frame, RevokeWhy, Revoked, Role};

use crate::story::{FIRST, Story, ack, ms, name, output};

fn resigned(story: &Story) -> Option<(ResignCause, Option<String>)> {
    story.reports().iter().find_map(|occurrence| match occurrence {
        Occurrence::Resigning { cause, reserve_for, .. } => {
            Some((*cause, reserve_for.as_ref().map(ToString::to_string)))
        }
        _ => None,
    })
}

#[test]
fn a_crashed_payload_is_started_again_under_a_new_grant_kept_for_this_node() {
    let mut story = Story::begin();
    story.become_coordinator(FIRST);
    story.hear("a");
    story.payload_gone();
    assert!(story.sent(&Frame::Release(Some(name("me")))));
    assert_eq!(resigned(&story), Some((ResignCause::PayloadCrashed, Some("me".into()))));
    assert!(!story.did(&Action::StopPayload(LOCK)), "it is gone already");
    story.forget();
    story.release_to_the_end();
    assert!(story.did(&Action::StartInstance(LOCK)), "at once");
    story.connect();
    story.grant(Epoch::new(1, 2));
    assert!(story.when(|a| matches!(a, Action::StartPayload(LOCK, _))).is_some());
}

#[test]
fn a_payload_that_crashes_too_often_is_left_to_a_peer() {
    let mut story = Story::begin_with(|config| config.behaviour.restarts = 2);
    for count in 1..=3 {
        story.forget();
        story.become_coordinator(Epoch::new(1, count));
        story.hear("a");
        story.payload_gone();
        if count < 3 {
            assert!(story.sent(&Frame::Release(Some(name("me")))));
            story.release_to_the_end();
        }
    }
    assert!(story.sent(&Frame::Release(Some(name("a")))));
    assert_eq!(resigned(&story), Some((ResignCause::RestartBudget, Some("a".into()))));
    assert!(story.last_heartbeat().held_down);
}

#[test]
fn alone_a_node_never_gives_up_but_takes_longer_each_time() {
    let mut story = Story::begin_with(|config| config.behaviour.restarts = 2);
    let mut pauses = Vec::new();
    for count in 1..=10 {
        story.become_coordinator(Epoch::new(1, count));
        story.forget();
        story.payload_gone();
        assert!(story.sent(&Frame::Release(Some(name("me")))));
        story.release_to_the_end();
        let from = story.now;
        while !story.did(&Action::StartInstance(LOCK)) {
            story.wait(ms(1));
        }
        pauses.push(story.now.since(from).as_millis());
    }
    let mut sorted = pauses.clone();
    sorted.sort_unstable();
    assert_eq!(pauses, sorted);
    assert_eq!((pauses[0], pauses[1], pauses[9]), (0, 0, 1000));
}

#[test]
fn nonsense_from_the_payload_counts_as_a_crash() {
    let mut story = Story::begin_with(|config| config.behaviour.restarts = 0);
    story.become_coordinator(FIRST);
    story.forget();
    story.payload_says(output(7));
    assert_eq!(resigned(&story), Some((ResignCause::BadPayload, Some("me".into()))));
    assert!(!story.sent(&output(7)));
    // It is told to go, and what it says until then does not make things worse.
    assert!(story.did(&Action::StopPayload(LOCK)));
    story.payload_says(Frame::Renew(1));
    story.payload_gone();
    assert!(story.sent(&Frame::Release(Some(name("me")))));
    let from = story.now;
    story.release_to_the_end();
    while !story.did(&Action::StartInstance(LOCK)) {
        story.wait(ms(1));
    }
    assert_eq!(story.now.since(from), ms(20));
}

#[test]
fn a_payload_that_leaves_input_lying_loses_the_line() {
    let mut story = Story::begin_with(|config| config.behaviour.stall = ms(2000));
    story.become_coordinator(FIRST);
    story.wait_renewed(ms(3000));
    assert_eq!(resigned(&story), None, "without input there is nothing to acknowledge");
    story.input(0);
    story.wait_renewed(ms(1500));
    // Part of it: it moves, so it lives.
    story.payload_says(ack(2));
    story.wait_renewed(ms(1500));
    story.payload_says(ack(5));
    story.wait_renewed(ms(3000));
    assert_eq!(resigned(&story), None);
    story.input(5);
    story.wait_renewed(ms(1700));
    story.hear("a");
    story.wait_renewed(ms(400));
    assert_eq!(resigned(&story), Some((ResignCause::Stall, Some("a".into()))));
    assert!(story.did(&Action::StopPayload(LOCK)));
}

#[test]
fn a_hand_over_reserves_for_the_best_peer_and_holds_down() {
    let mut story = Story::begin();
    story.become_coordinator(FIRST);
    story.hear("a");
    story.hear_with("b", |h| h.priority = 200);
    story.hear_with("c", |h| {
        h.priority = 250;
        h.connect_failed = true;
    });
    let now = story.now;
    assert_eq!(story.node.handle_handover(None, now), Ok(name("b")));
    story.drain();
    assert!(story.did(&Action::StopPayload(LOCK)));
    assert_eq!(story.node.role(), Role::Coordinator, "until the payload is gone");
    assert_eq!(story.node.handle_handover(None, now), Err(HandoverError::Busy));
    // What the payload says to the end still counts, and goes before the RELEASE.
    story.payload_says(output(0));
    story.forget();
    story.payload_says(ack(0));
    story.payload_gone();
    let sent: Vec<Frame> = story.frames.iter().map(|(_, frame)| frame.clone()).collect();
    assert_eq!(sent, [ack(0), Frame::Release(Some(name("b")))]);
    story.release_to_the_end();
    assert!(story.last_heartbeat().held_down);
    story.wait(ms(5000 + 100));
    assert!(!story.last_heartbeat().held_down);
}

#[test]
fn a_hand_over_is_refused_in_plain_words_where_it_makes_no_sense() {
    let mut story = Story::begin();
    let standby = story.node.handle_handover(None, story.now);
    assert_eq!(standby, Err(HandoverError::NotCoordinator(None)));
    story.become_coordinator(FIRST);
    assert_eq!(story.node.handle_handover(None, story.now), Err(HandoverError::Nobody));
    let stranger = story.node.handle_handover(Some(name("x")), story.now);
    assert_eq!(stranger, Err(HandoverError::NotHeard(name("x"))));
    assert_eq!(story.node.role(), Role::Coordinator, "nothing was changed");
}

#[test]
fn a_stopped_standby_ends_at_once_and_says_that_it_leaves() {
    let mut story = Story::begin();
    story.node.handle_stop(story.now);
    story.drain();
    assert!(story.did(&Action::Stopped));
    assert!(story.last_heartbeat().leaving);
    story.forget();
    story.wait(ms(2000));
    assert_eq!(story.actions, [], "nothing comes after the end");
}

#[test]
fn a_stopped_candidate_ends_its_instance_first() {
    let mut story = Story::begin();
    story.wait(ms(450));
    story.connect();
    story.node.handle_stop(story.now);
    story.drain();
    assert!(story.did(&Action::EndInstance(LOCK)) && !story.did(&Action::Stopped));
    // The grant comes too late to be of use.
    let grant = story.signed_grant(FIRST);
    story.frame(Frame::Grant(grant));
    assert!(story.when(|a| matches!(a, Action::StartPayload(LOCK, _))).is_none());
    story.instance_gone();
    assert!(story.did(&Action::Stopped));
}

#[test]
fn a_stopped_coordinator_gives_the_line_to_a_peer_before_it_ends() {
    let mut story = Story::begin();
    story.become_coordinator(FIRST);
    story.hear("a");
    story.forget();
    story.node.handle_stop(story.now);
    story.drain();
    assert!(story.did(&Action::StopPayload(LOCK)));
    assert_eq!(resigned(&story), Some((ResignCause::Stop, Some("a".into()))));
    story.wait_renewed(ms(450));
    assert_eq!(story.node.role(), Role::Coordinator, "the lease is kept while the payload ends");
    story.payload_gone();
    assert!(story.sent(&Frame::Release(Some(name("a")))));
    assert!(!story.did(&Action::Stopped));
    story.release_to_the_end();
    assert!(story.did(&Action::Stopped));
    assert!(story.last_heartbeat().leaving);
}

#[test]
fn a_release_that_nobody_answers_does_not_hold_up_a_stop() {
    let mut story = Story::begin();
    story.become_coordinator(FIRST);
    story.node.handle_stop(story.now);
    story.drain();
    story.payload_gone();
    story.wait(ms(399));
    assert!(!story.did(&Action::EndInstance(LOCK)));
    story.wait(ms(1));
    story.instance_gone();
    assert!(story.did(&Action::Stopped));
}

#[test]
fn a_grant_that_is_lost_while_the_payload_ends_does_not_hold_up_a_stop() {
    let mut story = Story::begin();
    story.become_coordinator(FIRST);
    story.node.handle_stop(story.now);
    story.drain();
    story.frame(Frame::Revoked(Revoked { epoch: FIRST, why: RevokeWhy::Stopping }));
    let end = LinkEnd::Revoked(RevokeWhy::Stopping);
    assert!(story.reports().contains(&&Occurrence::Lost { epoch: FIRST, end }));
    story.payload_gone();
    story.instance_gone();
    assert!(story.did(&Action::Stopped));
    assert!(!story.frames.iter().any(|(_, f)| matches!(f, Frame::Release(_))));
}
