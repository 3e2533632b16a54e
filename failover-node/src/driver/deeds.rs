//! What the core asks for, done; and what comes of it, told.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use daemon::notify;
use sys::process;
use wire::Time;

use super::connection::Connection;
use super::node_loop::{NodeLoop, Outcome, now};
use super::options::LineOptions;
use super::report;
use super::station::Station;
use crate::component::exec::{ENV_GROUP, ENV_LINE, ENV_NODE, ENV_ROLE};
use crate::component::framed::Said;
use crate::component::instance::{Instance, InstanceEvent, Payload};
use crate::component::message::{News, Order};
use crate::core::config::STOP_GRACE;
use crate::core::{Action, LOCK, LineId};

impl NodeLoop {
    /// After each event: everything that the core has to say, everything that comes of it, then
    /// all that can be written now.
    pub(crate) fn settle(&mut self) {
        for (line, station) in self.stations.iter_mut().enumerate() {
            if let Some(absent) = station.instance.as_mut().and_then(Instance::absence) {
                self.node.handle_payload_absent(line, absent, now());
            }
        }
        loop {
            self.drain();
            self.look_for_strays();
            let Some((line, outcome)) = self.outcomes.pop_front() else { break };
            match outcome {
                Outcome::InstanceFailed(why) => self.node.handle_connect_failed(line, why, now()),
                Outcome::PayloadGone => self.node.handle_payload_gone(line, now()),
                Outcome::InstanceGone => {
                    self.journal.instance_gone(&self.options.lines[line].line);
                    if line == LOCK {
                        self.no_longer_serving();
                    }
                    self.node.handle_instance_gone(line, now());
                }
            }
        }
        self.show();
        self.show_role_to_check();
        for line in 0..self.stations.len() {
            self.write(line);
        }
    }

    /// All that can be written now, to the guard, the payload and the terminal server of a line.
    fn write(&mut self, line: LineId) {
        let lease = self.node.lease_until(line);
        let Station { connection, instance, epoch, .. } = &mut self.stations[line];
        if let Some(instance) = instance {
            instance.tell_lease(lease);
            instance.feed.flush();
            while let Some(mark) = instance.feed.reached() {
                self.journal.reached(&self.options.lines[line].line, *epoch, mark);
            }
        }
        if let Some(open) = connection.open() {
            open.set_lease(lease);
            open.flush(now());
        }
    }

    /// The core's calling contract: all of its output, before the next thing it is told.
    pub(crate) fn drain(&mut self) {
        let now = now();
        for (line, station) in self.stations.iter_mut().enumerate() {
            while let Some(frame) = self.node.poll_frame(line, now) {
                if let Some(open) = station.connection.open() {
                    open.push(&frame);
                }
            }
            // What comes before the payload may run stays in the core, within the input window.
            while station.gated.is_none()
                && let Some(frame) = self.node.poll_payload(line)
            {
                let running = |i: &&mut Instance| i.payload == Payload::Running;
                if let Some(instance) = station.instance.as_mut().filter(running) {
                    instance.feed.push(&frame);
                }
            }
        }
        while let Some(action) = self.node.poll_action() {
            self.perform(action, now);
        }
        self.events.line(self.node.line_status(LOCK), now);
        self.events.role(self.node.role(), self.node.epoch(LOCK), now);
    }

    /// Tells the service manager when the node has become something else.
    fn show(&mut self) {
        let is = (self.node.role(), self.node.epoch(LOCK));
        if self.shown != Some(is) {
            self.shown = Some(is);
            notify::status(&report::headline(&self.node, now()));
        }
    }

    fn perform(&mut self, action: Action, now: Time) {
        match action {
            Action::Heartbeat(heartbeat) => self.heartbeats.send(heartbeat, now),
            Action::StartInstance(line) => self.start_instance(line),
            Action::StartPayload(line, grant) => self.payload_wanted(line, *grant),
            Action::StopPayload(line) => self.stop_payload(line, now),
            Action::EndInstance(line) => self.end_instance(line, now),
            Action::Stopped => self.stopped = true,
            Action::Report(line, occurrence) => {
                self.note_cause(line, &occurrence);
                if line.is_none_or(|line| line == LOCK) {
                    self.events.note(&occurrence);
                }
                let line = line.and_then(|line| self.options.lines.get(line)).map(|l| &l.line);
                self.journal.report(line, &occurrence);
            }
        }
    }

