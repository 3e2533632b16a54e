//! Which bytes of a line belong together, for whoever reads a journal.
//!
//! It is no link engine: it answers nothing, waits for nothing and believes everything, so that a
//! journal of a wrong exchange is readable, too.

use std::collections::BTreeMap;
use std::time::Duration;

use billing::cdr::layout::Layout;
use billing::cdr::lines::{Found, Lines, Sound, State};
use billing::cdr::{CdrSettings, layout};
use billing::settings::Settings;
use serde::Serialize;

use super::file::Header;
use super::meaning::{Meaning, meaning};

/// Which way bytes went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From the billing system.
    Out,
    /// To it.
    In,
}

/// Bytes that belong together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Frame {
    /// Which way it went.
    pub direction: Direction,
    /// What it is and says.
    #[serde(flatten)]
    pub meaning: Meaning,
    /// Its text without framing; what is not printable ASCII is escaped.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// Whether its check is right, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<Check>,
    /// Something is missing: it broke off, or another one began in it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub torn: bool,
}

/// A check behind a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Check {
    /// As it came.
    pub came: u16,
    /// As it ought to be.
    pub due: u16,
}

/// What a byte ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// What broke off before it.
    pub before: Option<Frame>,
    /// What it ended itself.
    pub with: Option<Frame>,
}

/// Finds the frames of both directions.
#[derive(Debug)]
pub struct Frames {
    dialect: Dialect,
    out: Splitter,
    back: Splitter,
}

/// How a dialect's texts are read.
#[derive(Debug)]
pub(super) enum Dialect {
    Fias,
    Hx,
    Cable,
    Cdr(Box<Layout>),
    /// Lines of text without a meaning that we know.
    Other,
}

#[derive(Debug)]
enum Splitter {
    Framed(Framed),
    Lines(Box<Lines>),
}

/// STX, text, ETX and a check by its place; single control bytes between.
#[derive(Debug)]
struct Framed {
    check: Sum,
    text: Vec<u8>,
    at: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Between,
    /// After DLE.
    Escape,
    Text,
    /// So many bytes of the check have come, with this value.
    Check(u8, u16),
}

/// How a check is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sum {
    None,
    Xor,
    OneByte,
    TwoBytes,
}

/// What a splitter found: text, its check, whether it is torn; or a control of this name.
enum Piece {
    Text(Vec<u8>, Option<Check>, bool),
    Control(&'static str),
    Nothing,
}

impl Frames {
    /// For the dialect and settings that a journal's first line names. Settings that this release
    /// does not know count as not given.
    pub fn new(header: &Header) -> Self {
        let settings = &header.settings;
        let dialect = match header.dialect.as_str() {
            "fias" => Dialect::Fias,
            "hx" => Dialect::Hx,
            "cable" => Dialect::Cable,
            "cdr" => Dialect::Cdr(Box::new(cdr_layout(settings))),
            _ => Dialect::Other,
        };
        let lines = |framed| {
            Splitter::Lines(Box::new(Lines::new(
                framed,
                Duration::MAX,
                0,
                State::default(),
                Duration::ZERO,
            )))
        };
        let splitter = || match &dialect {
            Dialect::Cdr(layout) => lines(layout.end == layout::End::StxEtx),
            Dialect::Other => lines(false),
            _ => {
                let check = sum(settings.get("check").map(String::as_str));
                Splitter::Framed(Framed { check, text: Vec::new(), at: Place::Between })
            }
        };
        let (out, back) = (splitter(), splitter());
        Self { dialect, out, back }
    }

    /// Takes a byte; the frames that it ended.
    pub fn byte(&mut self, direction: Direction, byte: u8) -> Ended {
        let splitter = match direction {
            Direction::Out => &mut self.out,
            Direction::In => &mut self.back,
        };
        let [before, with] = match splitter {
            Splitter::Framed(framed) => framed.byte(byte),
            Splitter::Lines(lines) => line_byte(lines, byte),
        };
        let frame = |piece| self.frame(direction, piece);
        Ended { before: frame(before), with: frame(with) }
    }

