//! What each node believes, judged against what it believed before and what is true.

use std::time::Duration;

use failover_node::core::{LOCK, Node};
use wire::{Epoch, FreeCause, Heartbeat, LineState, Time};

use super::network::MAX_HOSTS;
use super::nodes::number;

/// What one process of a node believed so far.
#[derive(Debug, Clone, Default)]
pub struct Beliefs {
    peers: [Option<Peer>; MAX_HOSTS],
    /// The highest life of each host that was believed.
    lives: [u32; MAX_HOSTS],
    /// The last beacon that was believed.
    beacon: (u32, u64),
    /// What was known of the line.
    line: (Epoch, bool),
}

#[derive(Debug, Clone, Copy)]
struct Peer {
    host: usize,
    life: u32,
    seq: u64,
    heard: Time,
    leaving: bool,
}

impl Beliefs {
    /// A heartbeat was believed.
    pub fn heartbeat(
        &mut self,
        heartbeat: &Heartbeat,
        dead_after: Duration,
        now: Time,
    ) -> Result<(), String> {
        let boot = heartbeat.boot.0;
        let (host, life) =
            (usize::from(boot[0]), u32::from_be_bytes([boot[1], boot[2], boot[3], boot[4]]));
        let new = Peer { host, life, seq: heartbeat.seq, heard: now, leaving: heartbeat.leaving };
        let before = self.peers[number(&heartbeat.node)].replace(new);
        if life < self.lives[host] {
            return Err(format!(
                "a replayed heartbeat of an earlier life of host {host} is believed"
            ));
        }
        self.lives[host] = life;
        let Some(before) = before else { return Ok(()) };
        if (before.host, before.life) == (host, life) {
            if heartbeat.seq <= before.seq {
                return Err(format!("a replayed heartbeat of host {host} is believed"));
            }
        } else if !before.leaving && now.since(before.heard) < dead_after {
            return Err(format!("a rival of the living host {} is believed", before.host));
        }
        Ok(())
    }

    /// A beacon was believed.
    pub fn beacon(&mut self, order: (u32, u64)) -> Result<(), String> {
        if order <= self.beacon {
            return Err(format!("beacon {order:?} is believed after {:?}", self.beacon));
        }
        self.beacon = order;
        Ok(())
    }

    /// Something happened to the node; `granted` is the highest epoch there ever was.
    pub fn line(&mut self, node: &Node, granted: Epoch) -> Result<(), String> {
        if node.highest_epoch(LOCK) > granted {
            let text =
                format!("epoch {} is believed and was never granted", node.highest_epoch(LOCK));
            return Err(text);
        }
        let Some(status) = node.line_status(LOCK) else { return Ok(()) };
        let known = (status.epoch, status.state != LineState::Held);
        if known < self.line && status.state != LineState::Free(FreeCause::Restarted) {
            return Err(format!(
                "knowledge of the line went back from {:?} to {known:?}",
                self.line
            ));
        }
        self.line = known;
        Ok(())
    }
}
