//! A bridge's door: what other programs find while this node has the line, and only then.
//!
//! One client at a time. While there is none nothing is taken, so that input waits at the terminal
//! server; a client that does not read holds it back likewise.

use std::future::pending;
use std::io;
use std::net::TcpListener as StdTcpListener;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sys::descriptor::{is_served, read_now, unread, unsent, watch_over};
use sys::pty::Slave;
use sys::{BootTimer, SerialPort, boottime};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use super::options;
use super::streamed::{Moved, is_later};

/// A door, open or not.
#[derive(Debug)]
pub(crate) struct Door {
    /// What it looks like.
    look: options::Door,
    entry: Entry,
    client: Client,
    /// When an entry that cannot wake us is looked at again.
    look_at: Option<Duration>,
    timer: BootTimer,
    /// It was said that a second client was turned away.
    refusal_told: bool,
    /// Bytes that clients were given and surely have not got; unknown for a Unix socket.
    lost: u64,
    /// Bytes that clients have said and nobody has read.
    unsaid: u64,
}

/// Where clients come in.
#[derive(Debug)]
enum Entry {
    Closed,
    Tcp(TcpListener),
    Unix { listener: UnixListener, _path: BoundPath },
    Terminal(Box<SerialPort>),
}

/// Who is there.
#[derive(Debug)]
enum Client {
    Nobody,
    Tcp(TcpStream),
    Unix(UnixStream),
    /// Some program has the terminal open.
    Terminal,
}

/// A socket's file, removed on drop if it is still ours.
#[derive(Debug)]
struct BoundPath {
    path: PathBuf,
    inode: (u64, u64),
}

impl Door {
    /// A door that is closed.
    pub(crate) fn new(look: options::Door) -> io::Result<Self> {
        Ok(Self {
            look,
            entry: Entry::Closed,
            client: Client::Nobody,
            look_at: None,
            timer: BootTimer::new()?,
            refusal_told: false,
            lost: 0,
            unsaid: 0,
        })
    }

    /// Opens it. An error was logged in full.
    pub(crate) fn open(&mut self) -> io::Result<()> {
        match self.entry() {
            Ok(entry) => {
                self.entry = entry;
                tracing::info!(door = %self.look, "door-open");
                Ok(())
            }
            Err(error) => {
                tracing::error!(door = %self.look, %error, "door-failed");
                Err(error)
            }
        }
    }

    fn entry(&self) -> io::Result<Entry> {
        match &self.look {
            options::Door::Tcp(address) => {
                let listener = StdTcpListener::bind(address)?;
                listener.set_nonblocking(true)?;
                Ok(Entry::Tcp(TcpListener::from_std(listener)?))
            }
            options::Door::Unix(path) => {
                let (listener, _path) = bind_unix(path)?;
                listener.set_nonblocking(true)?;
                Ok(Entry::Unix { listener: UnixListener::from_std(listener)?, _path })
            }
            options::Door::Pty(link) => {
                let port = SerialPort::open_pty(Some(link), Slave::Free);
                Ok(Entry::Terminal(Box::new(port.map_err(io::Error::other)?)))
            }
        }
    }

