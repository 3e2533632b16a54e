//! A gateway, a billing system, and between them a terminal server and a cable as values.
#![deny(clippy::disallowed_methods)]

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use super::super::{Gateway, Pms, Settings, generate, record};
use crate::billing_end::{BillingEnd, SimEvent};
use crate::civil::WallClock;
use crate::gateway::{Gateway as _, Notice, Outcome, Output, Posting, Resume, Write};

/// One byte at 9600 baud.
const BYTE: Duration = Duration::from_micros(1042);
pub(super) const WALL: WallClock = WallClock { at_boot: 1_767_600_000 };

/// What a cable does to a byte, by chance.
#[derive(Debug)]
pub(super) struct Noise {
    state: u64,
    /// One fault in about so many bytes.
    pub(super) every: u64,
    /// Bytes since the last fault: the check finds one fault in a record, not any two.
    since: u64,
}

impl Noise {
    pub(super) fn new(seed: u64, every: u64) -> Self {
        Self { state: seed, every, since: 0 }
    }

    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.state ^ self.state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn carry(&mut self, byte: u8) -> Vec<u8> {
        self.since += 1;
        if self.since < 200 || !self.random().is_multiple_of(self.every) {
            return vec![byte];
        }
        self.since = 0;
        match self.random() % 3 {
            0 => vec![],
            1 => vec![byte ^ 1 << (self.random() % 8)],
            _ => vec![byte, byte],
        }
    }
}

/// The terminal server: numbered input, whole frames, an ack and a note with the last byte.
#[derive(Debug, Default)]
struct Server {
    input: Vec<u8>,
    acked: u64,
    note: Option<Bytes>,
    queue: VecDeque<Output>,
    /// The frame that is going out, and how far it is.
    current: Option<(Output, usize)>,
    /// It is a predecessor's, and none of those that a gateway counts.
    is_foreign: bool,
    written: u64,
}

impl Server {
    fn settle(&mut self, output: &Output) {
        assert!(output.ack >= self.acked, "acks grow");
        self.acked = output.ack;
        if let Some(note) = &output.note {
            self.note = Some(note.clone());
        }
    }

    /// The next byte for the line; `true`: it was the last of its frame.
    fn byte(&mut self) -> Option<(u8, bool)> {
        while self.current.is_none() {
            let output = self.queue.pop_front()?;
            if output.bytes.is_empty() {
                self.settle(&output);
            } else {
                self.current = Some((output, 0));
            }
        }
        let (output, at) = self.current.as_mut()?;
        let byte = output.bytes[*at];
        *at += 1;
        let is_last = *at == output.bytes.len();
        if is_last && let Some((output, _)) = self.current.take() {
            self.settle(&output);
        }
        Some((byte, is_last))
    }
}

/// What the nodes share.
#[derive(Debug, Default)]
pub(super) struct Store {
    /// By offset, as the inbox has it.
    pub(super) inbox: BTreeMap<u64, Bytes>,
    pub(super) numbers: BTreeMap<u64, (u64, Bytes)>,
    pub(super) settled: BTreeMap<u64, Outcome>,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) now: Duration,
    settings: Settings,
    seed: u64,
    pub(super) gateway: Gateway,
    pub(super) pms: Pms,
    server: Server,
    pms_out: VecDeque<(Bytes, usize)>,
    pms_written: u64,
    pub(super) store: Store,
    /// Charges to be posted: 1 to so many.
    pub(super) charges: u64,
    pub(super) notices: Vec<Notice>,
    pub(super) events: Vec<SimEvent>,
    pub(super) noise: Option<Noise>,
    /// The gateway hears so many steps late that bytes were written.
    pub(super) lag: u64,
    late: VecDeque<(u64, u64)>,
    /// Nobody holds the line.
    is_dead: bool,
    /// Timers are looked at with every step.
    pub(super) is_impatient: bool,
    steps: u64,
    /// All that came to the billing system.
    pub(super) wire: Vec<u8>,
    /// Bytes on the line so far, in either direction.
    pub(super) ticks: u64,
}

impl World {
    pub(super) fn new(settings: Settings, charges: u64, items: u64) -> Self {
        Self::seeded(settings, 1, charges, items)
    }

    pub(super) fn seeded(settings: Settings, seed: u64, charges: u64, items: u64) -> Self {
        let now = Duration::from_secs(100);
        let resume = Resume { acked: 0, note: None, cut: false, last_number: 0, wall: WALL };
        let mut world = Self {
            now,
            gateway: Gateway::new(settings.clone(), resume, now),
            pms: Pms::new(settings.clone(), seed, WALL, now),
            settings,
            seed,
            server: Server::default(),
            pms_out: VecDeque::new(),
            pms_written: 0,
            store: Store::default(),
            charges,
            notices: Vec::new(),
            events: Vec::new(),
            noise: None,
            lag: 0,
            late: VecDeque::new(),
            is_dead: false,
            is_impatient: false,
            steps: 0,
            wire: Vec::new(),
            ticks: 0,
        };
        for serial in 1..=items {
            world.pms.send(serial, now);
        }
        world.drain();
        world
    }

