//! What the texts in a configuration mean. The command line's are the same.

use std::time::Duration;

use daemon::args::parse_time_within;
use daemon::config::values::size_within;

use crate::core::config::LEASE_MIN;

/// The input window: a smaller ring could never fill it.
pub const SMALLEST_RING: usize = wire::frame::INPUT_WINDOW as usize;
/// Saved as text at every stop, so more would make stopping slow.
pub const LARGEST_RING: usize = 256 * 1024 * 1024;
/// Beyond this a dead holder keeps a line for longer than anybody would wait.
pub const LONGEST_LEASE: Duration = Duration::from_secs(600);
/// Shortest time between two beacons.
pub const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);
/// Nodes doubt a terminal server that is silent for some intervals.
pub const LONGEST_INTERVAL: Duration = Duration::from_secs(10);

/// A lease, as `30s`.
///
/// # Errors
/// What to give instead.
pub fn lease(text: &str) -> Result<Duration, String> {
    parse_time_within(text, LEASE_MIN, LONGEST_LEASE)
}

/// The time between two beacons, as `100ms`.
///
/// # Errors
/// What to give instead.
pub fn interval(text: &str) -> Result<Duration, String> {
    parse_time_within(text, SHORTEST_INTERVAL, LONGEST_INTERVAL)
}

/// The size of a ring, as `1MiB`.
///
/// # Errors
/// What to give instead.
pub fn ring(text: &str) -> Result<usize, String> {
    size_within(text, SMALLEST_RING..=LARGEST_RING)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_out_of_range_is_refused_with_the_range() {
        let error = ring("1").unwrap_err();
        assert_eq!(error, "give a size from 64KiB to 256MiB, in bytes or as KiB or MiB");
    }
}
