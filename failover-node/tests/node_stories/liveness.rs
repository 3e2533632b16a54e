//! Difficulties that must not become a line without a holder, or one that goes to and fro.

use std::time::Duration;

use failover_node::core::config::Behaviour;
use failover_node::core::{Action, HandoverError, LOCK, Membership, ResignCause};
use wire::{Epoch, Frame, Heartbeat, LineState, Role, Written};

use crate::duty::{on, resigned, with_peer};
use crate::story::{FIRST, FREE, Story, ms, name, output};

#[test]
fn i6_a_payload_that_cannot_be_killed_does_not_keep_the_line_for_ever() {
    let stall = Duration::from_secs(1);
    let mut story = Story::begin_with(|config| config.behaviour.stall = stall);
    story.become_coordinator(FIRST);
    with_peer(&mut story, ms(300), |_| {});
    story.input(0);
    with_peer(&mut story, Duration::from_secs(2), |_| {});
    assert_eq!(resigned(&story), Some((ResignCause::Stall, "a".into())));
    // It hangs in the kernel: handle_payload_gone never comes.
    with_peer(&mut story, Duration::from_secs(60), |_| {});
    assert!(story.did(&Action::EndInstance(LOCK)), "still {:?}, renewing", story.node.role());
}

#[test]
fn a_successor_that_does_not_take_the_line_is_not_given_it_again_at_once() {
    let mut story = Story::begin();
    story.become_coordinator(FIRST);
    story.node.handle_health(false, story.now);
    story.drain();
    // `a` is refused by the terminal server each time, and its heartbeats do not show it.
    let gaps = interruptions(&mut story, |_| {});
    assert!(gaps <= 1, "{gaps} interruptions within {:?}", story.now);
}

#[test]
fn a_node_whose_claim_is_refused_for_its_key_goes_last() {
    let mut story = Story::begin();
    let mut kept = crate::story::status("a", FIRST);
    kept.state = LineState::Free(wire::FreeCause::Reserved);
    kept.reserved_for = Some(name("me"));
    story.wait(ms(300));
    story.beacon_of(kept);
    story.wait(ms(1));
    story.connect();
    story.refuse(wire::RefuseWhy::Mac, "a", FIRST);
    story.instance_gone();
    story.wait(ms(200));
    assert!(story.last_heartbeat().last_resort());
}

#[test]
fn a_candidate_that_is_told_never_to_lead_does_not() {
    let mut story = Story::begin();
    while story.node.role() != Role::Candidate {
        story.wait(ms(1));
    }
    let membership = Membership::NeverCoordinator;
    story.node.handle_behaviour(Behaviour { membership, ..Behaviour::default() }, story.now);
    story.drain();
    assert!(story.did(&Action::EndInstance(LOCK)));
}

#[test]
fn an_epoch_of_another_groups_lock_is_not_claimed_with() {
    let mut story = Story::begin_with(|c| {
        c.digests = wire::Digests::new(&c.keys, "line other 100/400/450", "line 100/400/450");
    });
    let ours = story.node.config().digests.current;
    // Its lines are configured in another order: its lock is another line, at another server.
    story.hear_with("a", |h| {
        h.digest = ours ^ 1;
        h.epoch = Epoch::new(900, 1);
        h.role = Role::Coordinator;
    });
    story.beacon(FREE, "b", FIRST);
    let mut t = 0;
    while t < 5000 {
        story.hear_with("a", |h| {
            h.digest = ours ^ 1;
            h.epoch = Epoch::new(900, 1);
            h.role = Role::Coordinator;
        });
        story.wait(ms(100));
        t += 100;
    }
    assert!(
        story.node.highest_epoch(LOCK) < Epoch::new(2, 0),
        "{:?}",
        story.node.highest_epoch(LOCK)
    );
    assert!(story.did(&Action::StartInstance(LOCK)));
}

