//! A node's driver: thin, and hostile in its order of events.

use std::collections::VecDeque;

use failover_node::core::{Action, LOCK, LineId, Node, NodeConfig};
use rand::RngExt;
use wire::{BootId, Datagram, Frame, Key, Name, Nonce, Time};

use super::beliefs::Beliefs;
use super::clock::{Clock, MS, True};
use super::network::{Connection, Segment};
use super::payload::Payload;
use super::schedule::{Event, World};

/// One node's host.
#[derive(Debug)]
pub struct NodeHost {
    /// Its clock.
    pub clock: Clock,
    /// The process, while it runs.
    pub process: Option<Node>,
    /// How many processes there were.
    pub life: u32,
    /// Whose name its node has: its own, or another's.
    pub alias: usize,
    /// It is stopped: what comes waits in its buffers.
    pub paused: bool,
    /// The host sleeps: nothing runs on it, and datagrams are lost.
    pub asleep: bool,
    /// What happens to payload and guard when it wakes.
    pub frozen: Vec<Event>,
    /// When it woke last.
    pub woke: True,
    /// When its payloads went on, or go on, after that.
    pub thinks_at: True,
    /// So late may be what happens here; 0: the host has nothing else to do.
    pub busy: True,
    /// The process waits for its turn.
    waiting: bool,
    /// With which key it signs, where there are two.
    pub key: usize,
    /// It does not start again by itself before everything heals.
    pub away: bool,
    /// Its payloads crash until then.
    pub crashing_until: True,
    /// Whoever connects from here until then finds an impostor.
    pub deceived_until: True,
    beliefs: Beliefs,
    /// What waits.
    pub inbox: VecDeque<Event>,
    /// What it runs for each line.
    pub lines: [HostLine; MAX_LINES],
    instances: u64,
    wake: u64,
    wake_for: Option<Time>,
}

/// What a host runs for one line.
#[derive(Debug, Default)]
pub struct HostLine {
    /// To the terminal server.
    pub connection: Option<usize>,
    /// The instance's number; a late outcome of an older one is nobody's.
    pub instance: u64,
    /// The payload, under its guard.
    pub payload: Option<Payload>,
    /// The payload that is being started.
    pub starting: Option<Payload>,
    /// Until when the payload is busy.
    pub busy: True,
}

/// Most lines of the group.
pub const MAX_LINES: usize = 2;

impl NodeHost {
    /// A host whose node has not started.
    pub fn new((alias, clock): (usize, Clock)) -> Self {
        Self {
            clock,
            alias,
            asleep: false,
            frozen: Vec::new(),
            woke: 0,
            thinks_at: 0,
            busy: 0,
            waiting: false,
            away: false,
            key: 0,
            crashing_until: 0,
            deceived_until: 0,
            beliefs: Beliefs::default(),
            wake_for: None,
            process: None,
            life: 0,
            paused: false,
            inbox: VecDeque::new(),
            lines: Default::default(),
            instances: 0,
            wake: 0,
        }
    }

    /// Which line an instance is for, if it is not an old one.
    pub fn line_of(&self, instance: u64) -> Option<LineId> {
        self.lines.iter().position(|line| line.instance == instance)
    }

    /// The line of an instance, with its running payload.
    pub fn line_with_payload(&mut self, instance: u64) -> Option<&mut HostLine> {
        let mut lines = self.lines.iter_mut();
        lines.find(|l| l.payload.as_ref().is_some_and(|p| p.instance == instance))
    }

    /// A new instance begins for a line.
    fn begin_instance(&mut self, line: LineId) {
        self.instances += 1;
        self.lines[line].instance = self.instances;
    }

    /// Whether its node's process runs at this moment.
    pub fn runs(&self) -> bool {
        self.process.is_some() && !self.paused && !self.asleep
    }
}

/// The name of a node.
pub fn name(node: usize) -> Name {
    format!("n{node}").parse().expect("letters and digits")
}

/// Which node a name is.
pub fn number(name: &Name) -> usize {
    name.as_str()[1..].parse().unwrap_or(usize::MAX)
}

/// The group's name.
pub fn group() -> Name {
    "group".parse().expect("letters")
}

