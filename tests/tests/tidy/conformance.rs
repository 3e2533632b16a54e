//! What `docs/rfc2217.md` promises has a test, and every point of the checklist is promised.

use std::collections::BTreeSet;

use crate::code::{code_only, functions};
use crate::tree::{File, Findings, files, none, one, sample};

/// Points of the checklist: a letter and its first and last number.
const CHECKLIST: [(&str, u8, u8); 5] =
    [("T", 1, 9), ("N", 1, 5), ("C", 0, 12), ("M", 1, 5), ("O", 0, 5)];

const PAGE: &str = "docs/rfc2217.md";

/// A row of the table: a point, and the tests that are said to prove it.
struct Row<'a> {
    line: usize,
    id: &'a str,
    tests: Vec<&'a str>,
}

/// The rows of the table under "Conformance".
fn rows(page: &str) -> Vec<Row<'_>> {
    let lines = (1..).zip(page.lines()).skip_while(|(_, line)| *line != "## Conformance").skip(1);
    let lines = lines.take_while(|(_, line)| !line.starts_with("## "));
    let cells = lines.filter_map(|(line, text)| {
        let cells: Vec<_> = text.strip_prefix("| ")?.split(" | ").collect();
        let [id, _, tests] = cells[..] else { return None };
        let tests = tests.split('`').skip(1).step_by(2).collect();
        Some(Row { line, id, tests })
    });
    cells.filter(|row| row.id != "id").collect()
}

fn unproved(page: &File, sources: &[File]) -> Findings {
    let names = sources.iter().flat_map(|file| functions(&code_only(&file.text)));
    let names: BTreeSet<_> = names.map(|function| function.name).collect();
    let rows = rows(&page.text);
    let mut findings = Vec::new();
    for Row { line, id, tests } in &rows {
        let mut finding =
            |what: String| findings.push(format!("{}:{line}: {id}: {what}", page.path));
        if tests.is_empty() {
            finding("no test".to_owned());
        }
        for test in tests {
            if !test.split('_').any(|word| *word == id.to_lowercase()) {
                finding(format!("{test} does not have it in its name"));
            }
            if !names.contains(*test) {
                finding(format!("there is no {test}"));
            }
        }
    }
    let points = CHECKLIST.iter().flat_map(|(letter, first, last)| {
        (*first..=*last).map(move |number| format!("{letter}{number}"))
    });
    let missing = points.filter(|id| rows.iter().filter(|row| row.id == id).count() != 1);
    findings.extend(missing.map(|id| format!("{}: {id} has not one row", page.path)));
    findings
}

#[test]
fn every_point_of_rfc_2217_is_proved_by_tests_that_bear_its_name() {
    let pages = files(&[PAGE]);
    none("conformance", &unproved(&pages[0], &files(&[".rs"])));
}

#[test]
fn a_point_that_nothing_proves_is_found() {
    let mut table = "## Conformance\n| id | what | tests |\n|---|---|---|\n".to_owned();
    let mut code = String::new();
    for (letter, first, last) in CHECKLIST {
        for number in first..=last {
            let test = format!("{}{number}_x", letter.to_lowercase());
            table += &format!("| {letter}{number} | Is done. | `{test}` |\n");
            code += &format!("fn {test}() {{\n}}\n");
        }
    }
    let check = |table: &str| unproved(&sample(PAGE, table), &[sample("a.rs", &code)]);
    assert_eq!(check(&table), [""; 0]);
    one(&check(&table.replace("`m3_x`", "`m3_y`")), "there is no m3_y");
    one(&check(&table.replace("`m3_x`", "`m4_x`")), "m4_x does not have it");
    one(&check(&table.replace("`m3_x`", "-")), "M3: no test");
    one(&check(&table.replace("| C12 | Is done. | `c12_x` |\n", "")), "C12 has not one row");
}
