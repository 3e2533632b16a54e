//! Who gets the line, and who loses it.

use std::time::Duration;

use terminal_server::core::config::LEASE_MIN;
use terminal_server::core::{LineConfig, Occurrence};
use wire::{
    Epoch, Frame, FreeCause, LineState, RefuseWhy, RevokeWhy, Revoked, Time, frame::LastFrame,
};

use crate::stage::{LEASE, Stage, config, ms, start};

#[test]
fn the_first_valid_claim_wins_and_i1_the_second_is_told_whom_it_met() {
    let mut s = Stage::new();
    let (_, grant) = s.granted("alpha");
    assert_eq!(grant.epoch, Epoch::new(7, 1));
    assert_eq!(grant.lease_ms, 400);
    assert_eq!((grant.acked, grant.delivered, grant.end, grant.position), (0, 0, 0, 0));
    assert_eq!(grant.last, LastFrame::default());
    s.pass(ms(100));
    let refuse = s.refused("beta");
    assert_eq!(refuse.why, RefuseWhy::Held);
    assert_eq!(refuse.retry_ms, 300, "when the lease ends, unless it is renewed");
    assert_eq!(refuse.status.holder, "alpha".parse().ok());
    assert_eq!(refuse.status.epoch, grant.epoch);
    assert_eq!(refuse.status.state, LineState::Held);
    assert_eq!(s.line.counters().refused_busy, 1);
}

#[test]
fn i1_a_stale_holders_output_never_reaches_the_tty() {
    let mut s = Stage::new();
    let (alpha, _) = s.granted("alpha");
    s.pass(LEASE);
    let (beta, grant) = s.granted("beta");
    s.output(alpha, 0, b"stale", None);
    s.output(beta, grant.position, b"fresh", None);
    assert_eq!(s.tty, b"fresh");
    assert_eq!(s.line.counters().stale_output, 1);
    assert_eq!(s.line.counters().misuse, 0, "it does not know yet: no fault of its own");
}

#[test]
fn a_lease_that_is_not_renewed_ends_and_its_holder_is_told() {
    let mut s = Stage::new();
    let (alpha, grant) = s.granted("alpha");
    s.pass(LEASE - ms(1));
    assert_eq!(s.frames(alpha), []);
    s.pass(ms(1));
    let revoked = Revoked { epoch: grant.epoch, why: RevokeWhy::Expired };
    assert_eq!(s.frames(alpha), [Frame::Revoked(revoked)]);
    assert!(s.finished.contains(&alpha));
    assert_eq!(s.line.status(s.now).state, LineState::Free(FreeCause::Lease));
    assert_eq!(s.line.counters().expired, 1);
    let ended = Occurrence::Ended { epoch: grant.epoch, cause: FreeCause::Lease, dropped: 0 };
    assert!(s.reports.contains(&ended));
}

#[test]
fn each_renewal_counts_from_its_reading_and_is_answered() {
    let mut s = Stage::new();
    let (alpha, _) = s.granted("alpha");
    for n in 1..10 {
        s.pass(LEASE - ms(1));
        s.send(alpha, Frame::Renew(n));
        assert_eq!(s.frames(alpha), [Frame::Renewed(n)]);
    }
    assert_eq!(s.line.status(s.now).left_ms, 400);
}

#[test]
fn expiry_is_judged_only_after_the_socket_was_read() {
    let mut s = Stage::new();
    let (alpha, _) = s.granted("alpha");
    // The server was stalled for ten leases; the renewal lies in the socket.
    s.leave_unread(alpha, Some(Frame::Renew(1)));
    s.pass(LEASE * 10);
    assert_eq!(s.line.status(s.now).state, LineState::Free(FreeCause::Lease), "one was not enough");

    let mut s = Stage::new();
    let (alpha, grant) = s.granted("alpha");
    s.leave_unread(alpha, Some(Frame::Renew(1)));
    s.now = s.now + LEASE * 10;
    s.pass(Duration::ZERO);
    assert_eq!(s.frames(alpha), [Frame::Renewed(1)]);
    assert_eq!(s.line.status(s.now).state, LineState::Held);
    assert_eq!(s.line.status(s.now).epoch, grant.epoch);
    assert_eq!(s.line.status(s.now).left_ms, 400);
}

