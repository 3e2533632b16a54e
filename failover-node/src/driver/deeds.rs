//! What the core asks for, done; and what comes of it, told.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use daemon::notify;
use sys::{boottime, process};
use wire::{Grant, Time};

use super::connection::Connection;
use super::node_loop::{NodeLoop, Outcome, now};
use super::report;
use crate::component::PayloadOptions;
use crate::component::exec::{ENV_GROUP, ENV_LINE, ENV_NODE, ENV_ROLE};
use crate::component::framed::Said;
use crate::component::instance::{Instance, InstanceEvent, Payload};
use crate::component::message::{Ending, News, Order};
use crate::core::Action;
use crate::core::config::STOP_GRACE;

impl NodeLoop {
    /// After each event: everything that the core has to say, everything that comes of it, then
    /// all that can be written now.
    pub(crate) fn settle(&mut self) {
        loop {
            self.drain();
            self.look_for_strays();
            match self.outcomes.pop_front() {
                Some(Outcome::InstanceFailed(why)) => self.node.handle_connect_failed(why, now()),
                Some(Outcome::PayloadGone) => self.node.handle_payload_gone(now()),
                Some(Outcome::InstanceGone) => {
                    tracing::info!("instance-gone");
                    self.node.handle_instance_gone(now());
                }
                None => break,
            }
        }
        self.show();
        let lease = self.node.lease_until();
        if let Some(instance) = &mut self.instance {
            instance.tell_lease(lease);
            instance.framed.flush();
            while let Some(mark) = instance.framed.reached() {
                self.journal.reached(mark);
            }
        }
        if let Some(open) = self.connection.open() {
            open.set_lease(lease);
            open.flush(now());
        }
    }

    /// The core's calling contract: all of its output, before the next thing it is told.
    pub(crate) fn drain(&mut self) {
        let now = now();
        while let Some(frame) = self.node.poll_frame(now) {
            if let Some(open) = self.connection.open() {
                open.push(&frame);
            }
        }
        while let Some(frame) = self.node.poll_payload() {
            if let Some(instance) = self.instance.as_mut().filter(|i| i.payload == Payload::Running)
            {
                instance.framed.push(&frame);
            }
        }
        while let Some(action) = self.node.poll_action() {
            self.perform(action, now);
        }
    }

    /// Tells the service manager when the node has become something else.
    fn show(&mut self) {
        let is = (self.node.role(), self.node.epoch());
        if self.shown != Some(is) {
            self.shown = Some(is);
            notify::status(&report::headline(&self.node, now()));
        }
    }

    fn perform(&mut self, action: Action, now: Time) {
        match action {
            Action::Heartbeat(heartbeat) => self.heartbeats.send(heartbeat, now),
            Action::StartInstance => self.start_instance(),
            Action::StartPayload(grant) => self.start_payload(*grant),
            Action::StopPayload => self.stop_payload(now),
            Action::EndInstance => self.end_instance(now),
            Action::Stopped => self.stopped = true,
            Action::Report(occurrence) => self.journal.report(&occurrence),
        }
    }

    /// The guard first: the instance is what a candidate has and a standby has not.
    fn start_instance(&mut self) {
        let options = &self.options;
        let environment = [
            (ENV_LINE, options.lines[0].line.as_str()),
            (ENV_NODE, options.node.as_str()),
            (ENV_GROUP, options.group.as_str()),
            (ENV_ROLE, "coordinator"),
        ];
        let Some(PayloadOptions::Exec(exec)) = &options.lines[0].payload else { return };
        match Instance::start(exec, &environment) {
            Ok(instance) => {
                self.instance = Some(instance);
                self.connection = Connection::start(options.lines[0].terminal_server.clone());
            }
            Err(error) => {
                let why = format!("the guard could not be started: {error}");
                self.outcomes.push_back(Outcome::InstanceFailed(why));
            }
        }
    }

    fn start_payload(&mut self, grant: Grant) {
        let lease = self.node.lease_until();
        let Some(instance) = self.instance.as_mut().filter(|i| i.is_guarded()) else {
            return self.outcomes.push_back(Outcome::PayloadGone);
        };
        self.journal.granted(grant.epoch);
        let epoch = grant.epoch.0;
        instance.payload = Payload::Running;
        instance.framed.begin(grant);
        instance.tell_lease(lease);
        instance.order(Order::Start(epoch));
    }

    fn stop_payload(&mut self, now: Time) {
        match &mut self.instance {
            Some(instance) if instance.payload == Payload::Running => {
                instance.framed.close_stdin();
                instance.order(Order::Stop(STOP_GRACE));
                instance.patience = Some(now + STOP_GRACE + PATIENCE);
            }
            Some(instance) if instance.payload == Payload::Gone => {}
            _ => self.outcomes.push_back(Outcome::PayloadGone),
        }
    }

