//! I4 and what a grant is worth.

use failover_node::core::{Action, LOCK, LinkEnd, Occurrence};
use wire::{Epoch, Frame, LineState, RevokeWhy, Revoked, Role};

use crate::story::{FIRST, Story, ack, ms, number, output};

/// The node counts a lease of 400 ms one hundredth shorter.
const OWN_LEASE: u64 = 396;

#[test]
fn i4_nothing_is_written_after_the_lease_measured_from_the_sent_renewal() {
    let mut story = Story::begin();
    story.wait(ms(450));
    story.connect();
    let claimed = story.now;
    story.wait(ms(60));
    story.grant(FIRST);
    assert_eq!(
        story.node.lease_until(LOCK),
        Some(claimed + ms(OWN_LEASE)),
        "from the CLAIM's sending"
    );
    story.wait(ms(40));
    let (renewed, n) = story.frames.iter().find_map(|f| number(f).map(|n| (f.0, n))).unwrap();
    assert_eq!(renewed, claimed + ms(100));
    story.wait(ms(90));
    story.frame(Frame::Renewed(n));
    let until = renewed + ms(OWN_LEASE);
    assert_eq!(story.node.lease_until(LOCK), Some(until), "from the RENEW's sending");
    // Further renewals are sent and not answered.
    story.wait(until.since(story.now) - ms(1));
    story.payload_says(output(0));
    assert!(story.sent(&output(0)), "a millisecond before the end it may");
    story.forget();
    story.now = until;
    story.payload_says(output(6));
    assert_eq!(story.frames, [], "at the end it may not");
    assert!(story.did(&Action::EndInstance(LOCK)));
    let lost = Occurrence::Lost { epoch: FIRST, end: LinkEnd::LeaseExpired };
    assert!(story.reports().contains(&&lost));
    assert_eq!(story.node.lease_until(LOCK), None);
}

#[test]
fn i4_an_answer_to_an_old_renewal_extends_from_when_that_was_sent() {
    let mut story = Story::begin();
    story.become_coordinator(FIRST);
    let claimed = story.frames.iter().find(|(_, f)| matches!(f, Frame::Claim(_))).unwrap().0;
    story.wait(ms(350));
    assert_eq!(story.frames.iter().filter_map(number).collect::<Vec<_>>(), [1, 2, 3]);
    story.frame(Frame::Renewed(1));
    assert_eq!(story.node.lease_until(LOCK), Some(claimed + ms(100 + OWN_LEASE)));
    story.frame(Frame::Renewed(1));
    story.frame(Frame::Renewed(99));
    assert_eq!(
        story.node.lease_until(LOCK),
        Some(claimed + ms(100 + OWN_LEASE)),
        "nobody asked that"
    );
}

#[test]
fn i4_a_paused_node_looks_at_its_lease_before_anything_else() {
    let mut story = Story::begin();
    story.become_coordinator(FIRST);
    story.payload_says(output(0));
    story.forget();
    // Stopped for three seconds; what comes first on waking does not matter.
    story.now = story.now + ms(3000);
    story.frame(Frame::Renewed(1));
    story.payload_says(output(6));
    assert_eq!(story.frames, []);
    assert!(story.did(&Action::EndInstance(LOCK)));
    assert_ne!(story.node.role(), Role::Coordinator);
}

#[test]
fn renewals_keep_a_coordinator() {
    let mut story = Story::begin();
    story.become_coordinator(FIRST);
    story.wait_renewed(ms(5000));
    assert_eq!(story.node.role(), Role::Coordinator);
    assert!(story.frames.iter().filter_map(number).count() >= 49);
}

#[test]
fn a_grant_with_a_wrong_mac_is_a_false_servers() {
    let mut story = Story::begin();
    story.wait(ms(450));
    story.connect();
    let mut grant = story.signed_grant(FIRST);
    grant.epoch = Epoch::new(99, 1);
    story.frame(Frame::Grant(grant));
    assert!(story.when(|a| matches!(a, Action::StartPayload(LOCK, _))).is_none());
    assert!(story.did(&Action::EndInstance(LOCK)));
    let said = story.reports().iter().any(|o| match o {
        Occurrence::ConnectFailed { error } => error.contains("wrong HMAC"),
        _ => false,
    });
    assert!(said);
    assert_ne!(story.node.highest_epoch(LOCK), Epoch::new(99, 1), "and nothing of it is believed");
}

#[test]
fn a_revoked_grant_is_over_at_once() {
    let mut story = Story::begin();
    story.become_coordinator(FIRST);
    story.frame(Frame::Revoked(Revoked { epoch: FIRST, why: RevokeWhy::Misuse }));
    let end = LinkEnd::Revoked(RevokeWhy::Misuse);
    assert!(story.reports().contains(&&Occurrence::Lost { epoch: FIRST, end }));
    story.instance_gone();
    assert!(story.last_heartbeat().held_down, "and the others go first now");
}

#[test]
fn a_grant_that_others_have_by_now_is_not_taken_for_free() {
    let mut story = Story::begin();
    story.become_coordinator(FIRST);
    // The beacon of the successor's grant overtakes the end of our connection.
    let second = Epoch::new(1, 2);
    story.beacon(LineState::Held, "other", second);
    story.node.handle_disconnected(LOCK, story.now);
    story.drain();
    assert!(story.reports().contains(&&Occurrence::Lost { epoch: FIRST, end: LinkEnd::Closed }));
    story.instance_gone();
    story.forget();
    for _ in 0..30 {
        story.beacon(LineState::Held, "other", second);
        story.wait(ms(100));
    }
    assert!(!story.did(&Action::StartInstance(LOCK)));
}

#[test]
fn the_payload_is_heard_in_its_own_order() {
    let mut story = Story::begin();
    story.become_coordinator(FIRST);
    story.forget();
    story.input(0);
    let frames = [output(0), ack(3), output(6)];
    for frame in frames.clone() {
        story.payload_says(frame);
    }
    let sent: Vec<Frame> = story.frames.iter().map(|(_, frame)| frame.clone()).collect();
    assert_eq!(sent, frames);
    assert!(matches!(&story.payload[..], [Frame::Input(_)]));
}
