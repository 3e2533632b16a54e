//! A payload that takes part by plain bytes: the codec, and the way its bytes travel.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use sys::descriptor::unread;
use sys::{BootTimer, Pty, SerialPort, boottime};
use tokio::net::unix::pipe::{Receiver, Sender};
use wire::{EventKind, Frame, Grant, Time};

use super::door::Door;
use super::framed::{Mark, Said};
use super::options::Stream;
use super::stream::StreamCodec;

/// The node's side of a payload that knows no frames.
#[derive(Debug)]
pub(crate) struct Streamed {
    codec: StreamCodec,
    way: Way,
    timer: BootTimer,
    marks: Vec<Mark>,
    /// The first byte of input was not yet written.
    before_input: bool,
    /// There was input pending at the grant.
    pending: bool,
}

/// How bytes travel.
#[derive(Debug)]
enum Way {
    Pipes(Pipes),
    /// `None`: nothing more of it is of use.
    Terminal(Option<SerialPort>),
    Door(Box<Door>),
}

#[derive(Debug)]
struct Pipes {
    stdin: Option<Sender>,
    /// The other end of it, opened when it was closed, to see what was left unread.
    left: Option<File>,
    /// Bytes that lay unread when the payload closed its standard input.
    unread: u64,
    stdout: Option<Receiver>,
}

/// What became of an attempt to move bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moved {
    /// So many.
    Some(usize),
    /// None at present.
    Later,
    /// None any more.
    Over,
}

impl Streamed {
    /// Over pipes: the node's ends, and the payload's standard input and output.
    pub(crate) fn pipes(stream: Stream) -> io::Result<(Self, PipeReader, PipeWriter)> {
        let (payload_stdin, stdin) = io::pipe()?;
        let (stdout, payload_stdout) = io::pipe()?;
        let pipes = Pipes {
            stdin: Some(Sender::from_owned_fd(OwnedFd::from(stdin))?),
            left: None,
            unread: 0,
            stdout: Some(Receiver::from_owned_fd(OwnedFd::from(stdout))?),
        };
        Ok((Self::new(stream, Way::Pipes(pipes))?, payload_stdin, payload_stdout))
    }

    /// Over a terminal in raw mode: the node's end, and the payload's, which is both streams.
    pub(crate) fn terminal(stream: Stream) -> io::Result<(Self, OwnedFd)> {
        let mut pty = Pty::open(None, sys::pty::Slave::Held).map_err(io::Error::other)?;
        let slave = pty.take_slave().ok_or(io::ErrorKind::NotFound)?;
        let way = Way::Terminal(Some(SerialPort::from(pty)));
        Ok((Self::new(stream, way)?, slave))
    }

    /// Through a door that opens with the grant.
    pub(crate) fn door(stream: Stream, door: Door) -> io::Result<Self> {
        Self::new(stream, Way::Door(Box::new(door)))
    }

    fn new(stream: Stream, way: Way) -> io::Result<Self> {
        let (codec, timer) = (StreamCodec::new(stream), BootTimer::new()?);
        let marks = Vec::new();
        Ok(Self { codec, way, timer, marks, before_input: true, pending: false })
    }

    /// The grant says where both directions begin.
    pub(crate) fn begin(&mut self, grant: &Grant) {
        self.codec.begin(grant);
        self.pending = grant.end > grant.acked;
        if !self.pending {
            self.marks.push(Mark::Serving);
        }
    }

    /// The door, if there is one.
    pub(crate) fn door_mut(&mut self) -> Option<&mut Door> {
        match &mut self.way {
            Way::Door(door) => Some(door),
            _ => None,
        }
    }

    /// A frame for the payload. Events can only be logged.
    pub(crate) fn push(&mut self, frame: &Frame) {
        self.codec.handle_frame(frame);
        let Frame::Event(event) = frame else { return };
        // Line errors come in floods; they are counted, and told at the end.
        match event.kind {
            EventKind::Gap(lost) => tracing::warn!(offset = event.offset, lost, "stream-gap"),
            EventKind::Down => tracing::warn!("stream-down"),
            EventKind::Up => tracing::info!("stream-up"),
            _ => {}
        }
    }

    /// Bytes that wait for the payload.
    pub(crate) fn waiting(&self) -> usize {
        self.codec.waiting()
    }

