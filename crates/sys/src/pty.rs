//! Virtual serial ports: a pseudo terminal whose slave has a stable name.

use std::ffi::OsStr;
use std::future::pending;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{Gid, Mode, OFlags, Uid, fchmod, fchown, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

use crate::control::{Control, Kind, Shared};
use crate::descriptor::{is_broken, unread};
use crate::owner::Owner;
use crate::termios::make_raw;
use crate::watched::Watched;

/// The master of a pseudo terminal, and the name of its slave. Make a [`crate::SerialPort`] of it
/// to move bytes.
///
/// The slave is raw before anybody can know its name, so no byte is ever echoed or translated.
/// With nobody reading the slave, some kilobytes are buffered and then writing waits.
/// On drop the link is removed, unless it has come to point elsewhere.
#[derive(Debug)]
pub struct Pty {
    master: Watched,
    /// The same master, for all that moves no bytes.
    shared: Arc<Shared>,
    /// Never read or written; see [`Slave::Held`].
    slave: Option<OwnedFd>,
    slave_path: PathBuf,
    link: Option<Link>,
}

/// What happens at the master when no program has the slave open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slave {
    /// Nothing: this process keeps the slave open, as a cable stays plugged in while programs come
    /// and go. What was written meanwhile waits for the next one. So do settings, and an exclusive
    /// mode (TIOCEXCL) that a killed program left: only root gets in then.
    Held,
    /// The master reads EIO and the port counts as gone until somebody opens the slave.
    Free,
}

/// Who may use the slave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PtyAccess {
    /// Whose it is. By default this process's user's, and group `tty`'s where devpts says so.
    pub owner: Owner,
    /// Its permission bits. By default 0660: owner and group, as with a real port.
    pub mode: u32,
}

impl Default for PtyAccess {
    fn default() -> Self {
        Self { owner: Owner::default(), mode: SLAVE_MODE }
    }
}

/// Why there is no virtual port. After every variant nothing is left open or linked.
#[derive(Debug, thiserror::Error)]
pub enum PtyError {
    /// The system gave no pseudo terminal.
    #[error("failed to {doing} a pseudo terminal: {source}")]
    Open {
        /// The step that failed.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Something that is not ours to replace has the link's name.
    #[error("{}: exists and is {what}; not replaced", link.display())]
    Occupied {
        /// The link asked for.
        link: PathBuf,
        /// What is there.
        what: String,
    },
    /// The link cannot be made.
    #[error("{}: failed to make the link: {source}", link.display())]
    Link {
        /// The link asked for.
        link: PathBuf,
        /// What the system said; usually its directory does not exist.
        source: io::Error,
    },
}

impl Pty {
    /// As [`Self::open_with`], with the slave's usual owner and mode 0660.
    ///
    /// # Errors
    /// See [`PtyError`].
    pub fn open(link: Option<&Path>, slave: Slave) -> Result<Self, PtyError> {
        Self::open_with(link, slave, PtyAccess::default())
    }

    /// Makes a pseudo terminal, with a symbolic link to its slave if `link` says so. Needs a tokio
    /// runtime with I/O enabled.
    ///
    /// A link that a killed process left is replaced atomically; anything but a link to a pseudo
    /// terminal is not. Owner and mode are those of the slave before anybody can know its name.
    ///
    /// # Errors
    /// See [`PtyError`].
    pub fn open_with(
        link: Option<&Path>,
        slave: Slave,
        access: PtyAccess,
    ) -> Result<Self, PtyError> {
        let at = |doing| move |error: Errno| PtyError::Open { doing, source: error.into() };
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).map_err(at("open"))?;
        grantpt(&master).map_err(at("grant"))?;
        unlockpt(&master).map_err(at("unlock"))?;
        // By the master and not by name: /dev/pts may be another one in a container.
        let peer = ioctl_tiocgptpeer(&master, flags).map_err(at("open the slave of"))?;
        let mut termios = tcgetattr(&peer).map_err(at("read the settings of"))?;
        make_raw(&mut termios);
        tcsetattr(&peer, OptionalActions::Now, &termios).map_err(at("set up"))?;
        let Owner { user, group } = access.owner;
        if user.is_some() || group.is_some() {
            fchown(&peer, user.map(Uid::from_raw), group.map(Gid::from_raw))
                .map_err(at("set the owner of"))?;
        }
        // Last, so that a wide mode is never the old owner's.
        fchmod(&peer, Mode::from_raw_mode(access.mode & 0o777)).map_err(at("set the mode of"))?;
        let name = ptsname(&master, Vec::new()).map_err(at("name"))?;
        let slave_path = PathBuf::from(OsStr::from_bytes(name.as_bytes()));
        let status = fcntl_getfl(&master).map_err(at("look at"))?;
        fcntl_setfl(&master, status | OFlags::NONBLOCK).map_err(at("set up"))?;
        let again =
            master.try_clone().map_err(|error| PtyError::Open { doing: "share", source: error })?;
        let shared = Shared::new(again, link.unwrap_or(&slave_path), Kind::Master, false);
        let master = Watched::new(master)
            .map_err(|error| PtyError::Open { doing: "watch", source: error })?;
        let link = link.map(|path| Link::create(path, &slave_path)).transpose()?;
        let slave = (slave == Slave::Held).then_some(peer);
        Ok(Self { master, shared, slave, slave_path, link })
    }

