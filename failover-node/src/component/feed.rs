//! The node's ends of what a payload takes and says, whatever its kind.

use wire::{Frame, Grant};

use super::framed::{Framed, Mark, Said};
use super::streamed::Streamed;

/// Frames or plain bytes; the loop need not know.
#[derive(Debug)]
pub(crate) enum Feed {
    /// The payload knows frames.
    Framed(Box<Framed>),
    /// It knows plain bytes.
    Stream(Box<Streamed>),
}

impl Feed {
    /// The grant comes before all frames.
    pub(crate) fn begin(&mut self, grant: Grant) {
        match self {
            Self::Framed(framed) => framed.begin(grant),
            Self::Stream(stream) => stream.begin(&grant),
        }
    }

    /// A frame for the payload, behind the others.
    pub(crate) fn push(&mut self, frame: &Frame) {
        match self {
            Self::Framed(framed) => framed.push(frame),
            Self::Stream(stream) => stream.push(frame),
        }
    }

    /// Bytes that wait for the payload.
    pub(crate) fn waiting(&self) -> usize {
        match self {
            Self::Framed(framed) => framed.waiting(),
            Self::Stream(stream) => stream.waiting(),
        }
    }

    /// Writes what is taken now.
    pub(crate) fn flush(&mut self) {
        match self {
            Self::Framed(framed) => framed.flush(),
            Self::Stream(stream) => stream.flush(),
        }
    }

    /// The next moment that was reached.
    pub(crate) fn reached(&mut self) -> Option<Mark> {
        match self {
            Self::Framed(framed) => framed.reached(),
            Self::Stream(stream) => stream.reached(),
        }
    }

    /// Gives what is still taken, then an end of file where there is one.
    pub(crate) fn close_stdin(&mut self) {
        match self {
            Self::Framed(framed) => framed.close_stdin(),
            Self::Stream(stream) => stream.close_stdin(),
        }
    }

    /// Nothing more of what the payload says is of use.
    pub(crate) fn close_stdout(&mut self) {
        match self {
            Self::Framed(framed) => framed.close_stdout(),
            Self::Stream(stream) => stream.close_stdout(),
        }
    }

    /// Waits until [`Self::read`] or [`Self::flush`] is worth calling. Cancel-safe.
    pub(crate) async fn ready(&mut self, read: bool) {
        match self {
            Self::Framed(framed) => framed.ready(read).await,
            Self::Stream(stream) => stream.ready(read).await,
        }
    }

    /// Reads what is there.
    pub(crate) fn read(&mut self) -> Said {
        match self {
            Self::Framed(framed) => framed.read(),
            Self::Stream(stream) => stream.read(),
        }
    }

    /// The payload is gone: all that it has still said.
    pub(crate) fn read_rest(&mut self) {
        match self {
            Self::Framed(framed) => framed.read_rest(),
            Self::Stream(stream) => stream.read_rest(),
        }
    }

    /// The next frame of what was read. `Err`: it is no frame, and nothing more is read.
    pub(crate) fn next_frame(&mut self) -> Result<Option<Frame>, String> {
        match self {
            Self::Framed(framed) => framed.next_frame(),
            Self::Stream(stream) => Ok(stream.next_frame()),
        }
    }
}
