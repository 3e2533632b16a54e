//! When a coordinator lets go although it could go on: by an operator's word, for a better node,
//! or because of a difficulty of its own. Never when nobody else could do better.

use std::time::Duration;

use wire::{Guard, Name, Time, guard};

use super::{HandoverError, LOCK, LineId, Node, Occurrence, Phase, ResignCause, Timer};
use crate::core::config::{FLAP_WINDOW, HOLD_DOWN, LINE_PATIENCE, hold};
use crate::core::tenancy::Tenancy;

/// An operator's word about this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maintenance {
    /// It is not coordinator until then.
    On {
        /// For how long; `None`: until it is switched off.
        length: Option<Duration>,
        /// Also if nobody else could take the line.
        force: bool,
    },
    /// It may be coordinator again.
    Off,
}

impl Node {
    /// The node is to stop: the lines are given back, then [`super::Action::Stopped`].
    pub fn handle_stop(&mut self, now: Time) {
        self.stopping = true;
        self.check_lease(now);
        match self.lines[LOCK].phase {
            Phase::Candidate => self.end_instance(LOCK),
            Phase::Held | Phase::Resigning { .. } => {
                let peer = self.best_peer(now);
                self.rest(now);
                self.resign(peer, ResignCause::Stop, now);
            }
            _ => {}
        }
        if !self.lines[LOCK].is_held() {
            self.abandon_others(now);
        }
        self.stop_if_idle(now);
    }

    /// The operator wants another node to be coordinator, perhaps a certain one. Answers which
    /// one it will be.
    ///
    /// # Errors
    /// Nothing was changed.
    pub fn handle_handover(&mut self, to: Option<Name>, now: Time) -> Result<Name, HandoverError> {
        self.check_lease(now);
        match self.lines[LOCK].phase {
            Phase::Held => {}
            Phase::Resigning { .. } | Phase::Waiting { .. } | Phase::Releasing => {
                return Err(HandoverError::Busy);
            }
            _ => {
                let other = self.incumbent().filter(|n| **n != self.config.node);
                return Err(HandoverError::NotCoordinator(other.cloned()));
            }
        }
        let peer = match to {
            Some(to) => match self.alive(now).find(|m| m.heartbeat.node == to) {
                None => return Err(HandoverError::NotHeard(to)),
                Some(m) if !m.heartbeat.eligible() => return Err(HandoverError::Never(to)),
                Some(_) => to,
            },
            None => self.best_peer(now).ok_or(HandoverError::Nobody)?,
        };
        self.rest(now);
        self.resign(Some(peer.clone()), ResignCause::Handover, now);
        Ok(peer)
    }

    /// Maintenance begins or ends. Answers who takes the line over, if this node has it.
    ///
    /// # Errors
    /// This node has the line and nobody else could take it; nothing was changed.
    pub fn handle_maintenance(
        &mut self,
        order: Maintenance,
        now: Time,
    ) -> Result<Option<Name>, HandoverError> {
        self.check_lease(now);
        let Maintenance::On { length, force } = order else {
            self.end_maintenance(now);
            self.act(now);
            return Ok(None);
        };
        let serves = matches!(
            self.lines[LOCK].phase,
            Phase::Candidate | Phase::Held | Phase::Resigning { .. }
        );
        let serves = serves || self.keep_until.is_some();
        let peer = self.best_peer(now).filter(|_| serves);
        if serves && peer.is_none() && !force {
            return Err(HandoverError::Nobody);
        }
        let until = length.map(|length| now + length);
        self.maintenance_until = Some(until.unwrap_or(Time::NEVER));
        self.timers.clear(Timer::Maintenance);
        if let Some(until) = until {
            self.timers.set(Timer::Maintenance, until);
        }
        self.report(Occurrence::Maintenance { on: true, length });
        self.give_up_candidacy(now);
        self.resign(peer.clone(), ResignCause::Maintenance, now);
        self.beat(now);
        Ok(peer)
    }

    /// What is left of the maintenance; `Some(None)`: until it is switched off.
    pub fn maintenance_left(&self, now: Time) -> Option<Option<Duration>> {
        self.maintenance_until.map(|until| (until != Time::NEVER).then(|| until.since(now)))
    }

    pub(super) fn end_maintenance(&mut self, now: Time) {
        self.timers.clear(Timer::Maintenance);
        if self.maintenance_until.take().is_some() {
            self.report(Occurrence::Maintenance { on: false, length: None });
            self.beat(now);
        }
    }

