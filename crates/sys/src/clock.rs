//! The one clock of the house: `CLOCK_BOOTTIME` never steps and runs on through suspend.

use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::descriptor::watch;

/// Time since the machine booted, suspend included.
///
/// Comparable between all processes of one host, meaningless between hosts.
pub fn boottime() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    // The kernel never gives a negative time since boot nor a nanosecond count out of range.
    Duration::new(now.tv_sec.max(0) as u64, now.tv_nsec as u32)
}

/// A timer on `CLOCK_BOOTTIME` for one driver loop.
///
/// tokio's own timer rounds to milliseconds and stands still while the machine sleeps, so a lease
/// measured with it would outlive its time. Keep one per loop; each wait names the deadline anew
/// and an unchanged deadline costs no system call.
#[derive(Debug)]
pub struct BootTimer {
    fd: AsyncFd<OwnedFd>,
    /// The deadline the kernel holds, if any.
    armed: Option<Duration>,
}

impl BootTimer {
    /// Makes a timer that is not armed. Needs a tokio runtime with I/O enabled.
    ///
    /// # Errors
    /// The process has no file descriptors left.
    pub fn new() -> io::Result<Self> {
        Ok(Self { fd: watch(timer_fd()?, Interest::READABLE)?, armed: None })
    }

    /// Ready when `deadline` (as [`boottime`] counts) is reached; `None` is never reached.
    ///
    /// A later call may name any other deadline, earlier or later: the last one counts.
    pub fn poll_until(&mut self, cx: &mut Context<'_>, deadline: Option<Duration>) -> Poll<()> {
        let Some(deadline) = deadline else { return Poll::Pending };
        loop {
            if boottime() >= deadline {
                return Poll::Ready(());
            }
            if self.armed != Some(deadline) {
                if let Err(error) = arm(self.fd.get_ref(), Some(deadline)) {
                    // Only a broken invariant (a closed descriptor) can come here. A timer that
                    // says "now" makes its loop look again, one that sleeps for ever hides it.
                    tracing::error!(%error, "failed to arm the boottime timer");
                    return Poll::Ready(());
                }
                self.armed = Some(deadline);
            }
            let Ok(mut guard) = ready!(self.fd.poll_read_ready(cx)) else {
                // The runtime is shutting down; nothing will be waited for again.
                return Poll::Pending;
            };
            let mut expirations = [0_u8; 8];
            if let Ok(Ok(_)) = guard.try_io(|fd| Ok(rustix::io::read(fd, &mut expirations)?)) {
                self.armed = None;
            }
        }
    }

    /// Waits for `deadline` (as [`boottime`] counts); `None` waits for ever. Cancel-safe.
    pub async fn until(&mut self, deadline: Option<Duration>) {
        std::future::poll_fn(|cx| self.poll_until(cx, deadline)).await;
    }
}

/// A `CLOCK_BOOTTIME` timer descriptor: non-blocking, closed on exec, not armed.
pub(crate) fn timer_fd() -> io::Result<OwnedFd> {
    let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
    Ok(timerfd_create(TimerfdClockId::Boottime, flags)?)
}

/// Sets the timer to the absolute `deadline`, or stops it.
pub(crate) fn arm(fd: &OwnedFd, deadline: Option<Duration>) -> io::Result<()> {
    // All zeros would disarm, so a deadline of zero becomes one nanosecond after boot.
    let at = deadline.map_or(Duration::ZERO, |at| at.max(Duration::from_nanos(1)));
    let value = Itimerspec {
        it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
        it_value: Timespec {
            tv_sec: i64::try_from(at.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: at.subsec_nanos().into(),
        },
    };
    timerfd_settime(fd, TimerfdTimerFlags::ABSTIME, &value)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boottime_never_goes_back() {
        let mut last = boottime();
        assert!(last > Duration::ZERO);
        for _ in 0..10_000 {
            let now = boottime();
            assert!(now >= last);
            last = now;
        }
    }

    #[tokio::test]
    async fn a_timer_fires_at_its_deadline_and_not_before() {
        let mut timer = BootTimer::new().unwrap();
        for micros in [300, 5_000, 1] {
            let deadline = boottime() + Duration::from_micros(micros);
            timer.until(Some(deadline)).await;
            assert!(boottime() >= deadline);
        }
        timer.until(Some(Duration::ZERO)).await;
    }

    #[tokio::test]
    async fn a_deadline_may_move_either_way() {
        let mut timer = BootTimer::new().unwrap();
        let start = boottime();
        let far = start + Duration::from_secs(60);
        let near = start + Duration::from_millis(3);
        tokio::select! {
            biased;
            () = timer.until(Some(far)) => panic!("a minute passed"),
            () = std::future::ready(()) => {}
        }
        timer.until(Some(near)).await;
        assert!(boottime() < start + Duration::from_secs(30));
        tokio::select! {
            biased;
            () = timer.until(None) => panic!("never came"),
            () = std::future::ready(()) => {}
        }
    }
}
