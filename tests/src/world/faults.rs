//! What is done to whom. Every schedule has at least three of these.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use wire::Role;

use super::clock::{MS, True};
use super::schedule::{Event, World};

/// One thing that goes wrong. `None` for a node means the coordinator of that moment.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// kill -9; started again after so long.
    Kill(Option<usize>, True),
    /// Its host loses power; started again after so long.
    PowerLoss(Option<usize>, True),
    /// SIGSTOP, and SIGCONT after so long.
    Pause(Option<usize>, True),
    /// SIGTERM; started again after so long.
    Stop(Option<usize>, True),
    /// The coordinator's payload ends by itself.
    PayloadCrash,
    /// The operator hands the line over.
    Handover,
    /// Nothing goes from the first host to the second for so long. Host N is the terminal server.
    CutOneWay(usize, usize, True),
    /// The coordinator and the terminal server do not reach each other for so long.
    CutCoordinator(True),
    /// The hosts whose bit is set do not reach the others for so long.
    Partition(u8, True),
    /// So many datagrams in 1000 are lost for so long.
    Loss(u32, True),
    /// Delays grow to so much for so long.
    Slow(True, True),
    /// Recorded datagrams are sent again.
    Replay(u32),
    /// The terminal server is stopped and goes on after so long.
    PauseServer(True),
    /// kill -9 of the terminal server; started again after so long.
    KillServer(True),
    /// SIGTERM of the terminal server; started again after so long.
    StopServer(True),
    /// The line's adapter is pulled, and is back after so long.
    Unplug(True),
}

impl Fault {
    /// The word for it in the coverage table.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Kill(..) => "kill -9 of a node",
            Self::PowerLoss(..) => "power loss of a node",
            Self::Pause(..) => "SIGSTOP, SIGCONT of a node",
            Self::Stop(..) => "SIGTERM of a node",
            Self::PayloadCrash => "payload crash",
            Self::Handover => "hand-over",
            Self::CutOneWay(..) => "one-way cut",
            Self::CutCoordinator(_) => "coordinator cut from the line",
            Self::Partition(..) => "partition",
            Self::Loss(..) => "datagram loss",
            Self::Slow(..) => "slow network",
            Self::Replay(_) => "replayed datagrams",
            Self::PauseServer(_) => "SIGSTOP, SIGCONT of the server",
            Self::KillServer(_) => "kill -9 of the server",
            Self::StopServer(_) => "SIGTERM of the server",
            Self::Unplug(_) => "adapter pulled",
        }
    }

    /// Draws one for a world of so many nodes.
    pub fn draw(nodes: usize, rng: &mut ChaCha8Rng) -> Self {
        let node = if rng.random_bool(0.6) { None } else { Some(rng.random_range(0..nodes)) };
        let short = rng.random_range(20 * MS..400 * MS);
        let long = rng.random_range(100 * MS..2500 * MS);
        let host = |rng: &mut ChaCha8Rng| rng.random_range(0..=nodes);
        match rng.random_range(0..21) {
            0..=2 => Self::Kill(node, long),
            3 => Self::PowerLoss(node, long),
            4..=6 => Self::Pause(node, if rng.random_bool(0.5) { short } else { long }),
            7 => Self::Stop(node, long),
            8 => Self::PayloadCrash,
            9 => Self::Handover,
            10 => Self::CutOneWay(host(rng), host(rng), long),
            11 => Self::CutCoordinator(long),
            12 => Self::Partition(rng.random(), long),
            13 => Self::Loss(rng.random_range(50..700), long),
            14 => Self::Slow(rng.random_range(5 * MS..150 * MS), long),
            15 => Self::Replay(rng.random_range(1..60)),
            16 | 17 => Self::PauseServer(if rng.random_bool(0.5) { short } else { long }),
            18 => Self::KillServer(short),
            19 => Self::StopServer(short),
            _ => Self::Unplug(short),
        }
    }
}