    /// What the check command says of this node.
    pub fn handle_health(&mut self, fit: bool, now: Time) {
        self.check_lease(now);
        if self.fit != fit {
            self.fit = fit;
            self.report(Occurrence::Health { fit });
            self.beat(now);
        }
        self.reconsider(now);
        self.act(now);
    }

    /// A command that must succeed before the payload of a line starts has not: see
    /// [`super::Action::StartPayload`].
    pub fn handle_gate_failed(&mut self, line: LineId, now: Time) {
        self.check_lease(now);
        if self.is(line, &Phase::Held) {
            self.lines[line].count_crash(self.config.behaviour.restarts, now);
            self.difficulty(line, ResignCause::GateFailed, now);
        }
    }

    /// The payload breaks the protocol: another node's may do better, ours counts as crashed.
    pub(super) fn bad_payload(&mut self, line: LineId, error: String, now: Time) {
        if self.is(line, &Phase::Held) {
            self.report_of(line, Occurrence::BadPayload { error });
            self.lines[line].count_crash(self.config.behaviour.restarts, now);
            self.difficulty(line, ResignCause::BadPayload, now);
        }
    }

    /// A difficulty of this node with a line: somebody who could do better gets all lines, else
    /// the payload of this one is started again here.
    pub(super) fn difficulty(&mut self, line: LineId, cause: ResignCause, now: Time) {
        if self.lines[line].phase != Phase::Held {
            return;
        }
        match self.better_peer(now).filter(|_| self.may_resign()) {
            Some(peer) => {
                self.hold_down(now);
                self.resign(Some(peer), cause, now);
            }
            None => self.stop_payload(line, Some(self.config.node.clone()), cause, now),
        }
    }

    /// Whether a coordinator should let go, now that something is known of the others.
    pub(super) fn reconsider(&mut self, now: Time) {
        if self.lines[LOCK].phase != Phase::Held {
            return;
        }
        let barred = !self.is_eligible();
        if (barred || !self.fit)
            && let Some(peer) = self.successor(now)
        {
            if barred {
                self.rest(now);
                return self.resign(Some(peer), ResignCause::Barred, now);
            }
            self.hold_down(now);
            return self.resign(Some(peer), ResignCause::Unhealthy, now);
        }
        if let Some(peer) = self.preempting(now) {
            self.rest(now);
            return self.resign(Some(peer), ResignCause::Preempted, now);
        }
        let patience = LINE_PATIENCE.max(self.config.profile.lease * 10);
        let out_of_reach = |tenancy: &Tenancy| {
            tenancy.missed_since.is_some_and(|since| now.since(since) >= patience)
        };
        if self.lines[1..].iter().any(out_of_reach)
            && let Some(peer) = self.better_peer(now)
        {
            self.hold_down(now);
            self.resign(Some(peer), ResignCause::LineOutOfReach, now);
        }
    }

    /// A candidate that is not to lead any more stops to be one.
    pub(super) fn give_up_candidacy(&mut self, now: Time) {
        if self.lines[LOCK].phase == Phase::Candidate {
            self.end_instance(LOCK);
            self.lock_not_granted(LOCK, now);
        }
    }

    fn successor(&self, now: Time) -> Option<Name> {
        match guard::on(Guard::NeverNobody) {
            true => self.better_peer(now),
            false => Some(self.better_peer(now).unwrap_or_else(|| self.config.node.clone())),
        }
    }

    /// A node of higher priority that has been able for long enough, if that counts here.
    fn preempting(&self, now: Time) -> Option<Name> {
        let after = self.config.behaviour.preempt_after?;
        let better = |name: &Name| {
            self.member(name).is_some_and(|m| {
                m.heartbeat.priority > self.config.behaviour.priority
                    && m.able_since.is_some_and(|since| now.since(since) >= after)
            })
        };
        self.better_peer(now).filter(better)
    }

    /// A node that lost or gave up the line by a difficulty lets others go first, the longer the
    /// more often that happens. It is never kept from a line that nobody else takes.
    pub(super) fn hold_down(&mut self, now: Time) {
        self.losses.retain(|at| now.since(*at) < FLAP_WINDOW);
        let hold = hold(self.losses.len() as u32);
        if self.losses.len() == MOST_LOSSES {
            self.losses.pop_front();
        }
        self.losses.push_back(now);
        self.held_down_until = self.held_down_until.max(now + hold);
    }

    /// After a planned end: for a short while others go first, and it counts for nothing else.
    fn rest(&mut self, now: Time) {
        self.held_down_until = self.held_down_until.max(now + HOLD_DOWN);
    }
}

/// Six doublings of the hold-down are more than its maximum.
const MOST_LOSSES: usize = 6;
