//! What the columns of a line are; composing a line and checking one.
#![deny(clippy::disallowed_methods)]

use bytes::{BufMut, Bytes, BytesMut};
use serde::Deserialize;

use super::generate::Call;
use super::page::Page;
use super::sequence::Sequence;
use crate::civil::Civil;

/// How an exchange prints its records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// What it is called in settings.
    pub name: String,
    /// Whose it is, for people.
    pub title: String,
    /// Where it is from and what is not known of it, for people.
    pub remark: String,
    /// Longest text, in bytes: a record is that long without its end.
    pub length: usize,
    /// Shortest text: less than `length` where trailing blanks are left out.
    pub least: usize,
    /// What ends a record.
    pub end: End,
    /// NULs after it, which give an old printer time.
    pub nuls: usize,
    /// In the order of their places; none overlaps another.
    pub columns: Vec<Column>,
    /// How records are numbered, if one column is the number.
    pub sequence: Option<Sequence>,
    /// Titles between the records.
    pub page: Option<Page>,
}

/// What ends a record. A collector takes CR, LF or both for the end of any line; the difference is
/// what an exchange sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// CR LF.
    #[default]
    CrLf,
    /// LF.
    Lf,
    /// CR.
    Cr,
    /// The record stands between STX and ETX.
    StxEtx,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// What it is called.
    pub name: String,
    /// Its first place, from 0.
    pub from: usize,
    /// How many places it has.
    pub length: usize,
    /// What stands in it.
    pub kind: Kind,
    /// At which end blanks are filled in.
    pub align: Align,
    /// How a moment or a duration is written.
    pub format: Vec<Piece>,
    /// All that may stand in it; empty: anything of its kind.
    pub values: Vec<String>,
    /// What a simulated exchange prints in it.
    pub sample: Vec<String>,
}

/// What stands in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Anything printable.
    Text,
    /// The record's number: digits in all places.
    Number,
    /// Digits and blanks.
    Digits,
    /// Date or time of day or both, as `format` says.
    Moment,
    /// How long a call was, as `format` says.
    Duration,
    /// Who called.
    Station,
    /// What was dialled.
    Dialled,
    /// A whole call, where the columns aren't known.
    Call,
}

/// At which end a value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Align {
    /// Blanks follow.
    #[default]
    Left,
    /// Blanks come before.
    Right,
}

/// A piece of how a moment or duration is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// `yy`: year, two digits.
    Year,
    /// `mo`: month.
    Month,
    /// `dd`: day.
    Day,
    /// `hh`: hours, two digits.
    Hours,
    /// `h`: hours, one digit.
    Hour,
    /// `mi`: minutes.
    Minutes,
    /// `ss`: seconds.
    Seconds,
    /// `t`: tenths of a minute.
    Tenths,
    /// That very character.
    Literal(u8),
}

/// A column's value in a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field<'a> {
    /// The column's name.
    pub name: &'a str,
    /// What stands there, without blanks at its ends.
    pub value: String,
}

impl Piece {
    /// The pieces of a format as written.
    pub fn parse(format: &str) -> Vec<Self> {
        let mut pieces = Vec::new();
        let mut rest = format.as_bytes();
        while let Some(first) = rest.first() {
            let (piece, len) = match rest {
                [b'y', b'y', ..] => (Self::Year, 2),
                [b'm', b'o', ..] => (Self::Month, 2),
                [b'd', b'd', ..] => (Self::Day, 2),
                [b'h', b'h', ..] => (Self::Hours, 2),
                [b'm', b'i', ..] => (Self::Minutes, 2),
                [b's', b's', ..] => (Self::Seconds, 2),
                [b'h', ..] => (Self::Hour, 1),
                [b't', ..] => (Self::Tenths, 1),
                _ => (Self::Literal(*first), 1),
            };
            pieces.push(piece);
            rest = &rest[len..];
        }
        pieces
    }

