//! The bytes of the state file: a header that a person can read, then JSON.
//!
//! ```text
//! linekeeper terminal-server state 1
//! length 123
//! crc32 cbf43926
//! { "start": 1790000000, "lines": { "pms": null } }
//! ```
//!
//! The length and the CRC-32 are those of everything after the third line. `null` stands for a
//! line whose process runs, or was killed; a clean stop leaves the line's stream in its place.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use wire::{Epoch, EventKind, Fate, LastFrame, LineEvent, Name};

use crate::core::Saved;

/// What a terminal server remembers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// The number of this start: the upper half of every epoch it grants.
    pub start: u32,
    /// Every line that ever ran under this state, with what a clean stop left of it.
    pub lines: BTreeMap<Name, Option<Saved>>,
}

/// Why a state file cannot be believed.
#[derive(Debug, Error)]
pub enum Damage {
    /// Another file, or one of a release to come.
    #[error("it does not begin with `{FIRST_LINE}`")]
    Foreign,
    /// The header's second or third line is not as it should be.
    #[error("its header is malformed")]
    Header,
    /// Cut short, or with something behind its end.
    #[error("it has {found} bytes after the header where the header says {expected}")]
    Length {
        /// What the header says.
        expected: usize,
        /// What is there.
        found: usize,
    },
    /// Changed by something else than us.
    #[error("its checksum is wrong")]
    Checksum,
    /// A right checksum over what makes no sense.
    #[error("{0}")]
    Content(String),
}

impl State {
    /// The file's content.
    pub fn encode(&self) -> Vec<u8> {
        let lines = self.lines.iter();
        let lines = lines.map(|(name, saved)| (name.to_string(), saved.as_ref().map(stored)));
        let content = Content { start: self.start, lines: lines.collect() };
        let mut body = serde_json::to_vec_pretty(&content)
            .expect("numbers, texts and maps of them always serialise");
        body.push(b'\n');
        let (len, crc) = (body.len(), crc32(&body));
        let mut file = format!("{FIRST_LINE}\nlength {len}\ncrc32 {crc:08x}\n").into_bytes();
        file.append(&mut body);
        file
    }

    /// From a file's content.
    pub fn decode(file: &[u8]) -> Result<Self, Damage> {
        let mut parts = file.splitn(4, |b| *b == b'\n');
        let mut line = || parts.next().and_then(|part| str::from_utf8(part).ok());
        if line() != Some(FIRST_LINE) {
            return Err(Damage::Foreign);
        }
        let length = line().and_then(|text| text.strip_prefix("length ")?.parse().ok());
        let crc = line().and_then(|text| text.strip_prefix("crc32 "));
        let crc = crc.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let (Some(expected), Some(crc)) = (length, crc) else { return Err(Damage::Header) };
        let body = parts.next().unwrap_or_default();
        if body.len() != expected {
            return Err(Damage::Length { expected, found: body.len() });
        }
        if crc32(body) != crc {
            return Err(Damage::Checksum);
        }
        let content: Content =
            serde_json::from_slice(body).map_err(|error| Damage::Content(error.to_string()))?;
        let lines = content.lines.into_iter().map(|(name, stored)| {
            let saved = stored.map(saved).transpose()?;
            Ok((name.parse().map_err(content_error)?, saved))
        });
        Ok(Self { start: content.start, lines: lines.collect::<Result<_, Damage>>()? })
    }
}

/// One line's part, for its spool.
pub(crate) fn encode_saved(saved: &Saved) -> Vec<u8> {
    serde_json::to_vec(&stored(saved)).expect("numbers and texts always serialise")
}

/// The same, read back.
pub(crate) fn decode_saved(json: &[u8]) -> Result<Saved, Damage> {
    let stored =
        serde_json::from_slice(json).map_err(|error| Damage::Content(error.to_string()))?;
    saved(stored)
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    start: u32,
    lines: BTreeMap<String, Option<Stored>>,
}

