//! The bytes of the frames with more than a number or two in them, type byte included.

use bytes::{BufMut, Bytes, BytesMut};

use crate::cursor::{DecodeError, Reader, Write};
use crate::frame::{MAGIC, MAX_NOTE, MAX_OUTPUT};
use crate::status::LineStatus;
use crate::{
    Ack, Claim, EventKind, Fate, Flow, Grant, Hello, LastFrame, LineEvent, Observe, ObserveFrom,
    Observing, Output, Parity, Refuse, RefuseWhy, SettingsChange, SignalChange, Signals, StopBits,
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

impl Observe {
    /// All but the MAC.
    pub(crate) fn encode(&self, out: &mut BytesMut) {
        out.put_u8(0x06);
        out.put_name(&self.group);
        out.put_name(&self.node);
        let (kind, incarnation, offset) = match self.from {
            ObserveFrom::Live => (0, 0, 0),
            ObserveFrom::Oldest => (1, 0, 0),
            ObserveFrom::At { incarnation, offset } => (2, incarnation, offset),
        };
        out.put_u8(kind);
        out.put_u64(incarnation);
        out.put_u64(offset);
        out.put_u8(self.key_id);
    }

    pub(crate) fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            group: r.name("group")?,
            node: r.name("node")?,
            from: match (r.u8()?, r.u64()?, r.u64()?) {
                (0, 0, 0) => ObserveFrom::Live,
                (1, 0, 0) => ObserveFrom::Oldest,
                (2, incarnation, offset) => ObserveFrom::At { incarnation, offset },
                _ => return Err(DecodeError::BadValue("from")),
            },
            key_id: r.u8()?,
            mac: r.mac()?,
        })
    }
}

impl Observing {
    /// All but the MAC.
    pub(crate) fn encode(&self, out: &mut BytesMut) {
        out.put_u8(0x07);
        for field in [self.incarnation, self.offset, self.end] {
            out.put_u64(field);
        }
    }

    pub(crate) fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { incarnation: r.u64()?, offset: r.u64()?, end: r.u64()?, mac: r.mac()? })
    }
}

/// A setting's code, 0 where there is none. The codes of parity and stop bits are those of
/// RFC 2217.
impl SettingsChange {
    pub(crate) fn encode(&self, out: &mut BytesMut) {
        out.put_u8(0x30);
        out.put_u32(self.baud.unwrap_or(0));
        out.put_u8(self.data_bits.unwrap_or(0));
        out.put_u8(self.parity.map_or(0, Parity::code));
        out.put_u8(self.stop_bits.map_or(0, StopBits::code));
        out.put_u8(self.flow.map_or(0, Flow::code));
    }

    pub(crate) fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let coded = |code: u8| Some(code).filter(|code| *code != 0);
        Ok(Self {
            baud: Some(r.u32()?).filter(|baud| *baud != 0),
            data_bits: match r.u8()? {
                0 => None,
                bits @ 5..=8 => Some(bits),
                _ => return Err(DecodeError::BadValue("data_bits")),
            },
            parity: coded(r.u8()?).map(Parity::from_code).transpose()?,
            stop_bits: coded(r.u8()?).map(StopBits::from_code).transpose()?,
            flow: coded(r.u8()?).map(Flow::from_code).transpose()?,
        })
    }
}

/// One byte says which wires change, the next to what; a wire that does not change is 0 there.
impl SignalChange {
    pub(crate) fn encode(&self, out: &mut BytesMut) {
        let wires =
            [(Signals::DTR, self.dtr), (Signals::RTS, self.rts), (Signals::BREAK, self.brk)];
        let mut bytes = (Signals::NONE, Signals::NONE);
        for (wire, on) in wires.into_iter().filter_map(|(wire, on)| Some((wire, on?))) {
            bytes = (bytes.0.set(wire, true), bytes.1.set(wire, on));
        }
        out.put_u8(0x31);
        out.put_u8(bytes.0.0);
        out.put_u8(bytes.1.0);
    }

    pub(crate) fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let (which, on) = (Signals(r.u8()?), Signals(r.u8()?));
        let ours = Signals::DTR | Signals::RTS | Signals::BREAK;
        if !ours.has(which) || !which.has(on) {
            return Err(DecodeError::BadValue("signals"));
        }
        let level = |wire| which.has(wire).then(|| on.has(wire));
        Ok(Self { dtr: level(Signals::DTR), rts: level(Signals::RTS), brk: level(Signals::BREAK) })
    }
}

impl Signals {
    pub(crate) fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let signals = Self(r.u8()?);
        if Self::ALL.has(signals) { Ok(signals) } else { Err(DecodeError::BadValue("signals")) }
    }
}
