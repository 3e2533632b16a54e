//! The gateway's end: takes the lines of an exchange and says nothing.
#![deny(clippy::disallowed_methods)]

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::layout::{End, Layout};
use super::lines::{EndByte, Found, Lines, Sound, State};
use super::page::Place;
use super::sequence::{Follows, Seen};
use super::settings::CdrSettings;
use crate::civil::WallClock;
use crate::gateway::{
    Gateway, HandledBy, LineNews, Notice, Output, Posting, Record, Reply, Resume, Write,
};
use crate::ledger::Ledger;

/// Collects records.
///
/// Every line with text is kept, so that nothing an exchange has said is forgotten because a layout
/// was wrong: those that fit the layout for the handler, titles, torn lines and what fits nothing
/// for the books only. All lines of one input are acknowledged together, by one output without
/// bytes.
#[derive(Debug)]
pub struct Collector {
    layout: Layout,
    lines: Lines,
    place: Place,
    seen: Option<Seen>,
    wall: WallClock,
    /// What the last output acknowledged, and the note it left.
    acked: u64,
    noted: Option<Bytes>,
    writes: VecDeque<Write>,
    notices: VecDeque<Notice>,
}

/// What a record is called in the store.
pub mod kind {
    /// A call.
    pub const CALL: &str = "call";
    /// The same record, number and all, came twice in a row.
    pub const REPEAT: &str = "repeat";
    /// A title of a page.
    pub const TITLE: &str = "title";
    /// Part of a line, or a damaged one.
    pub const TORN: &str = "torn";
    /// A whole line that does not fit the layout.
    pub const OTHER: &str = "other";
}

impl Collector {
    /// A collector that goes on where `resume` says.
    pub fn new(settings: &CdrSettings, resume: Resume, now: Duration) -> Self {
        let layout = settings.resolved();
        let mut notices = VecDeque::new();
        let noted = resume.note.filter(|note| {
            let readable = decode(note.clone()).is_some();
            if !readable {
                notices.push_back(Notice::NoteRefused);
            }
            readable
        });
        let known = noted.clone().and_then(decode);
        // Without a note nobody knows whether the first byte begins a line.
        let unknown = (State { is_suspect: true, ..State::default() }, Place::default(), None);
        let (state, place, seen) = known.unwrap_or(unknown);
        let framed = layout.end == End::StxEtx;
        Self {
            lines: Lines::new(framed, settings.line_timeout, resume.acked, state, now),
            layout,
            place,
            seen,
            wall: resume.wall,
            acked: resume.acked,
            noted,
            writes: VecDeque::new(),
            notices,
        }
    }

    fn drain_lines(&mut self, now: Duration) {
        while let Some(found) = self.lines.poll_found() {
            match found {
                Found::Line { start, end, text, sound: Sound::Interrupted(at) } => {
                    self.interrupted(start, end, &text, at, now);
                }
                Found::Line { start, end, text, sound } => self.line(start, end, text, sound, now),
                Found::FormFeed => self.place.form_feed(),
                Found::Blank => {
                    if let Some(page) = &self.layout.page {
                        self.place.blank(page);
                    }
                }
            }
        }
    }

    /// A line within which the device was away. Behind flow control it went on where it stood; else
    /// its end is another line's, or a whole one.
    fn interrupted(&mut self, start: u64, end: u64, text: &Bytes, at: usize, now: Duration) {
        let Layout { least, length, .. } = self.layout;
        let (head, rest) = (text.slice(..at), text.slice(at..));
        if least == length && self.layout.fits(text) {
            self.line(start, end, text.clone(), Sound::Whole, now);
        } else if self.layout.tells_tails() && self.layout.fits(&rest) {
            if head.is_empty() {
                return self.line(start, end, rest, Sound::Suspect, now);
            }
            let cut = start + at as u64;
            self.line(start, cut, head, Sound::Torn, now);
            self.line(cut, end, rest, Sound::Suspect, now);
        } else {
            self.line(start, end, text.clone(), Sound::Torn, now);
        }
    }

    fn line(&mut self, start: u64, end: u64, text: Bytes, sound: Sound, now: Duration) {
        let fits = self.layout.fits(&text);
        let is_title = match &self.layout.page {
            Some(page) => self.place.line(page, &text, fits && self.layout.tells_tails()),
            None => false,
        };
        let is_torn = match sound {
            Sound::Whole => false,
            Sound::Suspect => !fits || !self.layout.tells_tails(),
            Sound::Interrupted(_) | Sound::Torn => true,
        };
        let mut number = None;
        let mut handled_by = HandledBy::Nobody;
        let kind = match (is_title, is_torn, fits) {
            (true, _, _) => kind::TITLE,
            (_, true, _) => {
                self.notices.push_back(Notice::Partial { start, end });
                kind::TORN
            }
            (_, _, false) => {
                let what = "a line that does not fit the layout";
                self.notices.push_back(Notice::Unexpected { what });
                kind::OTHER
            }
            (_, _, true) => {
                number = self.layout.number(&text);
                if self.follows(number, &text, now) {
                    handled_by = HandledBy::Handler;
                    kind::CALL
                } else {
                    kind::REPEAT
                }
            }
        };
        let kind = kind.to_owned();
        self.writes.push_back(Write::Receive(Record {
            start,
            end,
            kind,
            number,
            text,
            handled_by,
        }));
    }

