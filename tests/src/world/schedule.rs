//! One run, from its seed to its verdict.

use std::collections::VecDeque;
use std::rc::Rc;

use bytes::Bytes;
use failover_node::core::{LOCK, LineId, Maintenance};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use terminal_server::core::FrameEnd;
use wire::{Datagram, Frame, KeyRing, Name, Role};

use super::billing::record;
use super::clock::{Clock, MS, True};
use super::coverage::Coverage;
use super::faults::Fault;
use super::network::{Connection, Network, Segment, Ways};
use super::nodes::{self, NodeHost};
use super::oracle::Oracle;
use super::queue::Queue;
use super::server::ServerHost;
use super::setting::{Kind, Setting};

/// Faults happen until then; then everything heals.
const HEAL: True = 5_000 * MS;
/// Most datagrams that are kept for replays.
const RECORDED: usize = 500;

/// What can happen at a point of true time.
#[derive(Debug, Clone)]
pub enum Event {
    /// A node's deadline.
    NodeWake(usize, u64),
    /// The terminal server's deadline.
    ServerWake(u64),
    /// A datagram reaches a node.
    Datagram(usize, Rc<Datagram>),
    /// The same as its bytes.
    Encoded(usize, Bytes),
    /// Bytes that are none of ours reach a node.
    Strange(usize, Bytes),
    /// A node's SYN reaches the terminal server's kernel.
    Syn(usize, u64),
    /// The process finds a new connection.
    Accept(usize),
    /// A node's connect has an outcome.
    Connected(usize, u64, Result<usize, ()>),
    /// A segment reaches the terminal server's kernel.
    ToServer(usize, Segment),
    /// The process reads one segment.
    ServerReads(usize),
    /// A segment reaches a node.
    ToNode(usize, Segment),
    /// The disk has stored a start number.
    Stored(u32),
    /// A payload has started.
    PayloadStarts(usize, u64),
    /// A payload has an answer ready.
    PayloadThinks(usize, u64, Frame, u32),
    /// A payload's frame is in the pipe.
    PayloadWrites(usize, u64, Frame),
    /// A payload ends as it was told.
    PayloadEnds(usize, u64),
    /// The node learns that its payload is gone.
    PayloadGone(usize, u64),
    /// The node learns that its instance has ended.
    InstanceGone(usize, u64),
    /// A guard's deadline.
    GuardLooks(usize, u64),
    /// A guard sees its node's end.
    GuardKills(usize, u64),
    /// The billing system begins a record.
    Record(u32),
    /// Bytes of a record arrive at the terminal server's tty.
    Serial(u32, Vec<u8>),
    /// The line's adapter is back.
    Plug,
    /// The process learns that the device has gone, or is back.
    Device(bool),
    /// Something goes wrong.
    Fault(Fault),
    /// A process starts.
    StartNode(usize),
    /// Likewise.
    StartServer,
    /// A stopped process goes on.
    ResumeNode(usize),
    /// Likewise.
    ResumeServer,
    /// A sleeping host wakes.
    WakeHost(usize),
    /// A process on a busy host has its turn.
    TurnOfNode(usize),
    /// The host is no longer busy.
    EndBusy(usize),
    /// The process under another's name ends.
    EndTwin,
    /// A cut heals.
    EndCut(Ways),
    /// Datagrams get through again.
    EndDeaf(Ways),
    /// Segments are no longer lost.
    EndStalls,
    /// Datagrams are no longer lost.
    EndLoss,
    /// Delays are small again.
    EndSlow,
    /// A node's check command says again that it is fit.
    Fit(usize),
    /// Everything heals, for good.
    Heal,
}

/// The whole world.
#[derive(Debug)]
pub struct World {
    /// True time.
    pub now: True,
    pub(super) queue: Queue,
    /// What the seed decided at first.
    pub setting: Setting,
    /// Names and key, made once.
    pub names: Names,
    /// All chance comes from here.
    pub rng: ChaCha8Rng,
    /// The nodes' hosts.
    pub nodes: Vec<NodeHost>,
    /// The terminal server's host, behind the last node in the network's tables.
    pub server: ServerHost,
    /// Who reaches whom.
    pub network: Network,
    /// Every connection there was.
    pub connections: Vec<Connection>,
    /// Those whose end at the terminal server is open.
    pub open: Vec<usize>,
    /// The judge.
    pub oracle: Oracle,
    /// Datagrams for replays.
    pub recorded: VecDeque<Rc<Datagram>>,
    /// What happened how often.
    pub coverage: Coverage,
    /// Everything works from now on.
    pub healed: bool,
    records_until: True,
    events: u64,
    trace: bool,
}

