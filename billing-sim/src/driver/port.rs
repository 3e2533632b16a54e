//! What a run needs of a port.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use sys::SerialPort;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Something that bytes come from and go to. Both polls may be called in the same wake-up and move
/// no byte when they are pending, so neither side can starve the other.
pub trait Port {
    /// Reads into `buf`, which is not empty; 0 is the end of the line.
    ///
    /// # Errors
    /// The line is gone.
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Writes a beginning of `bytes`, which is not empty.
    ///
    /// # Errors
    /// The line is gone.
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;
}

impl Port for SerialPort {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        Self::poll_read(self, cx, buf).map_err(io::Error::other)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Self::poll_write(self, cx, bytes).map_err(io::Error::other)
    }
}

/// Any tokio stream as a port, such as an in-memory pipe or a socket. It is never flushed or shut
/// down.
#[derive(Debug)]
pub struct Stream<T>(pub T);

impl<T: AsyncRead + AsyncWrite + Unpin> Port for Stream<T> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(buf);
        ready!(Pin::new(&mut self.0).poll_read(cx, &mut buf))?;
        Poll::Ready(Ok(buf.filled().len()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }
}