    fn frame(&self, direction: Direction, piece: Piece) -> Option<Frame> {
        let (meaning, text, check, torn) = match piece {
            Piece::Nothing => return None,
            Piece::Control(name) => (Meaning::of_control(name), String::new(), None, false),
            Piece::Text(text, check, torn) => {
                (meaning(&self.dialect, &text), text.escape_ascii().to_string(), check, torn)
            }
        };
        Some(Frame { direction, meaning, text, check, torn })
    }
}

impl Framed {
    /// What ended before the byte, and what with it.
    fn byte(&mut self, byte: u8) -> [Piece; 2] {
        match (self.at, byte) {
            (Place::Check(count, value), _) => {
                let value = value << 8 | u16::from(byte);
                let count = count + 1;
                if count < self.check.width() {
                    self.at = Place::Check(count, value);
                    return [Piece::Nothing, Piece::Nothing];
                }
                let due = self.check.of(&self.text);
                [Piece::Nothing, self.end(Some(Check { came: value, due }), false)]
            }
            (Place::Escape, _) => {
                self.at = Place::Between;
                let name = match byte {
                    b'0' => "ACK0",
                    b'1' => "ACK1",
                    b';' => "WACK",
                    b'<' => "RVI",
                    _ => "DLE ?",
                };
                [Piece::Nothing, Piece::Control(name)]
            }
            (_, STX) => {
                let torn = self.rest();
                self.at = Place::Text;
                [torn, Piece::Nothing]
            }
            (Place::Text, ETX) if self.check == Sum::None => {
                [Piece::Nothing, self.end(None, false)]
            }
            (Place::Text, ETX) => {
                self.at = Place::Check(0, 0);
                [Piece::Nothing, Piece::Nothing]
            }
            (_, ENQ | ACK | NAK | EOT) => {
                let torn = self.rest();
                [torn, Piece::Control(control(byte).unwrap_or_default())]
            }
            (Place::Between, DLE) => {
                let torn = self.rest();
                self.at = Place::Escape;
                [torn, Piece::Nothing]
            }
            (Place::Between | Place::Text, _) => {
                self.text.push(byte);
                let full = self.text.len() >= MAX_TEXT;
                [Piece::Nothing, if full { self.rest() } else { Piece::Nothing }]
            }
        }
    }

    /// What has come of a text that ends without its end.
    fn rest(&mut self) -> Piece {
        let nothing = self.text.is_empty() && self.at == Place::Between;
        if nothing { Piece::Nothing } else { self.end(None, true) }
    }

    fn end(&mut self, check: Option<Check>, torn: bool) -> Piece {
        self.at = Place::Between;
        Piece::Text(std::mem::take(&mut self.text), check, torn)
    }
}

impl Check {
    /// Whether it came as it ought to be.
    pub fn is_right(self) -> bool {
        self.came == self.due
    }
}

impl Sum {
    fn width(self) -> u8 {
        if self == Self::TwoBytes { 2 } else { 1 }
    }

    /// Over a text and its ETX.
    fn of(self, text: &[u8]) -> u16 {
        let all = || text.iter().chain(&[ETX]).map(|byte| u16::from(*byte));
        match self {
            Self::None => 0,
            Self::Xor => all().fold(0, |sum, byte| sum ^ byte),
            Self::OneByte => all().fold(0, |sum, byte| (sum + byte) & 0xff),
            Self::TwoBytes => all().fold(0, u16::wrapping_add),
        }
    }
}

/// What ended before the byte, and what with it: each is one line at most.
fn line_byte(lines: &mut Lines, byte: u8) -> [Piece; 2] {
    let before = lines.offset();
    lines.handle_bytes(&[byte], Duration::ZERO);
    let mut pieces = [Piece::Nothing, Piece::Nothing];
    while let Some(found) = lines.poll_found() {
        if let Found::Line { end, text, sound, .. } = found {
            let piece = Piece::Text(text.to_vec(), None, sound == Sound::Torn);
            pieces[usize::from(end > before)] = piece;
        }
    }
    pieces
}

fn sum(name: Option<&str>) -> Sum {
    match name {
        Some("none") => Sum::None,
        Some("sum") => Sum::OneByte,
        Some("sum2") => Sum::TwoBytes,
        _ => Sum::Xor,
    }
}

fn cdr_layout(settings: &BTreeMap<String, String>) -> Layout {
    let mut cdr = CdrSettings::default();
    for (name, value) in settings {
        // An unknown one does not change how bytes are read.
        let _ = cdr.set(name, value);
    }
    cdr.resolved()
}

/// The name of a control byte.
pub fn control(byte: u8) -> Option<&'static str> {
    const NAMES: [&str; 32] = [
        "NUL", "SOH", "STX", "ETX", "EOT", "ENQ", "ACK", "BEL", "BS", "HT", "LF", "VT", "FF", "CR",
        "SO", "SI", "DLE", "DC1", "DC2", "DC3", "DC4", "NAK", "SYN", "ETB", "CAN", "EM", "SUB",
        "ESC", "FS", "GS", "RS", "US",
    ];
    match byte {
        0x7f => Some("DEL"),
        _ => NAMES.get(usize::from(byte)).copied(),
    }
}

