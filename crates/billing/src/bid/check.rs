//! The check of a text, and the bytes of a frame.
#![deny(clippy::disallowed_methods)]

use bytes::{BufMut, Bytes, BytesMut};

/// How the check behind ETX is made, from the byte after STX through ETX.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Check {
    /// Exclusive or: one byte.
    #[default]
    Xor,
    /// Sum modulo 256: one byte.
    Sum,
    /// Sum modulo 65,536: two bytes, the high one first.
    Sum2,
}

impl Check {
    /// Bytes behind ETX.
    pub fn width(self) -> usize {
        match self {
            Self::Xor | Self::Sum => 1,
            Self::Sum2 => 2,
        }
    }

    /// The check's value over a text, and over the ETX behind it.
    pub fn of(self, text: &[u8]) -> u16 {
        let covered = text.iter().chain(std::iter::once(&ETX));
        match self {
            Self::Xor => covered.fold(0, |value, byte| value ^ u16::from(*byte)),
            Self::Sum => Self::Sum2.of(text) & 0xff,
            Self::Sum2 => covered.fold(0, |value: u16, byte| value.wrapping_add((*byte).into())),
        }
    }
}

/// STX, the text, ETX and its check.
pub fn frame(check: Check, text: &[u8]) -> Bytes {
    sealed(check, text, check.of(text))
}

/// A frame whose check is wrong, for a billing system that misbehaves.
pub fn spoiled(check: Check, text: &[u8]) -> Bytes {
    sealed(check, text, !check.of(text))
}

fn sealed(check: Check, text: &[u8], value: u16) -> Bytes {
    let mut bytes = BytesMut::with_capacity(text.len() + 4);
    bytes.put_u8(STX);
    bytes.put_slice(text);
    bytes.put_u8(ETX);
    if check.width() == 2 {
        bytes.put_u16(value);
    } else {
        bytes.put_u8(value as u8);
    }
    bytes.freeze()
}

/// Start of text.
pub const STX: u8 = 0x02;
/// End of text.
pub const ETX: u8 = 0x03;
/// End of transmission.
pub const EOT: u8 = 0x04;
/// Enquiry: a bid, or the question for the last answer.
pub const ENQ: u8 = 0x05;
/// Positive acknowledgement.
pub const ACK: u8 = 0x06;
/// Data link escape: first byte of ACK0, ACK1, WACK and RVI.
pub const DLE: u8 = 0x10;
/// Negative acknowledgement.
pub const NAK: u8 = 0x15;

#[cfg(test)]
mod tests {
    use super::*;

    const HX: &[u8] = b"417C HTL 06/18  2781 12:35 0004 $010.50 805-688-1000 L";

    #[test]
    fn vectors_of_the_reference() {
        assert_eq!((HX.len(), Check::Xor.of(HX), Check::Sum.of(HX)), (54, 0x6d, 0x75));
        assert_eq!(frame(Check::Xor, b"000417 AU 2781 39 ADD").last(), Some(&0x52));
        assert_eq!(frame(Check::Xor, b"000417 OK"), b"\x02000417 OK\x03\x25"[..]);
        // The check may look like any control byte: it is known by its place.
        for (text, check) in [
            (&b"GI|RN1069|GNDoe|GSN|"[..], STX),
            (b"GI|RN1068|GNDoe|GSN|", ETX),
            (b"GI|RN1008|GNDoe|GSN|", ENQ),
            (b"GI|RN1029|GNDoe|GSN|", ACK),
            (b"GI|RN168|GNDoe|", NAK),
        ] {
            assert_eq!(Check::Xor.of(text), check.into());
        }
    }

    #[test]
    fn the_sum_may_have_a_second_byte() {
        let sum = HX.iter().map(|b| u16::from(*b)).sum::<u16>() + 3;
        let end = frame(Check::Sum2, HX).slice(HX.len() + 2..);
        assert_eq!(end[..], sum.to_be_bytes());
        assert_eq!(frame(Check::Sum, HX).slice(HX.len() + 2..)[..], [0x75]);
    }
}
