//! Where a link stands: what a successor has to know to go on.
#![deny(clippy::disallowed_methods)]

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::scan::Answer;

/// What is being waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Nobody has the line.
    Idle,
    /// The answer to our bid.
    Bid,
    /// A moment, before the next bid.
    Pause,
    /// The answer to our text.
    Text,
    /// The repeated answer to our text, which we asked for with ENQ.
    Ask,
    /// The peer's text: its bid was answered. `last` is the last answer.
    Selected { last: Answer },
}

/// The state of a link without its timers and without the text that it sends. A successor begins
/// the timer of its state anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// What is being waited for.
    pub turn: Turn,
    /// Whether there is a text to be sent.
    pub sending: bool,
    /// Bids since the last answer to one.
    pub bids: u8,
    /// Transmissions of the text.
    pub texts: u8,
    /// Questions for a repeated answer.
    pub asks: u8,
    /// Answers that said "wait".
    pub waits: u8,
}

impl State {
    /// A line that nobody has, and nothing to send.
    pub const IDLE: Self =
        Self { turn: Turn::Idle, sending: false, bids: 0, texts: 0, asks: 0, waits: 0 };

    /// Appends it to a note: turn (1), whether there is a text (1), four counters (1 each).
    pub fn encode(&self, note: &mut BytesMut) {
        note.put_u8(match self.turn {
            Turn::Idle => 0,
            Turn::Bid => 1,
            Turn::Pause => 2,
            Turn::Text => 3,
            Turn::Ask => 4,
            Turn::Selected { last: Answer::Ack } => 5,
            Turn::Selected { last: Answer::Ack0 } => 6,
            Turn::Selected { last: Answer::Ack1 } => 7,
            Turn::Selected { .. } => 8,
        });
        note.put_u8(u8::from(self.sending));
        note.put_slice(&[self.bids, self.texts, self.asks, self.waits]);
    }

    /// Takes it from the front of a note. `None`: it is none.
    pub fn decode(note: &mut Bytes) -> Option<Self> {
        let turn = match note.try_get_u8().ok()? {
            0 => Turn::Idle,
            1 => Turn::Bid,
            2 => Turn::Pause,
            3 => Turn::Text,
            4 => Turn::Ask,
            5 => Turn::Selected { last: Answer::Ack },
            6 => Turn::Selected { last: Answer::Ack0 },
            7 => Turn::Selected { last: Answer::Ack1 },
            8 => Turn::Selected { last: Answer::Nak },
            _ => return None,
        };
        let sending = match note.try_get_u8().ok()? {
            0 => false,
            1 => true,
            _ => return None,
        };
        let mut count = || note.try_get_u8().ok();
        let (bids, texts, asks, waits) = (count()?, count()?, count()?, count()?);
        let sends = matches!(turn, Turn::Bid | Turn::Pause | Turn::Text | Turn::Ask);
        (sending || !sends).then_some(Self { turn, sending, bids, texts, asks, waits })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_a_state_or_none(bytes in prop::collection::vec(0..10_u8, 0..9)) {
            let mut rest = Bytes::from(bytes.clone());
            if let Some(state) = State::decode(&mut rest) {
                let mut again = BytesMut::new();
                state.encode(&mut again);
                prop_assert_eq!(&again[..], &bytes[..6]);
            }
        }
    }
}