/// The name of a line.
pub fn line(which: LineId) -> Name {
    ["line", "other"][which].parse().expect("letters")
}

/// The group's keys: the first, and the one that may replace it.
pub fn keys() -> [Key; 2] {
    let secrets = [*b"a key for the simulated world 32", *b"the key that comes after it, 32."];
    [1, 2].map(|id| Key::new(id, secrets[usize::from(id) - 1]))
}

impl World {
    /// A node's process starts, with a new boot id.
    pub fn start_node(&mut self, i: usize) {
        let now = self.node_time(i);
        let host = &mut self.nodes[i];
        if host.process.is_some() || host.asleep || host.away {
            return;
        }
        host.life += 1;
        host.paused = false;
        host.waiting = false;
        host.inbox.clear();
        host.beliefs = Beliefs::default();
        host.wake_for = None;
        let mut boot = [0; 16];
        boot[0] = i as u8;
        boot[1..5].copy_from_slice(&host.life.to_be_bytes());
        let keys = self.names.ring(host.key);
        let config = NodeConfig {
            profile: self.setting.profile,
            seed: self.rng.random(),
            behaviour: self.setting.behaviours[i].clone(),
            lines: (0..self.setting.lines).map(line).collect(),
            ..NodeConfig::new(group(), name(host.alias), line(LOCK), BootId(boot), keys)
        };
        host.process = Some(Node::new(config, now));
        self.drain_node(i);
    }

    /// A node's process ends without a word. The kernel closes its socket unless the power failed.
    pub fn kill_node(&mut self, i: usize, power_loss: bool) {
        let host = &mut self.nodes[i];
        host.process = None;
        host.paused = false;
        host.inbox.clear();
        if power_loss {
            host.asleep = false;
            host.frozen.clear();
        }
        for line in 0..self.setting.lines {
            let host = &mut self.nodes[i];
            host.begin_instance(line);
            let of_line = &mut host.lines[line];
            of_line.starting = None;
            if power_loss {
                // The payload's host is gone with it.
                of_line.payload = None;
            } else if let Some(payload) = &of_line.payload {
                // The guard sees the end of its pipe.
                let event = Event::GuardKills(i, payload.instance);
                let at = self.now + self.rng.random_range(MS / 10..3 * MS);
                self.at(at, event);
            }
            if let Some(conn) = self.nodes[i].lines[line].connection.take()
                && !power_loss
            {
                self.send(conn, true, Segment::Fin);
            }
        }
    }

    /// An event for a node: handled now, or when it runs again.
    pub fn node_event(&mut self, i: usize, event: Event) {
        let host = &mut self.nodes[i];
        if host.process.is_none() || (host.asleep && matches!(event, Event::Datagram(..))) {
            return;
        }
        if host.paused || host.asleep || host.waiting {
            host.inbox.push_back(event);
        } else if host.busy > 0 {
            host.waiting = true;
            host.inbox.push_back(event);
            let at = self.now + self.rng.random_range(0..host.busy);
            self.at(at, Event::TurnOfNode(i));
        } else {
            self.node_handles(i, event);
        }
    }

    fn node_handles(&mut self, i: usize, event: Event) {
        let now = self.node_time(i);
        let host = &mut self.nodes[i];
        let Some(node) = &mut host.process else { return };
        match event {
            Event::NodeWake(_, wake) if wake != host.wake => return,
            Event::NodeWake(..) => {
                host.wake_for = None;
                // What it was set for may have moved since.
                if node.poll_timeout().is_some_and(|due| due <= now) {
                    node.handle_timeout(now);
                }
            }
            Event::Datagram(_, datagram) => self.node_hears(i, &datagram),
            Event::ToNode(conn, segment) => {
                let line = self.connections[conn].line;
                if host.lines[line].connection != Some(conn) {
                    return;
                }
                match segment {
                    Segment::Frame(frame) => {
                        note_renewal(&mut self.connections[conn], &frame);
                        node.handle_frame(line, frame, now);
                    }
                    Segment::Fin => node.handle_disconnected(line, now),
                }
            }
            event => {
                if !self.node_handles_own(i, event) {
                    return;
                }
            }
        }
        self.drain_node(i);
    }

