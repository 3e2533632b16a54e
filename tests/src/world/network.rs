//! The network: who reaches whom, how late, how often.

use std::collections::VecDeque;

use failover_node::core::LineId;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use wire::{Epoch, Frame};

use super::clock::{MS, True};

/// Most hosts: seven nodes, one more under a name that is taken, and the terminal server.
pub const MAX_HOSTS: usize = 9;

/// What travels on a connection, in order.
#[derive(Debug, Clone)]
pub enum Segment {
    /// A frame.
    Frame(Frame),
    /// The sender has closed, or its process has ended.
    Fin,
}

/// One TCP connection between a node and the terminal server.
#[derive(Debug, Default)]
pub struct Connection {
    /// The node.
    pub node: usize,
    /// The line.
    pub line: LineId,
    /// Last arrival time by direction: a stream keeps its order.
    last: [True; 2],
    /// What a cut holds back, by direction, until it heals: TCP sends again.
    pub held: [VecDeque<Segment>; 2],
    /// Arrived at the terminal server and not read yet.
    pub unread: VecDeque<Segment>,
    /// The terminal server's end is closed.
    pub server_closed: bool,
    /// It ends at one who has no key.
    pub impostor: bool,
    /// True time of the CLAIM's, and of each RENEW's, hand-over to the socket.
    pub sent: Vec<(u64, True)>,
    /// Until when, by true time, the node may write.
    pub may_write_until: True,
    /// The lease that was granted.
    pub lease: True,
    /// A GRANT went over it.
    pub granted: bool,
    /// The highest epoch that its claim has seen.
    pub seen: Epoch,
}

/// Ways between hosts, by sender and receiver.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ways([u16; MAX_HOSTS]);

impl Ways {
    /// From one to another.
    pub fn one(from: usize, to: usize) -> Self {
        let mut ways = Self::default();
        ways.add(from, to);
        ways
    }

    /// And from one to another.
    pub fn add(&mut self, from: usize, to: usize) {
        self.0[from] |= 1 << to;
    }

    /// Whether the way from one to another is among them.
    pub fn has(&self, from: usize, to: usize) -> bool {
        self.0[from] >> to & 1 == 1
    }

    /// And all of those.
    pub fn join(&mut self, other: Self) {
        self.0.iter_mut().zip(other.0).for_each(|(mine, theirs)| *mine |= theirs);
    }

    /// But none of those.
    pub fn part(&mut self, other: Self) {
        self.0.iter_mut().zip(other.0).for_each(|(mine, theirs)| *mine &= !theirs);
    }
}

/// The state of the network.
#[derive(Debug)]
pub struct Network {
    /// Nothing goes there.
    pub cut: Ways,
    /// No datagram goes there.
    pub deaf: Ways,
    /// Datagrams lost, in 1/1000.
    pub loss: u32,
    /// Segments of connections lost, in 1/1000: they come late, and all behind them.
    pub stalls: u32,
    /// Datagrams doubled, in 1/1000.
    pub doubled: u32,
    /// Longest delay beside that of the way itself.
    pub jitter: True,
    /// What each way takes at least.
    ways: [[True; MAX_HOSTS]; MAX_HOSTS],
}

impl Network {
    /// A quiet local network; now and then one host stands far away.
    pub fn new(hosts: usize, far: True, rng: &mut ChaCha8Rng) -> Self {
        let mut ways = [[0; MAX_HOSTS]; MAX_HOSTS];
        for way in ways.iter_mut().take(hosts).flat_map(|from| from.iter_mut().take(hosts)) {
            *way = rng.random_range(MS / 50..MS / 2);
        }
        if rng.random_bool(0.1) {
            let host = rng.random_range(0..hosts);
            let more = rng.random_range(0..far);
            ways[host].iter_mut().for_each(|way| *way += more);
            ways.iter_mut().for_each(|from| from[host] += more);
        }
        Self {
            cut: Ways::default(),
            deaf: Ways::default(),
            loss: if rng.random_bool(0.3) { rng.random_range(0..50) } else { 0 },
            stalls: 0,
            doubled: if rng.random_bool(0.3) { rng.random_range(0..100) } else { 0 },
            jitter: rng.random_range(MS / 10..2 * MS),
            ways,
        }
    }

    /// A delay of this network.
    pub fn delay(&self, from: usize, to: usize, rng: &mut ChaCha8Rng) -> True {
        self.ways[from][to] + rng.random_range(MS / 20..=self.jitter)
    }

    /// The delay of a segment, which is sent again when it was lost.
    pub fn segment_delay(&self, from: usize, to: usize, rng: &mut ChaCha8Rng) -> True {
        let delay = self.delay(from, to, rng);
        if self.stalls > 0 && rng.random_range(0..1000) < self.stalls {
            return delay + rng.random_range(20 * MS..250 * MS);
        }
        delay
    }

    /// When a datagram arrives: never, once or twice.
    pub fn arrivals(
        &self,
        (from, to): (usize, usize),
        now: True,
        rng: &mut ChaCha8Rng,
    ) -> [Option<True>; 2] {
        let dropped = self.cut.has(from, to) || self.deaf.has(from, to);
        if dropped || (self.loss > 0 && rng.random_range(0..1000) < self.loss) {
            return [None; 2];
        }
        let doubled = self.doubled > 0 && rng.random_range(0..1000) < self.doubled;
        let first = now + self.delay(from, to, rng);
        [Some(first), doubled.then(|| now + self.delay(from, to, rng))]
    }

    /// Everything heals; what is far stays far.
    pub fn heal(&mut self) {
        self.cut = Ways::default();
        self.deaf = Ways::default();
        self.loss = 0;
        self.stalls = 0;
        self.doubled = 0;
        self.jitter = MS;
    }
}

impl Connection {
    /// A new connection of a node for a line.
    pub fn new(node: usize, line: LineId) -> Self {
        Self { node, line, ..Self::default() }
    }

    /// When a segment that starts now with this delay arrives.
    pub fn arrival(&mut self, to_server: bool, now: True, delay: True) -> True {
        let last = &mut self.last[usize::from(to_server)];
        *last = (*last + 1).max(now + delay);
        *last
    }
}
