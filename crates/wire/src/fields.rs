//! The bytes of the frames with more than a number or two in them, type byte included.

use bytes::{BufMut, Bytes, BytesMut};

use crate::cursor::{DecodeError, Reader, Write};
use crate::frame::{MAGIC, MAX_NOTE, MAX_OUTPUT};
use crate::status::LineStatus;
use crate::{
    Ack, Claim, EventKind, Fate, Grant, Hello, LastFrame, LineEvent, Output, Refuse, RefuseWhy,
    Welcome,
};

pub(crate) fn some_bytes(r: &mut Reader, max: usize) -> Result<Bytes, DecodeError> {
    let bytes = r.rest("bytes", max)?;
    if bytes.is_empty() { Err(DecodeError::BadValue("bytes")) } else { Ok(bytes) }
}

fn flag(r: &mut Reader, field: &'static str) -> Result<bool, DecodeError> {
    match r.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(DecodeError::BadValue(field)),
    }
}

impl Hello {
    pub(crate) fn encode(&self, out: &mut BytesMut) {
        out.put_u8(0x01);
        out.put_slice(&MAGIC);
        out.put_u8(self.min);
        out.put_u8(self.max);
        out.put_slice(&self.nonce.0);
        out.put_name(&self.line);
    }

    pub(crate) fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        if r.array()? != MAGIC {
            return Err(DecodeError::BadValue("magic"));
        }
        let (min, max) = (r.u8()?, r.u8()?);
        if min > max {
            return Err(DecodeError::BadValue("max"));
        }
        Ok(Self { min, max, nonce: r.nonce()?, line: r.name("line")? })
    }
}

impl Welcome {
    pub(crate) fn encode(&self, out: &mut BytesMut) {
        out.put_u8(0x02);
        out.put_u8(self.version);
        out.put_slice(&self.nonce.0);
        out.put_name(&self.server);
    }

    pub(crate) fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { version: r.u8()?, nonce: r.nonce()?, server: r.name("server")? })
    }
}

impl Claim {
    /// All but the MAC.
    pub(crate) fn encode(&self, out: &mut BytesMut) {
        out.put_u8(0x03);
        out.put_name(&self.group);
        out.put_name(&self.node);
        out.put_slice(&self.boot.0);
        out.put_u64(self.seen.0);
        out.put_u32(self.lease_ms);
        out.put_u8(self.key_id);
    }

    pub(crate) fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            group: r.name("group")?,
            node: r.name("node")?,
            boot: r.boot()?,
            seen: r.epoch()?,
            lease_ms: r.u32()?,
            key_id: r.u8()?,
            mac: r.mac()?,
        })
    }
}

impl Grant {
    /// All but the MAC.
    pub(crate) fn encode(&self, out: &mut BytesMut) {
        out.put_u8(0x04);
        out.put_u64(self.epoch.0);
        out.put_u32(self.lease_ms);
        for field in [self.incarnation, self.acked, self.delivered, self.end, self.position] {
            out.put_u64(field);
        }
        out.put_u64(self.last.epoch.0);
        out.put_u64(self.last.end);
        let (fate, sent) = match self.last.fate {
            Fate::None => (0, 0),
            Fate::Finished => (1, 0),
            Fate::Finishing => (2, 0),
            Fate::Cut(sent) => (3, sent),
        };
        out.put_u8(fate);
        out.put_u16(sent);
        out.put_bytes16(&self.note);
    }

    pub(crate) fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            epoch: r.epoch()?,
            lease_ms: r.u32()?,
            incarnation: r.u64()?,
            acked: r.u64()?,
            delivered: r.u64()?,
            end: r.u64()?,
            position: r.u64()?,
            last: LastFrame {
                epoch: r.epoch()?,
                end: r.u64()?,
                fate: match (r.u8()?, r.u16()?) {
                    (0, 0) => Fate::None,
                    (1, 0) => Fate::Finished,
                    (2, 0) => Fate::Finishing,
                    (3, sent) => Fate::Cut(sent),
                    _ => return Err(DecodeError::BadValue("fate")),
                },
            },
            note: r.bytes16("note", MAX_NOTE)?,
            mac: r.mac()?,
        })
    }
}

impl Refuse {
    /// All but the MAC.
    pub(crate) fn encode(&self, out: &mut BytesMut) {
        out.put_u8(0x05);
        out.put_u8(self.why.code());
        out.put_u32(self.retry_ms);
        self.status.encode(out);
    }

    pub(crate) fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            why: RefuseWhy::from_code(r.u8()?)?,
            retry_ms: r.u32()?,
            status: LineStatus::decode(r)?,
            mac: r.mac()?,
        })
    }
}

impl Ack {
    pub(crate) fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let offset = r.u64()?;
        let note = flag(r, "note")?.then(|| r.rest("note", MAX_NOTE)).transpose()?;
        Ok(Self { offset, note })
    }
}

impl Output {
    pub(crate) fn encode(&self, out: &mut BytesMut) {
        out.put_u8(0x12);
        out.put_u64(self.position);
        out.put_u8(u8::from(self.ack.is_some()) | u8::from(self.note.is_some()) << 1);
        if let Some(ack) = self.ack {
            out.put_u64(ack);
        }
        if let Some(note) = &self.note {
            out.put_bytes16(note);
        }
        out.put_slice(&self.bytes);
    }

    pub(crate) fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let position = r.u64()?;
        let flags = r.u8()?;
        if flags > 3 {
            return Err(DecodeError::BadValue("flags"));
        }
        let ack = (flags & 1 != 0).then(|| r.u64()).transpose()?;
        let note = (flags & 2 != 0).then(|| r.bytes16("note", MAX_NOTE)).transpose()?;
        Ok(Self { position, ack, note, bytes: some_bytes(r, MAX_OUTPUT)? })
    }
}

impl LineEvent {
    pub(crate) fn encode(&self, out: &mut BytesMut) {
        let (kind, lost) = match self.kind {
            EventKind::Gap(lost) => (1, lost),
            EventKind::Break => (2, 0),
            EventKind::Parity => (3, 0),
            EventKind::Framing => (4, 0),
            EventKind::Overrun => (5, 0),
            EventKind::Down => (6, 0),
            EventKind::Up => (7, 0),
        };
        out.put_u8(0x14);
        out.put_u64(self.offset);
        out.put_u8(kind);
        out.put_u64(lost);
    }

    pub(crate) fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let offset = r.u64()?;
        let kind = match (r.u8()?, r.u64()?) {
            (1, lost) => EventKind::Gap(lost),
            (2, 0) => EventKind::Break,
            (3, 0) => EventKind::Parity,
            (4, 0) => EventKind::Framing,
            (5, 0) => EventKind::Overrun,
            (6, 0) => EventKind::Down,
            (7, 0) => EventKind::Up,
            _ => return Err(DecodeError::BadValue("kind")),
        };
        Ok(Self { offset, kind })
    }
}
