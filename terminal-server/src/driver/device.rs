//! The line's device: opened once, and again whenever it has gone.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use sys::parmrk::{Decoder, Piece};
use sys::{
    Control, LineCounts, LineState, PortError, Pty, PtyError, SerialPort, SignalWatch, Slave, Tty,
    TtyError,
};
use thiserror::Error;
use tokio::task::JoinHandle;
use wire::{EventKind, LineSettings, Parity, Signals, Time};

use super::options::PortOptions;
use super::policies::Policies;
use crate::core::{Deed, Outcome};

/// A device that may be there or not.
#[derive(Debug)]
pub(crate) struct Device {
    options: PortOptions,
    policies: Policies,
    port: Option<SerialPort>,
    /// How the line is set at present: so it is opened again.
    settings: LineSettings,
    /// Tells of the wires of the open port.
    watch: Option<SignalWatch>,
    /// Undoes the marks of line errors, where they are asked for.
    decoder: Option<Decoder>,
    counts: Option<LineCounts>,
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
    /// A wire has moved, or the driver has counted something.
    Wires(LineState),
}

/// What a read of the device held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found<'a> {
    /// Characters.
    Bytes(&'a [u8]),
    /// Something else.
    Event(EventKind),
}

/// What is done to the device now, or when the driver has done it.
#[derive(Debug)]
pub(crate) enum Doing {
    Done(Outcome),
    Later(JoinHandle<Outcome>),
}

