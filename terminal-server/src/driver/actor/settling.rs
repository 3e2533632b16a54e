//! What the core says is to be done.

use super::*;

impl Actor {
    /// Does all that the core has to say, so that the next `handle_*` may be called.
    pub(super) fn settle(&mut self) {
        loop {
            while let Some(action) = self.line.poll_action() {
                self.act(action);
            }
            self.keeping.settle(&self.name, &mut self.line);
            // Nothing else may come between a deed and what was read before it.
            let told = self.perform() || self.write_device() || self.send();
            if !told && !self.line.has_actions() {
                return;
            }
        }
    }

    pub(super) fn act(&mut self, action: Action) {
        match action {
            Action::Probe(id) => self.ask_for_probe(id),
            Action::Store(start) => self.store(start),
            Action::Finish(id) => {
                if let Some(peer) = self.peers.get(id) {
                    peer.finish();
                }
            }
            Action::Drop(id) => self.peers.remove(id),
            Action::Announce => {
                let now = now();
                let status = self.line.status(now);
                self.links.boards.post(&status, now);
                self.announced = true;
            }
            Action::Report(occurrence) => {
                if let Occurrence::Granted { .. } | Occurrence::Ended { .. } = &occurrence {
                    self.keeping.event(now(), || format!("{occurrence:?}"));
                }
                self.reporter.occurrence(&occurrence, self.about.as_ref(), now());
            }
        }
    }

    /// Begins what a client asked of the device, if it is time. Whether the core was told something
    /// by it.
    pub(super) fn perform(&mut self) -> bool {
        if self.doing.is_some() || !self.line.has_deeds() {
            return false;
        }
        let now = now();
        if let Some(count) = self.device.holds() {
            self.line.handle_port_holds(count, now);
        }
        let Some(deed) = self.line.poll_deed(now) else { return false };
        if deed.purge_input {
            for _ in 0..LAST_READS {
                if self.read_device_once() == 0 {
                    break;
                }
            }
        }
        match self.device.perform(deed) {
            Doing::Done(outcome) => self.done(Some(outcome)),
            Doing::Later(doing) => self.doing = Some(doing),
        }
        true
    }

    /// One write to the device. Whether the core was told something by it.
    pub(super) fn write_device(&mut self) -> bool {
        let now = now();
        if self.line.poll_serial(now).is_none() {
            return false;
        }
        if let Some(count) = self.device.holds() {
            self.line.handle_port_holds(count, now);
        }
        let position = self.line.written_to();
        let Some(bytes) = self.line.poll_serial(now) else { return true };
        match self.device.write(bytes) {
            Ok(None) => false,
            Ok(Some(count)) => {
                self.keeping.output(position, &bytes[..count], now);
                self.line.handle_written(count, now);
                true
            }
            Err(error) => {
                self.device_gone(&error);
                true
            }
        }
    }

    /// Sends to every client what it can take. Whether the core was told something by it.
    pub(super) fn send(&mut self) -> bool {
        let idle = !self.line.is_writing();
        let mut at = None;
        while let Some(id) = self.peers.after(at) {
            at = Some(id);
            if self.send_to(id).is_err() {
                if self.peers.get(id).is_some_and(Peer::stop_sending) {
                    continue;
                }
                tracing::debug!(line = %self.name, client = id, "broken");
                self.peers.remove(id);
                self.line.handle_closed(id, now());
                return true;
            }
        }
        // Replies that were taken may have let in what waited behind them.
        idle && self.line.is_writing()
    }

    pub(super) fn send_to(&mut self, id: ClientId) -> std::io::Result<()> {
        let now = now();
        let Some(peer) = self.peers.get(id) else { return Ok(()) };
        loop {
            peer.send()?;
            if !peer.is_sent() {
                return Ok(());
            }
            let mut more = false;
            while peer.has_room() {
                if peer.speaks_bytes() {
                    if !self.line.poll_bytes(id, peer.outbox(), SEND_AT_ONCE, now) {
                        break;
                    }
                } else {
                    let Some(frame) = self.line.poll_frame(id, now) else { break };
                    peer.push(&frame);
                }
                more = true;
            }
            if !more {
                return peer.close_sending();
            }
        }
    }

    pub(super) fn store(&mut self, start: u32) {
        // One at a time. Who needs a higher one asks again when this one is stored.
        if self.storing.is_some() {
            return;
        }
        let state = self.links.state.clone();
        self.storing = Some(tokio::task::spawn_blocking(move || {
            state.lock().unwrap_or_else(PoisonError::into_inner).raise(start)
        }));
    }
}

/// Bytes taken out of the ring for one client at once.
const SEND_AT_ONCE: usize = 16 * 1024;
