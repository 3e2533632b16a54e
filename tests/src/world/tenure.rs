//! What a coordinator's host runs beside the node: the payload under its guard.

use failover_node::core::config::STOP_GRACE;
use failover_node::core::{LOCK, LineId, LinkEnd, MemberView, Membership, Occurrence, ResignCause};
use rand::RngExt;
use wire::{Frame, FreeCause, Grant, Guard, RefuseWhy, RevokeWhy, Role, Time, guard};

use super::billing::wants_answer;
use super::clock::MS;
use super::network::Segment;
use super::payload::{Payload, thinking};
use super::schedule::{Event, World};
use super::setting::Setting;

impl World {
    /// A frame on the payload's standard input.
    pub(super) fn hand_to_payload(&mut self, i: usize, line: LineId, frame: Frame) {
        let of_line = &mut self.nodes[i].lines[line];
        let running = of_line.payload.is_some();
        let Some(payload) = of_line.payload.as_mut().or(of_line.starting.as_mut()) else { return };
        let instance = payload.instance;
        let replies = payload.handle(frame);
        let start = self.now + if running { 0 } else { 3 * MS };
        let mut at = start.max(of_line.busy);
        for (reply, number) in replies {
            at += thinking(&mut self.rng);
            self.queue.push(at, Event::PayloadThinks(i, instance, reply, number));
        }
        of_line.busy = at;
    }

    pub(super) fn start_payload(&mut self, i: usize, line: LineId, grant: &Grant) {
        let until = self.lease_until(i, line).unwrap_or(Time::ZERO);
        let host = &mut self.nodes[i];
        let of_line = &mut host.lines[line];
        let mut payload = Payload::new(of_line.instance, host.alias, grant, until);
        payload.until = host.clock.true_time(until);
        let event = Event::PayloadStarts(i, payload.instance);
        of_line.starting = Some(payload);
        let at = self.now + self.rng.random_range(MS..3 * MS);
        self.at(at, event);
    }

    pub(super) fn stop_payload(&mut self, i: usize, line: LineId) {
        let of_line = &mut self.nodes[i].lines[line];
        of_line.starting = None;
        let event = Event::PayloadEnds(i, of_line.instance);
        let mut at = self.now.max(of_line.busy) + self.rng.random_range(MS / 10..5 * MS);
        if let Some(payload) = &mut of_line.payload {
            payload.stopping = true;
            if payload.stubborn {
                self.coverage.state("payload killed after its grace");
                at = self.now + Setting::span(STOP_GRACE);
            }
        }
        self.at(at, event);
    }

    pub(super) fn end_instance(&mut self, i: usize, line: LineId) {
        self.drain_frames(i, line);
        let of_line = &mut self.nodes[i].lines[line];
        of_line.payload = None;
        of_line.starting = None;
        let instance = of_line.instance;
        if let Some(conn) = of_line.connection.take() {
            self.send(conn, true, Segment::Fin);
        }
        let at = self.now + self.rng.random_range(MS / 10..3 * MS);
        self.at(at, Event::InstanceGone(i, instance));
    }

    fn lease_until(&self, i: usize, line: LineId) -> Option<Time> {
        self.nodes[i].process.as_ref().and_then(|n| n.lease_until(line))
    }

    /// The guard gets a tick whenever the lease has moved.
    pub(super) fn tell_guard(&mut self, i: usize, line: LineId) {
        let until = self.lease_until(i, line);
        let host = &mut self.nodes[i];
        let of_line = &mut host.lines[line];
        let Some(payload) = of_line.payload.as_mut().or(of_line.starting.as_mut()) else { return };
        if let Some(until) = until.filter(|u| *u != payload.lease_until) {
            payload.lease_until = until;
            payload.until = host.clock.true_time(until);
            let at = payload.until;
            let event = Event::GuardLooks(i, payload.instance);
            if let Some(conn) = of_line.connection {
                self.oracle.lease(i, at, self.connections[conn].may_write_until);
            }
            self.at(at.max(self.now) + MS / 10, event);
        }
    }

