//! One node: it listens, ranks, claims, serves, and lets go.

use std::collections::VecDeque;
use std::time::Duration;

use wire::time::earliest;
use wire::{
    Beacon, Digests, Epoch, Frame, FreeCause, Guard, Heartbeat, KeyRing, LineStatus, Name, Nonce,
    Role, Time, guard,
};

use super::config::{Behaviour, Membership, NodeConfig};
use super::election::{self, Standing};
use super::link::{Link, LinkEnd, LinkEvent};
use super::members::{MemberView, Members, Unheard};
use super::successors::Successors;
use super::tenancy::{Phase, Tenancy, expired};
use super::timers::{Timer, Timers};

mod duty;
mod obstacle;
mod occurrence;
mod tenure;

pub use duty::Maintenance;
pub use obstacle::Obstacle;
pub use occurrence::{Action, Counters, HandoverError, LATE_BOUNDS_MS, Occurrence, ResignCause};

/// A claim that has no outcome by then has failed; at least this, however short the lease.
const CLAIM_MIN: Duration = Duration::from_millis(250);

/// Which of the group's lines, by its place in the configuration.
pub type LineId = usize;
/// The first line: whoever holds it is coordinator.
pub const LOCK: LineId = 0;

/// One node of a group.
///
/// Contract: the driver calls one `handle_*` with what happened, then drains
/// [`Node::poll_frame`], [`Node::poll_payload`] of each line and [`Node::poll_action`] before the
/// next. It calls [`Node::handle_timeout`] when [`Node::poll_timeout`] has come. `now` never goes
/// backwards.
#[derive(Debug)]
pub struct Node {
    config: NodeConfig,
    members: Members,
    /// One for each line, the lock first.
    lines: Vec<Tenancy>,
    successors: Successors,
    timers: Timers,
    actions: VecDeque<Action>,
    counters: Counters,
    started: Time,
    seq: u64,
    last_heartbeat: Time,
    connect_failed_until: Time,
    held_down_until: Time,
    /// Losses of the line by a difficulty of this node.
    losses: VecDeque<Time>,
    /// Not coordinator until then, by an operator's word.
    maintenance_until: Option<Time>,
    /// What the check command says.
    fit: bool,
    /// The lock was given back for our own payload's sake, and the other lines are kept until it
    /// is ours again, or until then.
    keep_until: Option<Time>,
    /// After which nothing more is claimed.
    stopping: bool,
    stopped: bool,
}