    fn end_instance(&mut self, now: Time) {
        if let Some(open) = self.connection.open() {
            open.flush(now);
        }
        self.connection = Connection::None;
        let Some(instance) = &mut self.instance else {
            return self.outcomes.push_back(Outcome::InstanceGone);
        };
        instance.ending = true;
        instance.framed.close_stdin();
        instance.framed.close_stdout();
        instance.order(Order::Kill);
        if instance.is_guarded() {
            instance.patience = Some(now + PATIENCE);
        } else {
            self.strays_at = Some(now);
        }
    }

    pub(crate) fn instance_event(&mut self, event: InstanceEvent) {
        self.read_news();
        match event {
            InstanceEvent::Control => {}
            InstanceEvent::Payload => self.read_payload(),
            InstanceEvent::GuardEnded(status) => {
                let Some(instance) = &mut self.instance else { return };
                instance.guard_ended();
                instance.patience = None;
                if !instance.ending {
                    let status = status.map_or_else(|e| e.to_string(), |status| status.to_string());
                    tracing::error!(status, "guard-died");
                }
                self.strays_at = Some(now());
            }
        }
    }

    fn read_news(&mut self) {
        while let Some(news) = self.instance.as_mut().and_then(Instance::news) {
            match news {
                News::Started(pid) => self.journal.payload_started(pid),
                News::Failed(errno) => {
                    let error = io::Error::from_raw_os_error(errno);
                    tracing::error!(%error, "payload-failed");
                }
                News::Gone(ending) => {
                    self.journal.payload_gone(&match ending {
                        Ending::Status(raw) => ExitStatus::from_raw(raw).to_string(),
                        Ending::NeverRan => "never ran".to_owned(),
                    });
                    self.payload_gone();
                }
            }
        }
    }

    /// Nothing of what the payload has sent is lost: it is read to the end first.
    fn payload_gone(&mut self) {
        let Some(instance) = &mut self.instance else { return };
        if instance.payload != Payload::Running {
            return;
        }
        if !instance.ending {
            instance.patience = None;
        }
        instance.framed.read_rest();
        self.take_payload_frames();
        if let Some(instance) = &mut self.instance {
            instance.payload = Payload::Gone;
        }
        self.outcomes.push_back(Outcome::PayloadGone);
    }

    fn read_payload(&mut self) {
        // It may have been woken up for writing only, when reading must wait.
        if !self.wants_payload() {
            return;
        }
        let Some(instance) = &mut self.instance else { return };
        if instance.framed.read() == Said::Some {
            self.take_payload_frames();
        }
    }

    fn take_payload_frames(&mut self) {
        while let Some(instance) = &mut self.instance {
            match instance.framed.next_frame() {
                Ok(Some(frame)) => self.node.handle_payload(frame, now()),
                Ok(None) => return,
                Err(error) => self.node.handle_bad_payload(error, now()),
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
            // With a deadline that has come already it kills and reaps once, and waits for nothing.
            if let Err(error) = process::kill_descendants_until_none(boottime()) {
                self.strays_at = Some(now + self.strays_remain(&error));
                return;
            }
        }
        self.strays_at = None;
        self.strays_told = false;
        let Some(instance) = &mut self.instance else { return };
        if instance.ending {
            self.instance = None;
            self.outcomes.push_back(Outcome::InstanceGone);
        } else if instance.payload == Payload::None {
            let why = "the guard died".to_owned();
            self.outcomes.push_back(Outcome::InstanceFailed(why));
        } else {
            self.payload_gone();
        }
    }
}

impl NodeLoop {
    /// After how long what a killed guard left behind is looked for again. What may not be killed
    /// must end by itself or by an operator's hand, who is told once.
    fn strays_remain(&mut self, error: &io::Error) -> Duration {
        if error.kind() != io::ErrorKind::PermissionDenied {
            tracing::debug!(%error, "strays");
            return STRAYS_AGAIN;
        }
        if !std::mem::replace(&mut self.strays_told, true) {
            tracing::error!(%error, "payload-not-killed");
        }
        FOREIGN_STRAYS_AGAIN
    }
}

/// A guard that has not obeyed by then is killed.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two looks for what a killed guard left behind.
const STRAYS_AGAIN: Duration = Duration::from_millis(5);
/// The same, for what belongs to another user.
const FOREIGN_STRAYS_AGAIN: Duration = Duration::from_millis(500);
