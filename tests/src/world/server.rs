//! The terminal server's driver, and the tty under it.

use std::collections::VecDeque;
use std::time::Duration;

use failover_node::core::{LOCK, LineId};
use rand::RngExt;
use terminal_server::core::{
    Action, Announcer, ClientKind, GroupKeys, Line, LineConfig, Occurrence, Saved, Start,
};
use wire::{Datagram, Epoch, ErrorCode, Frame, FreeCause, Nonce, Time};

use super::clock::{Clock, MS, True};
use super::network::{Connection, Segment};
use super::nodes::{group, line, number};
use super::oracle::Claimed;
use super::schedule::{Event, World};

/// The terminal server's host.
#[derive(Debug)]
pub struct ServerHost {
    /// Its clock.
    pub clock: Clock,
    /// The process, while it runs.
    pub process: Option<Process>,
    /// It is stopped: what comes waits in its buffers.
    pub paused: bool,
    /// Deadlines and answers of the disk that wait.
    pub inbox: VecDeque<Event>,
    /// The tty's input that the process has not read.
    pub tty: Vec<u8>,
    /// The adapter is there.
    pub plugged: bool,
    /// The process's descriptor is of the adapter that is there, not of one that has gone.
    pub fd_alive: bool,
    /// The disk: the start number, and what a clean stop left.
    start: u32,
    saved: Option<Vec<Saved>>,
    first: bool,
    wake: u64,
    wake_for: Option<Time>,
    stopping: bool,
    /// When it will be started again after a clean stop.
    restart_in: True,
}

/// A terminal server's cores.
#[derive(Debug)]
pub struct Process {
    /// The lines, the lock first.
    pub lines: Vec<Line>,
    announcer: Announcer,
}

impl ServerHost {
    /// A host whose terminal server has never run.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            process: None,
            paused: false,
            inbox: VecDeque::new(),
            tty: Vec::new(),
            plugged: true,
            fd_alive: true,
            start: 100,
            saved: None,
            first: true,
            wake: 0,
            wake_for: None,
            stopping: false,
            restart_in: 0,
        }
    }

    /// The disk shows again what it showed some starts ago.
    pub fn put_back(&mut self, starts: u32) {
        self.start = self.start.saturating_sub(starts);
    }
}

impl World {
    /// The terminal server's process starts.
    pub fn start_server(&mut self) {
        if self.server.process.is_some() {
            return;
        }
        let now = self.server_time();
        let host = &mut self.server;
        host.paused = false;
        host.stopping = false;
        host.inbox.clear();
        host.start += 1;
        let saved = host.saved.take();
        let unclean = saved.is_none() && !host.first;
        host.first = false;
        let mut saved = saved.unwrap_or_default().into_iter();
        let mut start_line = |which| {
            let config = LineConfig {
                groups: vec![GroupKeys { group: group(), keys: self.names.ring(0) }],
                frame_end: self.setting.frame_end,
                char_time: Duration::from_nanos(self.setting.char_time),
                ..LineConfig::new(line(which), "server".parse().expect("letters"))
            };
            Line::new(config, Start { number: host.start, saved: saved.next(), unclean }, now)
        };
        let mut lines: Vec<_> = (0..self.setting.lines).map(&mut start_line).collect();
        lines[LOCK].handle_device(host.plugged, now);
        host.fd_alive = host.plugged;
        let names = (group(), "server".parse().expect("letters"));
        let interval = Duration::from_millis(100);
        let statuses: Vec<_> = lines.iter().map(|line| line.status(now)).collect();
        let announcer = Announcer::new(names, host.start, interval, &statuses, now);
        host.process = Some(Process { lines, announcer });
        host.wake_for = None;
        let kept = self.kept();
        self.oracle.started(kept);
        self.drain_server(VecDeque::new());
        self.read_tty();
    }

    /// For which node the free line is kept, and until when by true time.
    fn kept(&self) -> Option<(usize, True)> {
        let status = self.server.process.as_ref()?.lines[LOCK].status(self.server_time());
        let node = status.reserved_for?;
        // The time left is told in whole milliseconds.
        Some((number(&node), self.now + True::from(status.left_ms.saturating_sub(1)) * MS))
    }

    /// The terminal server's process ends without a word; the kernel closes its sockets and
    /// throws the tty's input away.
    pub fn kill_server(&mut self) {
        if self.server.process.take().is_none() {
            return;
        }
        self.oracle.server_killed();
        self.server.tty.clear();
        self.server.paused = false;
        self.server.inbox.clear();
        self.close_all();
    }

