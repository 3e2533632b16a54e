//! How traffic is written down: time, direction, offset, hex and meaning side by side. Sans-IO.
//!
//! ```text
//! 2026-11-23T08:26:02.123456Z <         5123  02 30 31 03 0d 0a                                <STX>01<ETX><CR><LF>
//! 2026-11-23T08:26:02.124001Z >           17  06                                               <ACK>
//! 2026-11-23T08:26:03.000000Z -               device gone
//! ```

use std::time::Duration;

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
                stamp(wall, out);
                out.extend_from_slice(b" -               ");
                // One event is one row, whatever is in its text.
                out.extend(text.bytes().map(|b| if b.is_ascii_control() { b' ' } else { b }));
                return out.push(b'\n');
            }
        };
        for row in bytes.chunks(ROW) {
            stamp(wall, out);
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

/// Appends a time since 1970 as `2026-11-23T08:26:02.123456Z`.
pub fn stamp(wall: Duration, out: &mut Vec<u8>) {
    let seconds = wall.as_secs();
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let micros = wall.subsec_micros();
    let text =
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z");
    out.extend_from_slice(text.as_bytes());
}

/// The Gregorian date of a day since 1970. Years are counted from March on, so that the odd day
/// comes last in them, and in eras of 400 years, which all have the same length.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + DAYS_0000_TO_1970;
    let (era, day) = (days / ERA, days % ERA);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let from_march = (5 * day + 2) / 153;
    let day = day - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

fn hex(nibble: u8) -> u8 {
    b"0123456789abcdef"[usize::from(nibble & 15)]
}

/// Bytes in one row: with their meaning beside them they still fit a wide terminal.
const ROW: usize = 16;
/// An entry's own memory, beside its bytes.
const OVERHEAD: usize = 64;
/// From the first of March of the year 0.
const DAYS_0000_TO_1970: u64 = 719_468;
/// Days in 400 years.
const ERA: u64 = 146_097;

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

    #[test]
    fn days_are_those_of_the_calendar() {
        for (days, expected) in [
            (0, (1970, 1, 1)),
            (58, (1970, 2, 28)),
            (59, (1970, 3, 1)),
            (789, (1972, 2, 29)),
            (11_016, (2000, 2, 29)),
            (11_017, (2000, 3, 1)),
            (20_780, (2026, 11, 23)),
            (47_540, (2100, 2, 28)),
            (47_541, (2100, 3, 1)),
        ] {
            assert_eq!(date(days), expected, "day {days}");
        }
    }
}
