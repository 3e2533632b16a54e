//! What a node asks of its driver, and what it has to tell.

use std::time::Duration;

use wire::{Epoch, FreeCause, Grant, Heartbeat, Name, RefuseWhy};

use super::LineId;
#[cfg(doc)]
use super::Node;
use crate::core::link::LinkEnd;

/// What the driver has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Multicast this.
    Heartbeat(Heartbeat),
    /// Start the component instance: its guard, and the connection to the terminal server. Then
    /// [`Node::handle_connected`] or [`Node::handle_connect_failed`].
    StartInstance(LineId),
    /// Start the payload; its first frame is this grant. What must come before it may fail: then
    /// [`Node::handle_gate_failed`].
    StartPayload(LineId, Box<Grant>),
    /// Tell the payload to stop, and kill it if it does not within the grace. When it and all its
    /// descendants are gone, [`Node::handle_payload_gone`].
    StopPayload(LineId),
    /// Kill the payload at once if there is one, send what is left in the socket's buffer if it
    /// takes it, close the connection, end the instance; then [`Node::handle_instance_gone`].
    EndInstance(LineId),
    /// The node has stopped; the process may end.
    Stopped,
    /// For the log and the journal; of a line or of the node.
    Report(Option<LineId>, Occurrence),
}

/// What an operator may want to read in a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Occurrence {
    /// The node claims the line.
    Claiming {
        /// Its rank for this vacancy.
        rank: u32,
        /// The terminal server's word for the vacancy; none: silence.
        cause: Option<FreeCause>,
    },
    /// The node is coordinator.
    Granted {
        /// The grant.
        epoch: Epoch,
        /// Bytes that a predecessor may have dealt with.
        in_doubt: u64,
    },
    /// The claim was refused.
    Refused {
        /// The reason.
        why: RefuseWhy,
        /// Who has the line.
        holder: Option<Name>,
    },
    /// The attempt failed before there was an answer.
    ConnectFailed {
        /// In words.
        error: String,
    },
    /// The grant was lost.
    Lost {
        /// The grant.
        epoch: Epoch,
        /// How.
        end: LinkEnd,
    },
    /// The grant is given back.
    Resigning {
        /// The grant.
        epoch: Epoch,
        /// Why.
        cause: ResignCause,
        /// For whom the line is kept.
        reserve_for: Option<Name>,
    },
    /// The grant was given back.
    Released {
        /// The grant.
        epoch: Epoch,
    },
    /// The grant ends with that of the group's first line.
    Abandoned {
        /// The grant.
        epoch: Epoch,
    },
    /// Maintenance has begun or ended.
    Maintenance {
        /// It has begun.
        on: bool,
        /// For how long; `None`: until it is switched off.
        length: Option<Duration>,
    },
    /// The check command says something else than before.
    Health {
        /// The node is fit to serve.
        fit: bool,
    },
    /// The payload sent what it must not.
    BadPayload {
        /// In words.
        error: String,
    },
    /// A member is believed for the first time, or after a restart.
    MemberJoined(Name),
    /// A member's shared settings differ from ours.
    SettingsDiffer(Name),
    /// Another process uses our name.
    DuplicateName,
}

/// Why a coordinator gives the line back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResignCause {
    /// The node is to stop.
    Stop,
    /// A planned hand-over.
    Handover,
    /// The payload ended by itself.
    PayloadCrashed,
    /// The payload has crashed too often.
    RestartBudget,
    /// The payload leaves input unacknowledged.
    Stall,
    /// The payload broke the protocol.
    BadPayload,
    /// A command that must succeed before the payload starts has not.
    GateFailed,
    /// Another line of the group was not to be had here for a while.
    LineOutOfReach,
    /// The check command fails.
    Unhealthy,
    /// By an operator's word.
    Maintenance,
    /// The configuration was changed: this node is not to lead any more.
    Barred,
    /// A node of higher priority has come back to stay.
    Preempted,
}

/// Why there is no hand-over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandoverError {
    /// Only the coordinator can hand over.
    #[error("this node is not the coordinator{}", .0.as_ref().map_or(String::new(), |n| format!("; {n} is: ask it")))]
    NotCoordinator(Option<Name>),
    /// The named node is not heard.
    #[error("node {0} is not heard; nothing was changed")]
    NotHeard(Name),
    /// The named node never leads, or not now.
    #[error("node {0} is an observer, never-coordinator or in maintenance; nothing was changed")]
    Never(Name),
    /// There is nobody to hand over to.
    #[error("no other node is heard that could take the line; nothing was changed")]
    Nobody,
    /// It is being handed over already.
    #[error("the line is being given back already")]
    Busy,
}

/// What was counted since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// Heartbeats sent.
    pub heartbeats_sent: u64,
    /// Heartbeats believed.
    pub heartbeats_heard: u64,
    /// Heartbeats of an earlier sequence: doubled, late or replayed.
    pub heartbeats_old: u64,
    /// Heartbeats of a boot that has not proved itself, or has a living member's name.
    pub heartbeats_unproven: u64,
    /// Heartbeats under our own name that are not ours.
    pub duplicate_name: u64,
    /// Heartbeats for which the table had no room.
    pub members_full: u64,
    /// Beacons taken in.
    pub beacons_heard: u64,
    /// Beacons older than one heard before.
    pub beacons_old: u64,
    /// Claims begun.
    pub claims: u64,
    /// Grants got.
    pub grants: u64,
    /// Claims refused.
    pub refused: u64,
    /// Attempts that failed before an answer.
    pub failed: u64,
    /// Grants lost without giving them back.
    pub lost: u64,
    /// The latest wake-up after a deadline, in microseconds.
    pub late_max_us: u64,
    /// Wake-ups later than a quarter of the lease.
    pub late: u64,
    /// Wake-ups by how late they were: below each of [`LATE_BOUNDS_MS`], and above the last.
    pub late_histogram: [u64; LATE_BOUNDS_MS.len() + 1],
}

/// The classes of late wake-ups, in milliseconds.
pub const LATE_BOUNDS_MS: [u64; 7] = [1, 2, 5, 10, 20, 50, 100];

impl Counters {
    /// A deadline was noticed so late.
    pub(super) fn woke_late(&mut self, late: Duration, lease: Duration) {
        let us = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
        self.late_max_us = self.late_max_us.max(us);
        self.late += u64::from(late > lease / 4);
        let class = LATE_BOUNDS_MS.iter().position(|bound| us < bound * 1000);
        self.late_histogram[class.unwrap_or(LATE_BOUNDS_MS.len())] += 1;
    }
}