const STX: u8 = 0x02;
const ETX: u8 = 0x03;
const EOT: u8 = 0x04;
const ENQ: u8 = 0x05;
const ACK: u8 = 0x06;
const DLE: u8 = 0x10;
const NAK: u8 = 0x15;
/// Longer than any dialect's longest text: what grows beyond is shown in parts.
const MAX_TEXT: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(dialect: &str, settings: &[(&str, &str)], bytes: &[u8]) -> Vec<Frame> {
        let mut header = Header::new(dialect, Duration::ZERO);
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        header.settings = settings.iter().map(pair).collect();
        let mut frames = Frames::new(&header);
        let ended = |byte: &u8| {
            let Ended { before, with } = frames.byte(Direction::Out, *byte);
            [before, with]
        };
        bytes.iter().flat_map(ended).flatten().collect()
    }

    fn kinds(frames: &[Frame]) -> Vec<&str> {
        frames.iter().map(|frame| frame.meaning.kind.as_str()).collect()
    }

    #[test]
    fn a_check_is_known_by_its_place() {
        // The check is STX.
        let found = frames("fias", &[], b"\x02GI|RN1069|GNDoe|GSN|\x03\x02\x06");
        assert_eq!(kinds(&found), ["GI", "ACK"]);
        assert_eq!(found[0].check, Some(Check { came: 2, due: 2 }));
        let found = frames("fias", &[("check", "none")], b"\x02LS|\x03\x05");
        assert_eq!((kinds(&found), found[0].check), (vec!["LS", "ENQ"], None));
    }

    #[test]
    fn a_record_within_another_is_shown_as_torn() {
        let found = frames("fias", &[], b"\x02PS|RN27\x02LA|\x03\x73x\x05");
        let torn: Vec<_> = found.iter().map(|frame| frame.torn).collect();
        assert_eq!(
            (kinds(&found), torn),
            (vec!["PS", "LA", "noise", "ENQ"], vec![true, false, true, false])
        );
        assert!(!found[1].check.unwrap().is_right());
    }

    #[test]
    fn hx_has_other_checks() {
        let text = b"417C HTL 06/18  2781 12:35 0004 $010.50 805-688-1000 L";
        for (check, end) in [("xor", &[0x6d][..]), ("sum", &[0x75])] {
            let bytes = [&[STX], &text[..], &[ETX], end].concat();
            let found = frames("hx", &[("check", check)], &bytes);
            assert!(found[0].check.unwrap().is_right(), "{check}");
        }
    }

    #[test]
    fn cable_has_controls_of_two_bytes() {
        let found = frames("cable", &[], b"\x05\x100\x02000417 OK\x03\x25\x101\x04");
        assert_eq!(kinds(&found), ["ENQ", "ACK0", "OK", "ACK1", "EOT"]);
    }

    #[test]
    fn cdr_has_lines_of_its_layout() {
        let line = b"N 027 00 2343 T010 011 05/09 07:46 00:01:12 A 1999..\r\n";
        let found = frames("cdr", &[("layout", "m1"), ("nosuch", "x")], line);
        assert_eq!(kinds(&found), ["call"]);
    }
}
