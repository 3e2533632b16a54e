//! What operators see: one log line per occurrence, and the answer of `terminal-server status`.
//!
//! The first word of each log line, its message, is stable: the lab and scripts look for it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sys::PortError;
use wire::{ErrorCode, FreeCause, LineState, Name, RefuseWhy, Time};

use super::device::Device;
use super::gate::RefusalReport;
use super::state::StateError;
use super::stream::Address;
use crate::core::{Counters, Line, Occurrence};

/// How a terminal server stands.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ServerReport {
    /// Its name.
    pub server: String,
    /// Its release.
    pub version: String,
    /// The upper half of its epochs.
    pub start: u32,
    /// Connections that never reached a line.
    pub refused: RefusalReport,
    /// Where it listens.
    pub listeners: Vec<ListenerReport>,
    /// Its lines.
    pub lines: Vec<LineReport>,
}

/// How a listener stands.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ListenerReport {
    /// `line`, `raw` or `telnet`.
    pub speech: String,
    /// Where; while it cannot listen, where it would.
    pub address: String,
    /// Why it cannot listen. It is tried again and again.
    pub error: Option<String>,
    /// How many lines are behind it.
    pub lines: usize,
}

/// How a line stands.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LineReport {
    /// Its name.
    pub line: String,
    /// What it is made of, by the name in the configuration.
    pub device: String,
    /// The file that this name stands for, as long as the device is there.
    pub path: Option<String>,
    /// Whether that is there.
    pub up: bool,
    /// Why it is not.
    pub trouble: Option<String>,
    /// The settings in force, as `9600,8N1`.
    pub settings: String,
    /// The wires that are active, as `DTR RTS CTS`.
    pub wires: String,
    /// `held` or `free`.
    pub state: String,
    /// Why it is free.
    pub cause: Option<String>,
    /// The holder; of a free line the last one.
    pub holder: Option<String>,
    /// The last grant, as `start.count`.
    pub epoch: String,
    /// Its lease.
    pub lease_ms: u32,
    /// What is left of it, or of a reservation.
    pub left_ms: u32,
    /// For whom the free line is kept.
    pub reserved_for: Option<String>,
    /// Connections.
    pub clients: usize,
    /// Input before this offset was acknowledged.
    pub acked: u64,
    /// Input before this offset was handed to somebody.
    pub delivered: u64,
    /// Input before this offset was read.
    pub end: u64,
    /// What was counted since the start.
    pub counters: Counters,
}

impl LineReport {
    pub(crate) fn new(line: &Line, device: &Device, clients: usize, now: Time) -> Self {
        let status = line.status(now);
        let (settings, signals) = line.condition();
        let (acked, delivered, end) = line.offsets();
        Self {
            line: status.line.to_string(),
            device: device.name(),
            path: device.path().map(|path| path.display().to_string()),
            up: status.up,
            trouble: device.trouble().map(str::to_owned),
            settings: settings.to_string(),
            wires: signals.to_string(),
            state: if status.state == LineState::Held { "held" } else { "free" }.to_owned(),
            cause: match status.state {
                LineState::Held => None,
                LineState::Free(cause) => Some(free_cause(cause).to_owned()),
            },
            holder: status.holder.map(|name| name.to_string()),
            epoch: status.epoch.to_string(),
            lease_ms: status.lease_ms,
            left_ms: status.left_ms,
            reserved_for: status.reserved_for.map(|name| name.to_string()),
            clients,
            acked,
            delivered,
            end,
            counters: line.counters(),
        }
    }
}

/// Logs what the core reports of one line.
#[derive(Debug)]
pub(crate) struct Reporter {
    line: Name,
    /// When the present window of strangers' lines began, and how many it has.
    window: (Time, u32),
    /// Strangers' lines that were not logged since the last one that was.
    suppressed: u64,
}

impl Reporter {
    pub(crate) fn new(line: Name) -> Self {
        Self { line, window: (Time::ZERO, 0), suppressed: 0 }
    }

