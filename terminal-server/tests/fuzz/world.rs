//! A line, and what must be true of it whatever happens.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use terminal_server::core::{
    Action, ClientId, ClientKind, Deed, FrameEnd, GroupKeys, Line, LineConfig, ObserverLag, OnBusy,
    Outcome, Packing, Start,
};
use wire::handshake::Transcript;
use wire::{Frame, Hello, Key, Nonce, Signals, Time};

/// Does what the driver does, and watches.
pub(crate) struct World {
    pub(crate) line: Line,
    pub(crate) now: Time,
    pub(crate) clients: BTreeMap<ClientId, Peer>,
    /// Bytes that the tty still takes.
    pub(crate) tty_takes: usize,
    /// Deeds wait for [`World::done`].
    pub(crate) busy: bool,
    pub(crate) doing: Option<Deed>,
    pub(crate) probes: VecDeque<ClientId>,
    /// Sockets are read to the end at once when the core asks.
    prompt: bool,
    ring: usize,
    settings: wire::LineSettings,
    next: ClientId,
    /// All that was read from the line.
    input: Vec<u8>,
    /// All that holders sent, in order, with whatever was not for the tty.
    sent: Vec<u8>,
    /// For each byte on the tty its place in `sent`, as early as can be.
    matched: Vec<usize>,
    /// Where the next byte's place is looked for.
    place: usize,
}

/// A client, seen from outside.
#[derive(Default)]
pub(crate) struct Peer {
    pub(crate) hello: Option<Hello>,
    pub(crate) transcript: Option<Transcript>,
    /// It takes nothing that it is sent.
    pub(crate) blocked: bool,
    /// It sent what is no frame.
    pub(crate) deaf: bool,
    /// The highest offset of input that it was sent.
    pub(crate) seen: u64,
}

pub(crate) fn key() -> Key {
    Key::new(0, *b"0123456789abcdef0123456789abcdef")
}

/// A line of the kind that these bytes say.
fn config(a: u8, b: u8) -> LineConfig {
    let bit = |byte: u8, n: u8| byte >> n & 1 == 1;
    let groups = vec![GroupKeys { group: "crew".parse().unwrap(), keys: key().into() }];
    let packing = Packing {
        idle: bit(b, 0).then_some(Duration::from_millis(5)),
        longest: bit(b, 1).then_some(Duration::from_millis(20)),
        delimiter: bit(b, 2).then_some(b'\r'),
        length: bit(b, 3).then_some(7),
    };
    let base = LineConfig::new("pms".parse().unwrap(), "ts".parse().unwrap());
    LineConfig {
        groups: if bit(a, 0) { groups } else { Vec::new() },
        raw_may_hold: bit(a, 1),
        on_busy: [OnBusy::Refuse, OnBusy::Replace, OnBusy::Observe][usize::from(a >> 2 & 3) % 3],
        observer_lag: if bit(a, 4) { ObserverLag::Close } else { ObserverLag::Skip },
        pace: bit(a, 5),
        frame_end: if bit(a, 6) { FrameEnd::Cut } else { FrameEnd::Finish },
        flow_control: bit(a, 7),
        packing: if bit(b, 0) || bit(b, 1) { packing } else { Packing::default() },
        spool: bit(b, 4),
        char_delay: Duration::from_micros(if bit(b, 5) { 700 } else { 0 }),
        on_attach: wire::SignalChange { dtr: bit(b, 6).then_some(true), ..Default::default() },
        char_time: Duration::from_millis(1),
        ring: 4096,
        history: 256,
        max_clients: 6,
        ..base
    }
}

impl World {
    /// Two bytes choose the kind of line; a third whether sockets are read promptly.
    pub(crate) fn new(choice: &[u8]) -> Self {
        let at = |n: usize| choice.get(n).copied().unwrap_or_default();
        let config = config(at(0), at(1));
        let now = Time::ZERO + Duration::from_secs(1000);
        let (ring, settings) = (config.ring, config.settings);
        let start = Start { number: 7, saved: None, unclean: at(2) & 2 == 2 };
        let mut world = Self {
            line: Line::new(config, start, now),
            now,
            clients: BTreeMap::new(),
            tty_takes: usize::MAX,
            busy: false,
            doing: None,
            probes: VecDeque::new(),
            prompt: at(2) & 1 == 0,
            ring,
            settings,
            next: 1,
            input: Vec::new(),
            sent: Vec::new(),
            matched: Vec::new(),
            place: 0,
        };
        world.settle();
        world
    }

    pub(crate) fn connect(&mut self, kind: ClientKind) -> ClientId {
        let id = self.next;
        self.next += 1;
        self.clients.insert(id, Peer::default());
        self.line.handle_connect(id, kind, self.now);
        self.settle();
        id
    }

    pub(crate) fn connect_line(&mut self) -> ClientId {
        self.connect(ClientKind::Line { nonce: Nonce([self.next as u8; 16]) })
    }

    pub(crate) fn frame(&mut self, id: ClientId, frame: Frame) {
        if self.clients.get(&id).is_none_or(|peer| peer.deaf) {
            return;
        }
        if let (Frame::Output(output), true) = (&frame, self.line.is_holder(id)) {
            self.sent.extend_from_slice(&output.bytes);
        }
        if let Frame::Hello(hello) = &frame
            && let Some(peer) = self.clients.get_mut(&id)
        {
            peer.hello.get_or_insert_with(|| hello.clone());
        }
        self.line.handle_frame(id, frame, self.now);
        self.settle();
    }

    pub(crate) fn bytes(&mut self, id: ClientId, bytes: &[u8]) {
        if bytes.is_empty() || !self.line.wants_bytes(id) {
            return;
        }
        if self.line.is_holder(id) {
            self.sent.extend_from_slice(bytes);
        }
        self.line.handle_bytes(id, Bytes::copy_from_slice(bytes), self.now);
        self.settle();
    }

