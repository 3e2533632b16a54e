//! The answerer's process.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use bytes::{Buf, BytesMut};
use clap::Args;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::codec::Decoder;
use wire::{Frame, FrameCodec};

use super::journal::Journal;
use super::misdeeds::{self, Misdeeds};
use super::replies::Replies;

/// What an answerer is told.
#[derive(Debug, Clone, Default, Args)]
pub struct Job {
    /// What it does wrong.
    #[command(flatten)]
    pub misdeeds: Misdeeds,
    /// Write every answer down in a file of this directory before giving it
    #[arg(long, value_name = "DIR")]
    pub journal: Option<PathBuf>,
}

/// How an answerer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Its input ended, or it was asked to end.
    Asked,
    /// As it was told to.
    Crashed,
}

/// Answers what comes on standard input until that ends or SIGTERM comes.
///
/// # Errors
/// A stream failed, or what came is no frame for a payload.
pub fn run(job: Job) -> io::Result<Ended> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(serve(job))
}

async fn serve(job: Job) -> io::Result<Ended> {
    let Job { misdeeds, journal } = job;
    let journal = journal.as_deref().map(Journal::create).transpose()?;
    if let Some(dir) = &misdeeds.fork_grandchild {
        misdeeds::fork_grandchild(dir)?;
    }
    let stays = misdeeds.ignore_term;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut streams = Streams::open(Replies::new(misdeeds), journal)?;
    loop {
        tokio::select! {
            biased;
            // First, so that no flood of input keeps the process from ending.
            _ = terminate.recv() => if !stays {
                // What the pipe takes at once is not lost; a frame in it is whole or not there.
                streams.write()?;
                return Ok(Ended::Asked);
            },
            ready = streams.output.writable(), if !streams.outbox.is_empty() => {
                ready?.clear_ready();
                streams.write()?;
            }
            ready = streams.input.readable() => {
                ready?.clear_ready();
                if !streams.read()? {
                    if stays {
                        std::future::pending::<()>().await;
                    }
                    return Ok(Ended::Asked);
                }
                streams.write()?;
            }
        }
        if streams.replies.crashes() {
            return Ok(Ended::Crashed);
        }
    }
}

/// Standard input and output, and what is on its way between them.
struct Streams {
    input: AsyncFd<OwnedFd>,
    output: AsyncFd<OwnedFd>,
    inbox: BytesMut,
    outbox: BytesMut,
    replies: Replies,
    journal: Option<Journal>,
}

impl Streams {
    fn open(replies: Replies, journal: Option<Journal>) -> io::Result<Self> {
        let input = watched(io::stdin().as_fd().try_clone_to_owned()?, Interest::READABLE)?;
        let output = watched(io::stdout().as_fd().try_clone_to_owned()?, Interest::WRITABLE)?;
        let (inbox, outbox) = (BytesMut::new(), BytesMut::new());
        Ok(Self { input, output, inbox, outbox, replies, journal })
    }

    /// Reads what is there and answers it; `false` at the end of the input.
    fn read(&mut self) -> io::Result<bool> {
        let mut chunk = [0; CHUNK];
        loop {
            match rustix::io::read(self.input.get_ref(), &mut chunk) {
                Ok(0) => return Ok(false),
                Ok(count) => self.inbox.extend_from_slice(&chunk[..count]),
                Err(Errno::AGAIN) => return Ok(true),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            while let Some(frame) = FrameCodec.decode(&mut self.inbox).map_err(io::Error::other)? {
                self.note(&frame)?;
                self.replies.handle_frame(frame).map_err(io::Error::other)?;
                while let Some(reply) = self.replies.poll_frame() {
                    self.note(&reply)?;
                    reply.encode(&mut self.outbox);
                }
            }
        }
    }

    fn note(&mut self, frame: &Frame) -> io::Result<()> {
        self.journal.as_mut().map_or(Ok(()), |journal| journal.note(frame))
    }

    /// Writes what the output takes.
    fn write(&mut self) -> io::Result<()> {
        while !self.outbox.is_empty() {
            match rustix::io::write(self.output.get_ref(), &self.outbox) {
                Ok(count) => self.outbox.advance(count),
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

fn watched(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // The flag belongs to this end of the pipe, which nobody else reads or writes.
    fcntl_setfl(&fd, fcntl_getfl(&fd)? | OFlags::NONBLOCK)?;
    sys::descriptor::watch(fd, interest)
}

/// More than a pipe's frame of input.
const CHUNK: usize = 8192;
