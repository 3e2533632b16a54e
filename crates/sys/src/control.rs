//! What can be done to an open line beside moving bytes: settings, wires, counts, purges.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use rustix::termios::{Action, QueueSelector, tcflow, tcflush};
use wire::{Flow, LineSettings, SettingsError, SignalChange, Signals};

use crate::modem::{self, LineCounts, Set};
use crate::termios::{Difference, apply, in_force};

/// A handle on an open [`crate::SerialPort`] for all that moves no bytes. Clones share the port.
///
/// It does not keep the port open: once that is dropped every method says [`ControlError::Closed`].
/// A device file that is held open after its adapter was pulled keeps the name from coming back.
///
/// Every method asks the driver and returns what is so afterwards. Most take microseconds, but a
/// USB adapter may be asked over its bus (milliseconds), so call them from a blocking thread if the
/// loop must not wait. One waits longer: **beginning a break waits in the kernel until all output
/// has left** (TIOCSBRK does, on every serial driver), for ever if the far end says "wait". Let
/// [`Self::outq`] come to 0 first. A signal to the thread ends it, as does [`Self::flush_output`]
/// from another thread.
///
/// What the device below has not got is a value, never an error. A pseudo terminal has no modem
/// lines and no counts, takes a break without doing anything, and drops parity and data bits.
#[derive(Debug, Clone)]
pub struct Control {
    shared: Weak<Shared>,
    path: Arc<Path>,
}

/// Why a line could not be controlled. It is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The port this is a handle on was dropped.
    #[error("{}: the port was closed", .0.display())]
    Closed(PathBuf),
    /// The settings contradict themselves.
    #[error("{}: {source}", path.display())]
    Settings {
        /// The port as it was opened.
        path: PathBuf,
        /// The part at fault.
        source: SettingsError,
    },
    /// The system refused, usually because the device is gone.
    #[error("{}: failed to {doing}: {source}", path.display())]
    Io {
        /// The port as it was opened.
        path: PathBuf,
        /// The step that failed.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// The open device, as a port and its handles share it.
#[derive(Debug)]
pub(crate) struct Shared {
    fd: OwnedFd,
    path: Arc<Path>,
    kind: Kind,
    /// Whether line errors are marked in the input; every change of settings keeps it so.
    marks: bool,
    /// No ioctl tells whether a break is being sent.
    breaking: AtomicBool,
}

/// What is below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A serial device.
    Serial,
    /// A pseudo terminal that somebody else made.
    Slave,
    /// A pseudo terminal of our own. The settings of its far end are not ours to change.
    Master,
}

impl Control {
    /// Changes the settings at once (TCSANOW; what is queued in either direction stays), reads them
    /// back, and returns what is in force. A speed within 2 % of the one asked for is reported as
    /// asked for: a UART divides its clock, and RFC 2217 clients insist on the nominal number.
    ///
    /// # Errors
    /// See [`ControlError`]. That a device took only a part is no error: compare.
    pub fn set_settings(&self, settings: &LineSettings) -> Result<LineSettings, ControlError> {
        self.open()?.set_settings(settings).map(|(in_force, _)| in_force)
    }

    /// Changes DTR, RTS and break, and returns the part of `change` that the device took. DTR and
    /// RTS go in one step of the driver, so that a circuit that watches both sees no state between.
    /// Whether a break may have to wait, see [`Control`].
    ///
    /// # Errors
    /// [`ControlError::Closed`] or [`ControlError::Io`]. A break of the same change may then have
    /// been left out although DTR and RTS were changed.
    pub fn set_signals(&self, change: SignalChange) -> Result<SignalChange, ControlError> {
        let port = self.open()?;
        let mut took = SignalChange::default();
        if port.optional("set the modem lines", set_outputs(port.fd.as_fd(), change))?.is_some() {
            (took.dtr, took.rts) = (change.dtr, change.rts);
        }
        if let Some(on) = change.brk {
            let set = modem::set_break(port.fd.as_fd(), on);
            if port.optional("set a break", set)?.is_some() {
                port.breaking.store(on, Ordering::Relaxed);
                took.brk = Some(on);
            }
        }
        Ok(took)
    }

    /// Asks the far end to wait (`on`) or to go on, the way `flow` has for that: RTS, or an XOFF and
    /// an XON. Without flow control there is none, nor at the master of a pseudo terminal.
    ///
    /// # Errors
    /// [`ControlError::Closed`] or [`ControlError::Io`].
    pub fn set_throttle(&self, flow: Flow, on: bool) -> Result<(), ControlError> {
        let port = self.open()?;
        let asked = match flow {
            _ if port.kind == Kind::Master => Ok(()),
            Flow::None => Ok(()),
            Flow::RtsCts => {
                let change = SignalChange { rts: Some(!on), ..SignalChange::default() };
                set_outputs(port.fd.as_fd(), change)
            }
            Flow::XonXoff => {
                let action = if on { Action::IOff } else { Action::IOn };
                tcflow(&port.fd, action).map_err(io::Error::from)
            }
        };
        port.optional("hold the far end back", asked).map(drop)
    }

