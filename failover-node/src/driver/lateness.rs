//! How late this host wakes a process up, looked at before a node starts.

use std::time::Duration;

use sys::{BootTimer, boottime};

/// The latest of some wake-ups. Takes about [`WAKE_UPS`] times [`SLEEP`].
pub(crate) async fn probe(timer: &mut BootTimer) -> Duration {
    let mut latest = Duration::ZERO;
    for _ in 0..WAKE_UPS {
        let due = boottime() + SLEEP;
        timer.until(Some(due)).await;
        latest = latest.max(boottime().saturating_sub(due));
    }
    latest
}

/// Enough to meet a busy host's time slices, and no start is slower for it: a node listens for
/// longer before it acts.
const WAKE_UPS: u32 = 20;
const SLEEP: Duration = Duration::from_millis(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_probe_takes_its_time_and_finds_a_lateness_within_it() {
        let begun = boottime();
        let latest = probe(&mut BootTimer::new().unwrap()).await;
        let took = boottime() - begun;
        assert!(took >= SLEEP * WAKE_UPS, "{took:?}");
        assert!(latest > Duration::ZERO && latest < took, "{latest:?} of {took:?}");
    }
}
