//! A journal for people: time, direction, bytes and meaning side by side.

use std::fmt::Write as _;
use std::io::{self, BufRead, Write};
use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;

use super::file::{FrameEntry, Header, Journal, JournalError};
use super::frames::{Direction, Ended, Frame, Frames, control};
use crate::core::exchange::entry::{Entry, Finding, Seen, What};
use crate::core::exchange::verdict::Grade;

/// What of a journal is shown, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// From this time of the run on.
    pub from: Duration,
    /// Until this time.
    pub to: Duration,
    /// Only that.
    pub only: Option<Only>,
    /// As lines of JSON.
    pub json: bool,
}

/// A part of what is in a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Only {
    /// The bytes that passed.
    Bytes,
    /// Whole frames, and what the billing system did about them.
    Frames,
    /// What the judge found.
    Verdicts,
}

/// Why a journal can't be shown.
#[derive(Debug, thiserror::Error)]
pub enum ShowError {
    /// It can't be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Nobody reads what is shown, or it can't be written.
    #[error("{0}")]
    Output(#[from] io::Error),
}

/// Shows a journal. Colours are escape sequences; whoever has no terminal strips them.
///
/// # Errors
/// The journal can't be read, or `out` not be written.
pub fn show<R: BufRead>(
    mut journal: Journal<R>,
    options: Options,
    out: &mut impl Write,
) -> Result<(), ShowError> {
    let header = journal.header().clone();
    let mut screen = Screen::new(&header, options, out);
    screen.head(&header)?;
    for entry in journal.by_ref() {
        screen.entry(&entry?)?;
    }
    screen.flush()?;
    let fate = match (journal.footer(), journal.is_cut()) {
        (Some(footer), _) if footer.dropped > 0 => {
            format!("{} entries are missing: the file was slower than the line", footer.dropped)
        }
        (Some(_), _) => String::new(),
        (None, true) => "the last line breaks off: the run was killed".to_owned(),
        (None, false) => "there is no last line: the run was killed, or still goes on".to_owned(),
    };
    screen.foot(&fate)?;
    Ok(())
}

struct Screen<'o, W> {
    options: Options,
    started: Duration,
    frames: Frames,
    row: Option<Row>,
    out: &'o mut W,
    counts: [u64; 4],
}

/// Bytes that are shown together.
struct Row {
    at: Duration,
    last: Duration,
    direction: Direction,
    bytes: Vec<u8>,
    /// What ended in it.
    frames: Vec<Frame>,
}

impl<'o, W: Write> Screen<'o, W> {
    fn new(header: &Header, options: Options, out: &'o mut W) -> Self {
        let (started, frames) = (header.started, Frames::new(header));
        Self { options, started, frames, row: None, out, counts: [0; 4] }
    }

    fn head(&mut self, header: &Header) -> io::Result<()> {
        if self.options.json {
            return self.json(header);
        }
        let Header { release, dialect, seed, port, line, settings, .. } = header;
        let at = if port.is_empty() { String::new() } else { format!(" on {port}, {line}") };
        writeln!(self.out, "{BOLD}{dialect}{RESET}{at}, seed {seed}, billing-sim {release}")?;
        for (name, value) in settings {
            writeln!(self.out, "{DIM}{name} = {}{RESET}", value.escape_debug())?;
        }
        let legend = "→ from the billing system   ← to it";
        writeln!(self.out, "{DIM}{legend}{RESET}\n")
    }

    fn foot(&mut self, fate: &str) -> io::Result<()> {
        if self.options.json {
            return Ok(());
        }
        let [out, back, frames, verdicts] = self.counts;
        writeln!(
            self.out,
            "\n{out} bytes →, {back} bytes ←, {frames} frames, {verdicts} verdicts"
        )?;
        if fate.is_empty() { Ok(()) } else { writeln!(self.out, "{YELLOW}{fate}{RESET}") }
    }