    /// The guard first: the instance is what a candidate has and a standby has not.
    fn start_instance(&mut self, line: LineId) {
        let options = &self.options;
        let LineOptions { line: name, terminal_server, payload } = &options.lines[line];
        let environment = [
            (ENV_LINE, name.as_str()),
            (ENV_NODE, options.node.as_str()),
            (ENV_GROUP, options.group.as_str()),
            (ENV_ROLE, "coordinator"),
        ];
        let Some(payload) = payload else {
            let why = "the line has no payload here".to_owned();
            return self.outcomes.push_back((line, Outcome::InstanceFailed(why)));
        };
        match Instance::start(payload, &environment) {
            Ok(instance) => {
                let station = &mut self.stations[line];
                station.instance = Some(instance);
                station.connection = Connection::start(terminal_server.clone());
            }
            Err(error) => {
                let why = format!("the guard could not be started: {error}");
                self.outcomes.push_back((line, Outcome::InstanceFailed(why)));
            }
        }
    }

    fn stop_payload(&mut self, line: LineId, now: Time) {
        self.leave_gate(line);
        match &mut self.stations[line].instance {
            Some(instance) if instance.payload == Payload::Running => {
                instance.feed.close_stdin();
                instance.order(Order::Stop(STOP_GRACE));
                instance.patience = Some(now + STOP_GRACE + PATIENCE);
            }
            Some(instance) if instance.payload == Payload::Gone => {}
            _ => self.outcomes.push_back((line, Outcome::PayloadGone)),
        }
    }

    fn end_instance(&mut self, line: LineId, now: Time) {
        self.leave_gate(line);
        let station = &mut self.stations[line];
        if let Some(open) = station.connection.open() {
            open.flush(now);
        }
        station.connection = Connection::None;
        let Some(instance) = &mut station.instance else {
            return self.outcomes.push_back((line, Outcome::InstanceGone));
        };
        instance.ending = true;
        instance.feed.close_stdin();
        instance.feed.close_stdout();
        instance.order(Order::Kill);
        if instance.is_guarded() {
            instance.patience = Some(now + PATIENCE);
        } else {
            self.strays_at = Some(now);
        }
    }

    pub(crate) fn instance_event(&mut self, line: LineId, event: InstanceEvent) {
        self.read_news(line);
        match event {
            InstanceEvent::Control => {}
            InstanceEvent::Payload => self.read_payload(line),
            InstanceEvent::GuardEnded(status) => {
                let Some(instance) = &mut self.stations[line].instance else { return };
                instance.guard_ended();
                instance.patience = None;
                // A guard that ends in order has left nothing behind.
                if status.as_ref().is_ok_and(ExitStatus::success) {
                    return self.unguarded(line);
                }
                if !instance.ending {
                    let status = status.map_or_else(|e| e.to_string(), |status| status.to_string());
                    tracing::error!(status, "guard-died");
                }
                self.strays_at = Some(now());
            }
        }
    }

    fn read_news(&mut self, line: LineId) {
        while let Some(news) = self.stations[line].instance.as_mut().and_then(Instance::news) {
            let (name, epoch) = (&self.options.lines[line].line, self.stations[line].epoch);
            match news {
                News::Started(pid) => {
                    self.journal.payload_started(name, epoch, pid);
                    if line == LOCK {
                        self.serving();
                    }
                }
                News::Failed(errno) => {
                    let error = io::Error::from_raw_os_error(errno);
                    tracing::error!(line = %name, %error, "payload-failed");
                }
                News::Remains { foreign } => {
                    tracing::error!(line = %name, foreign, "payload-not-killed");
                }
                News::Gone(ending) => {
                    self.journal.payload_gone(name, epoch, &ending.to_string());
                    self.payload_gone(line);
                }
            }
        }
    }

