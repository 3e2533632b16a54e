//! The files that the rules look at.

use std::fs;
use std::path::{Path, PathBuf};

/// A text file of the tree.
#[derive(Debug, Clone)]
pub(crate) struct File {
    /// From the root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// What a rule has to say: where, and what is wrong.
pub(crate) type Findings = Vec<String>;

/// A sample for a self-test.
pub(crate) fn sample(path: &str, text: &str) -> File {
    File { path: path.into(), text: text.into() }
}

/// The workspace's root.
pub(crate) fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the root");
    root.to_path_buf()
}

/// All text files with one of these endings, in order.
pub(crate) fn files(endings: &[&str]) -> Vec<File> {
    let mut paths = Vec::new();
    walk(&root(), "", &mut paths);
    paths.retain(|path| endings.iter().any(|ending| path.ends_with(ending)));
    paths.sort_unstable();
    assert!(!paths.is_empty(), "no file ends in {endings:?}: is this the tree?");
    let read = |path: String| {
        let text = fs::read_to_string(root().join(&path)).unwrap_or_else(|e| panic!("{path}: {e}"));
        File { path, text }
    };
    paths.into_iter().map(read).collect()
}

/// Passes if there are no findings, else prints them all.
#[track_caller]
pub(crate) fn none(rule: &str, findings: &[String]) {
    assert!(findings.is_empty(), "{rule}:\n  {}\n", findings.join("\n  "));
}

/// Passes if there is exactly one finding, and it speaks of `what`.
#[track_caller]
pub(crate) fn one(findings: &[String], what: &str) {
    assert!(findings.len() == 1 && findings[0].contains(what), "{what}: {findings:?}");
}

fn walk(folder: &Path, prefix: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("a readable folder").filter_map(Result::ok) {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        // A file that another process removes meanwhile is no longer of the tree.
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            let hidden = name.starts_with('.') && name != ".ci" && name != ".cargo";
            if !hidden && name != "target" {
                walk(&entry.path(), &format!("{path}/"), found);
            }
        } else if kind.is_file() {
            found.push(path);
        }
    }
}