    /// The levels now, or `None` where there are no modem lines.
    ///
    /// # Errors
    /// [`ControlError::Closed`] or [`ControlError::Io`].
    pub fn signals(&self) -> Result<Option<Signals>, ControlError> {
        let port = self.open()?;
        let levels = port.optional("read the modem lines", levels(port.fd()))?;
        let breaking = port.breaking.load(Ordering::Relaxed);
        Ok(levels.map(|levels| levels.set(Signals::BREAK, breaking)))
    }

    /// Whether the device has gone, for whoever is not reading it at present.
    pub fn is_gone(&self) -> bool {
        self.shared.upgrade().is_some_and(|port| crate::descriptor::is_broken(port.fd()))
    }

    /// Whether line errors are marked in the input, to be undone by [`crate::parmrk::Decoder`].
    pub fn marks(&self) -> bool {
        self.shared.upgrade().is_some_and(|port| port.marks)
    }

    /// What the driver has counted, or `None` where it counts nothing or the port is gone.
    pub fn counts(&self) -> Option<LineCounts> {
        modem::counts(self.shared.upgrade()?.fd.as_fd()).ok()
    }

    /// Bytes handed over that are not on the wire yet, or `None` where nobody knows, as on a pseudo
    /// terminal.
    pub fn outq(&self) -> Option<usize> {
        let port = self.shared.upgrade()?;
        if port.kind != Kind::Serial {
            return None;
        }
        modem::outq(port.fd.as_fd()).ok()
    }

    /// Throws away what was written and has not left the driver (TCFLSH). How much that was nobody
    /// says: [`Self::outq`] just before is the best guess. On a pseudo terminal there is none, and
    /// it takes only what the far end has no room for: some kilobytes are there at once.
    ///
    /// # Errors
    /// [`ControlError::Closed`] or [`ControlError::Io`].
    pub fn flush_output(&self) -> Result<(), ControlError> {
        self.flush(QueueSelector::OFlush, "throw output away")
    }

    /// Throws away what has arrived and was not read. How much that was nobody says.
    ///
    /// # Errors
    /// [`ControlError::Closed`] or [`ControlError::Io`].
    pub fn flush_input(&self) -> Result<(), ControlError> {
        self.flush(QueueSelector::IFlush, "throw input away")
    }

    fn flush(&self, queue: QueueSelector, doing: &'static str) -> Result<(), ControlError> {
        let port = self.open()?;
        tcflush(&port.fd, queue).map_err(|error| port.failed(doing)(error.into()))
    }

    fn open(&self) -> Result<Arc<Shared>, ControlError> {
        self.shared.upgrade().ok_or_else(|| ControlError::Closed(self.path.to_path_buf()))
    }

    /// The port, as long as it is open.
    pub(crate) fn shared(&self) -> Option<Arc<Shared>> {
        self.shared.upgrade()
    }
}

impl ControlError {
    /// Whether the port is closed or its device gone, rather than something refused.
    pub fn is_gone(&self) -> bool {
        match self {
            Self::Closed(_) => true,
            Self::Settings { .. } => false,
            Self::Io { source, .. } => {
                matches!(source.raw_os_error(), Some(libc::EIO | libc::ENXIO | libc::ENODEV))
            }
        }
    }
}

impl Shared {
    pub(crate) fn new(fd: OwnedFd, path: &Path, kind: Kind, marks: bool) -> Arc<Self> {
        Arc::new(Self { fd, path: path.into(), kind, marks, breaking: AtomicBool::new(false) })
    }

