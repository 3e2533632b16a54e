//! How a line's device is opened: found by its name, anew at every try, and set as it was.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use sys::{Control, DeviceName, Flow, Level, Pty, PtyError, ResolveError, SerialPort, Slave};
use sys::{Tty, TtyError};
use thiserror::Error;
use wire::{LineSettings, SignalChange};

use super::options::PortOptions;
use super::policies::Policies;

/// All that it takes to open one line's device.
#[derive(Debug, Clone)]
pub(crate) struct Opener {
    port: PortOptions,
    policies: Policies,
    /// Where `sys` and `dev` are.
    root: Arc<Path>,
}

/// How a device is to stand once it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stance {
    pub(crate) settings: LineSettings,
    /// The wires as a client wanted them last; by default as the opening leaves them.
    pub(crate) wires: SignalChange,
}

/// Why the device cannot be opened. Nothing stays open or locked.
#[derive(Debug, Error)]
pub enum DeviceError {
    /// No adapter of that name, or several.
    #[error(transparent)]
    Name(#[from] ResolveError),
    /// A serial device.
    #[error(transparent)]
    Tty(#[from] TtyError),
    /// A pseudo terminal of our own.
    #[error(transparent)]
    Virtual(#[from] PtyError),
    /// Adapters came and went during the try.
    #[error("{0}: plugged in or out just now")]
    Moved(DeviceName),
    /// The try ended without a result.
    #[error("the try was not finished")]
    Unfinished,
}

impl Opener {
    pub(crate) fn new(port: PortOptions, policies: Policies, root: &Path) -> Self {
        Self { port, policies, root: root.into() }
    }

    pub(crate) fn port(&self) -> &PortOptions {
        &self.port
    }

    /// Opens the device; may wait for a driver.
    pub(crate) fn open(&self, stance: &Stance) -> Result<SerialPort, DeviceError> {
        match &self.port {
            PortOptions::Tty { name, .. } => self.open_tty(name, stance),
            PortOptions::Virtual { link, access, .. } => {
                // Held, as a cable stays plugged in while the program at its far end comes and goes.
                Ok(Pty::open_with(Some(link), Slave::Held, *access)?.into())
            }
        }
    }

    fn open_tty(&self, name: &DeviceName, stance: &Stance) -> Result<SerialPort, DeviceError> {
        let path = name.resolve_in(&self.root)?;
        // A pseudo terminal has no line errors, and marks would cost it its fast path.
        let policy = self.policies.open_policy(!is_pseudo_terminal(&path));
        let port = SerialPort::from(Tty::open_with(&path, &stance.settings, &policy)?);
        // A name that another adapter has got meanwhile would join two lines' cables.
        if name.resolve_in(&self.root)? != path {
            return Err(DeviceError::Moved(name.clone()));
        }
        self.stand(&port.control(), port.is_pty(), stance);
        Ok(port)
    }

    fn stand(&self, control: &Control, is_pty: bool, stance: &Stance) {
        let flow = stance.settings.flow;
        // Whoever had the line before us, perhaps ourselves, may have left the far end held back.
        if self.policies.rts.open != Level::Off
            && may_throttle(flow, is_pty)
            && let Err(error) = control.set_throttle(flow, false)
        {
            tracing::warn!(%error, "the far end may be held back");
        }
        if let Err(error) = control.set_signals(stance.wires) {
            tracing::warn!(%error, "wires not set");
        }
    }
}

impl Stance {
    /// At the start.
    pub(crate) fn new(settings: LineSettings) -> Self {
        Self { settings, wires: SignalChange::default() }
    }
}

/// Whether the far end can be asked to wait. An XOFF that nobody expects is a character, and what a
/// pseudo terminal has no room for waits by itself.
pub(crate) fn may_throttle(flow: Flow, is_pty: bool) -> bool {
    match flow {
        Flow::None => false,
        Flow::RtsCts => true,
        Flow::XonXoff => !is_pty,
    }
}

/// Unix98 pseudo terminals have the majors 136 to 143 (Linux, devices.txt).
fn is_pseudo_terminal(path: &Path) -> bool {
    let major = |device: u64| device >> 8 & 0xfff;
    path.metadata().is_ok_and(|meta| (136..=143).contains(&major(meta.rdev())))
}
