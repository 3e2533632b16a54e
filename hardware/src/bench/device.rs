//! The far end of a line, in the bench's own hands.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

use crate::error::{Doing, LabError, Result};

/// A pseudo terminal: a server has its slave for a serial port, the bench is what hangs at the end
/// of the line.
#[derive(Debug)]
pub(crate) struct Device {
    master: OwnedFd,
    /// Held, as a cable stays plugged in while programs come and go.
    _slave: OwnedFd,
    path: PathBuf,
}

impl Device {
    pub(crate) fn open() -> Result<Self> {
        let what = || "make a pseudo terminal".to_owned();
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).doing(what)?;
        grantpt(&master).doing(what)?;
        unlockpt(&master).doing(what)?;
        let slave = ioctl_tiocgptpeer(&master, flags).doing(what)?;
        let mut termios = tcgetattr(&slave).doing(what)?;
        termios.make_raw();
        tcsetattr(&slave, OptionalActions::Now, &termios).doing(what)?;
        let name = ptsname(&master, Vec::new()).doing(what)?;
        let path = PathBuf::from(name.to_string_lossy().into_owned());
        let status = fcntl_getfl(&master).doing(what)?;
        fcntl_setfl(&master, status | OFlags::NONBLOCK).doing(what)?;
        Ok(Self { master, _slave: slave, path })
    }

    /// So many.
    pub(crate) fn several(count: usize) -> Result<Vec<Self>> {
        (0..count).map(|_| Self::open()).collect()
    }

    /// For the server.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.master.as_fd()
    }
}

/// Waits until a descriptor is ready; whether it is.
pub(crate) fn ready(fd: BorrowedFd<'_>, what: PollFlags, within: Duration) -> Result<bool> {
    let within = Timespec::try_from(within).unwrap_or(A_SECOND);
    match poll(&mut [PollFd::from_borrowed_fd(fd, what)], Some(&within)) {
        Ok(count) => Ok(count > 0),
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(error).doing(|| "wait for a descriptor".to_owned()),
    }
}

/// Reads what is there; waits a moment for it. Zero if nothing came.
pub(crate) fn read_some(fd: BorrowedFd<'_>, buf: &mut [u8], within: Duration) -> Result<usize> {
    for _ in 0..2 {
        match rustix::io::read(fd, &mut *buf) {
            Ok(0) => return Err(LabError::Line("the other side has hung up".to_owned())),
            Ok(count) => return Ok(count),
            Err(Errno::AGAIN) => {
                if !ready(fd, PollFlags::IN, within)? {
                    return Ok(0);
                }
            }
            Err(error) => return Err(error).doing(|| "read from a line".to_owned()),
        }
    }
    Ok(0)
}

/// Writes as much as there is room for; waits a moment for some. Zero if there came none.
pub(crate) fn write_some(fd: BorrowedFd<'_>, bytes: &[u8], within: Duration) -> Result<usize> {
    for _ in 0..2 {
        match rustix::io::write(fd, bytes) {
            Ok(count) => return Ok(count),
            Err(Errno::AGAIN) => {
                if !ready(fd, PollFlags::OUT, within)? {
                    return Ok(0);
                }
            }
            Err(error) => return Err(error).doing(|| "write to a line".to_owned()),
        }
    }
    Ok(0)
}

/// Writes all of it.
pub(crate) fn write_all(fd: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        match write_some(fd, bytes, PATIENCE)? {
            0 => return Err(late("room on a line")),
            count => bytes = &bytes[count..],
        }
    }
    Ok(())
}

pub(crate) fn late(what: &str) -> LabError {
    LabError::Late { what: what.to_owned(), within: PATIENCE }
}

/// For anything that has to happen on a machine that is busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
const A_SECOND: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };
