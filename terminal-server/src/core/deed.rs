//! What a client asks of the device beside sending bytes: it has its place among the output.

use std::time::Duration;

use bytes::Bytes;
use wire::{LineSettings, SignalChange, Signals};

use super::client::ClientId;
use super::telnet::Query;

/// One thing to be done with the device; parts that are not there leave it as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Deed {
    /// New settings, at once; what the device holds of output stays.
    pub settings: Option<LineSettings>,
    /// New levels of our wires, all in one step where the device can.
    pub signals: SignalChange,
    /// A break of this length.
    pub break_for: Option<Duration>,
    /// Read what the device has until there is nothing, and hand it in before the outcome.
    pub purge_input: bool,
    /// Throw away what the device still holds of output.
    pub purge_output: bool,
}

/// What became of a deed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// The settings in force now: those asked for only if the device took them.
    pub settings: LineSettings,
    /// The levels of all wires; `None` where the device has none.
    pub signals: Option<Signals>,
    /// Whether a break is being sent now.
    pub breaking: bool,
}

/// Who wants to know what became of a deed.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    pub(crate) client: ClientId,
    pub(crate) ask: Ask,
}

/// How the answer is worded.
#[derive(Debug, Clone)]
pub(crate) enum Ask {
    /// A command of RFC 2217.
    Telnet(Query),
    /// A SETTINGS frame.
    Settings,
    /// A SET_SIGNALS frame.
    Signals,
    /// A BREAK frame of so many milliseconds.
    Break(u32),
}

/// A deed on its way, with those who wait for it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Task {
    pub(crate) deed: Deed,
    pub(crate) askers: Vec<Asker>,
}

impl Deed {
    /// Only wires change.
    fn is_signals(&self) -> bool {
        *self == Self { signals: self.signals, ..Self::default() } && !self.signals.is_empty()
    }
}

impl Task {
    /// Takes up `next` if both only change wires, and not the same ones: DTR and RTS that a client
    /// sets one after the other change together (reset circuits need that).
    pub(crate) fn merge(&mut self, next: &Self) -> bool {
        let (ours, theirs) = (self.deed.signals, next.deed.signals);
        let apart = |a: Option<bool>, b: Option<bool>| a.is_none() || b.is_none();
        let disjoint = apart(ours.dtr, theirs.dtr)
            && apart(ours.rts, theirs.rts)
            && apart(ours.brk, theirs.brk);
        let merges = disjoint && self.deed.is_signals() && next.deed.is_signals();
        if merges {
            self.deed.signals = SignalChange {
                dtr: ours.dtr.or(theirs.dtr),
                rts: ours.rts.or(theirs.rts),
                brk: ours.brk.or(theirs.brk),
            };
            self.askers.extend(next.askers.iter().cloned());
        }
        merges
    }
}

/// What [`super::Line::poll_spool`] has to be written down, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpoolEntry {
    /// Input was read.
    Input(Bytes),
    /// The line, as [`super::Line::snapshot`] has it, has changed otherwise.
    State,
}
