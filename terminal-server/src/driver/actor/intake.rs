//! What happened, told to the core.

use super::*;

impl Actor {
    pub(super) fn timer_is_due(&mut self) {
        let now = now();
        self.line.handle_timeout(now);
        self.settle();
        if let Some(beat) = self.links.watchdog.as_ref().filter(|_| self.watchdog_at <= now) {
            self.watchdog_at = now + beat.interval();
            beat.beat();
        }
        if self.device.retry_at().is_some_and(|at| at <= now) {
            self.opening = Some(self.device.retry());
        }
        if self.look_at.take_if(|at| *at <= now).is_some() {
            self.look_at_unread(now);
        }
    }

    /// What is not read at present says nothing when it breaks, so it is looked at now and then.
    fn look_at_unread(&mut self, now: Time) {
        let stuck = now.since(self.moved.1) > LINGER;
        let gone: Vec<_> = self.peers.unread(stuck).collect();
        for id in gone {
            self.closed(id);
        }
        let urgent = self.peers.iter().filter(|(_, peer)| peer.may_be_urgent());
        for id in urgent.map(|(id, _)| id).collect::<Vec<_>>() {
            if let Some(found) = self.peers.get(id).map(Peer::look_hard) {
                self.found(id, found);
            }
        }
        if !self.line.wants_input() && self.device.is_gone() {
            // It gives what it still has, and then the reason.
            self.read_device();
        }
    }

    pub(super) fn opened(&mut self, opened: Result<SerialPort, DeviceError>) {
        self.opening = None;
        let now = now();
        match self.device.opened(opened, now) {
            Ok(false) => {}
            Ok(true) => {
                report::device(&self.name, &self.device, None);
                self.keeping.event(now, || "up".to_owned());
                self.line.handle_device(true, now);
                self.first_look();
            }
            Err(error) => tracing::debug!(line = %self.name, %error, "not back yet"),
        }
    }

    pub(super) fn arrive(&mut self, arrival: Arrival) {
        if self.peers.len() >= self.line.max_clients() + SPARE_PEERS {
            self.turned_away += 1;
            return self.reporter.crowd(&arrival.address, now());
        }
        let Arrival { stream, address, kind, inbox, permit } = arrival;
        let id = self.next_id;
        self.next_id += 1;
        tracing::debug!(line = %self.name, client = id, peer = %address, "connected");
        self.about = Some(address.clone());
        self.peers.insert(id, Peer::new(stream, address, kind, inbox, now()).with(permit));
        self.line.handle_connect(id, kind, now());
        self.settle();
        self.let_lag(id);
        self.read_peer(id);
    }

    /// Reads the device for one turn at most. How much there was.
    pub(super) fn read_device(&mut self) -> usize {
        let mut all = 0;
        for _ in 0..DEVICE_TURN {
            let count = self.read_device_once();
            all += count;
            // After a short read nothing is left, most likely: the clients have it first.
            if count < DEVICE_READ {
                break;
            }
        }
        all
    }

    /// How much there was, at most [`DEVICE_READ`].
    pub(super) fn read_device_once(&mut self) -> usize {
        let mut buf = [0; DEVICE_READ];
        match self.device.read(&mut buf) {
            Ok(Some(count)) => {
                let (line, keeping, now) = (&mut self.line, &self.keeping, now());
                self.device.sort(&buf[..count], |found| match found {
                    device::Found::Bytes(bytes) => {
                        keeping.input(line.offsets().2, bytes, now);
                        line.handle_input(bytes, now);
                    }
                    device::Found::Event(kind) => {
                        keeping.event(now, || format!("{kind:?}"));
                        line.handle_event(kind, now);
                    }
                });
                count
            }
            Ok(None) => 0,
            Err(error) => {
                self.device_gone(&error);
                0
            }
        }
    }

    /// The device has just been opened: its wires may stand otherwise than we thought.
    pub(super) fn first_look(&mut self) {
        if let Some(signals) = self.device.signals() {
            let ours = self.line.condition().1.and(Signals::BREAK);
            self.line.handle_signals(signals | ours, now());
        }
    }

    pub(super) fn device_gone(&mut self, error: &PortError) {
        let now = now();
        self.keeping.event(now, || format!("down: {error}"));
        self.device.gone(error, now);
        report::device(&self.name, &self.device, Some(error));
        self.line.handle_device(false, now);
    }

