//! Opening and owning a serial device.
//!
//! Opened by the builder of tokio-serial, owned by serialport, as their users expect, with what they
//! lack or do in an order that hurts. Readiness is our own (`watched`): tokio-serial watches for room
//! all the time, and a terminal announces room after every write. Nothing here flushes a queue: what
//! the line said before we came is still read.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FlockOperation, OFlags, fcntl_getfl, fcntl_setfl, flock, major};
use rustix::io::Errno;
use rustix::termios::{
    ControlModes, OptionalActions, QueueSelector, Termios, ioctl_tiocexcl, tcflush, tcgetattr,
    tcsetattr,
};
use serialport::{SerialPort as _, TTYPort};

use crate::control::{Control, ControlError, Kind, Shared};
use crate::policy::OpenPolicy;
use crate::termios::{builder, set_hupcl};
use wire::{LineSettings, SettingsError};

use crate::watched::Watched;

pub use crate::termios::Difference;

/// An open serial device, locked, raw and non-blocking. Make a [`crate::SerialPort`] of it to move
/// bytes. On drop the settings it was found with are put back, as far as [`OpenPolicy`] does not say
/// otherwise, and the locks end.
pub struct Tty {
    /// Opens and owns the device.
    port: TTYPort,
    watched: Watched,
    /// The same open device, for all that moves no bytes.
    shared: Arc<Shared>,
    path: PathBuf,
    is_pty: bool,
    policy: OpenPolicy,
    /// As the device was found; put back on drop.
    saved: Termios,
    differences: Vec<Difference>,
}