    /// The guard's own deadline has come: if the lease was not renewed, it kills the payload.
    pub fn guard_looks(&mut self, i: usize, instance: u64) {
        let now = self.node_time(i);
        let payload = self.nodes[i].line_with_payload(instance).and_then(|l| l.payload.as_ref());
        let due = payload.is_some_and(|p| p.lease_until <= now);
        if due && guard::on(Guard::GuardDeadline) {
            self.coverage.state("payload killed by its guard at the end of the lease");
            self.guard_kills(i, instance);
        }
    }

    /// The payload runs from now on, under its guard.
    pub fn payload_starts(&mut self, i: usize, instance: u64) {
        let crash = self.rng.random_range(0..60 * MS);
        let host = &mut self.nodes[i];
        let Some(line) = host.line_of(instance) else { return };
        let of_line = &mut host.lines[line];
        let Some(payload) = of_line.starting.take_if(|p| p.instance == instance) else { return };
        let at = payload.until.max(self.now) + MS / 10;
        of_line.payload = Some(payload);
        if self.now < host.crashing_until {
            self.at(self.now + crash, Event::GuardKills(i, instance));
        }
        self.at(at, Event::GuardLooks(i, instance));
    }

    /// The payload ends as it was told to.
    pub fn payload_ends(&mut self, i: usize, instance: u64) {
        let host = &mut self.nodes[i];
        if let Some(line) = host.line_of(instance) {
            host.lines[line].payload = None;
            self.node_event(i, Event::PayloadGone(i, instance));
        }
    }

    /// The payload has made up its mind about a record, and writes.
    pub fn payload_thinks(&mut self, i: usize, instance: u64, frame: Frame, number: u32) {
        if self.nodes[i].line_with_payload(instance).is_some() {
            if !wants_answer(number) {
                self.oracle.record_taken(number);
            }
            self.node_event(i, Event::PayloadWrites(i, instance, frame));
        }
    }

    /// The guard kills the payload, or it crashes; the node is told.
    pub fn guard_kills(&mut self, i: usize, instance: u64) {
        if let Some(of_line) = self.nodes[i].line_with_payload(instance) {
            of_line.payload = None;
            self.at(self.now + MS / 10, Event::PayloadGone(i, instance));
        }
    }

    /// I7: no payload outlives its lease, but where nothing runs at all.
    pub fn check_payloads(&mut self) {
        for (i, host) in self.nodes.iter().enumerate().filter(|(_, host)| !host.asleep) {
            for payload in host.lines.iter().filter_map(|line| line.payload.as_ref()) {
                let late = self.now.saturating_sub(payload.until.max(host.woke));
                self.oracle.payload_outlives(i, late);
            }
        }
    }

    /// What a node has to tell is counted, and its grants are compared with what was granted.
    pub(super) fn node_reports(&mut self, i: usize, line: Option<LineId>, occurrence: Occurrence) {
        if line.is_some_and(|line| line != LOCK) {
            return self.other_line_reports(i, &occurrence);
        }
        if let Err(text) = self.judge_duty(i, &occurrence) {
            self.oracle.fail(format!("node {i} {text}"));
        }
        let word = match occurrence {
            Occurrence::Claiming { cause, .. } => match cause {
                None => "claim after silence",
                Some(FreeCause::Restarted) => "claim after a restart of the server",
                Some(FreeCause::Reserved) => "claim after a reservation",
                Some(FreeCause::Closed) => "claim after a lost connection",
                Some(FreeCause::Lease) => "claim after an expired lease",
                Some(FreeCause::Released) => "claim after a release",
            },
            Occurrence::Granted { epoch, .. } => {
                self.oracle.believes_grant(self.nodes[i].alias, epoch);
                "granted, as the node sees it"
            }
            Occurrence::Refused { why, .. } => match why {
                RefuseWhy::Held => "refused: held",
                RefuseWhy::Reserved => "refused: reserved",
                RefuseWhy::Stopping => "refused: stopping",
                RefuseWhy::Storage => "refused: storage",
                RefuseWhy::Group | RefuseWhy::Mac => "refused: no key",
            },
            Occurrence::ConnectFailed { .. } => "attempt failed",
            Occurrence::Lost { end, .. } => self.lost_word(i, &end),
            Occurrence::Resigning { cause, .. } => match cause {
                ResignCause::Stop => "resigned: stop",
                ResignCause::Handover => "resigned: hand-over",
                ResignCause::PayloadCrashed => "resigned: payload crashed",
                ResignCause::RestartBudget => "resigned: restart budget",
                ResignCause::Stall => "resigned: stall",
                ResignCause::BadPayload => "resigned: bad payload",
                ResignCause::GateFailed => "resigned: gate failed",
                ResignCause::Unhealthy => "resigned: unhealthy",
                ResignCause::Maintenance => "resigned: maintenance",
                ResignCause::Barred => "resigned: barred",
                ResignCause::Preempted => "resigned: preempted",
                ResignCause::LineOutOfReach => "resigned: line out of reach",
            },
            Occurrence::BadPayload { error } => {
                return self.oracle.fail(format!("node {i} blames its payload: {error}"));
            }
            Occurrence::DuplicateName => "duplicate name noticed",
            _ => return,
        };
        self.coverage.state(word);
    }

