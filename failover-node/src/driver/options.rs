//! What a node is told at its start, checked already.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::time::Duration;

use rand::TryRng;
use rand::rngs::SysRng;
use wire::{BootId, Key, Name};

use crate::component::Exec;
use crate::core::{NodeConfig, Profile};

/// Everything [`super::run`] needs to know.
#[derive(Debug, Clone)]
pub struct Options {
    /// The group; all its nodes and the line share the key.
    pub group: Name,
    /// This node, unique in the group.
    pub node: Name,
    /// The line to serve.
    pub line: Name,
    /// The group's key.
    pub key: Key,
    /// Where heartbeats go, and beacons come from.
    pub multicast: SocketAddrV4,
    /// The address of the interface for them.
    pub interface: Ipv4Addr,
    /// Heartbeats may come through routers, so that their TTL proves nothing.
    pub routed: bool,
    /// `HOST:PORT`; a name is looked up anew for each attempt.
    pub terminal_server: String,
    /// The group's times.
    pub profile: Profile,
    /// Higher goes first for a vacancy.
    pub priority: u8,
    /// A coordinator whose payload leaves input unacknowledged for so long resigns.
    pub stall: Duration,
    /// So many crashes of the payload within a minute are forgiven.
    pub restarts: usize,
    /// Where `failover-node status` asks.
    pub status: Option<PathBuf>,
    /// What the coordinator runs.
    pub payload: Exec,
    /// This process is the node's own and has no children but its guards: whatever a killed guard
    /// leaves behind is found and killed. A host with other children must say `false`.
    pub own_process: bool,
}

impl Options {
    /// What the core is told. Draws what must be random.
    pub(crate) fn node_config(&self) -> io::Result<NodeConfig> {
        let boot = BootId(random()?);
        let (group, node, line) = (self.group.clone(), self.node.clone(), self.line.clone());
        Ok(NodeConfig {
            priority: self.priority,
            profile: self.profile,
            digest: self.digest(),
            seed: u64::from_ne_bytes(random()?),
            stall: self.stall,
            restarts: self.restarts,
            ..NodeConfig::new(group, node, line, boot, self.key.clone())
        })
    }

    /// Of what all nodes of a group must share: a node that differs would break its promises to
    /// the others. Under the key, so that the digest tells a stranger nothing.
    fn digest(&self) -> u64 {
        let version = [wire::frame::VERSION, wire::datagram::VERSION];
        let settings = format!("{} {}", self.line, self.profile);
        let mac = self.key.mac(&[b"linekeeper 1 settings", &version, settings.as_bytes()]);
        let (first, _) = mac.split_first_chunk().unwrap_or((&[0; 8], &[]));
        u64::from_be_bytes(*first)
    }
}

/// Bytes that nobody can guess.
pub(crate) fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    SysRng.try_fill_bytes(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_covers_what_a_group_shares_and_nothing_else() {
        let name = |text: &str| text.parse().unwrap();
        let options = Options {
            group: name("g"),
            node: name("a"),
            line: name("pms"),
            key: Key::new(0, *b"0123456789abcdef0123456789abcdef"),
            multicast: SocketAddrV4::new(Ipv4Addr::new(239, 255, 77, 1), 4100),
            interface: Ipv4Addr::LOCALHOST,
            routed: false,
            terminal_server: "ts:4101".into(),
            profile: Profile::STANDARD,
            priority: 100,
            stall: Duration::from_secs(30),
            restarts: 5,
            status: None,
            payload: Exec::new("true".into(), Vec::new()),
            own_process: false,
        };
        let mine = options.digest();
        let peer = Options { node: name("b"), priority: 7, restarts: 1, ..options.clone() };
        assert_eq!(peer.digest(), mine);
        assert_ne!(Options { line: name("pos"), ..options.clone() }.digest(), mine);
        assert_ne!(Options { profile: Profile::FAST, ..options.clone() }.digest(), mine);
        let (a, b) = (options.node_config().unwrap(), options.node_config().unwrap());
        assert_ne!(a.boot, b.boot);
        assert_ne!(a.seed, b.seed);
    }
}
