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
    /// Empty lines at the bottom, so that nothing is printed over the fold.
    #[serde(default)]
    pub skip: u16,
    /// Text by which the first title line is known wherever it comes. Without it pages are counted
    /// from a form feed, or from the beginning if the exchange was switched on after us.
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

/// Where on its page the next line stands; `None`: nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place(pub Option<u16>);

impl Place {
    /// Takes a line with text; true: it is a title. `fits`: by its looks it is a record, which
    /// decides where the layout can tell.
    pub fn line(&mut self, page: &Page, text: &[u8], fits: bool) -> bool {
        let title = page.title.as_bytes();
        if !title.is_empty() && text.windows(title.len()).any(|part| part == title) {
            self.0 = Some(0);
        }
        let due = self.0.is_some_and(|at| at < page.header);
        if due && fits {
            // The page is shorter or longer than we were told.
            self.0 = None;
        }
        self.advance(page);
        due && !fits
    }

    /// Takes a line without text.
    pub fn advance(&mut self, page: &Page) {
        self.0 = self.0.map(|at| (at + 1) % page.length.max(1));
    }

    /// A new page begins.
    pub fn form_feed(&mut self) {
        self.0 = Some(0);
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

    #[test]
    fn titles_are_known_by_their_place() {
        let (page, mut place) = (page(""), Place(Some(0)));
        let lines = [b"t", b"t", b"c", b"c", b"c"];
        let titles: Vec<_> = lines.iter().map(|text| place.line(&page, &text[..], false)).collect();
        assert_eq!(titles, [true, true, false, false, false]);
        place.advance(&page);
        assert_eq!(place, Place(Some(0)));
    }

    #[test]
    fn the_first_title_is_known_by_its_text() {
        let (page, mut place) = (page("CALLS"), Place(None));
        assert!(!place.line(&page, b"a call", false));
        assert!(place.line(&page, b"  CALLS OF TODAY", false));
        assert!(place.line(&page, b"anything", false));
        assert!(!place.line(&page, b"a call", false));
    }

    #[test]
    fn a_record_where_a_title_was_due_is_a_record() {
        let (page, mut place) = (page(""), Place(None));
        place.form_feed();
        assert!(!place.line(&page, b"a record by its columns", true));
        assert_eq!(place, Place(None));
    }
}