    /// Everything is posted and told.
    pub(super) fn is_done(&self) -> bool {
        self.store.settled.len() as u64 == self.charges
            && self.pms.backlog() == 0
            && self.server.current.is_none()
            && self.server.queue.is_empty()
            && self.pms_out.is_empty()
    }

    /// The next byte in each direction, or the next timer.
    pub(super) fn step(&mut self) {
        self.steps += 1;
        let out = self.server.byte();
        let back = self.pms_byte();
        if out.is_none() && back.is_none() && !self.late.is_empty() {
            self.now += BYTE;
        } else if out.is_none() && back.is_none() {
            let gateway = self.gateway.poll_timeout().filter(|_| !self.is_dead);
            let timers = [gateway, self.pms.poll_timeout()];
            let next = timers.into_iter().flatten().min();
            assert!(next.is_some() || self.is_dead, "somebody waits for something");
            self.now = self.now.max(next.unwrap_or(self.now + Duration::from_millis(100)));
        } else {
            self.now += BYTE;
            self.ticks += 1;
        }
        if let Some((byte, is_last)) = out {
            self.wire.push(byte);
            for byte in self.carry(byte) {
                self.pms.handle_bytes(&[byte], self.now);
            }
            if is_last && !std::mem::take(&mut self.server.is_foreign) && !self.is_dead {
                self.server.written += 1;
                self.late.push_back((self.steps + self.lag, self.server.written));
            }
            self.drain();
        }
        if let Some((byte, is_last)) = back {
            for byte in self.carry(byte) {
                let offset = self.server.input.len() as u64;
                self.server.input.push(byte);
                if !self.is_dead {
                    self.gateway.handle_input(offset, &[byte], self.now);
                }
            }
            if is_last {
                self.pms_written += 1;
                self.pms.handle_written(self.pms_written, self.now);
            }
            self.drain();
        }
        while let Some((_, written)) = self.late.pop_front_if(|(at, _)| *at <= self.steps) {
            self.gateway.handle_written(written, self.now);
            self.drain();
        }
        if self.is_impatient {
            self.gateway.handle_timeout(self.now);
            self.pms.handle_timeout(self.now);
        }
        if !self.is_dead && self.gateway.poll_timeout().is_some_and(|at| at <= self.now) {
            self.gateway.handle_timeout(self.now);
        }
        if self.pms.poll_timeout().is_some_and(|at| at <= self.now) {
            self.pms.handle_timeout(self.now);
        }
        self.drain();
    }

    /// Runs until all is done, and then until nothing is in doubt. Returns whether it came to that.
    pub(super) fn run(&mut self, limit: Duration) -> bool {
        let limit = self.now + limit;
        while !self.is_done() && self.now < limit {
            self.step();
        }
        self.is_done()
    }

    pub(super) fn run_for(&mut self, time: Duration) {
        let limit = self.now + time;
        while self.now < limit {
            self.step();
        }
    }

    /// The gateway dies; the next one goes on from what the terminal server knows. A frame that has
    /// begun is finished, so its ack counts at once; what has not begun is dropped.
    pub(super) fn kill(&mut self) {
        let is_bare = |output: &Output| output.bytes.is_empty();
        while self.server.current.is_none() && self.server.queue.front().is_some_and(is_bare) {
            let output = self.server.queue.pop_front().expect("it is in front");
            self.server.settle(&output);
        }
        self.drop_gateway();
        self.begin(false);
    }

    /// The same, and the next one comes only after a while.
    pub(super) fn kill_for(&mut self, time: Duration) {
        self.kill();
        self.drop_gateway();
        self.is_dead = true;
        self.run_for(time);
        self.is_dead = false;
        self.begin(false);
    }

    fn drop_gateway(&mut self) {
        self.server.queue.clear();
        if let Some((output, at)) = self.server.current.take() {
            self.server.settle(&output);
            // What is left of the frame goes first, and settles nothing more.
            let left = output.bytes.slice(at..);
            let (ack, note) = (self.server.acked, None);
            self.server.current = Some((Output { bytes: left, ack, note }, 0));
        }
    }

    /// A gateway that is told what the terminal server knows.
    pub(super) fn begin(&mut self, cut: bool) {
        self.server.written = 0;
        self.late.clear();
        self.server.is_foreign = self.server.current.is_some();
        let acked = self.server.acked;
        let last_number = self.store.numbers.values().map(|(number, _)| *number).max();
        let note = self.server.note.clone();
        let last_number = last_number.unwrap_or(0);
        let resume = Resume { acked, note, cut, last_number, wall: WALL };
        self.gateway = Gateway::new(self.settings.clone(), resume, self.now);
        self.drain();
        let input = self.server.input[acked as usize..].to_vec();
        self.gateway.handle_input(acked, &input, self.now);
        self.drain();
    }

