//! The bytes of the link: control bytes, frames, and the parser that finds them by position.
#![deny(clippy::disallowed_methods)]

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

/// Begins a record. Not covered by the check.
pub const STX: u8 = 0x02;
/// Ends a record's data. Covered by the check.
pub const ETX: u8 = 0x03;
/// Asks for the last answer again.
pub const ENQ: u8 = 0x05;
/// The last record was good.
pub const ACK: u8 = 0x06;
/// The last record was not good, or there was none.
pub const NAK: u8 = 0x15;

/// Longest text of a record in bytes.
pub const MAX_TEXT: usize = 2000;
/// Longest frame: STX, text, ETX, check.
pub const MAX_FRAME: usize = MAX_TEXT + 3;

/// What stands behind ETX.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Check {
    /// XOR of everything after STX up to and with ETX. Any of 256 values, so only its place tells
    /// what it is.
    #[default]
    Lrc,
    /// Nothing. Every record is good then, unless it is visibly damaged.
    None,
}

/// XOR of the text and ETX.
pub fn lrc(text: &[u8]) -> u8 {
    text.iter().fold(ETX, |check, byte| check ^ byte)
}

/// The frame of a text.
pub fn encode(text: &[u8], check: Check) -> Bytes {
    let mut frame = BytesMut::with_capacity(text.len() + 3);
    frame.put_u8(STX);
    frame.put_slice(text);
    frame.put_u8(ETX);
    if check == Check::Lrc {
        frame.put_u8(lrc(text));
    }
    frame.freeze()
}

/// Whether a record's text may hold the byte. 00 to 1B and 7F belong to the link; some systems
/// separate fields by 1C to 1F.
pub fn is_text(byte: u8) -> bool {
    byte >= 0x1c && byte != 0x7f
}

/// What a byte completed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Symbol {
    /// A byte between records.
    Byte { at: u64, byte: u8 },
    /// A record; `good`: check and bytes are right. `bytes` is the frame as far as it was kept.
    Record { start: u64, end: u64, good: bool, bytes: Bytes },
    /// A record that began anew before it ended: what was there of the first one.
    Torn { start: u64, end: u64, bytes: Bytes },
}

/// Finds records and the bytes between them.
#[derive(Debug)]
pub(super) struct Parser {
    check: Check,
    /// Offset of the next byte.
    offset: u64,
    frame: Option<Frame>,
}

/// A record that is being received.
#[derive(Debug)]
struct Frame {
    start: u64,
    began: Duration,
    bytes: Vec<u8>,
    damaged: bool,
    /// ETX was there: the next byte is the check, whatever it looks like.
    at_check: bool,
}

impl Parser {
    pub(super) fn new(check: Check, offset: u64) -> Self {
        Self { check, offset, frame: None }
    }

    /// Offset before which nothing is needed any more.
    pub(super) fn consumed(&self) -> u64 {
        self.frame.as_ref().map_or(self.offset, |frame| frame.start)
    }

    /// When the record that is being received began.
    pub(super) fn began(&self) -> Option<Duration> {
        self.frame.as_ref().map(|frame| frame.began)
    }

    /// Whether the next byte is the check of a record.
    pub(super) fn is_at_check(&self) -> bool {
        self.frame.as_ref().is_some_and(|frame| frame.at_check)
    }

    /// Takes a byte.
    pub(super) fn push(&mut self, byte: u8, now: Duration) -> Option<Symbol> {
        let at = self.offset;
        self.offset += 1;
        let Some(frame) = &mut self.frame else {
            if byte != STX {
                return Some(Symbol::Byte { at, byte });
            }
            self.frame = Some(Frame::new(at, now));
            return None;
        };
        if frame.at_check {
            let text = frame.bytes.get(1..frame.bytes.len() - 1).unwrap_or_default();
            let good = !frame.damaged && byte == lrc(text);
            frame.bytes.push(byte);
            return self.finish(good);
        }
        match byte {
            STX => {
                let torn = self.frame.replace(Frame::new(at, now))?;
                Some(Symbol::Torn { start: torn.start, end: at, bytes: torn.bytes.into() })
            }
            ETX => {
                frame.bytes.push(byte);
                frame.at_check = self.check == Check::Lrc;
                let good = !frame.damaged;
                if frame.at_check { None } else { self.finish(good) }
            }
            byte => {
                // Longer than a record may be: the rest is not kept.
                let fits = frame.bytes.len() <= MAX_TEXT;
                frame.damaged |= !fits || !is_text(byte);
                if fits {
                    frame.bytes.push(byte);
                }
                None
            }
        }
    }

    fn finish(&mut self, good: bool) -> Option<Symbol> {
        let Frame { start, bytes, .. } = self.frame.take()?;
        Some(Symbol::Record { start, end: self.offset, good, bytes: bytes.into() })
    }

    /// The byte to come may not follow on the last, or the last was not as it was sent: a record
    /// that is being received can't be good any more.
    pub(super) fn damage(&mut self) {
        if let Some(frame) = &mut self.frame {
            frame.damaged = true;
        }
    }

    /// Gives up what is being received: start, end and bytes of it.
    pub(super) fn abandon(&mut self) -> Option<(u64, u64, Bytes)> {
        let frame = self.frame.take()?;
        Some((frame.start, self.offset, frame.bytes.into()))
    }

    /// The next byte has this offset. Whoever calls it has abandoned what was being received.
    pub(super) fn jump(&mut self, offset: u64) {
        self.offset = self.offset.max(offset);
    }

    /// Offset of the next byte.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }
}

impl Frame {
    fn new(start: u64, began: Duration) -> Self {
        Self { start, began, bytes: vec![STX], damaged: false, at_check: false }
    }
}
