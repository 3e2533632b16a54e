//! A node's driver: thin, and hostile in its order of events.

use std::collections::VecDeque;

use failover_node::core::{Action, LOCK, Node, NodeConfig};
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
    /// Frames the payload wrote that the node has not read: they survive in the pipe.
    pub connection: Option<usize>,
    /// The instance's number; a late outcome of an older one is nobody's.
    pub instance: u64,
    /// The payload, under its guard.
    pub payload: Option<Payload>,
    /// The payload that is being started.
    pub starting: Option<Payload>,
    wake: u64,
    wake_for: Option<Time>,
}

impl NodeHost {
    /// A host whose node has not started.
    pub fn new((alias, clock): (usize, Clock)) -> Self {
        Self {
            clock,
            alias,
            asleep: false,
            frozen: Vec::new(),
            woke: 0,
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
            connection: None,
            instance: 0,
            payload: None,
            starting: None,
            wake: 0,
        }
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

/// The line's name.
pub fn line() -> Name {
    "line".parse().expect("letters")
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
            ..NodeConfig::new(group(), name(host.alias), line(), BootId(boot), keys)
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
        host.instance += 1;
        host.starting = None;
        if power_loss {
            // The payload's host is gone with it.
            host.payload = None;
            host.asleep = false;
            host.frozen.clear();
        } else if let Some(payload) = &host.payload {
            // The guard sees the end of its pipe.
            let event = Event::GuardKills(i, payload.instance);
            let at = self.now + self.rng.random_range(MS / 10..3 * MS);
            self.at(at, event);
        }
        if let Some(conn) = self.nodes[i].connection.take()
            && !power_loss
        {
            self.send(conn, true, Segment::Fin);
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
            Event::Connected(_, instance, conn) if instance == host.instance => match conn {
                Ok(conn) => {
                    host.connection = Some(conn);
                    let nonce = Nonce(std::array::from_fn(|k| (conn >> (8 * (k % 8))) as u8));
                    node.handle_connected(LOCK, nonce, now);
                }
                Err(()) => node.handle_connect_failed(LOCK, "connection refused".into(), now),
            },
            Event::ToNode(conn, segment) if host.connection == Some(conn) => match segment {
                Segment::Frame(frame) => {
                    note_renewal(&mut self.connections[conn], &frame);
                    node.handle_frame(LOCK, frame, now);
                }
                Segment::Fin => node.handle_disconnected(LOCK, now),
            },
            // Also what a dead payload left in the pipe.
            Event::PayloadWrites(_, instance, frame) if instance == host.instance => {
                node.handle_payload(LOCK, frame, now);
            }
            Event::PayloadGone(_, instance) if instance == host.instance => {
                node.handle_payload_gone(LOCK, now);
            }
            Event::InstanceGone(_, instance) if instance == host.instance => {
                node.handle_instance_gone(LOCK, now);
            }
            _ => return,
        }
        self.drain_node(i);
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
        self.payload_busy[i] = thought;
        for event in std::mem::take(&mut host.frozen) {
            let at = match event {
                Event::PayloadThinks(..) => thought,
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
            self.drain_frames(i);
            while let Some(frame) =
                self.nodes[i].process.as_mut().and_then(|n| n.poll_payload(LOCK))
            {
                self.hand_to_payload(i, frame);
            }
            let Some(node) = &mut self.nodes[i].process else { return };
            let Some(action) = node.poll_action() else { break };
            self.node_action(i, action);
        }
        self.tell_guard(i);
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

    pub(super) fn drain_frames(&mut self, i: usize) {
        let Some(conn) = self.nodes[i].connection else { return };
        let local = self.node_time(i);
        while let Some(frame) =
            self.nodes[i].process.as_mut().and_then(|n| n.poll_frame(LOCK, local))
        {
            let connection = &mut self.connections[conn];
            match &frame {
                Frame::Claim(_) => connection.sent.push((0, self.now)),
                Frame::Renew(n) => connection.sent.push((*n, self.now)),
                Frame::Output(_) | Frame::Ack(_) => {
                    self.oracle.write(i, self.now, connection.may_write_until);
                }
                Frame::Release(_) if self.nodes[i].payload.is_some() => {
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
            Action::StartInstance(_) => {
                self.nodes[i].instance += 1;
                self.connect(i);
            }
            Action::StartPayload(_, grant) => self.start_payload(i, &grant),
            Action::StopPayload(_) => self.stop_payload(i),
            Action::EndInstance(_) => self.end_instance(i),
            Action::Stopped => {
                self.kill_node(i, false);
                // Whoever stopped it starts it again, if it has not been already.
                self.at(self.now + 300 * MS, Event::StartNode(i));
            }
            Action::Report(_, occurrence) => self.node_reports(i, occurrence),
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
