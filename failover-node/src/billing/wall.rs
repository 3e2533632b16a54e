//! The clock on the wall, for what people and billing systems read.

use std::time::Duration;

use billing::WallClock;
use jiff::ZonedDateTime;
use sys::boottime;

/// How the wall's clock stands now, in the host's time zone (`TZ`, else `/etc/localtime`).
pub(crate) fn wall_clock() -> WallClock {
    let now = ZonedDateTime::now();
    let local = now.timestamp().as_second() + i64::from(now.offset().seconds());
    WallClock { at_boot: local - i64::try_from(boottime().as_secs()).unwrap_or(0) }
}

/// How often it is looked at: a summer time that begins is seen within so long.
pub(crate) const WALL_INTERVAL: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_shows_what_the_wall_shows() {
        let (before, shown) = (ZonedDateTime::now(), wall_clock().show(boottime()));
        let local = before.timestamp().as_second() + i64::from(before.offset().seconds());
        assert!((shown.seconds() - local).abs() <= 2, "{shown} is not about {before}");
    }
}