    pub(crate) fn input(&mut self, bytes: &[u8]) {
        if self.line.wants_input() && !bytes.is_empty() {
            self.input.extend_from_slice(bytes);
            self.line.handle_input(bytes, self.now);
            self.settle();
        }
    }

    pub(crate) fn device(&mut self, up: bool) {
        if !up {
            // A record that was begun is begun anew.
            let again = self.line.snapshot().unfinished.len().min(self.matched.len());
            let again = &self.matched[self.matched.len() - again..];
            self.place = again.iter().fold(self.place, |first, at| first.min(*at));
        }
        self.line.handle_device(up, self.now);
        self.settle();
    }

    pub(crate) fn close(&mut self, id: ClientId) {
        self.clients.remove(&id);
        self.line.handle_closed(id, self.now);
        self.settle();
    }

    pub(crate) fn done(&mut self) {
        let Some(deed) = self.doing.take() else { return };
        self.settings = deed.settings.unwrap_or(self.settings);
        let breaking = deed.signals.brk == Some(true);
        let signals = self.now.as_nanos().is_multiple_of(3).then_some(Signals::CTS);
        self.line.handle_done(Outcome { settings: self.settings, signals, breaking }, self.now);
        self.settle();
    }

    /// A deadline that comes again and again at once would keep the driver from sleeping.
    pub(crate) fn pass(&mut self, span: Duration) {
        let until = self.now + span;
        let (mut idle, mut steps) = (0, 0);
        while let Some(due) = self.line.poll_timeout().filter(|due| *due <= until) {
            idle = if due <= self.now { idle + 1 } else { 0 };
            steps += 1;
            assert!(idle < 20, "{due} comes again and again");
            assert!(steps < 100_000, "too many deadlines within {span:?}");
            self.now = self.now.max(due);
            self.line.handle_timeout(self.now);
            self.settle();
        }
        self.now = until;
        self.line.handle_timeout(self.now);
        self.settle();
    }

    /// What the driver does after each `handle_*`.
    pub(crate) fn settle(&mut self) {
        for turn in 0.. {
            assert!(turn < 100_000, "it never comes to rest");
            self.act();
            while self.line.poll_spool().is_some() {}
            let told = self.perform() || self.write() || self.send();
            if !told && !self.line.has_actions() {
                break;
            }
        }
        self.check();
        while let Some(id) = self.probes.pop_front().filter(|_| self.prompt) {
            self.line.handle_idle(id, self.now);
            self.settle();
        }
    }

    fn act(&mut self) {
        while let Some(action) = self.line.poll_action() {
            match action {
                Action::Probe(id) if self.probes.len() < 100 => self.probes.push_back(id),
                Action::Drop(id) => drop(self.clients.remove(&id)),
                _ => {}
            }
        }
    }

    fn perform(&mut self) -> bool {
        if self.doing.is_some() {
            return false;
        }
        self.doing = self.line.poll_deed(self.now);
        if self.doing.is_none() || self.busy {
            return false;
        }
        let deed = self.doing.take().unwrap_or_default();
        self.settings = deed.settings.unwrap_or(self.settings);
        self.line.handle_done(
            Outcome { settings: self.settings, signals: None, breaking: false },
            self.now,
        );
        true
    }

    fn write(&mut self) -> bool {
        let Some(bytes) = self.line.poll_serial(self.now) else { return false };
        let count = bytes.len().min(self.tty_takes);
        for byte in &bytes[..count] {
            let rest = &self.sent[self.place..];
            let found = rest.iter().position(|sent| sent == byte);
            let found = found.expect("on the tty is only what a holder sent, in its order");
            self.matched.push(self.place + found);
            self.place += found + 1;
        }
        self.tty_takes -= count;
        if count > 0 {
            self.line.handle_written(count, self.now);
        }
        count > 0
    }

    fn send(&mut self) -> bool {
        let ids: Vec<_> =
            self.clients.iter().filter(|(_, p)| !p.blocked).map(|(id, _)| *id).collect();
        for id in ids {
            let mut out = BytesMut::new();
            while self.line.poll_bytes(id, &mut out, 1000, self.now) {}
            while let Some(frame) = self.line.poll_frame(id, self.now) {
                self.heard(id, frame);
            }
        }
        false
    }

    /// What is sent as input was read from the line, at just that offset.
    fn heard(&mut self, id: ClientId, frame: Frame) {
        let Some(peer) = self.clients.get_mut(&id) else { return };
        match frame {
            Frame::Welcome(welcome) => {
                peer.transcript = peer.hello.as_ref().map(|hello| Transcript::new(hello, &welcome));
            }
            Frame::Input(input) => {
                peer.seen = input.end();
                let there = self.input.get(input.offset as usize..input.end() as usize);
                assert_eq!(there, Some(&input.bytes[..]), "I3");
            }
            _ => {}
        }
    }

    fn check(&self) {
        let holders: BTreeSet<_> = self
            .line
            .clients()
            .filter(|(_, role, _)| *role == "holder")
            .map(|(id, ..)| id)
            .collect();
        assert!(holders.len() <= 1, "I1: {holders:?}");
        assert!(holders.iter().all(|id| self.line.is_holder(*id)), "I1");
        let (acked, delivered, end) = self.line.offsets();
        assert!(acked <= delivered && delivered <= end && end == self.input.len() as u64, "I3");
        assert!(self.line.kept() <= self.ring, "the ring has a bound");
        assert!(self.line.clients().count() <= 7, "so have the clients");
    }

    /// All that the line keeps, whatever it is: the length of its debug form.
    pub(crate) fn size(&self) -> usize {
        format!("{:?}", self.line).len()
    }
}