    /// Whether nobody is there who could take anything.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.client, Client::Nobody)
    }

    /// Lets nobody in any more; who is inside may still be read.
    pub(crate) fn close_in(&mut self) {
        if !matches!(self.entry, Entry::Terminal(_)) {
            self.entry = Entry::Closed;
        }
    }

    /// Sends the client away and takes the door down.
    pub(crate) fn close(&mut self) {
        self.end_client("the line's grant has ended");
        if !matches!(std::mem::replace(&mut self.entry, Entry::Closed), Entry::Closed) {
            tracing::info!(door = %self.look, "door-closed");
        }
    }

    /// Bytes that clients were given and surely have not got. `None`: nobody knows.
    pub(crate) fn unprocessed(&self) -> Option<u64> {
        let known = !matches!(self.look, options::Door::Unix(_));
        known.then(|| self.lost + self.unread())
    }

    /// Bytes that the present client was given and surely has not got yet.
    fn unread(&self) -> u64 {
        match (&self.client, &self.entry) {
            (Client::Tcp(stream), _) => unsent(stream.as_fd()).unwrap_or(0),
            (Client::Terminal, Entry::Terminal(port)) => port.unread().unwrap_or(0),
            _ => 0,
        }
    }

    /// Bytes that clients have said and nobody has read.
    pub(crate) fn unsaid(&self) -> u64 {
        let present = match (&self.client, &self.entry) {
            (Client::Tcp(stream), _) => unread(stream.as_fd()).unwrap_or(0),
            (Client::Unix(stream), _) => unread(stream.as_fd()).unwrap_or(0),
            (Client::Terminal, Entry::Terminal(port)) => port.waiting(),
            _ => 0,
        };
        self.unsaid + present
    }

    /// Waits for a client, or for what it does. Cancel-safe.
    pub(crate) async fn ready(&mut self, read: bool, write: bool) {
        let Self { entry, client, look_at, timer, .. } = self;
        tokio::select! {
            came = entry.next(look_at, timer, client) => self.welcome(came),
            () = client_ready(client, entry_terminal(entry), read, write) => {}
        }
    }

    /// What the client has sent.
    pub(crate) fn try_read(&mut self, buf: &mut [u8]) -> Moved {
        if buf.is_empty() {
            return Moved::Later;
        }
        let read = match (&self.client, &mut self.entry) {
            (Client::Tcp(stream), _) => stream.try_read(buf),
            (Client::Unix(stream), _) => stream.try_read(buf),
            (Client::Terminal, Entry::Terminal(port)) => from_port(port.try_read(buf)),
            _ => return Moved::Later,
        };
        self.judge(read)
    }

    /// As [`Self::try_read`], past the reactor, which may not have seen yet that there is something.
    pub(crate) fn try_read_now(&mut self, buf: &mut [u8]) -> Moved {
        let read = match (&self.client, &mut self.entry) {
            (Client::Tcp(stream), _) => read_now(stream.as_fd(), buf),
            (Client::Unix(stream), _) => read_now(stream.as_fd(), buf),
            (Client::Terminal, Entry::Terminal(port)) => from_port(port.read_now(buf)),
            _ => return Moved::Over,
        };
        read.map_or(Moved::Over, Moved::Some)
    }

    /// Gives the client something.
    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> Moved {
        let written = match (&self.client, &mut self.entry) {
            (Client::Tcp(stream), _) => stream.try_write(bytes),
            (Client::Unix(stream), _) => stream.try_write(bytes),
            // The system would take it for nobody. Reading finds the end, after what was said.
            (Client::Terminal, Entry::Terminal(port)) if port.is_hung_up() => return Moved::Later,
            (Client::Terminal, Entry::Terminal(port)) => from_port(port.try_write(bytes)),
            _ => return Moved::Later,
        };
        self.judge(written)
    }

    /// A client that has gone is no end of the bridge.
    fn judge(&mut self, moved: io::Result<usize>) -> Moved {
        match moved {
            Ok(count) if count > 0 => return Moved::Some(count),
            Err(error) if is_later(&error) => {}
            Ok(_) => self.end_client("it has gone"),
            Err(error) => self.end_client(&error.to_string()),
        }
        Moved::Later
    }

    fn end_client(&mut self, why: &str) {
        if self.is_idle() {
            return;
        }
        self.lost += self.unread();
        self.unsaid = self.unsaid();
        self.client = Client::Nobody;
        self.refusal_told = false;
        tracing::info!(door = %self.look, why, "client-gone");
        if let Entry::Terminal(port) = &self.entry
            && let Err(error) = port.reset()
        {
            tracing::error!(door = %self.look, %error, "door-failed");
        }
    }

    fn welcome(&mut self, came: io::Result<Client>) {
        let client = match came {
            Ok(client) => client,
            Err(error) => {
                tracing::warn!(door = %self.look, %error, "client-failed");
                self.look_at = Some(boottime() + ACCEPT_AGAIN);
                return;
            }
        };
        if !self.is_idle() {
            if !std::mem::replace(&mut self.refusal_told, true) {
                tracing::warn!(door = %self.look, why = "there is one already", "client-refused");
            }
            return;
        }
        if let Entry::Terminal(port) = &mut self.entry
            && let Err(error) = port.forget_hang_up()
        {
            tracing::error!(door = %self.look, %error, "door-failed");
            self.look_at = Some(boottime() + ACCEPT_AGAIN);
            return;
        }
        if let Client::Tcp(stream) = &client {
            let _ = stream.set_nodelay(true);
            // A client whose machine has gone must not keep others out, nor swallow input.
            let _ = watch_over(stream.as_fd(), TCP_SILENCE);
        }
        tracing::info!(door = %self.look, "client-connected");
        self.client = client;
    }
}

