//! When a node must not lead, and when a coordinator lets go although it could go on.

use std::time::Duration;

use failover_node::core::config::{Behaviour, HOLD_DOWN};
use failover_node::core::{
    Action, HandoverError, LOCK, Maintenance, Membership, Obstacle, Occurrence, ResignCause,
};
use wire::{Epoch, Frame, Role};

use crate::story::{FIRST, FREE, Story, ms, name};

const HOUR: Duration = Duration::from_secs(3600);

pub(crate) fn on(length: Option<Duration>) -> Maintenance {
    Maintenance::On { length, force: false }
}

pub(crate) fn resigned(story: &Story) -> Option<(ResignCause, String)> {
    story.reports().into_iter().find_map(|occurrence| match occurrence {
        Occurrence::Resigning { cause, reserve_for: Some(node), .. } => {
            Some((*cause, node.to_string()))
        }
        _ => None,
    })
}

fn codes(story: &Story) -> Vec<&'static str> {
    story.node.why_not(story.now).iter().map(Obstacle::code).collect()
}

/// Time passes while the peer is heard.
pub(crate) fn with_peer(story: &mut Story, span: Duration, change: impl Fn(&mut wire::Heartbeat)) {
    let end = story.now + span;
    while story.now < end {
        story.hear_with("a", &change);
        story.wait_renewed(ms(100));
    }
}

#[test]
fn an_observer_and_a_barred_node_never_claim_and_say_why() {
    for membership in [Membership::Observer, Membership::NeverCoordinator] {
        let mut story = Story::begin_with(|config| config.behaviour.membership = membership);
        story.beacon(FREE, "a", FIRST);
        story.wait(Duration::from_secs(20));
        assert_eq!(story.node.role(), Role::Standby);
        assert_eq!(story.node.counters().claims, 0);
        assert!(!story.last_heartbeat().eligible());
        let why = story.node.why_not(story.now);
        assert!(why[0].is_absolute(), "{why:?}");
    }
}

#[test]
fn nobody_waits_for_one_who_never_leads() {
    let mut story = Story::begin();
    for change in [
        (|h| h.observer = true) as fn(&mut wire::Heartbeat),
        |h| h.barred = true,
        |h| h.maintenance = true,
    ] {
        story.hear_with("a", |h| {
            h.priority = 200;
            change(h);
        });
        assert!(!codes(&story).contains(&"behind"), "{:?}", codes(&story));
        assert!(story.node.handle_handover(None, story.now).is_err());
    }
    story.wait(ms(300));
    story.hear_with("a", |h| h.priority = 200);
    assert!(codes(&story).contains(&"behind"));
}

#[test]
fn maintenance_hands_the_line_over_and_ends_by_itself() {
    let mut story = Story::begin();
    story.become_coordinator(FIRST);
    story.hear("a");
    story.forget();
    let successor = story.node.handle_maintenance(on(Some(HOUR)), story.now);
    story.drain();
    assert_eq!(successor, Ok(Some(name("a"))));
    assert_eq!(resigned(&story), Some((ResignCause::Maintenance, "a".into())));
    assert!(story.last_heartbeat().maintenance);
    story.payload_gone();
    assert!(story.sent(&Frame::Release(Some(name("a")))));
    story.release_to_the_end();
    story.forget();
    // Nobody takes it: not this one, until the hour is over.
    story.wait(HOUR - ms(1000));
    assert_eq!(story.node.role(), Role::Standby);
    assert_eq!(codes(&story)[0], "maintenance");
    story.wait(ms(2000));
    assert!(story.did(&Action::StartInstance(LOCK)), "maintenance is over");
}

#[test]
fn i6_maintenance_leaves_no_line_without_a_holder_unless_forced() {
    let mut story = Story::begin();
    story.become_coordinator(FIRST);
    let refused = story.node.handle_maintenance(on(None), story.now);
    assert_eq!(refused, Err(HandoverError::Nobody));
    assert_eq!(story.node.maintenance_left(story.now), None);
    assert_eq!(story.node.role(), Role::Coordinator);
    let force = Maintenance::On { length: None, force: true };
    assert_eq!(story.node.handle_maintenance(force, story.now), Ok(None));
    story.drain();
    story.payload_gone();
    assert!(story.sent(&Frame::Release(None)));
    story.release_to_the_end();
    story.forget();
    story.wait(Duration::from_secs(60));
    assert!(!story.did(&Action::StartInstance(LOCK)));
    story.node.handle_maintenance(Maintenance::Off, story.now).unwrap();
    story.drain();
    assert!(story.did(&Action::StartInstance(LOCK)), "at once");
}

#[test]
fn a_better_node_that_came_to_stay_gets_the_line_if_that_is_wanted() {
    let begin = |preempt_after| {
        let mut story = Story::begin_with(|config| config.behaviour.preempt_after = preempt_after);
        story.become_coordinator(FIRST);
        story.forget();
        story
    };
    let mut stays = begin(None);
    with_peer(&mut stays, Duration::from_secs(600), |h| h.priority = 200);
    assert_eq!(resigned(&stays), None, "the incumbent stays unless configured");
    let mut story = begin(Some(Duration::from_secs(30)));
    with_peer(&mut story, Duration::from_secs(29), |h| h.priority = 200);
    assert_eq!(resigned(&story), None);
    with_peer(&mut story, ms(100), |h| {
        h.priority = 200;
        h.connect_failed = true;
    });
    with_peer(&mut story, Duration::from_secs(29), |h| h.priority = 200);
    assert_eq!(resigned(&story), None, "a difficulty counts anew");
    with_peer(&mut story, Duration::from_secs(2), |h| h.priority = 200);
    assert_eq!(resigned(&story), Some((ResignCause::Preempted, "a".into())));
    let mut equal = begin(Some(Duration::from_secs(1)));
    with_peer(&mut equal, Duration::from_secs(60), |h| h.priority = 100);
    assert_eq!(resigned(&equal), None, "only for a strictly better one");
}