/// What every datagram is signed and read with.
#[derive(Debug)]
pub struct Names {
    /// The group.
    pub group: Name,
    /// Its keys, by who signs: the first, or the second where there are two.
    rings: [KeyRing; 2],
}

impl Names {
    fn new(rollover: bool) -> Self {
        let [first, second] = nodes::keys();
        let both = |sender| KeyRing::new(vec![first.clone(), second.clone()], sender);
        let rings = match rollover {
            true => [1, 2].map(|sender| both(sender).expect("two keys of two ids")),
            false => [1, 1].map(|_| first.clone().into()),
        };
        Self { group: nodes::group(), rings }
    }

    /// The keys of one who signs with this one.
    pub fn ring(&self, sender: usize) -> KeyRing {
        self.rings[sender].clone()
    }
}

/// How a run ended.
#[derive(Debug)]
pub struct Outcome {
    /// Replays it.
    pub seed: u64,
    /// The first broken invariant.
    pub violation: Option<String>,
    /// What happened how often.
    pub coverage: Coverage,
    /// Records that were dealt with.
    pub records: usize,
    /// Events that were handled.
    pub events: u64,
    /// Virtual time from healing until all was well, in milliseconds.
    pub convergence_ms: u64,
}

/// Runs the schedule of one seed. `trace` prints every event.
pub fn run(seed: u64, trace: bool) -> Outcome {
    let mut world = World::new(seed, trace);
    let converged = world.run();
    Outcome {
        seed,
        violation: world.oracle.violation.take(),
        records: world.oracle.done(),
        coverage: world.coverage,
        events: world.events,
        convergence_ms: (converged.saturating_sub(HEAL)) / MS,
    }
}