    pub(crate) fn control(self: &Arc<Self>) -> Control {
        Control { shared: Arc::downgrade(self), path: Arc::clone(&self.path) }
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Sets, reads back, and says what is in force and how it differs from what was asked for.
    pub(crate) fn set_settings(
        &self,
        settings: &LineSettings,
    ) -> Result<(LineSettings, Vec<Difference>), ControlError> {
        settings
            .check()
            .map_err(|source| ControlError::Settings { path: self.path.to_path_buf(), source })?;
        if self.kind == Kind::Master {
            return Ok((*settings, Vec::new()));
        }
        apply(self.fd(), settings, self.marks).map_err(self.failed("set up"))?;
        let found = in_force(self.fd(), settings).map_err(self.failed("read the settings back"))?;
        Ok((found, Difference::between(settings, &found)))
    }

    /// No driver promises that its close ends a break.
    pub(crate) fn end_break(&self) {
        if self.breaking.swap(false, Ordering::Relaxed) {
            // A device that is gone sends nothing any more.
            let _ = modem::set_break(self.fd(), false);
        }
    }

    /// What a step gave, or `None` if the device has not got what it needs.
    fn optional<T>(
        &self,
        doing: &'static str,
        result: io::Result<T>,
    ) -> Result<Option<T>, ControlError> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if modem::unsupported(&error) => Ok(None),
            Err(error) => Err(self.failed(doing)(error)),
        }
    }

    fn failed(&self, doing: &'static str) -> impl FnOnce(io::Error) -> ControlError {
        let path = self.path.to_path_buf();
        move |source| ControlError::Io { path, doing, source }
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The levels of the modem lines.
pub(crate) fn levels(fd: BorrowedFd<'_>) -> io::Result<Signals> {
    let bits = modem::get(fd)?;
    let wires = [
        (libc::TIOCM_DTR, Signals::DTR),
        (libc::TIOCM_RTS, Signals::RTS),
        (libc::TIOCM_CTS, Signals::CTS),
        (libc::TIOCM_DSR, Signals::DSR),
        (libc::TIOCM_RI, Signals::RI),
        (libc::TIOCM_CD, Signals::DCD),
    ];
    let levels = wires.into_iter().map(|(bit, wire)| (wire, bits & bit != 0));
    Ok(levels.fold(Signals::NONE, |levels, (wire, on)| levels.set(wire, on)))
}

/// Sets DTR and RTS in one ioctl. An empty change asks the driver nothing.
pub(crate) fn set_outputs(fd: BorrowedFd<'_>, change: SignalChange) -> io::Result<()> {
    let bits = |level| {
        let wires = [(change.dtr, libc::TIOCM_DTR), (change.rts, libc::TIOCM_RTS)];
        wires.into_iter().filter(|(to, _)| *to == Some(level)).fold(0, |all, (_, bit)| all | bit)
    };
    match (bits(true), bits(false)) {
        (0, 0) => Ok(()),
        (up, 0) => modem::set(fd, Set::Raise, up),
        (0, down) => modem::set(fd, Set::Drop, down),
        (up, down) => modem::set(fd, Set::All, modem::get(fd)? & !down | up),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parmrk::{Decoder, Piece};
    use crate::policy::OpenPolicy;
    use crate::port::SerialPort;
    use crate::pty::{Pty, Slave};

    fn settings(text: &str) -> LineSettings {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn the_far_end_is_asked_to_wait_and_to_go_on() {
        let pty = Pty::open(None, Slave::Held).unwrap();
        let port = SerialPort::open_tty(pty.slave_path(), &settings("9600,8N1")).unwrap();
        let mut far = SerialPort::from(pty);
        for (flow, on) in [(Flow::XonXoff, true), (Flow::RtsCts, true), (Flow::None, true)] {
            port.control().set_throttle(flow, on).unwrap();
        }
        far.control().set_throttle(Flow::XonXoff, true).unwrap();
        port.control().set_throttle(Flow::XonXoff, false).unwrap();
        let mut buf = [0; 8];
        let mut said = Vec::new();
        while said.len() < 2 {
            let reading =
                tokio::time::timeout(std::time::Duration::from_secs(5), far.read(&mut buf));
            let count = reading.await.expect("in time").unwrap();
            said.extend_from_slice(&buf[..count]);
        }
        assert_eq!(said, [0x13, 0x11], "XOFF, then XON, and no more");
    }

    #[tokio::test]
    async fn settings_come_back_as_they_are_in_force() {
        let pty = Pty::open(None, Slave::Held).unwrap();
        let port = SerialPort::open_tty(pty.slave_path(), &settings("9600,8N1")).unwrap();
        let control = port.control();
        for (asked, in_force) in [
            ("250000,8N2,rtscts", "250000,8N2,rtscts"),
            ("31250,8N1,xonxoff", "31250,8N1,xonxoff"),
            ("12000000,8N1", "12000000,8N1"),
            // What a pseudo terminal drops. A real device keeps these; the shim's tests show it.
            ("115200,7E1", "115200,8N1"),
            ("9600,8S1", "9600,8N1"),
        ] {
            let got = control.set_settings(&settings(asked)).unwrap();
            assert_eq!(got, settings(in_force), "{asked}");
            got.check().unwrap();
        }
        let impossible = LineSettings { data_bits: 9, ..LineSettings::new(9600) };
        let error = control.set_settings(&impossible).unwrap_err();
        assert!(matches!(error, ControlError::Settings { .. }), "{error}");
    }

    #[tokio::test]
    async fn what_a_pseudo_terminal_has_not_got_is_no_error() {
        let pty = Pty::open(None, Slave::Held).unwrap();
        let port = SerialPort::open_tty(pty.slave_path(), &settings("9600,8N1")).unwrap();
        for control in [port.control(), pty.control()] {
            assert_eq!(control.signals().unwrap(), None);
            assert_eq!(control.counts(), None);
            assert_eq!(control.outq(), None);
            let change = SignalChange { dtr: Some(true), rts: Some(false), brk: Some(true) };
            let took = control.set_signals(change).unwrap();
            assert_eq!((took.dtr, took.rts), (None, None));
            control.set_signals(SignalChange { brk: Some(false), ..change }).unwrap();
            assert_eq!(control.set_signals(SignalChange::default()).unwrap(), <_>::default());
        }
    }

    #[tokio::test]
    async fn a_virtual_port_takes_any_settings_and_leaves_its_far_end_alone() {
        let pty = Pty::open(None, Slave::Held).unwrap();
        let far = SerialPort::open_tty(pty.slave_path(), &settings("300,8N1")).unwrap();
        let asked = settings("115200,7E1");
        assert_eq!(pty.control().set_settings(&asked).unwrap(), asked);
        let shared = far.control().shared().unwrap();
        assert_eq!(in_force(shared.fd(), &asked).unwrap(), settings("300,8N1"));
    }

    #[tokio::test]
    async fn purges_throw_away_their_own_direction_only() {
        let pty = Pty::open(None, Slave::Held).unwrap();
        let mut far = SerialPort::open_tty(pty.slave_path(), &settings("9600,8N1")).unwrap();
        let mut near = SerialPort::from(pty);
        near.write(b"to the tty").await.unwrap();
        far.write(b"from the tty").await.unwrap();
        // It has arrived before it is thrown away: a PTY hands on from a worker.
        far.readable().await.unwrap();
        far.control().flush_input().unwrap();
        near.write(b"!").await.unwrap();
        let mut buf = [0; 64];
        assert_eq!(far.read(&mut buf).await.unwrap(), 1);
        let count = near.read(&mut buf).await.unwrap();
        assert_eq!(&buf[..count], b"from the tty");

        // What a pseudo terminal's far end has room for is there already; the rest is thrown away.
        let mut written = 0;
        while let Some(count) = far.try_write(&[0x55; 4096]).unwrap() {
            written += count;
        }
        far.control().flush_output().unwrap();
        far.write(b"!").await.unwrap();
        let mut arrived = 0;
        while buf[0] != b'!' {
            let count = near.read(&mut buf).await.unwrap();
            arrived += count;
            buf[0] = buf[count - 1];
        }
        assert!(arrived < written, "{arrived} of {written}");
    }

    #[tokio::test]
    async fn a_handle_does_not_keep_the_port_open() {
        let pty = Pty::open(None, Slave::Held).unwrap();
        let path = pty.slave_path().to_owned();
        let port = SerialPort::open_tty(&path, &settings("9600,8N1")).unwrap();
        let control = port.control();
        let elsewhere = control.clone();
        std::thread::spawn(move || elsewhere.signals().unwrap()).join().unwrap();
        drop(port);
        let error = control.signals().unwrap_err();
        assert!(matches!(error, ControlError::Closed(_)) && error.is_gone(), "{error}");
        assert_eq!(control.counts(), None);
        // Nor locked.
        SerialPort::open_tty(&path, &settings("9600,8N1")).unwrap();
    }

    #[tokio::test]
    async fn a_hung_up_port_is_gone_for_its_handles() {
        let pty = Pty::open(None, Slave::Held).unwrap();
        let port = SerialPort::open_tty(pty.slave_path(), &settings("9600,8N1")).unwrap();
        drop(pty);
        let error = port.control().set_settings(&settings("300,8N1")).unwrap_err();
        assert!(error.is_gone(), "{error}");
    }

    #[tokio::test]
    async fn marked_input_survives_a_change_of_settings() {
        let pty = Pty::open(None, Slave::Held).unwrap();
        let policy = OpenPolicy { marks: true, ..OpenPolicy::default() };
        let mut far =
            SerialPort::open_tty_with(pty.slave_path(), &settings("9600,8N1"), &policy).unwrap();
        far.control().set_settings(&settings("115200,8N1")).unwrap();
        let mut near = SerialPort::from(pty);
        // The kernel doubles FF on a pseudo terminal, too.
        let sent = b"a\xff\x00\x00\xff\xffb";
        near.write(sent).await.unwrap();
        let (mut decoder, mut got, mut raw) = (Decoder::default(), Vec::new(), 0);
        let mut buf = [0; 3];
        while got.len() < sent.len() {
            let count = far.read(&mut buf).await.unwrap();
            raw += count;
            decoder.decode(&buf[..count], &mut |piece| match piece {
                Piece::Bytes(bytes) => got.extend_from_slice(bytes),
                other => panic!("{other:?}"),
            });
        }
        assert_eq!(got, sent);
        assert_eq!(raw, sent.len() + 3, "marked");
    }
}
