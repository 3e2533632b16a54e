//! A whole line under arbitrary histories, made of bytes: `fn(&[u8])` bodies that a fuzzer can call
//! as they are, run here over the seeds in `corpus/line` and over generated ones. A crash found
//! elsewhere comes back as a seed named after it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod bodies;
mod world;

use std::fs;
use std::path::Path;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng, TryRng};

use world::World;

#[test]
fn line_seeds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/line");
    let mut seeds = 0;
    for entry in fs::read_dir(&folder).expect("the corpus is committed") {
        let seed = fs::read(entry.unwrap().path()).unwrap();
        assert!(!seed.is_empty() && seed.len() <= 2048, "keep seeds small");
        bodies::fuzz_line(&seed);
        for at in 0..seed.len() {
            bodies::fuzz_line(&seed[..at]);
            for flip in [0x01, 0x80, 0xff] {
                let mut spoilt = seed.clone();
                spoilt[at] ^= flip;
                bodies::fuzz_line(&spoilt);
            }
        }
        seeds += 1;
    }
    assert!(seeds >= 8, "{seeds} found");
}

#[test]
fn generated_histories() {
    let mut seed = [0; 8];
    rand::rngs::SysRng.try_fill_bytes(&mut seed).unwrap();
    let seed = std::env::var("LINEKEEPER_SEED")
        .map_or_else(|_| u64::from_ne_bytes(seed), |given| given.parse().unwrap());
    println!("again with LINEKEEPER_SEED={seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    for _ in 0..CASES {
        let mut case = vec![0; random.random_range(1..600)];
        random.fill(&mut case[..]);
        // Half of all steps from a few kinds, or clients seldom get as far as being granted.
        let few: [u8; 4] = random.random();
        for at in (0..case.len()).step_by(2).filter(|at| at % 4 == 0) {
            case[at] = few[at / 4 % few.len()];
        }
        bodies::fuzz_line(&case);
    }
}

#[test]
fn nothing_that_is_repeated_grows_without_bound() {
    for setup in (0..=u8::MAX).step_by(17) {
        for kind in 0..bodies::KINDS {
            let mut world = World::new(&[setup, setup.wrapping_mul(37)]);
            bodies::people(&mut world);
            for n in 0..REPEATED {
                bodies::step(&mut world, kind, n as u8, &[n as u8; 40]);
            }
            let size = world.size();
            assert!(size < BOUND, "{size} after {REPEATED} times step {kind}, line {setup}");
        }
    }
}

/// Some seconds' worth.
const CASES: usize = 4000;
/// Enough that even a small thing that is kept each time would be found.
const REPEATED: u32 = 3000;
/// A line with all its queues full, in characters of its debug form: several for each byte kept.
const BOUND: usize = 1 << 20;
