//! What the nodes of a group must know of each other's numbers: the part of a note that keeps a
//! charge from being posted twice or not at all when the store is not shared.
#![deny(clippy::disallowed_methods)]

use std::collections::VecDeque;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::charge::MAX_KEY;

/// Numbers given, and what is outstanding.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ledger {
    /// The last number that was used on the line; 0: none yet. It counts on over every wrap and
    /// reset of what the dialect shows on the line.
    last: u64,
    /// Digests of the keys of the last numbers, newest at the back: that of `last` is the last one.
    recent: VecDeque<u64>,
    /// The charge that was sent and not settled.
    outstanding: Option<Outstanding>,
}

/// A charge that was sent and not settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outstanding {
    /// Its number: always the ledger's last.
    pub number: u64,
    /// The caller's key.
    pub key: String,
    /// The record's text, without framing: at most [`MAX_TEXT`] bytes.
    pub text: Bytes,
}

/// What a ledger knows about a number that a store has given to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Knowledge {
    /// That very charge was sent and is not settled.
    Outstanding,
    /// That very charge was sent, and settled by somebody.
    Settled,
    /// The number was never used on the line.
    Unused,
    /// The number was used for another charge: this one never was on the line.
    Taken,
    /// It is too long ago.
    Unknown,
}

impl Ledger {
    /// A ledger that begins after `last`.
    pub fn new(last: u64) -> Self {
        Self { last, ..Self::default() }
    }

    /// The last number used.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// The charge that was sent and not settled.
    pub fn outstanding(&self) -> Option<&Outstanding> {
        self.outstanding.as_ref()
    }

    /// A charge is about to go out for the first time. Numbers between are skipped.
    ///
    /// # Panics
    /// Something is outstanding, or the number is not above the last.
    pub fn send(&mut self, outstanding: Outstanding) {
        assert!(self.outstanding.is_none(), "one charge is outstanding at a time");
        assert!(outstanding.number > self.last, "numbers grow");
        if outstanding.number != self.last + 1 {
            self.recent.clear();
        }
        self.last = outstanding.number;
        self.recent.push_back(digest(outstanding.key.as_bytes()));
        if self.recent.len() > MAX_RECENT {
            self.recent.pop_front();
        }
        self.outstanding = Some(outstanding);
    }

    /// The outstanding charge is done with.
    pub fn settle(&mut self) -> Option<Outstanding> {
        self.outstanding.take()
    }

    /// What became of the number that a store has given to `key` and knows no end of.
    pub fn knowledge(&self, number: u64, key: &str) -> Knowledge {
        if number > self.last {
            return Knowledge::Unused;
        }
        let back = usize::try_from(self.last - number).unwrap_or(usize::MAX);
        let Some(at) = self.recent.len().checked_sub(back.saturating_add(1)) else {
            return Knowledge::Unknown;
        };
        match &self.outstanding {
            _ if self.recent[at] != digest(key.as_bytes()) => Knowledge::Taken,
            Some(outstanding) if outstanding.number == number => Knowledge::Outstanding,
            _ => Knowledge::Settled,
        }
    }

    /// Whether a charge with this key was sent lately, whatever its number.
    pub fn has_sent(&self, key: &str) -> bool {
        self.recent.contains(&digest(key.as_bytes()))
    }

    /// Appends it to a note: last (8), count of digests (1), digests (8 each), length of the
    /// outstanding key (1, zero: nothing is), key, length of its text (2), text. Big-endian.
    pub fn encode(&self, note: &mut BytesMut) {
        note.put_u64(self.last);
        note.put_u8(self.recent.len() as u8);
        for digest in &self.recent {
            note.put_u64(*digest);
        }
        match &self.outstanding {
            None => note.put_u8(0),
            Some(outstanding) => {
                note.put_u8(outstanding.key.len() as u8);
                note.put_slice(outstanding.key.as_bytes());
                note.put_u16(outstanding.text.len() as u16);
                note.put_slice(&outstanding.text);
            }
        }
    }

    /// Takes it from the front of a note. `None`: it is none.
    pub fn decode(note: &mut Bytes) -> Option<Self> {
        let last = note.try_get_u64().ok()?;
        let count = usize::from(note.try_get_u8().ok()?);
        if count > MAX_RECENT || u64::try_from(count).ok()? > last {
            return None;
        }
        let recent = (0..count).map(|_| note.try_get_u64().ok()).collect::<Option<_>>()?;
        let outstanding = match usize::from(note.try_get_u8().ok()?) {
            0 => None,
            len if len > MAX_KEY || len > note.len() || last == 0 => return None,
            len => {
                let key = String::from_utf8(note.split_to(len).to_vec()).ok()?;
                let len = usize::from(note.try_get_u16().ok()?);
                let fits = len <= MAX_TEXT && len <= note.len();
                let text = fits.then(|| note.split_to(len))?;
                Some(Outstanding { number: last, key, text })
            }
        };
        Some(Self { last, recent, outstanding })
    }
}

/// FNV-1a, 64 bits: tells keys and texts apart, keeps no secret.
pub(crate) fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Digests kept: what a node that was away for that many charges can still tell for sure.
pub const MAX_RECENT: usize = 64;
/// Longest text of a charge: with all else it fits into a note of 4 KiB.
pub const MAX_TEXT: usize = 2000;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn outstanding(number: u64) -> Outstanding {
        Outstanding { number, key: format!("k{number}"), text: Bytes::from_static(b"PS|") }
    }

    fn ledger(to: u64) -> Ledger {
        let mut ledger = Ledger::new(0);
        for number in 1..=to {
            ledger.settle();
            ledger.send(outstanding(number));
        }
        ledger
    }

    #[test]
    fn it_knows_what_became_of_the_last_numbers() {
        let ledger = ledger(100);
        assert_eq!(ledger.knowledge(101, "k101"), Knowledge::Unused);
        assert_eq!(ledger.knowledge(100, "k100"), Knowledge::Outstanding);
        assert_eq!(ledger.knowledge(100, "other"), Knowledge::Taken);
        assert_eq!(ledger.knowledge(99, "k99"), Knowledge::Settled);
        assert_eq!(ledger.knowledge(37, "k37"), Knowledge::Settled);
        assert_eq!(ledger.knowledge(36, "k36"), Knowledge::Unknown);
        assert!(ledger.has_sent("k37") && !ledger.has_sent("k36"));
    }

    #[test]
    fn skipped_numbers_are_unknown() {
        let mut ledger = ledger(3);
        ledger.settle();
        ledger.send(outstanding(10));
        assert_eq!(ledger.knowledge(9, "k9"), Knowledge::Unknown);
        assert_eq!(ledger.knowledge(10, "k10"), Knowledge::Outstanding);
    }

    #[test]
    fn the_largest_leaves_room_in_a_note() {
        let mut ledger = ledger(80);
        ledger.settle();
        let (key, text) = ("k".repeat(MAX_KEY), Bytes::from(vec![0xff; MAX_TEXT]));
        ledger.send(Outstanding { number: 81, key, text });
        let mut note = BytesMut::new();
        ledger.encode(&mut note);
        assert!(note.len() < 2700, "{}", note.len());
        assert_eq!(Ledger::decode(&mut note.freeze()), Some(ledger));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_ledger_or_none(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut rest = Bytes::from(bytes.clone());
            if let Some(ledger) = Ledger::decode(&mut rest) {
                let mut again = BytesMut::new();
                ledger.encode(&mut again);
                prop_assert_eq!(&again[..], &bytes[..bytes.len() - rest.len()]);
            }
        }
    }
}
