//! Gateways at the bare cable: frames are cut anywhere, and two of them speak at once, as our
//! terminal server never lets them.

use std::collections::VecDeque;
use std::time::Duration;

use billing::{Charge, Gateway, Notice, Posting, Reply, Resume, SimEvent, Write};
use bytes::{Buf, Bytes};

use super::far::Far;
use super::setting::{CHARACTER, Setting, wall};

/// A cable with the billing system at one end, and at the other whoever sits there.
pub struct Pipe {
    setting: Setting,
    /// Since the start.
    pub now: Duration,
    /// The billing system.
    pub far: Far,
    /// All that came from it.
    input: Vec<u8>,
    /// What the last one that sat there has left behind.
    acked: u64,
    note: Option<Bytes>,
    last_number: u64,
    seat: Option<Seat>,
    /// What they wanted to have made durable.
    pub writes: Vec<Write>,
    /// What they had to say.
    pub notices: Vec<Notice>,
    /// Nothing that is said reaches the billing system.
    pub is_deaf: bool,
}

/// Who sits there.
struct Seat {
    gateway: Box<dyn Gateway>,
    /// Frames that have not left, each with what takes effect then.
    frames: VecDeque<(Bytes, u64, Option<Bytes>)>,
    leaves: Option<Duration>,
    written: u64,
    said: Vec<u8>,
}

impl Pipe {
    /// A billing system, and nobody at the other end.
    pub fn new(setting: &Setting) -> Self {
        Self {
            setting: setting.clone(),
            now: Duration::ZERO,
            far: Far::new(setting),
            input: Vec::new(),
            acked: 0,
            note: None,
            last_number: 0,
            seat: None,
            writes: Vec::new(),
            notices: Vec::new(),
            is_deaf: false,
        }
    }

    /// A gateway has been there long enough for the link to be up, and has posted nothing.
    pub fn up(setting: &Setting) -> Self {
        let mut pipe = Self::new(setting);
        pipe.sit();
        pipe.run(Duration::from_secs(20));
        pipe
    }

    /// A gateway sits down and goes on where the last one stood.
    pub fn sit(&mut self) {
        self.leave();
        let resume = Resume {
            acked: self.acked,
            note: self.note.clone(),
            cut: false,
            last_number: self.last_number,
            wall: wall(),
        };
        let mut gateway = self.setting.dialect.gateway(resume, self.now);
        let from = usize::try_from(self.acked).unwrap_or(usize::MAX);
        if let Some(unread) = self.input.get(from..).filter(|unread| !unread.is_empty()) {
            gateway.handle_input(self.acked, unread, self.now);
        }
        let (frames, said) = (VecDeque::new(), Vec::new());
        self.seat = Some(Seat { gateway, frames, leaves: None, written: 0, said });
        self.drain();
    }

    /// Whoever sits there is gone, in the middle of whatever it said.
    pub fn leave(&mut self) {
        self.seat = None;
    }

    /// What is kept for the next one is lost, but for the highest number.
    pub fn forget(&mut self) {
        self.note = None;
        self.acked = self.input.len() as u64;
    }

    /// What the next one would be told.
    pub fn state(&self) -> (u64, Option<Bytes>, u64) {
        (self.acked, self.note.clone(), self.last_number)
    }

    /// What the next one is told is older than it should be.
    pub fn restore(&mut self, state: (u64, Option<Bytes>, u64)) {
        (self.acked, self.note, self.last_number) = state;
    }

    /// Charge `n` of the load is to be posted.
    ///
    /// # Panics
    /// Nobody sits there, or the dialect posts nothing.
    pub fn post(&mut self, n: u64) {
        let charge = self.setting.dialect.charge(self.setting.seed, n).expect("a charge");
        self.post_charge(n, charge);
    }

    /// This charge is to be posted, under a store's name of `id`.
    ///
    /// # Panics
    /// Nobody sits there, or it can't post now.
    pub fn post_charge(&mut self, id: u64, charge: Charge) {
        let seat = self.seat.as_mut().expect("somebody to post it");
        assert!(seat.gateway.wants_charge(), "the link is up and nothing is outstanding");
        seat.gateway.handle_charge(Posting::New { id, charge }, self.now);
        self.drain();
    }

    /// The frame that is about to leave.
    pub fn pending(&self) -> Bytes {
        let frame = self.seat.as_ref().and_then(|seat| seat.frames.front());
        frame.map(|(bytes, ..)| bytes.clone()).unwrap_or_default()
    }

    /// What the one who sits there has said since it sat down.
    pub fn said(&self) -> &[u8] {
        self.seat.as_ref().map_or(&[], |seat| &seat.said)
    }

