//! The simulated world holds its invariants under drawn faults.
//!
//! `LINEKEEPER_SCHEDULES` sets how many schedules run, `LINEKEEPER_SEED` where they begin. One that
//! fails is replayed alone, with every event, by `LINEKEEPER_REPLAY=<seed>`.

use linekeeper_tests::world::{self, Coverage, Fault, Outcome, Setting};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use wire::Guard;

/// Schedules of an ordinary test run, and of one in CI.
const SCHEDULES: u64 = 2_000;
const CI_SCHEDULES: u64 = 20_000;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn invariants_hold_in_every_schedule() {
    if let Some(seed) = setting("LINEKEEPER_REPLAY") {
        let outcome = world::run(seed, true);
        println!("{outcome:#?}");
        assert_eq!(outcome.violation, None);
        return;
    }
    let first = setting("LINEKEEPER_SEED").unwrap_or(1);
    let usual = if std::env::var_os("LINEKEEPER_CI").is_some() { CI_SCHEDULES } else { SCHEDULES };
    let count = setting("LINEKEEPER_SCHEDULES").unwrap_or(usual);
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let outcomes: Vec<Outcome> = std::thread::scope(|scope| {
        let share = |t: u64| {
            move || {
                (first + t..first + count)
                    .step_by(threads as usize)
                    .map(|seed| world::run(seed, false))
                    .collect::<Vec<_>>()
            }
        };
        let workers: Vec<_> = (0..threads).map(|t| scope.spawn(share(t))).collect();
        workers.into_iter().flat_map(|w| w.join().expect("no panic in the world")).collect()
    });
    report(first, &outcomes);
    let broken: Vec<_> = outcomes.iter().filter(|o| o.violation.is_some()).collect();
    for outcome in broken.iter().take(10) {
        println!("seed {}: {}", outcome.seed, outcome.violation.as_deref().unwrap_or_default());
    }
    assert!(
        broken.is_empty(),
        "{} of {count} schedules broke an invariant; replay one with LINEKEEPER_REPLAY=<seed>",
        broken.len()
    );
}

fn report(first: u64, outcomes: &[Outcome]) {
    let mut coverage = Coverage::default();
    outcomes.iter().for_each(|o| coverage.add(&o.coverage));
    let events: u64 = outcomes.iter().map(|o| o.events).sum();
    let records: usize = outcomes.iter().map(|o| o.records).sum();
    let slowest = outcomes.iter().map(|o| o.convergence_ms).max().unwrap_or_default();
    println!(
        "{} schedules from seed {first}: {events} events, {records} records, slowest convergence {slowest} ms",
        outcomes.len()
    );
    println!("{coverage}");
}

/// What the page must name: see `docs/simulation.md`.
fn page() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/simulation.md");
    std::fs::read_to_string(path).expect("the page is there")
}

#[test]
fn the_page_names_every_fault_that_can_be_drawn() {
    let page = page();
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for _ in 0..20_000 {
        let setting = Setting::draw(&mut rng);
        let word = Fault::draw(&setting, &mut rng).word();
        assert!(
            page.contains(&format!("| {word} |")),
            "docs/simulation.md has no row for {word:?}"
        );
    }
}

#[test]
fn the_page_and_the_mutation_tests_name_every_guard() {
    let page = page();
    let tests = include_str!("mutation.rs");
    for guard in Guard::ALL {
        assert!(page.contains(&format!("| `{guard:?}` |")), "no row for {guard:?}");
        assert!(tests.contains(&format!("Guard::{guard:?},")), "nobody tries without {guard:?}");
    }
}
