//! How a line stands, for beacons, status and the next process.

use bytes::Bytes;
use wire::{LineSettings, LineStatus, Name, Signals, Time};

use super::{Counters, Line, millis};
use crate::core::client::{ClientId, Stage};
use crate::core::config::ObserverLag;
use crate::core::saved::Saved;

impl Line {
    /// The line as beacons and refusals show it.
    pub fn status(&self, now: Time) -> LineStatus {
        let kept = self.arbiter.kept_for(now);
        let until =
            self.arbiter.holder().map(|h| h.expires).or_else(|| kept.map(|(_, until)| until));
        LineStatus {
            line: self.config.line.clone(),
            up: self.up,
            state: self.arbiter.state(),
            holder: self.arbiter.last().cloned(),
            epoch: self.arbiter.epoch(),
            lease_ms: millis(self.arbiter.lease()),
            left_ms: until.map_or(0, |t| millis(t.since(now))),
            reserved_for: kept.map(|(node, _)| node.clone()),
        }
    }

    /// What was counted.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Offsets of the input: acknowledged, handed out, read.
    pub fn offsets(&self) -> (u64, u64, u64) {
        (self.input.acked(), self.input.delivered(), self.input.end())
    }

    /// How the line is set, and the levels of its wires.
    pub fn condition(&self) -> (LineSettings, Signals) {
        (self.settings, self.signals)
    }

    /// The line's clients: what each of them is here, and the offset it has come to.
    pub fn clients(&self) -> impl Iterator<Item = (ClientId, &'static str, u64)> {
        self.clients.iter().map(|(id, client)| (*id, client.stage.name(), client.cursor))
    }

    /// Position of the next byte for the tty.
    pub fn written_to(&self) -> u64 {
        self.output.handed()
    }

    /// Whether the client has the line.
    pub fn is_holder(&self, id: ClientId) -> bool {
        self.arbiter.is_holder(id)
    }

    /// Whether the client only observes, and may be as slow as it likes.
    pub fn may_lag(&self, id: ClientId) -> bool {
        self.config.observer_lag == ObserverLag::Skip
            && self.clients.get(&id).is_some_and(|c| matches!(c.stage, Stage::Observer))
    }

    /// Most clients that it serves. For a moment there may be one more, being told so.
    pub fn max_clients(&self) -> usize {
        self.config.max_clients
    }

    /// The name that a client gave itself and proved.
    pub fn name_of(&self, id: ClientId) -> Option<&Name> {
        let holder = self.arbiter.holder().filter(|holder| holder.client == id)?;
        holder.who.as_ref().map(|(node, _)| node)
    }

    /// Bytes of memory that the kept input takes.
    pub fn kept(&self) -> usize {
        self.input.len()
    }

    /// When all that the tty was given has left the port, by the best knowledge there is.
    pub fn drained_at(&self) -> Time {
        self.output.drained_at()
    }

    /// What the next process must know. After [`Line::is_stopped`], or when that takes too long.
    pub fn save(&mut self) -> Saved {
        // A frame that could not be finished is the next process's first, so its ack counts.
        if let Some(finished) = self.output.promise() {
            self.take_effect(finished);
        }
        self.copy()
    }

    /// The same as things stand.
    pub fn copy(&self) -> Saved {
        Saved { bytes: self.input.kept().into(), ..self.snapshot() }
    }

    /// The same as things stand, without the input.
    pub fn snapshot(&self) -> Saved {
        Saved {
            incarnation: self.input.incarnation(),
            acked: self.input.acked(),
            delivered: self.input.delivered(),
            bytes: Bytes::new(),
            events: self.input.events().collect(),
            note: self.note.clone(),
            position: self.output.position(),
            unfinished: self.output.unfinished(),
            last: self.output.last(),
            epoch: self.arbiter.epoch(),
            holder: self.arbiter.last().cloned(),
            lease_ms: millis(self.arbiter.lease()),
        }
    }
}