    /// SIGTERM; it will be started again `restart_in` after it has ended.
    pub fn stop_server(&mut self, restart_in: True) {
        let now = self.server_time();
        self.server.restart_in = restart_in;
        self.server.stopping = true;
        if let Some(process) = &mut self.server.process {
            process.lines.iter_mut().for_each(|line| line.handle_stop(now));
            self.drain_server(VecDeque::new());
            self.finish_stop();
        }
    }

    fn finish_stop(&mut self) {
        if !self.server.stopping || self.server.paused {
            return;
        }
        let stopped = |p: &mut Process| p.lines.iter().all(Line::is_stopped);
        if let Some(mut process) = self.server.process.take_if(stopped) {
            self.server.saved = Some(process.lines.iter_mut().map(Line::save).collect());
            self.oracle.interrupted();
            self.server.stopping = false;
            self.close_all();
            self.at(self.now + self.server.restart_in, Event::StartServer);
        }
    }

    fn close_all(&mut self) {
        for conn in 0..self.connections.len() {
            self.connections[conn].unread.clear();
            if !self.connections[conn].server_closed {
                self.connections[conn].server_closed = true;
                self.send(conn, false, Segment::Fin);
            }
        }
    }

    /// A node connects: the kernel answers, even if the process is stopped.
    pub fn connect(&mut self, i: usize, line: LineId) {
        let server = self.nodes.len();
        let instance = self.nodes[i].lines[line].instance;
        let (there, back) = ((i, server), (server, i));
        if [there, back].iter().any(|(from, to)| self.network.cut.has(*from, *to)) {
            return;
        }
        let delays = [there, back].map(|(a, b)| self.network.segment_delay(a, b, &mut self.rng));
        let delay: True = delays.iter().sum();
        self.at(self.now + delay, Event::Syn(i, instance));
    }

    /// The connection is made, or refused.
    pub fn syn(&mut self, i: usize, instance: u64) {
        let conn = self.connections.len();
        // Whoever connected may not wait for it any more.
        let line = self.nodes[i].line_of(instance).unwrap_or(LOCK);
        if self.now < self.nodes[i].deceived_until {
            let mut connection = Connection::new(i, line);
            connection.impostor = true;
            connection.server_closed = true;
            self.connections.push(connection);
            return self.node_event(i, Event::Connected(i, instance, Ok(conn)));
        }
        if self.server.process.is_none() || self.server.stopping {
            return self.node_event(i, Event::Connected(i, instance, Err(())));
        }
        self.connections.push(Connection::new(i, line));
        self.open.push(conn);
        self.server_event(Event::Accept(conn));
        self.node_event(i, Event::Connected(i, instance, Ok(conn)));
    }

    /// A segment has arrived in the kernel; the process reads it a little later.
    pub fn arrived(&mut self, conn: usize, segment: Segment) {
        if self.connections[conn].impostor {
            return self.impostor_hears(conn, segment);
        }
        if self.server.process.is_none() || self.connections[conn].server_closed {
            if !matches!(segment, Segment::Fin) {
                self.send(conn, false, Segment::Fin);
            }
            return;
        }
        self.connections[conn].unread.push_back(segment);
        let at = self.now + self.rng.random_range(0..MS / 5);
        self.at(at, Event::ServerReads(conn));
    }

    /// An event for the terminal server: handled now, or when it runs again.
    pub fn server_event(&mut self, event: Event) {
        if self.server.process.is_none() {
            return;
        }
        if self.server.paused {
            self.server.inbox.push_back(event);
            return;
        }
        let now = self.server_time();
        let wake = self.server.wake;
        let Some(Process { lines, .. }) = &mut self.server.process else { return };
        match event {
            Event::ServerWake(w) if w != wake => return,
            Event::ServerWake(_) => {
                self.server.wake_for = None;
                // What it was set for may have moved since.
                let due = |line: &&mut Line| line.poll_timeout().is_some_and(|due| due <= now);
                lines.iter_mut().filter(due).for_each(|line| line.handle_timeout(now));
            }
            Event::Accept(conn) => {
                let nonce = Nonce([conn as u8 ^ 0x5a; 16]);
                let line = &mut lines[self.connections[conn].line];
                line.handle_connect(conn as u64, ClientKind::Line { nonce }, now);
            }
            Event::ServerReads(conn) => {
                self.read_segment(conn);
            }
            Event::Stored(start) => {
                lines.iter_mut().for_each(|line| line.handle_stored(start, now));
            }
            Event::Device(up) => {
                lines[LOCK].handle_device(up, now);
                self.server.fd_alive = up && self.server.plugged;
            }
            _ => return,
        }
        self.drain_server(VecDeque::new());
        self.finish_stop();
    }