#[test]
fn a_dead_claimant_is_not_granted() {
    let mut s = Stage::new();
    let id = s.connect();
    s.hello(id);
    let claim = s.claim(id, "alpha", 1, Epoch::NONE);
    s.leave_unread(id, None);
    s.send(id, Frame::Claim(claim));
    assert_eq!(s.frames(id), []);
    assert_eq!(s.line.counters().granted, 0);
    let (_, grant) = s.granted("beta");
    assert_eq!(grant.epoch, Epoch::new(7, 1), "no epoch was spent on the dead");
}

#[test]
fn a_lost_connection_is_a_lost_grant() {
    let mut s = Stage::new();
    let (alpha, _) = s.granted("alpha");
    let before = s.announced;
    s.close(alpha);
    assert_eq!(s.line.status(s.now).state, LineState::Free(FreeCause::Closed));
    assert!(s.announced > before, "standbys wait for it");
    assert_eq!(s.granted("beta").1.epoch, Epoch::new(7, 2));
}

#[test]
fn the_same_process_of_the_same_node_replaces_its_own_grant_at_once() {
    let mut s = Stage::new();
    let (old, first) = s.granted("alpha");
    let (new, second) = s.granted("alpha");
    assert_eq!(second.epoch, Epoch::new(7, 2));
    let revoked = Revoked { epoch: first.epoch, why: RevokeWhy::Replaced };
    assert_eq!(s.frames(old), [Frame::Revoked(revoked)]);
    s.output(old, 0, b"old", None);
    s.output(new, 0, b"new", None);
    assert_eq!(s.tty, b"new");
    s.close(old);
    assert_eq!(s.line.status(s.now).state, LineState::Held, "its end is of no more importance");

    let id = s.connect();
    s.hello(id);
    let namesake = s.claim(id, "alpha", 99, Epoch::NONE);
    s.send(id, Frame::Claim(namesake));
    let frames = s.frames(id);
    assert!(matches!(&frames[..], [Frame::Refuse(r)] if r.why == RefuseWhy::Held), "{frames:?}");
}

#[test]
fn leases_are_clamped_to_the_lines_maximum() {
    let max = Duration::from_secs(2);
    for (wanted, given) in [(u32::MAX, max), (1, LEASE_MIN), (500, ms(500))] {
        let mut s = Stage::with(LineConfig { lease_max: max, ..config() }, start(7));
        let id = s.connect();
        s.hello(id);
        let claim = wire::Claim { lease_ms: wanted, ..s.claim(id, "alpha", 1, Epoch::NONE) };
        let claim = s.sign(id, claim);
        s.send(id, Frame::Claim(claim));
        let frames = s.frames(id);
        let [Frame::Grant(grant)] = &frames[..] else { panic!("{frames:?}") };
        assert_eq!(u128::from(grant.lease_ms), given.as_millis());
    }
}

#[test]
fn a_release_may_reserve_the_line_for_one_lease_at_most() {
    let mut s = Stage::new();
    let (alpha, _) = s.granted("alpha");
    s.send(alpha, Frame::Release("beta".parse().ok()));
    assert!(s.finished.contains(&alpha));
    let status = s.line.status(s.now);
    assert_eq!(status.state, LineState::Free(FreeCause::Reserved));
    assert_eq!((status.reserved_for, status.left_ms), ("beta".parse().ok(), 400));
    s.pass(ms(100));
    let refuse = s.refused("gamma");
    assert_eq!((refuse.why, refuse.retry_ms), (RefuseWhy::Reserved, 300));
    let (beta, _) = s.granted("beta");

    s.send(beta, Frame::Release("alpha".parse().ok()));
    s.pass(LEASE);
    assert_eq!(s.line.status(s.now).reserved_for, None);
    s.granted("gamma");
}