    /// The name to tell users: the link if there is one, else the slave itself.
    pub fn path(&self) -> &Path {
        self.link.as_ref().map_or(&self.slave_path, |link| &link.path)
    }

    /// A handle for all that moves no bytes. Here only the purges have an effect.
    pub fn control(&self) -> Control {
        self.shared.control()
    }

    /// Hands the slave that is kept open ([`Slave::Held`]) to whoever is to have it: a child. When
    /// nobody has it open any more, the master reads EIO.
    pub fn take_slave(&mut self) -> Option<OwnedFd> {
        self.slave.take()
    }

    /// Whether no program has the slave open.
    pub(crate) fn is_hung_up(&self) -> bool {
        is_broken(self.master.fd().as_fd())
    }

    /// Makes a slave that was closed raw again, whatever the last program has set.
    pub(crate) fn reset(&self) -> io::Result<()> {
        let peer = self.peer()?;
        let mut termios = tcgetattr(&peer)?;
        make_raw(&mut termios);
        Ok(tcsetattr(&peer, OptionalActions::Now, &termios)?)
    }

    /// The reactor never forgets a hang-up; a new registration has not heard of the one before.
    pub(crate) fn forget_hang_up(&mut self) -> io::Result<()> {
        self.master = Watched::new(self.master.fd().try_clone()?)?;
        Ok(())
    }

    /// Bytes that were written and the program at the slave has not read yet; those that the
    /// kernel still carries over are not among them.
    pub(crate) fn unread(&self) -> io::Result<u64> {
        unread(self.peer()?.as_fd())
    }

    /// Bytes that the program at the slave has written and that were not read here yet.
    pub(crate) fn waiting(&self) -> io::Result<u64> {
        // To be asked for a hang-up has the kernel hand over what it still carries.
        let _ = self.is_hung_up();
        unread(self.master.fd().as_fd())
    }

    fn peer(&self) -> io::Result<OwnedFd> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        Ok(ioctl_tiocgptpeer(self.master.fd(), flags)?)
    }

    /// The slave itself, like `/dev/pts/7`.
    pub fn slave_path(&self) -> &Path {
        &self.slave_path
    }

    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.master.readable().await
    }

    /// A hang-up would make it writable at once, full or not, for ever.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        if self.is_hung_up() {
            return pending().await;
        }
        self.master.writable().await
    }

    pub(crate) fn watched(&mut self) -> &mut Watched {
        &mut self.master
    }
}

/// A symbolic link to a slave that is removed on drop if it is still ours.
#[derive(Debug)]
struct Link {
    path: PathBuf,
    target: PathBuf,
}

