//! The connection to the terminal server, from the attempt to its end.

use std::future::{Future, pending};
use std::io;
use std::pin::Pin;

use bytes::BytesMut;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio_util::codec::Decoder;
use wire::{Frame, FrameCodec, Time};

/// What there is of a connection.
pub(crate) enum Connection {
    /// None: a standby has none.
    None,
    /// It is being made.
    Connecting(Pin<Box<dyn Future<Output = io::Result<TcpStream>>>>),
    /// It stands.
    Open(Open),
}

/// A connection that stands. Partial frames live here, not in a future.
pub(crate) struct Open {
    stream: TcpStream,
    inbox: BytesMut,
    outbox: BytesMut,
    /// Nothing more is written from then on (I4): the lease, as it was known last.
    write_until: Option<Time>,
}

/// What happened to it.
#[derive(Debug)]
pub(crate) enum ConnectionEvent {
    /// The attempt has succeeded.
    Connected,
    /// The attempt has failed.
    Failed(io::Error),
    /// Something can be read, or the outbox can go on.
    Ready,
}

/// What a read found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// Bytes, perhaps whole frames among them.
    Some,
    /// Nothing at present.
    Nothing,
    /// The end, or an error, which is the same to a node.
    End,
}

impl Connection {
    /// Begins to connect.
    pub(crate) fn start(address: String) -> Self {
        Self::Connecting(Box::pin(async move {
            let stream = TcpStream::connect(&address).await?;
            // Renewals are small and must not wait for anything.
            stream.set_nodelay(true)?;
            Ok(stream)
        }))
    }

    /// Waits for what happens next. Cancel-safe: the attempt itself is kept.
    pub(crate) async fn event(&mut self, read: bool) -> ConnectionEvent {
        match self {
            Self::None => pending().await,
            Self::Connecting(attempt) => match attempt.await {
                Ok(stream) => {
                    *self = Self::Open(Open::new(stream));
                    ConnectionEvent::Connected
                }
                Err(error) => {
                    *self = Self::None;
                    ConnectionEvent::Failed(error)
                }
            },
            Self::Open(open) => {
                let interest = match (read, open.outbox.is_empty()) {
                    (true, true) => Interest::READABLE,
                    (true, false) => Interest::READABLE | Interest::WRITABLE,
                    (false, false) => Interest::WRITABLE,
                    (false, true) => return pending().await,
                };
                // An error means that the runtime is going; the next read will say so.
                let _ = open.stream.ready(interest).await;
                ConnectionEvent::Ready
            }
        }
    }

    /// The connection if it stands.
    pub(crate) fn open(&mut self) -> Option<&mut Open> {
        match self {
            Self::Open(open) => Some(open),
            _ => None,
        }
    }

    /// Bytes that wait for the socket.
    pub(crate) fn waiting(&self) -> usize {
        match self {
            Self::Open(open) => open.outbox.len(),
            _ => 0,
        }
    }
}

impl Open {
    fn new(stream: TcpStream) -> Self {
        let (inbox, outbox) = (BytesMut::new(), BytesMut::new());
        Self { stream, inbox, outbox, write_until: None }
    }

    /// Reads what is there, at most [`CHUNK`].
    pub(crate) fn read(&mut self) -> Read {
        self.inbox.reserve(CHUNK);
        match self.stream.try_read_buf(&mut self.inbox) {
            Ok(0) => Read::End,
            Ok(_) => Read::Some,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Read::Nothing,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Read::Nothing,
            Err(_) => Read::End,
        }
    }

    /// The next whole frame of what was read.
    pub(crate) fn next_frame(&mut self) -> Result<Option<Frame>, String> {
        FrameCodec.decode(&mut self.inbox).map_err(|error| error.to_string())
    }

    /// Puts a frame behind the others.
    pub(crate) fn push(&mut self, frame: &Frame) {
        frame.encode(&mut self.outbox);
    }

    /// The lease as it stands; kept when there is none any more, so that a RELEASE behind the last
    /// frames goes out under the lease or not at all.
    pub(crate) fn set_lease(&mut self, until: Option<Time>) {
        self.write_until = until.or(self.write_until);
    }

    /// Writes what the socket takes. An error shows at the next read.
    pub(crate) fn flush(&mut self, now: Time) {
        // I4: what has waited here beyond the lease is not written.
        if self.write_until.is_some_and(|until| until <= now) {
            self.outbox.clear();
        }
        while !self.outbox.is_empty() {
            match self.stream.try_write(&self.outbox) {
                Ok(n) => drop(self.outbox.split_to(n)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => {
                    self.outbox.clear();
                    break;
                }
            }
        }
    }
}

/// Read at once: a few of the longest frames, so that no peer keeps the loop from its timers.
const CHUNK: usize = 16 * 1024;
