//! A gateway with a store that is a few lists, and a line in virtual time between it and a run.
use std::collections::VecDeque;
use std::time::Duration;

use billing::dialect::Dialect;
use billing::gateway::{HandledBy, Record};
use billing::{Charge, Gateway, LineNews, Notice, Posting, Reply, Resume, WallClock, Write};
use billing_sim::Scenario;
use billing_sim::core::exchange::entry::{Entry, Sink};
use billing_sim::core::exchange::fault::PortDeed;
use billing_sim::core::exchange::truth::Truth;
use billing_sim::core::exchange::{Exchange, Report};
use bytes::Bytes;

/// 2026-11-23, noon.
pub(crate) const WALL: WallClock = WallClock { at_boot: 1_795_435_200 };

/// The gateway, what it is to post, and what it has taken.
pub(crate) struct Desk {
    gateway: Box<dyn Gateway>,
    charges: VecDeque<(u64, Charge)>,
    pub(crate) records: Vec<Record>,
    pub(crate) settled: Vec<u64>,
    pub(crate) notices: Vec<Notice>,
    offset: u64,
    /// Outputs that are on their way: when their last byte leaves, and the bytes.
    leaving: VecDeque<(Duration, Bytes)>,
    line_free: Duration,
    written: u64,
    char_time: Duration,
}

impl Desk {
    pub(crate) fn new(
        dialect: &Dialect,
        charges: Vec<Charge>,
        char_time: Duration,
        now: Duration,
    ) -> Self {
        let resume = Resume { acked: 0, note: None, cut: false, last_number: 0, wall: WALL };
        Self {
            gateway: dialect.gateway(resume, now),
            charges: (1..).zip(charges).collect(),
            records: Vec::new(),
            settled: Vec::new(),
            notices: Vec::new(),
            offset: 0,
            leaving: VecDeque::new(),
            line_free: now,
            written: 0,
            char_time,
        }
    }

    pub(crate) fn handle_input(&mut self, bytes: &[u8], now: Duration) {
        self.gateway.handle_input(self.offset, bytes, now);
        self.offset += bytes.len() as u64;
        self.drain(now);
    }

    pub(crate) fn handle_line(&mut self, news: LineNews, now: Duration) {
        self.gateway.handle_line(news, now);
        self.drain(now);
    }

    pub(crate) fn handle_timeout(&mut self, now: Duration) {
        self.gateway.handle_timeout(now);
        self.drain(now);
    }

    /// The next output whose last byte has left.
    pub(crate) fn poll_left(&mut self, now: Duration) -> Option<Bytes> {
        self.leaving.front().filter(|(at, _)| *at <= now)?;
        let (_, bytes) = self.leaving.pop_front()?;
        self.written += 1;
        self.gateway.handle_written(self.written, now);
        self.drain(now);
        Some(bytes)
    }

