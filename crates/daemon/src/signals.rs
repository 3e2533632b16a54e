//! The signals that a daemon hears, and what each asks for.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

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
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Signals reach a whole process, so this test stays the only one here that sends some.
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
