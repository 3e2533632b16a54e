//! A line with its clients, its tty and its time, all of them values.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use terminal_server::core::{
    Action, ClientId, ClientKind, Deed, GroupKeys, Line, LineConfig, Occurrence, Outcome, Saved,
    Start,
};
use wire::handshake::{self, Transcript};
use wire::{
    Ack, BootId, Claim, Epoch, Frame, Grant, Hello, Key, LineSettings, Nonce, Output, Refuse,
    Signals, Time, Welcome,
};

/// The lease that everybody here wants.
pub const LEASE: Duration = Duration::from_millis(400);
/// A character takes this long, so that 20 of them may be out of hand.
pub const CHAR: Duration = Duration::from_millis(1);

/// Does for a line what the driver does, and remembers what came out of it.
pub struct Stage {
    pub line: Line,
    pub now: Time,
    pub key: Key,
    /// All that reached the tty.
    pub tty: Vec<u8>,
    /// How much more the tty takes.
    pub tty_takes: usize,
    pub reports: Vec<Occurrence>,
    pub announced: usize,
    /// Start numbers that are to be stored; not stored here by themselves.
    pub stores: Vec<u32>,
    pub finished: BTreeSet<ClientId>,
    pub dropped: BTreeSet<ClientId>,
    /// What was asked of the device, and how many bytes had reached it before.
    pub deeds: Vec<(usize, Deed)>,
    /// The device's wires, if it has any.
    pub wires: Option<Signals>,
    /// The device does nothing at present.
    pub busy: bool,
    /// It takes no settings.
    pub stubborn: bool,
    settings: LineSettings,
    breaking: bool,
    sent: BTreeMap<ClientId, Vec<Frame>>,
    bytes: BTreeMap<ClientId, BytesMut>,
    /// Frames in sockets that nobody has read yet; `None` is the connection's end.
    unread: BTreeMap<ClientId, VecDeque<Option<Frame>>>,
    transcripts: BTreeMap<ClientId, Transcript>,
    /// Clients that take no frames at present.
    pub blocked: BTreeSet<ClientId>,
    next: ClientId,
}

pub fn key() -> Key {
    Key::new(0, *b"0123456789abcdef0123456789abcdef")
}

pub fn config() -> LineConfig {
    let groups = vec![GroupKeys { group: "crew".parse().unwrap(), keys: key().into() }];
    let base = LineConfig::new("pms".parse().unwrap(), "ts".parse().unwrap());
    LineConfig { groups, char_time: CHAR, ..base }
}

pub fn start(number: u32) -> Start {
    Start { number, saved: None, unclean: false }
}

impl Stage {
    pub fn new() -> Self {
        Self::with(config(), start(7))
    }

    pub fn with(config: LineConfig, start: Start) -> Self {
        let now = Time::ZERO + Duration::from_secs(1000);
        let settings = config.settings;
        let mut stage = Self {
            line: Line::new(config, start, now),
            now,
            key: key(),
            tty: Vec::new(),
            tty_takes: usize::MAX,
            reports: Vec::new(),
            announced: 0,
            stores: Vec::new(),
            finished: BTreeSet::new(),
            dropped: BTreeSet::new(),
            deeds: Vec::new(),
            wires: None,
            busy: false,
            stubborn: false,
            settings,
            breaking: false,
            sent: BTreeMap::new(),
            bytes: BTreeMap::new(),
            unread: BTreeMap::new(),
            transcripts: BTreeMap::new(),
            blocked: BTreeSet::new(),
            next: 1,
        };
        stage.settle();
        stage
    }

    /// The same line in the next process: what was saved, and one start later.
    pub fn restarted(config: LineConfig, number: u32, saved: Saved) -> Self {
        Self::with(config, Start { number, saved: Some(saved), unclean: false })
    }

    // ---- what happens to the line

    pub fn connect(&mut self) -> ClientId {
        let id = self.next;
        self.next += 1;
        let nonce = Nonce([id as u8; 16]);
        self.line.handle_connect(id, ClientKind::Line { nonce }, self.now);
        self.settle();
        id
    }

    pub fn connect_raw(&mut self) -> ClientId {
        self.connect_as(ClientKind::Raw)
    }

    pub fn connect_as(&mut self, kind: ClientKind) -> ClientId {
        let id = self.next;
        self.next += 1;
        self.line.handle_connect(id, kind, self.now);
        self.settle();
        id
    }