    /// Places that it takes.
    pub fn width(self) -> usize {
        match self {
            Self::Hour | Self::Tenths | Self::Literal(_) => 1,
            _ => 2,
        }
    }

    fn write(self, at: Civil, to: &mut Vec<u8>) {
        let number = match self {
            Self::Literal(byte) => return to.push(byte),
            Self::Year => u32::from(at.year % 100),
            Self::Month => at.month.into(),
            Self::Day => at.day.into(),
            Self::Hours => at.hour.into(),
            Self::Hour => u32::from(at.hour % 10),
            Self::Minutes => at.minute.into(),
            Self::Seconds => at.second.into(),
            Self::Tenths => u32::from(at.second / 6),
        };
        if self.width() == 2 {
            to.push(b'0' + (number / 10 % 10) as u8);
        }
        to.push(b'0' + (number % 10) as u8);
    }
}

impl Column {
    fn end(&self) -> usize {
        self.from + self.length
    }

    /// What a simulated exchange prints in it.
    fn compose(&self, call: &Call, number: u64) -> Vec<u8> {
        let mut value = match self.kind {
            Kind::Number => format!("{number:0width$}", width = self.length).into_bytes(),
            Kind::Moment => self.write(call.at),
            Kind::Duration => self.write(Civil::from_seconds(i64::from(call.seconds))),
            Kind::Station => call.station.clone().into_bytes(),
            // Its end tells calls apart.
            Kind::Dialled => tail(&call.dialled, self.length).as_bytes().to_vec(),
            Kind::Call => call.to_string().into_bytes(),
            Kind::Text | Kind::Digits => {
                let of = if self.sample.is_empty() { &self.values } else { &self.sample };
                let pick = (call.pick as usize).checked_rem(of.len());
                pick.map(|pick| of[pick].clone().into_bytes()).unwrap_or_default()
            }
        };
        value.truncate(self.length);
        let blanks = vec![b' '; self.length - value.len()];
        match self.align {
            Align::Left => [value, blanks].concat(),
            Align::Right => [blanks, value].concat(),
        }
    }

    fn write(&self, at: Civil) -> Vec<u8> {
        let mut value = Vec::new();
        let plain = Piece::parse("hh:mi:ss");
        let format = if self.format.is_empty() { &plain } else { &self.format };
        for piece in format {
            piece.write(at, &mut value);
        }
        value
    }

    /// Whether this may stand in it; what a short line leaves out is blank.
    fn allows(&self, value: &[u8]) -> bool {
        let all = |good: fn(u8) -> bool| value.iter().all(|byte| *byte == b' ' || good(*byte));
        let known = |known: &String| trimmed(known.as_bytes()) == trimmed(value);
        if !self.values.is_empty() && !self.values.iter().any(known) {
            return false;
        }
        match self.kind {
            Kind::Text | Kind::Station | Kind::Call => all(|byte| byte > b' ' && byte != 0x7f),
            Kind::Number => value.len() == self.length && value.iter().all(u8::is_ascii_digit),
            Kind::Digits => all(|byte| byte.is_ascii_digit()),
            Kind::Dialled => all(|byte| {
                byte.is_ascii_digit() || byte.is_ascii_uppercase() || b"*#-+.".contains(&byte)
            }),
            Kind::Moment => self.is_written(value),
            Kind::Duration if self.format.is_empty() => {
                all(|byte| byte.is_ascii_digit() || matches!(byte, b':' | b'.'))
            }
            Kind::Duration => self.is_written(value),
        }
    }

    /// Whether the value has the column's format. A leading zero may be a blank.
    fn is_written(&self, value: &[u8]) -> bool {
        let value = match self.align {
            Align::Left => value,
            Align::Right => &value[value.len().saturating_sub(width(&self.format))..],
        };
        let mut rest = value;
        for piece in &self.format {
            let Some((head, tail)) = rest.split_at_checked(piece.width()) else { return false };
            let good = match (piece, head) {
                (Piece::Literal(literal), [byte]) => byte == literal,
                (_, [b' ', low]) => low.is_ascii_digit(),
                (_, digits) => digits.iter().all(u8::is_ascii_digit),
            };
            if !good {
                return false;
            }
            rest = tail;
        }
        rest.iter().all(|byte| *byte == b' ')
    }
}

