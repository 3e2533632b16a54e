//! What a line's settings are and how people write them: `9600,8N1`, `115200,7E1,rtscts`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The settings of one serial line.
///
/// Text form: `BAUD,DPS[,FLOW]`: speed, then data bits, parity letter and stop bits, then the
/// flow control if there is any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LineSettings {
    /// Bits per second on the wire, [`MIN_BAUD`] to [`MAX_BAUD`].
    pub baud: u32,
    /// Data bits per character, 5 to 8.
    pub data_bits: u8,
    /// The parity bit after the data bits.
    pub parity: Parity,
    /// How long the line rests after each character.
    pub stop_bits: StopBits,
    /// How a receiver says "wait".
    pub flow: Flow,
}

/// What is to change of a line's settings; `None` leaves a setting as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SettingsChange {
    /// Bits per second.
    pub baud: Option<u32>,
    /// Data bits per character.
    pub data_bits: Option<u8>,
    /// The parity bit.
    pub parity: Option<Parity>,
    /// The rest after a character.
    pub stop_bits: Option<StopBits>,
    /// How a receiver says "wait".
    pub flow: Option<Flow>,
}

/// The parity bit of a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Parity {
    /// No parity bit.
    #[default]
    None,
    /// The number of ones, parity included, is odd.
    Odd,
    /// The number of ones, parity included, is even.
    Even,
    /// Always one.
    Mark,
    /// Always zero.
    Space,
}

/// The rest after a character, in bit times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum StopBits {
    /// One bit.
    #[default]
    One,
    /// One and a half bits, which UARTs offer with five data bits only.
    OnePointFive,
    /// Two bits, which UARTs offer with six and more data bits only.
    Two,
}

/// Flow control.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Flow {
    /// Nobody may say "wait".
    #[default]
    None,
    /// By the RTS and CTS wires.
    RtsCts,
    /// By the characters XON (0x11) and XOFF (0x13), which data must then not contain.
    XonXoff,
}

/// Why a settings text is not one. The message names the part at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The speed is missing, no number or out of range.
    #[error("speed `{0}` is not a number from {MIN_BAUD} to {MAX_BAUD} (as in `9600,8N1`)")]
    Baud(String),
    /// The second part is missing or not of the form `8N1`.
    #[error("`{0}` is not data bits, parity and stop bits (as `8N1` or `7E1`)")]
    Format(String),
    /// The data bits are not 5 to 8.
    #[error("data bits `{0}` are not 5, 6, 7 or 8")]
    DataBits(char),
    /// The parity letter is unknown.
    #[error("parity `{0}` is not N (none), E (even), O (odd), M (mark) or S (space)")]
    Parity(char),
    /// The stop bits are unknown.
    #[error("stop bits `{0}` are not 1, 1.5 or 2")]
    StopBits(String),
    /// No UART can do this combination.
    #[error(
        "{0} stop bits do not exist with {1} data bits (1.5 with five only, 2 with the others)"
    )]
    Combination(StopBits, u8),
    /// The third part is no flow control.
    #[error("flow control `{0}` is not `none`, `rtscts` or `xonxoff`")]
    Flow(String),
    /// There is a fourth part.
    #[error("`{0}` after the flow control means nothing")]
    Excess(String),
}

impl LineSettings {
    /// `baud,8N1` without flow control, the most common line.
    pub const fn new(baud: u32) -> Self {
        Self {
            baud,
            data_bits: 8,
            parity: Parity::None,
            stop_bits: StopBits::One,
            flow: Flow::None,
        }
    }

    /// Checks what the types alone do not: ranges, and stop bits that a UART can do.
    ///
    /// # Errors
    /// The first part that is out of range.
    pub fn check(&self) -> Result<(), SettingsError> {
        if !(MIN_BAUD..=MAX_BAUD).contains(&self.baud) {
            return Err(SettingsError::Baud(self.baud.to_string()));
        }
        if !(5..=8).contains(&self.data_bits) {
            let digit = char::from_digit(self.data_bits.into(), 10).unwrap_or('?');
            return Err(SettingsError::DataBits(digit));
        }
        let possible = match self.stop_bits {
            StopBits::One => true,
            StopBits::OnePointFive => self.data_bits == 5,
            StopBits::Two => self.data_bits != 5,
        };
        if !possible {
            return Err(SettingsError::Combination(self.stop_bits, self.data_bits));
        }
        Ok(())
    }