    /// Writes what the payload takes.
    pub(crate) fn flush(&mut self) {
        while !self.codec.to_write().is_empty() {
            match self.way.try_write(self.codec.to_write()) {
                Moved::Some(count) => {
                    self.codec.handle_written(count);
                    if std::mem::take(&mut self.before_input) {
                        self.marks.extend(self.pending.then_some(Mark::Serving));
                        self.marks.push(Mark::FirstInput);
                    }
                }
                Moved::Later => return,
                Moved::Over => self.codec.keep_the_rest(),
            }
        }
    }

    /// The next moment that was reached.
    pub(crate) fn reached(&mut self) -> Option<Mark> {
        (!self.marks.is_empty()).then(|| self.marks.remove(0))
    }

    /// Gives what is still taken, then nothing more.
    pub(crate) fn close_stdin(&mut self) {
        self.flush();
        self.codec.keep_the_rest();
        self.way.close_in();
    }

    /// Nothing more of what the payload says is of use.
    pub(crate) fn close_stdout(&mut self) {
        self.way.close_out();
    }

    /// Waits until [`Self::read`] or [`Self::flush`] is worth calling. Cancel-safe.
    pub(crate) async fn ready(&mut self, read: bool) {
        if read && self.codec.has_frame() {
            return;
        }
        let due = self.codec.poll_timeout().filter(|_| read).map(Time::since_boot);
        let (read, write) = (read && self.codec.room() > 0, self.codec.waiting() > 0);
        tokio::select! {
            () = self.timer.until(due) => {}
            () = self.way.ready(read, write) => {}
        }
    }

    /// Reads what is there, within the output window.
    pub(crate) fn read(&mut self) -> Said {
        let now = Time::from_boot(boottime());
        let mut chunk = [0; CHUNK];
        let room = self.codec.room().min(CHUNK);
        match self.way.try_read(&mut chunk[..room]) {
            Moved::Some(count) => self.codec.handle_read(&chunk[..count], now),
            Moved::Later => self.codec.handle_timeout(now),
            Moved::Over => self.codec.finish(),
        }
        if self.codec.has_frame() { Said::Some } else { Said::Nothing }
    }

    /// The payload is gone: all that it has still said, as far as the window goes, and the account.
    pub(crate) fn read_rest(&mut self) {
        loop {
            let mut chunk = [0; CHUNK];
            let room = self.codec.room().min(CHUNK);
            match self.way.try_read_now(&mut chunk[..room]) {
                Moved::Some(count) if count > 0 => {
                    self.codec.handle_read(&chunk[..count], Time::ZERO);
                }
                _ => break,
            }
        }
        self.codec.finish();
        let (unprocessed, unsaid) = (self.way.unprocessed(), self.way.unsaid());
        let counts = self.codec.counts();
        tracing::info!(
            in_doubt = counts.in_doubt,
            taken = counts.taken,
            unprocessed,
            said = counts.said,
            unsaid,
            lost = counts.lost,
            events = counts.events,
            "stream-ended"
        );
        self.way.close_in();
        self.way.close_out();
    }

    /// The next frame for the line.
    pub(crate) fn next_frame(&mut self) -> Option<Frame> {
        self.codec.poll_frame()
    }
}

impl Way {
    fn try_write(&mut self, bytes: &[u8]) -> Moved {
        match self {
            Self::Pipes(pipes) => pipes.try_write(bytes),
            // The system would take it for nobody.
            Self::Terminal(Some(port)) if port.is_hung_up() => Moved::Over,
            Self::Terminal(port) => match port.as_mut().map(|port| port.try_write(bytes)) {
                Some(Ok(Some(count))) => Moved::Some(count),
                Some(Ok(None)) => Moved::Later,
                // Its other end is the guard's until the payload has it.
                Some(Err(_)) | None => Moved::Over,
            },
            Self::Door(door) => door.try_write(bytes),
        }
    }

    fn try_read(&mut self, buf: &mut [u8]) -> Moved {
        if buf.is_empty() {
            return Moved::Later;
        }
        match self {
            Self::Pipes(pipes) => pipes.try_read(buf),
            Self::Terminal(port) => match port.as_mut().map(|port| port.try_read(buf)) {
                Some(Ok(Some(count))) => Moved::Some(count),
                Some(Ok(None)) => Moved::Later,
                Some(Err(_)) | None => {
                    *port = None;
                    Moved::Over
                }
            },
            Self::Door(door) => door.try_read(buf),
        }
    }