    /// What comes of its instances. Whether it is not too late for that.
    fn node_handles_own(&mut self, i: usize, event: Event) -> bool {
        let now = self.node_time(i);
        let host = &mut self.nodes[i];
        let instance = match &event {
            Event::Connected(_, instance, _)
            | Event::PayloadWrites(_, instance, _)
            | Event::PayloadGone(_, instance)
            | Event::InstanceGone(_, instance) => *instance,
            _ => return false,
        };
        let (Some(line), Some(node)) = (host.line_of(instance), &mut host.process) else {
            return false;
        };
        match event {
            Event::Connected(_, _, Ok(conn)) => {
                host.lines[line].connection = Some(conn);
                let nonce = Nonce(std::array::from_fn(|k| (conn >> (8 * (k % 8))) as u8));
                node.handle_connected(line, nonce, now);
            }
            Event::Connected(_, _, Err(())) => {
                node.handle_connect_failed(line, "connection refused".into(), now);
            }
            // Also what a dead payload left in the pipe.
            Event::PayloadWrites(_, _, frame) => node.handle_payload(line, frame, now),
            Event::PayloadGone(..) => node.handle_payload_gone(line, now),
            _ => node.handle_instance_gone(line, now),
        }
        true
    }

    fn node_hears(&mut self, i: usize, datagram: &Datagram) {
        let now = self.node_time(i);
        let dead_after = self.setting.profile.dead_after;
        let host = &mut self.nodes[i];
        let Some(node) = &mut host.process else { return };
        let before = (node.counters().heartbeats_heard, node.counters().beacons_heard);
        let judged = match datagram {
            // One of the release before does not read it.
            Datagram::Heartbeat(h) if h.speaks > 1 && self.setting.old >> i & 1 == 1 => Ok(()),
            Datagram::Heartbeat(heartbeat) => {
                node.handle_heartbeat(heartbeat.clone(), now);
                match node.counters().heartbeats_heard > before.0 {
                    true => host.beliefs.heartbeat(heartbeat, dead_after, now),
                    false => Ok(()),
                }
            }
            Datagram::Beacon(beacon) => {
                node.handle_beacon(beacon, now);
                match node.counters().beacons_heard > before.1 {
                    true => host.beliefs.beacon((beacon.start, beacon.seq)),
                    false => Ok(()),
                }
            }
        };
        if let Err(text) = judged {
            self.oracle.fail(format!("node {i}: {text}"));
        }
    }

    /// A node on a busy host has its turn.
    pub fn turn_of_node(&mut self, i: usize) {
        self.nodes[i].waiting = false;
        while self.nodes[i].runs()
            && let Some(event) = self.nodes[i].inbox.pop_front()
        {
            self.node_handles(i, event);
        }
    }

    /// A stopped node goes on. Deadlines, what the payload wrote, and what the network brought
    /// come in any order.
    pub fn resume_node(&mut self, i: usize) {
        if !self.nodes[i].paused {
            return;
        }
        self.nodes[i].paused = false;
        self.go_on(i);
    }

    /// A sleeping host wakes, and finds that its clock went on.
    pub fn wake_host(&mut self, i: usize) {
        let host = &mut self.nodes[i];
        if !host.asleep {
            return;
        }
        host.asleep = false;
        host.woke = self.now;
        // The payload goes on where it was; the guard may look before or after.
        let thought = self.now + self.rng.random_range(0..2 * MS);
        host.thinks_at = thought;
        host.lines.iter_mut().for_each(|line| line.busy = line.busy.max(thought));
        for event in std::mem::take(&mut host.frozen) {
            let at = match event {
                Event::PayloadStarts(..) | Event::PayloadThinks(..) => thought,
                _ => self.now + self.rng.random_range(0..2 * MS),
            };
            self.at(at, event);
        }
        self.go_on(i);
    }

    fn go_on(&mut self, i: usize) {
        if !self.nodes[i].runs() {
            return;
        }
        let mut inbox: Vec<_> = self.nodes[i].inbox.drain(..).collect();
        match self.rng.random_range(0..3) {
            0 => inbox.sort_by_key(|e| matches!(e, Event::PayloadWrites(..))),
            1 => inbox.sort_by_key(|e| !matches!(e, Event::PayloadWrites(..))),
            _ => {}
        }
        for event in inbox {
            self.node_event(i, event);
        }
        let wake = self.nodes[i].wake;
        self.node_event(i, Event::NodeWake(i, wake));
    }

