//! One node: it listens, ranks, claims, serves, and lets go.

use std::collections::VecDeque;
use std::time::Duration;

use wire::time::earliest;
use wire::{Beacon, Epoch, EventKind, Frame, FreeCause, Heartbeat, Name, Nonce, Role, Time};

use super::config::NodeConfig;
use super::election::{self, Standing};
use super::evidence::Evidence;
use super::link::{Link, LinkEnd, LinkEvent};
use super::members::{MemberView, Members, Unheard};
use super::timers::{Timer, Timers};

mod occurrence;
mod tenure;

pub use occurrence::{Action, Counters, HandoverError, Occurrence, ResignCause};

/// A claim that has no outcome by then has failed; at least this, however short the lease.
const CLAIM_MIN: Duration = Duration::from_millis(250);

/// One node of a group.
///
/// Contract: the driver calls one `handle_*` with what happened, then drains
/// [`Node::poll_frame`], [`Node::poll_payload`] and [`Node::poll_action`] before the next. It calls
/// [`Node::handle_timeout`] when [`Node::poll_timeout`] has come. `now` never goes backwards.
#[derive(Debug)]
pub struct Node {
    config: NodeConfig,
    phase: Phase,
    members: Members,
    evidence: Evidence,
    timers: Timers,
    link: Option<Link>,
    /// INPUT, EVENT, WRITTEN on their way to the payload: bounded by the input window.
    payload: VecDeque<Frame>,
    actions: VecDeque<Action>,
    counters: Counters,
    started: Time,
    seq: u64,
    last_heartbeat: Time,
    failures: u32,
    /// No claim before that.
    not_before: Time,
    connect_failed_until: Time,
    held_down_until: Time,
    /// When the payload crashed, within the restart window.
    crashes: VecDeque<Time>,
    /// The last grant of our own.
    grant: Epoch,
    /// Input handed to the payload, and taken by it.
    delivered: u64,
    taken: u64,
    /// The line's device has gone: not this node's difficulty.
    line_down: bool,
    /// A planned hand-over or an end, after which nothing more is claimed.
    stopping: bool,
}

/// Where the node stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    /// Only the heartbeat function.
    Standby,
    /// The instance has started; it connects and claims.
    Candidate,
    /// The line is ours and the payload runs.
    Coordinator,
    /// The payload was told to stop; then the line is given back.
    Resigning { reserve_for: Option<Name> },
    /// The payload is gone; RELEASE is on its way.
    Releasing,
    /// The instance is being ended.
    Ending,
    /// The node has stopped.
    Stopped,
}

impl Node {
    /// A node that begins to listen.
    pub fn new(config: NodeConfig, now: Time) -> Self {
        let mut timers = Timers::default();
        timers.set(Timer::Heartbeat, now);
        Self {
            phase: Phase::Standby,
            members: Members::new(config.node.clone(), config.boot, config.seed),
            evidence: Evidence::new(config.lines[0].clone()),
            timers,
            link: None,
            payload: VecDeque::new(),
            actions: VecDeque::new(),
            counters: Counters::default(),
            started: now,
            seq: 0,
            last_heartbeat: Time::ZERO,
            failures: 0,
            // A node listens before it acts.
            not_before: now + config.profile.heartbeat * 2,
            connect_failed_until: Time::ZERO,
            held_down_until: Time::ZERO,
            crashes: VecDeque::new(),
            grant: Epoch::NONE,
            delivered: 0,
            taken: 0,
            line_down: false,
            stopping: false,
            config,
        }
    }

    // ---- the world tells the core

    /// A heartbeat with a right MAC has come.
    pub fn handle_heartbeat(&mut self, heartbeat: Heartbeat, now: Time) {
        self.check_lease(now);
        let (node, digest, epoch) = (heartbeat.node.clone(), heartbeat.digest, heartbeat.epoch);
        let known = self.member(&node).map(|m| m.heartbeat.boot) == Some(heartbeat.boot);
        match self.members.handle(heartbeat, self.config.profile.dead_after, now) {
            Ok(()) => {
                self.counters.heartbeats_heard += 1;
                self.evidence.saw_epoch(epoch);
                if !known {
                    self.report(Occurrence::MemberJoined(node.clone()));
                    if digest != self.config.digest {
                        self.report(Occurrence::SettingsDiffer(node));
                    }
                }
            }
            Err(Unheard::Own) => {}
            Err(Unheard::Old) => self.counters.heartbeats_old += 1,
            Err(Unheard::Unproven | Unheard::Rival) => self.counters.heartbeats_unproven += 1,
            Err(Unheard::Full) => self.counters.members_full += 1,
            Err(Unheard::DuplicateName) => {
                if self.counters.duplicate_name == 0 {
                    self.report(Occurrence::DuplicateName);
                }
                self.counters.duplicate_name += 1;
            }
        }
        if self.members.owes_echo() {
            // At most five out of turn an interval, whatever is sent to us.
            let soonest = self.last_heartbeat + self.config.profile.heartbeat / 5;
            self.timers.set_sooner(Timer::Echo, soonest.max(now));
        }
        self.act(now);
    }