impl Entry {
    /// The next client. Cancel-safe: a time to look again lives outside.
    async fn next(
        &self,
        look_at: &mut Option<Duration>,
        timer: &mut BootTimer,
        client: &Client,
    ) -> io::Result<Client> {
        if let Some(at) = *look_at {
            timer.until(Some(at)).await;
            *look_at = None;
        }
        match self {
            Self::Closed => pending().await,
            Self::Tcp(listener) => listener.accept().await.map(|(stream, _)| Client::Tcp(stream)),
            Self::Unix { listener, .. } => {
                listener.accept().await.map(|(stream, _)| Client::Unix(stream))
            }
            Self::Terminal(_) if matches!(client, Client::Terminal) => pending().await,
            Self::Terminal(port) => loop {
                // One that has come and gone since the last look has left what it said.
                if !port.is_hung_up() || port.waiting() > 0 {
                    return Ok(Client::Terminal);
                }
                // Nobody is told that a terminal was opened.
                let at = *look_at.insert(boottime() + LOOK_AGAIN);
                timer.until(Some(at)).await;
                *look_at = None;
            },
        }
    }
}

fn entry_terminal(entry: &Entry) -> Option<&SerialPort> {
    match entry {
        Entry::Terminal(port) => Some(port),
        _ => None,
    }
}

async fn client_ready(client: &Client, port: Option<&SerialPort>, read: bool, write: bool) {
    use tokio::io::Interest;
    let interest = match (read, write) {
        (true, true) => Interest::READABLE | Interest::WRITABLE,
        (true, false) => Interest::READABLE,
        (false, true) => Interest::WRITABLE,
        (false, false) => return pending().await,
    };
    match (client, port) {
        (Client::Tcp(stream), _) => drop(stream.ready(interest).await),
        (Client::Unix(stream), _) => drop(stream.ready(interest).await),
        (Client::Terminal, Some(port)) => {
            tokio::select! {
                _ = port.readable(), if read => {}
                _ = port.writable(), if write => {}
            }
        }
        _ => pending().await,
    }
}

fn from_port(moved: Result<Option<usize>, sys::PortError>) -> io::Result<usize> {
    match moved {
        Ok(Some(count)) => Ok(count),
        Ok(None) => Err(io::ErrorKind::WouldBlock.into()),
        Err(error) => Err(io::Error::other(error)),
    }
}

/// Bound aside and renamed over: a socket that somebody serves is never replaced, one that a
/// killed process left is, and nobody sees it before its mode is right.
fn bind_unix(path: &Path) -> io::Result<(StdUnixListener, BoundPath)> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
        Ok(meta) if !meta.file_type().is_socket() => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "exists and is no socket"));
        }
        Ok(_) if is_served(path)? => {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "somebody serves this socket"));
        }
        Ok(_) => {}
    }
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".{}", std::process::id()));
    let aside = PathBuf::from(aside);
    let _ = std::fs::remove_file(&aside);
    let listener = StdUnixListener::bind(&aside)?;
    let placed = || {
        std::fs::set_permissions(&aside, std::fs::Permissions::from_mode(SOCKET_MODE))?;
        let meta = aside.symlink_metadata()?;
        std::fs::rename(&aside, path)?;
        Ok(BoundPath { path: path.to_owned(), inode: (meta.dev(), meta.ino()) })
    };
    let bound = placed().inspect_err(|_: &io::Error| {
        let _ = std::fs::remove_file(&aside);
    })?;
    Ok((listener, bound))
}

impl Drop for BoundPath {
    fn drop(&mut self) {
        let ours = |meta: std::fs::Metadata| (meta.dev(), meta.ino()) == self.inode;
        if self.path.symlink_metadata().is_ok_and(ours) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Owner and group may be the line's client.
const SOCKET_MODE: u32 = 0o660;
/// Between two looks whether a program has opened the terminal.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// After an accept that failed, as for want of descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(200);
/// After so long without a word a TCP client's system is asked whether it is still there.
const TCP_SILENCE: Duration = Duration::from_secs(5);