    /// False: it is the last record once more.
    fn follows(&mut self, number: Option<u64>, text: &[u8], now: Duration) -> bool {
        let (Some(sequence), Some(number)) = (&self.layout.sequence, number) else { return true };
        match sequence.follow(&mut self.seen, number, text, self.wall.show(now)) {
            Follows::Next => true,
            Follows::Again => {
                self.notices.push_back(Notice::Repeated { number: Some(number) });
                false
            }
            Follows::After { missing, count } => {
                self.notices.push_back(Notice::Missing { from: missing, count });
                true
            }
            Follows::Outside => {
                let what = "a number that is none of the layout's";
                self.notices.push_back(Notice::Unexpected { what });
                true
            }
        }
    }

    fn note(&self) -> Bytes {
        let mut note = BytesMut::new();
        note.put_u8(VERSION);
        let State { after, is_suspect, is_skipping } = self.lines.state();
        let after = match after {
            None => 0,
            Some(EndByte::Cr) => 1,
            Some(EndByte::Lf) => 2,
        };
        note.put_u8(after | u8::from(is_suspect) << 2 | u8::from(is_skipping) << 3);
        note.put_u16(self.place.at.unwrap_or(NO_PLACE));
        note.put_u16(self.place.blanks);
        if let Some(Seen { number, period, digest }) = self.seen {
            note.put_u64(number);
            note.put_i64(period);
            note.put_u64(digest);
        }
        note.freeze()
    }
}

/// A note: version (1), flags (1), place on the page (2), empty lines before it (2), then, if a
/// number was seen, number (8), period (8) and digest (8). Big-endian.
fn decode(mut note: Bytes) -> Option<(State, Place, Option<Seen>)> {
    if note.try_get_u8().ok()? != VERSION {
        return None;
    }
    let flags = note.try_get_u8().ok()?;
    let after = match flags & 3 {
        0 => None,
        1 => Some(EndByte::Cr),
        2 => Some(EndByte::Lf),
        _ => return None,
    };
    let state = State { after, is_suspect: flags & 4 != 0, is_skipping: flags & 8 != 0 };
    let at = Some(note.try_get_u16().ok()?).filter(|at| *at != NO_PLACE);
    let place = Place { at, blanks: note.try_get_u16().ok()? };
    let seen = match note.len() {
        0 => None,
        24 => Some(Seen { number: note.get_u64(), period: note.get_i64(), digest: note.get_u64() }),
        _ => return None,
    };
    (flags < 16).then_some((state, place, seen))
}

impl Gateway for Collector {
    fn handle_input(&mut self, offset: u64, bytes: &[u8], now: Duration) {
        self.lines.handle_gap(offset, now);
        let known = self.lines.offset().saturating_sub(offset);
        let known = usize::try_from(known).unwrap_or(usize::MAX).min(bytes.len());
        self.lines.handle_bytes(&bytes[known..], now);
        self.drain_lines(now);
    }

    fn handle_line(&mut self, news: LineNews, now: Duration) {
        match news {
            LineNews::Damage => self.lines.handle_damage(now),
            LineNews::Gap { offset } if offset > self.lines.offset() => {
                self.lines.handle_gap(offset, now);
            }
            LineNews::Gap { .. } | LineNews::Down | LineNews::Up => {
                self.lines.handle_interruption(now);
            }
        }
        self.drain_lines(now);
        if news != LineNews::Damage {
            // How many lines are missing, nobody knows.
            self.place = Place::default();
        }
    }

    fn handle_written(&mut self, _outputs: u64, _now: Duration) {}

    /// Nothing can be posted on such a line: [`Self::wants_charge`] never holds.
    fn handle_charge(&mut self, _posting: Posting, _now: Duration) {}

    fn handle_reply(&mut self, _number: u64, _reply: Reply, _now: Duration) {}

    fn handle_timeout(&mut self, now: Duration) {
        self.lines.handle_timeout(now);
        self.drain_lines(now);
    }

    fn set_wall_clock(&mut self, wall: WallClock) {
        self.wall = wall;
    }

    fn poll_write(&mut self) -> Option<Write> {
        self.writes.pop_front()
    }

    fn poll_output(&mut self) -> Option<Output> {
        let ack = self.lines.settled();
        if ack <= self.acked {
            return None;
        }
        self.acked = ack;
        let note = Some(self.note());
        let is_new = note != self.noted;
        self.noted.clone_from(&note);
        Some(Output { bytes: Bytes::new(), ack, note: note.filter(|_| is_new) })
    }

    fn poll_event(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    fn poll_timeout(&self) -> Option<Duration> {
        self.lines.poll_timeout()
    }

    fn wants_charge(&self) -> bool {
        false
    }

    fn ledger(&self) -> Option<&Ledger> {
        None
    }

    fn awaits_reply(&self) -> Option<u64> {
        None
    }
}

/// Of the note.
const VERSION: u8 = 2;
/// No page is that long: the place is not known.
const NO_PLACE: u16 = u16::MAX;

#[cfg(test)]
#[path = "collector_tests.rs"]
mod tests;