    /// A beacon with a right MAC has come.
    pub fn handle_beacon(&mut self, beacon: Beacon, now: Time) {
        self.check_lease(now);
        match self.evidence.handle_beacon(beacon, now) {
            None => self.counters.beacons_old += 1,
            Some(restarted) => {
                self.counters.beacons_heard += 1;
                // What failed with the one before says nothing about this one.
                if restarted {
                    self.failures = 0;
                }
            }
        }
        self.act(now);
    }

    /// The instance has connected to the terminal server; `nonce` was drawn for it.
    pub fn handle_connected(&mut self, nonce: Nonce, now: Time) {
        if self.phase != Phase::Candidate {
            return;
        }
        let c = &self.config;
        self.link = Some(Link::new(
            (c.group.clone(), c.node.clone(), c.boot),
            c.lines[0].clone(),
            c.key.clone(),
            nonce,
            self.evidence.highest(),
            &c.profile,
        ));
        self.check_lease(now);
    }

    /// The instance could not start, or not connect.
    pub fn handle_connect_failed(&mut self, error: String, now: Time) {
        if self.phase == Phase::Candidate {
            self.attempt_failed(error, now);
        }
    }

    /// A frame has come from the terminal server.
    pub fn handle_frame(&mut self, frame: Frame, now: Time) {
        self.check_lease(now);
        let Some(link) = &mut self.link else { return };
        match link.handle_frame(frame) {
            None | Some(LinkEvent::Renewed) => {}
            Some(LinkEvent::Granted(grant)) => self.granted(grant, now),
            Some(LinkEvent::Payload(frame)) => {
                match &frame {
                    Frame::Input(input) => {
                        let idle = self.taken >= self.delivered;
                        self.delivered = input.end();
                        if idle {
                            self.watch_stall(now);
                        }
                    }
                    Frame::Event(event) if matches!(event.kind, EventKind::Down) => {
                        self.line_down = true;
                        self.watch_stall(now);
                    }
                    Frame::Event(event) if matches!(event.kind, EventKind::Up) => {
                        self.line_down = false;
                        self.watch_stall(now);
                    }
                    _ => {}
                }
                self.payload.push_back(frame);
            }
            Some(LinkEvent::Ended(end)) => self.link_ended(end, now),
        }
    }

    /// The connection to the terminal server has ended.
    pub fn handle_disconnected(&mut self, now: Time) {
        if self.link.is_some() {
            self.link_ended(LinkEnd::Closed, now);
        }
    }

    /// The payload has sent a frame: ACK or OUTPUT.
    pub fn handle_payload(&mut self, frame: Frame, now: Time) {
        self.check_lease(now);
        let taken = match &frame {
            Frame::Ack(ack) => Some(ack.offset),
            Frame::Output(output) => output.ack,
            _ => None,
        };
        let Some(link) = &mut self.link else { return };
        if let Err(error) = link.handle_payload(frame) {
            return self.bad_payload(error, now);
        }
        if let Some(taken) = taken.filter(|t| *t > self.taken) {
            self.taken = taken;
            self.watch_stall(now);
        }
    }

    /// The payload has sent what is no frame.
    pub fn handle_bad_payload(&mut self, error: String, now: Time) {
        self.bad_payload(error, now);
    }

    /// The payload and all its descendants are gone.
    pub fn handle_payload_gone(&mut self, now: Time) {
        self.check_lease(now);
        match std::mem::replace(&mut self.phase, Phase::Releasing) {
            Phase::Resigning { reserve_for } => self.release(reserve_for, now),
            Phase::Coordinator => {
                let (cause, reserve_for) = self.after_crash(now);
                self.resigning(cause, reserve_for.clone());
                self.release(reserve_for, now);
            }
            other => self.phase = other,
        }
    }

