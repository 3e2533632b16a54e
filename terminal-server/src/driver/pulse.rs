//! The watchdog of a daemon with many loops: the service manager hears of life only when every one
//! of them has turned since it last heard (I8).

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// All loops that must turn.
#[derive(Debug)]
pub(crate) struct Pulse {
    interval: Duration,
    notify: fn(),
    loops: Mutex<Loops>,
}

#[derive(Debug, Default)]
struct Loops {
    next: u64,
    all: BTreeSet<u64>,
    /// Those that have not turned since the last notification.
    awaited: BTreeSet<u64>,
}

/// One loop's part in it; dropped when the loop ends.
#[derive(Debug)]
pub(crate) struct Beat {
    pulse: Arc<Pulse>,
    id: u64,
}

impl Pulse {
    /// `None` where nobody watches.
    pub(crate) fn watched() -> Option<Arc<Self>> {
        let interval = daemon::notify::watchdog_interval()?;
        Some(Arc::new(Self { interval, notify: daemon::notify::watchdog, loops: Mutex::default() }))
    }

    /// One more loop.
    pub(crate) fn join(self: &Arc<Self>) -> Beat {
        let mut loops = self.lock();
        let id = loops.next;
        loops.next += 1;
        loops.all.insert(id);
        loops.awaited.insert(id);
        Beat { pulse: self.clone(), id }
    }

    fn lock(&self) -> MutexGuard<'_, Loops> {
        self.loops.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turned(&self, loops: &mut Loops, id: u64) {
        if loops.awaited.remove(&id) && loops.awaited.is_empty() {
            loops.awaited.clone_from(&loops.all);
            (self.notify)();
        }
    }
}

impl Beat {
    /// How often [`Beat::beat`] must be called.
    pub(crate) fn interval(&self) -> Duration {
        self.pulse.interval
    }

    /// The loop has turned.
    pub(crate) fn beat(&self) {
        self.pulse.turned(&mut self.pulse.lock(), self.id);
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        let mut loops = self.pulse.lock();
        loops.all.remove(&self.id);
        // The others do not wait for a loop that has ended.
        self.pulse.turned(&mut loops, self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        static HEARD: Cell<u32> = const { Cell::new(0) };
    }

    #[test]
    fn i8_one_loop_that_hangs_silences_all() {
        let notify = || HEARD.set(HEARD.get() + 1);
        let interval = Duration::from_secs(1);
        let pulse = Arc::new(Pulse { interval, notify, loops: Mutex::default() });
        let (a, b, c) = (pulse.join(), pulse.join(), pulse.join());
        for beat in [&a, &b, &a, &b, &a] {
            beat.beat();
        }
        assert_eq!(HEARD.get(), 0, "c has not turned");
        c.beat();
        assert_eq!(HEARD.get(), 1);
        for beat in [&c, &c, &b] {
            beat.beat();
        }
        assert_eq!(HEARD.get(), 1, "a has not turned since");
        drop(a);
        assert_eq!(HEARD.get(), 2, "it has ended, which is no hang");
        b.beat();
        c.beat();
        assert_eq!(HEARD.get(), 3);
    }
}
