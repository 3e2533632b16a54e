//! Why this node would not lead now.

use std::fmt;
use std::time::Duration;

use wire::{LineState, Name, Time};

use super::{LOCK, Node};
use crate::core::config::Membership;

/// One reason why a node is not coordinator, and would not become it if the line were free now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// It is stopping.
    Stopping,
    /// It is an observer.
    Observer,
    /// It is configured so.
    NeverCoordinator,
    /// By an operator's word, for so long; `None`: until it is switched off.
    Maintenance(Option<Duration>),
    /// It has just started, and listens.
    Listening(Duration),
    /// Another node has the line.
    Held(Option<Name>),
    /// The line is kept for another node.
    Reserved(Name),
    /// It lost or gave up the line a while ago and lets others go first for so long.
    HeldDown(Duration),
    /// It could not connect to the terminal server.
    ConnectFailed(Duration),
    /// Its check command fails.
    Unhealthy,
    /// It waits between two attempts.
    BackingOff(Duration),
    /// So many nodes go before it; the first of them.
    Behind(u32, Option<Name>),
    /// No beacons are heard.
    NoBeacons,
}

impl Obstacle {
    /// The word for it, for machines.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Stopping => "stopping",
            Self::Observer => "observer",
            Self::NeverCoordinator => "never-coordinator",
            Self::Maintenance(_) => "maintenance",
            Self::Listening(_) => "listening",
            Self::Held(_) => "held",
            Self::Reserved(_) => "reserved",
            Self::HeldDown(_) => "held-down",
            Self::ConnectFailed(_) => "connect-failed",
            Self::Unhealthy => "unhealthy",
            Self::BackingOff(_) => "backing-off",
            Self::Behind(..) => "behind",
            Self::NoBeacons => "no-beacons",
        }
    }

    /// Whether the node could not lead even if it were alone.
    pub const fn is_absolute(&self) -> bool {
        matches!(
            self,
            Self::Stopping | Self::Observer | Self::NeverCoordinator | Self::Maintenance(_)
        )
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopping => f.write_str("this node is stopping"),
            Self::Observer => f.write_str("this node is an observer, which never leads"),
            Self::NeverCoordinator => f.write_str("this node is configured as never-coordinator"),
            Self::Maintenance(Some(left)) => {
                write!(f, "this node is in maintenance for another {left:.0?}")
            }
            Self::Maintenance(None) => {
                f.write_str("this node is in maintenance until it is switched off")
            }
            Self::Listening(left) => {
                write!(f, "it has just started and listens for another {left:.1?}")
            }
            Self::Held(Some(node)) => write!(f, "node {node} has the line"),
            Self::Held(None) => f.write_str("another node has the line"),
            Self::Reserved(node) => write!(f, "the line is kept for node {node}"),
            Self::HeldDown(left) => write!(
                f,
                "it lost or gave up the line a while ago and lets others go first for another {left:.0?}"
            ),
            Self::ConnectFailed(left) => write!(
                f,
                "it could not connect to the terminal server and goes last for another {left:.0?}"
            ),
            Self::Unhealthy => f.write_str("its check command fails, so it goes last"),
            Self::BackingOff(left) => write!(f, "it waits {left:.1?} before it tries again"),
            Self::Behind(1, Some(first)) => write!(f, "node {first} goes before it"),
            Self::Behind(count, Some(first)) => {
                write!(f, "{count} nodes go before it, the first is {first}")
            }
            Self::Behind(count, None) => write!(f, "{count} nodes go before it"),
            Self::NoBeacons => f.write_str(
                "it hears no beacons of the terminal server, so nodes that do go before it",
            ),
        }
    }
}

impl Node {
    /// Why this node would not lead now, the weightiest reason first. Empty: it leads, or would.
    pub fn why_not(&self, now: Time) -> Vec<Obstacle> {
        if self.lines[LOCK].is_held() && !self.stopping {
            return Vec::new();
        }
        let left = |until: Time| (now < until).then(|| until.since(now));
        let lock = &self.lines[LOCK];
        let listening = left(self.started + self.config.profile.heartbeat * 2);
        let backing_off = left(lock.claims_from()).filter(|_| listening.is_none());
        let membership = match self.config.behaviour.membership {
            Membership::Full => None,
            Membership::NeverCoordinator => Some(Obstacle::NeverCoordinator),
            Membership::Observer => Some(Obstacle::Observer),
        };
        let others = self.rivals(now).count();
        let rank = self.rank(now);
        [
            self.stopping.then_some(Obstacle::Stopping),
            membership,
            self.maintenance_left(now).map(Obstacle::Maintenance),
            listening.map(Obstacle::Listening),
            self.taken(now),
            left(self.held_down_until).map(Obstacle::HeldDown),
            left(self.connect_failed_until).map(Obstacle::ConnectFailed),
            (!self.fit).then_some(Obstacle::Unhealthy),
            backing_off.map(Obstacle::BackingOff),
            (others > 0 && rank > 0).then(|| Obstacle::Behind(rank, self.best_peer(now))),
            (others > 0 && !self.hears_beacons(now)).then_some(Obstacle::NoBeacons),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Whether somebody else has the line, or it is kept for somebody else.
    fn taken(&self, now: Time) -> Option<Obstacle> {
        let me = &self.config.node;
        let status = self.lines[LOCK].evidence.status();
        let vacant_at = self.turn(LOCK).0;
        let leader = self.alive(now).find(|m| m.heartbeat.role == wire::Role::Coordinator);
        match status {
            Some(s) if s.state == LineState::Held && now < vacant_at => {
                Some(Obstacle::Held(s.holder.clone()))
            }
            Some(s) if s.reserved_for.as_ref().is_some_and(|n| n != me) && now < vacant_at => {
                s.reserved_for.clone().map(Obstacle::Reserved)
            }
            _ => leader.map(|m| Obstacle::Held(Some(m.heartbeat.node.clone()))),
        }
    }
}
