//! Handing a descriptor to the reactor, which is unsafe in tokio since 1.54; and asking one at once.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
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

fn asks(fd: BorrowedFd<'_>, flags: PollFlags) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(fd, flags)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&at_once)).is_ok() && fds[0].revents().intersects(flags)
}
