//! Undoes the marks that the kernel puts into the input for line errors (PARMRK). Sans-IO.

/// Takes input as it was read and tells bytes, breaks and damaged characters apart.
///
/// With PARMRK set the kernel writes FF 00 00 for a break, FF 00 x for a character x with a wrong
/// parity bit or without a stop bit, and FF FF for a good FF. A mark may be split over reads, so one
/// decoder belongs to one opening of the device. A damaged 00 cannot be told from a break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Decoder {
    state: State,
}

/// A part of the input, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Good characters, at least one.
    Bytes(&'a [u8]),
    /// The line was held at space for longer than a character.
    Break,
    /// A character that came with a wrong parity bit or without a stop bit.
    Error(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Plain,
    /// After FF.
    Mark,
    /// After FF 00.
    Damage,
}

impl Decoder {
    /// Decodes what was just read. What ends in the middle of a mark waits for the next call; the
    /// pieces are the same however the input is cut, but for where runs of bytes begin and end.
    pub fn decode(&mut self, read: &[u8], out: &mut impl FnMut(Piece<'_>)) {
        if self.state == State::Plain && !read.is_empty() && !read.contains(&MARK) {
            return out(Piece::Bytes(read));
        }
        let mut rest = read;
        while let Some(&first) = rest.first() {
            // How many bytes of `rest` begin the next run without being looked at again.
            let known = match self.state {
                State::Plain => 0,
                State::Mark if first == 0 => {
                    self.state = State::Damage;
                    rest = &rest[1..];
                    continue;
                }
                // FF FF: the second one is the good character. The kernel writes nothing else, and
                // if it did, losing a byte would be the worse answer.
                State::Mark => {
                    if first != MARK {
                        out(Piece::Bytes(&[MARK]));
                    }
                    1
                }
                State::Damage => {
                    out(if first == 0 { Piece::Break } else { Piece::Error(first) });
                    self.state = State::Plain;
                    rest = &rest[1..];
                    continue;
                }
            };
            let run = rest[known..].iter().position(|byte| *byte == MARK);
            let (end, state) = match run {
                Some(at) => (known + at, State::Mark),
                None => (rest.len(), State::Plain),
            };
            if end > 0 {
                out(Piece::Bytes(&rest[..end]));
            }
            self.state = state;
            rest = rest.get(end + 1..).unwrap_or_default();
        }
    }
}

const MARK: u8 = 0xff;

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, PartialEq, Eq)]
    enum Seen {
        Byte(u8),
        Break,
        Error(u8),
    }
    use Seen::{Break, Byte, Error};

    /// What the decoder makes of input that comes in these reads.
    fn decode<'a>(reads: impl IntoIterator<Item = &'a [u8]>) -> Vec<Seen> {
        let (mut decoder, mut seen) = (Decoder::default(), Vec::new());
        for read in reads {
            decoder.decode(read, &mut |piece| match piece {
                Piece::Bytes(bytes) => {
                    assert!(!bytes.is_empty());
                    seen.extend(bytes.iter().copied().map(Byte));
                }
                Piece::Break => seen.push(Break),
                Piece::Error(byte) => seen.push(Error(byte)),
            });
        }
        assert_eq!(decoder, Decoder::default(), "left in the middle of a mark");
        seen
    }

    /// What the kernel writes for it.
    fn encode(seen: &[Seen]) -> Vec<u8> {
        let marks = seen.iter().map(|one| match one {
            Byte(0xff) => vec![0xff, 0xff],
            Byte(byte) => vec![*byte],
            Break => vec![0xff, 0, 0],
            Error(byte) => vec![0xff, 0, *byte],
        });
        marks.flatten().collect()
    }

    #[test]
    fn marks_are_undone_in_order() {
        let input = b"ab\xff\xff\xff\x00\x00\xff\x00x\xff\x00\xff\0cd\xff\xff";
        let expected = [
            Byte(b'a'),
            Byte(b'b'),
            Byte(0xff),
            Break,
            Error(b'x'),
            Error(0xff),
            Byte(0),
            Byte(b'c'),
            Byte(b'd'),
            Byte(0xff),
        ];
        assert_eq!(decode([&input[..]]), expected);
    }

    #[test]
    fn input_without_marks_is_one_piece_and_is_not_copied() {
        let input: Vec<u8> = (0..=0xfe).collect();
        let mut pieces = 0;
        Decoder::default().decode(&input, &mut |piece| {
            pieces += 1;
            let Piece::Bytes(bytes) = piece else { panic!("{piece:?}") };
            assert_eq!(bytes.as_ptr_range(), input.as_ptr_range());
        });
        assert_eq!(pieces, 1);
    }

    #[test]
    fn any_cut_gives_the_same() {
        // All sequences of five of these, cut at every pair of places.
        let kinds = [Byte(0), Byte(b'a'), Byte(0xff), Break, Error(b'a'), Error(0xff)];
        for number in 0..kinds.len().pow(5) {
            let expected: Vec<_> = (0..5)
                .map(|place| kinds[number / kinds.len().pow(place) % kinds.len()].clone())
                .collect();
            let input = encode(&expected);
            for first in 0..=input.len() {
                for second in first..=input.len() {
                    let reads = [&input[..first], &input[first..second], &input[second..]];
                    assert_eq!(decode(reads), expected, "{reads:x?}");
                }
            }
            assert_eq!(decode(input.chunks(1)), expected);
        }
    }

    #[test]
    fn what_is_no_mark_is_not_lost() {
        let expected = [Byte(b'a'), Byte(0xff), Byte(b'b'), Byte(b'c')];
        assert_eq!(decode([&b"a\xffbc"[..]]), expected);
        assert_eq!(decode([&b"a\xff"[..], b"bc"]), expected);
    }
}
