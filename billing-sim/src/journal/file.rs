//! The file: a line of JSON that says what ran, one for each [`Entry`], and one at the end.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::frames::Frame;
use crate::core::event::micros;
use crate::core::exchange::entry::Entry;

/// The first line: what ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`VERSION`]. What a line means never changes within a version.
    pub journal: u32,
    /// The release of the program that wrote it.
    pub release: String,
    /// The dialect.
    pub dialect: String,
    /// Its settings that were given, as text.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// Of the load and of chance.
    pub seed: u64,
    /// Where the line was.
    pub port: String,
    /// Its settings, as `9600,8N1`.
    pub line: String,
    /// When the run began, since boot, as all times of a journal.
    #[serde(rename = "started_us", with = "micros")]
    pub started: Duration,
}

/// The last line. Without one the run was killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Footer {
    /// Entries that are missing because the file was slower than the line.
    pub dropped: u64,
}

/// Bytes that belong together, read: a line behind those that ended them. It says nothing that is
/// not in the bytes, so who reads a journal passes it over.
#[derive(Serialize)]
pub(super) struct FrameEntry<'f> {
    #[serde(rename = "at_us", with = "micros")]
    at: Duration,
    event: &'static str,
    #[serde(flatten)]
    frame: &'f Frame,
}

impl<'f> FrameEntry<'f> {
    pub(super) fn new(at: Duration, frame: &'f Frame) -> Self {
        Self { at, event: FRAME, frame }
    }
}

/// A line of which only the kind matters.
#[derive(Deserialize)]
struct Kind<'t> {
    event: &'t str,
}

/// A journal being read.
#[derive(Debug)]
pub struct Journal<R> {
    header: Header,
    input: R,
    line: u64,
    footer: Option<Footer>,
    is_cut: bool,
    is_over: bool,
}

/// Why a journal can't be read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The system said so.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The first line is none of a journal.
    #[error("line 1: no journal of billing-sim: {0}")]
    Header(String),
    /// A later release wrote it.
    #[error("line 1: a journal of version {0}; this release reads version {VERSION}")]
    Version(u32),
    /// A line is none, and others follow it.
    #[error("line {line}: no entry of a journal: {problem}")]
    Entry {
        /// From 1.
        line: u64,
        /// What is wrong.
        problem: String,
    },
}

impl Header {
    /// A header of this release.
    pub fn new(dialect: &str, started: Duration) -> Self {
        Self {
            journal: VERSION,
            release: env!("CARGO_PKG_VERSION").to_owned(),
            dialect: dialect.to_owned(),
            settings: BTreeMap::new(),
            seed: 1,
            port: String::new(),
            line: String::new(),
            started,
        }
    }
}

impl<R: BufRead> Journal<R> {
    /// Reads the first line.
    ///
    /// # Errors
    /// It can't be read or is none of a journal.
    pub fn open(mut input: R) -> Result<Self, JournalError> {
        let (text, _) = read_line(&mut input)?;
        let header: Header =
            serde_json::from_str(&text).map_err(|error| JournalError::Header(error.to_string()))?;
        if header.journal != VERSION {
            return Err(JournalError::Version(header.journal));
        }
        Ok(Self { header, input, line: 1, footer: None, is_cut: false, is_over: false })
    }

    /// What ran.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// What the last line said, once that has been read.
    pub fn footer(&self) -> Option<Footer> {
        self.footer
    }

    /// Whether the last line that was read breaks off: the writer was killed.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    fn read(&mut self) -> Result<Option<Entry>, JournalError> {
        loop {
            let (text, is_whole) = read_line(&mut self.input)?;
            self.line += 1;
            if text.is_empty() && !is_whole {
                return Ok(None);
            }
            let problem = match serde_json::from_str::<Entry>(&text) {
                Ok(entry) if is_whole => return Ok(Some(entry)),
                Ok(_) => String::new(),
                Err(error) => error.to_string(),
            };
            if let Ok(footer) = serde_json::from_str::<Footer>(&text)
                && is_whole
            {
                self.footer = Some(footer);
                continue;
            }
            if let Ok(Kind { event: FRAME }) = serde_json::from_str(&text)
                && is_whole
            {
                continue;
            }
            if !is_whole {
                self.is_cut = true;
                return Ok(None);
            }
            return Err(JournalError::Entry { line: self.line, problem });
        }
    }
}