    /// The instance has ended: no guard, no payload, no connection.
    pub fn handle_instance_gone(&mut self, now: Time) {
        if self.phase != Phase::Ending {
            return;
        }
        self.link = None;
        self.payload.clear();
        self.phase = Phase::Standby;
        self.beat(now);
        if self.stopping {
            self.stopped(now);
        }
        self.act(now);
    }

    /// The time that [`Node::poll_timeout`] named has come.
    pub fn handle_timeout(&mut self, now: Time) {
        if let Some(due) = self.poll_timeout().filter(|due| *due <= now && *due >= self.started) {
            let late = now.since(due);
            let us = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
            self.counters.late_max_us = self.counters.late_max_us.max(us);
            self.counters.late += u64::from(late > self.config.profile.lease / 4);
        }
        self.check_lease(now);
        if self.timers.expired(Timer::Heartbeat, now) | self.timers.expired(Timer::Echo, now) {
            self.beat(now);
        }
        if self.timers.expired(Timer::Answer, now) {
            match self.phase {
                Phase::Candidate => self.attempt_failed("no answer in time".into(), now),
                Phase::Releasing => self.end_instance(),
                _ => {}
            }
        }
        if self.timers.expired(Timer::Stall, now) && self.phase == Phase::Coordinator {
            self.resign(self.best_peer(now), ResignCause::Stall, now);
        }
        self.act(now);
    }

    /// The node is to stop: the line is given back, then [`Action::Stopped`].
    pub fn handle_stop(&mut self, now: Time) {
        self.stopping = true;
        self.check_lease(now);
        match self.phase {
            Phase::Standby => self.stopped(now),
            Phase::Candidate => self.end_instance(),
            Phase::Coordinator => {
                let peer = self.best_peer(now);
                self.resign(peer, ResignCause::Stop, now);
            }
            _ => {}
        }
    }

    /// The operator wants another node to be coordinator, perhaps a certain one. Answers which
    /// one it will be.
    pub fn handle_handover(&mut self, to: Option<Name>, now: Time) -> Result<Name, HandoverError> {
        self.check_lease(now);
        match self.phase {
            Phase::Coordinator => {}
            Phase::Resigning { .. } | Phase::Releasing => return Err(HandoverError::Busy),
            _ => {
                let other = self.evidence.incumbent().filter(|n| **n != self.config.node);
                return Err(HandoverError::NotCoordinator(other.cloned()));
            }
        }
        let peer = match to {
            Some(to) => {
                let heard = self.alive(now).any(|m| m.heartbeat.node == to);
                if heard { to } else { return Err(HandoverError::NotHeard(to)) }
            }
            None => self.best_peer(now).ok_or(HandoverError::Nobody)?,
        };
        self.resign(Some(peer.clone()), ResignCause::Handover, now);
        Ok(peer)
    }

    // ---- the core tells the world

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The next frame for the terminal server. `now` is when it is handed to the socket.
    pub fn poll_frame(&mut self, now: Time) -> Option<Frame> {
        self.link.as_mut()?.poll_frame(now)
    }

    /// The next frame for the payload.
    pub fn poll_payload(&mut self) -> Option<Frame> {
        self.payload.pop_front()
    }

    /// Whether the payload's output may be read.
    pub fn wants_payload(&self) -> bool {
        self.link.as_ref().is_some_and(Link::wants_payload)
    }

    /// When [`Node::handle_timeout`] is to be called.
    pub fn poll_timeout(&self) -> Option<Time> {
        if self.phase == Phase::Stopped {
            return None;
        }
        let act = (self.phase == Phase::Standby && !self.stopping).then(|| self.act_at().0);
        earliest([act, self.timers.next(), self.link.as_ref().and_then(Link::poll_timeout)])
    }

    /// When the lease ends as things stand; the guard is told. `None`: there is no grant.
    pub fn lease_until(&self) -> Option<Time> {
        self.link.as_ref().and_then(Link::lease_until)
    }

    /// What this node is at the moment.
    pub fn role(&self) -> Role {
        match self.phase {
            Phase::Coordinator | Phase::Resigning { .. } => Role::Coordinator,
            Phase::Candidate => Role::Candidate,
            Phase::Standby | Phase::Releasing | Phase::Ending | Phase::Stopped => Role::Standby,
        }
    }

    /// The grant in force.
    pub fn epoch(&self) -> Option<Epoch> {
        self.link.as_ref().and_then(Link::epoch)
    }