impl Device {
    /// What the first try to open it came to. If it failed, others follow.
    pub(crate) fn new(
        (options, policies): (PortOptions, Policies),
        opened: Result<SerialPort, DeviceError>,
        now: Time,
    ) -> Self {
        let mut device = Self {
            settings: *options.settings(),
            options,
            policies,
            port: None,
            watch: None,
            decoder: None,
            counts: None,
            opened: now,
            retry_at: now + RETRY_FIRST,
            retry_after: RETRY_FIRST,
            full: false,
            trouble: None,
        };
        if let Err(error) = device.opened(opened, now) {
            device.trouble = Some(error.to_string());
        }
        device
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

    /// Waits until a read (if `reading`) or, if `writing`, a write that found no room is worth
    /// trying, or a wire has moved.
    pub(crate) async fn ready(&mut self, reading: bool, writing: bool) -> Ready {
        let Self { port: Some(port), watch, full, .. } = self else {
            return std::future::pending().await;
        };
        let wires = async {
            match watch {
                Some(watch) => watch.changed().await,
                None => std::future::pending().await,
            }
        };
        // What a wait fails with, the read or write that follows finds too.
        tokio::select! {
            _ = port.readable(), if reading => Ready::Input,
            _ = port.writable(), if *full && writing => Ready::Room,
            state = wires => Ready::Wires(state),
        }
    }

    /// The levels of the wires as they were seen last, where there are any.
    pub(crate) fn signals(&self) -> Option<Signals> {
        self.watch.as_ref()?.last()?.signals
    }

    /// What `read` holds, in order. An overrun stands behind the input that was read when it was
    /// noticed: nobody knows its place better.
    pub(crate) fn sort(&mut self, read: &[u8], mut found: impl FnMut(Found<'_>)) {
        let Some(decoder) = &mut self.decoder else { return found(Found::Bytes(read)) };
        // Whether the parity bit or the stop bit was wrong only the driver's counts can tell.
        let kind = match self.settings.parity {
            Parity::None => EventKind::Framing,
            _ => EventKind::Parity,
        };
        decoder.decode(read, &mut |piece| match piece {
            Piece::Bytes(bytes) => found(Found::Bytes(bytes)),
            Piece::Break => found(Found::Event(EventKind::Break)),
            Piece::Error(byte) => {
                found(Found::Event(kind));
                found(Found::Bytes(&[byte]));
            }
        });
        let counts = self.port.as_ref().and_then(|port| port.control().counts());
        if self.overrun(counts) {
            found(Found::Event(EventKind::Overrun));
        }
    }

    /// Whether the driver has lost input since the last look at its counts.
    pub(crate) fn overrun(&mut self, counts: Option<LineCounts>) -> bool {
        let (Some(now), Some(before)) = (counts, self.counts) else { return false };
        self.counts = Some(now);
        let since = now.since(&before);
        since.overrun > 0 || since.buf_overrun > 0
    }

    /// Does what a client asked of the device, on a thread that may wait for the driver.
    pub(crate) fn perform(&self, deed: Deed) -> Doing {
        let (settings, is_pty) = (self.settings, self.is_pty());
        let control = self.port.as_ref().map(SerialPort::control);
        match control.filter(|_| !matches!(self.options, PortOptions::Virtual { .. })) {
            Some(control) => Doing::Later(tokio::task::spawn_blocking(move || {
                perform(&control, &deed, settings, is_pty)
            })),
            // Without a device, or one of our own making, it is remembered.
            None => {
                let settings = deed.settings.unwrap_or(settings);
                Doing::Done(Outcome { settings, signals: None })
            }
        }
    }

    /// A deed is done: so the line is set from now on.
    pub(crate) fn set(&mut self, settings: LineSettings) {
        self.settings = settings;
    }

    fn is_pty(&self) -> bool {
        self.port.as_ref().is_some_and(SerialPort::is_pty)
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
        self.watch = None;
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
        let (options, policies) = (self.options.clone(), self.policies.clone());
        let settings = self.settings;
        tokio::task::spawn_blocking(move || open(&options, &policies, &settings))
    }

    /// What [`Device::retry`] came to; each failure doubles the time to the next try.
    pub(crate) fn opened(
        &mut self,
        opened: Result<SerialPort, DeviceError>,
        now: Time,
    ) -> Result<(), DeviceError> {
        match opened {
            Ok(port) => {
                let control = port.control();
                self.watch = control.watch_signals().ok();
                self.counts = control.counts();
                self.decoder = control.marks().then(Decoder::default);
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
pub(crate) fn open(
    options: &PortOptions,
    policies: &Policies,
    settings: &LineSettings,
) -> Result<SerialPort, DeviceError> {
    match options {
        PortOptions::Tty { path, .. } => {
            // A pseudo terminal has no line errors, and marks would cost it its fast path.
            let marks = !is_pseudo_terminal(path);
            Ok(Tty::open_with(path, settings, &policies.open_policy(marks))?.into())
        }
        PortOptions::Virtual { link, access, .. } => {
            // Held, as a cable stays plugged in while the program at its far end comes and goes.
            Ok(Pty::open_with(Some(link), Slave::Held, *access)?.into())
        }
    }
}

/// Unix98 pseudo terminals have the majors 136 to 143 (Linux, devices.txt).
fn is_pseudo_terminal(path: &Path) -> bool {
    let major = |device: u64| device >> 8 & 0xfff;
    path.metadata().is_ok_and(|meta| (136..=143).contains(&major(meta.rdev())))
}

/// On a thread that may wait.
fn perform(control: &Control, deed: &Deed, now: LineSettings, is_pty: bool) -> Outcome {
    let settings = match deed.settings {
        None => now,
        Some(wanted) => match control.set_settings(&wanted) {
            // A pseudo terminal drops parity and data bits without a word; nobody is the worse.
            Ok(_) if is_pty => wanted,
            Ok(in_force) => in_force,
            Err(error) => {
                tracing::warn!(%error, "settings refused");
                now
            }
        },
    };
    if deed.purge_output
        && let Err(error) = control.flush_output()
    {
        tracing::warn!(%error, "output not purged");
    }
    if let Err(error) = control.set_signals(deed.signals) {
        tracing::warn!(%error, "wires not set");
    }
    if let Some(length) = deed.break_for {
        send_break(control, length);
    }
    Outcome { settings, signals: control.signals().ok().flatten() }
}

#[expect(clippy::disallowed_methods, reason = "a thread of its own, which may sleep")]
fn send_break(control: &Control, length: Duration) {
    // The driver would wait until its output has left, for ever on a line that is held back.
    let mut patience = BREAK_PATIENCE;
    while control.outq().is_some_and(|count| count > 0) && !patience.is_zero() {
        std::thread::sleep(BREAK_LOOK);
        patience = patience.saturating_sub(BREAK_LOOK);
    }
    if patience.is_zero() {
        return tracing::warn!("no break: the line is held back");
    }
    let brk = |on| wire::SignalChange { brk: Some(on), ..wire::SignalChange::default() };
    if let Err(error) = control.set_signals(brk(true)) {
        return tracing::warn!(%error, "no break");
    }
    std::thread::sleep(length);
    if let Err(error) = control.set_signals(brk(false)) {
        tracing::warn!(%error, "the break has no end");
    }
}

/// How long a break waits for output that the clock says has left.
const BREAK_PATIENCE: Duration = Duration::from_millis(100);
const BREAK_LOOK: Duration = Duration::from_millis(2);
/// A hung-up PTY or a re-enumerated adapter is back within milliseconds.
const RETRY_FIRST: Duration = Duration::from_millis(20);
/// Somebody has to plug something in; looking once a second costs nothing.
const RETRY_LONGEST: Duration = Duration::from_secs(1);
