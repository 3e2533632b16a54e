//! Framing of the line protocol for `tokio_util::codec`: any chunking gives the same frames.

use std::io;

use bytes::{Buf, BytesMut};
use thiserror::Error;
use tokio_util::codec::{Decoder, Encoder};

use crate::frame::MAX_FRAME;
use crate::{DecodeError, Frame};

/// Cuts a byte stream into frames. Holds no state, so a buffer may be handed over between frames.
#[derive(Debug, Clone, Copy, Default)]
pub struct FrameCodec;

/// Why a stream gives no more frames.
#[derive(Debug, Error)]
pub enum CodecError {
    /// The bytes are no frame. The peer's fault; the stream cannot be used further.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The transport failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Decoder for FrameCodec {
    type Item = Frame;
    type Error = CodecError;

    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<Frame>, CodecError> {
        let Some((len, _)) = src.split_first_chunk::<2>() else { return Ok(None) };
        let len = usize::from(u16::from_be_bytes(*len));
        // Judged before anything is waited for: an oversize length cannot make the buffer grow.
        if len > MAX_FRAME {
            return Err(DecodeError::TooLong(len).into());
        }
        if src.len() < 2 + len {
            src.reserve(2 + len - src.len());
            return Ok(None);
        }
        src.advance(2);
        Ok(Some(Frame::decode(src.split_to(len).freeze())?))
    }
}

impl Encoder<Frame> for FrameCodec {
    type Error = io::Error;

    fn encode(&mut self, frame: Frame, dst: &mut BytesMut) -> Result<(), io::Error> {
        frame.encode(dst);
        Ok(())
    }
}