    /// Somebody else puts bytes on the cable.
    pub fn say(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.run(CHARACTER);
            self.far.handle_byte(*byte, self.now);
        }
    }

    /// A byte comes over the cable to whoever sits there.
    pub fn hear(&mut self, byte: u8) {
        let offset = self.input.len() as u64;
        self.input.push(byte);
        if let Some(seat) = &mut self.seat {
            seat.gateway.handle_input(offset, &[byte], self.now);
        }
        self.drain();
    }

    /// Runs until so many bytes were said by the one who sits there, for a minute at most.
    pub fn run_until_said(&mut self, count: usize) {
        let end = self.now + Duration::from_secs(60);
        while self.said().len() < count && self.now < end {
            self.step(end);
        }
    }

    /// Time passes.
    pub fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while self.now < end {
            self.step(end);
        }
    }

    fn step(&mut self, end: Duration) {
        let seat = self.seat.as_ref();
        let leaves = seat.and_then(|seat| seat.leaves);
        let timer = seat.and_then(|seat| seat.gateway.poll_timeout());
        let next = [leaves, timer, self.far.poll_timeout()].into_iter().flatten().min();
        self.now = next.unwrap_or(end).clamp(self.now, end);
        if let Some(byte) = self.far.poll_byte(self.now) {
            self.hear(byte);
        }
        self.far.handle_timeout(self.now);
        self.transmit();
        if let Some(seat) = &mut self.seat
            && seat.gateway.poll_timeout().is_some_and(|due| due <= self.now)
        {
            seat.gateway.handle_timeout(self.now);
        }
        self.drain();
    }

    fn transmit(&mut self) {
        let Some(seat) = self.seat.as_mut().filter(|s| s.leaves.is_some_and(|at| at <= self.now))
        else {
            return;
        };
        let Some((bytes, ..)) = seat.frames.front_mut() else { return };
        let byte = bytes.get_u8();
        seat.said.push(byte);
        let is_last = bytes.is_empty();
        if is_last && let Some((_, ack, note)) = seat.frames.pop_front() {
            self.acked = self.acked.max(ack);
            self.note = note.or_else(|| self.note.take());
            seat.written += 1;
            seat.gateway.handle_written(seat.written, self.now);
        }
        seat.leaves = (!seat.frames.is_empty()).then(|| self.now + CHARACTER);
        if !self.is_deaf {
            self.far.handle_byte(byte, self.now);
        }
    }

    fn drain(&mut self) {
        let Some(seat) = &mut self.seat else { return };
        loop {
            while let Some(write) = seat.gateway.poll_write() {
                if let Write::Number { number, .. } = write {
                    self.last_number = number;
                }
                self.writes.push(write);
            }
            while let Some(output) = seat.gateway.poll_output() {
                if output.bytes.is_empty() && seat.frames.is_empty() {
                    self.acked = self.acked.max(output.ack);
                    self.note = output.note.or_else(|| self.note.take());
                } else if let Some(last) =
                    seat.frames.back_mut().filter(|_| output.bytes.is_empty())
                {
                    last.1 = output.ack;
                    last.2 = output.note.or_else(|| last.2.take());
                } else {
                    seat.frames.push_back((output.bytes, output.ack, output.note));
                }
            }
            self.notices.extend(std::iter::from_fn(|| seat.gateway.poll_event()));
            match seat.gateway.awaits_reply() {
                Some(number) => seat.gateway.handle_reply(number, Reply::Ok, self.now),
                None => break,
            }
        }
        if !seat.frames.is_empty() && seat.leaves.is_none() {
            seat.leaves = Some(self.now + CHARACTER);
        }
    }

    /// Numbers that were posted, in order.
    pub fn posted(&self) -> Vec<u64> {
        let number = |event: &SimEvent| match event {
            SimEvent::Posted { number, .. } => Some(*number),
            _ => None,
        };
        self.far.events.iter().filter_map(number).collect()
    }

    /// All that the billing system has said.
    pub fn heard(&self) -> &[u8] {
        &self.input
    }

    /// Numbers that were settled, in order.
    pub fn settled(&self) -> Vec<u64> {
        let number = |write: &Write| match write {
            Write::Settle { number, .. } => Some(*number),
            _ => None,
        };
        self.writes.iter().filter_map(number).collect()
    }

    /// Whether the billing system saw such a thing.
    pub fn saw(&self, wanted: impl Fn(&SimEvent) -> bool) -> bool {
        self.far.events.iter().any(wanted)
    }
}