    /// Nothing of what the payload has sent is lost: it is read to the end first.
    fn payload_gone(&mut self, line: LineId) {
        let Some(instance) = &mut self.stations[line].instance else { return };
        if instance.payload != Payload::Running {
            return;
        }
        if !instance.ending {
            instance.patience = None;
        }
        instance.feed.read_rest();
        self.take_payload_frames(line);
        if let Some(instance) = &mut self.stations[line].instance {
            instance.payload = Payload::Gone;
        }
        self.outcomes.push_back((line, Outcome::PayloadGone));
    }

    fn read_payload(&mut self, line: LineId) {
        // It may have been woken up for writing only, when reading must wait.
        if !self.wants(line).payload {
            return;
        }
        let Some(instance) = &mut self.stations[line].instance else { return };
        if instance.feed.read() == Said::Some {
            self.take_payload_frames(line);
        }
    }

    fn take_payload_frames(&mut self, line: LineId) {
        while let Some(instance) = &mut self.stations[line].instance {
            match instance.feed.next_frame() {
                Ok(Some(frame)) => self.node.handle_payload(line, frame, now()),
                Ok(None) => return,
                Err(error) => self.node.handle_bad_payload(line, error, now()),
            }
            self.drain();
        }
    }

    /// A guard ends only when nothing of its payload is left; one that was killed may leave
    /// something. That is ended here, before the core hears that anything is gone (I7).
    fn look_for_strays(&mut self) {
        let now = now();
        if self.strays_at.is_none_or(|at| at > now) {
            return;
        }
        if self.options.own_process {
            let guards = self.stations.iter().filter_map(|station| station.instance.as_ref());
            let commands = [self.hooks.guard_pid(), self.check.guard_pid()];
            let keep = guards.filter_map(Instance::guard_pid).chain(commands.into_iter().flatten());
            let keep: Vec<u32> = keep.collect();
            let gone = process::kill_strays(&keep);
            if let Some(again) = self.strays_remain(gone, now) {
                self.strays_at = Some(again);
                return;
            }
        }
        self.strays_at = None;
        self.strays_told = false;
        for line in 0..self.stations.len() {
            self.unguarded(line);
        }
    }

    /// Of an instance whose guard has ended nothing is left.
    fn unguarded(&mut self, line: LineId) {
        let station = &mut self.stations[line];
        let Some(instance) = station.instance.as_ref().filter(|i| !i.is_guarded()) else { return };
        if instance.ending {
            station.instance = None;
            return self.outcomes.push_back((line, Outcome::InstanceGone));
        }
        match instance.payload {
            Payload::None => {
                let why = "the guard died".to_owned();
                self.outcomes.push_back((line, Outcome::InstanceFailed(why)));
            }
            Payload::Running => self.payload_gone(line),
            Payload::Gone => {}
        }
    }
}

impl NodeLoop {
    /// When what a killed guard left behind is to be looked for again; none: nothing is left that
    /// could do anything. What may not be killed must end by itself or by an operator's hand, who
    /// is told once. What was killed and stays, hanging in the kernel, will run no further
    /// instruction, and is not waited for without end.
    fn strays_remain(&mut self, gone: io::Result<bool>, now: Time) -> Option<Time> {
        let since = *self.strays_since.get_or_insert(now);
        match gone {
            Ok(true) => {}
            Ok(false) if now.since(since) < STRAYS_PATIENCE => return Some(now + STRAYS_AGAIN),
            Ok(false) => tracing::error!("payload-hangs-in-the-kernel"),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                if !std::mem::replace(&mut self.strays_told, true) {
                    tracing::error!(%error, "payload-not-killed");
                }
                return Some(now + FOREIGN_STRAYS_AGAIN);
            }
            Err(error) => {
                tracing::debug!(%error, "strays");
                return Some(now + STRAYS_AGAIN);
            }
        }
        self.strays_since = None;
        None
    }
}

/// A killed process that is still there by then hangs in the kernel.
const STRAYS_PATIENCE: Duration = Duration::from_secs(2);
/// A guard that has not obeyed by then is killed.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two looks for what a killed guard left behind.
const STRAYS_AGAIN: Duration = Duration::from_millis(5);
/// The same, for what belongs to another user.
const FOREIGN_STRAYS_AGAIN: Duration = Duration::from_millis(500);