    /// Nothing leaves before then.
    pub(crate) fn hold(&mut self, until: Duration) {
        for (at, _) in &mut self.leaving {
            *at += until.saturating_sub(*at);
        }
        self.line_free = self.line_free.max(until);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Duration> {
        let leaves = self.leaving.front().map(|(at, _)| *at);
        [leaves, self.gateway.poll_timeout()].into_iter().flatten().min()
    }

    fn drain(&mut self, now: Duration) {
        loop {
            while let Some(write) = self.gateway.poll_write() {
                match write {
                    Write::Receive(record) => self.records.push(record),
                    Write::Settle { number, .. } => self.settled.push(number),
                    Write::Number { .. } | Write::Adopt { .. } => {}
                }
            }
            while let Some(output) = self.gateway.poll_output() {
                if !output.bytes.is_empty() {
                    let takes = self.char_time * output.bytes.len() as u32;
                    self.line_free = self.line_free.max(now) + takes;
                    self.leaving.push_back((self.line_free, output.bytes));
                }
            }
            while let Some(notice) = self.gateway.poll_event() {
                self.notices.push(notice);
            }
            if let Some(number) = self.gateway.awaits_reply() {
                self.gateway.handle_reply(number, Reply::Ok, now);
            } else if self.gateway.wants_charge()
                && let Some((id, charge)) = self.charges.pop_front()
            {
                self.gateway.handle_charge(Posting::New { id, charge }, now);
            } else {
                return;
            }
        }
    }
}

/// What a run came to.
pub(crate) struct Played {
    pub(crate) report: Report,
    pub(crate) desk: Desk,
    pub(crate) entries: Vec<Entry>,
}

/// The charges that a scenario's gateway posts.
pub(crate) fn charges(scenario: &Scenario, dialect: &Dialect) -> Vec<Charge> {
    let wanted = match scenario.dialect.as_str() {
        "hx" => scenario.load.charges.max(scenario.load.count.unwrap_or_default()),
        _ => scenario.load.charges,
    };
    (1..=wanted).filter_map(|n| dialect.charge(scenario.seed, n)).collect()
}

/// Plays a scenario against the dialect's real gateway, in virtual time.
pub(crate) fn play(scenario: &Scenario) -> Played {
    play_with(scenario, None, |bytes| vec![bytes], |_| ())
}

/// The same, told to stop after a time.
pub(crate) fn play_stopped(scenario: &Scenario, after: Duration) -> Played {
    play_with(scenario, Some(after), |bytes| vec![bytes], |_| ())
}

/// The same, with a gateway whose every output becomes what `spoil` makes of it.
pub(crate) fn play_spoilt(scenario: &Scenario, spoil: impl FnMut(Bytes) -> Vec<Bytes>) -> Played {
    play_with(scenario, None, spoil, |_| ())
}

/// The same, told to stop after a time and not compared with what the gateway has taken.
pub(crate) fn play_spoilt_and_stopped(
    scenario: &Scenario,
    after: Duration,
    spoil: impl FnMut(Bytes) -> Vec<Bytes>,
) -> Played {
    play_with(scenario, Some(after), spoil, |truth| truth.records = None)
}

/// The same, compared at the end with what `change` makes of the truth.
pub(crate) fn play_compared(scenario: &Scenario, change: impl FnOnce(&mut Truth)) -> Played {
    play_with(scenario, None, |bytes| vec![bytes], change)
}

fn play_with(
    scenario: &Scenario,
    stop_after: Option<Duration>,
    mut spoil: impl FnMut(Bytes) -> Vec<Bytes>,
    change: impl FnOnce(&mut Truth),
) -> Played {
    let dialect = scenario.dialect().unwrap();
    let mut now = Duration::from_secs(1000);
    let wanted = charges(scenario, &dialect);
    let contents = wanted.iter().map(|charge| dialect.content(charge).unwrap().unwrap()).collect();
    let mut desk = Desk::new(&dialect, wanted, scenario.line.char_time(), now);
    let end = dialect.billing_end(scenario.seed, WALL, now);
    let mut exchange = Exchange::new(scenario.exchange(true), end, now);
    let mut entries = Vec::new();
    let mut closed: Option<Duration> = None;
    let mut unwritten: Option<Bytes> = None;
    let mut stop = stop_after.map(|after| now + after);
    desk.handle_timeout(now);
    for step in 0.. {
        assert!(step < 2_000_000, "the run does not end: {exchange:?}");
        exchange.handle_timeout(now);
        desk.handle_timeout(now);
        if stop.take_if(|at| *at <= now).is_some() {
            exchange.stop(now);
        }
        if closed.take_if(|until| *until <= now).is_some() {
            exchange.handle_damage(now);
        }
        // As a device: what is to be written waits until it is open again.
        unwritten = unwritten.or_else(|| exchange.poll_bytes(now));
        while let Some(bytes) = unwritten.take_if(|_| closed.is_none()) {
            exchange.handle_written(bytes.len(), now);
            desk.handle_input(&bytes, now);
            unwritten = exchange.poll_bytes(now);
        }
        while let Some(bytes) = desk.poll_left(now) {
            for bytes in spoil(bytes).into_iter().filter(|_| closed.is_none()) {
                exchange.handle_bytes(&bytes, now);
            }
        }
        while let Some(deed) = exchange.poll_deed() {
            match deed {
                PortDeed::Hold { lasting } => desk.hold(now + lasting),
                PortDeed::Break { .. } => desk.handle_line(LineNews::Damage, now),
                PortDeed::Reopen { pause } => closed = Some(now + pause),
            }
        }
        while let Some(entry) = exchange.poll_entry() {
            entries.take(&entry);
        }
        if exchange.is_done() {
            break;
        }
        let next = [exchange.poll_timeout(), desk.poll_timeout(), closed, stop];
        let next = next.into_iter().flatten().min();
        let next = next.unwrap_or_else(|| panic!("nothing will ever happen: {exchange:?}"));
        now = next.max(now + Duration::from_nanos(1));
    }
    let records = desk.records.iter().filter(|record| record.handled_by == HandledBy::Handler);
    let records = records.map(|record| record.text.clone()).collect();
    // What nobody posts is not compared.
    let charges = dialect.posts().then_some(contents);
    let mut truth = Truth { charges, records: Some(records), before: 0 };
    change(&mut truth);
    exchange.compare(&truth, now);
    while let Some(entry) = exchange.poll_entry() {
        entries.push(entry);
    }
    let outcome = exchange.outcome(now);
    let report = Report::new(scenario.run("virtual"), outcome, scenario.expectations.clone());
    Played { report, desk, entries }
}
