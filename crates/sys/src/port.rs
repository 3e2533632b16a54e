//! The one type that moves bytes of a line, whatever the line is made of.

use std::future::poll_fn;
use std::io;
use std::path::{Path, PathBuf};
use std::task::{Context, Poll, Waker};

use crate::control::Control;
use crate::policy::OpenPolicy;
use crate::pty::{Pty, PtyError, Slave};
use crate::tty::{Difference, Tty, TtyError};
use crate::watched::Watched;
use wire::LineSettings;

/// An open line: a serial device, or the program's end of a virtual one.
///
/// One owner, one loop: wait for [`readable`](Self::readable) and [`writable`](Self::writable) in
/// the same `select!` (both take `&self`), then call [`try_read`](Self::try_read) and
/// [`try_write`](Self::try_write) in the branches. Everything here is cancel-safe: a future that is
/// dropped has moved no byte.
///
/// There is no flush, drain or shutdown: on a line whose far end says "wait" those block the
/// thread, and a PTY pretends to have done them at once. Ask [`outq`](Self::outq) instead.
#[derive(Debug)]
pub struct SerialPort {
    device: Device,
    /// The reactor has said once that it can be read.
    known: bool,
}

#[derive(Debug)]
enum Device {
    Tty(Box<Tty>),
    Pty(Pty),
}

/// Why a byte could not be moved. After either the port is of no use any more.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// The device or the other end went away: an event of the line, no fault of this program.
    #[error("{}: {cause}", path.display())]
    Gone {
        /// The port as it was opened.
        path: PathBuf,
        /// How it was noticed.
        cause: Gone,
    },
    /// The system refused for another reason.
    #[error("{}: {source}", path.display())]
    Io {
        /// The port as it was opened.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// How a line shows that it is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Gone {
    /// EIO: an adapter was pulled, or the other end of a PTY is closed.
    #[error("the line was hung up (adapter unplugged or other end closed)")]
    HungUp,
    /// A read gave no bytes.
    #[error("the line reached its end of file")]
    EndOfFile,
    /// The driver says that there is no device behind the name any more.
    #[error("the device no longer exists")]
    NoDevice,
}

impl SerialPort {
    /// Opens the serial device at `path`. See [`Tty::open`].
    ///
    /// # Errors
    /// As [`Tty::open`]; nothing stays open or locked.
    pub fn open_tty(path: &Path, settings: &LineSettings) -> Result<Self, TtyError> {
        Tty::open(path, settings).map(Self::from)
    }

    /// Opens the serial device at `path` with a say about its wires. See [`Tty::open_with`].
    ///
    /// # Errors
    /// As [`Tty::open_with`]; nothing stays open or locked.
    pub fn open_tty_with(
        path: &Path,
        settings: &LineSettings,
        policy: &OpenPolicy,
    ) -> Result<Self, TtyError> {
        Tty::open_with(path, settings, policy).map(Self::from)
    }

    /// Makes a virtual port and owns its master. See [`Pty::open`].
    ///
    /// # Errors
    /// As [`Pty::open`]; no link is left behind.
    pub fn open_pty(link: Option<&Path>, slave: Slave) -> Result<Self, PtyError> {
        Pty::open(link, slave).map(Self::from)
    }

    /// A handle for all that moves no bytes: settings, wires, counts, purges.
    pub fn control(&self) -> Control {
        match &self.device {
            Device::Tty(tty) => tty.control(),
            Device::Pty(pty) => pty.control(),
        }
    }

    /// The name a user would know the port by: the device, or the link of a virtual port.
    pub fn path(&self) -> &Path {
        match &self.device {
            Device::Tty(tty) => tty.path(),
            Device::Pty(pty) => pty.path(),
        }
    }

    /// Whether a pseudo terminal is below: no modem lines, no parity, and its queue lengths lie.
    pub fn is_pty(&self) -> bool {
        match &self.device {
            Device::Tty(tty) => tty.is_pty(),
            Device::Pty(_) => true,
        }
    }

    /// Bytes handed over that are not on the wire yet (TIOCOUTQ), or `None` where nobody knows: a
    /// PTY reports 0 while it swallows kilobytes.
    pub fn outq(&self) -> Option<usize> {
        match &self.device {
            Device::Tty(tty) => tty.outq(),
            Device::Pty(_) => None,
        }
    }

    /// Settings that the device did not take when it was opened.
    pub fn differences(&self) -> &[Difference] {
        match &self.device {
            Device::Tty(tty) => tty.differences(),
            Device::Pty(_) => &[],
        }
    }

    /// Waits until a read is worth trying. May be early, never late.
    ///
    /// # Errors
    /// Only when the runtime is shutting down.
    pub async fn readable(&self) -> Result<(), PortError> {
        let ready = match &self.device {
            Device::Tty(tty) => tty.readable().await,
            Device::Pty(pty) => pty.readable().await,
        };
        ready.map_err(|source| self.error(source))
    }

