//! For tests: a gateway and a billing system with a modelled terminal server and store between.
#![deny(clippy::disallowed_methods)]

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use super::values::Draw;
use crate::charge::Charge;
use crate::civil::WallClock;
use crate::gateway::{
    Gateway, HandledBy, LastSent, Notice, Outcome, Output, Posting, Record, Reply, Resume, Write,
};
use crate::ledger::Knowledge;
use crate::{BillingEnd, SimEvent};

/// One character at 9600 8N1, as good as.
pub(crate) const TICK: Duration = Duration::from_millis(1);

/// A charge in the store.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) charge: Charge,
    pub(crate) number: Option<(u64, Bytes)>,
    pub(crate) outcome: Option<Outcome>,
}

/// What the terminal server keeps, and the frame that it is sending.
#[derive(Debug, Default)]
struct Server {
    input: Vec<u8>,
    acked: u64,
    note: Option<Bytes>,
    queue: VecDeque<Output>,
    /// The rest of the begun frame, and what is true once it has left.
    begun: Option<(VecDeque<u8>, u64, Option<Bytes>)>,
    frames: u64,
}

impl Server {
    fn settle(&mut self, ack: u64, note: Option<Bytes>) {
        assert!(ack >= self.acked && ack <= self.input.len() as u64, "ack {ack}");
        self.acked = ack;
        self.note = note.or_else(|| self.note.take());
    }
}

/// Both ends and what is between them, in virtual time, one byte per tick and direction.
pub(crate) struct Chain {
    pub(crate) now: Duration,
    pub(crate) gateway: Option<Box<dyn Gateway>>,
    pub(crate) billing: Box<dyn BillingEnd>,
    make: Box<dyn Fn(Resume, Duration) -> Box<dyn Gateway>>,
    server: Server,
    outgoing: VecDeque<u8>,
    billing_frames: u64,
    pub(crate) rows: Vec<Row>,
    pub(crate) inbox: BTreeMap<u64, Record>,
    /// Commands that the handler was called for, in order, and when it replies.
    pub(crate) handled: Vec<(u64, Bytes)>,
    replies: VecDeque<(Duration, u64)>,
    pub(crate) reply_after: Duration,
    pub(crate) notices: Vec<Notice>,
    pub(crate) events: Vec<SimEvent>,
    /// Bytes that were on the line, both directions together.
    pub(crate) bytes: usize,
    /// Damages one frame in so many.
    pub(crate) noise: Option<(Draw, u64)>,
    pub(crate) wall: WallClock,
    /// Frames on the line, in order: whether the gateway's, and the bytes.
    pub(crate) frames: Vec<(bool, Bytes)>,
    resume_at: Option<Duration>,
    is_cut: bool,
    /// What a failure should name: a seed, where it was killed.
    pub(crate) label: String,
}

impl Chain {
    pub(crate) fn new(
        make: impl Fn(Resume, Duration) -> Box<dyn Gateway> + 'static,
        billing: Box<dyn BillingEnd>,
    ) -> Self {
        let mut chain = Self {
            now: Duration::from_secs(1),
            gateway: None,
            billing,
            make: Box::new(make),
            server: Server::default(),
            outgoing: VecDeque::new(),
            billing_frames: 0,
            rows: Vec::new(),
            inbox: BTreeMap::new(),
            handled: Vec::new(),
            replies: VecDeque::new(),
            reply_after: Duration::from_millis(20),
            notices: Vec::new(),
            events: Vec::new(),
            bytes: 0,
            noise: None,
            wall: WallClock { at_boot: 1_529_280_000 },
            frames: Vec::new(),
            resume_at: None,
            is_cut: false,
            label: String::new(),
        };
        chain.take_over();
        // The first thing that a gateway leaves is its note.
        assert!(!chain.send_byte());
        chain
    }

    pub(crate) fn post(&mut self, charge: Charge) {
        self.rows.push(Row { charge, number: None, outcome: None });
    }

    /// The gateway dies: what it has not begun to send is dropped. A successor comes after
    /// `pause`.
    pub(crate) fn kill(&mut self, pause: Duration) {
        self.gateway = None;
        self.server.queue.clear();
        self.replies.clear();
        self.resume_at = Some(self.now + pause);
    }

    /// The gateway dies and the frame that is being sent is cut, by policy or by a device that went.
    pub(crate) fn cut(&mut self, pause: Duration) {
        self.is_cut = self.server.begun.take().is_some();
        self.kill(pause);
    }

    /// Bytes that come to the gateway after what the billing system has said.
    pub(crate) fn inject(&mut self, bytes: &[u8]) {
        self.outgoing.extend(bytes);
    }

