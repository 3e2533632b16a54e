//! What a seed decides before anything happens.

use std::time::Duration;

use failover_node::core::{Behaviour, Membership, Profile};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use terminal_server::core::FrameEnd;

use super::clock::{MS, True};

/// What kind of faults a schedule draws.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any.
    Rough,
    /// Only such as must cause no failover: the epoch stays.
    Quiet,
    /// Only short restarts of the terminal server: the coordinator stays.
    Restarts,
}

/// The frame of one schedule.
#[derive(Debug, Clone)]
pub struct Setting {
    /// What may go wrong.
    pub kind: Kind,
    /// Nodes of the group.
    pub nodes: usize,
    /// One host more, for a process under a living member's name.
    pub twin: bool,
    /// Nodes whose bit is set start late, into a group that runs.
    pub late: u16,
    /// The group's times.
    pub profile: Profile,
    /// How each node behaves; the first may always lead.
    pub behaviours: Vec<Behaviour>,
    /// Nodes whose bit is set are of the release before: they read and send version 1 only.
    pub old: u16,
    /// Two keys are good: one replaces the other.
    pub rollover: bool,
    /// Lines of the group; the first is its lock, and the one that the billing system is at.
    pub lines: usize,
    /// One character on the line.
    pub char_time: True,
    /// What a started frame does at the end of its grant.
    pub frame_end: FrameEnd,
    /// Every datagram travels as its bytes, through the codec.
    pub encoded: bool,
}

impl Setting {
    /// Draws one.
    pub fn draw(rng: &mut ChaCha8Rng) -> Self {
        let kind = match rng.random_range(0..100) {
            0..10 => Kind::Quiet,
            10..14 => Kind::Restarts,
            _ => Kind::Rough,
        };
        let profile = match rng.random_range(0..100) {
            _ if kind == Kind::Restarts => "standard",
            0..60 => "standard",
            60..85 => "fast",
            85..95 => "40/160/180",
            // The proportions of the profile for wide networks, five times as fast.
            _ => "200/1800/2000",
        };
        let nodes = if rng.random_bool(0.5) { 2 } else { rng.random_range(3..=7) };
        let profile: Profile = profile.parse().expect("checked by its own tests");
        let behaviours = draw_behaviours(kind, profile.lease, nodes + 1, rng);
        Self {
            kind,
            behaviours,
            old: if rng.random_bool(0.1) { rng.random() } else { 0 },
            rollover: rng.random_bool(0.1),
            lines: if rng.random_bool(0.2) { 2 } else { 1 },
            nodes,
            twin: kind != Kind::Restarts && rng.random_bool(0.1),
            late: if kind == Kind::Restarts {
                0
            } else {
                rng.random::<u16>() & rng.random::<u16>() & rng.random::<u16>()
            },
            profile,
            char_time: if rng.random_bool(0.7) { 1_041_667 } else { 86_806 },
            frame_end: if rng.random_bool(0.8) { FrameEnd::Finish } else { FrameEnd::Cut },
            encoded: rng.random_bool(0.04),
        }
    }

    /// Hosts that nodes can run on.
    pub fn hosts(&self) -> usize {
        self.nodes + usize::from(self.twin)
    }

    /// A span of the profile in true time.
    pub fn span(of: Duration) -> True {
        of.as_nanos() as True
    }

    /// I6: by so long after everything has healed, the line is served and nothing is left undone.
    /// A payload that hangs is found by `stall` and has a grace; then a claim has its back-off.
    pub fn convergence(&self) -> True {
        2500 * MS + Self::span(self.behaviours[0].stall + self.profile.dead_after * 4)
    }
}

fn draw_behaviours(
    kind: Kind,
    lease: Duration,
    count: usize,
    rng: &mut ChaCha8Rng,
) -> Vec<Behaviour> {
    let drawn = Duration::from_millis(rng.random_range(400..1500));
    // A payload cannot take half a record. Where the epoch must stay, no pause that the lease
    // outlives may keep the other half back for so long.
    let stall = if kind == Kind::Quiet { drawn + lease } else { drawn };
    let restarts = rng.random_range(1..8);
    // Where the epoch must stay, nobody may want it to move.
    let preempts = kind == Kind::Rough && rng.random_bool(0.2);
    let preempt_after = preempts.then(|| Duration::from_millis(rng.random_range(300..1500)));
    let varied = rng.random_bool(0.4);
    let draw = |node| Behaviour {
        stall,
        restarts,
        preempt_after,
        priority: if varied { rng.random_range(98..103) } else { 100 },
        membership: match rng.random_range(0..8) {
            0 if varied && node > 0 => Membership::Observer,
            1 if varied && node > 0 => Membership::NeverCoordinator,
            _ => Membership::Full,
        },
    };
    (0..count).map(draw).collect()
}