    /// Waits until a write is worth trying. May be early, never late, but for a virtual port that
    /// hung up: of that one reading tells the end, and this waits for ever.
    ///
    /// # Errors
    /// Only when the runtime is shutting down.
    pub async fn writable(&self) -> Result<(), PortError> {
        let ready = match &self.device {
            Device::Tty(tty) => tty.writable().await,
            Device::Pty(pty) => pty.writable().await,
        };
        ready.map_err(|source| self.error(source))
    }

    /// Reads what is there into `buf`: the count of bytes, or `None` if there is nothing yet.
    ///
    /// # Errors
    /// [`PortError::Gone`] when the line ended: never reported as 0 bytes.
    pub fn try_read(&mut self, buf: &mut [u8]) -> Result<Option<usize>, PortError> {
        if buf.is_empty() {
            return Ok(Some(0));
        }
        // By the reactor's word, so that it forgets that the port was readable once it is not.
        if let Poll::Ready(result) = self.poll_read(&mut Context::from_waker(Waker::noop()), buf) {
            self.known = true;
            return result.map(Some);
        }
        if self.known {
            return Ok(None);
        }
        // The reactor does not know a new port yet.
        self.read_now(buf)
    }

    /// As [`Self::try_read`], past what the reactor remembers: for what was said last.
    ///
    /// # Errors
    /// As [`Self::try_read`].
    pub fn read_now(&mut self, buf: &mut [u8]) -> Result<Option<usize>, PortError> {
        match self.watched().try_read(buf) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            read => self.judge_read(read).map(Some),
        }
    }

    /// Writes the beginning of `bytes`: the count taken, or `None` if there is no room yet.
    ///
    /// # Errors
    /// [`PortError::Gone`] when the line ended; nothing of `bytes` was taken.
    pub fn try_write(&mut self, bytes: &[u8]) -> Result<Option<usize>, PortError> {
        match self.watched().try_write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            written => written.map(Some).map_err(|source| self.error(source)),
        }
    }

    /// Whether no program has a virtual port's slave open. A real port is never told so.
    pub fn is_hung_up(&self) -> bool {
        match &self.device {
            Device::Tty(_) => false,
            Device::Pty(pty) => pty.is_hung_up(),
        }
    }

    /// Makes a virtual port whose slave was closed raw for the next program.
    ///
    /// # Errors
    /// The process has no file descriptors left.
    pub fn reset(&self) -> io::Result<()> {
        match &self.device {
            Device::Tty(_) => Ok(()),
            Device::Pty(pty) => pty.reset(),
        }
    }

    /// The slave of a virtual port was opened again. Until this is called its last hang-up makes
    /// the port readable at once, for ever.
    ///
    /// # Errors
    /// The process has no file descriptors left.
    pub fn forget_hang_up(&mut self) -> io::Result<()> {
        self.known = false;
        match &mut self.device {
            Device::Tty(_) => Ok(()),
            Device::Pty(pty) => pty.forget_hang_up(),
        }
    }

    /// Bytes written to a virtual port that the program there has not read, as far as is known.
    pub fn unread(&self) -> Option<u64> {
        match &self.device {
            Device::Tty(_) => None,
            Device::Pty(pty) => pty.unread().ok(),
        }
    }

    /// Bytes that the program at a virtual port has written and that were not read here yet. 0 for
    /// a real port.
    pub fn waiting(&self) -> u64 {
        match &self.device {
            Device::Tty(_) => 0,
            Device::Pty(pty) => pty.waiting().unwrap_or(0),
        }
    }

    fn watched(&mut self) -> &mut Watched {
        match &mut self.device {
            Device::Tty(tty) => tty.watched(),
            Device::Pty(pty) => pty.watched(),
        }
    }

    /// Reads into `buf`, or has the task woken when there is something. 0 only for an empty `buf`.
    ///
    /// # Errors
    /// As [`Self::try_read`].
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<Result<usize, PortError>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let polled = self.watched().poll_read(cx, buf);
        polled.map(|result| self.judge_read(result))
    }

    /// Writes the beginning of `bytes`, or has the task woken when there is room.
    ///
    /// # Errors
    /// As [`Self::try_write`].
    pub fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize, PortError>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let polled = self.watched().poll_write(cx, bytes);
        polled.map(|result| result.map_err(|source| self.error(source)))
    }

    /// Waits for bytes and reads them into `buf`. Cancel-safe.
    ///
    /// # Errors
    /// As [`Self::try_read`].
    pub async fn read(&mut self, buf: &mut [u8]) -> Result<usize, PortError> {
        poll_fn(|cx| self.poll_read(cx, buf)).await
    }

    /// Waits for room and writes the beginning of `bytes`: the count taken. Cancel-safe.
    ///
    /// # Errors
    /// As [`Self::try_write`].
    pub async fn write(&mut self, bytes: &[u8]) -> Result<usize, PortError> {
        poll_fn(|cx| self.poll_write(cx, bytes)).await
    }

    /// 0 bytes into a buffer with room is the end of the line, not a count.
    fn judge_read(&self, read: io::Result<usize>) -> Result<usize, PortError> {
        match read {
            Ok(0) => Err(self.gone(Gone::EndOfFile)),
            Ok(count) => Ok(count),
            Err(source) => Err(self.error(source)),
        }
    }

    fn gone(&self, cause: Gone) -> PortError {
        PortError::Gone { path: self.path().to_owned(), cause }
    }

    fn error(&self, source: io::Error) -> PortError {
        match source.raw_os_error() {
            Some(libc::EIO) => self.gone(Gone::HungUp),
            Some(libc::ENXIO | libc::ENODEV) => self.gone(Gone::NoDevice),
            _ => PortError::Io { path: self.path().to_owned(), source },
        }
    }
}