    /// What the dead node's store knew is not known here.
    pub(crate) fn lose_store(&mut self) {
        self.inbox.clear();
        for row in &mut self.rows {
            (row.number, row.outcome) = (None, None);
        }
    }

    fn take_over(&mut self) {
        self.resume_at = None;
        // A begun frame will be finished, so what it settles counts already.
        if let Some((_, ack, note)) = &mut self.server.begun {
            let (ack, note) = (*ack, note.take());
            self.server.settle(ack, note);
        }
        let resume = Resume {
            acked: self.server.acked,
            note: self.server.note.clone(),
            cut: std::mem::take(&mut self.is_cut),
            last_number: self
                .rows
                .iter()
                .filter_map(|row| row.number.as_ref())
                .map(|(n, _)| *n)
                .max()
                .unwrap_or(0),
            wall: self.wall,
        };
        self.server.frames = 0;
        let acked = self.server.acked;
        let mut gateway = (self.make)(resume, self.now);
        // The store knows all, since there is only one.
        let sent = self.rows.iter().filter_map(|row| row.number.clone()).max_by_key(|(n, _)| *n);
        let last = LastSent::Known(sent.map(|(_, text)| text).unwrap_or_default());
        gateway.handle_last(&last, self.now);
        self.gateway = Some(gateway);
        self.drain_gateway();
        let rest = self.server.input[acked as usize..].to_vec();
        self.tell(|gateway, now| gateway.handle_input(acked, &rest, now));
    }

    pub(crate) fn tell(&mut self, say: impl FnOnce(&mut dyn Gateway, Duration)) {
        if let Some(gateway) = &mut self.gateway {
            say(gateway.as_mut(), self.now);
            self.drain_gateway();
        }
    }

    fn drain_gateway(&mut self) {
        loop {
            while let Some(write) = self.gateway.as_mut().and_then(|g| g.poll_write()) {
                self.store(write);
            }
            let Some(gateway) = &mut self.gateway else { return };
            while let Some(output) = gateway.poll_output() {
                assert!(output.bytes.len() <= 2048);
                assert!(output.note.as_ref().is_none_or(|note| note.len() <= 4096));
                self.server.queue.push_back(output);
            }
            self.notices.extend(std::iter::from_fn(|| gateway.poll_event()));
            // A command of the predecessor's that the store knows and whose handler has not replied.
            let is_stored = |number| self.inbox.values().any(|row| row.number == Some(number));
            let awaited = gateway.awaits_reply().filter(|number| is_stored(*number));
            if let Some(number) = awaited.filter(|_| self.replies.is_empty()) {
                self.replies.push_back((self.now + self.reply_after, number));
            }
            if !gateway.wants_charge() {
                return;
            }
            let Some(posting) = self.next_posting() else { return };
            let now = self.now;
            if let Some(gateway) = &mut self.gateway {
                gateway.handle_charge(posting, now);
            }
        }
    }

    fn store(&mut self, write: Write) {
        match write {
            Write::Receive(record) => {
                let is_new = self.inbox.insert(record.start, record.clone()).is_none();
                if is_new && record.handled_by == HandledBy::Handler {
                    let number = record.number.unwrap();
                    self.handled.push((number, record.text));
                    self.replies.push_back((self.now + self.reply_after, number));
                }
            }
            Write::Number { id, number, text } => {
                self.rows[id as usize].number = Some((number, text));
            }
            Write::Adopt { number, key, text } => {
                let row = self.rows.iter_mut().find(|row| row.charge.key == key).unwrap();
                row.number = Some((number, text));
            }
            Write::Settle { number, outcome, .. } => {
                let is_it = |row: &&mut Row| row.number.as_ref().is_some_and(|(n, _)| *n == number);
                self.rows.iter_mut().find(is_it).unwrap().outcome = Some(outcome);
            }
        }
    }

    fn next_posting(&mut self) -> Option<Posting> {
        let ledger = self.gateway.as_ref()?.ledger()?.clone();
        for (id, row) in self.rows.iter_mut().enumerate().filter(|(_, row)| row.outcome.is_none()) {
            let (id, key) = (id as u64, row.charge.key.clone());
            let new = Posting::New { id, charge: row.charge.clone() };
            match row.number.clone() {
                None if ledger.has_sent(&key) => row.outcome = Some(Outcome::Posted),
                None => return Some(new),
                Some((number, text)) => match ledger.knowledge(number, &key) {
                    Knowledge::Unused => return Some(Posting::Numbered { number, key, text }),
                    Knowledge::Taken => return Some(new),
                    Knowledge::Settled => row.outcome = Some(Outcome::Posted),
                    Knowledge::Outstanding | Knowledge::Unknown => return None,
                },
            }
        }
        None
    }

