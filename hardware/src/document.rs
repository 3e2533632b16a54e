//! A page that holds a table between two marks.

use std::fs;
use std::path::Path;

use crate::error::{Doing, LabError, Result};

/// Whether the page has a place for the table, before much time is spent on one.
///
/// # Errors
/// As [`rewrite`].
pub fn check(path: &Path, mark: &str) -> Result<()> {
    with(path, mark, "").map(drop)
}

/// Puts the table into the page instead of the one that is there, between the marks of this name.
///
/// # Errors
/// The page cannot be read or written, or has not the two marks.
pub fn rewrite(path: &Path, mark: &str, table: &str) -> Result<()> {
    fs::write(path, with(path, mark, table)?).doing(|| format!("write {}", path.display()))
}

fn with(path: &Path, mark: &str, table: &str) -> Result<String> {
    let page = fs::read_to_string(path).doing(|| format!("read {}", path.display()))?;
    replaced(&page, mark, table).ok_or_else(|| {
        let (path, [begin, end]) = (path.display(), marks(mark));
        LabError::Misuse(format!("{path}: has no line {begin} with a line {end} behind it"))
    })
}

fn replaced(page: &str, mark: &str, table: &str) -> Option<String> {
    let [begin, end] = marks(mark);
    let (before, rest) = page.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}\n{table}{end}{after}"))
}

fn marks(name: &str) -> [String; 2] {
    ["begin", "end"].map(|which| format!("<!-- {name}:{which} -->"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_the_marks_is_replaced() {
        let page = "# Page\n<!-- a:begin -->\nold\n<!-- a:end -->\nrest\n";
        let expected = "# Page\n<!-- a:begin -->\nnew\n<!-- a:end -->\nrest\n";
        assert_eq!(replaced(page, "a", "new\n").as_deref(), Some(expected));
        assert_eq!(replaced(page, "b", "new\n"), None);
        assert_eq!(replaced("no marks", "a", "new\n"), None);
        assert_eq!(replaced("<!-- a:end --> <!-- a:begin -->", "a", "new\n"), None);
    }
}
