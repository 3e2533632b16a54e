//! What a node is told at its start, checked already.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use rand::TryRng;
use rand::rngs::SysRng;
use sys::InterfaceName;
use wire::{BootId, Digests, KeyRing, Name};

use crate::component::PayloadOptions;
use crate::core::config::Behaviour;
use crate::core::{NodeConfig, Profile};

/// Everything [`super::run`] needs to know.
#[derive(Debug, Clone)]
pub struct Options {
    /// The group; all its nodes and the lines share the keys.
    pub group: Name,
    /// This node, unique in the group.
    pub node: Name,
    /// The group's keys.
    pub keys: KeyRing,
    /// Where heartbeats go, and where heartbeats and beacons come from; at least one.
    pub networks: Vec<Network>,
    /// The lines to serve; the first is the group's lock.
    pub lines: Vec<LineOptions>,
    /// The group's times.
    pub profile: Profile,
    /// How this node behaves; may change by a reload.
    pub behaviour: Behaviour,
    /// It starts in maintenance, for so long.
    pub maintenance: Option<Duration>,
    /// A command that says whether this node is fit to serve.
    pub check: Option<Check>,
    /// Commands that run when the role changes.
    pub hooks: Hooks,
    /// The journal of role changes, JSON lines.
    pub events: Option<PathBuf>,
    /// Where `failover-node status` asks.
    pub status: Option<PathBuf>,
    /// This process is the node's own and has no children but its guards: whatever a killed guard
    /// leaves behind is found and killed. A host with other children must say `false`.
    pub own_process: bool,
}

/// One line of the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineOptions {
    /// Its name, as its terminal server calls it.
    pub line: Name,
    /// `HOST:PORT`; a name is looked up anew for each attempt.
    pub terminal_server: String,
    /// What the coordinator runs for it; an observer has none.
    pub payload: Option<PayloadOptions>,
}

/// One path on which datagrams travel: an interface and a multicast group on it, peers that are
/// sent to one by one, or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// The interface that datagrams leave by and come in at.
    pub interface: InterfaceName,
    /// The multicast group and port. IPv4 or IPv6, the same on all nodes and the terminal server.
    pub multicast: Option<SocketAddr>,
    /// Where unicast datagrams are received.
    pub listen: Option<SocketAddr>,
    /// Nodes that are sent each heartbeat besides.
    pub peers: Vec<SocketAddr>,
    /// Datagrams may come through routers, so that their TTL proves nothing.
    pub routed: bool,
}

/// A command that says by its exit status whether this node is fit to serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The program and its arguments.
    pub command: Vec<OsString>,
    /// Between two runs.
    pub interval: Duration,
    /// A run that takes longer has failed, and is killed.
    pub timeout: Duration,
    /// So many failures in a row make the node unfit.
    pub failures: u32,
    /// It runs on standbys, too, so that an unfit one goes last.
    pub standby: bool,
}

/// Commands that run when the role changes, in order, each to its end before the next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hooks {
    /// After the grant and before the payload. One that fails gives the line back.
    pub before_serve: Vec<Hook>,
    /// When the payload runs.
    pub after_serve: Vec<Hook>,
    /// When the node is no longer coordinator and its payload is gone.
    pub after_stop: Vec<Hook>,
}

/// One command of [`Hooks`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// The program and its arguments.
    pub command: Vec<OsString>,
    /// A run that takes longer has failed, and is killed with all that it has started.
    pub timeout: Duration,
}

impl Options {
    /// What the core is told. Draws what must be random.
    pub(crate) fn node_config(&self) -> io::Result<NodeConfig> {
        Ok(NodeConfig {
            group: self.group.clone(),
            node: self.node.clone(),
            boot: BootId(random()?),
            lines: self.lines.iter().map(|line| line.line.clone()).collect(),
            keys: self.keys.clone(),
            profile: self.profile,
            digests: self.digests(),
            seed: u64::from_ne_bytes(random()?),
            behaviour: self.behaviour.clone(),
        })
    }

    /// Of what all nodes of a group must share: a node that differs would break its promises to
    /// the others.
    pub(crate) fn digests(&self) -> Digests {
        let lines: Vec<&str> = self.lines.iter().map(|line| line.line.as_str()).collect();
        let lock = lines.first().copied().unwrap_or_default();
        let settings = format!("{} {}", lines.join(" "), self.profile);
        Digests::new(&self.keys, &settings, &format!("{lock} {}", self.profile))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.multicast, &self.listen) {
            (Some(group), _) => write!(f, "{group} on {}", self.interface),
            (None, Some(listen)) => write!(f, "{listen}"),
            (None, None) => write!(f, "{}", self.interface),
        }
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

    fn options() -> Options {
        let line = LineOptions {
            line: "pms".parse().unwrap(),
            terminal_server: "ts:4101".into(),
            payload: None,
        };
        Options {
            group: "g".parse().unwrap(),
            node: "a".parse().unwrap(),
            keys: wire::Key::new(0, *b"0123456789abcdef0123456789abcdef").into(),
            networks: Vec::new(),
            lines: vec![line],
            profile: Profile::STANDARD,
            behaviour: Behaviour::default(),
            maintenance: None,
            check: None,
            hooks: Hooks::default(),
            events: None,
            status: None,
            own_process: false,
        }
    }

    #[test]
    fn the_digest_covers_what_a_group_shares_and_nothing_else() {
        let digest = |options: &Options| options.node_config().unwrap().digests;
        let mine = digest(&options());
        let mut peer = Options { node: "b".parse().unwrap(), ..options() };
        peer.behaviour.priority = 7;
        peer.lines[0].terminal_server = "other:4101".into();
        assert_eq!(digest(&peer), mine);
        peer.lines[0].line = "pos".parse().unwrap();
        assert_ne!(digest(&peer), mine);
        assert_ne!(digest(&Options { profile: Profile::FAST, ..options() }), mine);
        let (a, b) = (options().node_config().unwrap(), options().node_config().unwrap());
        assert_ne!(a.boot, b.boot);
        assert_ne!(a.seed, b.seed);
    }
}