    /// As [`Self::try_read`], past the reactor, which may not have seen yet that there is something.
    fn try_read_now(&mut self, buf: &mut [u8]) -> Moved {
        if buf.is_empty() {
            return Moved::Over;
        }
        match self {
            Self::Pipes(pipes) => pipes.try_read_now(buf),
            Self::Terminal(port) => match port.as_mut().map(|port| port.read_now(buf)) {
                Some(Ok(Some(count))) => Moved::Some(count),
                _ => Moved::Over,
            },
            Self::Door(door) => door.try_read_now(buf),
        }
    }

    async fn ready(&mut self, read: bool, write: bool) {
        match self {
            Self::Pipes(pipes) => pipes.ready(read, write).await,
            Self::Terminal(Some(port)) => {
                tokio::select! {
                    _ = port.readable(), if read => {}
                    _ = port.writable(), if write => {}
                    else => std::future::pending().await,
                }
            }
            Self::Terminal(None) => std::future::pending().await,
            Self::Door(door) => door.ready(read, write).await,
        }
    }

    fn close_in(&mut self) {
        match self {
            Self::Pipes(pipes) => pipes.close_in(),
            // A terminal has no half to close; the payload hears SIGTERM.
            Self::Terminal(_) => {}
            Self::Door(door) => door.close_in(),
        }
    }

    fn close_out(&mut self) {
        match self {
            Self::Pipes(pipes) => pipes.stdout = None,
            Self::Terminal(port) => *port = None,
            Self::Door(door) => door.close(),
        }
    }

    /// Bytes that were taken, and acknowledged, and that nobody has read as far as the system
    /// knows. `None`: it does not know, as with a terminal that hung up.
    fn unprocessed(&self) -> Option<u64> {
        match self {
            Self::Pipes(pipes) => pipes.unprocessed(),
            Self::Terminal(_) => None,
            Self::Door(door) => door.unprocessed(),
        }
    }

    /// Bytes that were said and are not read, as when the output window is full.
    fn unsaid(&self) -> u64 {
        match self {
            Self::Pipes(pipes) => {
                pipes.stdout.as_ref().and_then(|out| unread(out.as_fd()).ok()).unwrap_or(0)
            }
            Self::Terminal(port) => port.as_ref().map_or(0, SerialPort::waiting),
            Self::Door(door) => door.unsaid(),
        }
    }
}

impl Pipes {
    fn try_write(&mut self, bytes: &[u8]) -> Moved {
        let Some(stdin) = &self.stdin else { return Moved::Over };
        match stdin.try_write(bytes) {
            Ok(count) => Moved::Some(count),
            Err(error) if is_later(&error) => Moved::Later,
            Err(_) => {
                self.unread = unread(stdin.as_fd()).unwrap_or(0);
                self.stdin = None;
                Moved::Over
            }
        }
    }

    fn try_read(&mut self, buf: &mut [u8]) -> Moved {
        let Some(stdout) = &self.stdout else { return Moved::Over };
        match stdout.try_read(buf) {
            Err(error) if is_later(&error) => Moved::Later,
            Ok(0) | Err(_) => {
                self.stdout = None;
                Moved::Over
            }
            Ok(count) => Moved::Some(count),
        }
    }

    fn try_read_now(&self, buf: &mut [u8]) -> Moved {
        let Some(stdout) = &self.stdout else { return Moved::Over };
        sys::descriptor::read_now(stdout.as_fd(), buf).map_or(Moved::Over, Moved::Some)
    }

    async fn ready(&self, read: bool, write: bool) {
        let readable = async {
            match self.stdout.as_ref().filter(|_| read) {
                Some(stdout) => drop(stdout.readable().await),
                None => std::future::pending().await,
            }
        };
        let writable = async {
            match self.stdin.as_ref().filter(|_| write) {
                Some(stdin) => drop(stdin.writable().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! { () = readable => {}, () = writable => {} }
    }

    fn close_in(&mut self) {
        if let Some(stdin) = self.stdin.take() {
            // What is never read is counted at the payload's end; the end of the file comes with
            // the last writer, so a reader more delays nothing.
            self.left = File::open(format!("/proc/self/fd/{}", stdin.as_raw_fd())).ok();
        }
    }

    fn unprocessed(&self) -> Option<u64> {
        match (&self.stdin, &self.left) {
            (Some(stdin), _) => unread(stdin.as_fd()).ok(),
            (None, Some(left)) => unread(left.as_fd()).ok(),
            (None, None) => Some(self.unread),
        }
    }
}

/// Whether the same attempt may succeed later.
pub(crate) fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Read at once: the output window.
const CHUNK: usize = 8 * 1024;
