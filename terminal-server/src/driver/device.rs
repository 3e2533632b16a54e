//! The line's device: opened once, and again whenever it has gone.

use std::path::Path;
use std::time::Duration;

use sys::{PortError, Pty, PtyError, SerialPort, Slave, Tty, TtyError};
use thiserror::Error;
use tokio::task::JoinHandle;
use wire::Time;

use super::options::PortOptions;

/// A device that may be there or not.
#[derive(Debug)]
pub(crate) struct Device {
    options: PortOptions,
    port: Option<SerialPort>,
    opened: Time,
    /// When a device that has gone is looked for again; never, while it is being opened.
    retry_at: Time,
    retry_after: Duration,
    /// The tty took less than it was offered, so that room is worth waiting for.
    full: bool,
    /// Why it is not open.
    trouble: Option<String>,
}

/// Why the device cannot be opened. Nothing stays open or locked.
#[derive(Debug, Error)]
pub enum DeviceError {
    /// A serial device.
    #[error(transparent)]
    Tty(#[from] TtyError),
    /// A pseudo terminal of our own.
    #[error(transparent)]
    Virtual(#[from] PtyError),
    /// The try ended without a result.
    #[error("the try was not finished")]
    Unfinished,
}

/// What the device is ready for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ready {
    /// Something can be read, if only that it has gone.
    Input,
    /// What did not fit may fit now.
    Room,
}

impl Device {
    /// What the first try to open it came to. If it failed, others follow.
    pub(crate) fn new(
        options: PortOptions,
        opened: Result<SerialPort, DeviceError>,
        now: Time,
    ) -> Self {
        let (port, trouble) = match opened {
            Ok(port) => (Some(port), None),
            Err(error) => (None, Some(error.to_string())),
        };
        let retry_at = if port.is_some() { Time::NEVER } else { now + RETRY_FIRST };
        let retry_after = RETRY_FIRST;
        Self { options, port, opened: now, retry_at, retry_after, full: false, trouble }
    }

    /// Whether it is there.
    pub(crate) fn is_open(&self) -> bool {
        self.port.is_some()
    }

    /// Why it is not there.
    pub(crate) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// The name a user knows it by.
    pub(crate) fn path(&self) -> &Path {
        self.options.path()
    }

    /// Whether what arrives while we are not running is still there at the next start: only in a
    /// pseudo terminal that belongs to somebody else.
    pub(crate) fn keeps_when_closed(&self) -> bool {
        matches!(self.options, PortOptions::Tty { .. })
            && self.port.as_ref().is_some_and(SerialPort::is_pty)
    }

    /// When [`Device::retry`] is to be called.
    pub(crate) fn retry_at(&self) -> Option<Time> {
        let due = self.port.is_none() && self.retry_at != Time::NEVER;
        if due { Some(self.retry_at) } else { None }
    }

    /// Waits until a read (if `reading`) or a write that found no room is worth trying.
    pub(crate) async fn ready(&self, reading: bool) -> Ready {
        let Some(port) = &self.port else { return std::future::pending().await };
        // What a wait fails with, the read or write that follows finds too.
        tokio::select! {
            _ = port.readable(), if reading => Ready::Input,
            _ = port.writable(), if self.full => Ready::Room,
            else => std::future::pending().await,
        }
    }

    /// Reads what is there: the count, or `None` if there is nothing. After an error it has gone.
    pub(crate) fn read(&mut self, buf: &mut [u8]) -> Result<Option<usize>, PortError> {
        match &mut self.port {
            Some(port) => port.try_read(buf),
            None => Ok(None),
        }
    }

    /// Bytes that the port says it still holds, where it can be believed.
    pub(crate) fn holds(&self) -> Option<usize> {
        self.port.as_ref()?.outq()
    }

    /// Writes the beginning of `bytes`: the count, or `None` if there is no room.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<Option<usize>, PortError> {
        let Some(port) = &mut self.port else { return Ok(None) };
        let written = port.try_write(bytes)?.filter(|count| *count > 0);
        self.full = written.is_none_or(|count| count < bytes.len());
        Ok(written)
    }

    /// It has gone: it is closed, and looked for again, the sooner the longer it had lasted.
    pub(crate) fn gone(&mut self, error: &PortError, now: Time) {
        self.port = None;
        self.trouble = Some(error.to_string());
        self.full = false;
        self.retry_after = if now.since(self.opened) > RETRY_LONGEST {
            RETRY_FIRST
        } else {
            (self.retry_after * 2).min(RETRY_LONGEST)
        };
        self.retry_at = now + self.retry_after;
    }

    /// Begins to open it again, where waiting for a driver holds up nothing else. Until
    /// [`Device::opened`] is told what came of it, no other try is due.
    pub(crate) fn retry(&mut self) -> JoinHandle<Result<SerialPort, DeviceError>> {
        self.retry_at = Time::NEVER;
        let options = self.options.clone();
        tokio::task::spawn_blocking(move || open(&options))
    }

    /// What [`Device::retry`] came to; each failure doubles the time to the next try.
    pub(crate) fn opened(
        &mut self,
        opened: Result<SerialPort, DeviceError>,
        now: Time,
    ) -> Result<(), DeviceError> {
        match opened {
            Ok(port) => {
                self.port = Some(port);
                self.trouble = None;
                self.opened = now;
                Ok(())
            }
            Err(error) => {
                self.retry_after = (self.retry_after * 2).min(RETRY_LONGEST);
                self.retry_at = now + self.retry_after;
                self.trouble = Some(error.to_string());
                Err(error)
            }
        }
    }
}

/// Opens a port; may wait for a driver.
pub(crate) fn open(options: &PortOptions) -> Result<SerialPort, DeviceError> {
    match options {
        PortOptions::Tty { path, settings } => Ok(Tty::open(path, settings)?.into()),
        PortOptions::Virtual { link, access, .. } => {
            // Held, as a cable stays plugged in while the program at its far end comes and goes.
            Ok(Pty::open_with(Some(link), Slave::Held, *access)?.into())
        }
    }
}

/// A hung-up PTY or a re-enumerated adapter is back within milliseconds.
const RETRY_FIRST: Duration = Duration::from_millis(20);
/// Somebody has to plug something in; looking once a second costs nothing.
const RETRY_LONGEST: Duration = Duration::from_secs(1);
