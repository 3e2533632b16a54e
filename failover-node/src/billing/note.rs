//! The envelope of a gateway's note: whose state it is.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Puts a gateway's state into an envelope: version (1), length of the dialect's name (1), the
/// name, the input stream's incarnation (8, big-endian), the state.
pub(crate) fn wrap(dialect: &str, incarnation: u64, state: &[u8]) -> Bytes {
    let mut note = BytesMut::with_capacity(HEAD + dialect.len() + state.len());
    note.put_u8(VERSION);
    note.put_u8(dialect.len() as u8);
    note.put_slice(dialect.as_bytes());
    note.put_u64(incarnation);
    note.put_slice(state);
    note.freeze()
}

/// The state in a note, if it is of this dialect and input stream. A note of another stream says
/// nothing about this one: what it calls outstanding may have been answered in between.
pub fn unwrap(mut note: Bytes, dialect: &str, incarnation: u64) -> Option<Bytes> {
    let version = note.try_get_u8().ok()?;
    let len = usize::from(note.try_get_u8().ok()?);
    if version != VERSION || note.len() < len || note.split_to(len) != dialect.as_bytes() {
        return None;
    }
    (note.try_get_u64().ok()? == incarnation).then_some(note)
}

const VERSION: u8 = 1;
/// All but the name and the state.
const HEAD: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_found_again_for_the_same_dialect_and_stream_only() {
        let note = wrap("fias", 7, b"state");
        assert_eq!(unwrap(note.clone(), "fias", 7).as_deref(), Some(&b"state"[..]));
        assert_eq!(unwrap(note.clone(), "fias", 8), None);
        assert_eq!(unwrap(note.clone(), "hx", 7), None);
        for len in 0..note.len() - 5 {
            assert_eq!(unwrap(note.slice(..len), "fias", 7), None, "{len}");
        }
        assert_eq!(unwrap(Bytes::from_static(b"last 12"), "fias", 7), None);
    }
}
