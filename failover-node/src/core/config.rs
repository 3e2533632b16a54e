//! What a node is told at its start.

use std::time::Duration;

use wire::{BootId, Key, Name};

use super::profile::Profile;

/// Everything one [`super::Node`] needs to know.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// The group; all its nodes and the line share the key.
    pub group: Name,
    /// This node, unique in the group.
    pub node: Name,
    /// This life of its process, random.
    pub boot: BootId,
    /// The line to serve.
    pub line: Name,
    /// The group's key for what this node sends.
    pub key: Key,
    /// Higher goes first for a vacancy.
    pub priority: u8,
    /// The times.
    pub profile: Profile,
    /// Digest of the settings that all nodes of the group must share.
    pub digest: u64,
    /// Random, for challenges and jitter.
    pub seed: u64,
    /// A coordinator whose payload leaves input unacknowledged for so long resigns.
    pub stall: Duration,
    /// So many crashes of the payload within [`RESTART_WINDOW`] are forgiven.
    pub restarts: usize,
}

/// See [`NodeConfig::restarts`].
pub const RESTART_WINDOW: Duration = Duration::from_secs(60);
/// How long a node that lost or gave up the line lets others go first.
pub const HOLD_DOWN: Duration = Duration::from_secs(5);
/// How long a node whose connect failed goes last.
pub const CONNECT_FAILED: Duration = Duration::from_secs(5);
/// First wait after a failed attempt; it doubles.
pub const BACKOFF_MIN: Duration = Duration::from_millis(20);
/// Longest wait between two attempts.
pub const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// A payload that is told to stop has this long before it is killed.
pub const STOP_GRACE: Duration = Duration::from_millis(500);

impl NodeConfig {
    /// With the defaults for everything that has one.
    pub fn new(group: Name, node: Name, line: Name, boot: BootId, key: Key) -> Self {
        Self {
            group,
            node,
            boot,
            line,
            key,
            priority: 100,
            profile: Profile::STANDARD,
            digest: 0,
            seed: u64::from_le_bytes([
                boot.0[0], boot.0[1], boot.0[2], boot.0[3], boot.0[4], boot.0[5], boot.0[6],
                boot.0[7],
            ]),
            stall: Duration::from_secs(30),
            restarts: 5,
        }
    }
}
