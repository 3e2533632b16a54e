//! Billing system, cable, terminal server and the nodes' payloads, and the one loop that drives
//! them in virtual time.

use std::time::Duration;

use wire::{Epoch, Frame, Name};

use super::far::Far;
use super::faults::{Fault, Faults, Moment, Next, What};
use super::holder::{Heard, Holder};
use super::judge::Report;
use super::payload::{Call, Payload, Settled};
use super::place::Place;
use super::port::Port;
use super::setting::{Setting, Stores};
use crate::world::network::Segment;

/// A whole line.
pub struct Chain<'a> {
    setting: &'a Setting,
    place: &'a Place,
    line: Name,
    now: Duration,
    /// The billing system.
    pub far: Far,
    /// The terminal server.
    pub port: Port,
    /// All processes that ever connected; the last is the one that has the line or will.
    pub holders: Vec<Holder>,
    faults: Faults,
    next_claim: Option<Duration>,
    paused: Option<Paused>,
    restart_at: Option<Duration>,
    last_byte: Duration,
    seen: Epoch,
    /// Takeovers that were not planned: a store of one node keeps charges until it leads again.
    turns: usize,
    /// Takeovers in which the node stayed the same.
    skips: usize,
    /// Records that a handler was called for, in order.
    calls: Vec<Call>,
    trace: Vec<String>,
}

/// A holder that was stopped.
struct Paused {
    at: usize,
    /// It goes on so long after its successor was granted the line.
    after: Duration,
    wakes: Option<Duration>,
}

/// Runs a setting to its end.
pub fn run(place: &Place, setting: &Setting) -> Report {
    let mut chain = Chain::new(place, setting);
    while !chain.is_done() && chain.now < LIMIT {
        chain.step();
    }
    let end = chain.now + LINGER;
    while chain.now < end {
        chain.step();
    }
    chain.report()
}

impl<'a> Chain<'a> {
    /// All is switched on; the first node claims.
    pub fn new(place: &'a Place, setting: &'a Setting) -> Self {
        let line = place.line();
        place.post(setting, &line);
        Self {
            setting,
            place,
            far: Far::new(setting),
            port: Port::new(line.clone()),
            line,
            now: Duration::ZERO,
            holders: Vec::new(),
            faults: Faults::new(&setting.faults),
            next_claim: Some(setting.starts),
            paused: None,
            restart_at: None,
            last_byte: Duration::ZERO,
            seen: Epoch::NONE,
            turns: 0,
            skips: 0,
            calls: Vec::new(),
            trace: Vec::new(),
        }
    }

    /// All charges are settled and all records taken.
    fn is_done(&mut self) -> bool {
        let quiet = self.now > self.last_byte + QUIET;
        if !quiet || self.paused.is_some() || self.restart_at.is_some() {
            return false;
        }
        let Some(payload) = self.holders.last_mut().and_then(Holder::payload) else { return false };
        let is_idle =
            !self.setting.dialect.posts() || payload.wants_charge() || payload.needs_last();
        if !is_idle || self.far.backlog() > 0 {
            return false;
        }
        match self.setting.stores {
            Stores::Shared => self.far.posted() as u64 >= self.expected(),
            Stores::Own => self.are_settled() || self.turn(),
        }
    }

    /// Whether no store has a charge that is still to be posted.
    fn are_settled(&self) -> bool {
        let open = |node: &usize| {
            let rows = self.place.outbox(self.setting, &self.line, *node);
            rows.iter().any(|row| matches!(row.state.as_str(), "new" | "numbered"))
        };
        !Place::nodes(self.setting).iter().any(open)
    }

    fn expected(&self) -> u64 {
        if self.setting.dialect.posts() { self.setting.charges } else { 0 }
    }

    /// Gives the line to the other node, so that it sees to what its store has. Whether that was tried
    /// often enough.
    fn turn(&mut self) -> bool {
        if self.turns == TURNS {
            return true;
        }
        self.turns += 1;
        let now = self.now;
        self.last_byte = now;
        if let Some(holder) = self.holders.last_mut() {
            holder.end(now);
        }
        false
    }

