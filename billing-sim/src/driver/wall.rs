//! The clock on the wall, for records that carry date and time.

use billing::WallClock;
use sys::boottime;

/// How the wall's clock, in this host's time zone, stands to the time since boot.
pub fn wall_clock() -> WallClock {
    let now = jiff::ZonedDateTime::now();
    let local = now.timestamp().as_second() + i64::from(now.offset().seconds());
    WallClock { at_boot: local - i64::try_from(boottime().as_secs()).unwrap_or(0) }
}
