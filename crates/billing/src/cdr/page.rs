//! Pages: titles and empty lines between the records, as an exchange prints them for people.
#![deny(clippy::disallowed_methods)]

use serde::Deserialize;

use super::layout::End;

/// How pages are laid out.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// Lines of a page, titles and empty ones included.
    pub length: u16,
    /// Title lines at the top.
    pub header: u16,
    /// Empty lines at the bottom, so that nothing is printed over the fold. So many in a row are
    /// taken for it, wherever they come.
    #[serde(default)]
    pub skip: u16,
    /// Text by which the first title line is known wherever it comes.
    #[serde(default)]
    pub title: String,
}

impl Page {
    /// What is wrong with it, if anything is.
    pub(crate) fn check(&self, end: End) -> Result<(), &'static str> {
        let taken = self.header.checked_add(self.skip);
        if taken.is_none_or(|taken| taken >= self.length) {
            return Err("header and skip must leave room on the page's length");
        }
        if end == End::StxEtx {
            return Err("records between STX and ETX have no pages");
        }
        match self.title.is_empty() || is_title(&self.title) {
            true => Ok(()),
            false => Err("title is at most 80 printable characters"),
        }
    }

    /// Text of title line `line` (from 0) of page `number`, as a simulated exchange prints it.
    pub(crate) fn title_line(&self, line: u16, number: u64) -> String {
        match line {
            0 if self.title.is_empty() => "CALL RECORDS".to_owned(),
            0 => self.title.clone(),
            1 => format!("PAGE {number}"),
            _ => "-".repeat(40),
        }
    }
}

/// Where on its page the next line stands.
///
/// Until a page's title, its foot or a form feed has been seen, nobody knows: better a title is
/// taken for a call than a call for a title.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// From 0; `None`: nobody knows.
    pub at: Option<u16>,
    /// Empty lines before it.
    pub blanks: u16,
}

impl Place {
    /// Takes a line with text; true: it is a title. `fits`: by its looks it is a record, which
    /// decides where the layout can tell.
    pub fn line(&mut self, page: &Page, text: &[u8], fits: bool) -> bool {
        let title = page.title.as_bytes();
        let is_known = !title.is_empty() && text.windows(title.len()).any(|part| part == title);
        let is_foot = page.skip > 0 && self.blanks >= page.skip;
        if is_known || is_foot {
            self.at = Some(0);
        }
        self.blanks = 0;
        let due = self.at.is_some_and(|at| at < page.header);
        if due && fits {
            // The page is shorter or longer than we were told.
            self.at = None;
        }
        self.advance(page);
        due && !fits
    }

    /// Takes a line without text.
    pub fn blank(&mut self, page: &Page) {
        self.blanks = self.blanks.saturating_add(1);
        self.advance(page);
    }

    fn advance(&mut self, page: &Page) {
        self.at = self.at.map(|at| at.saturating_add(1) % page.length.max(1));
    }

    /// A new page begins.
    pub fn form_feed(&mut self) {
        *self = Self { at: Some(0), blanks: 0 };
    }
}

/// Whether a title may be this.
pub(crate) fn is_title(text: &str) -> bool {
    let printable = text.bytes().all(|byte| (b' '..0x7f).contains(&byte));
    printable && (1..=MAX_TITLE).contains(&text.len())
}

/// Longest title: a line of an old printer.
const MAX_TITLE: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    fn page(title: &str) -> Page {
        Page { length: 6, header: 2, skip: 1, title: title.into() }
    }

    /// Which of these lines are titles; an empty one is none.
    fn titles(page: &Page, place: &mut Place, lines: &[&str]) -> Vec<bool> {
        let judge = |text: &&str| match text.is_empty() {
            true => {
                place.blank(page);
                false
            }
            false => place.line(page, text.as_bytes(), false),
        };
        lines.iter().map(judge).collect()
    }

    #[test]
    fn titles_are_known_by_their_place_once_that_is_known() {
        let (page, mut place) = (page(""), Place::default());
        let all = [
            "call", "call", "call", "call", "", "title", "title", "call", "call", "call", "",
            "title",
        ];
        let found = titles(&page, &mut place, &all);
        let found: Vec<_> = (0..all.len()).filter(|at| found[*at]).collect();
        assert_eq!(found, [5, 6, 11]);
    }

    #[test]
    fn the_first_title_is_known_by_its_text() {
        let (page, mut place) = (page("CALLS"), Place::default());
        let found = titles(&page, &mut place, &["call", " CALLS TODAY", "title", "call"]);
        assert_eq!(found, [false, true, true, false]);
    }

    #[test]
    fn a_record_where_a_title_was_due_is_a_record() {
        let (page, mut place) = (page(""), Place::default());
        place.form_feed();
        assert!(!place.line(&page, b"a record by its columns", true));
        assert_eq!(place.at, None);
    }
}