    /// It goes on; deadlines come before or after what lies unread.
    pub fn resume_server(&mut self) {
        if !self.server.paused {
            return;
        }
        self.server.paused = false;
        self.server.wake += 1;
        self.server.wake_for = None;
        let wake = Event::ServerWake(self.server.wake);
        let mut events: Vec<_> = self.server.inbox.drain(..).collect();
        events.retain(|e| !matches!(e, Event::ServerWake(_)));
        let at = if self.rng.random_bool(0.7) { 0 } else { events.len() };
        events.insert(at, wake);
        for event in events {
            // A wake in this list is always meant.
            if let Event::ServerWake(w) = &event {
                self.server.wake = *w;
            }
            self.server_event(event);
        }
        self.read_tty();
        self.finish_stop();
    }

    /// Hands one unread segment to the core. Whether there was one.
    fn read_segment(&mut self, conn: usize) -> bool {
        let now = self.server_time();
        let Some(process) = &mut self.server.process else { return false };
        let line = &mut process.lines[self.connections[conn].line];
        match self.connections[conn].unread.pop_front() {
            Some(Segment::Frame(frame)) => {
                if let Frame::Claim(claim) = &frame {
                    self.connections[conn].seen = claim.seen;
                }
                line.handle_frame(conn as u64, frame, now);
            }
            Some(Segment::Fin) => {
                line.handle_closed(conn as u64, now);
                self.connections[conn].server_closed = true;
            }
            None => return false,
        }
        true
    }

    /// Everything the line has to say; one probe at a time, since each is a `handle_*` of its own.
    fn drain_server(&mut self, mut probes: VecDeque<usize>) {
        loop {
            self.drain_clients();
            self.drain_serial();
            let now = self.server_time();
            for line in 0..self.setting.lines {
                while let Some(process) = &mut self.server.process
                    && let Some(action) = process.lines[line].poll_action()
                {
                    self.server_action(line, action, &mut probes);
                }
            }
            let Some(conn) = probes.pop_front() else { break };
            if self.read_segment(conn) {
                probes.push_front(conn);
            } else if let Some(process) = &mut self.server.process {
                let line = &mut process.lines[self.connections[conn].line];
                line.handle_idle(conn as u64, now);
            }
        }
        self.send_beacons();
        self.schedule_server();
    }

    fn drain_clients(&mut self) {
        let now = self.server_time();
        let mut open = std::mem::take(&mut self.open);
        open.retain(|conn| !self.connections[*conn].server_closed);
        for conn in &open {
            let line = self.connections[*conn].line;
            while let Some(process) = &mut self.server.process
                && let Some(frame) = process.lines[line].poll_frame(*conn as u64, now)
            {
                self.connections[*conn].granted |= matches!(frame, Frame::Grant(_));
                self.send(*conn, false, Segment::Frame(frame));
            }
        }
        self.open = open;
    }

    fn drain_serial(&mut self) {
        let now = self.server_time();
        loop {
            let Some(process) = &mut self.server.process else { return };
            let line = &mut process.lines[LOCK];
            let Some(bytes) = line.poll_serial(now).filter(|_| self.server.fd_alive) else {
                return;
            };
            // A tty takes what it likes.
            let count = self.rng.random_range(1..=bytes.len());
            self.oracle.wire(&bytes[..count]);
            line.handle_written(count, now);
        }
    }

    fn server_action(&mut self, line: LineId, action: Action, probes: &mut VecDeque<usize>) {
        let now = self.server_time();
        match action {
            Action::Probe(id) => probes.push_back(id as usize),
            Action::Store(start) => {
                self.coverage.state("start number raised for a claim");
                self.server.start = self.server.start.max(start);
                if let Some(process) = &mut self.server.process {
                    process.announcer.handle_start(start);
                }
                self.at(self.now + 5 * MS, Event::Stored(start));
            }
            Action::Finish(id) => {
                self.drain_clients();
                self.send(id as usize, false, Segment::Fin);
            }
            Action::Drop(id) => {
                self.connections[id as usize].server_closed = true;
                self.send(id as usize, false, Segment::Fin);
            }
            Action::Announce => {
                if let Some(Process { lines, announcer }) = &mut self.server.process {
                    announcer.handle_status(lines[line].status(now), now);
                }
            }
            Action::Report(occurrence) => self.server_reports(line, occurrence),
        }
    }

