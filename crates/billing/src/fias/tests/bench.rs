//! One end alone, and a hand that types the other's bytes.
#![deny(clippy::disallowed_methods)]

use std::time::Duration;

use bytes::Bytes;

use super::super::frame::{Check, encode};
use super::super::{Gateway, Pms, Settings};
use super::world::WALL;
use crate::billing_end::{BillingEnd, SimEvent};
use crate::gateway::{Gateway as _, Notice, Output, Resume, Write};

/// A frame as text; bytes below 20 are written as they are.
pub(super) fn frame(text: &str) -> Bytes {
    encode(text.as_bytes(), Check::Lrc)
}

pub(super) const ACK: &[u8] = b"\x06";
pub(super) const NAK: &[u8] = b"\x15";
pub(super) const ENQ: &[u8] = b"\x05";

/// A billing system whose link is up.
#[derive(Debug)]
pub(super) struct PmsBench {
    pub(super) pms: Pms,
    pub(super) now: Duration,
    written: u64,
    pub(super) events: Vec<SimEvent>,
}

impl PmsBench {
    pub(super) fn alive() -> Self {
        let now = Duration::from_secs(100);
        let pms = Pms::new(Settings::default(), 1, WALL, now);
        let mut bench = Self { pms, now, written: 0, events: vec![] };
        assert!(bench.says().starts_with(b"\x02LS|"));
        assert_eq!(bench.hears(ACK), b"");
        for text in ["LD|V#1.0|IFWW|", "LR|RIPS|FLRN|"] {
            assert_eq!(bench.hears(&frame(text)), ACK);
        }
        let said = bench.hears(&frame("LA|DA080618|TI123500|"));
        assert!(said.starts_with(b"\x06\x02LA|"), "{said:?}");
        assert_eq!(bench.hears(ACK), b"");
        assert_eq!(bench.waits(Duration::from_secs(1)), b"");
        bench.events.clear();
        bench
    }

    /// What it says, all of which leaves at once.
    pub(super) fn says(&mut self) -> Vec<u8> {
        let mut said = Vec::new();
        while let Some(bytes) = self.pms.poll_transmit() {
            said.extend_from_slice(&bytes);
            self.written += 1;
            self.pms.handle_written(self.written, self.now);
        }
        self.events.extend(std::iter::from_fn(|| self.pms.poll_event()));
        said
    }

    /// What it says to these bytes.
    pub(super) fn hears(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.pms.handle_bytes(bytes, self.now);
        self.says()
    }

    /// What it says in this time.
    pub(super) fn waits(&mut self, time: Duration) -> Vec<u8> {
        let until = self.now + time;
        let mut said = Vec::new();
        while let Some(at) = self.pms.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.pms.handle_timeout(self.now);
            said.extend(self.says());
        }
        self.now = until;
        said
    }

    /// Posts a charge to the end: the answer is acknowledged.
    pub(super) fn posts(&mut self, text: &str) {
        let said = self.hears(&frame(text));
        assert!(said.starts_with(b"\x06\x02PA|"), "{said:?}");
        assert_eq!(self.hears(ACK), b"");
    }
}

/// A gateway.
#[derive(Debug)]
pub(super) struct GatewayBench {
    pub(super) gateway: Gateway,
    pub(super) now: Duration,
    pub(super) offset: u64,
    written: u64,
    /// What the terminal server knows.
    pub(super) acked: u64,
    pub(super) note: Option<Bytes>,
    pub(super) writes: Vec<Write>,
    pub(super) notices: Vec<Notice>,
}

impl GatewayBench {
    pub(super) fn new(settings: Settings) -> Self {
        let resume = Resume { acked: 0, note: None, cut: false, last_number: 0, wall: WALL };
        let now = Duration::from_secs(100);
        Self {
            gateway: Gateway::new(settings, resume, now),
            now,
            offset: 0,
            written: 0,
            acked: 0,
            note: None,
            writes: vec![],
            notices: vec![],
        }
    }

    /// One whose link is up.
    pub(super) fn alive(settings: Settings) -> Self {
        let check = settings.check;
        let mut bench = Self::new(settings);
        let frame = |text: &str| encode(text.as_bytes(), check);
        assert!(bench.hears(&frame("LS|DA080618|TI123500|")).starts_with(b"\x06\x02LD|"));
        let mut said = bench.hears(ACK);
        while said.starts_with(b"\x02LR|") {
            said = bench.hears(ACK);
        }
        assert!(said.starts_with(b"\x02LA|"), "{said:?}");
        bench.hears(ACK);
        assert_eq!(bench.hears(&frame("LA|DA080618|TI123501|")), ACK);
        bench.waits(Duration::from_secs(1));
        bench.notices.clear();
        bench
    }

    /// The next one, from what the terminal server knows.
    pub(super) fn taken_over(self, settings: Settings, cut: bool) -> Self {
        let Self { now, acked, note, .. } = self;
        let resume = Resume { acked, note: note.clone(), cut, last_number: 0, wall: WALL };
        let gateway = Gateway::new(settings, resume, now);
        let (writes, notices) = (vec![], vec![]);
        let mut next =
            Self { gateway, now, offset: acked, written: 0, acked, note, writes, notices };
        assert_eq!(next.says(), b"");
        next
    }

    pub(super) fn says(&mut self) -> Vec<u8> {
        let mut said = Vec::new();
        self.writes.extend(std::iter::from_fn(|| self.gateway.poll_write()));
        while let Some(Output { bytes, ack, note }) = self.gateway.poll_output() {
            self.acked = ack;
            self.note = note.or_else(|| self.note.take());
            if !bytes.is_empty() {
                said.extend_from_slice(&bytes);
                self.written += 1;
                self.gateway.handle_written(self.written, self.now);
            }
            self.writes.extend(std::iter::from_fn(|| self.gateway.poll_write()));
        }
        self.notices.extend(std::iter::from_fn(|| self.gateway.poll_event()));
        said
    }

    pub(super) fn hears(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.gateway.handle_input(self.offset, bytes, self.now);
        self.offset += bytes.len() as u64;
        self.says()
    }

    pub(super) fn waits(&mut self, time: Duration) -> Vec<u8> {
        let until = self.now + time;
        let mut said = Vec::new();
        while let Some(at) = self.gateway.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.gateway.handle_timeout(self.now);
            said.extend(self.says());
        }
        self.now = until;
        said
    }

    /// Gives it charge `n`; returns what goes out.
    pub(super) fn posts(&mut self, n: u64) -> Vec<u8> {
        let charge = super::super::generate::charge(1, n);
        self.gateway.handle_charge(crate::gateway::Posting::New { id: n, charge }, self.now);
        self.says()
    }
}
