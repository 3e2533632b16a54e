//! A payload that speaks the line protocol's frames: GRANT, INPUT, EVENT and WRITTEN on its standard
//! input, ACK and OUTPUT on its standard output.

use std::collections::VecDeque;
use std::future::pending;
use std::io::{self, PipeReader, PipeWriter, Read};
use std::os::fd::OwnedFd;

use bytes::BytesMut;
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio_util::codec::Decoder;
use wire::{Frame, FrameCodec, Grant, Mac};

/// The node's ends of the payload's pipes. Partial frames live here, not in a future.
#[derive(Debug)]
pub(crate) struct Framed {
    /// `None`: closed, by us or by the payload.
    stdin: Option<Sender>,
    stdout: Option<Receiver>,
    inbox: BytesMut,
    outbox: BytesMut,
    /// Bytes ever put into the outbox, and ever written.
    queued: u64,
    written: u64,
    /// What is to be said when so many bytes were written.
    marks: VecDeque<(u64, Mark)>,
    /// The first INPUT was not yet put into the outbox.
    before_input: bool,
    /// There was input pending at the grant, so that the payload serves once it has some of it.
    pending: bool,
}

/// A moment of a payload's life that is worth a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// The payload has all it needs to serve: the grant, and the first input if any was pending.
    Serving,
    /// It has the first input of this grant.
    FirstInput,
}

/// What a read of the payload's output found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// Bytes, perhaps whole frames among them.
    Some,
    /// Nothing at present, or never again.
    Nothing,
}

impl Framed {
    /// The node's ends, and the payload's: its standard input and output.
    pub(crate) fn new() -> io::Result<(Self, PipeReader, PipeWriter)> {
        let (payload_stdin, stdin) = io::pipe()?;
        let (stdout, payload_stdout) = io::pipe()?;
        let framed = Self {
            stdin: Some(Sender::from_owned_fd(OwnedFd::from(stdin))?),
            stdout: Some(Receiver::from_owned_fd(OwnedFd::from(stdout))?),
            inbox: BytesMut::new(),
            outbox: BytesMut::new(),
            queued: 0,
            written: 0,
            marks: VecDeque::new(),
            before_input: true,
            pending: false,
        };
        Ok((framed, payload_stdin, payload_stdout))
    }

    /// The grant comes first. Its MAC proves nothing to the payload and would show it how ours
    /// look, so it is left out.
    pub(crate) fn begin(&mut self, grant: Grant) {
        self.pending = grant.end > grant.acked;
        self.put(&Frame::Grant(Grant { mac: Mac::default(), ..grant }));
        if !self.pending {
            self.marks.push_back((self.queued, Mark::Serving));
        }
    }

    /// Puts a frame behind the others.
    pub(crate) fn push(&mut self, frame: &Frame) {
        self.put(frame);
        if self.before_input && matches!(frame, Frame::Input(_)) {
            self.before_input = false;
            if self.pending {
                self.marks.push_back((self.queued, Mark::Serving));
            }
            self.marks.push_back((self.queued, Mark::FirstInput));
        }
    }

    fn put(&mut self, frame: &Frame) {
        // A payload that has closed its input gets nothing more; if input stays unacknowledged for
        // that, the core finds it stalled.
        if self.stdin.is_some() {
            let before = self.outbox.len();
            frame.encode(&mut self.outbox);
            self.queued += (self.outbox.len() - before) as u64;
        }
    }

    /// Bytes that wait for the payload.
    pub(crate) fn waiting(&self) -> usize {
        self.outbox.len()
    }

    /// Writes what the pipe takes.
    pub(crate) fn flush(&mut self) {
        while let Some(stdin) = self.stdin.as_ref().filter(|_| !self.outbox.is_empty()) {
            match stdin.try_write(&self.outbox) {
                Ok(n) => {
                    self.written += n as u64;
                    drop(self.outbox.split_to(n));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => {
                    self.stdin = None;
                    self.outbox.clear();
                }
            }
        }
    }

    /// The next moment that was reached.
    pub(crate) fn reached(&mut self) -> Option<Mark> {
        let (at, mark) = *self.marks.front()?;
        if at > self.written {
            return None;
        }
        self.marks.pop_front();
        Some(mark)
    }

    /// Gives what the pipe still takes, then an end of file.
    pub(crate) fn close_stdin(&mut self) {
        self.flush();
        self.stdin = None;
        self.outbox.clear();
    }

    /// Nothing more of the payload's output is of use.
    pub(crate) fn close_stdout(&mut self) {
        self.stdout = None;
        self.inbox.clear();
    }

    /// Waits until [`Self::read`] or [`Self::flush`] is worth calling. Cancel-safe.
    pub(crate) async fn ready(&self, read: bool) {
        let readable = async {
            match self.stdout.as_ref().filter(|_| read) {
                Some(stdout) => drop(stdout.readable().await),
                None => pending().await,
            }
        };
        let writable = async {
            match self.stdin.as_ref().filter(|_| !self.outbox.is_empty()) {
                Some(stdin) => drop(stdin.writable().await),
                None => pending().await,
            }
        };
        tokio::select! { () = readable => {}, () = writable => {} }
    }

    /// Reads what is there, at most [`CHUNK`].
    pub(crate) fn read(&mut self) -> Said {
        let Some(stdout) = &self.stdout else { return Said::Nothing };
        self.inbox.reserve(CHUNK);
        match stdout.try_read_buf(&mut self.inbox) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Said::Nothing,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Said::Nothing,
            Ok(0) | Err(_) => {
                self.stdout = None;
                Said::Nothing
            }
            Ok(_) => Said::Some,
        }
    }

