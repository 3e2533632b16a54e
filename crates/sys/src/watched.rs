//! A terminal's descriptor in the reactor.

use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};

use rustix::io::retry_on_intr;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::descriptor::watch;

/// Watched for reading always, for writing only while it is full: a terminal says "there is room"
/// after every write, and each time would wake a loop that waits for input.
#[derive(Debug)]
pub(crate) struct Watched {
    read: AsyncFd<OwnedFd>,
    write: Option<AsyncFd<OwnedFd>>,
}

impl Watched {
    /// `fd` is non-blocking.
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Self> {
        Ok(Self { read: watch(fd, Interest::READABLE)?, write: None })
    }

    pub(crate) fn fd(&self) -> &OwnedFd {
        self.read.get_ref()
    }

    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.read.readable().await.map(drop)
    }

    pub(crate) async fn writable(&self) -> io::Result<()> {
        self.for_room()?.writable().await.map(drop)
    }

    fn for_room(&self) -> io::Result<AsyncFd<OwnedFd>> {
        watch(self.fd().try_clone()?, Interest::WRITABLE)
    }

    /// Straight to the device, past what the reactor remembers.
    pub(crate) fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        Ok(retry_on_intr(|| rustix::io::read(self.fd(), &mut *buf))?)
    }

    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        Ok(retry_on_intr(|| rustix::io::write(self.fd(), bytes))?)
    }

    /// A short read has emptied the terminal; what comes after it wakes again.
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.read.poll_read_ready(cx))?;
            if let Ok(result) = guard.try_io(|_| self.try_read(buf)) {
                if matches!(&result, Ok(count) if (1..buf.len()).contains(count)) {
                    guard.clear_ready();
                }
                return Poll::Ready(result);
            }
        }
    }

    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.try_write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            written => {
                self.write = None;
                return Poll::Ready(written);
            }
        }
        let room = match self.write.take() {
            Some(room) => room,
            None => self.for_room()?,
        };
        loop {
            let mut guard = match room.poll_write_ready(cx) {
                Poll::Ready(guard) => guard?,
                Poll::Pending => {
                    self.write = Some(room);
                    return Poll::Pending;
                }
            };
            if let Ok(written) = guard.try_io(|_| self.try_write(bytes)) {
                return Poll::Ready(written);
            }
        }
    }
}