    /// Length of a character on the wire in half bits: start, data, parity and stop bits.
    pub fn char_bits_x2(&self) -> u32 {
        let parity = u32::from(self.parity != Parity::None);
        let stop_x2 = match self.stop_bits {
            StopBits::One => 2,
            StopBits::OnePointFive => 3,
            StopBits::Two => 4,
        };
        2 * (1 + u32::from(self.data_bits) + parity) + stop_x2
    }

    /// Time one character takes, rounded to the nanosecond. For many use [`Self::time_of`].
    pub fn char_time(&self) -> Duration {
        self.time_of(1)
    }

    /// Time that `chars` characters take back to back, rounded once and not per character.
    pub fn time_of(&self, chars: u64) -> Duration {
        let half_bits = u128::from(chars) * u128::from(self.char_bits_x2());
        let nanos = half_bits * HALF_NANOS_PER_SECOND / u128::from(self.baud.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Whole characters that fit into `time`; the inverse of [`Self::time_of`].
    pub fn chars_in(&self, time: Duration) -> u64 {
        // The odd nanosecond makes up for the rounding down of `time_of`.
        let nanos = time.as_nanos() + 1;
        let per_char = u128::from(self.char_bits_x2()) * HALF_NANOS_PER_SECOND;
        let chars = (nanos * u128::from(self.baud) - 1) / per_char;
        u64::try_from(chars).unwrap_or(u64::MAX)
    }
}

impl LineSettings {
    /// These settings with some of them changed. Whether the outcome is possible,
    /// [`LineSettings::check`] says.
    #[must_use]
    pub fn with(mut self, change: SettingsChange) -> Self {
        self.baud = change.baud.unwrap_or(self.baud);
        self.data_bits = change.data_bits.unwrap_or(self.data_bits);
        self.parity = change.parity.unwrap_or(self.parity);
        self.stop_bits = change.stop_bits.unwrap_or(self.stop_bits);
        self.flow = change.flow.unwrap_or(self.flow);
        self
    }
}

impl From<LineSettings> for SettingsChange {
    fn from(all: LineSettings) -> Self {
        Self {
            baud: Some(all.baud),
            data_bits: Some(all.data_bits),
            parity: Some(all.parity),
            stop_bits: Some(all.stop_bits),
            flow: Some(all.flow),
        }
    }
}

impl FromStr for LineSettings {
    type Err = SettingsError;

    fn from_str(text: &str) -> Result<Self, SettingsError> {
        let mut parts = text.split(',').map(str::trim);
        let baud = parts.next().unwrap_or_default();
        let baud = baud.parse().map_err(|_| SettingsError::Baud(baud.to_owned()))?;
        let format = parts.next().unwrap_or_default();
        let mut chars = format.chars();
        let (Some(data), Some(parity)) = (chars.next(), chars.next()) else {
            return Err(SettingsError::Format(format.to_owned()));
        };
        let data_bits = match data {
            '5'..='8' => data as u8 - b'0',
            _ => return Err(SettingsError::DataBits(data)),
        };
        let parity = match parity.to_ascii_uppercase() {
            'N' => Parity::None,
            'E' => Parity::Even,
            'O' => Parity::Odd,
            'M' => Parity::Mark,
            'S' => Parity::Space,
            _ => return Err(SettingsError::Parity(parity)),
        };
        let stop_bits = match chars.as_str() {
            "1" => StopBits::One,
            "1.5" => StopBits::OnePointFive,
            "2" => StopBits::Two,
            other => return Err(SettingsError::StopBits(other.to_owned())),
        };
        let flow = match parts.next().map(str::to_ascii_lowercase).as_deref() {
            None | Some("none") => Flow::None,
            Some("rtscts") => Flow::RtsCts,
            Some("xonxoff") => Flow::XonXoff,
            Some(other) => return Err(SettingsError::Flow(other.to_owned())),
        };
        if let Some(excess) = parts.next() {
            return Err(SettingsError::Excess(excess.to_owned()));
        }
        let settings = Self { baud, data_bits, parity, stop_bits, flow };
        settings.check()?;
        Ok(settings)
    }
}

impl fmt::Display for LineSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}{}{}", self.baud, self.data_bits, self.parity, self.stop_bits)?;
        match self.flow {
            Flow::None => Ok(()),
            flow => write!(f, ",{flow}"),
        }
    }
}