    /// Bytes of a client that speaks bytes.
    pub fn say(&mut self, id: ClientId, bytes: &[u8]) {
        assert!(self.line.wants_bytes(id), "it is not read now");
        self.line.handle_bytes(id, Bytes::copy_from_slice(bytes), self.now);
        self.settle();
    }

    /// What a client that speaks bytes was sent since the last look.
    pub fn heard(&mut self, id: ClientId) -> Vec<u8> {
        self.bytes.remove(&id).unwrap_or_default().to_vec()
    }

    /// The device is done with what it was asked last.
    pub fn done(&mut self, deed: Deed) {
        if let Some(settings) = deed.settings.filter(|_| !self.stubborn) {
            self.settings = settings;
        }
        self.wires = self.wires.map(|wires| wires.with(deed.signals));
        self.breaking = deed.signals.brk.unwrap_or(self.breaking);
        let breaking = self.breaking;
        let outcome = Outcome { settings: self.settings, signals: self.wires, breaking };
        self.line.handle_done(outcome, self.now);
    }

    pub fn send(&mut self, id: ClientId, frame: Frame) {
        self.line.handle_frame(id, frame, self.now);
        self.settle();
    }

    /// What has arrived in a socket that is only read when the core asks for it.
    pub fn leave_unread(&mut self, id: ClientId, frame: Option<Frame>) {
        self.unread.entry(id).or_default().push_back(frame);
    }

    pub fn close(&mut self, id: ClientId) {
        self.line.handle_closed(id, self.now);
        self.settle();
    }

    pub fn input(&mut self, bytes: &[u8]) {
        self.line.handle_input(bytes, self.now);
        self.settle();
    }

    pub fn device(&mut self, up: bool) {
        self.line.handle_device(up, self.now);
        self.settle();
    }