impl Layout {
    /// The text of a call's record, without its end.
    pub fn compose(&self, call: &Call, number: u64) -> Bytes {
        let mut text = vec![b' '; self.length];
        for column in &self.columns {
            text[column.from..column.end()].copy_from_slice(&column.compose(call, number));
        }
        while text.len() > self.least && text.last() == Some(&b' ') {
            text.pop();
        }
        text.into()
    }

    /// The bytes on the line of a record or a title with this text.
    pub fn frame(&self, text: &[u8]) -> Bytes {
        let mut bytes = BytesMut::with_capacity(text.len() + 2 + self.nuls);
        if self.end == End::StxEtx {
            bytes.put_u8(STX);
        }
        bytes.put_slice(text);
        bytes.put_slice(match self.end {
            End::CrLf => b"\r\n",
            End::Lf => b"\n",
            End::Cr => b"\r",
            End::StxEtx => &[ETX],
        });
        bytes.put_bytes(0, self.nuls);
        bytes.freeze()
    }

    /// Whether this is the text of a record: its length is right, and in each column stands what
    /// may stand there.
    pub fn fits(&self, text: &[u8]) -> bool {
        let printable = text.iter().all(|byte| *byte >= b' ' && *byte != 0x7f);
        let allowed = |column: &Column| column.allows(part(text, column));
        printable
            && (self.least..=self.length).contains(&text.len())
            && self.columns.iter().all(allowed)
    }

    /// Whether the end of a record can be told from a whole one by its looks: it is too short, or
    /// its columns are out of place.
    pub fn tells_tails(&self) -> bool {
        let strict = |column: &Column| matches!(column.kind, Kind::Moment | Kind::Number);
        self.least == self.length || self.columns.iter().any(strict)
    }

    /// The number in a record's text, if it has one.
    pub fn number(&self, text: &[u8]) -> Option<u64> {
        let column = self.columns.iter().find(|column| column.kind == Kind::Number)?;
        let digits = part(text, column);
        // At most MAX_NUMBER_WIDTH digits: it fits.
        let all = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
        all.then(|| digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
    }

    /// The columns of a record that are not blank.
    pub fn fields<'a>(&'a self, text: &[u8]) -> Vec<Field<'a>> {
        let field = |column: &'a Column| {
            let value = String::from_utf8_lossy(trimmed(part(text, column))).into_owned();
            (!value.is_empty()).then_some(Field { name: &column.name, value })
        };
        self.columns.iter().filter_map(field).collect()
    }
}

/// Places that a format takes.
pub(crate) fn width(format: &[Piece]) -> usize {
    format.iter().map(|piece| piece.width()).sum()
}

fn part<'t>(text: &'t [u8], column: &Column) -> &'t [u8] {
    let from = column.from.min(text.len());
    &text[from..column.end().min(text.len())]
}

fn trimmed(text: &[u8]) -> &[u8] {
    text.trim_ascii()
}

fn tail(text: &str, length: usize) -> &str {
    text.get(text.len().saturating_sub(length)..).unwrap_or(text)
}

/// Begins a record of the layouts that frame them.
pub const STX: u8 = 0x02;
/// Ends it.
pub const ETX: u8 = 0x03;
/// Longest text of a record or title: with all else it fits an output of 2 KiB, and no exchange's
/// paper is that wide.
pub const MAX_TEXT: usize = 512;
/// Widest number: it fits a u64.
pub const MAX_NUMBER_WIDTH: usize = 12;

#[cfg(test)]
mod tests {
    use super::super::generate::call;
    use super::*;
    use proptest::prelude::*;

