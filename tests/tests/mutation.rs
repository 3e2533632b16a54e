//! Each guard is needed: with it switched off, the simulated world finds a broken invariant.
//!
//! Only in a mutation build:
//! `RUSTC_WORKSPACE_WRAPPER=$PWD/.ci/mutate cargo test -p linekeeper-tests --test mutation`

#![cfg(linekeeper_mutate)]

use linekeeper_tests::world::{self, Outcome};
use wire::{Guard, guard};

/// A guard that is not missed in so many schedules is not guarded by the tests.
const SCHEDULES: u64 = 4_000;

/// The first schedule in which `off`, switched off on this thread, is missed by its own judge.
fn caught(off: Guard, expected: &str) -> Option<Outcome> {
    let own = |o: &Outcome| o.violation.as_ref().is_some_and(|text| text.contains(expected));
    guard::switch_off(Some(off));
    let found = (1..=SCHEDULES).map(|seed| world::run(seed, false)).find(own);
    guard::switch_off(None);
    found
}

fn is_caught(off: Guard, expected: &str) {
    let outcome = caught(off, expected);
    let outcome = outcome.unwrap_or_else(|| panic!("{off:?} switched off, and nobody noticed"));
    println!("{off:?} off: seed {}: {}", outcome.seed, outcome.violation.unwrap_or_default());
}

#[test]
fn i1_only_the_holders_output_is_taken() {
    is_caught(Guard::HolderOnly, "I1");
}

#[test]
fn i2_a_started_frame_is_finished() {
    is_caught(Guard::WholeFrames, "I2");
}

#[test]
fn i3_input_is_forgotten_only_when_acknowledged() {
    is_caught(Guard::ForgetOnlyAcked, "I3");
}

#[test]
fn i3_a_plain_ack_waits_for_the_output_before_it() {
    is_caught(Guard::AckAfterOutput, "I3");
}

#[test]
fn i3_an_ack_takes_effect_with_its_output() {
    is_caught(Guard::AckWithOutput, "I3");
}

#[test]
fn i3_the_ack_of_a_frame_being_finished_counts_for_the_next_holder() {
    is_caught(Guard::PromisedAck, "I3");
}

#[test]
fn i4_nothing_is_written_without_a_lease() {
    is_caught(Guard::WriteUnderLease, "I4");
}

#[test]
fn i4_a_lease_counts_from_when_the_answered_renewal_was_sent() {
    is_caught(Guard::LeaseFromAnswered, "I4");
}

#[test]
fn i4_the_node_counts_its_lease_shorter_than_the_server_does() {
    is_caught(Guard::ShorterLease, "I4");
}

#[test]
fn i5_a_claim_that_has_seen_more_raises_the_start_number() {
    is_caught(Guard::RaisedStart, "I5");
}

#[test]
fn i7_the_payload_ends_before_the_line_is_given_back() {
    is_caught(Guard::PayloadFirst, "I7");
}

#[test]
fn i7_the_guard_ends_the_payload_with_the_lease() {
    is_caught(Guard::GuardDeadline, "I7");
}

#[test]
fn a_new_boot_is_believed_only_after_it_echoed_our_challenge() {
    is_caught(Guard::EchoBeforeBelief, "earlier life");
}

#[test]
fn a_challenge_is_used_once() {
    is_caught(Guard::ChallengeOnce, "earlier life");
}

#[test]
fn a_sequence_that_does_not_grow_is_not_believed() {
    is_caught(Guard::SequenceGrows, "replayed");
}

#[test]
fn a_second_process_under_a_living_members_name_is_not_believed() {
    is_caught(Guard::NoRival, "rival");
}

#[test]
fn an_old_beacon_is_not_believed() {
    is_caught(Guard::BeaconOrder, "beacon");
}

#[test]
fn statuses_are_ordered_by_what_they_say() {
    is_caught(Guard::EvidenceOrder, "went back");
}

#[test]
fn a_grant_without_a_right_mac_makes_nobody_coordinator() {
    is_caught(Guard::GrantSigned, "I1");
}

#[test]
fn a_refusal_without_a_right_mac_is_no_evidence() {
    is_caught(Guard::RefusalSigned, "never granted");
}

#[test]
fn a_lease_is_judged_expired_only_after_its_socket_was_read() {
    is_caught(Guard::ExpiryAfterRead, "unread");
}

#[test]
fn a_claim_is_granted_only_after_its_socket_was_read() {
    is_caught(Guard::GrantAfterRead, "dead");
}

#[test]
fn a_line_that_is_kept_goes_to_nobody_else() {
    is_caught(Guard::Reservation, "kept for");
}

#[test]
fn after_a_restart_of_the_server_the_incumbent_stays() {
    is_caught(Guard::IncumbentFirst, "incumbent");
}

#[test]
fn a_coordinator_in_difficulty_resigns_only_for_somebody_better() {
    is_caught(Guard::NeverNobody, "nobody could do better");
}

#[test]
fn observers_barred_members_and_members_in_maintenance_do_not_claim() {
    is_caught(Guard::EligibleOnly, "claims");
}

#[test]
fn the_other_lines_of_a_group_end_with_its_first() {
    is_caught(Guard::LockFirst, "does not follow");
}

#[test]
fn with_all_guards_on_nothing_is_found() {
    for seed in 1..=200 {
        let outcome = world::run(seed, false);
        assert_eq!(outcome.violation, None, "seed {seed}");
    }
}
