//! The line's device: opened once, and again whenever it has gone.

use std::path::Path;
use std::time::Duration;

use sys::parmrk::{Decoder, Piece};
use sys::{Control, LineCounts, LineState, PortError, SerialPort, SignalWatch};
use tokio::task::JoinHandle;
use wire::{EventKind, LineSettings, Parity, Signals, Time};

use super::opener::{DeviceError, Opener, Stance, may_throttle};
use super::options::PortOptions;
use crate::core::{Deed, Outcome};

/// A device that may be there or not.
#[derive(Debug)]
pub(crate) struct Device {
    opener: Opener,
    port: Option<SerialPort>,
    /// How the line is set at present: so it is opened again.
    stance: Stance,
    /// With what it is being opened.
    trying: Stance,
    /// A port that has gone, being closed: close(2) may wait for its driver.
    closing: Option<JoinHandle<()>>,
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
    pub(crate) fn new(opener: Opener, opened: Result<SerialPort, DeviceError>, now: Time) -> Self {
        let stance = Stance::new(*opener.port().settings());
        let mut device = Self {
            opener,
            port: None,
            stance,
            trying: stance,
            closing: None,
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
    pub(crate) fn name(&self) -> String {
        self.opener.port().name()
    }

    /// The file that the name stands for, as long as it is open.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.port.as_ref().map(SerialPort::path)
    }

    /// Whether what arrives while we are not running is still there at the next start: only in a
    /// pseudo terminal that belongs to somebody else.
    pub(crate) fn keeps_when_closed(&self) -> bool {
        matches!(self.opener.port(), PortOptions::Tty { .. })
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
        let kind = match self.stance.settings.parity {
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
    pub(crate) fn perform(&mut self, deed: Deed) -> Doing {
        let (settings, is_pty) = (self.stance.settings, self.is_pty());
        let breaking = self.stance.wires.brk == Some(true);
        // Now and not when it is done: it may be opened again before that.
        self.stance.settings = deed.settings.unwrap_or(settings);
        let wires = &mut self.stance.wires;
        wires.dtr = deed.signals.dtr.or(wires.dtr);
        wires.rts = deed.signals.rts.or(wires.rts);
        wires.brk = deed.signals.brk.or(wires.brk);
        let control = self.port.as_ref().map(SerialPort::control);
        match control.filter(|_| !matches!(self.opener.port(), PortOptions::Virtual { .. })) {
            Some(control) => Doing::Later(tokio::task::spawn_blocking(move || {
                perform(&control, &deed, (settings, breaking), is_pty)
            })),
            // Without a device, or one of our own making, it is remembered.
            None => Doing::Done(Outcome {
                settings: self.stance.settings,
                signals: None,
                breaking: self.stance.wires.brk == Some(true),
            }),
        }
    }

    /// A deed is done: so the line is set from now on.
    pub(crate) fn set(&mut self, outcome: &Outcome) {
        self.stance.settings = outcome.settings;
        self.stance.wires.brk = self.stance.wires.brk.map(|_| outcome.breaking);
    }

    /// Asks the far end to send nothing more, where it can be asked.
    pub(crate) fn throttle(&self) -> Option<JoinHandle<()>> {
        let flow = self.stance.settings.flow;
        let port = self.port.as_ref().filter(|port| may_throttle(flow, port.is_pty()))?;
        let control = port.control();
        Some(tokio::task::spawn_blocking(move || {
            if let Err(error) = control.set_throttle(flow, true) {
                tracing::warn!(%error, "the far end is not held back");
            }
        }))
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

    /// Whether it has gone although no read has said so yet.
    pub(crate) fn is_gone(&self) -> bool {
        self.port.as_ref().is_some_and(|port| port.control().is_gone())
    }

    /// Bytes that the port says it still holds, where it can be believed.
    pub(crate) fn holds(&self) -> Option<usize> {
        self.port.as_ref()?.outq()
    }

    /// There is room again, most likely.
    pub(crate) fn has_room(&mut self) {
        self.full = false;
    }

    /// Writes the beginning of `bytes`: the count, or `None` if there is no room.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<Option<usize>, PortError> {
        let Some(port) = self.port.as_mut().filter(|_| !self.full) else { return Ok(None) };
        let written = port.try_write(bytes)?.filter(|count| *count > 0);
        self.full = written.is_none_or(|count| count < bytes.len());
        Ok(written)
    }

    /// It has gone: it is closed, and looked for again, the sooner the longer it had lasted.
    pub(crate) fn gone(&mut self, error: &PortError, now: Time) {
        self.shut();
        self.trouble = Some(error.to_string());
        self.full = false;
        self.retry_after = if now.since(self.opened) > RETRY_LONGEST {
            RETRY_FIRST
        } else {
            (self.retry_after * 2).min(RETRY_LONGEST)
        };
        self.retry_at = now + self.retry_after;
    }

    /// Begins to close what is open, where waiting for a driver holds up nothing else.
    fn shut(&mut self) {
        if let Some(port) = self.port.take() {
            let watch = self.watch.take();
            self.closing = Some(tokio::task::spawn_blocking(move || drop((watch, port))));
        }
    }

    /// Closes it, and waits for that: it may be opened again next.
    pub(crate) async fn close(mut self) {
        // At most one is there to be closed: it is opened when the last one is closed.
        self.shut();
        if let Some(closing) = self.closing.take() {
            let _ = closing.await;
        }
    }

    /// Begins to open it again, when it is closed. Until [`Device::opened`] is told what came of
    /// it, no other try is due.
    pub(crate) fn retry(&mut self) -> JoinHandle<Result<SerialPort, DeviceError>> {
        self.retry_at = Time::NEVER;
        self.trying = self.stance;
        let (opener, stance, closing) = (self.opener.clone(), self.stance, self.closing.take());
        tokio::spawn(async move {
            if let Some(closing) = closing {
                let _ = closing.await;
            }
            let opening = tokio::task::spawn_blocking(move || opener.open(&stance));
            opening.await.unwrap_or(Err(DeviceError::Unfinished))
        })
    }

    /// What [`Device::retry`] came to: whether it is there. Each failure doubles the time to the
    /// next try.
    pub(crate) fn opened(
        &mut self,
        opened: Result<SerialPort, DeviceError>,
        now: Time,
    ) -> Result<bool, DeviceError> {
        match opened {
            // A client wanted it otherwise meanwhile.
            Ok(port) if self.trying != self.stance => {
                self.port = Some(port);
                self.shut();
                self.retry_at = now;
                Ok(false)
            }
            Ok(port) => {
                let control = port.control();
                self.watch = control.watch_signals().ok();
                self.counts = control.counts();
                self.decoder = control.marks().then(Decoder::default);
                self.port = Some(port);
                self.trouble = None;
                self.opened = now;
                Ok(true)
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

/// On a thread that may wait.
fn perform(
    control: &Control,
    deed: &Deed,
    (now, breaking): (LineSettings, bool),
    is_pty: bool,
) -> Outcome {
    let settings = match deed.settings {
        None => now,
        Some(wanted) => match control.set_settings(&wanted) {
            // A pseudo terminal drops parity and data bits without a word; nobody is the worse.
            Ok(_) if is_pty => wanted,
            Ok(in_force) => in_force,
            // When the device is back it is opened so.
            Err(error) if error.is_gone() => wanted,
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
    let mut wires = deed.signals;
    if wires.brk == Some(true) && !may_break(control) {
        wires.brk = None;
    }
    if let Err(error) = control.set_signals(wires) {
        tracing::warn!(%error, "wires not set");
    }
    if let Some(length) = deed.break_for {
        send_break(control, length);
    }
    let breaking = wires.brk.unwrap_or(breaking);
    Outcome { settings, signals: control.signals().ok().flatten(), breaking }
}

/// Beginning a break, the driver waits until its output has left: for ever on a line that is held
/// back. So that is waited for here, and not for long.
#[expect(clippy::disallowed_methods, reason = "a thread of its own, which may sleep")]
fn may_break(control: &Control) -> bool {
    let mut patience = BREAK_PATIENCE;
    while control.outq().is_some_and(|count| count > 0) && !patience.is_zero() {
        std::thread::sleep(BREAK_LOOK);
        patience = patience.saturating_sub(BREAK_LOOK);
    }
    if patience.is_zero() {
        tracing::warn!("no break: the line is held back");
    }
    !patience.is_zero()
}

#[expect(clippy::disallowed_methods, reason = "a thread of its own, which may sleep")]
fn send_break(control: &Control, length: Duration) {
    if !may_break(control) {
        return;
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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use sys::{Gone, Pty, SerialPort, Slave};

    use super::*;
    use crate::driver::Policies;
    use crate::driver::clock::now;

    fn device(path: PathBuf) -> Device {
        let settings = "9600,8N1".parse().unwrap();
        let port = PortOptions::Tty { name: sys::DeviceName::Path(path), settings };
        let opener = Opener::new(port, Policies::default(), Path::new("/"));
        let opened = opener.open(&Stance::new(settings));
        Device::new(opener, opened, now())
    }

    #[tokio::test]
    async fn a_device_is_opened_again_only_when_it_is_closed() {
        let pty = Pty::open(None, Slave::Held).unwrap();
        let mut device = device(pty.slave_path().to_owned());
        let mut far = SerialPort::from(pty);
        for _ in 0..50 {
            assert!(device.is_open());
            let path = device.path().unwrap().to_owned();
            device.gone(&PortError::Gone { path, cause: Gone::HungUp }, now());
            assert!(!device.is_open());
            // The lock of the one that is being closed would refuse it.
            let opened = device.retry().await.unwrap();
            assert!(device.opened(opened, now()).unwrap(), "{:?}", device.trouble());
        }
        assert_eq!(device.write(b"x").unwrap(), Some(1));
        assert_eq!(far.read(&mut [0; 8]).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn a_change_that_comes_while_it_is_being_opened_is_in_force_afterwards() {
        let pty = Pty::open(None, Slave::Held).unwrap();
        let mut device = device(pty.slave_path().to_owned());
        let path = device.path().unwrap().to_owned();
        device.gone(&PortError::Gone { path, cause: Gone::HungUp }, now());
        let opening = device.retry();
        let wanted = "19200,8N1".parse().unwrap();
        let deed = Deed { settings: Some(wanted), ..Deed::default() };
        assert!(
            matches!(device.perform(deed), Doing::Done(Outcome { settings, .. }) if settings == wanted)
        );
        let opened = opening.await.unwrap();
        assert!(!device.opened(opened, now()).unwrap(), "once more");
        assert_eq!(device.retry_at().map(|at| at <= now()), Some(true));
        let opened = device.retry().await.unwrap();
        assert!(device.opened(opened, now()).unwrap());
        let noctty = rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::RDONLY;
        let path = device.path().unwrap();
        let tty = rustix::fs::open(path, noctty, rustix::fs::Mode::empty()).unwrap();
        assert_eq!(rustix::termios::tcgetattr(tty).unwrap().output_speed(), 19_200);
    }
}