    /// Everything the node has to say, as the contract wants it.
    pub fn drain_node(&mut self, i: usize) {
        loop {
            for line in 0..self.setting.lines {
                self.drain_frames(i, line);
                while let Some(node) = &mut self.nodes[i].process
                    && let Some(frame) = node.poll_payload(line)
                {
                    self.hand_to_payload(i, line, frame);
                }
            }
            let Some(node) = &mut self.nodes[i].process else { return };
            let Some(action) = node.poll_action() else { break };
            self.node_action(i, action);
        }
        (0..self.setting.lines).for_each(|line| self.tell_guard(i, line));
        let granted = self.oracle.highest_granted();
        let host = &mut self.nodes[i];
        let Some(node) = &host.process else { return };
        if let Err(text) = host.beliefs.line(node, granted) {
            self.oracle.fail(format!("node {i}: {text}"));
        }
        // One that is set for too early is set again when it comes.
        let deadline = node.poll_timeout();
        if let Some(local) = deadline.filter(|at| host.wake_for.is_none_or(|set| *at < set)) {
            host.wake += 1;
            host.wake_for = Some(local);
            let event = Event::NodeWake(i, host.wake);
            // A scheduler is never exact.
            let at = host.clock.true_time(local).max(self.now) + self.rng.random_range(1..MS / 2);
            self.at(at, event);
        }
    }

    pub(super) fn drain_frames(&mut self, i: usize, line: LineId) {
        let Some(conn) = self.nodes[i].lines[line].connection else { return };
        let local = self.node_time(i);
        while let Some(node) = &mut self.nodes[i].process
            && let Some(frame) = node.poll_frame(line, local)
        {
            let connection = &mut self.connections[conn];
            match &frame {
                Frame::Claim(_) => connection.sent.push((0, self.now)),
                Frame::Renew(n) => connection.sent.push((*n, self.now)),
                Frame::Output(_) | Frame::Ack(_) => {
                    self.oracle.write(i, self.now, connection.may_write_until);
                }
                Frame::Release(_) if self.nodes[i].lines[line].payload.is_some() => {
                    self.oracle.fail(format!("I7: node {i} gave the line back, its payload ran"));
                }
                _ => {}
            }
            self.send(conn, true, Segment::Frame(frame));
        }
    }

    fn node_action(&mut self, i: usize, action: Action) {
        match action {
            // Multicast loops back to its sender.
            Action::Heartbeat(heartbeat) => self.multicast(i, Datagram::Heartbeat(heartbeat)),
            Action::StartInstance(line) => {
                self.nodes[i].begin_instance(line);
                self.connect(i, line);
            }
            Action::StartPayload(line, grant) => self.start_payload(i, line, &grant),
            Action::StopPayload(line) => self.stop_payload(i, line),
            Action::EndInstance(line) => self.end_instance(i, line),
            Action::Stopped => {
                self.kill_node(i, false);
                // Whoever stopped it starts it again, if it has not been already.
                self.at(self.now + 300 * MS, Event::StartNode(i));
            }
            Action::Report(line, occurrence) => self.node_reports(i, line, occurrence),
        }
    }

    /// A node's own clock, now.
    pub fn node_time(&self, i: usize) -> Time {
        self.nodes[i].clock.local(self.now)
    }
}

/// By true time, the node may write for a lease from when it sent what is answered here (I4).
fn note_renewal(connection: &mut Connection, frame: &Frame) {
    let number = match frame {
        Frame::Grant(grant) => {
            connection.lease = True::from(grant.lease_ms) * MS;
            0
        }
        Frame::Renewed(n) => *n,
        _ => return,
    };
    let sent = connection.sent.iter().rev().find(|(n, _)| *n == number);
    if let Some((_, sent)) = sent {
        let until = sent + connection.lease;
        connection.may_write_until = connection.may_write_until.max(until);
    }
}
