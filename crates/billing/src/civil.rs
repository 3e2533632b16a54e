//! Date and time of day as billing records carry them: by a clock on a wall, without a zone.
#![deny(clippy::disallowed_methods)]

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A date of the Gregorian calendar and a time of day. JSON: `"2018-06-18T12:35:45"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Civil {
    /// 1970 to 9999.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
}

/// How the wall's clock stands to the time since boot, so that a core needs no clock: told by its
/// owner at the start and whenever it was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WallClock {
    /// Local seconds since 1970-01-01T00:00:00 local at the moment of boot.
    pub at_boot: i64,
}

impl WallClock {
    /// What the wall's clock shows at `now`, a time since boot.
    pub fn show(self, now: Duration) -> Civil {
        Civil::from_seconds(self.at_boot.saturating_add_unsigned(now.as_secs()))
    }
}

impl Civil {
    /// From seconds since 1970-01-01T00:00:00; earlier is taken as that, later than 9999 as its end.
    pub fn from_seconds(seconds: i64) -> Self {
        let seconds = seconds.clamp(0, LAST_SECOND);
        let (days, rest) = (seconds / 86_400, seconds % 86_400);
        // Years that begin in March put the leap day last, so that one formula does for all months.
        let days = days + 719_468;
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        Self {
            year: year as u16,
            month: month as u8,
            day: day as u8,
            hour: (rest / 3600) as u8,
            minute: (rest / 60 % 60) as u8,
            second: (rest % 60) as u8,
        }
    }

    /// Seconds since 1970-01-01T00:00:00.
    pub fn seconds(self) -> i64 {
        let year = i64::from(self.year) - i64::from(self.month <= 2);
        let month = (i64::from(self.month) + 9) % 12;
        let (era, year_of_era) = (year / 400, year % 400);
        let day_of_year = (153 * month + 2) / 5 + i64::from(self.day) - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let days = era * 146_097 + day_of_era - 719_468;
        days * 86_400
            + i64::from(self.hour) * 3600
            + i64::from(self.minute) * 60
            + i64::from(self.second)
    }
}

impl fmt::Display for Civil {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { year, month, day, hour, minute, second } = self;
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
    }
}

/// It is no date and time such as `2018-06-18T12:35:45`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no date and time such as 2018-06-18T12:35:45")]
pub struct CivilError(String);

impl FromStr for Civil {
    type Err = CivilError;

    fn from_str(text: &str) -> Result<Self, CivilError> {
        let error = || CivilError(text.chars().take(40).collect());
        let bytes = text.as_bytes();
        let shape = |(at, byte): (usize, &u8)| match at {
            4 | 7 => *byte == b'-',
            10 => *byte == b'T' || *byte == b' ',
            13 | 16 => *byte == b':',
            _ => byte.is_ascii_digit(),
        };
        if bytes.len() != 19 || !bytes.iter().enumerate().all(shape) {
            return Err(error());
        }
        let number = |from: usize, to: usize| {
            bytes[from..to].iter().fold(0_u16, |sum, digit| sum * 10 + u16::from(digit - b'0'))
        };
        let civil = Self {
            year: number(0, 4),
            month: number(5, 7) as u8,
            day: number(8, 10) as u8,
            hour: number(11, 13) as u8,
            minute: number(14, 16) as u8,
            second: number(17, 19) as u8,
        };
        // What does not come back is no date.
        let is_real = civil.year >= 1970
            && (1..=12).contains(&civil.month)
            && Self::from_seconds(civil.seconds()) == civil;
        is_real.then_some(civil).ok_or_else(error)
    }
}

impl From<Civil> for String {
    fn from(civil: Civil) -> Self {
        civil.to_string()
    }
}

impl TryFrom<String> for Civil {
    type Error = CivilError;

    fn try_from(text: String) -> Result<Self, CivilError> {
        text.parse()
    }
}

/// 9999-12-31T23:59:59.
const LAST_SECOND: i64 = 253_402_300_799;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_moments() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00"),
            (951_782_400, "2000-02-29T00:00:00"),
            (1_529_325_345, "2018-06-18T12:35:45"),
            (LAST_SECOND, "9999-12-31T23:59:59"),
        ] {
            assert_eq!(Civil::from_seconds(seconds).to_string(), text);
            assert_eq!(text.parse::<Civil>().unwrap().seconds(), seconds);
        }
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in [
            "",
            "2018-06-18",
            "2018-13-01T00:00:00",
            "2018-02-30T00:00:00",
            "1969-12-31T23:59:59",
            "2018-06-18T24:00:00",
            "2018-06-18T12:60:00",
            "2018-06-18T12:35:4x",
        ] {
            assert!(text.parse::<Civil>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn there_and_back(seconds in 0..=LAST_SECOND) {
            let civil = Civil::from_seconds(seconds);
            prop_assert_eq!(civil.seconds(), seconds);
            prop_assert_eq!(civil.to_string().parse::<Civil>(), Ok(civil));
        }
    }
}
