//! What a line asks of its driver, and what it has to tell.

use serde::{Deserialize, Serialize};
use wire::{Epoch, ErrorCode, FreeCause, Name, RefuseWhy};

#[cfg(doc)]
use super::Line;
use crate::core::client::ClientId;

/// What the driver has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Read this client's socket until it would block, handing in what is there, then call
    /// [`Line::handle_idle`]. At its end or on an error call [`Line::handle_closed`].
    Probe(ClientId),
    /// Store and sync the start number, then call [`Line::handle_stored`].
    Store(u32),
    /// Send what is queued for this client, then close the sending side; go on reading.
    Finish(ClientId),
    /// Close at once what is left of this client; it is forgotten here already.
    Drop(ClientId),
    /// [`Line::status`] has changed.
    Announce,
    /// For the log.
    Report(Occurrence),
}

/// What an operator may want to read in a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Occurrence {
    /// A client has the line.
    Granted {
        /// The node; a raw client has no name.
        node: Option<Name>,
        /// Its grant.
        epoch: Epoch,
        /// Input it is told to be in doubt.
        in_doubt: u64,
    },
    /// A client has it no more.
    Ended {
        /// The grant.
        epoch: Epoch,
        /// Why it ended.
        cause: FreeCause,
        /// Output frames that had not started and were dropped.
        dropped: usize,
    },
    /// A claim was refused.
    Refused {
        /// The claimant, as it calls itself.
        node: Name,
        /// The reason.
        why: RefuseWhy,
    },
    /// A client broke the protocol and was closed.
    Misuse {
        /// How.
        code: ErrorCode,
        /// In words.
        text: String,
    },
    /// Kept input gave way to new input.
    Lost {
        /// How many bytes since the line's start.
        total: u64,
    },
}

/// What was counted since the start. The names last: scripts read them in `status --json`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Grants given.
    pub granted: u64,
    /// Claims refused because the line was held or kept for another.
    pub refused_busy: u64,
    /// Claims refused for a wrong group or MAC.
    pub refused_stranger: u64,
    /// Leases that ran out.
    pub expired: u64,
    /// Output frames of ended grants that were dropped on arrival.
    pub stale_output: u64,
    /// Clients closed for breaking the protocol.
    pub misuse: u64,
    /// Clients closed because they did not claim in time.
    pub slow: u64,
    /// Clients that were refused, or gave way, because there were too many.
    pub full: u64,
    /// Bytes read from the line.
    pub bytes_in: u64,
    /// Bytes handed to the tty.
    pub bytes_out: u64,
    /// Bytes of input lost to the ring's bound.
    pub bytes_lost: u64,
    /// Kept bytes of input that a plain client came too late for.
    pub bytes_expired: u64,
    /// Breaks, parity and framing errors, overruns.
    pub line_errors: u64,
    /// Bytes that clients sent which may not write.
    pub unheard: u64,
    /// Bytes that observers missed because they were slower than the line.
    pub bytes_missed: u64,
    /// Observers closed because they were slower than the line.
    pub lagging: u64,
    /// Plain clients that another took the line from.
    pub replaced: u64,
}

impl Counters {
    /// Who was refused, for whatever reason.
    pub fn refused(&self) -> u64 {
        self.refused_busy + self.refused_stranger + self.misuse + self.slow + self.full
    }
}