/// Why a device could not be opened or set. After every variant nothing stays open or locked,
/// and a device that somebody else uses was not touched.
#[derive(Debug, thiserror::Error)]
pub enum TtyError {
    /// There is nothing by that name, or a name without hardware.
    #[error("{}: no such device; is the adapter plugged in?", .0.display())]
    NoDevice(PathBuf),
    /// The device files belong to a group that this user is not in.
    #[error("{}: permission denied; is this user in group dialout?", .0.display())]
    Permission(PathBuf),
    /// Somebody else holds the device; the second field says how we know.
    #[error("{}: in use by another program ({})", .0.display(), .1)]
    InUse(PathBuf, &'static str),
    /// A file, but no serial device.
    #[error("{}: not a terminal", .0.display())]
    NotATerminal(PathBuf),
    /// The settings contradict themselves.
    #[error("{}: {source}", path.display())]
    Settings {
        /// The device.
        path: PathBuf,
        /// The part at fault.
        source: SettingsError,
    },
    /// Anything else the system said.
    #[error("{}: failed to {doing}: {source}", path.display())]
    Io {
        /// The device.
        path: PathBuf,
        /// The step that failed.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl Tty {
    /// As [`Self::open_with`], and no wire is moved at the opening or the closing.
    ///
    /// # Errors
    /// See [`TtyError`].
    pub fn open(path: &Path, settings: &LineSettings) -> Result<Self, TtyError> {
        Self::open_with(path, settings, &OpenPolicy::default())
    }

    /// Opens, locks and sets the device at `path`. Needs a tokio runtime with I/O enabled.
    ///
    /// A pseudo terminal is taken too; what it cannot do (parity, seven bits, modem lines) is
    /// listed in [`Self::differences`] and never an error. Where a real device differs from
    /// `settings` that is listed and logged as a warning, because a line at the wrong parity loses
    /// nothing that a closed one would not.
    ///
    /// # Errors
    /// See [`TtyError`].
    pub fn open_with(
        path: &Path,
        settings: &LineSettings,
        policy: &OpenPolicy,
    ) -> Result<Self, TtyError> {
        let at = |doing| move |source| TtyError::Io { path: path.to_owned(), doing, source };
        settings.check().map_err(|source| TtyError::Settings { path: path.to_owned(), source })?;
        let probe = Probe::open(path)?;
        let port = builder(path, settings).open_native().map_err(|error| {
            // serialport drops the errno of most failures; the probe has seen the usual ones.
            at("open")(io::Error::from(error))
        })?;
        let Probe { file, saved, is_pty } = probe;
        // SAFETY: the descriptor belongs to `port`, which outlives this borrow.
        let device = unsafe { BorrowedFd::borrow_raw(port.as_raw_fd()) };
        let status = fcntl_getfl(device).map_err(|error| at("look at")(error.into()))?;
        fcntl_setfl(device, status | OFlags::NONBLOCK)
            .map_err(|error| at("set up")(error.into()))?;
        let watched = device.try_clone_to_owned().and_then(Watched::new).map_err(at("watch"))?;
        let device = device.try_clone_to_owned().map_err(at("share"))?;
        let kind = if is_pty { Kind::Slave } else { Kind::Serial };
        let mut tty = Self {
            port,
            watched,
            shared: Shared::new(device, path, kind, policy.marks),
            path: path.to_owned(),
            is_pty,
            policy: *policy,
            saved,
            differences: Vec::new(),
        };
        // Its shared lock would refuse the exclusive one below. The device itself stays open, so
        // closing this descriptor moves no modem line.
        drop(file);
        match flock(tty.fd(), FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(TtyError::InUse(tty.path.clone(), "flock")),
            Err(error) => return Err(at("lock")(error.into())),
        }
        if !is_pty {
            // Keeps programs out that do not ask for the lock (but not root). It belongs to the
            // terminal, not to this process: on a PTY, which lives on with its master, it would
            // outlast a kill -9 of ours and shut our successor out.
            ioctl_tiocexcl(tty.fd()).map_err(|error| at("take exclusively")(error.into()))?;
        }
        if let Some(on) = policy.open.hupcl.wanted() {
            set_hupcl(tty.fd(), on).map_err(|error| at("set up")(error))?;
        }
        tty.set_settings(settings)?;
        policy.open.set_outputs(tty.fd(), path);
        policy.tune(tty.fd(), path, Path::new("/sys"));
        Ok(tty)
    }

    /// A handle for all that moves no bytes.
    pub fn control(&self) -> Control {
        self.shared.control()
    }

    /// Sets, reads back and logs what the device refused.
    fn set_settings(&mut self, settings: &LineSettings) -> Result<(), TtyError> {
        let (_, found) = self.shared.set_settings(settings)?;
        for difference in &found {
            let path = self.path.display();
            if self.is_pty {
                tracing::debug!(%path, %difference, "a pseudo terminal cannot do this setting");
            } else {
                tracing::warn!(%path, %difference, "the device did not take a setting");
            }
        }
        self.differences = found;
        Ok(())
    }

    /// The name the device was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether this is the slave of a pseudo terminal.
    pub fn is_pty(&self) -> bool {
        self.is_pty
    }

    /// Settings that the device did not take when it was opened.
    pub fn differences(&self) -> &[Difference] {
        &self.differences
    }

    /// Bytes in the driver that are not on the wire yet (TIOCOUTQ); `None` if nobody knows.
    pub fn outq(&self) -> Option<usize> {
        if self.is_pty {
            return None;
        }
        usize::try_from(self.port.bytes_to_write().ok()?).ok()
    }

    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.watched.readable().await
    }

    pub(crate) async fn writable(&self) -> io::Result<()> {
        self.watched.writable().await
    }

    pub(crate) fn watched(&mut self) -> &mut Watched {
        &mut self.watched
    }

    fn fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor belongs to `port`, which lives as long as the borrow of `self`
        // and does not close it before.
        unsafe { BorrowedFd::borrow_raw(self.port.as_raw_fd()) }
    }
}

impl Drop for Tty {
    fn drop(&mut self) {
        self.shared.end_break();
        self.policy.close.set_outputs(self.fd(), &self.path);
        // A pseudo terminal's close never waits, and what was written is the far end's already.
        if self.policy.discard && !self.is_pty {
            let _ = tcflush(self.fd(), QueueSelector::OFlush);
        }
        if let Some(on) = self.policy.close.hupcl.wanted() {
            self.saved.control_modes.set(ControlModes::HUPCL, on);
        }
        // Best effort: a device that is gone has no settings to put back.
        if let Err(error) = tcsetattr(self.fd(), OptionalActions::Now, &self.saved) {
            tracing::debug!(path = %self.path.display(), %error, "settings not put back");
        }
        // A thread that is just leaving an ioctl may hold the device a moment longer than we. Whoever
        // opens it next, perhaps ourselves, need not see it locked.
        let _ = flock(self.fd(), FlockOperation::Unlock);
    }
}

