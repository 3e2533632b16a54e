//! What a gateway leaves for its successor.
#![deny(clippy::disallowed_methods)]

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::bid::state::State;
use crate::ledger::Ledger;

/// Where the numbers on the line stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// What stood in the columns of the last record, as [`super::number::Form::read`] has it.
    pub last: u64,
    /// The period between two resets, as [`crate::reset::Reset::period`] has it.
    pub period: i64,
}

/// The whole state of a gateway but for its timers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Where the link stands. The text that it sends is the ledger's outstanding one.
    pub link: State,
    /// Transmissions of the outstanding charge, all attempts together.
    pub attempts: u32,
    /// Where the numbers on the line stand. `None`: nobody knows.
    pub place: Option<Place>,
    /// Numbers, and the outstanding charge.
    pub ledger: Ledger,
}

impl Note {
    /// As bytes: version (1), link (6), attempts (4), whether the place is known (1), last (8),
    /// period (8), ledger. Big-endian.
    pub fn encode(&self) -> Bytes {
        let mut note = BytesMut::new();
        note.put_u8(VERSION);
        self.link.encode(&mut note);
        note.put_u32(self.attempts);
        note.put_u8(u8::from(self.place.is_some()));
        let Place { last, period } = self.place.unwrap_or_default();
        note.put_u64(last);
        note.put_i64(period);
        self.ledger.encode(&mut note);
        note.freeze()
    }

    /// From bytes. `None`: they are no such note.
    pub fn decode(mut note: Bytes) -> Option<Self> {
        if note.try_get_u8().ok()? != VERSION {
            return None;
        }
        let link = State::decode(&mut note)?;
        let attempts = note.try_get_u32().ok()?;
        let is_known = note.try_get_u8().ok()?;
        let place = Place { last: note.try_get_u64().ok()?, period: note.try_get_i64().ok()? };
        let place = match is_known {
            0 if place == Place::default() => None,
            1 => Some(place),
            _ => return None,
        };
        let ledger = Ledger::decode(&mut note)?;
        let fits = note.is_empty() && (ledger.outstanding().is_some() || !link.sending);
        fits.then_some(Self { link, attempts, place, ledger })
    }
}

/// Of the note's form. Another one is refused: its state would be guessed.
const VERSION: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Outstanding;
    use proptest::prelude::*;

    #[test]
    fn there_and_back_and_nothing_behind_it() {
        let mut ledger = Ledger::new(6);
        let text = Bytes::from_static(b"007A");
        ledger.send(Outstanding { number: 7, key: "k".into(), text });
        let link = State { sending: true, bids: 2, ..State::IDLE };
        for place in [None, Some(Place { last: 25_999, period: -1 })] {
            let note = Note { link, attempts: 3, place, ledger: ledger.clone() };
            let bytes = note.encode();
            assert_eq!(Note::decode(bytes.clone()), Some(note));
            assert_eq!(Note::decode([&bytes[..], b"x"].concat().into()), None);
            (0..bytes.len()).for_each(|len| assert_eq!(Note::decode(bytes.slice(..len)), None));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_note_or_none(bytes in prop::collection::vec(0..9_u8, 0..80)) {
            let bytes = Bytes::from([vec![VERSION], bytes].concat());
            if let Some(note) = Note::decode(bytes.clone()) {
                prop_assert_eq!(note.encode(), bytes);
            }
        }
    }
}
