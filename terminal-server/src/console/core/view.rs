//! How the line's bytes are shown: as they are, after their time, or in hex.

use std::time::Duration;

use super::Mapping;
use crate::driver::trace::format::meaning;

/// The state of the screen as far as the line has written on it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct View {
    /// Rows of offset, hex and meaning.
    pub hex: bool,
    /// The time before each text line, or each row.
    pub stamps: bool,
    mapping: Mapping,
    /// Something stands in the present line of the screen.
    inside: bool,
}

impl View {
    /// An empty screen.
    pub fn new(hex: bool, stamps: bool, mapping: Mapping) -> Self {
        Self { hex, stamps, mapping, inside: false }
    }

    /// What to put on the screen for bytes of the line, the first of them at `offset`. `wall`:
    /// time since 1970.
    pub fn show(&mut self, mut offset: u64, bytes: &[u8], wall: Duration, out: &mut Vec<u8>) {
        if !self.hex {
            return bytes.iter().for_each(|byte| self.text(*byte, wall, out));
        }
        self.fresh_line(out);
        for row in bytes.chunks(ROW) {
            self.stamp(wall, out);
            out.extend_from_slice(format!("{offset:8} ").as_bytes());
            for byte in row {
                out.extend_from_slice(format!(" {byte:02x}").as_bytes());
            }
            out.extend(std::iter::repeat_n(b' ', 3 * (ROW - row.len()) + 2));
            row.iter().for_each(|byte| meaning(*byte, out));
            out.extend_from_slice(b"\r\n");
            offset = offset.wrapping_add(row.len() as u64);
        }
    }

    /// What to put on the screen so that something of our own can follow on a line of its own.
    pub fn fresh_line(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.inside) {
            out.extend_from_slice(b"\r\n");
        }
    }

    fn text(&mut self, byte: u8, wall: Duration, out: &mut Vec<u8>) {
        let mut mapped = Vec::new();
        self.mapping.input(byte, &mut mapped);
        for byte in mapped {
            // The line end that belongs to the line before is no line of its own.
            if self.stamps && !self.inside && !matches!(byte, b'\r' | b'\n') {
                self.stamp(wall, out);
            }
            self.inside = match byte {
                b'\n' => false,
                b'\r' => self.inside,
                _ => true,
            };
            out.push(byte);
        }
    }

    fn stamp(&self, wall: Duration, out: &mut Vec<u8>) {
        if self.stamps {
            let (day, ms) = (wall.as_secs() % 86_400, wall.subsec_millis());
            let (hour, minute, second) = (day / 3600, day / 60 % 60, day % 60);
            let text = format!("[{hour:02}:{minute:02}:{second:02}.{ms:03}] ");
            out.extend_from_slice(text.as_bytes());
        }
    }
}

/// Bytes in a row of the hex view.
const ROW: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: Duration = Duration::from_millis(1_795_422_362_007);

    fn shown(view: &mut View, pieces: &[&[u8]]) -> String {
        let mut out = Vec::new();
        let mut offset = 0;
        for piece in pieces {
            view.show(offset, piece, WALL, &mut out);
            offset += piece.len() as u64;
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_passes_as_it_is_but_for_the_mapping() {
        let mut view = View::default();
        assert_eq!(shown(&mut view, &[b"a\x1b[0m\r", b"\nb"]), "a\x1b[0m\r\nb");
        let mut view = View::new(false, false, "INLCRNL".parse().unwrap());
        assert_eq!(shown(&mut view, &[b"a\nb\n"]), "a\r\nb\r\n");
    }

    #[test]
    fn a_time_stands_before_each_line_however_it_came() {
        let expected = "[08:26:02.007] one\r\n[08:26:02.007] two\r\n";
        for pieces in [
            vec![b"one\r\ntwo\r\n".as_slice()],
            vec![b"o".as_slice(), b"ne\r", b"\ntw", b"o", b"\r\n"],
        ] {
            let mut view = View { stamps: true, ..View::default() };
            assert_eq!(shown(&mut view, &pieces), expected);
        }
    }

    #[test]
    fn hex_rows_have_offset_and_meaning_and_begin_on_a_line_of_their_own() {
        let mut view = View::default();
        assert_eq!(shown(&mut view, &[b"ab"]), "ab");
        view.hex = true;
        let expected = "\r\n       0  02 41 0d                                         \
                        <STX>A<CR>\r\n";
        assert_eq!(shown(&mut view, &[b"\x02A\r"]), expected);
        let rows = shown(&mut view, &[&[b'x'; 17]]);
        assert_eq!(rows.lines().count(), 2);
        assert!(rows.ends_with("  x\r\n") && rows.contains("\r\n      16  78 "), "{rows}");
    }

    #[test]
    fn our_own_words_begin_on_a_fresh_line() {
        let mut view = View::default();
        let mut out = Vec::new();
        view.fresh_line(&mut out);
        view.show(0, b"prompt> ", WALL, &mut out);
        view.fresh_line(&mut out);
        view.fresh_line(&mut out);
        assert_eq!(out, b"prompt> \r\n");
    }
}