    fn layout(name: &str) -> Layout {
        Layout::built_in(name).unwrap()
    }

    #[test]
    fn teleseer_is_as_in_the_reference() {
        let call = Call {
            at: "2018-06-18T12:35:00".parse().unwrap(),
            seconds: 240,
            station: "2781".into(),
            dialled: "8056881000".into(),
            pick: 0,
        };
        let layout = layout("teleseer");
        let text = layout.compose(&call, 0);
        let bytes = layout.frame(&text);
        let head = [
            0x20, 0x20, 0x20, 0x31, 0x32, 0x33, 0x35, 0x30, 0x30, 0x34, 0x30, 0x37, 0x20, 0x39,
            0x20, 0x38, 0x30, 0x31, 0x20, 0x20, 0x20, 0x20, 0x20, 0x38, 0x30, 0x35, 0x36, 0x38,
            0x38, 0x31, 0x30, 0x30, 0x30, 0x20, 0x32, 0x37, 0x38, 0x31,
        ];
        assert_eq!(bytes[..38], head);
        assert_eq!(bytes[76..], [0x0d, 0x0a, 0, 0, 0]);
        assert_eq!(bytes.len(), 81);
        assert!(layout.fits(&text));
    }

    #[test]
    fn isdn_teleseer_has_no_cr() {
        let layout = layout("isdn-teleseer");
        let bytes = layout.frame(&layout.compose(&call(1, 1), 0));
        assert_eq!(bytes[76..], [0x0a, 0, 0, 0]);
    }

    #[test]
    fn the_posted_sample_of_m1_fits() {
        let layout = layout("m1");
        for (number, time) in [(25, "07:47"), (27, "07:46"), (28, "07:48")] {
            let text = format!("N {number:03} 00 2343 T010 011 05/09 {time} 00:01:12 A 1999..");
            assert!(layout.fits(text.as_bytes()), "{text}");
            assert_eq!(layout.number(text.as_bytes()), Some(number));
        }
        let text = b"N 027 00 2343 T010 011 05/09 07:46 00:01:12 A 1999..";
        let fields = layout.fields(text);
        let value = |name| fields.iter().find(|field| field.name == name).map(|f| &f.value[..]);
        assert_eq!(value("originating"), Some("2343"));
        assert_eq!(value("moment"), Some("05/09 07:46"));
        assert_eq!(value("digits"), Some("1999.."));
    }

    #[test]
    fn nec_is_128_bytes_between_stx_and_etx() {
        let layout = layout("nec-ims");
        let bytes = layout.frame(&layout.compose(&call(1, 1), 0));
        assert_eq!((bytes.len(), &bytes[..3], bytes[127]), (128, &[0x02, 0x30, 0x21][..], 0x03));
    }

    #[test]
    fn the_tail_of_a_record_is_none() {
        for layout in Layout::all().iter().filter(|layout| layout.tells_tails()) {
            let text = layout.compose(&call(3, 7), 7);
            for cut in 1..text.len() {
                assert!(!layout.fits(&text[cut..]), "{} from {cut}", layout.name);
            }
        }
    }

    proptest! {
        #[test]
        fn every_layout_fits_what_it_composes(seed: u64, serial in 1..1_000_000_u64) {
            for layout in Layout::all() {
                let number = layout.sequence.map_or(0, |s| s.first + serial % s.span());
                let text = layout.compose(&call(seed, serial), number);
                prop_assert!(layout.fits(&text), "{}: {text:?}", layout.name);
                let expected = layout.sequence.map(|_| number);
                prop_assert_eq!(layout.number(&text), expected);
            }
        }

        #[test]
        fn any_bytes_are_judged(text in prop::collection::vec(any::<u8>(), 0..200)) {
            for layout in Layout::all() {
                let _ = (layout.fits(&text), layout.number(&text), layout.fields(&text));
            }
        }
    }
}