impl Node {
    /// A node that begins to listen.
    ///
    /// # Panics
    /// There is no line.
    pub fn new(config: NodeConfig, now: Time) -> Self {
        assert!(!config.lines.is_empty(), "a group has a line at least");
        let mut timers = Timers::default();
        timers.set(Timer::Heartbeat, now);
        // A node listens before it acts.
        let not_before = now + config.profile.heartbeat * 2;
        let tenancy = |line: &Name| Tenancy::new(line.clone(), not_before);
        Self {
            members: Members::new(config.node.clone(), config.boot, config.seed),
            lines: config.lines.iter().map(tenancy).collect(),
            successors: Successors::default(),
            timers,
            actions: VecDeque::new(),
            counters: Counters::default(),
            started: now,
            seq: 0,
            last_heartbeat: Time::ZERO,
            connect_failed_until: Time::ZERO,
            held_down_until: Time::ZERO,
            losses: VecDeque::new(),
            maintenance_until: None,
            fit: true,
            keep_until: None,
            stopping: false,
            stopped: false,
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
                // Another lock's epochs would raise the start number of ours.
                if self.config.digests.knows(digest) {
                    self.lines[LOCK].evidence.saw_epoch(epoch);
                }
                if !known {
                    self.report(Occurrence::MemberJoined(node.clone()));
                    if !self.config.digests.knows(digest) {
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
        self.reconsider(now);
        self.act(now);
    }

    /// A beacon with a right MAC has come.
    pub fn handle_beacon(&mut self, beacon: &Beacon, now: Time) {
        self.check_lease(now);
        let mut old = true;
        for line in &mut self.lines {
            let news = line.evidence.handle_beacon(beacon, now);
            old &= news.is_none();
            if news == Some(true) {
                line.forget_failures(now);
            }
        }
        match old {
            true => self.counters.beacons_old += 1,
            false => self.counters.beacons_heard += 1,
        }
        self.act(now);
    }

    /// The instance has connected to the terminal server; `nonce` was drawn for it.
    pub fn handle_connected(&mut self, line: LineId, nonce: Nonce, now: Time) {
        let c = &self.config;
        let Some(tenancy) = self.lines.get_mut(line) else { return };
        if tenancy.phase != Phase::Candidate {
            return;
        }
        tenancy.link = Some(Link::new(
            (c.group.clone(), c.node.clone(), c.boot),
            tenancy.line.clone(),
            c.keys.sender().clone(),
            nonce,
            tenancy.evidence.highest(),
            &c.profile,
        ));
        self.check_lease(now);
    }

    /// The instance could not start, or not connect.
    pub fn handle_connect_failed(&mut self, line: LineId, error: String, now: Time) {
        self.check_lease(now);
        if self.is(line, &Phase::Candidate) {
            self.attempt_failed(line, error, now);
        }
    }

    /// A frame has come from the terminal server.
    pub fn handle_frame(&mut self, line: LineId, frame: Frame, now: Time) {
        self.check_lease(now);
        let stall = self.config.behaviour.stall;
        let Some(tenancy) = self.lines.get_mut(line) else { return };
        let Some(link) = &mut tenancy.link else { return };
        match link.handle_frame(frame) {
            None | Some(LinkEvent::Renewed) => {}
            Some(LinkEvent::Granted(grant)) => self.granted(line, grant, now),
            Some(LinkEvent::Payload(frame)) => tenancy.deliver(frame, stall, now),
            Some(LinkEvent::Ended(end)) => self.link_ended(line, end, now),
        }
    }

    /// The connection to the terminal server has ended.
    pub fn handle_disconnected(&mut self, line: LineId, now: Time) {
        if self.lines.get(line).is_some_and(|tenancy| tenancy.link.is_some()) {
            self.link_ended(line, LinkEnd::Closed, now);
        }
    }

    /// The payload has sent a frame: ACK or OUTPUT.
    pub fn handle_payload(&mut self, line: LineId, frame: Frame, now: Time) {
        self.check_lease(now);
        let taken = match &frame {
            Frame::Ack(ack) => Some(ack.offset),
            Frame::Output(output) => output.ack,
            _ => None,
        };
        let stall = self.config.behaviour.stall;
        let Some(tenancy) = self.lines.get_mut(line) else { return };
        let Some(link) = &mut tenancy.link else { return };
        match link.handle_payload(frame) {
            Ok(()) => tenancy.take(taken.unwrap_or_default(), stall, now),
            Err(error) => self.bad_payload(line, error, now),
        }
    }

    /// The payload has sent what is no frame.
    pub fn handle_bad_payload(&mut self, line: LineId, error: String, now: Time) {
        self.bad_payload(line, error, now);
    }

    /// Nobody is there to take input, and nobody is missed; or somebody is there again.
    pub fn handle_payload_absent(&mut self, line: LineId, absent: bool, now: Time) {
        let stall = self.config.behaviour.stall;
        if let Some(tenancy) = self.lines.get_mut(line) {
            tenancy.set_absent(absent, stall, now);
        }
    }

    /// The payload and all its descendants are gone.
    pub fn handle_payload_gone(&mut self, line: LineId, now: Time) {
        self.check_lease(now);
        match self.lines.get(line).map(|tenancy| tenancy.phase.clone()) {
            Some(Phase::Resigning { reserve_for }) => self.payload_gone(line, reserve_for, now),
            Some(Phase::Held) => self.payload_crashed(line, now),
            _ => {}
        }
    }

    /// The instance has ended: no guard, no payload, no connection.
    pub fn handle_instance_gone(&mut self, line: LineId, now: Time) {
        let Some(tenancy) = self.lines.get_mut(line).filter(|t| t.phase == Phase::Ending) else {
            return;
        };
        tenancy.phase = Phase::Idle;
        if line == LOCK {
            self.beat(now);
        }
        self.release_lock_if_last(now);
        self.stop_if_idle(now);
        self.act(now);
    }

    /// The time that [`Node::poll_timeout`] named has come.
    pub fn handle_timeout(&mut self, now: Time) {
        if let Some(due) = self.poll_timeout().filter(|due| *due <= now && *due >= self.started) {
            self.counters.woke_late(now.since(due), self.config.profile.lease);
        }
        self.check_lease(now);
        if self.timers.expired(Timer::Heartbeat, now) | self.timers.expired(Timer::Echo, now) {
            self.beat(now);
        }
        if self.timers.expired(Timer::Maintenance, now) {
            self.end_maintenance(now);
        }
        for line in 0..self.lines.len() {
            if expired(&mut self.lines[line].answer_by, now) {
                match self.lines[line].phase {
                    Phase::Candidate => self.attempt_failed(line, "no answer in time".into(), now),
                    Phase::Releasing => self.end_instance(line),
                    Phase::Resigning { .. } => self.lost(line, LinkEnd::PayloadRemains, now),
                    // The others end as they can; this one's payload is gone.
                    Phase::Waiting { .. } => self.release_lock(now),
                    _ => {}
                }
            }
            if expired(&mut self.lines[line].stall_at, now) {
                self.difficulty(line, ResignCause::Stall, now);
            }
        }
        if expired(&mut self.keep_until, now) {
            self.abandon_others(now);
        }
        self.act(now);
    }

    /// From now on it behaves so.
    pub fn handle_behaviour(&mut self, behaviour: Behaviour, now: Time) {
        self.config.behaviour = behaviour;
        if !self.is_eligible() {
            self.give_up_candidacy(now);
        }
        self.reconsider(now);
        self.beat(now);
        self.act(now);
    }

    /// The group's keys from now on. What is granted stays granted.
    pub fn handle_keys(&mut self, keys: KeyRing, digests: Digests) {
        self.config.keys = keys;
        self.config.digests = digests;
    }

    // ---- the core tells the world

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The next frame for a line's terminal server. `now` is when it is handed to the socket.
    pub fn poll_frame(&mut self, line: LineId, now: Time) -> Option<Frame> {
        self.lines.get_mut(line)?.link.as_mut()?.poll_frame(now)
    }

    /// The next frame for a line's payload.
    pub fn poll_payload(&mut self, line: LineId) -> Option<Frame> {
        self.lines.get_mut(line)?.payload.pop_front()
    }

    /// Whether the output of a line's payload may be read.
    pub fn wants_payload(&self, line: LineId) -> bool {
        let link = self.lines.get(line).and_then(|tenancy| tenancy.link.as_ref());
        link.is_some_and(Link::wants_payload)
    }

    /// When [`Node::handle_timeout`] is to be called.
    pub fn poll_timeout(&self) -> Option<Time> {
        if self.stopped {
            return None;
        }
        let lines = self.lines.iter().filter_map(Tenancy::poll_timeout).min();
        let act = (0..self.lines.len()).filter_map(|line| self.claim_at(line)).min();
        earliest([act, lines, self.timers.next(), self.keep_until])
    }

    /// When the lease of a line ends as things stand; the guard is told. `None`: no grant.
    pub fn lease_until(&self, line: LineId) -> Option<Time> {
        self.lines.get(line)?.link.as_ref().and_then(Link::lease_until)
    }

    /// What this node is at the moment.
    pub fn role(&self) -> Role {
        match self.lines[LOCK].phase {
            Phase::Held | Phase::Resigning { .. } | Phase::Waiting { .. } => Role::Coordinator,
            Phase::Candidate => Role::Candidate,
            Phase::Idle | Phase::Releasing | Phase::Ending => Role::Standby,
        }
    }

    /// The grant in force of a line.
    pub fn epoch(&self, line: LineId) -> Option<Epoch> {
        self.lines.get(line)?.link.as_ref().and_then(Link::epoch)
    }

    /// The highest epoch heard of for a line.
    pub fn highest_epoch(&self, line: LineId) -> Epoch {
        self.lines.get(line).map_or(Epoch::NONE, |tenancy| tenancy.evidence.highest())
    }

    /// What was counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The other nodes that are believed.
    pub fn members(&self) -> impl Iterator<Item = MemberView<'_>> {
        self.members.believed()
    }

    /// What the terminal server said last about a line.
    pub fn line_status(&self, line: LineId) -> Option<&LineStatus> {
        self.lines.get(line)?.evidence.status()
    }

    /// When a beacon about a line was heard last.
    pub fn last_beacon(&self, line: LineId) -> Option<Time> {
        self.lines.get(line)?.evidence.last_beacon()
    }

    /// The last coordinator, as far as is known.
    pub fn incumbent(&self) -> Option<&Name> {
        self.lines[LOCK].evidence.incumbent()
    }

    /// What the node was told.
    pub fn config(&self) -> &NodeConfig {
        &self.config
    }

    // ---- what happens inside

    fn is(&self, line: LineId, phase: &Phase) -> bool {
        self.lines.get(line).is_some_and(|tenancy| tenancy.phase == *phase)
    }

    /// Claims each line that is vacant and whose turn has come.
    fn act(&mut self, now: Time) {
        for line in 0..self.lines.len() {
            if self.claim_at(line).is_some_and(|at| at <= now) {
                self.claim(line, now);
            }
        }
    }

    fn claim(&mut self, line: LineId, now: Time) {
        let (_, rank, cause) = self.turn(line);
        self.counters.claims += 1;
        let patience = self.config.profile.lease.max(CLAIM_MIN);
        let tenancy = &mut self.lines[line];
        tenancy.phase = Phase::Candidate;
        tenancy.answer_by = Some(now + patience);
        self.report_of(line, Occurrence::Claiming { rank, cause });
        self.actions.push_back(Action::StartInstance(line));
        if line == LOCK {
            self.beat(now);
        }
    }

    /// When this node claims the line as things stand. `None`: not as things stand.
    fn claim_at(&self, line: LineId) -> Option<Time> {
        let may = match line {
            LOCK => self.is_eligible() || self.serves_on(),
            _ => self.lines[LOCK].phase == Phase::Held,
        };
        (may && !self.stopping && self.lines[line].phase == Phase::Idle).then(|| self.turn(line).0)
    }

    /// When our turn comes, as things stand, with our rank and the vacancy's cause.
    fn turn(&self, line: LineId) -> (Time, u32, Option<FreeCause>) {
        let profile = &self.config.profile;
        let tenancy = &self.lines[line];
        let coordinator = match line {
            LOCK => self.members.coordinator(&self.config.digests),
            _ => None,
        };
        let vacancy =
            tenancy.evidence.vacancy(&self.config.node, profile, coordinator, self.started);
        // For the other lines nobody else may compete.
        let rank = if line == LOCK { self.rank(vacancy.at) } else { 0 };
        let at = vacancy.at + profile.stagger * rank;
        (at.max(tenancy.claims_from()), rank, vacancy.cause)
    }

    /// Whether this node may become coordinator at all.
    fn is_eligible(&self) -> bool {
        let may = self.config.behaviour.membership == Membership::Full;
        (may && self.maintenance_until.is_none()) || !guard::on(Guard::EligibleOnly)
    }

    /// Whether the line was given back only to start our own payload again: also a coordinator that
    /// is barred meanwhile does that, if nobody can relieve it.
    pub fn serves_on(&self) -> bool {
        self.keep_until.is_some() && self.maintenance_until.is_none()
    }

    /// Our rank for a vacancy at `at`, among those who are alive then.
    fn rank(&self, at: Time) -> u32 {
        let me = Standing {
            node: &self.config.node,
            priority: self.config.behaviour.priority,
            hears_beacons: self.hears_beacons(at),
            last_resort: at < self.connect_failed_until || at < self.held_down_until || !self.fit,
        };
        let lock = &self.lines[LOCK].evidence;
        election::rank(me, self.rivals(at), lock.status(), lock.incumbent())
    }

    fn hears_beacons(&self, at: Time) -> bool {
        self.lines[LOCK].evidence.hears_beacons(self.config.profile.lease, at)
    }

    /// Those who could take the line.
    fn rivals(&self, now: Time) -> impl Iterator<Item = Standing<'_>> {
        let able = |m: &MemberView<'_>| m.heartbeat.eligible();
        // A node of the release before knows of one line only.
        let several = self.lines.len() > 1;
        self.alive(now).filter(able).map(move |m| {
            let standing = Standing::of(m.heartbeat);
            let last_resort = standing.last_resort || several && m.heartbeat.speaks == 1;
            Standing { last_resort, ..standing }
        })
    }

    /// The best of those who could take the line.
    fn best_peer(&self, now: Time) -> Option<Name> {
        election::best(self.rivals(now)).cloned()
    }

    /// The best of those who could do better than a node in difficulty.
    fn better_peer(&self, now: Time) -> Option<Name> {
        let able = |s: &Standing<'_>| !s.last_resort && self.successors.may_have(s.node, now);
        election::best(self.rivals(now).filter(able)).cloned()
    }

    fn alive(&self, now: Time) -> impl Iterator<Item = MemberView<'_>> {
        self.members.alive(self.config.profile.dead_after, now)
    }