    fn server_reports(&mut self, line: LineId, occurrence: Occurrence) {
        match occurrence {
            Occurrence::Granted { .. } if line != LOCK => {
                self.coverage.state("second line granted");
            }
            Occurrence::Ended { .. } if line != LOCK => {}
            Occurrence::Granted { node: Some(node), epoch, in_doubt } => {
                self.granted(number(&node), epoch);
                if in_doubt > 0 {
                    self.coverage.state("granted with input in doubt");
                }
            }
            Occurrence::Ended { cause, dropped, .. } => {
                let kept = self.kept();
                self.oracle.ended(kept);
                if dropped > 0 {
                    self.coverage.state("output dropped at the end of a grant");
                }
                if cause == FreeCause::Lease {
                    self.coverage.state("lease expired at the server");
                    let conn = self.last_holder();
                    let renew = |s: &Segment| matches!(s, Segment::Frame(Frame::Renew(_)));
                    let unread = conn.is_some_and(|c| self.connections[c].unread.iter().any(renew));
                    self.oracle.expired(unread);
                }
            }
            // A client whose host lost power is silent.
            Occurrence::Misuse { code, text } if code != ErrorCode::Slow => {
                self.oracle.fail(format!("the terminal server objects: {code:?}: {text}"));
            }
            _ => {}
        }
    }

    fn granted(&mut self, node: usize, epoch: Epoch) {
        let Some(holder) = self.holder(LOCK) else { return };
        let connection = &self.connections[holder];
        let dead = connection.unread.iter().any(|s| matches!(s, Segment::Fin));
        let seen = connection.seen;
        if self.oracle.mid_answer() {
            self.coverage.state("granted while an answer is being finished");
        }
        self.coverage.state("granted");
        self.oracle.granted(epoch, Claimed { node, seen, dead }, self.now);
    }

    /// The connection that has the line.
    pub fn holder(&self, line: LineId) -> Option<usize> {
        let process = self.server.process.as_ref()?;
        self.open.iter().copied().find(|conn| process.lines[line].is_holder(*conn as u64))
    }

    /// The connection of the last grant: the newest whose lease is known.
    fn last_holder(&self) -> Option<usize> {
        let lock = |c: &usize| self.connections[*c].granted && self.connections[*c].line == LOCK;
        self.open.iter().rev().copied().find(lock)
    }

    fn send_beacons(&mut self) {
        let now = self.server_time();
        let from = self.nodes.len();
        while let Some(beacon) =
            self.server.process.as_mut().and_then(|process| process.announcer.poll_beacon(now))
        {
            self.multicast(from, Datagram::Beacon(beacon));
        }
    }

    fn schedule_server(&mut self) {
        let Some(Process { lines, announcer }) = &self.server.process else { return };
        let first = lines.iter().filter_map(Line::poll_timeout).min();
        let deadline = wire::time::earliest([first, announcer.poll_timeout()]);
        let set = self.server.wake_for;
        // One that is set for too early is set again when it comes.
        if let Some(local) = deadline.filter(|at| set.is_none_or(|set| *at < set)) {
            self.server.wake += 1;
            self.server.wake_for = Some(local);
            let at = self.server.clock.true_time(local).max(self.now);
            let event = Event::ServerWake(self.server.wake);
            let at = at + self.rng.random_range(1..MS / 2);
            self.at(at, event);
        }
    }

    /// The adapter is pulled or put back; the process learns of it when it runs.
    pub fn plug(&mut self, plugged: bool) {
        if self.server.plugged != plugged {
            self.server.plugged = plugged;
            self.server.fd_alive = false;
            self.oracle.interrupted();
            // A process that was stopped sees that its device has gone, and then what is there by
            // now; adapters that came and went meanwhile it never had open.
            if self.server.paused {
                self.server.inbox.retain(|e| !matches!(e, Event::Device(_)));
                self.server.inbox.push_back(Event::Device(false));
            }
            self.server_event(Event::Device(plugged));
            self.read_tty();
        }
    }

    /// Bytes have come over the cable. The tty keeps them while the terminal server restarts, but
    /// nobody does after it was killed.
    pub fn serial_input(&mut self, number: u32, bytes: &[u8]) {
        let open = self.server.process.is_some() || self.server.saved.is_some();
        if open && self.server.plugged {
            self.server.tty.extend(bytes);
        } else {
            self.oracle.excuse(number);
        }
        self.read_tty();
    }

    fn read_tty(&mut self) {
        if self.server.paused || self.server.stopping {
            return;
        }
        let now = self.server_time();
        let Some(process) = &mut self.server.process else { return };
        let line = &mut process.lines[LOCK];
        if !self.server.tty.is_empty() && line.wants_input() {
            line.handle_input(&std::mem::take(&mut self.server.tty), now);
            self.drain_server(VecDeque::new());
        }
    }

    /// The terminal server's own clock, now.
    pub fn server_time(&self) -> Time {
        self.server.clock.local(self.now)
    }
}