    /// Reads a client's socket, for one turn at most.
    pub(super) fn read_peer(&mut self, id: ClientId) {
        let bulk = self.peers.get(id).is_some_and(|peer| peer.speaks_bytes());
        for _ in 0..if bulk { BULK_TURN } else { TURN } {
            let wanted = self.line.wants_bytes(id);
            let Some(peer) = self.peers.get(id) else { return };
            if !peer.may_read() || (peer.speaks_bytes() && !wanted) {
                return;
            }
            let found = peer.look();
            if matches!(found, Found::Idle) {
                return peer.set_more(false);
            }
            self.found(id, found);
        }
        if let Some(peer) = self.peers.get(id) {
            peer.set_more(true);
        }
    }

    /// Reads what lay in a client's socket when the core asked, or more.
    pub(super) fn probe(&mut self, id: ClientId, until: u64) {
        for _ in 0..TURN {
            let Some(peer) = self.peers.get(id) else { return };
            match peer.look_until(until) {
                Found::Idle => {
                    // What came after the question, if anything did, is looked at in its turn.
                    peer.set_more(true);
                    self.about = Some(peer.address().clone());
                    self.line.handle_idle(id, now());
                    return self.settle();
                }
                found => self.found(id, found),
            }
        }
        // The others have their turn before the rest of it.
        self.probes.push_back((id, until));
    }

    pub(super) fn ask_for_probe(&mut self, id: ClientId) {
        if let Some(peer) = self.peers.get(id)
            && !self.probes.iter().any(|(probed, _)| *probed == id)
        {
            let until = peer.most_received();
            self.probes.push_back((id, until));
        }
    }

    pub(super) fn found(&mut self, id: ClientId, found: Found) {
        let now = now();
        self.about = self.peers.get(id).map(|peer| peer.address().clone());
        let observe = matches!(found, Found::Frame(Frame::Observe(_)));
        match found {
            Found::Frame(frame) => self.line.handle_frame(id, frame, now),
            Found::Bytes(bytes) => {
                self.look_at.get_or_insert(now + LOOK);
                self.line.handle_bytes(id, bytes, now);
            }
            Found::Urgent => self.line.handle_urgent(id),
            Found::Bad(error) => self.line.handle_bad_frame(id, error, now),
            Found::Closed => return self.ended(id),
            Found::Part | Found::Idle => return,
        }
        self.settle();
        if observe {
            self.let_lag(id);
        }
    }

    /// An observer that may fall behind may also pause: only a peer that is gone is given up.
    pub(super) fn let_lag(&mut self, id: ClientId) {
        if self.line.may_lag(id)
            && let Some(peer) = self.peers.get(id)
            && let Err(error) = peer.wait_for_ever()
        {
            tracing::debug!(line = %self.name, client = id, %error, "cannot wait for an observer");
        }
    }

    /// Nothing more comes from a client. Of one that speaks bytes that is no more than the end of a
    /// file sent to the line: it has the line until that is written.
    pub(super) fn ended(&mut self, id: ClientId) {
        let writing = self.line.is_holder(id) && self.line.is_writing();
        match self.peers.get(id) {
            Some(peer) if peer.speaks_bytes() && writing => peer.hang_up_later(now() + LINGER),
            _ => self.closed(id),
        }
    }

    pub(super) fn closed(&mut self, id: ClientId) {
        tracing::debug!(line = %self.name, client = id, "closed");
        self.peers.remove(id);
        self.line.handle_closed(id, now());
        self.settle();
    }

    pub(super) fn stored(&mut self, stored: Result<u32, StateError>) {
        self.storing = None;
        match stored {
            Ok(start) => {
                self.links.boards.raise(start);
                self.line.handle_stored(start, now());
            }
            Err(error) => {
                report::store_failed(&self.name, &error);
                self.line.handle_store_failed(now());
            }
        }
    }

    pub(super) fn done(&mut self, outcome: Option<Outcome>) {
        self.doing = None;
        let (settings, signals) = self.line.condition();
        // A thread that broke changed nothing that we know of.
        let breaking = signals.has(Signals::BREAK);
        let outcome = outcome.unwrap_or(Outcome { settings, signals: None, breaking });
        if outcome.settings != settings {
            self.keeping.event(now(), || outcome.settings.to_string());
        }
        self.device.set(&outcome);
        self.line.handle_done(outcome, now());
    }
}

/// Frames, or pieces of them, taken from one client before the others have their turn.
const TURN: usize = 64;
/// The same of one that speaks bytes: each piece may be long, and full of telnet's commands.
const BULK_TURN: usize = 4;
/// Reads of the device before the clients have their turn.
const DEVICE_TURN: usize = 4;
/// One read of the device: all that its driver keeps.
const DEVICE_READ: usize = 4096;
/// Connections beyond the core's clients: they are told that the line is full. The rest is closed.
const SPARE_PEERS: usize = 16;