/// [`Saved`], in words that last.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    incarnation: u64,
    acked: u64,
    delivered: u64,
    /// Hexadecimal.
    input: String,
    events: Vec<StoredEvent>,
    /// Hexadecimal.
    note: String,
    position: u64,
    /// Hexadecimal.
    unfinished: String,
    last_epoch: u64,
    last_end: u64,
    last_fate: StoredFate,
    epoch: u64,
    holder: Option<String>,
    lease_ms: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredEvent {
    offset: u64,
    kind: StoredKind,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StoredKind {
    /// `u64::MAX` is an unknown number of bytes.
    Gap(u64),
    Break,
    Parity,
    Framing,
    Overrun,
    Down,
    Up,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StoredFate {
    None,
    Finished,
    Finishing,
    Cut(u16),
}

fn stored(saved: &Saved) -> Stored {
    let event = |event: &LineEvent| StoredEvent {
        offset: event.offset,
        kind: match event.kind {
            EventKind::Gap(count) => StoredKind::Gap(count),
            EventKind::Break => StoredKind::Break,
            EventKind::Parity => StoredKind::Parity,
            EventKind::Framing => StoredKind::Framing,
            EventKind::Overrun => StoredKind::Overrun,
            EventKind::Down => StoredKind::Down,
            EventKind::Up => StoredKind::Up,
        },
    };
    Stored {
        incarnation: saved.incarnation,
        acked: saved.acked,
        delivered: saved.delivered,
        input: hex(&saved.bytes),
        events: saved.events.iter().map(event).collect(),
        note: hex(&saved.note),
        position: saved.position,
        unfinished: hex(&saved.unfinished),
        last_epoch: saved.last.epoch.0,
        last_end: saved.last.end,
        last_fate: match saved.last.fate {
            Fate::None => StoredFate::None,
            Fate::Finished => StoredFate::Finished,
            Fate::Finishing => StoredFate::Finishing,
            Fate::Cut(after) => StoredFate::Cut(after),
        },
        epoch: saved.epoch.0,
        holder: saved.holder.as_ref().map(ToString::to_string),
        lease_ms: saved.lease_ms,
    }
}

fn saved(stored: Stored) -> Result<Saved, Damage> {
    let event = |event: StoredEvent| LineEvent {
        offset: event.offset,
        kind: match event.kind {
            StoredKind::Gap(count) => EventKind::Gap(count),
            StoredKind::Break => EventKind::Break,
            StoredKind::Parity => EventKind::Parity,
            StoredKind::Framing => EventKind::Framing,
            StoredKind::Overrun => EventKind::Overrun,
            StoredKind::Down => EventKind::Down,
            StoredKind::Up => EventKind::Up,
        },
    };
    Ok(Saved {
        incarnation: stored.incarnation,
        acked: stored.acked,
        delivered: stored.delivered,
        bytes: unhex(&stored.input)?,
        events: stored.events.into_iter().map(event).collect(),
        note: unhex(&stored.note)?,
        position: stored.position,
        unfinished: unhex(&stored.unfinished)?,
        last: LastFrame {
            epoch: Epoch(stored.last_epoch),
            end: stored.last_end,
            fate: match stored.last_fate {
                StoredFate::None => Fate::None,
                StoredFate::Finished => Fate::Finished,
                StoredFate::Finishing => Fate::Finishing,
                StoredFate::Cut(after) => Fate::Cut(after),
            },
        },
        epoch: Epoch(stored.epoch),
        holder: stored.holder.map(|n| n.parse().map_err(content_error)).transpose()?,
        lease_ms: stored.lease_ms,
    })
}

fn content_error(error: impl ToString) -> Damage {
    Damage::Content(error.to_string())
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).expect("a nibble is below 16");
    bytes.iter().flat_map(|b| [digit(b >> 4), digit(b & 15)]).collect()
}

fn unhex(text: &str) -> Result<Bytes, Damage> {
    let bad = || Damage::Content("not hexadecimal".to_owned());
    let digit = |b: u8| char::from(b).to_digit(16).ok_or_else(bad);
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return Err(bad()) };
    pairs.iter().map(|[high, low]| Ok((digit(*high)? << 4 | digit(*low)?) as u8)).collect()
}

/// The CRC-32 of Ethernet and zip (reflected 0x04C11DB7).
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, b| (crc >> 8) ^ CRC[((crc ^ u32::from(*b)) & 0xff) as usize])
}

const FIRST_LINE: &str = "linekeeper terminal-server state 1";

const CRC: [u32; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let (mut crc, mut bit) = (i as u32, 0);
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        let saved = Saved {
            incarnation: u64::MAX,
            acked: 5,
            delivered: 7,
            bytes: Bytes::from_static(b"\0abc\xff"),
            events: vec![
                LineEvent { offset: 5, kind: EventKind::Gap(u64::MAX) },
                LineEvent { offset: 6, kind: EventKind::Down },
            ],
            note: Bytes::from_static(b"seq 7"),
            position: 100,
            unfinished: Bytes::from_static(b"half"),
            last: LastFrame { epoch: Epoch::new(9, 2), end: 100, fate: Fate::Cut(3) },
            epoch: Epoch::new(9, 4),
            holder: "alpha".parse().ok(),
            lease_ms: 400,
        };
        let lines = [("pms".parse().unwrap(), Some(saved)), ("cdr".parse().unwrap(), None)];
        State { start: u32::MAX, lines: lines.into() }
    }

    #[test]
    fn the_checksum_is_the_usual_one() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let file = state().encode();
        assert_eq!(State::decode(&file).unwrap(), state());
        assert!(String::from_utf8(file).unwrap().contains("\"gap\": 18446744073709551615"));
    }

    #[test]
    fn no_damaged_file_is_believed() {
        let file = state().encode();
        for at in 0..file.len() {
            assert!(State::decode(&file[..at]).is_err(), "cut after {at}");
            let mut changed = file.clone();
            changed[at] ^= 1;
            // The case of a hex digit of the checksum is no damage.
            assert!(State::decode(&changed).is_err() || changed.eq_ignore_ascii_case(&file));
        }
        let mut longer = file;
        longer.push(b'\n');
        assert!(matches!(State::decode(&longer), Err(Damage::Length { .. })));
    }
}
