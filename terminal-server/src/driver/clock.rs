//! The driver's reading of the one clock.

use wire::Time;

/// The time that every core is told.
pub(crate) fn now() -> Time {
    Time::from_boot(sys::boottime())
}
