//! How traffic is written down: time, direction, offset, hex and meaning side by side. Sans-IO.
//!
//! ```text
//! 2026-11-23T08:26:02.123456Z <         5123  02 30 31 03 0d 0a                                <STX>01<ETX><CR><LF>
//! 2026-11-23T08:26:02.124001Z >           17  06                                               <ACK>
//! 2026-11-23T08:26:03.000000Z -               device gone
//! ```

use std::time::Duration;

use daemon::wall::stamp;

/// One thing to be written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// Bytes read from the line, from this offset of its input on.
    Input(u64, Vec<u8>),
    /// Bytes handed to the line, from this position of its output on.
    Output(u64, Vec<u8>),
    /// Something else, in a few words.
    Event(String),
}

impl Entry {
    /// What it takes in a queue.
    pub fn size(&self) -> usize {
        match self {
            Self::Input(_, bytes) | Self::Output(_, bytes) => bytes.len() + OVERHEAD,
            Self::Event(text) => text.len() + OVERHEAD,
        }
    }

    /// Appends its rows. `wall`: time since 1970, in UTC.
    pub fn write(&self, wall: Duration, out: &mut Vec<u8>) {
        let (direction, mut at, bytes) = match self {
            Self::Input(offset, bytes) => (b'<', *offset, bytes),
            Self::Output(position, bytes) => (b'>', *position, bytes),
            Self::Event(text) => {
                out.extend_from_slice(stamp(wall).as_bytes());
                out.extend_from_slice(b" -               ");
                // One event is one row, whatever is in its text.
                out.extend(text.bytes().map(|b| if b.is_ascii_control() { b' ' } else { b }));
                return out.push(b'\n');
            }
        };
        for row in bytes.chunks(ROW) {
            out.extend_from_slice(stamp(wall).as_bytes());
            out.extend_from_slice(&[b' ', direction, b' ']);
            out.extend_from_slice(format!("{at:12} ").as_bytes());
            for byte in row {
                out.extend_from_slice(&[b' ', hex(byte >> 4), hex(byte & 15)]);
            }
            for _ in row.len()..ROW {
                out.extend_from_slice(b"   ");
            }
            out.extend_from_slice(b"  ");
            row.iter().for_each(|byte| meaning(*byte, out));
            out.push(b'\n');
            at = at.wrapping_add(row.len() as u64);
        }
    }
}

/// Appends a byte as people name it: printable characters themselves, the others as `<STX>` or
/// `<E9>`. A real `<` looks the same; the hex beside it tells them apart.
pub fn meaning(byte: u8, out: &mut Vec<u8>) {
    match byte {
        b' '..=b'~' => out.push(byte),
        _ => {
            out.push(b'<');
            match CONTROLS.get(usize::from(byte)) {
                Some(name) => out.extend_from_slice(name.as_bytes()),
                None if byte == 0x7f => out.extend_from_slice(b"DEL"),
                None => out.extend_from_slice(format!("{byte:02X}").as_bytes()),
            }
            out.push(b'>');
        }
    }
}

fn hex(nibble: u8) -> u8 {
    b"0123456789abcdef"[usize::from(nibble & 15)]
}

/// Bytes in one row: with their meaning beside them they still fit a wide terminal.
const ROW: usize = 16;
/// An entry's own memory, beside its bytes.
const OVERHEAD: usize = 64;
const CONTROLS: [&str; 32] = [
    "NUL", "SOH", "STX", "ETX", "EOT", "ENQ", "ACK", "BEL", "BS", "HT", "LF", "VT", "FF", "CR",
    "SO", "SI", "DLE", "XON", "DC2", "XOFF", "DC4", "NAK", "SYN", "ETB", "CAN", "EM", "SUB", "ESC",
    "FS", "GS", "RS", "US",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn written(entry: &Entry) -> String {
        let mut out = Vec::new();
        entry.write(Duration::new(1_795_422_362, 123_456_789), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn rows_have_time_direction_offset_hex_and_meaning() {
        let record = b"\x02GI|RN101|\x03\x05\x06\x15\r\n\x7f\xe9 <".to_vec();
        let expected = "\
2026-11-23T08:26:02.123456Z <         5123  02 47 49 7c 52 4e 31 30 31 7c 03 05 06 15 0d 0a  \
<STX>GI|RN101|<ETX><ENQ><ACK><NAK><CR><LF>
2026-11-23T08:26:02.123456Z <         5139  7f e9 20 3c                                      \
<DEL><E9> <
";
        assert_eq!(written(&Entry::Input(5123, record)), expected);
        let expected = "\
2026-11-23T08:26:02.123456Z >            0  06                                               <ACK>
";
        assert_eq!(written(&Entry::Output(0, vec![6])), expected);
        assert_eq!(written(&Entry::Output(0, Vec::new())), "");
    }

    #[test]
    fn an_event_is_one_row() {
        let expected = "2026-11-23T08:26:02.123456Z -               gone: a b\n";
        assert_eq!(written(&Entry::Event("gone: a\nb".to_owned())), expected);
    }
}