    /// The other lines follow the first.
    fn other_line_reports(&mut self, i: usize, occurrence: &Occurrence) {
        let leads = self.nodes[i].process.as_ref().is_some_and(|n| n.role() == Role::Coordinator);
        match occurrence {
            Occurrence::Claiming { .. } if !leads => {
                self.oracle.fail(format!("node {i} claims another line and has not the first"));
            }
            Occurrence::Abandoned { .. } => self.coverage.state("second line lost with the first"),
            Occurrence::Released { .. } => self.coverage.state("second line given back"),
            _ => {}
        }
    }

    /// Nobody claims who must not, and nobody lets go for his own sake while nobody could do better.
    fn judge_duty(&self, i: usize, occurrence: &Occurrence) -> Result<(), &'static str> {
        let now = self.node_time(i);
        let Some(node) = &self.nodes[i].process else { return Ok(()) };
        let behaviour = &node.config().behaviour;
        match occurrence {
            Occurrence::Claiming { .. }
                if behaviour.membership != Membership::Full && !node.serves_on() =>
            {
                Err("claims and may never be coordinator")
            }
            Occurrence::Claiming { .. } if node.maintenance_left(now).is_some() => {
                Err("claims in maintenance")
            }
            Occurrence::Resigning { cause, reserve_for, .. } => {
                let able = |m: &MemberView<'_>| {
                    let heartbeat = m.heartbeat;
                    Some(&heartbeat.node) == reserve_for.as_ref()
                        && heartbeat.eligible()
                        && !heartbeat.last_resort()
                        && now.since(m.heard) < self.setting.profile.dead_after
                };
                let better = node.members().find(able);
                let for_better = matches!(
                    cause,
                    ResignCause::Unhealthy | ResignCause::Barred | ResignCause::RestartBudget
                );
                let higher = better.is_some_and(|m| m.heartbeat.priority > behaviour.priority);
                if for_better && better.is_none() {
                    return Err("resigns and nobody could do better");
                }
                if *cause == ResignCause::Preempted && !higher {
                    return Err("gives way to nobody of higher priority");
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn lost_word(&self, i: usize, end: &LinkEnd) -> &'static str {
        match end {
            LinkEnd::Revoked(RevokeWhy::Expired) if self.nodes[i].lines[LOCK].payload.is_some() => {
                "lost: revoked while the payload ran"
            }
            LinkEnd::Revoked(RevokeWhy::Stopping) => "lost: server stopping",
            LinkEnd::Revoked(_) => "lost: revoked",
            LinkEnd::Closed => "lost: connection closed",
            LinkEnd::LeaseExpired => "lost: lease over at the node first",
            LinkEnd::FalseServer => "lost: false server",
            _ => "lost: other",
        }
    }
}
