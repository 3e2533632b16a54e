//! The beacon: what a terminal server multicasts about the lines of one group.

use bytes::{BufMut, BytesMut};

use crate::cursor::{DecodeError, Reader, Write};
use crate::{LineStatus, Name};

/// Most lines in one beacon: what fits a datagram when every name is as long as it can be.
pub const MAX_BEACON_LINES: usize = 10;

/// One beacon, version 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beacon {
    /// The group whose lines these are; its key makes the MAC.
    pub group: Name,
    /// The terminal server.
    pub server: Name,
    /// Its start number.
    pub start: u32,
    /// Grows with every beacon of one start; beacons are ordered by (start, seq).
    pub seq: u64,
    /// The longest time until the next one, in milliseconds.
    pub interval_ms: u32,
    /// At most [`MAX_BEACON_LINES`].
    pub lines: Vec<LineStatus>,
}

impl Beacon {
    pub(crate) fn encode(&self, out: &mut BytesMut) {
        assert!(self.lines.len() <= MAX_BEACON_LINES);
        out.put_name(&self.server);
        out.put_u32(self.start);
        out.put_u64(self.seq);
        out.put_u32(self.interval_ms);
        out.put_u8(self.lines.len() as u8);
        self.lines.iter().for_each(|line| line.encode(out));
    }

    pub(crate) fn decode(group: Name, r: &mut Reader) -> Result<Self, DecodeError> {
        let (server, start, seq, interval_ms) = (r.name("server")?, r.u32()?, r.u64()?, r.u32()?);
        let count = usize::from(r.u8()?);
        if count > MAX_BEACON_LINES {
            return Err(DecodeError::BadValue("lines"));
        }
        let lines = (0..count).map(|_| LineStatus::decode(r)).collect::<Result<_, _>>()?;
        Ok(Self { group, server, start, seq, interval_ms, lines })
    }
}
