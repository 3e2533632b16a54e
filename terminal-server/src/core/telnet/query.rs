//! What a client says that concerns the line.

use bytes::Bytes;
use wire::rfc2217::Command;
use wire::{LineSettings, SettingsChange, SignalChange, Signals, StopBits};

/// What the client said that concerns the line, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// Bytes for the line.
    Data(Bytes),
    /// To be carried out, or refused, after the data before it, and answered.
    Ask(Query),
    /// Send a break of the configured length.
    Break,
}

/// A question or a wish; an empty change only asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// About the line's settings.
    Set {
        /// What is wanted.
        change: SettingsChange,
        /// How the reply is worded.
        answer: Answer,
    },
    /// About DTR, RTS and break.
    Signals {
        /// What is wanted.
        change: SignalChange,
        /// How the reply is worded.
        answer: Answer,
    },
    /// Throw away what is on its way, ours as well as the device's.
    Purge {
        /// What was read from the line.
        input: bool,
        /// What is meant for the line.
        output: bool,
    },
}

/// The wording of a reply: that of the question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer(pub(super) Command);

/// The line as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// The settings in force.
    pub settings: LineSettings,
    /// All levels, our own outputs and the break included.
    pub signals: Signals,
}

impl Query {
    /// What to change of the settings `now` in force, and perhaps impossible.
    ///
    /// A UART has one bit for "more than one stop bit", which means 1.5 with five data bits and 2
    /// with others. So a new size takes the stop bits along, and a client that sets the size first
    /// (as RFC 2217 wants it) gets from any settings to any others.
    pub fn wanted(&self, now: &LineSettings) -> SettingsChange {
        let Self::Set { change, .. } = *self else { return SettingsChange::default() };
        let along = match (change.data_bits, now.stop_bits) {
            (Some(5), StopBits::Two) => Some(StopBits::OnePointFive),
            (Some(6..), StopBits::OnePointFive) => Some(StopBits::Two),
            _ => None,
        };
        SettingsChange { stop_bits: change.stop_bits.or(along), ..change }
    }
}
