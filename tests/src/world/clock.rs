//! Each host's own boot clock.

use wire::Time;

/// True time: nanoseconds since the world began. No host can read it.
pub type True = u64;

/// A millisecond of true time.
pub const MS: True = 1_000_000;

/// A boot clock with an offset and a rate of its own, which never steps.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    offset: u64,
    /// Parts per million by which it is fast.
    ppm: i64,
}

impl Clock {
    /// A clock that is `ppm` parts per million fast.
    pub fn new(offset: u64, ppm: i64) -> Self {
        Self { offset, ppm }
    }

    /// What it shows at a true time.
    pub fn local(&self, at: True) -> Time {
        let drift = i128::from(at) * i128::from(self.ppm) / 1_000_000;
        Time::from_nanos((i128::from(self.offset) + i128::from(at) + drift) as u64)
    }

    /// The first true time at which it shows `local` or more.
    pub fn true_time(&self, local: Time) -> True {
        let since = i128::from(local.as_nanos()) - i128::from(self.offset);
        let mut at = (since * 1_000_000 / i128::from(1_000_000 + self.ppm) - 2).max(0) as True;
        while self.local(at) < local {
            at += 1;
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for ppm in [-400, 0, 333] {
            let clock = Clock::new(77_000_000_000, ppm);
            for at in [0, 1, 999, 123_456_789, 60_000_000_001] {
                let local = clock.local(at);
                let back = clock.true_time(local);
                assert!(back <= at && at - back <= 2, "{at} {back}");
                assert!(clock.local(back) >= local);
            }
        }
    }
}