    /// Lets time pass, deadline by deadline.
    pub fn pass(&mut self, span: Duration) {
        let until = self.now + span;
        let mut steps = 0;
        while let Some(due) = self.line.poll_timeout().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.line.handle_timeout(self.now);
            self.settle();
            steps += 1;
            assert!(steps < 100_000, "the same deadline comes again and again: {due}");
        }
        self.now = until;
        self.line.handle_timeout(self.now);
        self.settle();
    }

    /// Lets time pass while `id` renews in time.
    pub fn pass_renewing(&mut self, id: ClientId, span: Duration) {
        let until = self.now + span;
        while self.now < until {
            self.send(id, Frame::Renew(self.now.as_nanos()));
            self.pass((LEASE / 4).min(until.since(self.now)));
        }
    }

    // ---- the driver's part of the contract

    pub fn settle(&mut self) {
        let mut probes = VecDeque::new();
        loop {
            self.drain(&mut probes);
            let Some(id) = probes.pop_front() else { return };
            let mut ended = false;
            while let Some(unread) = self.unread.entry(id).or_default().pop_front() {
                match unread {
                    Some(frame) => self.line.handle_frame(id, frame, self.now),
                    None => {
                        self.line.handle_closed(id, self.now);
                        ended = true;
                    }
                }
                self.drain(&mut probes);
            }
            if !ended {
                self.line.handle_idle(id, self.now);
            }
        }
    }

    fn drain(&mut self, probes: &mut VecDeque<ClientId>) {
        loop {
            while let Some(action) = self.line.poll_action() {
                match action {
                    Action::Probe(id) => probes.push_back(id),
                    Action::Store(start) => self.stores.push(start),
                    Action::Finish(id) => drop(self.finished.insert(id)),
                    Action::Drop(id) => drop(self.dropped.insert(id)),
                    Action::Announce => self.announced += 1,
                    Action::Report(occurrence) => self.reports.push(occurrence),
                }
            }
            for id in (1..self.next).filter(|id| !self.blocked.contains(id)) {
                while let Some(frame) = self.line.poll_frame(id, self.now) {
                    self.sent.entry(id).or_default().push(frame);
                }
                let out = self.bytes.entry(id).or_default();
                while self.line.poll_bytes(id, out, 100, self.now) {}
            }
            if let Some(deed) = self.line.poll_deed(self.now) {
                self.deeds.push((self.tty.len(), deed));
                if !self.busy {
                    self.done(deed);
                }
                continue;
            }
            let Some(bytes) = self.line.poll_serial(self.now) else {
                if self.line.has_actions() {
                    continue;
                }
                return;
            };
            let count = bytes.len().min(self.tty_takes);
            if count == 0 {
                return;
            }
            self.tty.extend_from_slice(&bytes[..count]);
            self.tty_takes -= count;
            self.line.handle_written(count, self.now);
        }
    }

    // ---- what clients do and see

    /// What `id` was sent since the last look.
    pub fn frames(&mut self, id: ClientId) -> Vec<Frame> {
        self.sent.remove(&id).unwrap_or_default()
    }

    /// The input that `id` was sent since the last look, which must follow on without a hole, and
    /// where it began.
    pub fn received(&mut self, id: ClientId) -> (Option<u64>, Vec<u8>) {
        let (mut first, mut all) = (None, Vec::new());
        for frame in self.frames(id) {
            if let Frame::Input(input) = frame {
                let from = *first.get_or_insert(input.offset);
                assert_eq!(input.offset, from + all.len() as u64);
                all.extend_from_slice(&input.bytes);
            }
        }
        (first, all)
    }

    pub fn hello(&mut self, id: ClientId) -> Welcome {
        let nonce = Nonce([0xc0 | id as u8; 16]);
        let hello = Hello { min: 1, max: 1, nonce, line: "pms".parse().unwrap() };
        self.send(id, Frame::Hello(hello.clone()));
        let [Frame::Welcome(welcome)] = &self.frames(id)[..] else { panic!("no WELCOME") };
        self.transcripts.insert(id, Transcript::new(&hello, welcome));
        welcome.clone()
    }

    /// A claim as `node` makes it on that connection, signed with the right key.
    pub fn claim(&self, id: ClientId, node: &str, boot: u8, seen: Epoch) -> Claim {
        let claim = Claim {
            group: "crew".parse().unwrap(),
            node: node.parse().unwrap(),
            boot: BootId([boot; 16]),
            seen,
            lease_ms: LEASE.as_millis() as u32,
            key_id: 0,
            mac: [0; 32],
        };
        self.sign(id, claim)
    }

    pub fn sign(&self, id: ClientId, claim: Claim) -> Claim {
        self.sign_with(&self.key, id, claim)
    }

    pub fn sign_with(&self, key: &Key, id: ClientId, claim: Claim) -> Claim {
        self.transcripts[&id].sign_claim(key, claim)
    }

    /// Connects and claims for `node` (its first letter is its boot id). What it is sent at first.
    pub fn try_claim(&mut self, node: &str) -> (ClientId, Frame) {
        let id = self.connect();
        self.hello(id);
        let claim = self.claim(id, node, node.as_bytes()[0], Epoch::NONE);
        self.send(id, Frame::Claim(claim.clone()));
        let frame = self.frames(id).remove(0);
        match &frame {
            Frame::Grant(grant) => {
                assert!(handshake::verify_grant(&self.key, &claim.mac, grant));
            }
            Frame::Refuse(refuse) => {
                assert!(handshake::verify_refuse(&self.key, &claim.mac, refuse));
            }
            other => panic!("neither GRANT nor REFUSE: {other:?}"),
        }
        (id, frame)
    }

    /// As [`Stage::try_claim`], with nothing lost of what follows the GRANT.
    pub fn granted(&mut self, node: &str) -> (ClientId, Grant) {
        let id = self.connect();
        self.hello(id);
        let claim = self.claim(id, node, node.as_bytes()[0], Epoch::NONE);
        self.send(id, Frame::Claim(claim));
        let frames = self.sent.get_mut(&id).unwrap();
        let Frame::Grant(grant) = frames.remove(0) else { panic!("not granted") };
        (id, grant)
    }

    pub fn refused(&mut self, node: &str) -> Refuse {
        match self.try_claim(node) {
            (_, Frame::Refuse(refuse)) => refuse,
            (_, other) => panic!("not refused: {other:?}"),
        }
    }

    pub fn output(&mut self, id: ClientId, position: u64, bytes: &[u8], ack: Option<u64>) {
        let bytes = Bytes::copy_from_slice(bytes);
        self.send(id, Frame::Output(Output { position, ack, note: None, bytes }));
    }

    pub fn ack(&mut self, id: ClientId, offset: u64, note: Option<&'static [u8]>) {
        let note = note.map(Bytes::from_static);
        self.send(id, Frame::Ack(Ack { offset, note }));
    }

    pub fn acked(&self) -> u64 {
        self.line.offsets().0
    }
}

/// Milliseconds.
pub fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