#[test]
fn a_plain_release_leaves_the_line_to_anybody() {
    let mut s = Stage::new();
    let (alpha, _) = s.granted("alpha");
    s.send(alpha, Frame::Release(None));
    assert_eq!(s.line.status(s.now).state, LineState::Free(FreeCause::Released));
    s.granted("beta");
}

#[test]
fn i5_a_higher_epoch_seen_elsewhere_is_stored_before_the_grant() {
    let mut s = Stage::new();
    let id = s.connect();
    s.hello(id);
    let claim = s.claim(id, "alpha", 1, Epoch::new(9, 5));
    s.send(id, Frame::Claim(claim));
    assert_eq!(s.stores, [10]);
    assert_eq!(s.frames(id), [], "nothing that depends on it is sent before");
    s.line.handle_stored(10, s.now);
    s.settle();
    let frames = s.frames(id);
    let [Frame::Grant(grant), ..] = &frames[..] else { panic!("{frames:?}") };
    assert_eq!(grant.epoch, Epoch::new(10, 1));
}

#[test]
fn i5_a_number_that_cannot_be_stored_is_not_used() {
    let mut s = Stage::new();
    let id = s.connect();
    s.hello(id);
    let claim = s.claim(id, "alpha", 1, Epoch::new(9, 5));
    s.send(id, Frame::Claim(claim));
    s.line.handle_store_failed(s.now);
    s.settle();
    let frames = s.frames(id);
    assert!(matches!(&frames[..], [Frame::Refuse(r)] if r.why == RefuseWhy::Storage), "{frames:?}");
    assert_eq!(s.granted("beta").1.epoch, Epoch::new(7, 1));
}

#[test]
fn a_claimant_that_died_during_the_storing_is_not_granted() {
    let mut s = Stage::new();
    let id = s.connect();
    s.hello(id);
    let claim = s.claim(id, "alpha", 1, Epoch::new(9, 5));
    s.send(id, Frame::Claim(claim));
    s.leave_unread(id, None);
    s.line.handle_stored(10, s.now);
    s.settle();
    assert_eq!(s.line.counters().granted, 0);
}

#[test]
fn a_line_without_keys_is_owned_by_connecting() {
    let mut s = Stage::with(LineConfig { groups: Vec::new(), ..config() }, start(7));
    let first = s.connect_raw();
    let second = s.connect_raw();
    assert!(s.dropped.contains(&second), "a second one is refused");
    s.say(first, b"out");
    assert_eq!(s.tty, b"out");
    s.input(b"in");
    assert_eq!(s.heard(first), b"in");
    assert_eq!(s.acked(), 2, "handed out is acknowledged");
    s.pass(Duration::from_secs(3600));
    assert_eq!(s.line.status(s.now).state, LineState::Held, "it needs no lease");
    s.close(first);
    let third = s.connect_raw();
    assert!(!s.dropped.contains(&third));
}

#[test]
fn i1_a_raw_client_only_observes_a_line_with_keys() {
    let mut s = Stage::new();
    let raw = s.connect_raw();
    s.say(raw, b"out");
    assert_eq!((&s.tty[..], s.line.counters().unheard), (&b""[..], 3));
    let (alpha, _) = s.granted("alpha");
    s.input(b"in");
    assert_eq!(s.heard(raw), b"in");
    assert_eq!(s.acked(), 0, "an observer takes nothing away");
    assert_eq!(s.received(alpha), (Some(0), b"in".to_vec()));
}

#[test]
fn no_deadline_is_left_when_nothing_is_to_come() {
    let s = Stage::new();
    assert_eq!(s.line.poll_timeout(), None);
    assert_eq!(s.line.status(s.now).left_ms, 0);
    assert!(s.now > Time::ZERO);
}