impl World {
    /// It happens.
    pub fn apply(&mut self, fault: Fault) {
        if self.healed {
            return;
        }
        *self.coverage.entry(fault.word()).or_default() += 1;
        let server = self.nodes.len();
        let now = self.now;
        match fault {
            Fault::Kill(node, after) => self.end_node(node, after, |w, i| w.kill_node(i, false)),
            Fault::PowerLoss(node, after) => {
                self.end_node(node, after, |w, i| w.kill_node(i, true));
            }
            Fault::Stop(node, after) => self.end_node(node, after, |w, i| w.stop_node(i)),
            Fault::Pause(node, long) => {
                let i = self.target(node);
                if self.nodes[i].process.is_some() {
                    self.nodes[i].paused = true;
                    self.at(now + long, Event::ResumeNode(i));
                }
            }
            Fault::PayloadCrash => {
                let i = self.target(None);
                let instance = self.nodes[i].instance;
                if self.nodes[i].payload.is_some() {
                    self.payload_ends(i, instance);
                }
            }
            Fault::Handover => self.hand_over(),
            Fault::CutOneWay(from, to, long) => self.cut(&[(from, to)], long),
            Fault::CutCoordinator(long) => {
                let i = self.target(None);
                self.cut(&[(i, server), (server, i)], long);
            }
            Fault::Partition(mask, long) => {
                let side = |h: usize| mask >> h & 1;
                let hosts = 0..=server;
                let pairs: Vec<_> = hosts
                    .clone()
                    .flat_map(|a| hosts.clone().map(move |b| (a, b)))
                    .filter(|(a, b)| side(*a) != side(*b))
                    .collect();
                self.cut(&pairs, long);
            }
            Fault::Loss(loss, long) => {
                self.network.loss = loss;
                self.at(now + long, Event::EndLoss);
            }
            Fault::Slow(delay, long) => {
                self.network.delay_max = delay;
                self.at(now + long, Event::EndSlow);
            }
            Fault::Replay(count) => self.replay(count),
            Fault::PauseServer(_)
            | Fault::KillServer(_)
            | Fault::StopServer(_)
            | Fault::Unplug(_) => {
                self.apply_to_server(fault);
            }
        }
    }

    fn apply_to_server(&mut self, fault: Fault) {
        let now = self.now;
        let running = self.server.process.is_some();
        match fault {
            Fault::PauseServer(long) if running => {
                self.server.paused = true;
                self.at(now + long, Event::ResumeServer);
            }
            Fault::KillServer(after) if running => {
                self.kill_server();
                self.at(now + after, Event::StartServer);
            }
            Fault::Unplug(long) => {
                self.plug(false);
                self.at(now + long, Event::Plug);
            }
            Fault::StopServer(after) if running && !self.server.paused => {
                self.stop_server(after);
            }
            _ => {}
        }
    }

    fn end_node(&mut self, node: Option<usize>, after: True, end: impl FnOnce(&mut Self, usize)) {
        let i = self.target(node);
        if self.nodes[i].process.is_some() {
            end(self, i);
            self.at(self.now + after, Event::StartNode(i));
        }
    }

    fn stop_node(&mut self, i: usize) {
        if self.nodes[i].paused {
            return;
        }
        let now = self.node_time(i);
        if let Some(node) = &mut self.nodes[i].process {
            node.handle_stop(now);
            self.drain_node(i);
        }
    }

    fn hand_over(&mut self) {
        let i = self.target(None);
        if self.nodes[i].paused {
            return;
        }
        let now = self.node_time(i);
        if let Some(node) = &mut self.nodes[i].process {
            let _ = node.handle_handover(None, now);
            self.drain_node(i);
        }
    }

    /// The coordinator of this moment, as it sees itself, or the first node.
    fn target(&self, node: Option<usize>) -> usize {
        let coordinator = |h: &super::nodes::NodeHost| {
            h.process.as_ref().is_some_and(|n| n.role() == Role::Coordinator)
        };
        node.or_else(|| self.nodes.iter().position(coordinator)).unwrap_or(0)
    }

    fn cut(&mut self, pairs: &[(usize, usize)], long: True) {
        for (from, to) in pairs {
            self.network.cut[*from][*to] = true;
        }
        self.at(self.now + long, Event::EndCut(pairs.to_vec()));
    }

    /// Recorded datagrams reach every node again, with their right MACs.
    fn replay(&mut self, count: u32) {
        for _ in 0..count {
            if self.recorded.is_empty() {
                return;
            }
            let datagram = self.recorded[self.rng.random_range(0..self.recorded.len())].clone();
            for to in 0..self.nodes.len() {
                let at = self.now + self.rng.random_range(0..300 * MS);
                self.at(at, Event::Datagram(to, datagram.clone()));
            }
        }
    }
}
