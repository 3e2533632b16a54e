//! What a terminal server is told at its start, checked already.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sys::{Flow, LineSettings};
use wire::Name;

use super::listener::Speech;
use crate::core::GroupKeys;
use crate::core::config::{FrameEnd, LEASE_MAX, LineConfig, RING};

/// Everything [`super::Server`] needs to know.
#[derive(Debug, Clone)]
pub struct Options {
    /// The terminal server's name in WELCOME and beacons.
    pub server: Name,
    /// The line's name in HELLO and beacons.
    pub line: Name,
    /// What the line is made of.
    pub port: PortOptions,
    /// Who may come, and from where.
    pub access: Access,
    /// Where the start number and, over a clean stop, the input live. A bench line may go without.
    pub state: Option<PathBuf>,
    /// Begin where there is no readable state.
    pub new_state: bool,
    /// Who hears beacons.
    pub beacons: BeaconOptions,
    /// Longest lease that is granted.
    pub lease_max: Duration,
    /// Most input kept, in bytes.
    pub ring: usize,
    /// Whether output is kept back so that little is ever out of hand.
    pub pace: bool,
    /// What becomes of a started frame when its grant ends.
    pub frame_end: FrameEnd,
    /// Where `terminal-server status` asks.
    pub status: Option<PathBuf>,
}

/// What a line is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortOptions {
    /// A serial device.
    Tty {
        /// Like `/dev/ttyUSB0`.
        path: PathBuf,
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
    },
}

/// Who may come to the line.
#[derive(Debug, Clone)]
pub enum Access {
    /// Nodes of a group, over the line protocol.
    Line {
        /// Where to listen.
        listen: SocketAddr,
        /// The group and its key.
        group: GroupKeys,
    },
    /// Anybody, for benches: plain bytes, owned by connecting.
    Raw {
        /// Where to listen.
        listen: SocketAddr,
    },
}

/// Who hears beacons.
#[derive(Debug, Clone)]
pub struct BeaconOptions {
    /// Multicast groups and single hosts.
    pub targets: Vec<SocketAddrV4>,
    /// The address of the interface that multicasts leave by; unspecified: the system's choice.
    pub interface: Ipv4Addr,
    /// The longest time between two beacons.
    pub interval: Duration,
}

impl Options {
    /// With every default.
    pub fn new(server: Name, line: Name, port: PortOptions, access: Access) -> Self {
        Self {
            server,
            line,
            port,
            access,
            state: None,
            new_state: false,
            beacons: BeaconOptions::default(),
            lease_max: LEASE_MAX,
            ring: RING,
            pace: true,
            frame_end: FrameEnd::Finish,
            status: None,
        }
    }

    /// What the line's core is told.
    pub fn line_config(&self) -> LineConfig {
        let settings = self.port.settings();
        let groups = match &self.access {
            Access::Line { group, .. } => vec![group.clone()],
            Access::Raw { .. } => Vec::new(),
        };
        LineConfig {
            groups,
            lease_max: self.lease_max,
            char_time: settings.char_time(),
            pace: self.pace,
            frame_end: self.frame_end,
            ring: self.ring,
            flow_control: settings.flow != Flow::None,
            ..LineConfig::new(self.line.clone(), self.server.clone())
        }
    }
}

impl PortOptions {
    /// The name a user knows it by.
    pub fn path(&self) -> &Path {
        match self {
            Self::Tty { path, .. } => path,
            Self::Virtual { link, .. } => link,
        }
    }

    /// Its settings.
    pub fn settings(&self) -> &LineSettings {
        match self {
            Self::Tty { settings, .. } | Self::Virtual { settings, .. } => settings,
        }
    }
}

impl Access {
    /// Where to listen.
    pub fn listen(&self) -> SocketAddr {
        match self {
            Self::Line { listen, .. } | Self::Raw { listen } => *listen,
        }
    }

    /// What is spoken there.
    pub(crate) fn speech(&self) -> Speech {
        match self {
            Self::Line { .. } => Speech::Line,
            Self::Raw { .. } => Speech::Raw,
        }
    }
}

impl Default for BeaconOptions {
    fn default() -> Self {
        Self { targets: Vec::new(), interface: Ipv4Addr::UNSPECIFIED, interval: BEACON_INTERVAL }
    }
}

/// As often as the `standard` profile's heartbeats.
pub const BEACON_INTERVAL: Duration = Duration::from_millis(100);
