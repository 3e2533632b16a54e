//! What a gateway leaves for its successor.
#![deny(clippy::disallowed_methods)]

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::bid::MAX_TEXT;
use crate::bid::state::State;

/// The whole state of a gateway but for its timers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Where the link stands. The text that it sends is the response that is being given.
    pub link: State,
    /// Whether the billing system has logged on.
    pub is_logged_on: bool,
    /// The last command.
    pub last: Option<Last>,
}

/// The last command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Last {
    /// Its number.
    pub number: u64,
    /// Offset of its first byte.
    pub start: u64,
    /// Offset after its last byte.
    pub end: u64,
    /// Its text.
    pub text: Bytes,
    /// How far it is.
    pub stage: Stage,
}

/// How far a command is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// A handler's reply is awaited.
    Awaited,
    /// This response is being given.
    Answering(Bytes),
    /// This response was given, or none was due.
    Answered(Option<Bytes>),
    /// The same, and another text with its number is being refused.
    Objecting(Option<Bytes>),
}

impl Note {
    /// As bytes: version (1), link (6), logged on (1), whether there is a last command (1); then
    /// number, start, end (8 each), length of the text (2), text, stage (1), length of the response
    /// (1), response. Big-endian.
    pub fn encode(&self) -> Bytes {
        let mut note = BytesMut::new();
        note.put_u8(VERSION);
        self.link.encode(&mut note);
        note.put_u8(u8::from(self.is_logged_on));
        note.put_u8(u8::from(self.last.is_some()));
        if let Some(Last { number, start, end, text, stage }) = &self.last {
            [number, start, end].into_iter().for_each(|value| note.put_u64(*value));
            note.put_u16(text.len() as u16);
            note.put_slice(text);
            let (stage, response) = match stage {
                Stage::Awaited => (0, None),
                Stage::Answering(response) => (1, Some(response)),
                Stage::Answered(response) => (2, response.as_ref()),
                Stage::Objecting(response) => (3, response.as_ref()),
            };
            note.put_u8(stage);
            note.put_u8(response.map_or(0, Bytes::len) as u8);
            note.put_slice(response.map_or(&[], |response| &response[..]));
        }
        note.freeze()
    }

    /// From bytes. `None`: they are no such note.
    pub fn decode(mut note: Bytes) -> Option<Self> {
        if note.try_get_u8().ok()? != VERSION {
            return None;
        }
        let link = State::decode(&mut note)?;
        let is_logged_on = flag(&mut note)?;
        let last = if flag(&mut note)? { Some(last(&mut note)?) } else { None };
        let says = |last: &Last| matches!(last.stage, Stage::Answering(_) | Stage::Objecting(_));
        let is_answering = last.as_ref().is_some_and(says);
        let fits = note.is_empty() && is_answering == link.sending;
        fits.then_some(Self { link, is_logged_on, last })
    }
}

fn flag(note: &mut Bytes) -> Option<bool> {
    match note.try_get_u8().ok()? {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

fn last(note: &mut Bytes) -> Option<Last> {
    let mut value = || note.try_get_u64().ok();
    let (number, start, end) = (value()?, value()?, value()?);
    let len = usize::from(note.try_get_u16().ok()?);
    let text = (len <= MAX_TEXT && len <= note.len()).then(|| note.split_to(len))?;
    let stage = note.try_get_u8().ok()?;
    let len = usize::from(note.try_get_u8().ok()?);
    let response = (len <= MAX_RESPONSE && len <= note.len()).then(|| note.split_to(len))?;
    let response = Some(response).filter(|response| !response.is_empty());
    let stage = match (stage, response) {
        (0, None) => Stage::Awaited,
        (1, Some(response)) => Stage::Answering(response),
        (2, response) => Stage::Answered(response),
        (3, response) => Stage::Objecting(response),
        _ => return None,
    };
    (start < end).then_some(Last { number, start, end, text, stage })
}

/// Of the note's form. Another one is refused: its state would be guessed.
const VERSION: u8 = 1;
/// Longest response: `NNNNNN ER cc TK` and room to grow.
const MAX_RESPONSE: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn there_and_back_and_nothing_behind_it() {
        let response = Bytes::from_static(b"000417 OK");
        for (stage, sending) in [
            (Stage::Awaited, false),
            (Stage::Answering(response.clone()), true),
            (Stage::Answered(Some(response.clone())), false),
            (Stage::Answered(None), false),
            (Stage::Objecting(Some(response)), true),
            (Stage::Objecting(None), true),
        ] {
            let text = Bytes::from_static(b"000417 RF 2781");
            let last = Last { number: 417, start: 7, end: 26, text, stage };
            let link = State { sending, ..State::IDLE };
            let note = Note { link, is_logged_on: true, last: Some(last) };
            let bytes = note.encode();
            assert_eq!(Note::decode(bytes.clone()), Some(note));
            assert_eq!(Note::decode([&bytes[..], b"x"].concat().into()), None);
            (0..bytes.len()).for_each(|len| assert_eq!(Note::decode(bytes.slice(..len)), None));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_note_or_none(bytes in prop::collection::vec(0..4_u8, 0..60)) {
            let bytes = Bytes::from([vec![VERSION], bytes].concat());
            if let Some(note) = Note::decode(bytes.clone()) {
                prop_assert_eq!(note.encode(), bytes);
            }
        }
    }
}
