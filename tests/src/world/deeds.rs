//! How each fault is done.

use std::rc::Rc;
use std::time::Duration;

use failover_node::core::{Maintenance, Membership};
use rand::RngExt;
use wire::{Epoch, Role};

use super::clock::{MS, True};
use super::faults::{Fault, Whom};
use super::network::Ways;
use super::nodes::NodeHost;
use super::schedule::{Event, World};

impl World {
    /// It happens.
    pub fn apply(&mut self, fault: Fault) {
        // What must cost nothing can be judged only when somebody serves.
        let too_early = self.oracle.quiet && self.oracle.highest_granted() == Epoch::NONE;
        if self.healed || too_early {
            return;
        }
        self.coverage.fault(fault.word());
        let now = self.now;
        match fault {
            Fault::Kill(..)
            | Fault::PowerLoss(..)
            | Fault::Vanish(..)
            | Fault::Pause(..)
            | Fault::Suspend(..)
            | Fault::Stop(..)
            | Fault::Leave(_)
            | Fault::KillAll(_)
            | Fault::Busy(..)
            | Fault::Twin(..) => self.apply_to_node(fault),
            Fault::Maintenance(..) | Fault::Unfit(..) | Fault::Rebehave(_) | Fault::RollKey(_) => {
                self.tell_node(fault)
            }
            Fault::PayloadCrash
            | Fault::CrashLoop(_)
            | Fault::PayloadHang
            | Fault::PayloadStubborn
            | Fault::Handover => self.apply_to_coordinator(fault),
            Fault::PauseServer(_)
            | Fault::KillServer(_)
            | Fault::RestoreServer(..)
            | Fault::StopServer(_)
            | Fault::Unplug(_) => self.apply_to_server(fault),
            Fault::Replay(count) => self.replay(count),
            Fault::Strangers(long) => self.strangers(now + long),
            Fault::Impostor(whom, long) => {
                let i = self.target(whom);
                self.nodes[i].deceived_until = now + long;
            }
            _ => self.apply_to_network(fault),
        }
    }

    fn apply_to_node(&mut self, fault: Fault) {
        let now = self.now;
        match fault {
            Fault::Kill(whom, after) => self.end_node(whom, after, |w, i| w.kill_node(i, false)),
            Fault::PowerLoss(whom, after) => {
                self.end_node(whom, after, |w, i| w.kill_node(i, true));
            }
            Fault::Stop(whom, after) => self.end_node(whom, after, Self::stop_node),
            Fault::Vanish(whom, before, after) => {
                let i = self.target(whom);
                self.cut(self.around(i), before + after);
                self.at(now + before, Event::Fault(Fault::PowerLoss(Whom::Node(i), after)));
            }
            Fault::Leave(whom) => {
                let i = self.target(whom);
                self.nodes[i].away = self.nodes[i].runs();
                self.stop_node(i);
            }
            Fault::KillAll(after) => {
                for i in 0..self.setting.nodes {
                    self.end_node(Whom::Node(i), after, |w, i| w.kill_node(i, false));
                }
            }
            Fault::Pause(whom, long) => {
                let i = self.target(whom);
                if self.nodes[i].process.is_some() {
                    self.nodes[i].paused = true;
                    self.at(now + long, Event::ResumeNode(i));
                }
            }
            Fault::Suspend(whom, long) => {
                let i = self.target(whom);
                self.nodes[i].asleep = true;
                self.at(now + long, Event::WakeHost(i));
            }
            Fault::Busy(whom, late, long) => {
                let i = self.target(whom);
                self.nodes[i].busy = late;
                self.at(now + long, Event::EndBusy(i));
            }
            Fault::Twin(of, long) if self.setting.twin => {
                let twin = self.setting.nodes;
                if self.nodes[twin].process.is_none() {
                    self.nodes[twin].alias = of;
                    self.start_node(twin);
                    self.at(now + long, Event::EndTwin);
                }
            }
            _ => {}
        }
    }

    /// What an operator, or the check command, says to a node.
    fn tell_node(&mut self, fault: Fault) {
        match fault {
            Fault::Maintenance(whom, long) => {
                let length = Some(Duration::from_nanos(long));
                self.order(self.target(whom), Maintenance::On { length, force: false });
            }
            Fault::Unfit(whom, long) => {
                let i = self.target(whom);
                self.judge_health(i, false);
                self.at(self.now + long, Event::Fit(i));
            }
            Fault::Rebehave(whom) => {
                let i = self.target(whom);
                // Somebody must be left.
                if i > 0 {
                    self.rebehave(i);
                }
            }
            Fault::RollKey(i) if self.setting.rollover => {
                self.nodes[i].key ^= 1;
                let keys = self.names.ring(self.nodes[i].key);
                if let Some(node) = &mut self.nodes[i].process {
                    let digests = node.config().digests.clone();
                    node.handle_keys(keys, digests);
                }
            }
            _ => {}
        }
    }

    /// Maintenance begins, if somebody else can serve, or ends.
    pub(super) fn order(&mut self, i: usize, order: Maintenance) {
        let now = self.node_time(i);
        if !self.nodes[i].runs() {
            return;
        }
        if let Some(node) = &mut self.nodes[i].process {
            let role = node.role();
            match node.handle_maintenance(order, now) {
                Ok(Some(_)) => self.coverage.state("maintenance: handed over"),
                Ok(None) => {}
                Err(_) if node.role() == role => {
                    self.coverage.state("maintenance refused: nobody else");
                }
                Err(error) => self.oracle.fail(format!("node {i} refuses and goes: {error}")),
            }
            self.drain_node(i);
        }
    }

