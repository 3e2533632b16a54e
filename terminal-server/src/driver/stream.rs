//! The two kinds of socket a client may come on.

use std::fmt;
use std::io::{self, Read};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// A client's socket. Nothing here waits.
#[derive(Debug)]
pub(crate) enum Stream {
    /// Over the network.
    Tcp(TcpStream),
    /// From this machine.
    Unix(UnixStream),
}

/// Where a client comes from.
#[derive(Debug, Clone)]
pub(crate) enum Address {
    /// Over the network.
    Tcp(SocketAddr),
    /// From this machine: the process at the other end, in words.
    Local(String),
}

impl Stream {
    pub(crate) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(cx),
            Self::Unix(stream) => stream.poll_read_ready(cx),
        }
    }

    pub(crate) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_write_ready(cx),
            Self::Unix(stream) => stream.poll_write_ready(cx),
        }
    }

    /// Reads if the reactor knows of something. After a short read it takes the socket for empty until
    /// more comes, which `try_read` of tokio finds out by another call.
    pub(crate) fn try_read(&mut self, buf: &mut ReadBuf<'_>) -> io::Result<usize> {
        let mut cx = Context::from_waker(Waker::noop());
        let read = match self {
            Self::Tcp(stream) => Pin::new(stream).poll_read(&mut cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(&mut cx, buf),
        };
        match read {
            Poll::Ready(result) => result.map(|()| buf.filled().len()),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Reads whatever the reactor knows.
    pub(crate) fn read_hard(&self, buf: &mut [u8]) -> io::Result<usize> {
        (&*SockRef::from(self)).read(buf)
    }

    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write(bytes),
            Self::Unix(stream) => stream.try_write(bytes),
        }
    }

    pub(crate) fn close_sending(&self) -> io::Result<()> {
        SockRef::from(self).shutdown(Shutdown::Write)
    }

    /// The most that may lie unread in it, if the system tells.
    pub(crate) fn recv_buffer_size(&self) -> io::Result<usize> {
        SockRef::from(self).recv_buffer_size()
    }

    /// Bytes that were sent may stay untaken for any time. The listener has set a bound to that.
    pub(crate) fn wait_for_ever(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => SockRef::from(stream).set_tcp_user_timeout(Some(Duration::ZERO)),
            Self::Unix(_) => Ok(()),
        }
    }

    /// Whether the connection is of no use any more, whatever lies unread in it.
    pub(crate) fn is_broken(&self) -> bool {
        sys::descriptor::is_broken(self.as_fd())
    }

    /// Whether the peer has sent its last byte, read or not.
    pub(crate) fn has_ended(&self) -> bool {
        sys::descriptor::has_ended(self.as_fd())
    }

    /// Whether the peer has pushed past what lies unread (TCP urgent).
    pub(crate) fn is_urgent(&self) -> bool {
        matches!(self, Self::Tcp(_)) && sys::descriptor::is_urgent(self.as_fd())
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Local(user) => f.write_str(user),
        }
    }
}