    fn entry(&mut self, entry: &Entry) -> io::Result<()> {
        let shown = match &entry.what {
            What::Out { bytes } => return self.bytes(entry, Direction::Out, bytes),
            What::In { bytes } => return self.bytes(entry, Direction::In, bytes),
            What::Saw(_) => self.wants(entry.at, Only::Frames),
            What::Found(_) => self.wants(entry.at, Only::Verdicts),
            _ => self.options.only.is_none() && self.is_within(entry.at),
        };
        self.flush()?;
        if matches!(entry.what, What::Found(_)) && self.is_within(entry.at) {
            self.counts[3] += 1;
        }
        if !shown {
            return Ok(());
        }
        if self.options.json {
            return self.json(entry);
        }
        let text = words(&entry.what);
        let time = self.time(entry.at);
        writeln!(self.out, "{DIM}{time}{RESET}     {text}")
    }

    fn bytes(&mut self, entry: &Entry, direction: Direction, bytes: &[u8]) -> io::Result<()> {
        let at = entry.at;
        if self.is_within(at) {
            self.counts[direction as usize] += bytes.len() as u64;
        }
        if self.options.json && self.wants(at, Only::Bytes) {
            self.json(entry)?;
        }
        for byte in bytes {
            let Ended { before, with } = self.frames.byte(direction, *byte);
            if before.is_some() {
                // It broke off: its bytes and what they meant come before the byte.
                if self.row.as_ref().is_some_and(|row| row.direction != direction) {
                    self.flush()?;
                }
                self.row(at, direction).frames.extend(before);
                self.flush()?;
            }
            if !self.row.as_ref().is_none_or(|row| row.goes_on(at, direction, *byte)) {
                self.flush()?;
            }
            let row = self.row(at, direction);
            row.bytes.push(*byte);
            row.last = at;
            row.frames.extend(with);
        }
        if self.options.json { self.flush() } else { Ok(()) }
    }

    /// The row of this direction; a new one if there is none.
    fn row(&mut self, at: Duration, direction: Direction) -> &mut Row {
        let new = || Row { at, last: at, direction, bytes: Vec::new(), frames: Vec::new() };
        self.row.get_or_insert_with(new)
    }

    /// Shows the row that has come together.
    fn flush(&mut self) -> io::Result<()> {
        let Some(row) = self.row.take() else { return Ok(()) };
        if self.is_within(row.last) {
            self.counts[2] += row.frames.len() as u64;
        }
        let with_bytes = self.wants(row.at, Only::Bytes);
        let with_frames = self.wants(row.last, Only::Frames);
        if self.options.json {
            for frame in row.frames.iter().filter(|_| with_frames) {
                self.json(&FrameEntry::new(row.last, frame))?;
            }
            return Ok(());
        }
        let (arrow, colour) = match row.direction {
            Direction::Out => ("→", BLUE),
            Direction::In => ("←", GREEN),
        };
        let mut time = self.time(if with_bytes { row.at } else { row.last });
        let mut arrow = format!("{colour}{arrow}{RESET}");
        for part in row.bytes.chunks(WIDTH).filter(|_| with_bytes) {
            let hex: Vec<_> = part.iter().map(|byte| format!("{byte:02x}")).collect();
            let (hex, text) = (hex.join(" "), readable(part));
            writeln!(self.out, "{DIM}{time}{RESET}  {arrow}  {hex:<47}  {text}")?;
            (time, arrow) = (" ".repeat(TIME), " ".to_owned());
        }
        for frame in row.frames.iter().filter(|_| with_frames) {
            writeln!(self.out, "{DIM}{time}{RESET}  {arrow}  {}", said(frame))?;
            (time, arrow) = (" ".repeat(TIME), " ".to_owned());
        }
        Ok(())
    }

    fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_string(value)?;
        writeln!(self.out, "{text}")
    }

    fn wants(&self, at: Duration, part: Only) -> bool {
        self.options.only.is_none_or(|only| only == part) && self.is_within(at)
    }

    fn is_within(&self, at: Duration) -> bool {
        (self.options.from..=self.options.to).contains(&at.saturating_sub(self.started))
    }

    fn time(&self, at: Duration) -> String {
        let at = at.saturating_sub(self.started);
        format!("{:>TIME$}", format!("{}.{:06}", at.as_secs(), at.subsec_micros()))
    }
}

impl Row {
    /// Whether a byte is shown in the same row: its frame is not over, and it comes at once. What
    /// fills up behind the end of a line belongs to that.
    fn goes_on(&self, at: Duration, direction: Direction, byte: u8) -> bool {
        let filler = matches!(byte, b'\n' | 0);
        self.direction == direction
            && (self.frames.is_empty() || filler)
            && at.saturating_sub(self.last) <= PAUSE
            && self.bytes.len() < MAX_ROW
    }
}

/// Bytes as text, control bytes by their names.
fn readable(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        // Writing to a string never fails.
        let _ = match (control(*byte), byte) {
            (Some(name), _) => write!(text, "{CYAN}<{name}>{RESET}"),
            (None, 0x80..) => write!(text, "{CYAN}<{byte:02x}>{RESET}"),
            (None, _) => write!(text, "{}", char::from(*byte)),
        };
    }
    text
}

fn said(frame: &Frame) -> String {
    let Frame { meaning, check, torn, .. } = frame;
    let mut text = format!("{BOLD}{}{RESET}", meaning.kind);
    if !meaning.what.is_empty() {
        let _ = write!(text, " {}", meaning.what);
    }
    let fields = meaning.fields.iter().map(|(name, value)| format!("{name} {value}"));
    let fields = fields.collect::<Vec<_>>().join(", ");
    if !fields.is_empty() {
        let _ = write!(text, ": {fields}");
    }
    if *torn {
        let _ = write!(text, "  {YELLOW}torn{RESET}");
    }
    match check {
        Some(check) if check.is_right() => {
            let _ = write!(text, "  {DIM}check {:02x} right{RESET}", check.came);
        }
        Some(check) => {
            let (came, due) = (check.came, check.due);
            let _ = write!(text, "  {RED}check {came:02x} wrong, {due:02x} is right{RESET}");
        }
        None => {}
    }
    text
}

fn words(what: &What) -> String {
    match what {
        What::Started => format!("{DIM}started{RESET}"),
        What::Settling => format!("{DIM}nothing more is sent{RESET}"),
        What::Ended { why } => format!("{DIM}ended: {}{RESET}", why.words()),
        What::Fault { fault } => format!("{MAGENTA}fault: {fault}{RESET}"),
        What::Found(Finding { verdict, count, detail }) => {
            let colour = if verdict.grade() == Grade::Failure { RED } else { YELLOW };
            format!("{colour}{BOLD}{verdict} {count}{RESET}{colour}: {detail}{RESET}")
        }
        What::Saw(Seen { what, serial, number, count, up, .. }) => {
            let mut text = format!("{DIM}{}", what.replace('_', " "));
            for (name, value) in [("item", serial), ("number", number), ("count", count)] {
                if let Some(value) = value {
                    let _ = write!(text, " {name} {value}");
                }
            }
            match up {
                Some(true) => text.push_str(" up"),
                Some(false) => text.push_str(" down"),
                None => {}
            }
            text + RESET
        }
        // They have rows of their own.
        What::Out { .. } | What::In { .. } => String::new(),
    }
}

/// Bytes in a row.
const WIDTH: usize = 16;
/// Columns of the time: a day of seconds and six places.
const TIME: usize = 12;
/// A longer silence begins a new row: several characters at 300 bit/s.
const PAUSE: Duration = Duration::from_millis(150);
/// Bytes that are kept for one row at most.
const MAX_ROW: usize = 8192;

const RESET: &str = "\x1b[0m";
const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";
const BLUE: &str = "\x1b[34m";
const MAGENTA: &str = "\x1b[35m";
const CYAN: &str = "\x1b[36m";
