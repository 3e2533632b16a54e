//! A page that holds the table between two marks.

use std::fs;
use std::path::Path;

use crate::error::{Doing, LabError, Result};

/// Whether the page has a place for the table, before much time is spent on one.
///
/// # Errors
/// As [`rewrite`].
pub fn check(path: &Path) -> Result<()> {
    with(path, "").map(drop)
}

/// Puts the table into the page instead of the one that is there.
///
/// # Errors
/// The page cannot be read or written, or has not the two marks.
pub fn rewrite(path: &Path, table: &str) -> Result<()> {
    fs::write(path, with(path, table)?).doing(|| format!("write {}", path.display()))
}

fn with(path: &Path, table: &str) -> Result<String> {
    let page = fs::read_to_string(path).doing(|| format!("read {}", path.display()))?;
    replaced(&page, table).ok_or_else(|| {
        let path = path.display();
        LabError::Misuse(format!("{path}: has no line {BEGIN} with a line {END} behind it"))
    })
}

fn replaced(page: &str, table: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{table}{END}{after}"))
}

const BEGIN: &str = "<!-- bench:begin -->";
const END: &str = "<!-- bench:end -->";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_the_marks_is_replaced() {
        let page = format!("# Page\n{BEGIN}\nold\n{END}\nrest\n");
        let expected = format!("# Page\n{BEGIN}\nnew\n{END}\nrest\n");
        assert_eq!(replaced(&page, "new\n"), Some(expected));
        assert_eq!(replaced("no marks", "new\n"), None);
        assert_eq!(replaced(&format!("{END} {BEGIN}"), "new\n"), None);
    }
}