impl fmt::Debug for Tty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tty").field("path", &self.path).field("is_pty", &self.is_pty).finish()
    }
}

impl From<ControlError> for TtyError {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::Closed(path) => Self::NoDevice(path),
            ControlError::Settings { path, source } => Self::Settings { path, source },
            ControlError::Io { path, doing, source } => Self::Io { path, doing, source },
        }
    }
}

/// A first look at a device before serialport opens it: clear errors, the settings it was found
/// with, and a refusal before anything is changed on a device that somebody else uses.
struct Probe {
    /// Holds a shared lock, the kind serialport takes as well.
    file: File,
    saved: Termios,
    is_pty: bool,
}

impl Probe {
    fn open(path: &Path) -> Result<Self, TtyError> {
        let owned = || path.to_owned();
        let failed = |doing, error: Errno| match error {
            Errno::NOENT | Errno::NOTDIR | Errno::NXIO | Errno::NODEV | Errno::IO => {
                TtyError::NoDevice(owned())
            }
            Errno::ACCESS | Errno::PERM => TtyError::Permission(owned()),
            Errno::BUSY => TtyError::InUse(owned(), "TIOCEXCL"),
            Errno::WOULDBLOCK => TtyError::InUse(owned(), "flock"),
            Errno::NOTTY | Errno::ISDIR => TtyError::NotATerminal(owned()),
            error => TtyError::Io { path: owned(), doing, source: error.into() },
        };
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        // Without O_NONBLOCK the open itself waits for a carrier. std adds O_CLOEXEC.
        options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
        let file = options.open(path).map_err(|error| match Errno::from_io_error(&error) {
            Some(errno) => failed("open", errno),
            None => TtyError::Io { path: owned(), doing: "open", source: error },
        })?;
        let saved = tcgetattr(&file).map_err(|error| failed("read the settings", error))?;
        for (operation, doing) in [
            // Exclusive first, which nobody else's lock of either kind survives; then down to
            // shared, which is all that serialport's own open gets along with.
            (FlockOperation::NonBlockingLockExclusive, "lock"),
            (FlockOperation::NonBlockingLockShared, "share the lock"),
        ] {
            flock(&file, operation).map_err(|error| failed(doing, error))?;
        }
        let meta = file.metadata().map_err(|source| TtyError::Io {
            path: owned(),
            doing: "look at",
            source,
        })?;
        let is_pty = PTY_SLAVE_MAJORS.contains(&major(meta.rdev()));
        Ok(Self { file, saved, is_pty })
    }
}

