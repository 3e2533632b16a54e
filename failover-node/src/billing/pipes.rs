//! The pipes between the gateway's process and the node, below which nothing may block.

use std::future::pending;
use std::io;
use std::os::fd::AsFd;

use bytes::{Buf, BytesMut};
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio_util::codec::Decoder;
use wire::{Frame, FrameCodec, Grant};

/// Frames from the node, on standard input. Partial ones live here, not in a future.
#[derive(Debug)]
pub(crate) struct Inlet {
    pipe: Receiver,
    inbox: BytesMut,
}

/// Frames for the node, on standard output.
#[derive(Debug)]
pub(crate) struct Outlet {
    pipe: Sender,
    outbox: BytesMut,
}

impl Inlet {
    /// This process's own.
    pub(crate) fn open() -> io::Result<Self> {
        let pipe = Receiver::from_owned_fd(io::stdin().as_fd().try_clone_to_owned()?)?;
        Ok(Self { pipe, inbox: BytesMut::new() })
    }

    /// The first frame. `None`: the input ended before. Cancel-safe.
    pub(crate) async fn grant(&mut self) -> io::Result<Option<Grant>> {
        loop {
            match FrameCodec.decode(&mut self.inbox).map_err(io::Error::other)? {
                Some(Frame::Grant(grant)) => return Ok(Some(grant)),
                Some(other) => {
                    return Err(io::Error::other(format!("{} before GRANT", other.name())));
                }
                None if !self.fill().await? => return Ok(None),
                None => {}
            }
        }
    }

    /// All whole frames that are there, at least one; none at the end of the input. Cancel-safe.
    pub(crate) async fn read(&mut self) -> io::Result<Vec<Frame>> {
        loop {
            let mut frames = Vec::new();
            while let Some(frame) = FrameCodec.decode(&mut self.inbox).map_err(io::Error::other)? {
                frames.push(frame);
            }
            if !frames.is_empty() || !self.fill().await? {
                return Ok(frames);
            }
        }
    }

    /// Reads what is there; `false` at the end.
    async fn fill(&mut self) -> io::Result<bool> {
        loop {
            self.pipe.readable().await?;
            self.inbox.reserve(CHUNK);
            match self.pipe.try_read_buf(&mut self.inbox) {
                Ok(count) => return Ok(count > 0),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Outlet {
    /// This process's own.
    pub(crate) fn open() -> io::Result<Self> {
        let pipe = Sender::from_owned_fd(io::stdout().as_fd().try_clone_to_owned()?)?;
        Ok(Self { pipe, outbox: BytesMut::new() })
    }

    /// A frame for the node; what the pipe takes goes at once. The window of output bounds what
    /// waits here.
    pub(crate) fn push(&mut self, frame: &Frame) -> io::Result<()> {
        frame.encode(&mut self.outbox);
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.outbox.is_empty() {
            match self.pipe.try_write(&self.outbox) {
                Ok(count) => self.outbox.advance(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes what is waiting, when the pipe takes some; for ever if nothing waits. Cancel-safe.
    pub(crate) async fn write(&mut self) -> io::Result<()> {
        if self.outbox.is_empty() {
            return pending().await;
        }
        self.pipe.writable().await?;
        self.flush()
    }
}

/// Some records at 115200 bauds.
const CHUNK: usize = 16 * 1024;
