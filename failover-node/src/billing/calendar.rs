//! Moments as people write them: by this host's clock on the wall.

use billing::Civil;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// A moment, in milliseconds since 1970, UTC, as the wall shows it.
pub fn show(millis: i64) -> Civil {
    let moment = Timestamp::from_millisecond(millis).unwrap_or_default();
    let time = TimeZone::system().to_datetime(moment);
    let since = time.duration_since(DateTime::constant(1970, 1, 1, 0, 0, 0, 0));
    Civil::from_seconds(since.as_secs())
}

/// The moment, in milliseconds since 1970, UTC, when the wall showed this; in the hour that the end
/// of summer time repeats, the first.
pub fn moment(civil: Civil) -> i64 {
    let text = civil.to_string();
    let time = text.parse::<DateTime>().and_then(|time| TimeZone::system().to_timestamp(time));
    // Only times beyond those of any calendar can't be told.
    time.map_or(i64::MAX, Timestamp::as_millisecond)
}

/// What the wall shows now.
pub fn now() -> Civil {
    show(i64::try_from(daemon::wall::now().as_millis()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_what_the_wall_showed_then() {
        let then: Civil = "2026-11-23T08:26:02".parse().unwrap();
        assert_eq!(show(moment(then)), then);
        assert_eq!(show(moment(then) + 61_000).to_string(), "2026-11-23T08:27:03");
    }
}
