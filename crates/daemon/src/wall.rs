//! The time of day. It steps, so it is for people's eyes only; programs compare the boot clock.

use std::time::Duration;

use jiff::ZonedDateTime;
use rustix::time::{ClockId, clock_gettime};

/// The time since 1970, as far as this host knows.
pub fn now() -> Duration {
    Duration::try_from(clock_gettime(ClockId::Realtime)).unwrap_or_default()
}

/// What a clock on the wall, in the host's time zone (`TZ`, else `/etc/localtime`), would have shown
/// when the host booted, had nobody set it since: in seconds since the first of January 1970 there.
/// With the time since boot it is what the wall shows.
pub fn at_boot() -> i64 {
    let now = ZonedDateTime::now();
    let local = now.timestamp().as_second() + i64::from(now.offset().seconds());
    local - i64::try_from(sys::boottime().as_secs()).unwrap_or(0)
}

/// A time since 1970 as `2026-11-23T08:26:02.123456Z`.
pub fn stamp(wall: Duration) -> String {
    let seconds = wall.as_secs();
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let micros = wall.subsec_micros();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
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

/// From the first of March of the year 0.
const DAYS_0000_TO_1970: u64 = 719_468;
/// Days in 400 years.
const ERA: u64 = 146_097;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_utc_to_the_microsecond() {
        let wall = Duration::new(1_795_422_362, 123_456_789);
        assert_eq!(stamp(wall), "2026-11-23T08:26:02.123456Z");
    }

    #[test]
    fn a_clock_that_stood_so_at_boot_shows_now_what_the_wall_shows() {
        let before = ZonedDateTime::now();
        let shown = at_boot() + i64::try_from(sys::boottime().as_secs()).unwrap();
        let local = before.timestamp().as_second() + i64::from(before.offset().seconds());
        assert!((shown - local).abs() <= 2, "{shown} is not about {before}");
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
