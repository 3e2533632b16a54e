//! What systemd is told. Without `NOTIFY_SOCKET` in the environment all of it does nothing.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use sd_notify::NotifyState;

/// Everything is bound and served: dependants may start. `status` is shown by `systemctl status`.
pub fn ready(status: &str) {
    send(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The configuration is being read again, until [`reloaded`]. `Type=notify-reload` waits for it.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(time) => send(&[NotifyState::Reloading, time]),
        Err(error) => tracing::warn!(%error, "failed to read the clock for the service manager"),
    }
}

/// What [`reloading`] began is done, with or without a change.
pub fn reloaded() {
    send(&[NotifyState::Ready]);
}

/// The stop has begun.
pub fn stopping() {
    send(&[NotifyState::Stopping]);
}

/// One line on what the daemon is doing now.
pub fn status(text: &str) {
    send(&[NotifyState::Status(text)]);
}

/// A sign of life. To be called by the loop that does the work, never by a task that would survive
/// its hanging (I8).
pub fn watchdog() {
    send(&[NotifyState::Watchdog]);
}

/// How often [`watchdog`] must be called, if systemd watches: half of the time it allows, so that
/// one late call is no death.
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|allowed| allowed / 2)
}

fn send(state: &[NotifyState<'_>]) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let message: String = state.iter().map(|line| format!("{line}\n")).collect();
    match send_to(&socket, message.as_bytes()) {
        Ok(()) => {}
        // Its queue is full. A sign of life that waits would be a death.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            tracing::debug!(%error, "the service manager does not listen");
        }
        // A daemon works on when its service manager does not listen.
        Err(error) => tracing::warn!(%error, "failed to notify the service manager"),
    }
}

/// sd-notify's own sending waits while the queue is full, and the loop with it.
fn send_to(socket: &OsStr, message: &[u8]) -> io::Result<()> {
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    let sender = UnixDatagram::unbound()?;
    sender.set_nonblocking(true)?;
    sender.send_to_addr(message, &address).map(drop)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    /// The body of the next test, in a process with an environment of its own.
    #[test]
    fn notifying_body() {
        if std::env::var_os("DAEMON_TEST_NOTIFY").is_none() {
            return;
        }
        assert_eq!(watchdog_interval(), Some(Duration::from_secs(1)));
        ready("line cash: free");
        status("line cash: n1");
        watchdog();
        stopping();
    }

    #[test]
    fn systemd_hears_each_step() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let systemd = UnixDatagram::bind(&path).unwrap();
        systemd.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "notify::tests::notifying_body"])
            .env("DAEMON_TEST_NOTIFY", "1")
            .env("NOTIFY_SOCKET", &path)
            .env("WATCHDOG_USEC", "2000000")
            .env_remove("WATCHDOG_PID")
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success());
        let mut buf = [0; 256];
        for expected in [
            "READY=1\nSTATUS=line cash: free\n",
            "STATUS=line cash: n1\n",
            "WATCHDOG=1\n",
            "STOPPING=1\n",
        ] {
            let n = systemd.recv(&mut buf).unwrap();
            assert_eq!(std::str::from_utf8(&buf[..n]).unwrap(), expected);
        }
    }

    #[test]
    fn a_full_queue_keeps_nobody_waiting_and_an_abstract_name_is_one() {
        let name = format!("linekeeper-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let systemd = UnixDatagram::bind_addr(&address).unwrap();
        let socket = format!("@{name}");
        // More than any queue holds.
        let full = (0..1_000_000).find_map(|_| send_to(socket.as_ref(), b"WATCHDOG=1\n").err());
        assert_eq!(full.unwrap().kind(), io::ErrorKind::WouldBlock);
        let mut buf = [0; 256];
        let n = systemd.recv(&mut buf).unwrap();
        assert_eq!(&buf[..n], b"WATCHDOG=1\n");
    }

    #[test]
    fn without_systemd_nothing_happens() {
        if std::env::var_os("NOTIFY_SOCKET").is_none() {
            ready("x");
            assert_eq!(watchdog_interval(), None);
        }
    }
}
