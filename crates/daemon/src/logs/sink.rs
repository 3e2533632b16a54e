//! Where log lines go. It never waits: the loop that logs also renews leases, and a terminal after
//! Ctrl-S, a pipe that nobody reads or a journal that hangs must not stop it.

use std::io::{self, Write};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use rustix::net::{SendFlags, send};
use tracing_subscriber::fmt::MakeWriter;

/// A log that drops lines rather than wait, and says how many when it can write again.
#[derive(Debug, Clone)]
pub(super) struct Sink(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    way: Way,
    /// What the last line still lacks: it went out in part, and no other may begin inside it.
    rest: Vec<u8>,
    dropped: u64,
    notice: fn(u64) -> String,
}

/// How a write is kept from waiting.
#[derive(Debug)]
enum Way {
    /// There is no such file.
    Nowhere,
    /// As the journal's.
    Socket(BorrowedFd<'static>),
    /// Opened again as one that does not block. The flag of the old one is not touched: other
    /// processes have it, too.
    Own(OwnedFd),
    /// What cannot be opened again is asked before each write.
    Asked(BorrowedFd<'static>),
    /// A regular file.
    File(BorrowedFd<'static>),
}

impl Sink {
    /// For this process's standard error; `notice` makes a line of a number of dropped ones.
    pub(super) fn stderr(notice: fn(u64) -> String) -> Self {
        Self::new(rustix::stdio::stderr(), notice)
    }

    fn new(fd: BorrowedFd<'static>, notice: fn(u64) -> String) -> Self {
        Self(Arc::new(Mutex::new(State { way: Way::of(fd), rest: Vec::new(), dropped: 0, notice })))
    }
}

impl<'w> MakeWriter<'w> for Sink {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

impl Write for Sink {
    /// Takes one line. It never fails: the subscriber would tell that on standard error, and wait.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).line(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl State {
    fn line(&mut self, line: &[u8]) {
        let done = self.way.write(&self.rest);
        self.rest.drain(..done);
        // In one piece: alone the notice would take the little room that no line fits in.
        let notice = match self.dropped {
            0 => String::new(),
            count => (self.notice)(count),
        };
        if self.rest.is_empty() && self.begin(&[notice.as_bytes(), line].concat()) {
            self.dropped = 0;
        } else {
            self.dropped += 1;
        }
    }

    /// Whether some of it went out: then the rest of it comes first, next time.
    fn begin(&mut self, line: &[u8]) -> bool {
        let done = self.way.write(line);
        if done > 0 {
            self.rest.extend_from_slice(&line[done..]);
        }
        done > 0
    }
}

impl Way {
    fn of(fd: BorrowedFd<'static>) -> Self {
        let kind = fstat(fd).map(|stat| FileType::from_raw_mode(stat.st_mode));
        match kind {
            Err(_) => Self::Nowhere,
            Ok(FileType::RegularFile) => Self::File(fd),
            Ok(FileType::Socket) => Self::Socket(fd),
            Ok(_) => {
                let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
                let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
                open(path, flags, Mode::empty()).map_or(Self::Asked(fd), Self::Own)
            }
        }
    }

    /// How many of `bytes` went out without waiting.
    fn write(&mut self, bytes: &[u8]) -> usize {
        let mut done = 0;
        while done < bytes.len() {
            match self.write_some(&bytes[done..]) {
                Ok(count) if count > 0 => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                _ => break,
            }
        }
        done
    }

    fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Nowhere => Ok(0),
            Self::File(fd) => Ok(rustix::io::write(fd, bytes)?),
            Self::Socket(fd) => Ok(send(fd, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?),
            Self::Own(fd) => Ok(rustix::io::write(fd, bytes)?),
            Self::Asked(fd) => {
                let mut asked = [PollFd::new(&*fd, PollFlags::OUT)];
                poll(&mut asked, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
                if !asked[0].revents().contains(PollFlags::OUT) {
                    return Ok(0);
                }
                Ok(rustix::io::write(fd, &bytes[..bytes.len().min(PIECE)])?)
            }
        }
    }
}

/// What a pipe that is writable surely takes at once (PIPE_BUF).
const PIECE: usize = 4096;

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use super::*;

    fn notice(count: u64) -> String {
        format!("{count} dropped\n")
    }

    /// Fills `sink` until lines are dropped; then `read` gets everything, with one line more.
    fn fill(mut sink: Sink, mut reader: impl Read) {
        let line = [&[b'x'; 999][..], b"\n"].concat();
        let began = sys::boottime();
        let lines = 2000;
        for _ in 0..lines {
            sink.write_all(&line).unwrap();
        }
        assert!(sys::boottime() - began < Duration::from_secs(10), "it waited");
        let dropped = sink.0.lock().unwrap().dropped;
        assert!(dropped > 0 && dropped < lines, "{dropped} dropped");
        let mut buffer = vec![0; 1 << 16];
        let mut said = Vec::new();
        let mut more = sink.clone();
        loop {
            match reader.read(&mut buffer) {
                Ok(count) if count > 0 => said.extend_from_slice(&buffer[..count]),
                _ if said.ends_with(b"here again\n") => break,
                _ => more.write_all(b"here again\n").unwrap(),
            }
        }
        let said = String::from_utf8(said).unwrap();
        let whole = said.lines().filter(|line| line.len() == 999).count() as u64;
        assert_eq!(whole, lines - dropped, "each line is whole");
        let rest: Vec<&str> = said.lines().filter(|line| line.len() != 999).collect();
        assert_eq!(rest, [notice(dropped).trim(), "here again"]);
    }

    /// As standard error it is there for good.
    fn kept(fd: impl Into<OwnedFd>) -> BorrowedFd<'static> {
        let fd: &'static OwnedFd = Box::leak(Box::new(fd.into()));
        fd.as_fd()
    }

    fn pipe() -> (File, BorrowedFd<'static>) {
        let (reader, writer) = io::pipe().unwrap();
        rustix::io::ioctl_fionbio(&reader, true).unwrap();
        (OwnedFd::from(reader).into(), kept(writer))
    }

    #[test]
    fn a_full_pipe_keeps_nobody_waiting_and_what_was_dropped_is_said() {
        let (reader, writer) = pipe();
        let sink = Sink::new(writer, notice);
        assert!(matches!(sink.0.lock().unwrap().way, Way::Own(_)));
        fill(sink, reader);
    }

    #[test]
    fn a_pipe_that_cannot_be_opened_again_is_asked_first() {
        let (reader, writer) = pipe();
        let state = State { way: Way::Asked(writer), rest: Vec::new(), dropped: 0, notice };
        fill(Sink(Arc::new(Mutex::new(state))), reader);
    }

    #[test]
    fn a_journal_that_hangs_keeps_nobody_waiting() {
        let (reader, writer) = UnixStream::pair().unwrap();
        let sink = Sink::new(kept(writer), notice);
        assert!(matches!(sink.0.lock().unwrap().way, Way::Socket(_)));
        reader.set_nonblocking(true).unwrap();
        fill(sink, reader);
    }

    #[test]
    fn a_file_gets_every_line() {
        let mut file = tempfile::tempfile().unwrap();
        let copy = file.try_clone().unwrap();
        let mut sink = Sink::new(kept(copy), notice);
        sink.write_all(b"one\n").unwrap();
        sink.write_all(b"two\n").unwrap();
        let mut said = String::new();
        io::Seek::rewind(&mut file).unwrap();
        file.read_to_string(&mut said).unwrap();
        assert_eq!(said, "one\ntwo\n");
    }
}
