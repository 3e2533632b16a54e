//! What runs around the payloads: hooks when the role changes, the check command, and the gate
//! between a grant and its payload.

use std::time::Duration;

use wire::{Epoch, Grant, Role};

use super::hooks::{Gate, HookCall, HookEvent};
use super::journal::cause_of;
use super::node_loop::{NodeLoop, Outcome, now};
use crate::component::instance::Payload;
use crate::component::message::Order;
use crate::core::{LOCK, LineId, Occurrence};

impl NodeLoop {
    /// A grant has come. The hooks before serving run once, for the first line; the payloads of
    /// all lines wait for them.
    pub(crate) fn payload_wanted(&mut self, line: LineId, grant: Grant) {
        if line == LOCK {
            self.served = grant.epoch;
            self.gate_open = self.options.hooks.before_serve.is_empty();
        }
        let epoch = grant.epoch;
        self.stations[line].gated = Some(grant);
        if self.gate_open {
            return self.pass_gate();
        }
        // Input that waits for the hooks is no sign of a stall.
        self.node.handle_payload_absent(line, true, now());
        if line == LOCK {
            self.call_hooks(HookEvent::BeforeServe, epoch);
        }
    }

    /// Every payload that waits may start.
    fn pass_gate(&mut self) {
        self.gate_open = true;
        for line in 0..self.stations.len() {
            if let Some(grant) = self.stations[line].gated.take() {
                self.node.handle_payload_absent(line, false, now());
                self.start_payload(line, grant);
            }
        }
    }

    pub(crate) fn gate_event(&mut self, gate: &Gate) {
        let waiting = self.stations[LOCK].gated.as_ref().map(|grant| grant.epoch);
        if waiting != Some(gate.epoch) {
            return;
        }
        if !gate.passed {
            self.stations[LOCK].gated = None;
            return self.node.handle_gate_failed(LOCK, now());
        }
        self.pass_gate();
    }

    /// The payload of a line is not to start any more.
    pub(crate) fn leave_gate(&mut self, line: LineId) {
        if line == LOCK {
            self.hooks.kill_gate(&self.options.lines[LOCK].line);
        }
        self.stations[line].gated = None;
    }

    fn start_payload(&mut self, line: LineId, grant: Grant) {
        let lease = self.node.lease_until(line);
        let station = &mut self.stations[line];
        let Some(instance) = station.instance.as_mut().filter(|i| i.is_guarded()) else {
            return self.outcomes.push_back((line, Outcome::PayloadGone));
        };
        station.epoch = grant.epoch;
        let epoch = grant.epoch.0;
        instance.payload = Payload::Running;
        instance.feed.begin(grant);
        instance.tell_lease(lease);
        instance.order(Order::Start(epoch));
    }

    /// The payload of the first line runs.
    pub(crate) fn serving(&mut self) {
        self.call_hooks(HookEvent::AfterServe, self.served);
    }

    /// The instance of the first line has gone, and the role with it if there was a grant.
    pub(crate) fn no_longer_serving(&mut self) {
        self.gate_open = false;
        let served = std::mem::replace(&mut self.served, Epoch::NONE);
        if served != Epoch::NONE {
            self.call_hooks(HookEvent::AfterStop, served);
        }
    }

    fn call_hooks(&mut self, event: HookEvent, epoch: Epoch) {
        self.hooks.push(HookCall {
            event,
            line: self.options.lines[LOCK].line.clone(),
            epoch,
            cause: self.cause.to_owned(),
            coordinator: self.node.incumbent().cloned(),
        });
    }

    /// Remembers why the role changes, for the hooks.
    pub(crate) fn note_cause(&mut self, line: Option<LineId>, occurrence: &Occurrence) {
        if line == Some(LOCK)
            && let Some(cause) = cause_of(occurrence)
        {
            self.cause = cause;
        }
    }

    pub(crate) fn show_role_to_check(&mut self) {
        self.check.set_coordinator(self.node.role() == Role::Coordinator);
    }

    /// The node has stopped: the hooks that are still to run do so, for a time.
    pub(crate) async fn finish_hooks(&mut self) {
        let limit = now() + HOOKS_AT_STOP;
        while self.hooks.is_busy() {
            if now() >= limit {
                tracing::error!(limit = ?HOOKS_AT_STOP, "hooks-cut-short");
                return;
            }
            if self.watchdog.is_some() {
                daemon::notify::watchdog();
            }
            let look = now() + HOOKS_LOOK;
            tokio::select! {
                _ = self.hooks.event() => {}
                () = self.timer.until(Some(look.since_boot())) => {}
            }
        }
    }
}

/// For hooks at a stop: what moves an address away must not be cut off, and a stop must end.
const HOOKS_AT_STOP: Duration = Duration::from_secs(60);
/// Between two looks whether the last hooks have ended.
const HOOKS_LOOK: Duration = Duration::from_millis(20);