/// Device majors of Unix98 PTY slaves (Linux, `Documentation/admin-guide/devices.txt`).
const PTY_SLAVE_MAJORS: std::ops::RangeInclusive<u32> = 136..=143;

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::port::SerialPort;
    use crate::pty::{Pty, Slave};
    use wire::StopBits;

    fn settings(text: &str) -> LineSettings {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn what_is_no_serial_device_is_named_as_such() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("plain");
        std::fs::write(&file, "text").unwrap();
        for (path, message) in [
            (dir.path().join("ttyUSB0"), "no such device; is the adapter plugged in?"),
            (file.join("below"), "no such device; is the adapter plugged in?"),
            (file, "not a terminal"),
            (dir.path().to_owned(), "not a terminal"),
            (PathBuf::from("/dev/null"), "not a terminal"),
        ] {
            let error = Tty::open(&path, &settings("9600,8N1")).unwrap_err().to_string();
            assert_eq!(error, format!("{}: {message}", path.display()));
        }
    }

    #[tokio::test]
    async fn a_second_open_is_refused_and_changes_nothing() {
        let pty = Pty::open(None, Slave::Held).unwrap();
        let first = Tty::open(pty.slave_path(), &settings("9600,8N1")).unwrap();
        let error = Tty::open(pty.slave_path(), &settings("300,8N2")).unwrap_err();
        assert!(matches!(error, TtyError::InUse(..)), "{error}");
        assert!(error.to_string().ends_with("in use by another program (flock)"), "{error}");
        assert_eq!(tcgetattr(first.fd()).unwrap().output_speed(), 9600);
        drop(first);
        Tty::open(pty.slave_path(), &settings("300,8N2")).unwrap();
    }

    #[tokio::test]
    async fn any_foreign_lock_refuses_the_open() {
        let pty = Pty::open(None, Slave::Held).unwrap();
        for lock in [FlockOperation::LockShared, FlockOperation::LockExclusive] {
            let other = File::open(pty.slave_path()).unwrap();
            flock(&other, lock).unwrap();
            let error = Tty::open(pty.slave_path(), &settings("9600,8N1")).unwrap_err();
            assert!(matches!(error, TtyError::InUse(_, "flock")), "{error}");
        }
    }

    #[tokio::test]
    async fn a_pty_takes_any_settings_and_says_what_it_cannot_do() {
        let pty = Pty::open(None, Slave::Held).unwrap();
        for (text, refused) in [
            ("9600,8N1", vec![]),
            ("250000,8N2,rtscts", vec![]),
            ("9600,8N1,xonxoff", vec![]),
            ("115200,7E1", vec!["data bits", "parity"]),
            ("9600,8M1", vec!["parity"]),
            ("9600,5N1.5", vec!["data bits"]),
        ] {
            let tty = Tty::open(pty.slave_path(), &settings(text)).unwrap();
            assert!(tty.is_pty());
            assert_eq!(tty.outq(), None);
            let found: Vec<_> = tty.differences().iter().map(|d| d.what).collect();
            assert_eq!(found, refused, "{text}");
            let speed = tcgetattr(tty.fd()).unwrap().output_speed();
            assert_eq!(speed, settings(text).baud);
        }
    }

    #[tokio::test]
    async fn what_arrived_before_the_open_is_still_read() {
        let pty = Pty::open(None, Slave::Held).unwrap();
        let path = pty.slave_path().to_owned();
        let mut near = SerialPort::from(pty);
        near.write(b"early\r\n\x03\x04").await.unwrap();
        let mut far = SerialPort::open_tty(&path, &settings("115200,8N1,rtscts")).unwrap();
        near.write(b"late").await.unwrap();
        far.control().set_settings(&settings("9600,8N1")).unwrap();
        let mut got = Vec::new();
        let mut buf = [0; 64];
        while got.len() < 13 {
            let n = far.read(&mut buf).await.unwrap();
            got.extend_from_slice(&buf[..n]);
        }
        assert_eq!(got, b"early\r\n\x03\x04late");
    }

    #[tokio::test]
    async fn the_settings_found_are_put_back() {
        let pty = Pty::open(None, Slave::Held).unwrap();
        let mut other = OpenOptions::new().write(true).open(pty.slave_path()).unwrap();
        other.write_all(b"").unwrap();
        let before = tcgetattr(&other).unwrap();
        let tty = Tty::open(pty.slave_path(), &settings("300,8N2,xonxoff")).unwrap();
        assert_ne!(tcgetattr(&other).unwrap().output_speed(), before.output_speed());
        drop(tty);
        let after = tcgetattr(&other).unwrap();
        assert_eq!(after.output_speed(), before.output_speed());
        assert_eq!(after.control_modes, before.control_modes);
        assert_eq!(after.input_modes, before.input_modes);
    }

    #[tokio::test]
    async fn impossible_settings_open_nothing() {
        let bad =
            LineSettings { stop_bits: StopBits::Two, data_bits: 5, ..LineSettings::new(9600) };
        let pty = Pty::open(None, Slave::Held).unwrap();
        let error = Tty::open(pty.slave_path(), &bad).unwrap_err();
        assert!(matches!(error, TtyError::Settings { .. }), "{error}");
    }
}