#[test]
fn an_unfit_coordinator_lets_go_only_if_somebody_could_do_better() {
    let mut story = Story::begin();
    story.become_coordinator(FIRST);
    story.forget();
    story.node.handle_health(false, story.now);
    story.drain();
    story.wait_renewed(Duration::from_secs(5));
    with_peer(&mut story, Duration::from_secs(5), |h| h.unhealthy = true);
    with_peer(&mut story, Duration::from_secs(5), |h| h.held_down = true);
    assert_eq!(resigned(&story), None);
    assert!(story.last_heartbeat().unhealthy);
    story.hear("a");
    assert_eq!(resigned(&story), Some((ResignCause::Unhealthy, "a".into())));
    story.payload_gone();
    assert!(story.last_heartbeat().held_down);
}

#[test]
fn a_coordinator_that_is_told_never_to_lead_hands_over() {
    let mut story = Story::begin();
    story.become_coordinator(FIRST);
    story.hear("a");
    story.forget();
    let membership = Membership::NeverCoordinator;
    story.node.handle_behaviour(Behaviour { membership, ..Behaviour::default() }, story.now);
    story.drain();
    assert_eq!(resigned(&story), Some((ResignCause::Barred, "a".into())));
}

#[test]
fn the_hold_down_doubles_with_each_loss_and_never_keeps_a_line_from_its_only_node() {
    let mut story = Story::begin();
    let mut holds = Vec::new();
    for count in 1..=8 {
        story.become_coordinator(Epoch::new(1, count));
        story.forget();
        // No renewal is answered: the lease ends.
        story.wait(ms(500));
        story.instance_gone();
        let held_down = story.node.why_not(story.now).into_iter().find_map(|o| match o {
            Obstacle::HeldDown(left) => Some(left),
            _ => None,
        });
        holds.push(held_down.unwrap().as_secs() + 1);
    }
    let five = HOLD_DOWN.as_secs();
    assert_eq!(holds[..5], [five, 2 * five, 4 * five, 8 * five, 16 * five]);
    assert_eq!(holds[6..], [300, 300]);
    // And still the loop above got the line each time within a second, as the only one there.
}

#[test]
fn a_stalled_payload_is_started_again_where_nobody_could_do_better() {
    let stall = Duration::from_secs(1);
    let mut story = Story::begin_with(|config| config.behaviour.stall = stall);
    story.become_coordinator(FIRST);
    story.input(0);
    story.wait_renewed(stall + ms(10));
    assert_eq!(resigned(&story), Some((ResignCause::Stall, "me".into())));
    assert!(story.did(&Action::StopPayload(LOCK)));
    assert!(!story.last_heartbeat().held_down, "alone it is nobody's turn but ours");
}

#[test]
fn a_bridge_without_a_client_does_not_stall() {
    let stall = Duration::from_secs(1);
    let mut story = Story::begin_with(|config| config.behaviour.stall = stall);
    story.become_coordinator(FIRST);
    story.node.handle_payload_absent(LOCK, true, story.now);
    story.input(0);
    story.wait_renewed(stall * 3);
    assert_eq!(resigned(&story), None);
    story.node.handle_payload_absent(LOCK, false, story.now);
    story.wait_renewed(stall + ms(10));
    assert_eq!(resigned(&story), Some((ResignCause::Stall, "me".into())));
}

#[test]
fn a_gate_that_fails_gives_the_line_to_a_better_node() {
    let mut story = Story::begin();
    story.become_coordinator(FIRST);
    story.hear("a");
    story.node.handle_gate_failed(LOCK, story.now);
    story.drain();
    assert_eq!(resigned(&story), Some((ResignCause::GateFailed, "a".into())));
}

#[test]
fn nodes_of_the_release_before_hear_their_own_version() {
    let mut story = Story::begin();
    let sent = |story: &Story, version: u8| {
        let mut beats = story.actions.iter().filter_map(|(_, action)| match action {
            Action::Heartbeat(heartbeat) => Some(heartbeat.speaks),
            _ => None,
        });
        beats.any(|speaks| speaks == version)
    };
    story.hear("new");
    story.wait(ms(500));
    assert!(!sent(&story, 1));
    story.hear_with("old", |h| h.speaks = 1);
    story.wait(ms(150));
    assert!(sent(&story, 1) && sent(&story, 2));
    story.wait(Duration::from_secs(61));
    story.forget();
    story.wait(Duration::from_secs(1));
    assert!(!sent(&story, 1) && sent(&story, 2), "the last of them has gone");
}

#[test]
fn why_not_names_who_has_the_line_and_is_empty_for_a_coordinator() {
    let mut story = Story::begin();
    assert_eq!(codes(&story), ["listening"]);
    story.beacon(wire::LineState::Held, "a", FIRST);
    story.wait(ms(250));
    assert_eq!(story.node.why_not(story.now)[0], Obstacle::Held(Some(name("a"))));
    story.become_coordinator(Epoch::new(1, 2));
    assert_eq!(codes(&story), [""; 0]);
}