    /// The highest epoch heard of.
    pub fn highest_epoch(&self) -> Epoch {
        self.evidence.highest()
    }

    /// What was counted.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The other nodes that are believed.
    pub fn members(&self) -> impl Iterator<Item = MemberView<'_>> {
        self.members.believed()
    }

    /// What the terminal server said last about the line.
    pub fn line_status(&self) -> Option<&wire::LineStatus> {
        self.evidence.status()
    }

    /// When a beacon was heard last.
    pub fn last_beacon(&self) -> Option<Time> {
        self.evidence.last_beacon()
    }

    /// What the node was told at its start.
    pub fn config(&self) -> &NodeConfig {
        &self.config
    }

    // ---- what happens inside

    /// The payload has `stall` from now on to take what was handed to it, if there is anything and
    /// the line is up.
    fn watch_stall(&mut self, now: Time) {
        if self.taken >= self.delivered || self.line_down {
            self.timers.clear(Timer::Stall);
        } else {
            self.timers.set(Timer::Stall, now + self.config.behaviour.stall);
        }
    }

    /// Claims the line if it is vacant and our turn has come.
    fn act(&mut self, now: Time) {
        if self.phase != Phase::Standby || self.stopping {
            return;
        }
        let (at, rank, cause) = self.act_at();
        if now < at {
            return;
        }
        self.phase = Phase::Candidate;
        self.counters.claims += 1;
        let patience = self.config.profile.lease.max(CLAIM_MIN);
        self.timers.set(Timer::Answer, now + patience);
        self.report(Occurrence::Claiming { rank, cause });
        self.actions.push_back(Action::StartInstance);
        self.beat(now);
    }

    /// When our turn comes, as things stand, with our rank and the vacancy's cause.
    fn act_at(&self) -> (Time, u32, Option<FreeCause>) {
        let profile = &self.config.profile;
        let coordinator = self.members.coordinator().map(|(_, epoch, heard)| (epoch, heard));
        let me = &self.config.node;
        let vacancy = self.evidence.vacancy(me, profile, coordinator, self.started);
        let rank = self.rank(vacancy.at);
        let at = vacancy.at + profile.stagger * rank;
        (at.max(self.not_before), rank, vacancy.cause)
    }

    /// Our rank for a vacancy at `at`, among those who are alive then.
    fn rank(&self, at: Time) -> u32 {
        let last_resort = at < self.connect_failed_until || at < self.held_down_until;
        let me = Standing {
            node: &self.config.node,
            priority: self.config.behaviour.priority,
            hears_beacons: self.evidence.hears_beacons(self.config.profile.lease, at),
            last_resort,
        };
        let others = self.members.alive(self.config.profile.dead_after, at);
        let others = others.map(|m| Standing::of(m.heartbeat));
        election::rank(me, others, self.evidence.status(), self.evidence.incumbent())
    }

    fn best_peer(&self, now: Time) -> Option<Name> {
        election::best(self.alive(now).map(|m| Standing::of(m.heartbeat))).cloned()
    }

    fn alive(&self, now: Time) -> impl Iterator<Item = MemberView<'_>> {
        self.members.alive(self.config.profile.dead_after, now)
    }

    fn member(&self, node: &Name) -> Option<MemberView<'_>> {
        self.members.believed().find(|m| m.heartbeat.node == *node)
    }

    fn report(&mut self, occurrence: Occurrence) {
        self.actions.push_back(Action::Report(occurrence));
    }

    /// Sends a heartbeat now; the next one is due an interval later.
    fn beat(&mut self, now: Time) {
        self.seq += 1;
        self.counters.heartbeats_sent += 1;
        self.last_heartbeat = now;
        self.timers.clear(Timer::Echo);
        self.timers.set(Timer::Heartbeat, now + self.config.profile.heartbeat);
        let (group, node) = (self.config.group.clone(), self.config.node.clone());
        let heartbeat = Heartbeat {
            role: self.role(),
            priority: self.config.behaviour.priority,
            hears_beacons: self.evidence.hears_beacons(self.config.profile.lease, now),
            connect_failed: now < self.connect_failed_until,
            held_down: now < self.held_down_until,
            leaving: self.stopping,
            epoch: self.evidence.highest(),
            digest: self.config.digest,
            peers: self.members.echoes(now),
            ..Heartbeat::new(group, node, self.config.boot, self.seq)
        };
        self.actions.push_back(Action::Heartbeat(heartbeat));
    }
}