    /// Goes on to the next moment at which something happens.
    pub fn step(&mut self) {
        let wakes = self.paused.as_ref().and_then(|paused| paused.wakes);
        let own = [self.next_claim, self.restart_at, wakes, Some(self.now + QUIET)];
        let parts = [self.far.poll_timeout(), self.port.poll_timeout()];
        let holders = self.holders.iter_mut().map(Holder::poll_timeout);
        let next = own.into_iter().chain(parts).chain(holders).flatten().min();
        self.now = self.now.max(next.unwrap_or(LIMIT));
        self.cable();
        self.far.handle_timeout(self.now);
        self.port.handle_timeout(self.now);
        self.connections();
        self.claims();
        self.wake();
    }

    fn cable(&mut self) {
        let now = self.now;
        if let Some(byte) = self.far.poll_byte(now) {
            self.port.handle_byte(byte, now);
            self.count_byte();
        }
        if let Some(byte) = self.port.poll_byte(now) {
            self.far.handle_byte(byte, now);
            self.count_byte();
        }
    }

    fn count_byte(&mut self) {
        self.last_byte = self.now;
        if self.faults.hits(Moment::Byte) {
            self.carry_out();
        }
    }

    fn connections(&mut self) {
        let now = self.now;
        for at in 0..self.holders.len() {
            let id = self.holders[at].id;
            while let Some(segment) = self.holders[at].poll_segment(now) {
                self.trace(at, true, &segment);
                self.port.handle_segment(id, segment, now);
            }
            while let Some(segment) = self.port.poll_segment(id) {
                self.trace(at, false, &segment);
                self.holders[at].queue(segment, now);
            }
            self.listen(at);
            self.holders[at].handle_timeout(now);
            self.tell_last(at);
            self.settle(at);
        }
    }

    /// A holder takes what has come to it.
    fn listen(&mut self, at: usize) {
        let now = self.now;
        while let Some(heard) = self.holders[at].handle_port(now) {
            let Heard::Grant(grant) = heard else { continue };
            self.seen = self.seen.max(grant.epoch);
            let store = self.place.open(self.setting, self.holders[at].node);
            let names = (self.line.clone(), self.holders[at].node);
            let payload = Payload::begin(self.setting, store, names, &grant, now);
            self.holders[at].begin(payload, now);
            self.settle(at);
        }
        self.settle(at);
    }

    /// Whoever is asked for the last number looks it up.
    fn tell_last(&mut self, at: usize) {
        let Some(payload) = self.holders[at].payload() else { return };
        if self.setting.has_person && payload.needs_last() {
            let posted = self.far.last_posted().map_or(&b"000A"[..], |text| &text[..4]);
            self.place.tell_last(self.setting, &self.line, self.holders[at].node, posted);
            self.holders[at].look(self.now);
        }
    }

    fn settle(&mut self, at: usize) {
        let settled = self.holders[at].settle(&mut self.faults, self.now);
        if let Some(payload) = self.holders[at].payload() {
            self.calls.append(&mut payload.calls);
        }
        if settled == Settled::Halted {
            self.carry_out();
        }
    }

    /// Does what has come due to whoever has the line.
    fn carry_out(&mut self) {
        let Some(Fault { what, moment, .. }) = self.faults.take_due() else { return };
        let now = self.now;
        if self.setting.is_traced {
            self.trace.push(format!("{now:?} {what:?} at {moment:?}"));
        }
        if moment == Moment::Held {
            self.port.is_held_back = true;
        }
        let Some(holder) = self.holders.iter_mut().rfind(|h| h.is_alive() && !h.is_paused) else {
            return;
        };
        match what {
            What::Kill => holder.end(now),
            What::Pause { wakes } => {
                holder.is_paused = true;
                let at = self.holders.len() - 1;
                self.paused = Some(Paused { at, after: wakes, wakes: None });
            }
            What::Restart { next } => {
                self.port.kill();
                self.skips += usize::from(next == Next::Incumbent);
                self.restart_at = Some(now + DOWN);
            }
        }
    }

