//! Each guard is needed: with it switched off, the simulated world finds a broken invariant.
//!
//! Only in a mutation build:
//! `RUSTFLAGS="--cfg linekeeper_mutate" cargo test --target-dir target/mutate -p linekeeper-tests --test mutation`

#![cfg(linekeeper_mutate)]

use linekeeper_tests::world::{self, Outcome};
use wire::{Guard, guard};

/// A guard that is not missed in so many schedules is not guarded by the tests.
const SCHEDULES: u64 = 4_000;

/// The first schedule that breaks something with `off` switched off on this thread.
fn caught(off: Guard) -> Option<Outcome> {
    guard::switch_off(Some(off));
    let found = (1..=SCHEDULES).map(|seed| world::run(seed, false)).find(|o| o.violation.is_some());
    guard::switch_off(None);
    found
}

fn is_caught(off: Guard, expected: &str) {
    let outcome = caught(off).unwrap_or_else(|| panic!("{off:?} switched off, and nobody noticed"));
    let violation = outcome.violation.unwrap_or_default();
    println!("{off:?} off: seed {}: {violation}", outcome.seed);
    assert!(violation.contains(expected), "caught by another oracle: {violation}");
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
fn i4_nothing_is_written_without_a_lease() {
    is_caught(Guard::WriteUnderLease, "I4");
}

#[test]
fn a_new_boot_is_believed_only_after_it_echoed_our_challenge() {
    is_caught(Guard::EchoBeforeBelief, "replayed");
}

#[test]
fn a_lease_is_judged_expired_only_after_its_socket_was_read() {
    is_caught(Guard::ExpiryAfterRead, "unread");
}

#[test]
fn with_all_guards_on_nothing_is_found() {
    for seed in 1..=200 {
        let outcome = world::run(seed, false);
        assert_eq!(outcome.violation, None, "seed {seed}");
    }
}
