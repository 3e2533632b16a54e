//! A node's driver: thin, and hostile in its order of events.

use std::collections::VecDeque;

use failover_node::core::{Action, Behaviour, LOCK, Node, NodeConfig, Occurrence};
use rand::RngExt;
use wire::{BootId, Datagram, Frame, Heartbeat, Key, Name, Nonce, Time};

use super::billing::wants_answer;
use super::clock::{Clock, MS, True};
use super::network::{Connection, Segment};
use super::payload::{Payload, thinking};
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
    /// It is stopped: what comes waits in its buffers.
    pub paused: bool,
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
}

impl NodeHost {
    /// A host whose node has not started.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
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
}

/// The name of a node.
pub fn name(node: usize) -> Name {
    format!("n{node}").parse().expect("letters and digits")
}

/// The group's name.
pub fn group() -> Name {
    "group".parse().expect("letters")
}

/// The line's name.
pub fn line() -> Name {
    "line".parse().expect("letters")
}

/// The group's key.
pub fn key() -> Key {
    Key::new(1, *b"a key for the simulated world 32")
}

impl World {
    /// A node's process starts, with a new boot id.
    pub fn start_node(&mut self, i: usize) {
        let now = self.node_time(i);
        let host = &mut self.nodes[i];
        if host.process.is_some() {
            return;
        }
        host.life += 1;
        host.paused = false;
        host.inbox.clear();
        let mut boot = [0; 16];
        boot[0] = i as u8;
        boot[1..5].copy_from_slice(&host.life.to_be_bytes());
        let config = NodeConfig {
            profile: self.profile,
            seed: self.rng.random(),
            behaviour: Behaviour { restarts: 50, ..Behaviour::default() },
            ..NodeConfig::new(group(), name(i), line(), BootId(boot), key().into())
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
        } else if let Some(payload) = &host.payload {
            // The guard sees the end of its pipe.
            let event = Event::GuardKills(i, payload.instance);
            let at = self.now + self.rng.random_range(MS / 10..3 * MS);
            self.at(at, event);
        }
        if let Some(conn) = self.nodes[i].connection.take() {
            self.connections[conn].node_closed = true;
            if !power_loss {
                self.send(conn, true, Segment::Fin);
            }
        }
    }