    fn member(&self, node: &Name) -> Option<MemberView<'_>> {
        self.members.believed().find(|m| m.heartbeat.node == *node)
    }

    fn report(&mut self, occurrence: Occurrence) {
        self.actions.push_back(Action::Report(None, occurrence));
    }

    fn report_of(&mut self, line: LineId, occurrence: Occurrence) {
        self.actions.push_back(Action::Report(Some(line), occurrence));
    }

    /// Sends a heartbeat now; the next one is due an interval later.
    fn beat(&mut self, now: Time) {
        self.seq += 1;
        self.counters.heartbeats_sent += 1;
        self.last_heartbeat = now;
        self.timers.clear(Timer::Echo);
        self.timers.set(Timer::Heartbeat, now + self.config.profile.heartbeat);
        let (group, node) = (self.config.group.clone(), self.config.node.clone());
        let Behaviour { priority, membership, .. } = self.config.behaviour;
        let heartbeat = Heartbeat {
            role: self.role(),
            priority,
            hears_beacons: self.hears_beacons(now),
            connect_failed: now < self.connect_failed_until,
            held_down: now < self.held_down_until,
            leaving: self.stopping,
            observer: membership == Membership::Observer,
            barred: membership == Membership::NeverCoordinator,
            maintenance: self.maintenance_until.is_some(),
            unhealthy: !self.fit,
            epoch: self.lines[LOCK].evidence.highest(),
            digest: self.config.digests.current,
            peers: self.members.echoes(now),
            ..Heartbeat::new(group, node, self.config.boot, self.seq)
        };
        let version_1 = self
            .members
            .hears_version_1(now)
            .then(|| heartbeat.for_version_1(self.config.digests.version_1));
        self.actions.push_back(Action::Heartbeat(heartbeat));
        // For nodes of the release before, as long as there are any.
        self.actions.extend(version_1.map(Action::Heartbeat));
    }
}
