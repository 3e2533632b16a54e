//! What a node is told at its start.

use std::time::Duration;

use wire::{BootId, Digests, KeyRing, Name};

use super::profile::Profile;

/// Everything one [`super::Node`] needs to know.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// The group; all its nodes and the lines share the keys.
    pub group: Name,
    /// This node, unique in the group.
    pub node: Name,
    /// This life of its process, random.
    pub boot: BootId,
    /// The lines to serve. The first is the group's lock: the others are claimed only while it is
    /// held, and released with it.
    pub lines: Vec<Name>,
    /// The group's keys.
    pub keys: KeyRing,
    /// The times.
    pub profile: Profile,
    /// Of the settings that all nodes of the group must share.
    pub digests: Digests,
    /// Random, for challenges and jitter.
    pub seed: u64,
    /// What may change while it runs.
    pub behaviour: Behaviour,
}

/// How a node behaves; may change while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behaviour {
    /// Higher goes first for a vacancy.
    pub priority: u8,
    /// Whether it may become coordinator at all.
    pub membership: Membership,
    /// The coordinator hands the line over to a node of higher priority that has been heard and
    /// able for so long. `None`: the incumbent stays.
    pub preempt_after: Option<Duration>,
    /// A coordinator whose payload leaves input unacknowledged for so long resigns.
    pub stall: Duration,
    /// So many crashes of a payload within [`RESTART_WINDOW`] are forgiven.
    pub restarts: usize,
}

/// What a node is to its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Membership {
    /// It may become coordinator.
    #[default]
    Full,
    /// It has all that a coordinator needs, and never becomes one.
    NeverCoordinator,
    /// It only hears and shows; it needs no payload and no way to the terminal server.
    Observer,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            priority: 100,
            membership: Membership::Full,
            preempt_after: None,
            stall: Duration::from_secs(30),
            restarts: 5,
        }
    }
}

/// See [`Behaviour::restarts`].
pub const RESTART_WINDOW: Duration = Duration::from_secs(60);
/// How long a node that lost or gave up the line lets others go first; it doubles with each
/// repetition within [`FLAP_WINDOW`].
pub const HOLD_DOWN: Duration = Duration::from_secs(5);
/// The longest hold-down.
pub const HOLD_DOWN_MAX: Duration = Duration::from_secs(300);
/// So long for something that has happened `before` so often in [`FLAP_WINDOW`].
pub(crate) fn hold(before: u32) -> Duration {
    (HOLD_DOWN * 2u32.pow(before.min(6))).min(HOLD_DOWN_MAX)
}

/// Losses further apart are no repetition.
pub const FLAP_WINDOW: Duration = Duration::from_secs(600);
/// How long a node whose connect failed goes last.
pub const CONNECT_FAILED: Duration = Duration::from_secs(5);
/// First wait after a failed attempt; it doubles.
pub const BACKOFF_MIN: Duration = Duration::from_millis(20);
/// Longest wait between two attempts.
pub const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// A payload that is told to stop has this long before it is killed.
pub const STOP_GRACE: Duration = Duration::from_millis(500);
/// A payload that has not ended by this long after it was told to is left to its guard, and the
/// line is given up: the end of the connection keeps its bytes from the line.
pub const STOP_PATIENCE: Duration = Duration::from_secs(3);
/// A line that the coordinator could not get for so long is a difficulty of its own.
pub const LINE_PATIENCE: Duration = Duration::from_secs(5);
/// Most lines of one group: what one beacon shows.
pub const MAX_LINES: usize = wire::beacon::MAX_BEACON_LINES;

impl NodeConfig {
    /// With the defaults for everything that has one.
    pub fn new(group: Name, node: Name, line: Name, boot: BootId, keys: KeyRing) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = boot.0;
        Self {
            group,
            node,
            boot,
            digests: Digests::new(&keys, "", ""),
            lines: vec![line],
            keys,
            profile: Profile::STANDARD,
            seed: u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            behaviour: Behaviour::default(),
        }
    }
}