    /// Lets a node claim a free line, stopped ones go on, and a dead terminal server start.
    fn claims(&mut self) {
        let now = self.now;
        if self.restart_at.is_some_and(|at| at <= now) {
            self.restart_at = None;
            self.port.start(true, now);
        }
        let gone = self.holders.last().is_none_or(|h| !h.is_alive() || h.is_paused);
        if gone && self.next_claim.is_none() && self.port.is_free() && self.restart_at.is_none() {
            self.next_claim = Some(now + self.setting.gap);
        }
        if self.next_claim.is_some_and(|at| at <= now) {
            self.next_claim = None;
            let id = self.holders.len() as u64 + 1;
            let node = (self.holders.len() + self.skips) % 2;
            let claim = (self.line.clone(), self.setting.lease, self.seen);
            self.holders.push(Holder::new(id, node, claim, self.setting.reads, now));
            self.port.connect(id, now);
        }
    }

    /// A holder that was stopped goes on: it does what it was about to do, then what has fallen due
    /// meanwhile, and only then reads what has come.
    fn wake(&mut self) {
        let Some(Paused { at, after, wakes }) = &mut self.paused else { return };
        let (at, now) = (*at, self.now);
        let is_followed = self.holders.get(at + 1).is_some_and(|h| self.port.is_holder(h.id));
        if wakes.is_none() && is_followed {
            *wakes = Some(now + *after);
        }
        if wakes.is_some_and(|wakes| wakes <= now) {
            self.paused = None;
            self.holders[at].is_paused = false;
            self.settle(at);
            self.holders[at].handle_timeout(now);
            self.settle(at);
        }
    }

    fn trace(&mut self, holder: usize, is_from: bool, segment: &Segment) {
        if !self.setting.is_traced {
            return;
        }
        let text = match segment {
            Segment::Fin => "end".to_owned(),
            Segment::Frame(Frame::Input(i)) => format!("input {} {:?}", i.offset, i.bytes),
            Segment::Frame(Frame::Output(o)) => {
                let note = o.note.as_ref().map(|note| note.len());
                format!("output {} {:?} ack {:?} note {note:?}", o.position, o.bytes, o.ack)
            }
            Segment::Frame(Frame::Ack(a)) => format!("ack {}", a.offset),
            Segment::Frame(Frame::Grant(g)) => {
                format!("grant {} acked {} end {} last {:?}", g.epoch, g.acked, g.end, g.last)
            }
            Segment::Frame(frame) => frame.name().to_owned(),
        };
        let arrow = if is_from { '>' } else { '<' };
        self.trace.push(format!("{:?} {holder} {arrow} {text}", self.now));
    }

    fn report(mut self) -> Report {
        let nodes = Place::nodes(self.setting);
        Report {
            events: self.far.events,
            heard: self.far.heard,
            inboxes: nodes.iter().map(|n| self.place.inbox(self.setting, &self.line, *n)).collect(),
            outboxes: nodes
                .iter()
                .map(|n| self.place.outbox(self.setting, &self.line, *n))
                .collect(),
            refused: self.holders.iter_mut().filter_map(|h| h.refused.take()).collect(),
            bytes: self.faults.count(Moment::Byte),
            writes: self.faults.count(Moment::Write),
            frames: self.faults.count(Moment::Unsent),
            are_faults_over: self.faults.are_over(),
            granted: self.port.granted,
            stale: self.port.stale_output(),
            dropped: self.port.dropped,
            objections: std::mem::take(&mut self.port.objections),
            lost: self.port.lost,
            calls: self.calls,
            took: self.now,
            trace: self.trace,
        }
    }
}

/// Virtual time after which a run is given up: several times the longest wait of any dialect.
const LIMIT: Duration = Duration::from_secs(1200);
/// Without a byte for so long, nothing is going on.
const QUIET: Duration = Duration::from_millis(500);
/// A run goes on for so long after its end: something might come a second time.
const LINGER: Duration = Duration::from_secs(40);
/// From the end of a terminal server to its next start.
const DOWN: Duration = Duration::from_secs(1);
/// How often the line changes hands so that each node's own store is emptied.
const TURNS: usize = 6;
