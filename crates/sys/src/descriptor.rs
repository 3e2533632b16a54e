//! Handing a descriptor to the reactor, which is unsafe in tokio since 1.54; and asking one at once.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Watches `fd` (non-blocking, of a kind that epoll takes) with the current runtime.
///
/// For crates that forbid `unsafe` and wait on something tokio has no type for, as a pidfd.
///
/// # Errors
/// epoll does not take the descriptor; it is closed.
///
/// # Panics
/// Outside a tokio runtime with I/O enabled.
pub fn watch(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open until it is dropped and always names the same descriptor; the
    // `AsyncFd` owns it, gives out shared references only, and leaves the reactor before closing.
    Ok(unsafe { AsyncFd::register_with_interest(fd, interest)? })
}

/// Whether a TCP socket has urgent data that was not read past yet: telnet's Synch.
pub fn is_urgent(fd: BorrowedFd<'_>) -> bool {
    asks(fd, PollFlags::PRI)
}

/// Whether a socket was reset or given up, or a terminal hung up. That the peer has only ended its
/// own sending is not.
pub fn is_broken(fd: BorrowedFd<'_>) -> bool {
    asks(fd, PollFlags::HUP | PollFlags::ERR)
}

/// Whether the peer of a socket has ended its sending, read or not.
pub fn has_ended(fd: BorrowedFd<'_>) -> bool {
    asks(fd, PollFlags::RDHUP)
}

/// Bytes that can be read (FIONREAD). At either end of a pipe: what its reader has not read yet.
///
/// # Errors
/// The descriptor is of no kind that knows.
pub fn unread(fd: BorrowedFd<'_>) -> io::Result<u64> {
    Ok(rustix::io::ioctl_fionread(fd)?)
}

/// Reads at once what is there, of a non-blocking descriptor and past what a reactor remembers.
/// 0 is the end.
///
/// # Errors
/// [`io::ErrorKind::WouldBlock`] if there is nothing.
pub fn read_now(fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::io::retry_on_intr(|| rustix::io::read(fd, &mut *buf))?)
}

/// Whether somebody listens at the Unix stream socket `path`. Never waits.
///
/// # Errors
/// It cannot be known, as without permission.
pub fn is_served(path: &Path) -> io::Result<bool> {
    use rustix::net::{
        AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    match connect(&socket, &SocketAddrUnix::new(path)?) {
        // More clients wait than it lets in: somebody is there.
        Ok(()) | Err(Errno::AGAIN) => Ok(true),
        Err(Errno::CONNREFUSED | Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Bytes that a TCP socket was given and its peer's system has not confirmed (SIOCOUTQ).
///
/// # Errors
/// The descriptor is of no kind that knows.
pub fn unsent(fd: BorrowedFd<'_>) -> io::Result<u64> {
    let mut count: libc::c_int = 0;
    // SAFETY: the call writes one int, and `count` is one.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCOUTQ, &raw mut count) };
    if result == 0 { Ok(count.max(0) as u64) } else { Err(io::Error::last_os_error()) }
}

/// Has the system ask a silent TCP peer every `every` whether it is still there, and give the
/// connection up when it has not answered for four times as long. No limit is set to what was sent
/// and not taken (TCP_USER_TIMEOUT): it also cuts a peer that answers and merely does not read.
///
/// # Errors
/// It is no TCP socket.
pub fn watch_over(fd: BorrowedFd<'_>, every: Duration) -> io::Result<()> {
    use rustix::net::sockopt;
    sockopt::set_socket_keepalive(fd, true)?;
    sockopt::set_tcp_keepidle(fd, every)?;
    sockopt::set_tcp_keepintvl(fd, every)?;
    Ok(sockopt::set_tcp_keepcnt(fd, 3)?)
}

fn asks(fd: BorrowedFd<'_>, flags: PollFlags) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(fd, flags)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&at_once)).is_ok() && fds[0].revents().intersects(flags)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    use rustix::net::sockopt;

    use super::*;

    #[test]
    fn a_silent_peer_is_asked_and_one_that_does_not_read_is_not_cut() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        watch_over(stream.as_fd(), Duration::from_secs(5)).unwrap();
        assert!(sockopt::socket_keepalive(&stream).unwrap());
        assert_eq!(sockopt::tcp_keepcnt(&stream).unwrap(), 3);
        assert_eq!(sockopt::tcp_user_timeout(&stream).unwrap(), 0, "no limit");
    }
}
