//! The bytes of one record and of one answer.
#![deny(clippy::disallowed_methods)]

use thiserror::Error;

/// Longest text of a record, in bytes: a line of a classic call-record printer.
pub const MAX_TEXT: usize = 80;

/// Largest number that fits the eight digits.
pub const MAX_NUMBER: u32 = 99_999_999;

/// Longest frame of either kind in bytes, CR LF included: what a parser has to hold.
pub const MAX_FRAME: usize = HEAD + MAX_TEXT + TAIL;

/// Length of every answer in bytes, CR LF included.
pub const ANSWER_LEN: usize = HEAD + HEX + TAIL;

/// One billing record: a number and a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    number: u32,
    text: String,
}

/// Why a record cannot be written in this dialect. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RecordError {
    /// The number has more than eight digits.
    #[error("record number {0} is above {MAX_NUMBER}")]
    Number(u32),
    /// The text is longer than [`MAX_TEXT`] bytes.
    #[error("record text of {0} bytes is longer than {MAX_TEXT}")]
    Long(usize),
    /// The text has a byte outside printable ASCII (0x20 to 0x7e).
    #[error("record text has a byte {0:#04x} that is not printable ASCII")]
    Byte(u8),
}

/// The gateway's answer to one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Number of the record answered.
    pub number: u32,
    /// [`Record::digest`] of the record as the gateway read it.
    pub digest: u32,
}

/// A whole, checked frame of either kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// From the billing system.
    Record(Record),
    /// From the gateway.
    Answer(Answer),
}

/// Why a line is no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Misfit {
    /// Head, text and check stand where they should, but the check is wrong.
    Check,
    /// Not the shape of a frame.
    Shape,
}

impl Record {
    /// A record of `number` (at most [`MAX_NUMBER`]) and `text` (printable ASCII, at most
    /// [`MAX_TEXT`] bytes, may be empty).
    ///
    /// # Errors
    /// If either does not fit the dialect.
    pub fn new(number: u32, text: impl Into<String>) -> Result<Self, RecordError> {
        let text = text.into();
        if number > MAX_NUMBER {
            return Err(RecordError::Number(number));
        }
        if text.len() > MAX_TEXT {
            return Err(RecordError::Long(text.len()));
        }
        match text.bytes().find(|b| !is_text(*b)) {
            Some(byte) => Err(RecordError::Byte(byte)),
            None => Ok(Self { number, text }),
        }
    }

    /// The record's number.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The record's text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The frame as it goes over the wire, CR LF included.
    pub fn to_bytes(&self) -> Vec<u8> {
        sealed(format!("R{:08} {} ", self.number, self.text))
    }

    /// What an answer must prove: 32 bits over number and text.
    ///
    /// FNV-1a folded to half, on purpose not the CRC of the frame: an answer must not be something
    /// that can be copied from the record's last bytes.
    pub fn digest(&self) -> u32 {
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        for byte in self.number.to_be_bytes().into_iter().chain(self.text.bytes()) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        (hash >> 32) as u32 ^ hash as u32
    }
}

impl Answer {
    /// The one right answer to `record`.
    pub fn to(record: &Record) -> Self {
        Self { number: record.number, digest: record.digest() }
    }

    /// The frame as it goes over the wire, [`ANSWER_LEN`] bytes, CR LF included.
    pub fn to_bytes(&self) -> Vec<u8> {
        sealed(format!("A{:08} {:08x} ", self.number, self.digest))
    }
}

/// The bytes of the one right answer to `record`, CR LF included.
pub fn answer_for(record: &Record) -> Vec<u8> {
    Answer::to(record).to_bytes()
}