impl fmt::Display for Parity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "N",
            Self::Odd => "O",
            Self::Even => "E",
            Self::Mark => "M",
            Self::Space => "S",
        })
    }
}

impl fmt::Display for StopBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::One => "1",
            Self::OnePointFive => "1.5",
            Self::Two => "2",
        })
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::RtsCts => "rtscts",
            Self::XonXoff => "xonxoff",
        })
    }
}

/// The slowest speed termios names. Zero would mean "hang up".
pub const MIN_BAUD: u32 = 50;

/// The fastest USB adapters (FT232H, FT4232H) stop here.
pub const MAX_BAUD: u32 = 12_000_000;

/// Nanoseconds per second over two, as lengths are counted in half bits.
const HALF_NANOS_PER_SECOND: u128 = 500_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_and_written_back() {
        for (text, canonical, half_bits, nanos) in [
            ("9600,8N1", "9600,8N1", 20, 1_041_666),
            ("115200,7E1,rtscts", "115200,7E1,rtscts", 20, 86_805),
            ("9600,8n1,XonXoff", "9600,8N1,xonxoff", 20, 1_041_666),
            ("1200, 7o2", "1200,7O2", 22, 9_166_666),
            ("19200,8M1,none", "19200,8M1", 22, 572_916),
            ("50,5N1.5", "50,5N1.5", 15, 150_000_000),
            ("4800,6S2", "4800,6S2", 20, 2_083_333),
            ("12000000,8N1", "12000000,8N1", 20, 833),
        ] {
            let settings: LineSettings = text.parse().unwrap();
            assert_eq!(settings.to_string(), canonical, "{text}");
            assert_eq!(canonical.parse(), Ok(settings), "{text}");
            assert_eq!(settings.char_bits_x2(), half_bits, "{text}");
            assert_eq!(settings.char_time(), Duration::from_nanos(nanos), "{text}");
        }
    }

    #[test]
    fn an_error_names_the_part_at_fault() {
        for (text, part) in [
            ("", "speed ``"),
            ("fast,8N1", "speed `fast`"),
            ("0,8N1", "speed `0`"),
            ("49,8N1", "speed `49`"),
            ("-9600,8N1", "speed `-9600`"),
            ("9600", "`` is not data bits"),
            ("9600,8", "`8` is not data bits"),
            ("9600,9N1", "data bits `9`"),
            ("9600,8X1", "parity `X`"),
            ("9600,8N", "stop bits ``"),
            ("9600,8N3", "stop bits `3`"),
            ("9600,8N1.5", "1.5 stop bits do not exist with 8"),
            ("9600,5N2", "2 stop bits do not exist with 5"),
            ("9600,8N1,dtr", "flow control `dtr`"),
            ("9600,8N1,rtscts,x", "`x` after"),
        ] {
            let error = text.parse::<LineSettings>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn counting_and_timing_characters_agree() {
        for text in ["9600,8N1", "115200,7E1", "300,8E2", "110,5N1.5", "12000000,8N1"] {
            let settings: LineSettings = text.parse().unwrap();
            for chars in [0, 1, 2, 3, 7, 100, 959, 960, 961, 1_000_003] {
                let time = settings.time_of(chars);
                assert_eq!(settings.chars_in(time), chars, "{text} {chars}");
                if let Some(short) = time.checked_sub(Duration::from_nanos(1)) {
                    assert_eq!(settings.chars_in(short), chars - 1, "{text} {chars}");
                }
            }
        }
    }
}
