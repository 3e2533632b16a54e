//! One takeover after the other, at fixed distances and by seed.

use std::time::Duration;

use linekeeper_tests::takeover::{Fault, Moment, Place, Setting, Stores, What, judge};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::sweep::{checked, dialect, sweep};

/// Twenty charges and twenty records, and a holder dies every so many bytes.
fn killed_every(name: &str, distances: &[u64]) {
    let place = Place::default();
    for stores in [Stores::Shared, Stores::Own] {
        let long = Setting { charges: 20, records: 20, ..dialect(name).stores(stores) };
        let bytes = checked(&place, &long).bytes;
        let settings = distances.iter().map(|distance| {
            let points = (1..=bytes / distance).map(|n| Fault::kill(Moment::Byte, n * distance));
            long.with(&points.collect::<Vec<_>>())
        });
        sweep(&place, settings, judge);
    }
}

#[test]
fn cable_survives_one_takeover_after_the_other() {
    killed_every("cable", &[7, 23, 47, 101, 211]);
}

#[test]
fn cdr_survives_one_takeover_after_the_other() {
    killed_every("cdr", &[7, 23, 47, 101, 211]);
}

#[test]
fn hx_survives_one_takeover_after_the_other() {
    killed_every("hx", &[7, 23, 47, 101, 211]);
}

#[test]
fn fias_survives_one_takeover_after_the_other() {
    killed_every("fias", &[7, 23, 47, 101, 211]);
}

/// What a seed makes of a dialect.
fn drawn(name: &str, seed: u64) -> Setting {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let ms = |ms| Duration::from_millis(ms);
    let mut fault = |at: u64| {
        let moments = [Moment::Byte, Moment::Write, Moment::Commit, Moment::Unsent, Moment::Held];
        let moment = moments[rng.random_range(0..moments.len())];
        let at = if moment == Moment::Byte { at } else { 1 + at / 60 };
        let wakes = ms(rng.random_range(1..3_000));
        let sleeps = moment != Moment::Held && rng.random_bool(0.4);
        let what = if sleeps { What::Pause { wakes } } else { What::Kill };
        Fault { at, moment, what }
    };
    let faults = [40, 150, 300, 500].map(&mut fault).to_vec();
    Setting {
        seed,
        charges: rng.random_range(1..6),
        records: rng.random_range(1..6),
        stores: if rng.random() { Stores::Shared } else { Stores::Own },
        faults,
        gap: ms(rng.random_range(1..300)),
        lease: ms(rng.random_range(150..600)),
        handler: rng.random_bool(0.5).then(|| ms(rng.random_range(1..500))),
        ..dialect(name)
    }
}

/// Any plan: those that come too late for a short conversation do not happen.
#[test]
fn any_takeovers_lose_nothing() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
    let first: u64 = number("LINEKEEPER_SEED").unwrap_or(1);
    let count: u64 = number("LINEKEEPER_TAKEOVERS").unwrap_or(60);
    println!("seeds from {first}");
    let place = Place::default();
    for name in ["cable", "cdr", "fias", "hx"] {
        let settings = (first..first + count).map(|seed| drawn(name, seed));
        sweep(&place, settings, |setting, report| {
            let mut findings = judge(setting, report);
            findings.retain(|finding| !finding.starts_with("not all of the plan"));
            findings
        });
    }
}