impl World {
    /// The world of a seed, before anything has happened.
    fn new(seed: u64, trace: bool) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let setting = Setting::draw(&mut rng);
        let mut clock =
            |_| Clock::new(rng.random_range(1..1000) * 1000 * MS, rng.random_range(-400..=400));
        let hosts = setting.hosts();
        let nodes: Vec<_> = (0..hosts).map(|i| NodeHost::new((i, clock(i)))).collect();
        let server = ServerHost::new(clock(hosts));
        let far = Setting::span(setting.profile.lease) / 40;
        let network = Network::new(hosts + 1, far, &mut rng);
        let mut world = Self {
            now: 0,
            queue: Queue::default(),
            names: Names::new(setting.rollover),
            nodes,
            server,
            network,
            connections: Vec::new(),
            open: Vec::new(),
            oracle: Oracle::default(),
            recorded: VecDeque::new(),
            coverage: Coverage::default(),
            healed: false,
            records_until: HEAL + 300 * MS,
            events: 0,
            trace,
            rng,
            setting,
        };
        world.oracle.cut_allowed = world.setting.frame_end == FrameEnd::Cut;
        world.oracle.quiet = world.setting.kind == Kind::Quiet;
        world.oracle.steady = world.setting.kind == Kind::Restarts;
        world.populate();
        world
    }

    fn populate(&mut self) {
        self.at(0, Event::StartServer);
        let together = self.rng.random_bool(0.5);
        for i in 0..self.setting.nodes {
            let at = match together {
                _ if self.setting.late >> i & 1 == 1 => {
                    self.coverage.state("node joins late");
                    self.rng.random_range(1000 * MS..HEAL)
                }
                true => MS,
                false => self.rng.random_range(0..700 * MS),
            };
            self.at(at, Event::StartNode(i));
        }
        self.at(50 * MS, Event::Record(0));
        self.at(HEAL, Event::Heal);
        // What must cost nothing begins when all is in order.
        let first = match self.setting.kind {
            Kind::Rough => 300 * MS,
            Kind::Quiet | Kind::Restarts => {
                1200 * MS + Setting::span(self.setting.profile.dead_after)
            }
        };
        for k in 0..self.rng.random_range(3..10) {
            let at = match self.setting.kind {
                Kind::Restarts => first + k * 1200 * MS,
                _ => self.rng.random_range(first..HEAL - 200 * MS),
            };
            let fault = Fault::draw(&self.setting, &mut self.rng);
            self.at(at, Event::Fault(fault));
        }
    }

    /// Something will happen.
    pub fn at(&mut self, at: True, event: Event) {
        self.queue.push(at.max(self.now), event);
    }

    /// Until all is well after the healing, or something is broken. Answers when that was.
    fn run(&mut self) -> True {
        let bound = HEAL + self.setting.convergence();
        while let Some((at, event)) = self.queue.pop() {
            self.now = at;
            self.events += 1;
            if self.trace {
                println!("{:>10.3} ms  {event:?}", at as f64 / MS as f64);
            }
            self.handle(event);
            self.check_payloads();
            if self.oracle.violation.is_some() || (self.healed && self.is_well()) {
                break;
            }
            if self.now > bound {
                let what = self.what_is_wrong();
                self.oracle.fail(what);
            }
        }
        self.now
    }

    /// One coordinator, nothing undone, and all know each other.
    fn is_well(&self) -> bool {
        if self.now < self.records_until + 100 * MS {
            return false;
        }
        let coordinator = |h: &NodeHost| {
            h.lines[LOCK].payload.is_some()
                && h.process.as_ref().is_some_and(|n| n.role() == Role::Coordinator)
        };
        let nodes = &self.nodes[..self.setting.nodes];
        nodes.iter().filter(|h| coordinator(h)).count() == 1
            && self.oracle.open() == 0
            && (1..self.setting.lines).all(|line| self.follows(line))
            && (0..nodes.len()).all(|i| self.knows_all(i))
    }

    /// The line is held by the holder of the first, whose payload runs.
    fn follows(&self, line: LineId) -> bool {
        let node = |line| self.holder(line).map(|conn| self.connections[conn].node);
        let holder = node(line);
        holder == node(LOCK) && holder.is_some_and(|i| self.nodes[i].lines[line].payload.is_some())
    }

    /// In words, when the time for it to be well is over.
    fn what_is_wrong(&self) -> String {
        let open = self.oracle.open();
        if open > 0 {
            return format!("I3: lost: {open} records open");
        }
        if let Some(line) = (1..self.setting.lines).find(|line| !self.follows(*line)) {
            let holder = self.holder(line).map(|conn| self.connections[conn].node);
            return format!("I6: line {line} does not follow the first: held by {holder:?}");
        }
        let nodes = 0..self.setting.nodes;
        let strangers: Vec<_> = nodes.clone().filter(|i| !self.knows_all(*i)).collect();
        let roles: Vec<_> =
            nodes.map(|i| self.nodes[i].process.as_ref().map(|n| n.role())).collect();
        format!("I6: not served: roles {roles:?}; do not know all others: {strangers:?}")
    }

    /// It believes every other node, and heard it lately.
    fn knows_all(&self, i: usize) -> bool {
        let now = self.node_time(i);
        let dead_after = self.setting.profile.dead_after;
        self.nodes[i].process.as_ref().is_some_and(|node| {
            let alive = node.members().filter(|m| now.since(m.heard) < dead_after);
            alive.count() + 1 == self.setting.nodes
        })
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::NodeWake(i, _)
            | Event::Datagram(i, _)
            | Event::Connected(i, ..)
            | Event::PayloadWrites(i, ..)
            | Event::PayloadGone(i, _)
            | Event::InstanceGone(i, _) => self.node_event(i, event),
            Event::ToNode(conn, _) => self.node_event(self.connections[conn].node, event),
            Event::Encoded(i, bytes) => self.decoded(i, &bytes, false),
            Event::Strange(i, bytes) => self.decoded(i, &bytes, true),
            Event::ServerWake(_)
            | Event::Accept(_)
            | Event::ServerReads(_)
            | Event::Stored(_)
            | Event::Device(_) => self.server_event(event),
            Event::Syn(i, instance) => self.syn(i, instance),
            Event::ToServer(conn, segment) => self.arrived(conn, segment),
            Event::PayloadStarts(i, _)
            | Event::PayloadThinks(i, ..)
            | Event::PayloadEnds(i, _)
            | Event::GuardLooks(i, _)
            | Event::GuardKills(i, _) => self.handle_on_host(i, event),
            Event::Record(number) => self.send_record(number),
            Event::Serial(number, bytes) => self.serial_input(number, &bytes),
            Event::Plug => self.plug(true),
            Event::Fault(fault) => self.apply(fault),
            Event::StartNode(i) => self.start_node(i),
            Event::StartServer => self.start_server(),
            Event::ResumeNode(i) => self.resume_node(i),
            Event::ResumeServer => self.resume_server(),
            Event::WakeHost(i) => self.wake_host(i),
            Event::TurnOfNode(i) => self.turn_of_node(i),
            Event::EndBusy(i) => self.nodes[i].busy = 0,
            Event::EndTwin => self.kill_node(self.setting.nodes, false),
            Event::EndCut(ways) => {
                self.network.cut.part(ways);
                self.send_held();
            }
            Event::EndDeaf(ways) => self.network.deaf.part(ways),
            Event::EndLoss => self.network.loss = 0,
            Event::EndStalls => self.network.stalls = 0,
            Event::EndSlow => self.network.jitter = MS,
            Event::Fit(i) => self.judge_health(i, true),
            Event::Heal => self.heal(),
        }
    }

    /// What happens beside the node's process, unless the whole host sleeps.
    fn handle_on_host(&mut self, i: usize, event: Event) {
        if self.nodes[i].asleep {
            return self.nodes[i].frozen.push(event);
        }
        // A payload does one thing after the other, also when it was frozen in between.
        let thinks_at = self.nodes[i].thinks_at;
        let thinks = matches!(event, Event::PayloadStarts(..) | Event::PayloadThinks(..));
        if thinks && self.now < thinks_at {
            return self.at(thinks_at, event);
        }
        match event {
            Event::PayloadStarts(i, instance) => self.payload_starts(i, instance),
            Event::PayloadThinks(i, instance, frame, number) => {
                self.payload_thinks(i, instance, frame, number);
            }
            Event::PayloadEnds(i, instance) => self.payload_ends(i, instance),
            Event::GuardLooks(i, instance) => self.guard_looks(i, instance),
            Event::GuardKills(i, instance) => self.guard_kills(i, instance),
            _ => {}
        }
    }

    /// A record goes over the cable in one to three pieces, each as long as its characters take.
    fn send_record(&mut self, number: u32) {
        self.oracle.record_sent(number);
        let bytes = record(number);
        let mut at = self.now;
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(self.rng.random_range(1..=rest.len()));
            at += piece.len() as True * self.setting.char_time;
            self.at(at, Event::Serial(number, piece.to_vec()));
            rest = after;
        }
        let gap = self.rng.random_range(5 * MS..120 * MS);
        if at + gap < self.records_until {
            self.at(at + gap, Event::Record(number + 1));
        }
    }

    /// A segment goes into a connection.
    pub fn send(&mut self, conn: usize, to_server: bool, segment: Segment) {
        let (node, server) = (self.connections[conn].node, self.nodes.len());
        let (from, to) = if to_server { (node, server) } else { (server, node) };
        let cut = self.network.cut.has(from, to);
        let held = &mut self.connections[conn].held[usize::from(to_server)];
        if cut || !held.is_empty() {
            held.push_back(segment);
            return;
        }
        let delay = self.network.segment_delay(from, to, &mut self.rng);
        let at = self.connections[conn].arrival(to_server, self.now, delay);
        let event = match to_server {
            true => Event::ToServer(conn, segment),
            false => Event::ToNode(conn, segment),
        };
        self.at(at, event);
    }

    /// A datagram goes to every node. One of the release before sends no newer version.
    pub fn multicast(&mut self, from: usize, mut datagram: Datagram) {
        let old = |host: usize| self.setting.old >> host & 1 == 1;
        if let Datagram::Heartbeat(heartbeat) = &mut datagram
            && old(from)
        {
            if heartbeat.speaks == 1 {
                return;
            }
            *heartbeat = heartbeat.for_version_1(heartbeat.digest);
        }
        let datagram = Rc::new(datagram);
        if self.recorded.len() < RECORDED {
            self.recorded.push_back(datagram.clone());
        }
        let signs = self.nodes.get(from).map_or(0, |host| host.key);
        let encoded = self.setting.encoded;
        let bytes = encoded.then(|| datagram.encode(self.names.rings[signs].sender()));
        for to in 0..self.nodes.len() {
            for at in self.network.arrivals((from, to), self.now, &mut self.rng) {
                let Some(at) = at else { continue };
                let event = match &bytes {
                    Some(bytes) => Event::Encoded(to, bytes.clone()),
                    None => Event::Datagram(to, Rc::clone(&datagram)),
                };
                self.queue.push(at, event);
            }
        }
    }

    /// What a cut held back is sent again, in order.
    fn send_held(&mut self) {
        for conn in 0..self.connections.len() {
            for to_server in [false, true] {
                let held = std::mem::take(&mut self.connections[conn].held[usize::from(to_server)]);
                held.into_iter().for_each(|segment| self.send(conn, to_server, segment));
            }
        }
    }

    fn heal(&mut self) {
        self.healed = true;
        self.network.heal();
        self.send_held();
        self.plug(true);
        self.resume_server();
        if self.setting.twin {
            self.kill_node(self.setting.nodes, true);
        }
        for i in 0..self.setting.nodes {
            self.nodes[i].busy = 0;
            self.nodes[i].away = false;
            self.nodes[i].crashing_until = 0;
            self.nodes[i].deceived_until = 0;
            self.wake_host(i);
            self.resume_node(i);
            self.judge_health(i, true);
            self.order(i, Maintenance::Off);
            // One that was told to stop still ends, and is started by its own event.
            self.at(self.now, Event::StartNode(i));
        }
        self.at(self.now, Event::StartServer);
    }
}
