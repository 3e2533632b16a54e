//! How a line behaves towards its clients and its device: what the configuration calls the line's
//! keys, checked, each with its default.

use std::path::PathBuf;
use std::time::Duration;

use sys::{Level, OpenPolicy, Wires};
use wire::{SignalChange, Signals};

use crate::core::config::{
    BREAK_TIME, FrameEnd, HISTORY, LEASE_MAX, ObserverLag, OnBusy, Packing, RAW_KEEP, RING,
};
use crate::core::{LineConfig, TelnetOptions};

/// Everything about a line that is neither its name, its device, its groups nor its listeners.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policies {
    /// Longest lease that is granted.
    pub lease_max: Duration,
    /// Whether output is kept back so that little is ever out of hand.
    pub pace: bool,
    /// What becomes of a started frame when its grant ends.
    pub frame_end: FrameEnd,
    /// Most input kept until it is acknowledged, in bytes.
    pub ring: usize,
    /// Acknowledged input that is kept for observers, in bytes.
    pub history: usize,
    /// Whether raw and telnet clients may hold a line that has groups.
    pub raw_may_hold: bool,
    /// What happens to a raw or telnet client while another one has the line.
    pub on_busy: OnBusy,
    /// Input no older than this goes to a raw client that comes; older is not sent to it.
    pub raw_keep: Duration,
    /// What happens to an observer that does not keep up.
    pub observer_lag: ObserverLag,
    /// When input is sent to the clients.
    pub packing: Packing,
    /// Rest after each character written to the device.
    pub char_delay: Duration,
    /// Rest after each line end written to the device.
    pub line_delay: Duration,
    /// What is done to DTR.
    pub dtr: Edges,
    /// What is done to RTS.
    pub rts: Edges,
    /// What is done to the terminal's "hang up on close".
    pub hupcl: Edges,
    /// How long a break lasts whose length the client leaves open.
    pub break_time: Duration,
    /// Levels shown to clients where the device has no modem lines.
    pub levels: Signals,
    /// What telnet clients meet.
    pub telnet: TelnetOptions,
    /// Whether kept input is on the disk as well, so that it outlives a kill.
    pub spool: bool,
    /// Where the traffic is written down, if it is.
    pub trace: Option<Trace>,
    /// How a connection without traffic is watched.
    pub keepalive: Keepalive,
    /// How long sent bytes may stay unacknowledged before a connection counts as dead.
    pub user_timeout: Duration,
}

/// What is done to one wire or flag, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Edges {
    /// When the device is opened.
    pub open: Level,
    /// When a client gets the line.
    pub attach: Level,
    /// When it loses the line.
    pub detach: Level,
    /// When the device is closed.
    pub close: Level,
}

/// Where a line's traffic is written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// The file that is written now.
    pub path: PathBuf,
    /// It is put aside at this size, in bytes.
    pub size: u64,
    /// So many files put aside are kept.
    pub keep: u32,
}

/// How a connection without traffic is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// Asked after so much silence...
    pub idle: Duration,
    /// ...then this often...
    pub interval: Duration,
    /// ...and given up after so many unanswered questions.
    pub probes: u32,
}

impl Policies {
    /// What of it concerns the line's core, put into `config`.
    pub fn apply(&self, config: LineConfig) -> LineConfig {
        LineConfig {
            lease_max: self.lease_max,
            pace: self.pace,
            frame_end: self.frame_end,
            ring: self.ring,
            history: self.history,
            raw_may_hold: self.raw_may_hold,
            on_busy: self.on_busy,
            raw_keep: self.raw_keep,
            observer_lag: self.observer_lag,
            packing: self.packing,
            char_delay: self.char_delay,
            line_delay: self.line_delay,
            on_attach: self.wires(|edges| edges.attach),
            on_detach: self.wires(|edges| edges.detach),
            break_time: self.break_time,
            levels: self.levels,
            telnet: self.telnet.clone(),
            spool: self.spool,
            ..config
        }
    }

    /// How the device is opened and closed. `marks`: whether line errors are wanted in the input.
    pub fn open_policy(&self, marks: bool) -> OpenPolicy {
        let wires = |when: fn(&Edges) -> Level| Wires {
            dtr: when(&self.dtr),
            rts: when(&self.rts),
            hupcl: when(&self.hupcl),
        };
        OpenPolicy {
            open: wires(|edges| edges.open),
            close: wires(|edges| edges.close),
            marks,
            low_latency: true,
            // A stop waits for the output by itself, for so long and no longer.
            discard: true,
        }
    }

    fn wires(&self, when: impl Fn(&Edges) -> Level) -> SignalChange {
        SignalChange { dtr: when(&self.dtr).wanted(), rts: when(&self.rts).wanted(), brk: None }
    }
}

impl Default for Policies {
    fn default() -> Self {
        Self {
            lease_max: LEASE_MAX,
            pace: true,
            frame_end: FrameEnd::Finish,
            ring: RING,
            history: HISTORY,
            raw_may_hold: false,
            on_busy: OnBusy::Refuse,
            raw_keep: RAW_KEEP,
            observer_lag: ObserverLag::Skip,
            packing: Packing::default(),
            char_delay: Duration::ZERO,
            line_delay: Duration::ZERO,
            dtr: Edges::default(),
            rts: Edges::default(),
            // The close makes no edge, be it a crash.
            hupcl: Edges { open: Level::Off, close: Level::Off, ..Edges::default() },
            break_time: BREAK_TIME,
            levels: Signals::CTS | Signals::DSR | Signals::DCD,
            telnet: TelnetOptions::default(),
            spool: false,
            trace: None,
            keepalive: Keepalive::default(),
            // The kernel looks when it sends again: a silent peer is gone within 10 s.
            user_timeout: Duration::from_secs(7),
        }
    }
}

/// An idle client that vanished is found within 8 s: before its user has another cable in hand.
impl Default for Keepalive {
    fn default() -> Self {
        Self { idle: Duration::from_secs(5), interval: Duration::from_secs(1), probes: 3 }
    }
}

impl Trace {
    /// With the usual bounds: 10 MiB, and three files put aside.
    pub fn new(path: PathBuf) -> Self {
        Self { path, size: 10 * 1024 * 1024, keep: 3 }
    }
}
