//! When a sender's numbers begin again.
#![deny(clippy::disallowed_methods)]

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// When numbers begin again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "String")]
pub enum Reset {
    /// Only after the highest.
    #[default]
    Never,
    /// Every so many hours of the clock on the wall, counted from midnight; 24: at midnight.
    Hours(u8),
}

impl Reset {
    /// When the period between two resets began in which this moment lies, both as local seconds
    /// since 1970. Periods of another rule can so be compared, too.
    pub fn period(self, moment: i64) -> i64 {
        match self {
            Self::Never => 0,
            Self::Hours(hours) => moment - moment.rem_euclid(i64::from(hours.max(1)) * 3600),
        }
    }
}

/// It is no rule for numbers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not {RESETS}")]
pub struct ResetError(String);

impl FromStr for Reset {
    type Err = ResetError;

    fn from_str(text: &str) -> Result<Self, ResetError> {
        let hours = match text {
            "never" => return Ok(Self::Never),
            "midnight" => Some(24),
            // Others would not come at the same times every day.
            _ => text.strip_suffix('h').and_then(|hours| hours.parse().ok()),
        };
        match hours {
            Some(hours @ (1 | 2 | 3 | 4 | 6 | 8 | 12 | 24)) => Ok(Self::Hours(hours)),
            _ => Err(ResetError(text.chars().take(40).collect())),
        }
    }
}

impl TryFrom<String> for Reset {
    type Error = ResetError;

    fn try_from(text: String) -> Result<Self, ResetError> {
        text.parse()
    }
}

impl fmt::Display for Reset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("never"),
            Self::Hours(24) => f.write_str("midnight"),
            Self::Hours(hours) => write!(f, "{hours}h"),
        }
    }
}

/// What may be written for a reset.
pub const RESETS: &str = "never | midnight | 1h, 2h, 3h, 4h, 6h, 8h or 12h";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resets_as_text() {
        for text in ["never", "midnight", "6h", "12h"] {
            assert_eq!(text.parse::<Reset>().unwrap().to_string(), text);
        }
        for text in ["", "5h", "0h", "noon", "h", "-6h"] {
            assert!(text.parse::<Reset>().is_err(), "{text}");
        }
    }
}
