//! `docs/billing.md` names every test here and every one of whole chains, and no other.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/billing.md");
    fs::read_to_string(path).expect("the page is there")
}

/// The tests of a directory, each by its name; those of `hazards` with their dialect.
fn tests(directory: &str) -> BTreeSet<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let mut lines = text.lines().map(str::trim);
        while let Some(line) = lines.next() {
            // A test, or one that the macro makes: its name, then its dialect.
            let made = line.split_once(": \"").filter(|(_, rest)| rest.ends_with(';'));
            let name = match made {
                Some((name, _)) => Some(name),
                None if ["#[test]", "#[tokio::test]"].contains(&line) => {
                    let function = lines.next().map(|line| line.trim_start_matches("async "));
                    let function = function.and_then(|line| line.strip_prefix("fn "));
                    function.and_then(|line| line.strip_suffix("() {"))
                }
                None => None,
            };
            if let Some(name) = name.filter(|name| is_name(name)) {
                let is_hazard = path.parent().is_some_and(|parent| parent.ends_with("hazards"));
                names.insert(if is_hazard { format!("{stem}::{name}") } else { name.to_owned() });
            }
        }
    }
    names
}

fn is_name(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

#[test]
fn the_page_names_the_tests_and_every_name_is_one() {
    let directories = ["tests/takeover", "tests/takeover/hazards", "../hardware/tests/accounts"];
    let all: BTreeSet<_> = directories.into_iter().flat_map(tests).collect();
    let page = page();
    let named: BTreeSet<_> =
        page.split('`').skip(1).step_by(2).filter(|name| name.contains('_')).collect();
    let is_test = |name: &&&str| all.contains(**name);
    let known = |name: &&str| name.starts_with("LINEKEEPER_");
    let wrong: Vec<_> = named.iter().filter(|name| !is_test(name) && !known(name)).collect();
    assert!(wrong.is_empty(), "no tests: {wrong:?}");
    let own = "the_page_names_the_tests_and_every_name_is_one";
    let missing: Vec<_> =
        all.iter().filter(|name| !named.contains(name.as_str()) && *name != own).collect();
    assert!(missing.is_empty(), "not on the page: {missing:?}");
}
