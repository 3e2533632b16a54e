//! What becomes of the wires when a serial device is opened and closed, and how it is tuned.

use std::os::fd::BorrowedFd;
use std::path::Path;
use wire::SignalChange;

use crate::control::set_outputs;
use crate::modem::{CLOSING_WAIT_NONE, LOW_LATENCY, change_serial};

/// How a serial device is opened and closed beside its settings. The default moves no wire.
///
/// One edge is out of anybody's hands: Linux raises DTR and RTS when a port that nobody has open is
/// opened. With [`Level::Off`] they are dropped again at once, which a fast circuit still sees. So
/// keep a port open, and leave HUPCL off, that they are up already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OpenPolicy {
    /// What is done at the opening.
    pub open: Wires,
    /// What is done before the closing.
    pub close: Wires,
    /// Have line errors and breaks marked in the input, to be undone by [`crate::parmrk::Decoder`].
    pub marks: bool,
    /// Ask the driver to hand on each byte at once, where it can: the low-latency flag, and the
    /// latency timer of FTDI adapters, which is 16 ms otherwise. Stays so after the close.
    pub low_latency: bool,
    /// Throw away at close what has not left, instead of having close(2) wait for it, up to 30 s
    /// by the kernel's default. For callers that have waited as long as they will. Stays so after
    /// the close. Without the right to change it (CAP_SYS_ADMIN), a USB adapter whose far end says
    /// "wait" still holds close(2) up, so close on a thread that may wait.
    pub discard: bool,
}

/// What is done with each wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wires {
    /// Data terminal ready.
    pub dtr: Level,
    /// Request to send. With RTS/CTS flow control it is the driver's.
    pub rts: Level,
    /// No wire but the rule for it: whether the last close drops DTR and RTS, be it a crash. At
    /// close, [`Level::Keep`] puts back what was found.
    pub hupcl: Level,
}

/// What is done with one wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Level {
    /// Nothing.
    #[default]
    Keep,
    /// It is raised.
    On,
    /// It is dropped.
    Off,
}

impl Default for Wires {
    /// No edge, not by the close either.
    fn default() -> Self {
        Self { dtr: Level::Keep, rts: Level::Keep, hupcl: Level::Off }
    }
}

impl Level {
    /// What it comes to; nothing for [`Self::Keep`].
    pub fn wanted(self) -> Option<bool> {
        match self {
            Self::Keep => None,
            Self::On => Some(true),
            Self::Off => Some(false),
        }
    }
}

impl Wires {
    /// Moves DTR and RTS, in one step. A device without modem lines is left alone.
    pub(crate) fn set_outputs(self, fd: BorrowedFd<'_>, path: &Path) {
        let change = SignalChange { dtr: self.dtr.wanted(), rts: self.rts.wanted(), brk: None };
        if let Err(error) = set_outputs(fd, change) {
            tracing::debug!(path = %path.display(), %error, "modem lines not set");
        }
    }
}

impl OpenPolicy {
    /// Asks the driver for what termios does not cover. Each is optional: few drivers have all.
    pub(crate) fn tune(&self, fd: BorrowedFd<'_>, path: &Path, sysfs: &Path) {
        let told = |what: &str, result: std::io::Result<()>| {
            if let Err(error) = result {
                tracing::debug!(path = %path.display(), %error, "{what} not to be had");
            }
        };
        if self.low_latency {
            told("low latency", change_serial(fd, |serial| serial.flags |= LOW_LATENCY));
            told("a short latency timer", set_latency_timer(path, sysfs));
        }
        // Apart from the above, because only this one needs CAP_SYS_ADMIN.
        if self.discard {
            let change = change_serial(fd, |serial| serial.closing_wait = CLOSING_WAIT_NONE);
            told("a close without waiting", change);
        }
    }
}

/// Sets an FTDI adapter's latency timer to its shortest.
fn set_latency_timer(path: &Path, sysfs: &Path) -> std::io::Result<()> {
    let device = path.canonicalize()?;
    let name = device.file_name().unwrap_or_default();
    let timer = sysfs.join("class/tty").join(name).join("device/latency_timer");
    // Opened without creating: where there is no such file there is no such timer.
    let mut file = std::fs::OpenOptions::new().write(true).open(timer)?;
    std::io::Write::write_all(&mut file, LATENCY_MS)
}

/// Milliseconds an FTDI adapter waits for more before it hands on what it has.
const LATENCY_MS: &[u8] = b"1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latency_timer_is_set_where_there_is_one_and_made_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let tty = dir.path().join("ttyUSB7");
        std::fs::write(&tty, "").unwrap();
        let link = dir.path().join("by-id");
        std::os::unix::fs::symlink(&tty, &link).unwrap();
        let device = dir.path().join("class/tty/ttyUSB7/device");
        std::fs::create_dir_all(&device).unwrap();
        let timer = device.join("latency_timer");
        assert!(set_latency_timer(&link, dir.path()).is_err());
        assert!(!timer.exists());
        std::fs::write(&timer, "16").unwrap();
        set_latency_timer(&link, dir.path()).unwrap();
        assert!(std::fs::read_to_string(&timer).unwrap().starts_with('1'));
    }

    #[test]
    fn the_default_moves_no_wire() {
        let policy = OpenPolicy::default();
        for wires in [policy.open, policy.close] {
            assert_eq!((wires.dtr.wanted(), wires.rts.wanted()), (None, None));
            assert_eq!(wires.hupcl.wanted(), Some(false));
        }
    }
}
