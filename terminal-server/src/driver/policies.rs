//! How a line behaves towards its clients and its device: what the configuration calls the line's
//! keys, checked, each with its default.

use std::path::PathBuf;
use std::time::Duration;

use wire::Signals;

use crate::core::config::{FrameEnd, LEASE_MAX, RING};

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
    pub telnet: Telnet,
    /// Whether kept input is on the disk as well, so that it outlives a kill.
    pub spool: bool,
    /// Where the traffic is written down, if it is.
    pub trace: Option<Trace>,
    /// How a connection without traffic is watched.
    pub keepalive: Keepalive,
    /// How long sent bytes may stay unacknowledged before a connection counts as dead.
    pub user_timeout: Duration,
}

/// What happens to a raw or telnet client while another one has the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnBusy {
    /// Its connection is closed.
    #[default]
    Refuse,
    /// It gets the line, and the other one's connection is closed.
    Replace,
    /// It sees the input and may write nothing.
    Observe,
}

/// What happens to an observer that does not keep up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ObserverLag {
    /// It goes on at the oldest kept byte.
    #[default]
    Skip,
    /// Its connection is closed.
    Close,
}

/// When input is sent to the clients. With nothing set it is sent at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Packing {
    /// When the line has rested so long.
    pub idle: Option<Duration>,
    /// At the latest so long after its first byte.
    pub longest: Option<Duration>,
    /// After this byte.
    pub delimiter: Option<u8>,
    /// When so many bytes are there.
    pub length: Option<usize>,
}

/// What is done to one wire or flag, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Edges {
    /// When the device is opened.
    pub open: Edge,
    /// When a client gets the line.
    pub attach: Edge,
    /// When it loses the line.
    pub detach: Edge,
    /// When the device is closed.
    pub close: Edge,
}

/// What is done to a wire or flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Edge {
    /// Nothing.
    #[default]
    Keep,
    /// It is made active.
    On,
    /// It is made inactive.
    Off,
}

/// What telnet clients meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telnet {
    /// Whether the terminal server offers to echo, so that the client does not.
    pub echo: bool,
    /// The answer to a client that asks who is there (RFC 2217 SIGNATURE).
    pub signature: String,
    /// Whether a telnet BREAK becomes one on the line.
    pub break_on_sync: bool,
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

impl Default for Policies {
    fn default() -> Self {
        Self {
            lease_max: LEASE_MAX,
            pace: true,
            frame_end: FrameEnd::Finish,
            ring: RING,
            history: 64 * 1024,
            raw_may_hold: false,
            on_busy: OnBusy::Refuse,
            raw_keep: Duration::from_secs(5),
            observer_lag: ObserverLag::Skip,
            packing: Packing::default(),
            char_delay: Duration::ZERO,
            line_delay: Duration::ZERO,
            dtr: Edges::default(),
            rts: Edges::default(),
            hupcl: Edges::default(),
            // Long enough for every receiver at 50 bit/s and above.
            break_time: Duration::from_millis(250),
            levels: Signals(Signals::CTS.0 | Signals::DSR.0 | Signals::DCD.0),
            telnet: Telnet::default(),
            spool: false,
            trace: None,
            keepalive: Keepalive::default(),
            user_timeout: Duration::from_secs(8),
        }
    }
}

impl Default for Telnet {
    fn default() -> Self {
        Self { echo: true, signature: "linekeeper".to_owned(), break_on_sync: true }
    }
}

/// A client that vanished is found in 8 s: before its user has another cable in hand.
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