    /// `about`: the client whose message led to it, if one did.
    pub(crate) fn occurrence(
        &mut self,
        occurrence: &Occurrence,
        about: Option<&Address>,
        now: Time,
    ) {
        let line = &self.line;
        match occurrence {
            Occurrence::Granted { node, epoch, in_doubt } => {
                let node = node.as_ref().map(tracing::field::display);
                let peer = about.map(tracing::field::display);
                tracing::info!(%line, node, %epoch, in_doubt, peer, "granted");
            }
            Occurrence::Ended { epoch, cause, dropped } => {
                let cause = free_cause(*cause);
                tracing::info!(%line, %epoch, cause, dropped, "ended");
            }
            Occurrence::Lost { total } => tracing::warn!(%line, total, "lost"),
            Occurrence::Refused { .. } | Occurrence::Misuse { .. } => {
                self.stranger(occurrence, about, now);
            }
        }
    }

    /// A connection was closed unheard because there were too many.
    pub(crate) fn crowd(&mut self, peer: &Address, now: Time) {
        let Some(suppressed) = self.admit(now) else { return };
        let line = &self.line;
        tracing::warn!(%line, %peer, suppressed, "crowd");
    }

    /// Whoever can connect can cause these lines: the counters know all, the log some. `None`: not
    /// this one; else how many were left out before it, if any were.
    fn admit(&mut self, now: Time) -> Option<Option<u64>> {
        if now.since(self.window.0) >= WINDOW {
            self.window = (now, 0);
        }
        if self.window.1 >= LINES_PER_WINDOW {
            self.suppressed += 1;
            return None;
        }
        self.window.1 += 1;
        Some(Some(std::mem::take(&mut self.suppressed)).filter(|count| *count > 0))
    }

    fn stranger(&mut self, occurrence: &Occurrence, about: Option<&Address>, now: Time) {
        let Some(suppressed) = self.admit(now) else { return };
        let line = &self.line;
        let peer = about.map(tracing::field::display);
        match occurrence {
            Occurrence::Refused { node, why } => {
                let cause = refuse_why(*why);
                tracing::info!(%line, %node, cause, peer, suppressed, "refused");
            }
            Occurrence::Misuse { code, text } => {
                let cause = error_code(*code);
                tracing::warn!(%line, cause, text, peer, suppressed, "misuse");
            }
            _ => {}
        }
    }
}

/// Logs that the device has gone or is back.
pub(crate) fn device(line: &Name, device: &Device, error: Option<&PortError>) {
    let (up, path) =
        (device.is_open(), device.path().map(|path| tracing::field::display(path.display())));
    let device = device.name();
    match error {
        Some(error) => tracing::warn!(%line, device, path, up, %error, "device"),
        None => tracing::info!(%line, device, path, up, "device"),
    }
}

/// Logs that a claim cannot be granted because its epoch cannot be stored.
pub(crate) fn store_failed(line: &Name, error: &StateError) {
    tracing::error!(%line, %error, "store");
}

fn free_cause(cause: FreeCause) -> &'static str {
    match cause {
        FreeCause::Restarted => "restarted",
        FreeCause::Closed => "closed",
        FreeCause::Lease => "lease",
        FreeCause::Released => "released",
        FreeCause::Reserved => "reserved",
    }
}

fn refuse_why(why: RefuseWhy) -> &'static str {
    match why {
        RefuseWhy::Held => "held",
        RefuseWhy::Reserved => "reserved",
        RefuseWhy::Group => "group",
        RefuseWhy::Mac => "mac",
        RefuseWhy::Stopping => "stopping",
        RefuseWhy::Storage => "storage",
    }
}

fn error_code(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::BadFrame => "bad_frame",
        ErrorCode::Version => "version",
        ErrorCode::UnknownLine => "unknown_line",
        ErrorCode::Unexpected => "unexpected",
        ErrorCode::Window => "window",
        ErrorCode::Position => "position",
        ErrorCode::Offset => "offset",
        ErrorCode::Slow => "slow",
        ErrorCode::Full => "full",
    }
}

/// Strangers' log lines are counted over this time...
const WINDOW: Duration = Duration::from_secs(10);
/// ...and so many of them are enough to see what goes on.
const LINES_PER_WINDOW: u32 = 20;
