//! From the first line of `main` to the last: signals, phases, and a bounded shutdown.

use std::fmt;
use std::io;
use std::time::Duration;

use sys::{BootTimer, boottime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Where a daemon is in its life. It only moves forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Reading configuration, binding; nothing is served.
    Setup,
    /// Serving.
    Running,
    /// Told to stop: takes nothing new, finishes what it must.
    Stopping,
    /// Finished; the process is about to end.
    Terminated,
}

/// What holds a daemon together: the token that says "stop", the tasks that must hear it, and the
/// phase that others may watch.
///
/// Tasks are spawned on [`Self::tasks`] and end when [`Self::stop_token`] is cancelled.
#[derive(Debug)]
pub struct Lifecycle {
    stop: CancellationToken,
    tasks: TaskTracker,
    phase: watch::Sender<Phase>,
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignalEvent {
    /// The first SIGTERM or SIGINT, with its name: finish and end.
    Stop(&'static str),
    /// A further one: end now.
    StopNow(&'static str),
    /// SIGHUP: look at the configuration again.
    Hangup,
}

/// The signals that a daemon hears.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    stopping: bool,
}

/// How a shutdown ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// Every task ended, after this time.
    InTime(Duration),
    /// The grace period is over and this many tasks still ran.
    Overrun(usize),
    /// A second signal came while this many tasks still ran.
    Interrupted(usize),
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self::new()
    }
}

impl Lifecycle {
    /// A life that begins in [`Phase::Setup`].
    pub fn new() -> Self {
        Self {
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            phase: watch::Sender::new(Phase::Setup),
        }
    }

    /// Cancelled when the daemon is to stop. Clones may be handed to tasks.
    pub fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Where tasks are spawned that a shutdown waits for.
    pub fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// The phase now and later.
    pub fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Publishes that setup is over. Without effect once stopping.
    pub fn running(&self) {
        self.advance(Phase::Running);
    }

    /// Tells every task to stop and says why in the log. Does not wait.
    pub fn stop(&self, reason: impl fmt::Display) {
        if self.advance(Phase::Stopping) {
            tracing::info!(%reason, "stopping");
        }
        self.stop.cancel();
    }

    /// Stops and waits until every task has ended, `grace` is over, or a second signal comes, and
    /// logs which. Tasks that are left are not waited for; ending the runtime drops them.
    pub async fn shutdown(&self, grace: Duration, signals: &mut Signals) -> Stopped {
        self.stop("shutdown");
        self.tasks.close();
        let start = boottime();
        let deadline = async {
            match BootTimer::new() {
                Ok(mut timer) => timer.until(Some(start + grace)).await,
                // Out of descriptors: tokio's clock is near enough to end a process by.
                Err(_) => tokio::time::sleep(grace).await,
            }
        };
        let stopped = tokio::select! {
            // Ended is ended, even when the deadline came in the same instant.
            biased;
            () = self.tasks.wait() => Stopped::InTime(boottime().saturating_sub(start)),
            () = signals.stop_now() => Stopped::Interrupted(self.tasks.len()),
            () = deadline => Stopped::Overrun(self.tasks.len()),
        };
        let grace = grace.as_millis();
        match stopped {
            Stopped::InTime(took) => {
                tracing::info!(took_ms = took.as_millis(), grace_ms = grace, "stopped in time");
            }
            Stopped::Overrun(left) => {
                tracing::warn!(left, grace_ms = grace, "grace period over with tasks running");
            }
            Stopped::Interrupted(left) => tracing::warn!(left, "stopped at once by a signal"),
        }
        self.advance(Phase::Terminated);
        stopped
    }

    /// Moves on to `phase`; false if already there or further.
    fn advance(&self, phase: Phase) -> bool {
        self.phase.send_if_modified(|current| {
            let forward = *current < phase;
            if forward {
                *current = phase;
            }
            forward
        })
    }
}

impl Signals {
    /// Hears SIGTERM, SIGINT and SIGHUP from now on; they no longer end the process. Needs a tokio
    /// runtime with I/O enabled.
    ///
    /// # Errors
    /// The system refused, which leaves the signals as they were.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            stopping: false,
        })
    }

    /// Waits for the next signal. Cancel-safe.
    pub async fn recv(&mut self) -> SignalEvent {
        // `None` would mean that the runtime is going; there is no further signal then.
        let name = tokio::select! {
            biased;
            Some(()) = self.terminate.recv() => "SIGTERM",
            Some(()) = self.interrupt.recv() => "SIGINT",
            Some(()) = self.hangup.recv() => return SignalEvent::Hangup,
            else => std::future::pending().await,
        };
        if std::mem::replace(&mut self.stopping, true) {
            SignalEvent::StopNow(name)
        } else {
            SignalEvent::Stop(name)
        }
    }

    /// Waits for the signal that allows no more waiting.
    async fn stop_now(&mut self) {
        while !matches!(self.recv().await, SignalEvent::StopNow(_)) {}
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Setup => "setup",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Terminated => "terminated",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// Signals reach a whole process, so the tests that send some run one after the other here.
    #[tokio::test]
    async fn signals_stop_once_then_at_once_and_hangup_is_told_apart() {
        let mut signals = Signals::listen().unwrap();
        for (name, event) in [
            ("HUP", SignalEvent::Hangup),
            ("TERM", SignalEvent::Stop("SIGTERM")),
            ("INT", SignalEvent::StopNow("SIGINT")),
        ] {
            raise(name);
            assert_eq!(signals.recv().await, event);
        }

        let life = Lifecycle::new();
        life.tasks().spawn(std::future::pending::<()>());
        let mut signals = Signals::listen().unwrap();
        raise("TERM");
        assert_eq!(signals.recv().await, SignalEvent::Stop("SIGTERM"));
        raise("TERM");
        assert_eq!(life.shutdown(LONG, &mut signals).await, Stopped::Interrupted(1));

        let life = Lifecycle::new();
        life.tasks().spawn(std::future::pending::<()>());
        let mut signals = Signals::listen().unwrap();
        let grace = Duration::from_millis(10);
        assert_eq!(life.shutdown(grace, &mut signals).await, Stopped::Overrun(1));
    }

    #[tokio::test]
    async fn phases_move_forward_and_tasks_hear_the_token() {
        let life = Lifecycle::new();
        let phase = life.phase();
        assert_eq!(*phase.borrow(), Phase::Setup);
        life.running();
        assert_eq!(*phase.borrow(), Phase::Running);
        let stop = life.stop_token();
        life.tasks().spawn(async move { stop.cancelled().await });
        life.stop("test");
        assert_eq!(*phase.borrow(), Phase::Stopping);
        life.running();
        assert_eq!(*phase.borrow(), Phase::Stopping, "never back");
        let stopped = life.shutdown(LONG, &mut Signals::listen().unwrap()).await;
        assert!(matches!(stopped, Stopped::InTime(took) if took < LONG), "{stopped:?}");
        assert_eq!(*phase.borrow(), Phase::Terminated);
        assert_eq!(phase.borrow().to_string(), "terminated");
    }

    fn raise(name: &str) {
        let me = std::process::id().to_string();
        let status = std::process::Command::new("sh")
            .args(["-c", &format!("kill -{name} {me}")])
            .status()
            .unwrap();
        assert!(status.success());
    }
}
