//! Bounded reading and writing of big-endian fields.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use thiserror::Error;

use crate::name::{BootId, Name, Nonce};
use crate::{Epoch, Mac};

/// Why bytes are no message. The peer's fault; nothing was changed by them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The message ends inside a field.
    #[error("the message ends inside a field")]
    UnexpectedEnd,
    /// Bytes follow the last field.
    #[error("{0} bytes follow the last field")]
    TrailingBytes(usize),
    /// A field holds what the specification does not allow.
    #[error("field {0} holds a value that is not allowed")]
    BadValue(&'static str),
    /// A frame type this version does not know.
    #[error("frame type {0:#04x} is not known")]
    UnknownFrame(u8),
    /// A frame longer than the longest allowed.
    #[error("a frame of {0} bytes is longer than the longest allowed")]
    TooLong(usize),
}

/// Takes fields off the front of a message.
#[derive(Debug)]
pub struct Reader(Bytes);

impl Reader {
    /// Over one whole message.
    pub fn new(message: Bytes) -> Self {
        Self(message)
    }

    /// Errors unless every byte was used.
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.0.is_empty() { Ok(()) } else { Err(DecodeError::TrailingBytes(self.0.len())) }
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        self.0.try_get_u8().map_err(|_| DecodeError::UnexpectedEnd)
    }

    /// Two bytes.
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        self.0.try_get_u16().map_err(|_| DecodeError::UnexpectedEnd)
    }

    /// Four bytes.
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.0.try_get_u32().map_err(|_| DecodeError::UnexpectedEnd)
    }

    /// Eight bytes.
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        self.0.try_get_u64().map_err(|_| DecodeError::UnexpectedEnd)
    }

    /// A fixed-size field.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut field = [0; N];
        self.0.try_copy_to_slice(&mut field).map_err(|_| DecodeError::UnexpectedEnd)?;
        Ok(field)
    }

    /// A length (u16) and that many bytes, at most `max`.
    pub fn bytes16(&mut self, field: &'static str, max: usize) -> Result<Bytes, DecodeError> {
        let len = usize::from(self.u16()?);
        if len > max {
            return Err(DecodeError::BadValue(field));
        }
        if len > self.0.len() {
            return Err(DecodeError::UnexpectedEnd);
        }
        Ok(self.0.split_to(len))
    }

    /// All that is left, at most `max` bytes.
    pub fn rest(&mut self, field: &'static str, max: usize) -> Result<Bytes, DecodeError> {
        if self.0.len() > max {
            return Err(DecodeError::BadValue(field));
        }
        Ok(self.0.split_off(0))
    }

    /// A length (u8) and a name.
    pub fn name(&mut self, field: &'static str) -> Result<Name, DecodeError> {
        self.optional_name(field)?.ok_or(DecodeError::BadValue(field))
    }

    /// As [`Reader::name`], a length of zero meaning none.
    pub fn optional_name(&mut self, field: &'static str) -> Result<Option<Name>, DecodeError> {
        let len = usize::from(self.u8()?);
        if len > self.0.len() {
            return Err(DecodeError::UnexpectedEnd);
        }
        if len == 0 {
            return Ok(None);
        }
        let raw = self.0.split_to(len);
        let text = std::str::from_utf8(&raw).map_err(|_| DecodeError::BadValue(field))?;
        text.parse().map(Some).map_err(|_| DecodeError::BadValue(field))
    }

    /// A [`BootId`].
    pub fn boot(&mut self) -> Result<BootId, DecodeError> {
        self.array().map(BootId)
    }

    /// A [`Nonce`].
    pub fn nonce(&mut self) -> Result<Nonce, DecodeError> {
        self.array().map(Nonce)
    }

    /// An [`Epoch`].
    pub fn epoch(&mut self) -> Result<Epoch, DecodeError> {
        self.u64().map(Epoch)
    }

    /// A [`Mac`].
    pub fn mac(&mut self) -> Result<Mac, DecodeError> {
        self.array()
    }
}

/// Appends fields that need more than a plain `put_*`.
pub trait Write: BufMut {
    /// A length (u8) and the name.
    fn put_name(&mut self, name: &Name) {
        self.put_optional_name(Some(name));
    }

    /// As `put_name`, none being a length of zero.
    fn put_optional_name(&mut self, name: Option<&Name>) {
        let text = name.map_or("", Name::as_str);
        self.put_u8(text.len() as u8);
        self.put_slice(text.as_bytes());
    }

    /// A length (u16) and the bytes. The caller keeps within the field's bound.
    fn put_bytes16(&mut self, bytes: &[u8]) {
        debug_assert!(bytes.len() <= usize::from(u16::MAX));
        self.put_u16(bytes.len() as u16);
        self.put_slice(bytes);
    }
}

impl Write for BytesMut {}
impl Write for Vec<u8> {}
