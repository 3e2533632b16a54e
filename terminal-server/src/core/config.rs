//! What a line is told at its start.

use std::time::Duration;

use super::telnet::TelnetOptions;
use wire::{Key, KeyRing, LineSettings, Name, SignalChange, Signals};

/// Shortest lease that is granted; below it a scheduler's hiccup would end grants.
pub const LEASE_MIN: Duration = Duration::from_millis(20);
/// Longest lease unless configured otherwise: the `wan` profile's 9 s with room.
pub const LEASE_MAX: Duration = Duration::from_secs(30);
/// Input kept for one line unless configured otherwise: 18 minutes at 9600 bit/s.
pub const RING: usize = 1024 * 1024;
/// Acknowledged input that is kept for observers unless configured otherwise.
pub const HISTORY: usize = 64 * 1024;
/// Most clients of one line unless configured otherwise. For one more, the oldest that has not
/// claimed, has ended or, where a node comes, observes without a key goes.
pub const MAX_CLIENTS: usize = 64;
/// Longest wait for the end of a packet that names no time.
pub const PACKET: Duration = Duration::from_secs(1);
/// Kept input goes to a plain client only if it comes this soon after the last holder.
pub const RAW_KEEP: Duration = Duration::from_secs(5);
/// Length of a break that a telnet client asks for, which has no way to say.
pub const BREAK_TIME: Duration = Duration::from_millis(250);
/// A client that has not claimed by then is closed.
pub const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long a connection whose grant has ended is read and discarded, so that its last frames
/// reach a client that was stopped for a while, before it is closed.
pub const LINGER: Duration = Duration::from_secs(10);

/// Everything one [`super::Line`] needs to know.
#[derive(Debug, Clone)]
pub struct LineConfig {
    /// The line's name, as HELLO and beacons say it.
    pub line: Name,
    /// The terminal server's name, as WELCOME and beacons say it.
    pub server: Name,
    /// The groups that may claim. Empty: a line for benches, owned by connecting.
    pub groups: Vec<GroupKeys>,
    /// Longest lease that is granted.
    pub lease_max: Duration,
    /// How the line is set while no holder has changed it.
    pub settings: LineSettings,
    /// How long one character takes on the line at these settings.
    pub char_time: Duration,
    /// Whether output is kept back so that little is ever out of hand.
    pub pace: bool,
    /// What becomes of a started frame when its grant ends.
    pub frame_end: FrameEnd,
    /// Most input kept, in bytes.
    pub ring: usize,
    /// How much of it may be acknowledged input, kept for observers that come later.
    pub history: usize,
    /// Whether the line can be throttled; else the oldest kept input gives way to the newest.
    pub flow_control: bool,
    /// Whether a client without a key may hold a line that has groups, while no node claims it.
    pub raw_may_hold: bool,
    /// What a plain client gets where another holds a line without groups.
    pub on_busy: OnBusy,
    /// See [`RAW_KEEP`].
    pub raw_keep: Duration,
    /// What becomes of an observer that is slower than the line.
    pub observer_lag: ObserverLag,
    /// How much input waits to be sent on together.
    pub packing: Packing,
    /// A rest after every character, for slow devices.
    pub char_delay: Duration,
    /// A rest after every line end.
    pub line_delay: Duration,
    /// Our wires when a holder comes; `None` leaves them.
    pub on_attach: SignalChange,
    /// Our wires when a holder goes.
    pub on_detach: SignalChange,
    /// Length of a break that says none.
    pub break_time: Duration,
    /// The levels shown where the device has no modem lines.
    pub levels: Signals,
    /// How telnet clients are met.
    pub telnet: TelnetOptions,
    /// Most clients.
    pub max_clients: usize,
    /// A client that has not claimed or observed by then is closed.
    pub handshake: Duration,
    /// Whether [`super::Line::poll_spool`] has anything to say.
    pub spool: bool,
    /// Whether the device keeps what arrives while nobody has it open. A pseudo terminal does; a
    /// real port does not, so a restart shows as the device gone and back.
    pub keeps_when_closed: bool,
}

/// A group and its keys.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupKeys {
    /// The group.
    pub group: Name,
    /// Its keys; claims may be made with any of them, beacons are with the one that sends.
    pub keys: KeyRing,
}

/// What becomes of an output frame that has started when its grant ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FrameEnd {
    /// It is finished; the next holder's output follows it.
    #[default]
    Finish,
    /// It ends where it is; the next holder is told after how many bytes.
    Cut,
}

/// What a plain client gets where another holds the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnBusy {
    /// It is closed.
    #[default]
    Refuse,
    /// The line; the other one is closed.
    Replace,
    /// It sees what comes from the line, and writes nothing.
    Observe,
}

/// What becomes of an observer that is slower than the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ObserverLag {
    /// It misses what is not kept any more, and is told where its protocol can say so.
    #[default]
    Skip,
    /// It is closed.
    Close,
}

/// When input that has come is sent on; by default at once.
///
/// Input waits until one of these says that it is complete. Where neither `idle` nor `longest` is
/// set it waits for [`PACKET`] at most: a packet without its end must not wait for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Packing {
    /// Nothing came for this long.
    pub idle: Option<Duration>,
    /// The first byte has waited for this long.
    pub longest: Option<Duration>,
    /// This byte has come; it is the end of the packet.
    pub delimiter: Option<u8>,
    /// So many bytes have come.
    pub length: Option<usize>,
}

impl Packing {
    /// Whether anything ever waits.
    pub fn is_off(&self) -> bool {
        *self == Self::default()
    }
}

impl LineConfig {
    /// With the defaults of a 9600 bit/s 8N1 line.
    pub fn new(line: Name, server: Name) -> Self {
        Self {
            line,
            server,
            groups: Vec::new(),
            lease_max: LEASE_MAX,
            settings: LineSettings::new(9600),
            char_time: Duration::from_nanos(1_041_667),
            pace: true,
            frame_end: FrameEnd::Finish,
            ring: RING,
            history: HISTORY,
            flow_control: false,
            raw_may_hold: false,
            on_busy: OnBusy::default(),
            raw_keep: RAW_KEEP,
            observer_lag: ObserverLag::default(),
            packing: Packing::default(),
            char_delay: Duration::ZERO,
            line_delay: Duration::ZERO,
            on_attach: SignalChange::default(),
            on_detach: SignalChange::default(),
            break_time: BREAK_TIME,
            levels: Signals::CTS | Signals::DSR | Signals::DCD,
            telnet: TelnetOptions::default(),
            max_clients: MAX_CLIENTS,
            handshake: HANDSHAKE,
            spool: false,
            keeps_when_closed: true,
        }
    }

    /// The key of that id of that group. `Err(())` when the group is not accepted at all.
    pub(crate) fn key(&self, group: &Name, id: u8) -> Result<Option<&Key>, ()> {
        let group = self.groups.iter().find(|g| g.group == *group).ok_or(())?;
        Ok(group.keys.get(id))
    }
}