    /// An event for a node: handled now, or when it runs again.
    pub fn node_event(&mut self, i: usize, event: Event) {
        if self.nodes[i].process.is_none() {
            return;
        }
        if self.nodes[i].paused {
            self.nodes[i].inbox.push_back(event);
            return;
        }
        let now = self.node_time(i);
        let host = &mut self.nodes[i];
        let Some(node) = &mut host.process else { return };
        match event {
            Event::NodeWake(_, wake) if wake != host.wake => return,
            Event::NodeWake(..) => node.handle_timeout(now),
            Event::Datagram(_, datagram) => match (*datagram).clone() {
                Datagram::Heartbeat(heartbeat) => node.handle_heartbeat(heartbeat, now),
                Datagram::Beacon(beacon) => node.handle_beacon(&beacon, now),
            },
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

    /// A stopped node goes on. Deadlines, what the payload wrote, and what the network brought
    /// come in any order.
    pub fn resume_node(&mut self, i: usize) {
        if !self.nodes[i].paused {
            return;
        }
        self.nodes[i].paused = false;
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
            self.drain_payload(i);
            let Some(node) = &mut self.nodes[i].process else { return };
            let Some(action) = node.poll_action() else { break };
            self.node_action(i, action);
        }
        self.tell_guard(i);
        self.check_members(i);
        let host = &mut self.nodes[i];
        host.wake += 1;
        let deadline = host.process.as_ref().and_then(Node::poll_timeout);
        if let Some(local) = deadline {
            let event = Event::NodeWake(i, host.wake);
            // A scheduler is never exact.
            let at = host.clock.true_time(local).max(self.now) + self.rng.random_range(1..MS / 2);
            self.at(at, event);
        }
    }

    fn drain_frames(&mut self, i: usize) {
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
                _ => {}
            }
            self.send(conn, true, Segment::Frame(frame));
        }
    }

    fn drain_payload(&mut self, i: usize) {
        while let Some(frame) = self.nodes[i].process.as_mut().and_then(|n| n.poll_payload(LOCK)) {
            self.hand_to_payload(i, frame);
        }
    }

    fn hand_to_payload(&mut self, i: usize, frame: Frame) {
        let host = &mut self.nodes[i];
        let Some(payload) = host.payload.as_mut().or(host.starting.as_mut()) else { return };
        let instance = payload.instance;
        let running = host.payload.is_some();
        let replies = host.payload.as_mut().or(host.starting.as_mut()).map(|p| p.handle(frame));
        let start = self.now + if running { 0 } else { 3 * MS };
        let mut at = start.max(self.payload_busy[i]);
        for (reply, number) in replies.unwrap_or_default() {
            at += thinking(&mut self.rng);
            self.at(at, Event::PayloadThinks(i, instance, reply, number));
        }
        self.payload_busy[i] = at;
    }

    fn node_action(&mut self, i: usize, action: Action) {
        match action {
            Action::Heartbeat(heartbeat) => self.multicast_heartbeat(i, heartbeat),
            Action::StartInstance(_) => {
                self.nodes[i].instance += 1;
                self.connect(i);
            }
            Action::StartPayload(_, grant) => {
                let instance = self.nodes[i].instance;
                let until = self.lease_until(i).unwrap_or(Time::ZERO);
                self.nodes[i].starting = Some(Payload::new(instance, i, &grant, until));
                let at = self.now + self.rng.random_range(MS..3 * MS);
                self.at(at, Event::PayloadStarts(i, instance));
            }
            Action::StopPayload(_) => self.stop_payload(i),
            Action::EndInstance(_) => self.end_instance(i),
            Action::Stopped => {
                self.kill_node(i, false);
                // Whoever stopped it starts it again, if it has not been already.
                self.at(self.now + 300 * MS, Event::StartNode(i));
            }
            Action::Report(_, occurrence) => {
                self.count_occurrence(&occurrence);
            }
        }
    }

    fn count_occurrence(&mut self, occurrence: &Occurrence) {
        let key = match occurrence {
            Occurrence::Claiming { .. } => "claims",
            Occurrence::Granted { .. } => "grants",
            Occurrence::Refused { .. } => "refusals",
            Occurrence::ConnectFailed { .. } => "connects failed",
            Occurrence::Lost { .. } => "grants lost",
            Occurrence::Resigning { .. } => "resignations",
            _ => return,
        };
        *self.coverage.entry(key).or_default() += 1;
    }

    fn stop_payload(&mut self, i: usize) {
        let host = &mut self.nodes[i];
        host.starting = None;
        let instance = host.instance;
        if let Some(payload) = &mut host.payload {
            payload.stopping = true;
        }
        let at = self.now.max(self.payload_busy[i]) + self.rng.random_range(MS / 10..5 * MS);
        self.at(at, Event::PayloadEnds(i, instance));
    }

    fn end_instance(&mut self, i: usize) {
        self.drain_frames(i);
        let host = &mut self.nodes[i];
        host.payload = None;
        host.starting = None;
        let instance = host.instance;
        if let Some(conn) = host.connection.take() {
            self.connections[conn].node_closed = true;
            self.send(conn, true, Segment::Fin);
        }
        let at = self.now + self.rng.random_range(MS / 10..3 * MS);
        self.at(at, Event::InstanceGone(i, instance));
    }

    fn multicast_heartbeat(&mut self, i: usize, heartbeat: Heartbeat) {
        let datagram = std::rc::Rc::new(Datagram::Heartbeat(heartbeat));
        // Multicast loops back to its sender.
        self.multicast(i, &datagram);
    }

    fn lease_until(&self, i: usize) -> Option<Time> {
        self.nodes[i].process.as_ref().and_then(|n| n.lease_until(LOCK))
    }

    /// The guard gets a tick whenever the lease has moved.
    fn tell_guard(&mut self, i: usize) {
        let until = self.lease_until(i);
        let host = &mut self.nodes[i];
        let Some(payload) = host.payload.as_mut().or(host.starting.as_mut()) else { return };
        if let Some(until) = until.filter(|u| *u != payload.lease_until) {
            payload.lease_until = until;
            let event = Event::GuardLooks(i, payload.instance);
            let at = host.clock.true_time(until).max(self.now) + MS / 10;
            self.at(at, event);
        }
    }

    /// The guard's own deadline has come: if the lease was not renewed, it kills the payload.
    pub fn guard_looks(&mut self, i: usize, instance: u64) {
        let now = self.node_time(i);
        let host = &self.nodes[i];
        let due = host.payload.as_ref().filter(|p| p.instance == instance && p.lease_until <= now);
        if due.is_some() {
            self.guard_kills(i, instance);
        }
    }

    /// The payload runs from now on, under its guard.
    pub fn payload_starts(&mut self, i: usize, instance: u64) {
        let host = &mut self.nodes[i];
        let Some(payload) = host.starting.take_if(|p| p.instance == instance) else { return };
        let at = host.clock.true_time(payload.lease_until).max(self.now) + MS / 10;
        host.payload = Some(payload);
        self.at(at, Event::GuardLooks(i, instance));
    }

    /// The payload ends as it was told to, or crashes.
    pub fn payload_ends(&mut self, i: usize, instance: u64) {
        if self.nodes[i].instance == instance {
            self.nodes[i].payload = None;
            self.node_event(i, Event::PayloadGone(i, instance));
        }
    }

    /// The payload has made up its mind about a record, and writes.
    pub fn payload_thinks(&mut self, i: usize, instance: u64, frame: Frame, number: u32) {
        if is_payload(self.nodes[i].payload.as_ref(), instance) {
            if !wants_answer(number) {
                self.oracle.record_taken(number);
            }
            self.node_event(i, Event::PayloadWrites(i, instance, frame));
        }
    }

    /// The guard kills the payload and tells the node.
    pub fn guard_kills(&mut self, i: usize, instance: u64) {
        if is_payload(self.nodes[i].payload.as_ref(), instance) {
            self.nodes[i].payload = None;
            self.at(self.now + MS / 10, Event::PayloadGone(i, instance));
        }
    }

    /// I7, looked at whenever something happens to a host.
    pub fn check_payload(&mut self, i: usize) {
        let host = &self.nodes[i];
        if let Some(payload) = &host.payload {
            let until = host.clock.true_time(payload.lease_until);
            let late = self.now.saturating_sub(until);
            self.oracle.payload_outlives(i, late);
        }
    }

    fn check_members(&mut self, i: usize) {
        let life = self.nodes[i].life;
        let Some(node) = &self.nodes[i].process else { return };
        for member in node.members() {
            let boot = member.heartbeat.boot.0;
            let believed = u32::from_be_bytes([boot[1], boot[2], boot[3], boot[4]]);
            self.oracle.believes(i, life, usize::from(boot[0]), believed);
        }
    }

    /// A node's own clock, now.
    pub fn node_time(&self, i: usize) -> Time {
        self.nodes[i].clock.local(self.now)
    }
}

fn is_payload(payload: Option<&Payload>, instance: u64) -> bool {
    payload.is_some_and(|p| p.instance == instance)
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
    if let Some((_, sent)) = connection.sent.iter().find(|(n, _)| *n == number) {
        let until = sent + connection.lease;
        connection.may_write_until = connection.may_write_until.max(until);
    }
}
