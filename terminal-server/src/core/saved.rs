//! What outlives the process.

use bytes::Bytes;
use wire::{Epoch, LastFrame, LineEvent, Name};

/// How a line begins: under which start number, and with what an earlier process left.
#[derive(Debug, Clone)]
pub struct Start {
    /// Raised, written and synced before anything listens (I5).
    pub number: u32,
    /// What the last process left when it was stopped cleanly.
    pub saved: Option<Saved>,
    /// An earlier process ran here and left nothing: it was killed, and input may be lost.
    pub unclean: bool,
}

/// A line as a clean stop leaves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// The input stream goes on under this name.
    pub incarnation: u64,
    /// Input before this offset was acknowledged.
    pub acked: u64,
    /// Input before this offset was handed to somebody.
    pub delivered: u64,
    /// The input from `acked` on.
    pub bytes: Bytes,
    /// What happened on the line, at or after `acked`.
    pub events: Vec<LineEvent>,
    /// The note for the successor.
    pub note: Bytes,
    /// Position of the next output byte.
    pub position: u64,
    /// An output frame that was started and could not be finished: the device was gone, or
    /// throttled. It is sent first, whole; its ack has taken effect. Empty: there is none.
    pub unfinished: Bytes,
    /// The last output frame that was started.
    pub last: LastFrame,
    /// The last epoch granted.
    pub epoch: Epoch,
    /// Its holder, who is preferred for one lease after the restart.
    pub holder: Option<Name>,
    /// Its lease, in milliseconds.
    pub lease_ms: u32,
}
