//! When items of the load are begun.
use std::time::Duration;

/// How much, and how fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// From one item to the next; `None` keeps `outstanding` of them waiting.
    pub interval: Option<Duration>,
    /// How many items; `None` is no limit.
    pub count: Option<u64>,
    /// How long items begin; `None` is no limit.
    pub duration: Option<Duration>,
    /// Charges that the gateway is to post: the run waits for them.
    pub charges: u64,
    /// Items queued and not settled at most; the next one waits.
    pub outstanding: usize,
}

/// Says when the next item is due.
#[derive(Debug)]
pub struct Source {
    load: Load,
    start: Duration,
    begun: u64,
    stopped: bool,
    muted: bool,
}

impl Source {
    /// The first item is due at once.
    pub fn new(load: Load, now: Duration) -> Self {
        Self { load, start: now, begun: 0, stopped: false, muted: false }
    }

    /// Begins no more items.
    pub fn stop(&mut self) {
        self.stopped = true;
    }

    /// The billing system of this dialect sends nothing of its own: a count is of charges.
    pub fn mute(&mut self) {
        if let Some(count) = self.load.count.take() {
            self.load.charges = self.load.charges.max(count);
        }
        self.muted = true;
    }

    /// Charges that the gateway is to post.
    pub fn charges(&self) -> u64 {
        self.load.charges
    }

    /// How many items there are to be.
    pub fn count(&self) -> Option<u64> {
        self.load.count
    }

    /// Whether charges alone say how long the run is.
    pub fn is_by_charges(&self) -> bool {
        self.load.charges > 0 && self.load.count.is_none() && self.load.duration.is_none()
    }

    /// Serial number of the item that is to be begun now, if one is. Without room it waits.
    pub fn poll(&mut self, has_room: bool, now: Duration) -> Option<u64> {
        let due = self.due().is_some_and(|due| now >= due);
        (due && !self.is_over(now) && has_room).then(|| {
            self.begun += 1;
            self.begun
        })
    }

    /// Whether no more items will begin.
    pub fn is_over(&self, now: Duration) -> bool {
        let counted = self.load.count.is_some_and(|count| self.begun >= count);
        self.stopped || counted || self.is_late(now)
    }

    /// Whether the time is over.
    pub fn is_late(&self, now: Duration) -> bool {
        self.end().is_some_and(|end| now >= end)
    }

    /// When an item is due or the time is over. Without room an item waits until something is
    /// settled.
    pub fn poll_timeout(&self, has_room: bool) -> Option<Duration> {
        if self.stopped {
            return None;
        }
        [self.due().filter(|_| has_room), self.end()].into_iter().flatten().min()
    }

    fn due(&self) -> Option<Duration> {
        if self.muted || self.load.count.is_some_and(|count| self.begun >= count) {
            return None;
        }
        let begun = u32::try_from(self.begun).unwrap_or(u32::MAX);
        Some(self.start + self.load.interval.unwrap_or_default().saturating_mul(begun))
    }

    fn end(&self) -> Option<Duration> {
        self.load.duration.map(|duration| self.start.saturating_add(duration))
    }
}

impl Default for Load {
    fn default() -> Self {
        Self {
            interval: Some(Duration::from_millis(200)),
            count: None,
            duration: None,
            charges: 0,
            outstanding: MAX_BACKLOG,
        }
    }
}

/// Items that wait at most, at a given rate: minutes of any line's work. What a billing system has
/// besides it keeps to itself.
pub const MAX_BACKLOG: usize = 4096;
/// Items that wait at most when they are to be as many as the line carries.
pub const BUSY_BACKLOG: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(200);

    #[test]
    fn items_come_at_their_rate_and_wait_for_room() {
        let load = Load { count: Some(3), ..Load::default() };
        let start = Duration::from_secs(5);
        let mut source = Source::new(load, start);
        assert_eq!(source.poll(true, start), Some(1));
        assert_eq!(
            (source.poll(true, start), source.poll_timeout(true)),
            (None, Some(start + STEP))
        );
        assert_eq!(source.poll(true, start + STEP), Some(2));
        assert_eq!(
            (source.poll(false, start + STEP * 9), source.poll_timeout(false)),
            (None, None)
        );
        assert!(!source.is_over(start + STEP * 9));
        assert_eq!(source.poll(true, start + STEP * 9), Some(3));
        assert!(source.is_over(start + STEP * 9));
        assert_eq!(source.poll_timeout(true), None);
    }

    #[test]
    fn the_time_ends_it() {
        let load = Load { interval: None, duration: Some(STEP), ..Load::default() };
        let mut source = Source::new(load, STEP);
        assert_eq!((source.poll(true, STEP), source.poll(true, STEP)), (Some(1), Some(2)));
        assert!(source.is_over(STEP * 2) && source.is_late(STEP * 2));
        assert_eq!(source.poll(true, STEP * 2), None);
    }
}
