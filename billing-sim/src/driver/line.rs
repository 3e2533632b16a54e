//! A port that a fault can do something to.

use std::io;
use std::path::PathBuf;
use std::task::{Context, Poll};

use sys::{LineSettings, SerialPort};
use tokio::io::{AsyncRead, AsyncWrite};
use wire::SignalChange;

use super::port::{Port, Stream};

/// A port with what is beside its bytes. What a port has not got does nothing.
pub trait Line: Port {
    /// Tells the far end to wait (`on`) or to go on, by RTS or XOFF.
    ///
    /// # Errors
    /// The device refused.
    fn hold(&mut self, on: bool) -> io::Result<()>;

    /// Begins or ends a break.
    ///
    /// # Errors
    /// The device refused.
    fn send_break(&mut self, on: bool) -> io::Result<()>;

    /// Closes it. Until [`Line::open`], nothing is read or written.
    fn close(&mut self);

    /// Opens it again.
    ///
    /// # Errors
    /// It can't be opened now.
    fn open(&mut self) -> io::Result<()>;
}

/// A serial device or a pseudo terminal, by its path.
#[derive(Debug)]
pub struct Device {
    path: PathBuf,
    settings: LineSettings,
    /// `None` while it is closed.
    port: Option<SerialPort>,
}

impl Device {
    /// Opens the device.
    ///
    /// # Errors
    /// It can't be opened; the message names it.
    pub fn open(path: PathBuf, settings: LineSettings) -> io::Result<Self> {
        let mut device = Self { path, settings, port: None };
        Line::open(&mut device)?;
        Ok(device)
    }

    /// The port, while it is open.
    pub fn port(&self) -> Option<&SerialPort> {
        self.port.as_ref()
    }
}

impl Port for Device {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        // Whoever closed it knows when to open it, so nobody need be woken.
        self.port.as_mut().map_or(Poll::Pending, |port| Port::poll_read(port, cx, buf))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.port.as_mut().map_or(Poll::Pending, |port| Port::poll_write(port, cx, bytes))
    }
}

impl Line for Device {
    fn hold(&mut self, on: bool) -> io::Result<()> {
        let Some(port) = &self.port else { return Ok(()) };
        port.control().set_throttle(self.settings.flow, on).map_err(io::Error::other)
    }

    fn send_break(&mut self, on: bool) -> io::Result<()> {
        let Some(port) = &self.port else { return Ok(()) };
        let change = SignalChange { brk: Some(on), ..SignalChange::default() };
        port.control().set_signals(change).map(drop).map_err(io::Error::other)
    }

    fn close(&mut self) {
        self.port = None;
    }

    fn open(&mut self) -> io::Result<()> {
        let port = SerialPort::open_tty(&self.path, &self.settings).map_err(io::Error::other)?;
        self.port = Some(port);
        Ok(())
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Line for Stream<T> {
    fn hold(&mut self, _on: bool) -> io::Result<()> {
        Ok(())
    }

    fn send_break(&mut self, _on: bool) -> io::Result<()> {
        Ok(())
    }

    fn close(&mut self) {}

    fn open(&mut self) -> io::Result<()> {
        Ok(())
    }
}
