//! The page `docs/billing-sim.md` says what the program does, row by row.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::path::Path;

use billing_sim::Scenario;
use billing_sim::core::exchange::verdict::{Grade, Verdict};
use billing_sim::scenario::words::{KINDS, WORDS};

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/billing-sim.md");
    std::fs::read_to_string(path).unwrap()
}

/// The rows of the table behind the mark, without its head.
fn rows(mark: &str) -> Vec<String> {
    let page = page();
    let (_, behind) = page.split_once(&format!("<!-- {mark}: held by a test -->\n")).unwrap();
    let table = behind.lines().take_while(|line| line.starts_with('|'));
    table.skip(2).map(str::to_owned).collect()
}

#[test]
fn the_table_of_verdicts_is_right() {
    let expected = Verdict::ALL.map(|verdict| {
        let grade = match verdict.grade() {
            Grade::Failure => "failure",
            Grade::Info => "info",
        };
        format!("| `{verdict}` | {grade} | {} |", verdict.meaning())
    });
    assert_eq!(rows("verdicts"), expected);
}

#[test]
fn the_tables_of_faults_are_right() {
    let kinds = KINDS.map(|kind| {
        let keys: Vec<_> = kind.keys.iter().map(|key| format!("`{key}`")).collect();
        let (keys, dialects) = (keys.join(", "), kind.dialects.join(", "));
        format!("| `{}` | {keys} | {dialects} | {} |", kind.name, kind.meaning)
    });
    assert_eq!(rows("faults"), kinds);
    let words = WORDS.map(|word| {
        format!("| `{}` | {} | {} |", word.name, word.values.replace('|', "\\|"), word.meaning)
    });
    assert_eq!(rows("fault keys"), words);
}

#[test]
fn the_table_of_scenario_keys_is_what_a_file_may_hold() {
    let rows = rows("scenario keys");
    let keys: Vec<_> = rows.iter().map(|row| row.split('`').nth(1).unwrap()).collect();
    let known = |text: &str| {
        let errors = Scenario::parse(Path::new("x.toml"), text).unwrap_err().to_string();
        let (_, list) = errors.split_once("it has: ").unwrap();
        list.lines().next().unwrap().split(", ").map(str::to_owned).collect::<Vec<_>>()
    };
    let top = known("dialect = \"hx\"\nnothing = 1\n");
    let load = known("dialect = \"hx\"\n[load]\nnothing = 1\n");
    let load = load.into_iter().map(|key| format!("load.{key}"));
    let mut expected: Vec<_> = top.into_iter().filter(|key| key != "load").chain(load).collect();
    let mut keys: Vec<_> = keys.into_iter().map(str::to_owned).collect();
    expected.sort();
    keys.sort();
    assert_eq!(keys, expected);
}

#[test]
fn the_example_of_the_page_is_a_scenario() {
    let page = page();
    let (_, behind) = page.split_once("```toml\n").unwrap();
    let (example, _) = behind.split_once("```").unwrap();
    let scenario = Scenario::parse(Path::new("example.toml"), example).unwrap();
    assert_eq!((scenario.faults.len(), scenario.load.count), (1, Some(10)));
}
