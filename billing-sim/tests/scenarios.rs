//! Every scenario of `scenarios/` against the dialect's real gateway, in virtual time.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod desk;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use billing::dialect::Dialect;
use billing_sim::core::exchange::entry::{Entry, What};
use billing_sim::scenario::words;
use billing_sim::{Scenario, verdicts};

fn files() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let mut files: Vec<_> = std::fs::read_dir(root)
        .unwrap()
        .flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap())
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    files
}

fn scenario(path: &Path) -> Scenario {
    let text = std::fs::read_to_string(path).unwrap();
    Scenario::parse(path, &text).unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn each_scenario_comes_out_as_it_says() {
    let mut failed = Vec::new();
    for path in files() {
        let scenario = scenario(&path);
        let played = desk::play(&scenario);
        let struck = played.report.outcome.faults > 0 || scenario.faults.is_empty();
        if !played.report.pass || !struck {
            eprintln!("{}\n{}", path.display(), verdicts::render(&played.report, false));
            failed.push(path);
        }
        if std::env::var_os("LINEKEEPER_SHOW").is_some() {
            eprintln!("{}", verdicts::render(&played.report, false));
            for entry in &played.entries {
                eprintln!("{}", serde_json::to_string(entry).unwrap());
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

/// What passed on the line, and when.
fn line(played: &desk::Played) -> Vec<&Entry> {
    let passed = |entry: &&Entry| matches!(entry.what, What::In { .. } | What::Out { .. });
    played.entries.iter().filter(passed).collect()
}

#[test]
fn each_fault_of_a_scenario_changes_what_passes_on_the_line() {
    let mut idle = Vec::new();
    for path in files() {
        let scenario = scenario(&path);
        let played = desk::play(&scenario);
        for index in 0..scenario.faults.len() {
            let mut without = scenario.clone();
            // The others keep their places, and so their chances.
            without.faults[index].times = Some(0);
            if line(&played) == line(&desk::play(&without)) {
                idle.push(format!("{}: {}", path.display(), scenario.faults[index]));
            }
        }
    }
    assert!(idle.is_empty(), "{idle:#?}");
}

#[test]
fn a_scenario_comes_out_the_same_each_time() {
    let path = files().into_iter().find(|path| path.ends_with("fias/bad-line.toml")).unwrap();
    let scenario = scenario(&path);
    let (once, again) = (desk::play(&scenario), desk::play(&scenario));
    assert_eq!(once.entries, again.entries);
    let other = desk::play(&Scenario { seed: scenario.seed + 1, ..scenario });
    assert_ne!(once.entries, other.entries);
}

#[test]
fn each_dialect_has_scenarios_and_each_says_what_it_is_for() {
    let mut folders = BTreeSet::new();
    let mut faults = BTreeSet::new();
    for path in files() {
        let scenario = scenario(&path);
        let folder = path.parent().unwrap().file_name().unwrap().to_str().unwrap();
        assert_eq!(folder, scenario.dialect, "{}", path.display());
        assert!(scenario.about.ends_with('.'), "{}: about", path.display());
        folders.insert(scenario.dialect.clone());
        let words = scenario.faults.iter().map(|fault| fault.text.split(' ').next().unwrap());
        faults.extend(words.map(str::to_owned));
    }
    assert_eq!(folders, Dialect::NAMES.iter().map(|name| (*name).to_owned()).collect());
    let unused: Vec<_> =
        words::KINDS.iter().map(|kind| kind.name).filter(|name| !faults.contains(*name)).collect();
    assert_eq!(unused, ["refuse"], "a refused charge never is posted, so no run of charges ends");
}

#[test]
fn a_charge_refused_for_good_is_settled_and_not_posted() {
    let mut scenario = Scenario::new("fias");
    scenario.load.duration = Some(std::time::Duration::from_secs(20));
    scenario.load.charges = 10;
    scenario.faults = vec![words::fault("refuse record=5").unwrap()];
    let played = desk::play(&scenario);
    let tally = played.report.outcome.tally;
    assert_eq!((tally.posted, tally.declined), (9, 1), "{:#?}", played.report);
    assert_eq!(played.desk.settled.len(), 10);
    let refused = |what: &What| matches!(what, What::Saw(seen) if seen.what == "declined");
    assert_eq!(played.entries.iter().filter(|entry| refused(&entry.what)).count(), 1);
}
