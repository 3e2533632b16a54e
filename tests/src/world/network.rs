//! The network: who reaches whom, how late, how often.

use std::collections::VecDeque;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use wire::Frame;

use super::clock::{MS, True};

/// Most hosts: seven nodes and the terminal server.
pub const MAX_HOSTS: usize = 8;

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
    /// Last arrival time by direction: a stream keeps its order.
    last: [True; 2],
    /// What a cut holds back, by direction, until it heals: TCP sends again.
    pub held: [VecDeque<Segment>; 2],
    /// Arrived at the terminal server and not read yet.
    pub unread: VecDeque<Segment>,
    /// The node's end is closed.
    pub node_closed: bool,
    /// The terminal server's end is closed.
    pub server_closed: bool,
    /// True time of the CLAIM's, and of each RENEW's, hand-over to the socket.
    pub sent: Vec<(u64, True)>,
    /// Until when, by true time, the node may write.
    pub may_write_until: True,
    /// The lease that was granted.
    pub lease: True,
    /// A GRANT went over it.
    pub granted: bool,
}

/// The state of the network.
#[derive(Debug)]
pub struct Network {
    /// `cut[a][b]`: nothing goes from a to b.
    pub cut: [[bool; MAX_HOSTS]; MAX_HOSTS],
    /// Datagrams lost, in 1/1000.
    pub loss: u32,
    /// Datagrams doubled, in 1/1000.
    pub doubled: u32,
    /// Longest delay.
    pub delay_max: True,
}

impl Network {
    /// A quiet local network.
    pub fn new(rng: &mut ChaCha8Rng) -> Self {
        Self {
            cut: [[false; MAX_HOSTS]; MAX_HOSTS],
            loss: if rng.random_bool(0.3) { rng.random_range(0..50) } else { 0 },
            doubled: if rng.random_bool(0.3) { rng.random_range(0..100) } else { 0 },
            delay_max: rng.random_range(MS / 10..2 * MS),
        }
    }

    /// A delay of this network.
    pub fn delay(&self, rng: &mut ChaCha8Rng) -> True {
        rng.random_range(MS / 20..=self.delay_max)
    }

    /// When a datagram arrives: never, once or twice.
    pub fn arrivals(&self, from: usize, to: usize, now: True, rng: &mut ChaCha8Rng) -> Vec<True> {
        if self.cut[from][to] || rng.random_range(0..1000) < self.loss {
            return Vec::new();
        }
        let copies = 1 + u32::from(rng.random_range(0..1000) < self.doubled);
        (0..copies).map(|_| now + self.delay(rng)).collect()
    }

    /// Everything heals.
    pub fn heal(&mut self) {
        self.cut = [[false; MAX_HOSTS]; MAX_HOSTS];
        self.loss = 0;
        self.doubled = 0;
        self.delay_max = MS;
    }
}

impl Connection {
    /// A new connection of a node.
    pub fn new(node: usize) -> Self {
        Self { node, ..Self::default() }
    }

    /// When a segment that starts now with this delay arrives.
    pub fn arrival(&mut self, to_server: bool, now: True, delay: True) -> True {
        let last = &mut self.last[usize::from(to_server)];
        *last = (*last + 1).max(now + delay);
        *last
    }
}
