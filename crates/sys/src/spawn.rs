//! What `std::process::Command` cannot do without `unsafe`: handing a descriptor to a child, tying
//! a child's life to its parent's, and shedding what was inherited.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};
use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};

/// Lets the children of `command` keep `fd` over exec, under the number that is returned; the
/// child takes it with [`inherited`]. Other children started meanwhile do not get it.
///
/// `command` owns `fd` from now on: drop it after spawning, where an end of file matters.
pub fn inherit(command: &mut Command, fd: OwnedFd) -> RawFd {
    let number = fd.as_raw_fd();
    let keep = move || Ok(fcntl_setfd(&fd, FdFlags::empty())?);
    // SAFETY: between fork and exec the closure makes one system call and allocates nothing.
    unsafe { command.pre_exec(keep) };
    number
}

/// Takes the descriptor `number` that the parent left with [`inherit`], and keeps it from this
/// process's own children.
///
/// # Errors
/// Nothing is open under that number.
pub fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    if number <= 2 {
        let text = format!("descriptor {number} is a standard stream");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    // SAFETY: the number comes from the parent, which left the descriptor for the caller alone;
    // it is looked at before it is owned, so nothing that is not open is ever closed.
    let fd = unsafe {
        let flags = fcntl_getfd(std::os::fd::BorrowedFd::borrow_raw(number))?;
        if flags.contains(FdFlags::CLOEXEC) {
            let text = format!("descriptor {number} was not left by the parent");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        OwnedFd::from_raw_fd(number)
    };
    fcntl_setfd(&fd, FdFlags::CLOEXEC)?;
    Ok(fd)
}

/// Has the kernel send `signal` to the children of `command` when the *thread* that spawns them
/// ends, from their first instruction on.
pub fn die_with_parent(command: &mut Command, signal: Signal) {
    let parent = getpid();
    let tie = move || {
        set_parent_process_death_signal(Some(signal))?;
        // It may have died before the call above; then nobody would send the signal.
        if getppid() == Some(parent) { Ok(()) } else { Err(io::ErrorKind::Interrupted.into()) }
    };
    // SAFETY: between fork and exec the closure makes two system calls and allocates nothing.
    unsafe { command.pre_exec(tie) };
}

/// Starts a session and a process group of this process's own, away from the terminal and its
/// signals.
///
/// # Errors
/// This process leads a group already.
pub fn new_session() -> io::Result<()> {
    rustix::process::setsid()?;
    Ok(())
}

/// Closes every descriptor from `first` on, but those in `keep`: what was inherited by mistake. Call
/// it at the start of a process, before anything is opened.
///
/// # Errors
/// The kernel is older than 5.9.
pub fn close_others(first: RawFd, keep: &[RawFd]) -> io::Result<()> {
    let mut keep = keep.to_vec();
    keep.sort_unstable();
    let mut from = first;
    for kept in keep.into_iter().filter(|kept| *kept >= first) {
        close_range(from, kept - 1)?;
        from = kept.saturating_add(1);
    }
    close_range(from, RawFd::MAX)
}

fn close_range(from: RawFd, to: RawFd) -> io::Result<()> {
    if from > to {
        return Ok(());
    }
    // SAFETY: the caller is at its process's start, so no value owns any of them.
    let result = unsafe { libc::syscall(libc::SYS_close_range, from, to, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Puts off, for as long as this process runs, the signals by which a process is asked to end, so
/// that one sent to a whole family reaches its members but not this one. Children inherit that;
/// those that must hear them are started after [`hear_signals`].
///
/// # Errors
/// None in practice.
pub fn hold_off_signals() -> io::Result<()> {
    let signals = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT, libc::SIGPIPE];
    // SAFETY: `set` is initialised by sigemptyset before anything reads it; the signals exist.
    let result = unsafe {
        let mut set = std::mem::MaybeUninit::uninit();
        libc::sigemptyset(set.as_mut_ptr());
        for signal in signals {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut())
    };
    if result == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(result)) }
}

/// Lets the children of `command` hear all signals, whatever this process holds off.
pub fn hear_signals(command: &mut Command) {
    let hear = || {
        // SAFETY: `set` is initialised by sigemptyset before it is read.
        let result = unsafe {
            let mut set = std::mem::MaybeUninit::uninit();
            libc::sigemptyset(set.as_mut_ptr());
            libc::pthread_sigmask(libc::SIG_SETMASK, set.as_ptr(), std::ptr::null_mut())
        };
        if result == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(result)) }
    };
    // SAFETY: between fork and exec the closure makes one system call and allocates nothing.
    unsafe { command.pre_exec(hear) };
}

/// Makes each child of `command` the leader of a session of its own, with the terminal that is its
/// standard input as the controlling one: when that hangs up, all of the session hear SIGHUP.
///
/// Not together with a process group: who leads one can lead no session.
pub fn own_terminal(command: &mut Command) {
    let take = || {
        rustix::process::setsid()?;
        Ok(rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?)
    };
    // SAFETY: between fork and exec the closure makes two system calls and allocates nothing.
    unsafe { command.pre_exec(take) };
}

/// Exchanges this process's standard streams for `/dev/null`: pipes that were given to it for a
/// child's sake come to their end when the child's do.
///
/// # Errors
/// There is no `/dev/null`.
pub fn let_go_of_streams() -> io::Result<()> {
    let null = std::fs::File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::process::Stdio;

    use super::*;

    /// The child of the next test.
    #[test]
    fn child_body() {
        let Ok(number) = std::env::var("SYS_TEST_FD") else { return };
        let number: RawFd = number.parse().unwrap();
        let (stray, _other) = UnixStream::pair().unwrap();
        assert!(inherited(0).is_err());
        assert!(inherited(stray.as_raw_fd()).is_err(), "ours, not the parent's");
        let mut stream = UnixStream::from(inherited(number).unwrap());
        // Only this thread matters from here on; the process ends before anything is dropped.
        close_others(3, &[number]).unwrap();
        let open: Vec<RawFd> = (3..64)
            .filter(|fd| std::fs::symlink_metadata(format!("/proc/self/fd/{fd}")).is_ok())
            .collect();
        stream.write_all(format!("{open:?}").as_bytes()).unwrap();
        std::process::exit(0);
    }

    #[test]
    fn a_child_has_the_one_descriptor_it_was_left() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "spawn::tests::child_body", "--test-threads=1"]);
        let number = inherit(&mut command, theirs.into());
        command.env("SYS_TEST_FD", number.to_string()).stdout(Stdio::null());
        let mut child = command.spawn().unwrap();
        drop(command);
        let mut said = String::new();
        ours.read_to_string(&mut said).unwrap();
        assert!(child.wait().unwrap().success());
        assert_eq!(said, format!("[{number}]"));
    }

    #[test]
    fn a_child_hears_what_this_process_holds_off() {
        // The mask is this thread's only.
        hold_off_signals().unwrap();
        let mut command = Command::new("grep");
        command.args(["SigBlk", "/proc/self/status"]);
        let deaf = command.output().unwrap().stdout;
        hear_signals(&mut command);
        let hearing = command.output().unwrap().stdout;
        assert_eq!(hearing.trim_ascii_end(), b"SigBlk:\t0000000000000000");
        assert_ne!(deaf, hearing);
    }

    #[test]
    fn a_tied_child_starts() {
        let mut command = Command::new("true");
        die_with_parent(&mut command, Signal::KILL);
        assert!(command.status().unwrap().success());
    }
}