/// Its entries, in order. After an error there are no more.
impl<R: BufRead> Iterator for Journal<R> {
    type Item = Result<Entry, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let read = self.read().transpose();
        self.is_over = !matches!(read, Some(Ok(_)));
        read
    }
}

/// A line without its end, and whether it had one. Bytes that are no text become something else
/// that is no JSON either.
fn read_line(input: &mut impl BufRead) -> io::Result<(String, bool)> {
    let mut bytes = Vec::new();
    input.take(MAX_LINE).read_until(b'\n', &mut bytes)?;
    let is_whole = bytes.pop_if(|last| *last == b'\n').is_some();
    Ok((String::from_utf8_lossy(&bytes).into_owned(), is_whole || bytes.len() as u64 == MAX_LINE))
}

/// Of the file.
pub const VERSION: u32 = 1;
/// The kind of a line that is made from the bytes before it.
const FRAME: &str = "frame";
/// Longest line: a chunk of 64 KiB in hexadecimal digits is half of it. What is longer is no
/// journal, and is not read into memory.
const MAX_LINE: u64 = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = r#"{"journal":1,"release":"0.1.0","dialect":"fias","settings":{"check":"lrc"},"seed":7,"port":"/dev/ttyUSB0","line":"9600,8N1","started_us":1000}"#;
    const ENTRY: &str = r#"{"at_us":1005,"event":"out","hex":"05"}"#;

    fn journal(text: &str) -> Result<Journal<&[u8]>, JournalError> {
        Journal::open(text.as_bytes())
    }

    #[test]
    fn what_was_written_is_read() {
        let text = format!("{HEADER}\n{ENTRY}\n{ENTRY}\n{{\"dropped\":3}}\n");
        let mut journal = journal(&text).unwrap();
        assert_eq!(journal.header().settings["check"], "lrc");
        assert_eq!(serde_json::to_string(journal.header()).unwrap(), HEADER);
        let entries: Result<Vec<_>, _> = journal.by_ref().collect();
        assert_eq!(entries.unwrap().len(), 2);
        assert_eq!((journal.footer(), journal.is_cut()), (Some(Footer { dropped: 3 }), false));
    }

    #[test]
    fn a_last_line_that_breaks_off_is_forgiven() {
        for cut in 1..ENTRY.len() {
            let text = format!("{HEADER}\n{ENTRY}\n{}", &ENTRY[..cut]);
            let mut journal = journal(&text).unwrap();
            assert_eq!(journal.by_ref().filter_map(Result::ok).count(), 1);
            assert!(journal.is_cut() && journal.footer().is_none());
        }
    }

    #[test]
    fn another_line_that_breaks_off_is_not() {
        let text = format!("{HEADER}\n{}\n{ENTRY}\n", &ENTRY[..9]);
        let mut journal = journal(&text).unwrap();
        let error = journal.next().unwrap().unwrap_err().to_string();
        assert!(error.starts_with("line 2: no entry of a journal: "), "{error}");
        assert!(journal.next().is_none());
    }

    #[test]
    fn what_is_no_journal_is_refused() {
        let error = |text: &str| journal(text).unwrap_err().to_string();
        assert!(error("").starts_with("line 1: no journal of billing-sim"));
        assert!(error(ENTRY).starts_with("line 1: no journal of billing-sim"));
        let later = HEADER.replace(r#""journal":1"#, r#""journal":2"#);
        assert_eq!(error(&later), "line 1: a journal of version 2; this release reads version 1");
    }
}