    /// One tick; time leaps when nothing is on the line. Whether anything happened.
    pub(crate) fn tick(&mut self) -> bool {
        let busy = self.send_byte() | self.receive_byte();
        if busy {
            self.now += TICK;
        } else {
            let Some(next) = self.next_deadline() else { return false };
            self.now = next.max(self.now + TICK);
        }
        let now = self.now;
        if self.resume_at.is_some_and(|at| at <= now) {
            self.take_over();
        }
        while self.replies.front().is_some_and(|(at, _)| *at <= now) {
            let number = self.replies.pop_front().unwrap().1;
            let reply = if number.is_multiple_of(7) { Reply::Error(*b"17") } else { Reply::Ok };
            self.tell(|gateway, now| gateway.handle_reply(number, reply, now));
        }
        if self.gateway.as_ref().and_then(|g| g.poll_timeout()).is_some_and(|at| at <= now) {
            self.tell(|gateway, now| gateway.handle_timeout(now));
        }
        if self.billing.poll_timeout().is_some_and(|at| at <= now) {
            self.billing.handle_timeout(now);
        }
        self.drain_billing();
        self.drain_gateway();
        true
    }

    fn next_deadline(&self) -> Option<Duration> {
        let gateway = self.gateway.as_ref().and_then(|g| g.poll_timeout());
        let reply = self.replies.front().map(|(at, _)| *at);
        [gateway, self.billing.poll_timeout(), reply, self.resume_at].into_iter().flatten().min()
    }

    fn send_byte(&mut self) -> bool {
        while self.server.begun.is_none() {
            let Some(Output { bytes, ack, note }) = self.server.queue.pop_front() else {
                return false;
            };
            if bytes.is_empty() {
                self.server.settle(ack, note);
            } else {
                self.frames.push((true, bytes.clone()));
                self.server.begun = Some((damaged(&mut self.noise, &bytes), ack, note));
            }
        }
        let Some((bytes, ack, note)) = &mut self.server.begun else { return false };
        let byte = bytes.pop_front();
        if bytes.is_empty() {
            let (ack, note) = (*ack, note.take());
            self.server.begun = None;
            self.server.settle(ack.max(self.server.acked), note);
            self.server.frames += 1;
            let frames = self.server.frames;
            self.tell(|gateway, now| gateway.handle_written(frames, now));
        }
        if let Some(byte) = byte {
            self.bytes += 1;
            self.billing.handle_bytes(&[byte], self.now);
            self.drain_billing();
        }
        true
    }

    fn receive_byte(&mut self) -> bool {
        let Some(byte) = self.outgoing.pop_front() else { return false };
        if self.outgoing.is_empty() {
            self.billing.handle_written(self.billing_frames, self.now);
        }
        let offset = self.server.input.len() as u64;
        self.server.input.push(byte);
        self.bytes += 1;
        self.tell(|gateway, now| gateway.handle_input(offset, &[byte], now));
        true
    }

    pub(crate) fn drain_billing(&mut self) {
        while let Some(bytes) = self.billing.poll_transmit() {
            self.billing_frames += 1;
            self.frames.push((false, bytes.clone()));
            self.outgoing.extend(damaged(&mut self.noise, &bytes));
            if self.outgoing.is_empty() {
                self.billing.handle_written(self.billing_frames, self.now);
            }
        }
        self.events.extend(std::iter::from_fn(|| self.billing.poll_event()));
    }

    /// Runs until it is done or `limit` has passed.
    pub(crate) fn run(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) {
        let end = self.now + limit;
        // Charges that were posted meanwhile.
        self.drain_gateway();
        self.drain_billing();
        while !done(self) && self.now < end && self.tick() {}
    }

    pub(crate) fn is_all_settled(&self) -> bool {
        self.rows.iter().all(|row| row.outcome.is_some())
    }

    pub(crate) fn count(&self, which: impl Fn(&SimEvent) -> bool) -> usize {
        self.events.iter().filter(|event| which(event)).count()
    }
}

/// The frame as it arrives: whole, not at all, or with one thing wrong.
fn damaged(noise: &mut Option<(Draw, u64)>, bytes: &[u8]) -> VecDeque<u8> {
    let mut bytes: VecDeque<u8> = bytes.to_vec().into();
    let Some((draw, one_in)) = noise else { return bytes };
    if draw.below(*one_in) == 0 {
        let at = draw.below(bytes.len() as u64) as usize;
        match draw.below(4) {
            0 => bytes.clear(),
            1 => drop(bytes.remove(at)),
            2 => bytes[at] ^= 1 << draw.below(8),
            _ => bytes.truncate(at),
        }
    }
    bytes
}