#[test]
fn maintenance_of_a_lone_candidate_needs_force() {
    let mut story = Story::begin();
    story.become_coordinator(FIRST);
    story.payload_gone();
    // Its payload is to be started again here; nobody else is there.
    let answer = story.node.handle_maintenance(on(None), story.now);
    assert_eq!(answer, Err(HandoverError::Nobody));
}

#[test]
fn i6_a_barred_lone_coordinators_payload_is_started_again() {
    let mut story = Story::begin();
    story.become_coordinator(FIRST);
    let membership = Membership::NeverCoordinator;
    story.node.handle_behaviour(Behaviour { membership, ..Behaviour::default() }, story.now);
    story.drain();
    story.payload_gone();
    story.actions.retain(|(_, action)| *action != Action::StartInstance(LOCK));
    story.release_to_the_end();
    assert!(story.did(&Action::StartInstance(LOCK)));
}

#[test]
fn a_better_node_that_never_takes_the_line_is_not_given_it_again_at_once() {
    let after = Some(Duration::from_secs(30));
    let mut story = Story::begin_with(|config| config.behaviour.preempt_after = after);
    story.become_coordinator(FIRST);
    with_peer(&mut story, Duration::from_secs(31), |h| h.priority = 200);
    let gaps = interruptions(&mut story, |h| h.priority = 200);
    assert!(gaps <= 1, "{gaps} interruptions within {:?}", story.now);
}

#[test]
fn a_successor_that_left_meanwhile_is_not_waited_for() {
    let mut story = Story::begin();
    story.become_coordinator(FIRST);
    story.hear("a");
    story.hear("b");
    story.node.handle_handover(None, story.now).unwrap();
    story.drain();
    story.hear_with("a", |h| h.leaving = true);
    story.payload_gone();
    assert!(story.sent(&Frame::Release(Some(name("b")))));
}

#[test]
fn a_replayed_heartbeat_does_not_make_us_speak_version_1() {
    let mut story = Story::begin();
    story.hear("a");
    story.wait(ms(200));
    story.forget();
    let old = Heartbeat {
        speaks: 1,
        ..Heartbeat::new(name("group"), name("a"), wire::BootId([7; 16]), 1)
    };
    story.node.handle_heartbeat(old, story.now);
    story.wait(ms(500));
    let one = story.actions.iter().any(|(_, a)| matches!(a, Action::Heartbeat(h) if h.speaks == 1));
    assert!(!one);
}

#[test]
fn output_that_the_line_does_not_take_is_no_stall_of_the_payload() {
    let stall = Duration::from_secs(1);
    let mut story = Story::begin_with(|config| config.behaviour.stall = stall);
    story.become_coordinator(FIRST);
    with_peer(&mut story, ms(300), |_| {});
    story.input(0);
    // It answers, and the far end has stopped the line: nothing is written for a minute.
    story.payload_says(output(0));
    with_peer(&mut story, Duration::from_secs(60), |_| {});
    assert_eq!(resigned(&story), None, "no other node could write, either");
    let accepted = output_len();
    story.frame(Frame::Written(Written { accepted, drained: 0 }));
    with_peer(&mut story, stall - ms(200), |_| {});
    assert_eq!(resigned(&story), None, "it is the payload's turn from now on");
    with_peer(&mut story, ms(400), |_| {});
    assert_eq!(resigned(&story), Some((ResignCause::Stall, "a".into())));
}

/// Of what [`output`] makes.
fn output_len() -> u64 {
    match output(0) {
        Frame::Output(output) => output.end(),
        _ => 0,
    }
}

/// How often the line is given up within five chances, while a peer `a`, as `change` makes it, never
/// takes it.
fn interruptions(story: &mut Story, change: fn(&mut Heartbeat)) -> u32 {
    for count in 2..=6 {
        with_peer(story, ms(300), change);
        if resigned(story).is_none() {
            return count - 2;
        }
        story.payload_gone();
        story.release_to_the_end();
        story.forget();
        while story.node.role() != Role::Candidate {
            story.hear_with("a", change);
            story.wait(ms(50));
        }
        story.connect();
        story.grant(Epoch::new(1, count));
        story.forget();
    }
    5
}
