//! The documents: every link leads somewhere, and what a newcomer looks for is there.

use std::collections::BTreeMap;
use std::path::Path;

use crate::tree::{File, Findings, files, none, one, root, sample};

/// What anybody expects at the top of a project like this.
const EXPECTED: [&str; 8] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
    "docs/wire-format.md",
    ".ci/run",
];

/// Marks the fenced block in the README that holds the test command; `.ci/run` takes it from there.
const MARK: &str = "<!-- test-command -->";

/// A link and where it stands.
struct Link {
    line: usize,
    target: String,
}

/// Links that lead nowhere. `exists` says whether a path from the root is there.
fn broken_links(files: &[File], exists: impl Fn(&str) -> bool) -> Findings {
    let anchors: BTreeMap<&str, Vec<String>> =
        files.iter().map(|file| (file.path.as_str(), anchors(&file.text))).collect();
    let mut findings = Vec::new();
    for file in files {
        for Link { line, target } in links(&file.text) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let path = if path.is_empty() { file.path.clone() } else { resolve(&file.path, path) };
            let known = anchors.get(path.as_str());
            if known.is_none() && !exists(&path) {
                findings.push(format!("{}:{line}: {target}: no such file", file.path));
            } else if !anchor.is_empty()
                && known.is_some_and(|known| !known.iter().any(|other| other == anchor))
            {
                findings.push(format!("{}:{line}: {target}: no such heading", file.path));
            }
        }
    }
    findings
}

/// A relative path as seen from the root.
fn resolve(from: &str, path: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Inline links and images, and reference definitions, outside of code.
fn links(text: &str) -> Vec<Link> {
    let mut links = Vec::new();
    for (line, content) in prose(text) {
        let mut rest = content.as_str();
        while let Some((_, after)) = rest.split_once("](") {
            let (target, behind) = after.split_once(')').unwrap_or((after, ""));
            let target = target.split_whitespace().next().unwrap_or_default().to_owned();
            links.push(Link { line, target });
            rest = behind;
        }
        let definition = content.strip_prefix('[').and_then(|rest| rest.split_once("]: "));
        if let Some((_, target)) = definition {
            let target = target.split_whitespace().next().unwrap_or_default().to_owned();
            links.push(Link { line, target });
        }
    }
    links
}

/// The lines outside of fenced blocks, with their numbers, without what stands in backticks.
fn prose(text: &str) -> Vec<(usize, String)> {
    let mut fenced = false;
    let mut lines = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            lines.push((number, line.split('`').step_by(2).collect()));
        }
    }
    lines
}

/// The anchors that GitHub gives to the headings.
fn anchors(text: &str) -> Vec<String> {
    let mut anchors: Vec<String> = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        let title = line.trim_start_matches('#');
        if fenced || title == line || !title.starts_with(' ') {
            continue;
        }
        let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
        let slug: String = title.trim().to_lowercase().chars().filter(kept).collect();
        let slug = slug.replace(' ', "-");
        let same = |other: &&String| {
            **other == slug || other.strip_prefix(&format!("{slug}-")).is_some_and(is_number)
        };
        let before = anchors.iter().filter(same).count();
        anchors.push(if before == 0 { slug } else { format!("{slug}-{before}") });
    }
    anchors
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// The content of the fenced block behind the mark.
fn test_command(readme: &str) -> Result<String, String> {
    // As `.ci/run` reads it: the mark has a line of its own.
    let [_, behind] = readme.split(&format!("\n{MARK}\n")).collect::<Vec<_>>()[..] else {
        return Err(format!("README.md: one line with {MARK} is wanted"));
    };
    let block = behind.trim_start().strip_prefix("```").and_then(|rest| rest.split_once('\n'));
    let command = block.and_then(|(_, rest)| rest.split_once("```")).map(|(command, _)| command);
    match command.map(str::trim) {
        Some(command) if !command.is_empty() && !command.contains('\n') => Ok(command.to_owned()),
        _ => Err(format!("README.md: behind {MARK} a fenced block of one line is wanted")),
    }
}

fn absent(expected: &[&str], exists: impl Fn(&str) -> bool) -> Findings {
    let absent = expected.iter().filter(|path| !exists(path));
    absent.map(|path| format!("{path}: is missing")).collect()
}

fn in_tree(path: &str) -> bool {
    root().join(path).exists()
}

#[test]
fn links_lead_somewhere() {
    none("links", &broken_links(&files(&[".md"]), in_tree));
}

#[test]
fn a_broken_link_is_found() {
    let page = sample("docs/b.md", "# A `b` c: d\n## Twice\n## Twice\n```\n# no heading\n```\n");
    let check = |text: &str| {
        let files = [sample("docs/a.md", &format!("# Here\n{text}\n")), page.clone()];
        broken_links(&files, |path| path == "LICENSE-MIT" || path == "docs/pictures")
    };
    let good = "[a](b.md) [b](../docs/b.md#a-b-c-d) [c](#here) [d](../LICENSE-MIT \"title\") \
                [e](https://example.org/x) ![f](pictures) [g](b.md#twice-1) `[h](gone)`\n[i]: b.md";
    assert_eq!(check(good), [""; 0]);
    for bad in ["[a](c.md)", "[a](../b.md)", "![a](no.png)", "[a]: gone.md", "x [a][a] [b](gone)"] {
        one(&check(bad), "docs/a.md:2: ");
    }
    for bad in ["[a](b.md#b)", "[a](#there)", "[a](b.md#twice-2)", "[a](b.md#no-heading)"] {
        one(&check(bad), "no such heading");
    }
}

#[test]
fn a_newcomer_finds_what_is_expected() {
    none("expected files", &absent(&EXPECTED, in_tree));
}

#[test]
fn a_missing_document_is_found() {
    one(&absent(&EXPECTED, |path| path != "ARCHITECTURE.md"), "ARCHITECTURE.md");
}

#[test]
fn the_readme_holds_the_test_command() {
    let readme = std::fs::read_to_string(root().join("README.md"));
    let readme = readme.expect("README.md holds the test command");
    test_command(&readme).unwrap_or_else(|finding| panic!("{finding}"));
    assert!(Path::new(&root().join(".ci/run")).exists(), ".ci/run runs it");
}

#[test]
fn a_readme_without_a_test_command_is_found() {
    let good = format!("# R\n{MARK}\n```sh\ncargo test --workspace\n```\n");
    assert_eq!(test_command(&good), Ok("cargo test --workspace".into()));
    for bad in [
        "# R\n```sh\ncargo test\n```\n".into(),
        format!("{good}{good}"),
        good.replace(MARK, &format!("as in {MARK}")),
        format!("# R\n{MARK}\nplain\n"),
        format!("# R\n{MARK}\n```sh\n```\n"),
        format!("# R\n{MARK}\n```sh\na\nb\n```\n"),
    ] {
        assert!(test_command(&bad).is_err(), "{bad}");
    }
}