impl Link {
    fn create(path: &Path, target: &Path) -> Result<Self, PtyError> {
        let failed = |source| PtyError::Link { link: path.to_owned(), source };
        let occupied = |what| PtyError::Occupied { link: path.to_owned(), what };
        let name = path.file_name().ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
        match path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
            Ok(meta) if meta.is_symlink() => {
                let old = path.read_link().map_err(failed)?;
                // A dangling link is stale whatever it named. One to a pseudo terminal may be: the
                // numbers are used again. A link to a real device is somebody's own.
                if path.exists() && !old.starts_with("/dev/pts") {
                    return Err(occupied(format!("a link to {}", old.display())));
                }
            }
            Ok(meta) if meta.is_dir() => return Err(occupied("a directory".to_owned())),
            Ok(_) => return Err(occupied("not a symbolic link".to_owned())),
        }
        // Made aside and renamed over: a program that opens the name never finds it missing.
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let mut aside = name.to_owned();
        aside.push(format!(".{}.{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
        let aside = path.with_file_name(aside);
        std::os::unix::fs::symlink(target, &aside).map_err(failed)?;
        if let Err(error) = std::fs::rename(&aside, path) {
            let _ = std::fs::remove_file(&aside);
            return Err(failed(error));
        }
        Ok(Self { path: path.to_owned(), target: target.to_owned() })
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if self.path.read_link().is_ok_and(|target| target == self.target) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Owner and group (usually `tty`) may use a virtual port, as with a real one.
const SLAVE_MODE: u32 = 0o660;

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;
    use crate::port::SerialPort;

    #[tokio::test]
    async fn the_slave_is_raw_before_the_first_byte() {
        for slave in [Slave::Held, Slave::Free] {
            let pty = Pty::open(None, slave).unwrap();
            // A plain program that sets nothing: no echo, no translation, no special character.
            let mut far =
                std::fs::OpenOptions::new().read(true).write(true).open(pty.slave_path()).unwrap();
            assert_eq!(far.metadata().unwrap().mode() & 0o777, 0o660);
            let mut near = SerialPort::from(pty);
            near.write(b"a\r\x03\x04\x11b").await.unwrap();
            let mut buf = [0; 64];
            let n = far.read(&mut buf).unwrap();
            assert_eq!(&buf[..n], b"a\r\x03\x04\x11b");
            far.write_all(b"x\n").unwrap();
            let n = near.read(&mut buf).await.unwrap();
            assert_eq!(&buf[..n], b"x\n", "{slave:?}");
        }
    }

    #[tokio::test]
    async fn a_link_comes_replaces_its_kind_and_goes() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("line");
        symlink("/dev/pts/999999", &link).unwrap();
        let first = Pty::open(Some(&link), Slave::Held).unwrap();
        assert_eq!(link.read_link().unwrap(), first.slave_path());
        assert_eq!(first.path(), link);
        let second = Pty::open(Some(&link), Slave::Held).unwrap();
        assert_eq!(link.read_link().unwrap(), second.slave_path());
        drop(first);
        assert_eq!(link.read_link().unwrap(), second.slave_path(), "not the first's any more");
        drop(second);
        assert!(link.symlink_metadata().is_err());
        assert_eq!(dir.path().read_dir().unwrap().count(), 0);
    }

    #[tokio::test]
    async fn owner_and_mode_are_as_asked() {
        let ours = tempfile::tempfile().unwrap().metadata().unwrap();
        // To give a file away one must be root; to oneself anybody may.
        let owner = if ours.uid() == 0 {
            Owner { user: Some(65_534), group: Some(65_533) }
        } else {
            Owner { user: Some(ours.uid()), group: Some(ours.gid()) }
        };
        let access = PtyAccess { owner, mode: 0o600 };
        let pty = Pty::open_with(None, Slave::Held, access).unwrap();
        let meta = pty.slave_path().metadata().unwrap();
        assert_eq!(meta.mode() & 0o777, 0o600);
        assert_eq!((Some(meta.uid()), Some(meta.gid())), (owner.user, owner.group));
    }

    #[tokio::test]
    async fn what_is_not_ours_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "precious").unwrap();
        let device = dir.path().join("device");
        symlink("/dev/null", &device).unwrap();
        for (link, what) in [
            (file.clone(), "not a symbolic link"),
            (dir.path().to_owned(), "a directory"),
            (device, "a link to /dev/null"),
        ] {
            let error = Pty::open(Some(&link), Slave::Held).unwrap_err();
            assert!(matches!(error, PtyError::Occupied { .. }), "{error}");
            assert!(error.to_string().contains(what), "{error}");
        }
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
        let error = Pty::open(Some(&dir.path().join("no/line")), Slave::Held).unwrap_err();
        assert!(matches!(error, PtyError::Link { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_slave_that_is_closed_and_opened_again_is_raw_and_quiet() {
        use std::time::Duration;
        let pty = Pty::open(None, Slave::Free).unwrap();
        let path = pty.slave_path().to_owned();
        let open = || std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let mut near = SerialPort::from(pty);
        // Another test that starts a process at this moment has a copy of the slave until it does.
        while !near.is_hung_up() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let far = open();
        assert!(!near.is_hung_up());
        let mut cooked = tcgetattr(&far).unwrap();
        cooked.local_modes |= rustix::termios::LocalModes::ECHO;
        tcsetattr(&far, OptionalActions::Now, &cooked).unwrap();
        drop(far);
        near.reset().unwrap();
        let mut far = open();
        near.forget_hang_up().unwrap();
        near.write(b"in").await.unwrap();
        // Neither an echo nor the old hang-up.
        let quiet = tokio::time::timeout(Duration::from_millis(50), near.readable()).await;
        assert!(quiet.is_err());
        assert_eq!(near.unread(), Some(2));
        far.write_all(b"out").unwrap();
        let mut buf = [0; 8];
        assert_eq!(near.read(&mut buf).await.unwrap(), 3);
    }

    #[tokio::test]
    async fn what_a_program_said_before_it_closed_is_seen_and_nobody_waits_to_write_to_it() {
        use std::time::Duration;
        let pty = Pty::open(None, Slave::Free).unwrap();
        let open = std::fs::OpenOptions::new().write(true).open(pty.slave_path());
        let mut near = SerialPort::from(pty);
        assert_eq!(near.waiting(), 0);
        let mut far = open.unwrap();
        far.write_all(b"out").unwrap();
        drop(far);
        assert!(near.is_hung_up());
        assert_eq!(near.waiting(), 3);
        let spins = tokio::time::timeout(Duration::from_millis(50), near.writable()).await;
        assert!(spins.is_err());
        near.readable().await.unwrap();
        assert_eq!(near.try_read(&mut [0; 8]).unwrap(), Some(3));
        assert!(near.try_read(&mut [0; 8]).is_err(), "and then the end");
    }

    #[tokio::test]
    async fn the_master_is_not_inherited() {
        let pty = Pty::open(None, Slave::Held).unwrap();
        let flags = rustix::io::fcntl_getfd(pty.master.fd()).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    }
}