impl From<Tty> for SerialPort {
    fn from(tty: Tty) -> Self {
        Self { device: Device::Tty(Box::new(tty)), known: false }
    }
}

impl From<Pty> for SerialPort {
    fn from(pty: Pty) -> Self {
        Self { device: Device::Pty(pty), known: false }
    }
}

impl PortError {
    /// Whether the line is gone, rather than the system refusing something.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Gone { .. })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A virtual port and the serial port at its far end.
    fn pair(slave: Slave) -> (SerialPort, SerialPort) {
        let near = Pty::open(None, slave).unwrap();
        let far = Tty::open(near.slave_path(), &LineSettings::new(9600)).unwrap();
        (near.into(), far.into())
    }

    async fn read_all(port: &mut SerialPort, count: usize) -> Vec<u8> {
        let mut got = Vec::new();
        let mut buf = [0; 4096];
        while got.len() < count {
            let reading = tokio::time::timeout(Duration::from_secs(5), port.read(&mut buf));
            let n = reading.await.expect("bytes within 5 s").unwrap();
            got.extend_from_slice(&buf[..n]);
        }
        got
    }

    #[tokio::test]
    async fn every_byte_value_passes_unchanged_both_ways() {
        let (mut near, mut far) = pair(Slave::Held);
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(near.write(&all).await.unwrap(), all.len());
        assert_eq!(read_all(&mut far, all.len()).await, all);
        assert_eq!(far.write(&all).await.unwrap(), all.len());
        assert_eq!(read_all(&mut near, all.len()).await, all);
    }

    #[tokio::test]
    async fn nothing_there_is_none_and_waiting_does_not_spin() {
        let (mut near, mut far) = pair(Slave::Held);
        let mut buf = [0; 16];
        for port in [&mut near, &mut far] {
            assert_eq!(port.try_read(&mut buf).unwrap(), None);
            let waiting = tokio::time::timeout(Duration::from_millis(20), port.readable());
            assert!(waiting.await.is_err(), "readable with nothing to read");
        }
        assert_eq!(far.try_write(b"x").unwrap(), Some(1));
        near.readable().await.unwrap();
        assert_eq!(near.try_read(&mut buf).unwrap(), Some(1));
        assert_eq!(near.try_read(&mut buf).unwrap(), None);
    }

    #[tokio::test]
    async fn reading_and_writing_wait_in_one_select() {
        let (near, mut far) = pair(Slave::Held);
        far.try_write(b"x").unwrap();
        let mut seen = (false, false);
        while seen != (true, true) {
            tokio::select! {
                r = near.readable(), if !seen.0 => { r.unwrap(); seen.0 = true }
                w = near.writable(), if !seen.1 => { w.unwrap(); seen.1 = true }
            }
        }
    }

    #[tokio::test]
    async fn a_full_line_says_none_and_takes_more_after_reading() {
        let (mut near, mut far) = pair(Slave::Held);
        let block = [0x55; 4096];
        let mut sent = 0;
        while let Some(n) = near.try_write(&block).unwrap() {
            sent += n;
            assert!(sent < 16 << 20, "a PTY without a bound");
        }
        assert!(sent > 0);
        assert_eq!(read_all(&mut far, sent).await.len(), sent);
        near.writable().await.unwrap();
        assert!(near.try_write(b"x").unwrap().is_some());
    }

    #[tokio::test]
    async fn a_closed_far_end_is_gone_for_the_tty_and_for_the_master() {
        let (near, mut far) = pair(Slave::Held);
        drop(near);
        let mut buf = [0; 16];
        let error = far.read(&mut buf).await.unwrap_err();
        assert!(error.is_gone(), "{error}");
        assert!(far.write(b"x").await.unwrap_err().is_gone());

        let (mut near, far) = pair(Slave::Free);
        drop(far);
        let error = near.read(&mut buf).await.unwrap_err();
        assert!(matches!(error, PortError::Gone { cause: Gone::HungUp, .. }), "{error}");
    }

    #[tokio::test]
    async fn a_held_slave_lets_users_come_and_go() {
        let near = Pty::open(None, Slave::Held).unwrap();
        let path = near.slave_path().to_owned();
        let mut near = SerialPort::from(near);
        for word in [b"one", b"two"] {
            let mut far = SerialPort::open_tty(&path, &LineSettings::new(9600)).unwrap();
            far.write(word).await.unwrap();
            drop(far);
            assert_eq!(read_all(&mut near, 3).await, word);
        }
        assert_eq!(near.try_read(&mut [0; 16]).unwrap(), None);
    }
}
