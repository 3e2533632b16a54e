//! The terminal server's line and its tty.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use terminal_server::core::{
    Action, ClientId, ClientKind, GroupKeys, Line, LineConfig, Occurrence, Start,
};
use wire::{FreeCause, KeyRing, Name, Nonce, Time};

use super::setting::CHARACTER;
use crate::world::network::Segment;
use crate::world::nodes::{group, keys};

/// A terminal server with one line.
pub struct Port {
    name: Name,
    start: u32,
    line: Option<Line>,
    /// Clients that are connected, and what the line has for each.
    clients: BTreeMap<ClientId, VecDeque<Segment>>,
    tty: VecDeque<u8>,
    /// The first byte in it has arrived at the other end by then.
    arrives: Option<Duration>,
    /// The tty takes nothing.
    pub is_held_back: bool,
    /// Why grants have ended.
    pub ended: Vec<FreeCause>,
    /// Frames that were refused because their grant had ended, and those that had not begun when it
    /// did.
    pub stale: u64,
    /// See `stale`.
    pub dropped: usize,
    /// What clients did wrong.
    pub objections: Vec<String>,
    /// Input that came while no process was there.
    pub lost: u64,
    /// Grants given.
    pub granted: u64,
}

impl Port {
    /// A terminal server that starts for the first time.
    pub fn new(line: Name) -> Self {
        let mut port = Self {
            name: line,
            start: 100,
            line: None,
            clients: BTreeMap::new(),
            tty: VecDeque::new(),
            arrives: None,
            is_held_back: false,
            ended: Vec::new(),
            stale: 0,
            dropped: 0,
            objections: Vec::new(),
            lost: 0,
            granted: 0,
        };
        port.start(false, Duration::ZERO);
        port
    }

    /// The process starts.
    pub fn start(&mut self, unclean: bool, now: Duration) {
        self.start += 1;
        let [key, _] = keys();
        let config = LineConfig {
            groups: vec![GroupKeys { group: group(), keys: KeyRing::from(key) }],
            char_time: CHARACTER,
            ..LineConfig::new(self.name.clone(), "server".parse().expect("letters"))
        };
        let start = Start { number: self.start, saved: None, unclean };
        self.line = Some(Line::new(config, start, time(now)));
        self.drain(now);
    }

    /// The process ends without a word: the kernel closes its sockets and empties the tty.
    pub fn kill(&mut self) {
        self.stale += self.line.take().map_or(0, |line| line.counters().stale_output);
        self.tty.clear();
        (self.arrives, self.is_held_back) = (None, false);
        for queue in self.clients.values_mut() {
            queue.push_back(Segment::Fin);
        }
    }

    /// Output frames of ended grants that were refused on arrival.
    pub fn stale_output(&self) -> u64 {
        self.stale + self.line.as_ref().map_or(0, |line| line.counters().stale_output)
    }

    /// Whether a node may have the line.
    pub fn is_free(&self) -> bool {
        let holds = |line: &Line| self.clients.keys().any(|id| line.is_holder(*id));
        self.line.as_ref().is_some_and(|line| !holds(line))
    }

    /// Whether that client has the line.
    pub fn is_holder(&self, id: ClientId) -> bool {
        self.line.as_ref().is_some_and(|line| line.is_holder(id))
    }

    /// A client connects.
    pub fn connect(&mut self, id: ClientId, now: Duration) {
        self.clients.insert(id, VecDeque::new());
        let Some(line) = &mut self.line else { return };
        let nonce = Nonce([id as u8 ^ 0x5a; 16]);
        line.handle_connect(id, ClientKind::Line { nonce }, time(now));
        self.drain(now);
    }

    /// A segment has come from a client.
    pub fn handle_segment(&mut self, id: ClientId, segment: Segment, now: Duration) {
        let Some(line) = &mut self.line else { return };
        match segment {
            Segment::Frame(frame) => line.handle_frame(id, frame, time(now)),
            Segment::Fin => {
                line.handle_closed(id, time(now));
                self.clients.remove(&id);
                self.is_held_back = false;
            }
        }
        self.drain(now);
    }

    /// A byte has come over the cable.
    pub fn handle_byte(&mut self, byte: u8, now: Duration) {
        match &mut self.line {
            Some(line) => line.handle_input(&[byte], time(now)),
            None => self.lost += 1,
        }
        self.drain(now);
    }

    /// The byte that arrives at the other end now.
    pub fn poll_byte(&mut self, now: Duration) -> Option<u8> {
        if self.arrives.is_none_or(|at| at > now) {
            return None;
        }
        let byte = self.tty.pop_front();
        self.arrives = (!self.tty.is_empty()).then(|| now + CHARACTER);
        byte
    }

    /// Does what fell due.
    pub fn handle_timeout(&mut self, now: Duration) {
        let due = |line: &Line| line.poll_timeout().is_some_and(|due| due <= time(now));
        if self.line.as_ref().is_some_and(due) {
            if let Some(line) = &mut self.line {
                line.handle_timeout(time(now));
            }
            self.drain(now);
        }
    }

    /// When something happens here next.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let line = self.line.as_ref().and_then(Line::poll_timeout).map(Time::since_boot);
        [line, self.arrives].into_iter().flatten().min()
    }

    /// What the line has for a client.
    pub fn poll_segment(&mut self, id: ClientId) -> Option<Segment> {
        self.clients.get_mut(&id)?.pop_front()
    }

    /// Everything that the line has to say.
    fn drain(&mut self, now: Duration) {
        let at = time(now);
        loop {
            let Some(line) = &mut self.line else { return };
            for (id, queue) in &mut self.clients {
                while let Some(frame) = line.poll_frame(*id, at) {
                    queue.push_back(Segment::Frame(frame));
                }
            }
            while !self.is_held_back
                && let Some(bytes) = line.poll_serial(at)
            {
                let count = bytes.len();
                self.tty.extend(bytes);
                line.handle_written(count, at);
            }
            if !self.tty.is_empty() && self.arrives.is_none() {
                self.arrives = Some(now + CHARACTER);
            }
            let Some(action) = line.poll_action() else { return };
            self.act(action, at);
        }
    }

    fn act(&mut self, action: Action, at: Time) {
        let Some(line) = &mut self.line else { return };
        match action {
            // What a client has sent is handled when it comes: nothing lies unread.
            Action::Probe(id) => line.handle_idle(id, at),
            Action::Store(start) => {
                self.start = self.start.max(start);
                line.handle_stored(start, at);
            }
            Action::Finish(id) | Action::Drop(id) => {
                if let Some(queue) = self.clients.get_mut(&id) {
                    while let Some(frame) = line.poll_frame(id, at) {
                        queue.push_back(Segment::Frame(frame));
                    }
                    queue.push_back(Segment::Fin);
                }
            }
            Action::Report(Occurrence::Ended { cause, dropped, .. }) => {
                self.ended.push(cause);
                self.dropped += dropped;
            }
            Action::Report(Occurrence::Granted { .. }) => self.granted += 1,
            Action::Report(Occurrence::Misuse { code, text }) => {
                self.objections.push(format!("{code:?}: {text}"));
            }
            Action::Report(_) | Action::Announce => {}
        }
    }
}

fn time(now: Duration) -> Time {
    Time::from_boot(now)
}