    pub(super) fn lose_note(&mut self) {
        self.server.note = None;
    }

    /// The frame that is going out, and how far it is.
    pub(super) fn going_out(&self) -> Option<(&Bytes, usize)> {
        self.server.current.as_ref().map(|(output, at)| (&output.bytes, *at))
    }

    /// Bytes read from the line and not acknowledged.
    pub(super) fn unacknowledged(&self) -> u64 {
        self.server.input.len() as u64 - self.server.acked
    }

    fn carry(&mut self, byte: u8) -> Vec<u8> {
        match &mut self.noise {
            Some(noise) => noise.carry(byte),
            None => vec![byte],
        }
    }

    fn pms_byte(&mut self) -> Option<(u8, bool)> {
        let (bytes, at) = self.pms_out.front_mut()?;
        let byte = bytes[*at];
        *at += 1;
        let is_last = *at == bytes.len();
        if is_last {
            self.pms_out.pop_front();
        }
        Some((byte, is_last))
    }

    fn drain(&mut self) {
        while !self.is_dead {
            while let Some(write) = self.gateway.poll_write() {
                self.store(write);
            }
            while let Some(output) = self.gateway.poll_output() {
                self.server.queue.push_back(output);
            }
            self.notices.extend(std::iter::from_fn(|| self.gateway.poll_event()));
            if !self.gateway.wants_charge() || !self.post() {
                break;
            }
        }
        while let Some(bytes) = self.pms.poll_transmit() {
            self.pms_out.push_back((bytes, 0));
        }
        self.events.extend(std::iter::from_fn(|| self.pms.poll_event()));
    }

    fn store(&mut self, write: Write) {
        match write {
            Write::Receive(record) => {
                let known = self.store.inbox.insert(record.start, record.text.clone());
                assert!(known.is_none_or(|known| known == record.text), "one offset, one record");
            }
            Write::Number { id, number, text } => {
                assert!(self.store.numbers.insert(id, (number, text)).is_none(), "numbered once");
            }
            Write::Adopt { number, key, text } => {
                let id: u64 = key[1..].parse().unwrap();
                assert_eq!(self.store.numbers.get(&id), Some(&(number, text)));
            }
            Write::Settle { number, outcome, .. } => {
                let known = self.store.settled.insert(number, outcome);
                assert!(known.is_none_or(|known| known == outcome), "settled once");
            }
        }
    }

    fn post(&mut self) -> bool {
        let is_open = |id: &u64| match self.store.numbers.get(id) {
            Some((number, _)) => !self.store.settled.contains_key(number),
            None => true,
        };
        let Some(id) = (1..=self.charges).find(is_open) else { return false };
        let posting = match self.store.numbers.get(&id) {
            Some((number, text)) => {
                let key = format!("c{id:08}");
                Posting::Numbered { number: *number, key, text: text.clone() }
            }
            None => Posting::New { id, charge: generate::charge(self.seed, id) },
        };
        self.gateway.handle_charge(posting, self.now);
        assert!(!self.gateway.wants_charge(), "one charge is outstanding");
        true
    }

    /// Every charge is posted once, and settled so; every item is in the inbox once.
    pub(super) fn assert_exact(&self, items: u64) {
        let mut posted = BTreeMap::new();
        for event in &self.events {
            if let SimEvent::Posted { number, content, .. } = event {
                assert_eq!(posted.insert(*number, content.clone()), None, "{number} posted twice");
            }
        }
        let numbers: Vec<_> = (1..=self.charges).collect();
        assert_eq!(posted.keys().copied().collect::<Vec<_>>(), numbers);
        for (id, (number, text)) in &self.store.numbers {
            assert_eq!(posted[number], record::content(text), "charge {id}");
            assert_eq!(self.store.settled[number], Outcome::Posted);
        }
        for serial in 1..=items {
            let text = generate::item(self.seed, serial);
            let count = self.store.inbox.values().filter(|known| **known == text).count();
            assert_eq!(count, 1, "item {serial}");
        }
        let bad = |event: &&SimEvent| {
            matches!(
                event,
                SimEvent::Conflict { .. } | SimEvent::Gap { .. } | SimEvent::Reordered { .. }
            )
        };
        assert_eq!(self.events.iter().find(bad), None);
    }

    /// How many events are like this.
    pub(super) fn count(&self, is_like: impl Fn(&SimEvent) -> bool) -> usize {
        self.events.iter().filter(|event| is_like(event)).count()
    }

    /// How many notices are like this.
    pub(super) fn noticed(&self, is_like: impl Fn(&Notice) -> bool) -> usize {
        self.notices.iter().filter(|notice| is_like(notice)).count()
    }
}
