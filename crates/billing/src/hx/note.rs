//! What a gateway leaves for its successor.
#![deny(clippy::disallowed_methods)]

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::bid::state::State;
use crate::ledger::Ledger;

/// The whole state of a gateway but for its timers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Where the link stands. The text that it sends is the ledger's outstanding one.
    pub link: State,
    /// Transmissions of the outstanding charge, all attempts together.
    pub attempts: u32,
    /// Number 1 on the line is this one's successor.
    pub base: u64,
    /// Period between two resets in which the last number was given.
    pub period: i64,
    /// Numbers, and the outstanding charge.
    pub ledger: Ledger,
}

impl Note {
    /// As bytes: version (1), link (6), attempts (4), base (8), period (8), ledger. Big-endian.
    pub fn encode(&self) -> Bytes {
        let mut note = BytesMut::new();
        note.put_u8(VERSION);
        self.link.encode(&mut note);
        note.put_u32(self.attempts);
        note.put_u64(self.base);
        note.put_i64(self.period);
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
        let base = note.try_get_u64().ok()?;
        let period = note.try_get_i64().ok()?;
        let ledger = Ledger::decode(&mut note)?;
        let fits = note.is_empty()
            && base <= ledger.last()
            && (ledger.outstanding().is_some() || !link.sending);
        fits.then_some(Self { link, attempts, base, period, ledger })
    }
}

/// Of the note's form. Another one is refused: its state would be guessed.
const VERSION: u8 = 1;

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
        let note = Note { link, attempts: 3, base: 4, period: -1, ledger };
        let bytes = note.encode();
        assert_eq!(Note::decode(bytes.clone()), Some(note));
        assert_eq!(Note::decode([&bytes[..], b"x"].concat().into()), None);
        (0..bytes.len()).for_each(|len| assert_eq!(Note::decode(bytes.slice(..len)), None));
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
