//! What a terminal server is told at its start, checked already.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use sys::{DeviceName, Flow, InterfaceName, LineSettings, PtyAccess};
use wire::Name;

use super::network::Network;
use super::policies::Policies;
use crate::core::GroupKeys;
use crate::core::config::{HANDSHAKE, LineConfig, MAX_CLIENTS};

/// Everything [`super::Server`] needs to know.
#[derive(Debug, Clone)]
pub struct Options {
    /// The terminal server's name in WELCOME and beacons.
    pub server: Name,
    /// Where the start number and, over a clean stop, the input live. Without lines that have
    /// groups it may be missing.
    pub state: Option<PathBuf>,
    /// Begin where there is no readable state.
    pub new_state: bool,
    /// Where `terminal-server status` asks.
    pub status: Option<PathBuf>,
    /// How much of everything there may be.
    pub limits: Limits,
    /// Who hears beacons.
    pub beacons: BeaconOptions,
    /// Which devices must be there for the start.
    pub missing: Missing,
    /// Below it are the `sys` and the `dev` that `usb:` names are looked up in: `/`. Tests have
    /// others.
    pub root: PathBuf,
    /// Its lines, each name once.
    pub lines: Vec<LineOptions>,
}

/// Everything about one line.
#[derive(Debug, Clone, PartialEq)]
pub struct LineOptions {
    /// Its name in HELLO and beacons.
    pub line: Name,
    /// What it is made of.
    pub port: PortOptions,
    /// The groups that may claim it. None: a line for benches, owned by connecting.
    pub groups: Vec<GroupKeys>,
    /// Where its clients connect.
    pub listeners: Vec<ListenOptions>,
    /// How it behaves.
    pub policies: Policies,
}

/// What a line is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortOptions {
    /// A serial device.
    Tty {
        /// Like `/dev/ttyUSB0` or `usb:serial=A10KZP45`.
        name: DeviceName,
        /// Speed, format, flow control.
        settings: LineSettings,
    },
    /// A pseudo terminal of our own; the other side opens the link.
    Virtual {
        /// The stable name of its far end.
        link: PathBuf,
        /// For the pace, since a pseudo terminal has no speed; and with flow control its far end
        /// is held back where the ring of another line would lose its oldest bytes.
        settings: LineSettings,
        /// Who else may open the far end.
        access: PtyAccess,
    },
}

/// Where clients of a line connect. A `line` listener may serve many lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenOptions {
    /// What is spoken there.
    pub speech: Speech,
    /// Where.
    pub address: SocketAddr,
    /// From where; everybody, if empty.
    pub allow: Vec<Network>,
}

/// What is spoken behind a listening socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Speech {
    /// The line protocol.
    Line,
    /// Plain bytes.
    Raw,
    /// Telnet, with RFC 2217.
    Telnet,
}

/// How much of everything there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Clients of a line. For one more, one that has not claimed goes.
    pub line_clients: usize,
    /// Connections from one address.
    pub address_clients: usize,
    /// Connections to one listener that have not said their first frame. For one more, the oldest
    /// goes.
    pub handshakes: usize,
    /// A client that has not claimed by then is closed.
    pub handshake_time: Duration,
    /// Input kept for all lines together, in bytes.
    pub kept_input: usize,
}

/// Which devices must be there for the start. Whatever may be missing is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Missing {
    /// None: a line whose device cannot be opened, for whatever reason, keeps no other from
    /// running.
    #[default]
    Wait,
    /// A device may be absent. One that is there must be ours to use.
    WaitForAbsent,
    /// All of them.
    Fail,
}

/// Who hears beacons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BeaconOptions {
    /// Multicast groups and single hosts.
    pub targets: Vec<SocketAddr>,
    /// The interfaces that multicasts leave by, each of them; none: the system's choice.
    pub interfaces: Vec<InterfaceName>,
    /// The longest time between two beacons.
    pub interval: Duration,
}

impl Options {
    /// With these lines and every default.
    pub fn new(server: Name, lines: Vec<LineOptions>) -> Self {
        Self {
            server,
            state: None,
            new_state: false,
            status: None,
            limits: Limits::default(),
            beacons: BeaconOptions::default(),
            missing: Missing::default(),
            root: PathBuf::from("/"),
            lines,
        }
    }

    /// What a line's core is told.
    pub fn line_config(&self, line: &LineOptions) -> LineConfig {
        let LineOptions { line, port, groups, policies, .. } = line;
        let settings = port.settings();
        policies.apply(LineConfig {
            groups: groups.clone(),
            settings: *settings,
            char_time: settings.char_time(),
            flow_control: settings.flow != Flow::None,
            max_clients: self.limits.line_clients,
            handshake: self.limits.handshake_time,
            ..LineConfig::new(line.clone(), self.server.clone())
        })
    }
}

impl LineOptions {
    /// With every default.
    pub fn new(line: Name, port: PortOptions) -> Self {
        let (groups, listeners) = (Vec::new(), Vec::new());
        Self { line, port, groups, listeners, policies: Policies::default() }
    }

    /// Whether the line can go over to `other` as it runs: who may connect is its listeners'
    /// business, and the keys of its groups can be changed.
    pub(crate) fn runs_on_as(&self, other: &Self) -> bool {
        let Self { line, port, groups, listeners, policies } = self;
        let places = |listeners: &[ListenOptions]| -> Vec<_> {
            listeners.iter().map(|listen| (listen.speech, listen.address)).collect()
        };
        let names = |groups: &[GroupKeys]| -> Vec<_> {
            groups.iter().map(|group| group.group.clone()).collect()
        };
        (line, port, policies) == (&other.line, &other.port, &other.policies)
            && names(groups) == names(&other.groups)
            && places(listeners) == places(&other.listeners)
    }
}

impl PortOptions {
    /// The name a user knows it by.
    pub fn name(&self) -> String {
        match self {
            Self::Tty { name, .. } => name.to_string(),
            Self::Virtual { link, .. } => link.display().to_string(),
        }
    }

    /// Its settings.
    pub fn settings(&self) -> &LineSettings {
        match self {
            Self::Tty { settings, .. } | Self::Virtual { settings, .. } => settings,
        }
    }
}

impl ListenOptions {
    /// For everybody.
    pub fn new(speech: Speech, address: SocketAddr) -> Self {
        Self { speech, address, allow: Vec::new() }
    }
}

impl Speech {
    /// As the configuration and the status say it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Line => "line",
            Self::Raw => "raw",
            Self::Telnet => "telnet",
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            line_clients: MAX_CLIENTS,
            // A host may well be the client of every one of a thousand lines.
            address_clients: 4096,
            // A group's nodes need one or two each.
            handshakes: 128,
            handshake_time: HANDSHAKE,
            kept_input: 256 * 1024 * 1024,
        }
    }
}

impl Default for BeaconOptions {
    fn default() -> Self {
        Self { targets: Vec::new(), interfaces: Vec::new(), interval: BEACON_INTERVAL }
    }
}

/// As often as the `standard` profile's heartbeats.
pub const BEACON_INTERVAL: Duration = Duration::from_millis(100);