impl Frame {
    /// Reads one line, CR LF included, as a frame.
    pub(crate) fn parse(line: &[u8]) -> Result<Self, Misfit> {
        if line.len() < HEAD + TAIL || line.len() > MAX_FRAME || !may_start(line) {
            return Err(Misfit::Shape);
        }
        let (covered, check) = line.split_at(line.len() - CHECK);
        let Some(hex) = check.strip_suffix(b"\r\n") else { return Err(Misfit::Shape) };
        let Some(body) = covered[HEAD..].strip_suffix(b" ") else { return Err(Misfit::Shape) };
        let Some(check) = parse_hex(hex) else { return Err(Misfit::Shape) };
        if !body.iter().all(|b| is_text(*b)) {
            return Err(Misfit::Shape);
        }
        if check != crc32(covered) {
            return Err(Misfit::Check);
        }
        let number =
            line[1..HEAD - 1].iter().fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
        if line[0] == b'R' {
            let text = body.iter().map(|b| char::from(*b)).collect();
            return Ok(Self::Record(Record { number, text }));
        }
        match parse_hex(body) {
            Some(digest) => Ok(Self::Answer(Answer { number, digest })),
            None => Err(Misfit::Shape),
        }
    }
}

/// Whether `bytes` could be the beginning of a frame, as far as they reach.
pub(crate) fn may_start(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(b'R' | b'A'))
        && bytes.iter().take(HEAD - 1).skip(1).all(u8::is_ascii_digit)
        && bytes.get(HEAD - 1).is_none_or(|b| *b == b' ')
}

/// CRC-32 (IEEE 802.3, reflected) of `bytes`.
pub fn crc32(bytes: &[u8]) -> u32 {
    let step =
        |crc: u32, byte: &u8| CRC_TABLE[((crc ^ u32::from(*byte)) & 0xff) as usize] ^ crc >> 8;
    !bytes.iter().fold(!0, step)
}

fn sealed(text: String) -> Vec<u8> {
    let check = crc32(text.as_bytes());
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(format!("{check:08x}\r\n").as_bytes());
    bytes
}

fn is_text(byte: u8) -> bool {
    (0x20..=0x7e).contains(&byte)
}

/// Exactly eight lower-case digits; upper case is refused, since every frame has one spelling.
fn parse_hex(hex: &[u8]) -> Option<u32> {
    if hex.len() != HEX {
        return None;
    }
    hex.iter().try_fold(0, |value: u32, digit| {
        let nibble = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u32::from(nibble))
    })
}

const fn crc_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < table.len() {
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
}

const CRC_TABLE: [u32; 256] = crc_table();

/// Letter, eight digits, space.
const HEAD: usize = 10;

/// Digits of a 32-bit value.
const HEX: usize = 8;

/// Check, CR, LF.
const CHECK: usize = HEX + 2;

/// What follows text or digest: space, check, CR, LF.
const TAIL: usize = 1 + CHECK;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_has_the_published_check_value() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn bytes_of_a_record_and_its_answer() {
        let record = Record::new(42, "1205 0441234567890 00:02:31").unwrap();
        assert_eq!(record.to_bytes(), b"R00000042 1205 0441234567890 00:02:31 2a6b5a3d\r\n");
        assert_eq!(answer_for(&record), b"A00000042 578b7dad 5220ea4c\r\n");
        assert_eq!(answer_for(&record).len(), ANSWER_LEN);
    }

    #[test]
    fn longest_record_is_the_longest_frame() {
        let record = Record::new(MAX_NUMBER, "x".repeat(MAX_TEXT)).unwrap();
        assert_eq!(record.to_bytes().len(), MAX_FRAME);
        assert_eq!(Frame::parse(&record.to_bytes()), Ok(Frame::Record(record)));
    }

    #[test]
    fn empty_text_is_a_record() {
        let record = Record::new(0, "").unwrap();
        assert_eq!(Frame::parse(&record.to_bytes()), Ok(Frame::Record(record)));
    }

    #[test]
    fn refuses_what_the_dialect_cannot_carry() {
        assert_eq!(Record::new(100_000_000, ""), Err(RecordError::Number(100_000_000)));
        assert_eq!(Record::new(1, "x".repeat(81)), Err(RecordError::Long(81)));
        assert_eq!(Record::new(1, "a\tb"), Err(RecordError::Byte(9)));
    }

    #[test]
    fn every_single_changed_byte_is_refused() {
        let whole = Record::new(7, "T014 1205 R00000008 A").unwrap().to_bytes();
        for at in 0..whole.len() {
            for mask in [1, 0x20, 0x80] {
                let mut bytes = whole.clone();
                bytes[at] ^= mask;
                assert!(Frame::parse(&bytes).is_err(), "byte {at} mask {mask:#x}");
            }
        }
    }
}