    /// The check command says whether the node is fit.
    pub(super) fn judge_health(&mut self, i: usize, fit: bool) {
        let now = self.node_time(i);
        if !self.nodes[i].runs() {
            return;
        }
        if let Some(node) = &mut self.nodes[i].process {
            node.handle_health(fit, now);
            self.drain_node(i);
        }
    }

    fn rebehave(&mut self, i: usize) {
        let now = self.node_time(i);
        let behaviour = &mut self.setting.behaviours[i];
        behaviour.membership = match behaviour.membership {
            Membership::Full => Membership::NeverCoordinator,
            _ => Membership::Full,
        };
        if let Some(node) = self.nodes[i].process.as_mut() {
            node.handle_behaviour(behaviour.clone(), now);
            self.drain_node(i);
        }
    }

    fn apply_to_coordinator(&mut self, fault: Fault) {
        let i = self.target(Whom::Coordinator);
        let line = self.rng.random_range(0..self.setting.lines);
        let of_line = &mut self.nodes[i].lines[line];
        let instance = of_line.instance;
        match fault {
            Fault::CrashLoop(long) => {
                self.nodes[i].crashing_until = self.now + long;
                self.guard_kills(i, instance);
            }
            Fault::PayloadCrash => self.guard_kills(i, instance),
            Fault::PayloadHang | Fault::PayloadStubborn => {
                if let Some(payload) = &mut of_line.payload {
                    payload.hangs |= matches!(fault, Fault::PayloadHang);
                    payload.stubborn |= matches!(fault, Fault::PayloadStubborn);
                }
            }
            _ => self.hand_over(i),
        }
    }

    fn apply_to_network(&mut self, fault: Fault) {
        let now = self.now;
        let server = self.nodes.len();
        // A fault names the terminal server as the host behind the last node.
        let host = |h: usize| if h < self.setting.nodes { h } else { server };
        match fault {
            Fault::CutOneWay(from, to, long) => self.cut(Ways::one(host(from), host(to)), long),
            Fault::Deaf(from, to, long) => self.deafen(Ways::one(host(from), host(to)), long),
            Fault::AllDeaf(long) => {
                let mut ways = Ways::default();
                for from in 0..server {
                    (0..server).for_each(|to| ways.add(from, to));
                }
                self.deafen(ways, long);
            }
            Fault::CutFromServer(whom, long) => {
                let i = self.target(whom);
                let mut ways = Ways::one(i, server);
                ways.add(server, i);
                self.cut(ways, long);
            }
            Fault::Partition(mask, long) => {
                let mut ways = Ways::default();
                for from in 0..=server {
                    for to in (0..=server).filter(|to| (mask >> from ^ mask >> to) & 1 == 1) {
                        ways.add(from, to);
                    }
                }
                self.cut(ways, long);
            }
            Fault::Loss(loss, long) => {
                self.network.loss = loss;
                self.at(now + long, Event::EndLoss);
            }
            Fault::Stalls(stalls, long) => {
                self.network.stalls = stalls;
                self.at(now + long, Event::EndStalls);
            }
            Fault::Slow(delay, long) => {
                self.network.jitter = delay;
                self.at(now + long, Event::EndSlow);
            }
            _ => {}
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
            Fault::RestoreServer(back, after) if running => {
                self.kill_server();
                self.server.put_back(back);
                self.oracle.state_put_back();
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

    fn end_node(&mut self, whom: Whom, after: True, end: impl FnOnce(&mut Self, usize)) {
        let i = self.target(whom);
        if self.nodes[i].process.is_some() {
            end(self, i);
            self.at(self.now + after, Event::StartNode(i));
        }
    }

    fn stop_node(&mut self, i: usize) {
        let now = self.node_time(i);
        if !self.nodes[i].runs() {
            return;
        }
        if let Some(node) = &mut self.nodes[i].process {
            node.handle_stop(now);
            self.drain_node(i);
        }
    }

    fn hand_over(&mut self, i: usize) {
        let now = self.node_time(i);
        if !self.nodes[i].runs() {
            return;
        }
        if let Some(node) = &mut self.nodes[i].process {
            if node.handle_handover(None, now).is_ok() {
                self.coverage.state("hand-over accepted");
            }
            self.drain_node(i);
        }
    }

    /// Who it is at this moment: the coordinator as it sees itself, or the first node.
    fn target(&self, whom: Whom) -> usize {
        let leads =
            |h: &NodeHost| h.process.as_ref().is_some_and(|n| n.role() == Role::Coordinator);
        let nodes = &self.nodes[..self.setting.nodes];
        match whom {
            Whom::Node(i) => i,
            Whom::Coordinator => nodes.iter().position(leads).unwrap_or(0),
            Whom::Standby(from) => {
                let count = nodes.len();
                let mut places = (from..from + count).map(|i| i % count);
                places.find(|i| !leads(&nodes[*i])).unwrap_or(from)
            }
        }
    }

    fn around(&self, i: usize) -> Ways {
        let mut ways = Ways::default();
        for other in (0..=self.nodes.len()).filter(|other| *other != i) {
            ways.add(i, other);
            ways.add(other, i);
        }
        ways
    }

    fn cut(&mut self, ways: Ways, long: True) {
        self.network.cut.join(ways);
        self.at(self.now + long, Event::EndCut(ways));
    }

    fn deafen(&mut self, ways: Ways, long: True) {
        self.network.deaf.join(ways);
        self.at(self.now + long, Event::EndDeaf(ways));
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
                self.at(at, Event::Datagram(to, Rc::clone(&datagram)));
            }
        }
    }
}