    /// The payload is gone: all that it has still said. Its pipe is at its end then, unless a
    /// stranger got hold of it, who is not waited for.
    pub(crate) fn read_rest(&mut self) {
        let Some(stdout) = self.stdout.take() else { return };
        let Ok(fd) = stdout.into_nonblocking_fd() else { return };
        // Past the reactor, which may not have seen yet that there is something.
        let mut rest = Vec::new();
        let _ = PipeReader::from(fd).take(MAX_REST).read_to_end(&mut rest);
        self.inbox.extend_from_slice(&rest);
    }

    /// The next whole frame of what was read. `Err`: it is no frame, and nothing more is read.
    pub(crate) fn next_frame(&mut self) -> Result<Option<Frame>, String> {
        FrameCodec.decode(&mut self.inbox).map_err(|error| {
            self.close_stdout();
            error.to_string()
        })
    }
}

/// Read at once: some records, so that no payload keeps the loop from its timers.
const CHUNK: usize = 16 * 1024;
/// What is left in a pipe is bounded by the pipe, 1 MiB where an ordinary user made it larger.
const MAX_REST: u64 = 1024 * 1024;

#[cfg(test)]
mod tests {
    use std::io::Write;

    use bytes::Bytes;
    use wire::{Ack, Epoch, Input, LastFrame};

    use super::*;

    fn grant(acked: u64, end: u64) -> Grant {
        Grant {
            epoch: Epoch::new(1, 1),
            lease_ms: 400,
            incarnation: 7,
            acked,
            delivered: acked,
            end,
            position: 0,
            last: LastFrame::default(),
            note: Bytes::new(),
            mac: [9; 32],
        }
    }

    fn input(offset: u64) -> Frame {
        Frame::Input(Input { offset, bytes: Bytes::from_static(b"record") })
    }

    /// A new pipe is not writable before the reactor has looked at it.
    async fn written(framed: &mut Framed) {
        while framed.waiting() > 0 {
            framed.ready(false).await;
            framed.flush();
        }
    }

    #[tokio::test]
    async fn the_grant_comes_first_and_without_its_mac() {
        let (mut framed, mut stdin, _stdout) = Framed::new().unwrap();
        framed.begin(grant(5, 5));
        assert_eq!(framed.reached(), None, "nothing was written yet");
        written(&mut framed).await;
        assert_eq!(framed.reached(), Some(Mark::Serving));
        framed.push(&input(5));
        written(&mut framed).await;
        assert_eq!(framed.reached(), Some(Mark::FirstInput));
        framed.push(&input(11));
        framed.close_stdin();
        assert_eq!(framed.reached(), None);
        let mut bytes = Vec::new();
        stdin.read_to_end(&mut bytes).unwrap();
        let mut bytes = BytesMut::from(&bytes[..]);
        let first = FrameCodec.decode(&mut bytes).unwrap().unwrap();
        assert_eq!(first, Frame::Grant(Grant { mac: Mac::default(), ..grant(5, 5) }));
        assert_eq!(FrameCodec.decode(&mut bytes).unwrap(), Some(input(5)));
        assert_eq!(FrameCodec.decode(&mut bytes).unwrap(), Some(input(11)));
    }

    #[tokio::test]
    async fn with_input_pending_a_payload_serves_when_it_has_some() {
        let (mut framed, _stdin, _stdout) = Framed::new().unwrap();
        framed.begin(grant(5, 6));
        written(&mut framed).await;
        assert_eq!(framed.reached(), None);
        framed.push(&input(5));
        written(&mut framed).await;
        assert_eq!(framed.reached(), Some(Mark::Serving));
        assert_eq!(framed.reached(), Some(Mark::FirstInput));
    }

    #[tokio::test]
    async fn output_is_read_in_any_chunks_to_its_end() {
        let (mut framed, _stdin, mut stdout) = Framed::new().unwrap();
        let mut bytes = BytesMut::new();
        let ack = Frame::Ack(Ack { offset: 6, note: None });
        ack.encode(&mut bytes);
        stdout.write_all(&bytes[..3]).unwrap();
        framed.ready(true).await;
        assert_eq!(framed.read(), Said::Some);
        assert_eq!(framed.next_frame(), Ok(None));
        stdout.write_all(&bytes[3..]).unwrap();
        drop(stdout);
        while framed.read() == Said::Nothing {
            framed.ready(true).await;
        }
        assert_eq!(framed.next_frame(), Ok(Some(ack)));
        while framed.stdout.is_some() {
            framed.ready(true).await;
            assert_eq!(framed.read(), Said::Nothing);
        }
    }

    #[tokio::test]
    async fn what_is_no_frame_is_an_error_and_the_end() {
        let (mut framed, stdin, mut stdout) = Framed::new().unwrap();
        stdout.write_all(&[0xff; 4]).unwrap();
        framed.ready(true).await;
        framed.read();
        assert!(framed.next_frame().unwrap_err().contains("65535"));
        assert_eq!(framed.read(), Said::Nothing);
        drop(stdin);
        framed.begin(grant(0, 0));
        written(&mut framed).await;
        assert_eq!(framed.waiting(), 0, "a payload that closed its input gets nothing");
    }
}
