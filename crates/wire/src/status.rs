//! A line as the terminal server shows it, in beacons and refusals.

use bytes::{BufMut, BytesMut};

use crate::cursor::{DecodeError, Reader, Write};
use crate::{Epoch, Name};

/// One line's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineStatus {
    /// The line.
    pub line: Name,
    /// Whether the device is there. A line can be held while it is down.
    pub up: bool,
    /// Held, or free and why.
    pub state: LineState,
    /// The holder; of a free line the last one, if known.
    pub holder: Option<Name>,
    /// Epoch of the current grant; of a free line of the last one.
    pub epoch: Epoch,
    /// The lease of that grant in milliseconds.
    pub lease_ms: u32,
    /// What is left of the lease, or of the reservation of a free line, in milliseconds.
    pub left_ms: u32,
    /// For whom a free line is kept, for `left_ms`.
    pub reserved_for: Option<Name>,
}

/// Whether a line has a holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineState {
    /// It has.
    Held,
    /// It has not, and why.
    Free(FreeCause),
}

/// Why a line is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FreeCause {
    /// The terminal server has just started.
    Restarted,
    /// The holder's connection was lost.
    Closed,
    /// The holder's lease ran out.
    Lease,
    /// The holder gave it back, or broke the protocol.
    Released,
    /// It is kept for a named node.
    Reserved,
}

impl LineStatus {
    pub(crate) fn encode(&self, out: &mut BytesMut) {
        out.put_name(&self.line);
        out.put_u8(u8::from(self.up));
        out.put_u8(match self.state {
            LineState::Held => 0,
            LineState::Free(FreeCause::Restarted) => 1,
            LineState::Free(FreeCause::Closed) => 2,
            LineState::Free(FreeCause::Lease) => 3,
            LineState::Free(FreeCause::Released) => 4,
            LineState::Free(FreeCause::Reserved) => 5,
        });
        out.put_optional_name(self.holder.as_ref());
        out.put_u64(self.epoch.0);
        out.put_u32(self.lease_ms);
        out.put_u32(self.left_ms);
        out.put_optional_name(self.reserved_for.as_ref());
    }

    pub(crate) fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            line: r.name("line")?,
            up: match r.u8()? {
                0 => false,
                1 => true,
                _ => return Err(DecodeError::BadValue("up")),
            },
            state: match r.u8()? {
                0 => LineState::Held,
                1 => LineState::Free(FreeCause::Restarted),
                2 => LineState::Free(FreeCause::Closed),
                3 => LineState::Free(FreeCause::Lease),
                4 => LineState::Free(FreeCause::Released),
                5 => LineState::Free(FreeCause::Reserved),
                _ => return Err(DecodeError::BadValue("state")),
            },
            holder: r.optional_name("holder")?,
            epoch: r.epoch()?,
            lease_ms: r.u32()?,
            left_ms: r.u32()?,
            reserved_for: r.optional_name("reserved_for")?,
        })
    }
}
