//! The billing system's end and its side of the cable.

use std::collections::VecDeque;
use std::time::Duration;

use billing::{BillingEnd, SimEvent};
use bytes::{Buf, Bytes};

use super::setting::{CHARACTER, Setting};

/// The billing system, its transmitter, and what it has seen.
pub struct Far {
    end: Box<dyn BillingEnd>,
    frames: VecDeque<Bytes>,
    /// The next byte has arrived at the other end by then.
    arrives: Option<Duration>,
    left: u64,
    /// Records to be queued, with their times.
    load: VecDeque<(Duration, u64)>,
    /// All that it reported.
    pub events: Vec<SimEvent>,
    /// All bytes that came over the cable.
    pub heard: Vec<u8>,
}

impl Far {
    /// Switched on at time zero.
    pub fn new(setting: &Setting) -> Self {
        let due = |n: u64| FIRST + EVERY * u32::try_from(n - 1).unwrap_or(u32::MAX);
        let mut far = Self {
            end: setting.dialect.billing_end(setting.seed, setting.wall, Duration::ZERO),
            frames: VecDeque::new(),
            arrives: None,
            left: 0,
            load: (1..=setting.records).map(|n| (due(n), n)).collect(),
            events: Vec::new(),
            heard: Vec::new(),
        };
        far.drain(Duration::ZERO);
        far
    }

    /// The billing system itself, for misdeeds.
    pub fn end(&mut self) -> &mut dyn BillingEnd {
        self.end.as_mut()
    }

    /// Queues item `serial` of its load.
    pub fn send(&mut self, serial: u64, now: Duration) {
        self.end.send(serial, now);
        self.drain(now);
    }

    /// Records that are not settled, or not even queued.
    pub fn backlog(&self) -> usize {
        self.end.backlog() + self.load.len() + self.frames.len()
    }

    /// A byte has come over the cable.
    pub fn handle_byte(&mut self, byte: u8, now: Duration) {
        self.heard.push(byte);
        self.end.handle_bytes(&[byte], now);
        self.drain(now);
    }

    /// The byte that arrives at the other end now.
    pub fn poll_byte(&mut self, now: Duration) -> Option<u8> {
        if self.arrives.is_none_or(|at| at > now) {
            return None;
        }
        let frame = self.frames.front_mut()?;
        let byte = frame.get_u8();
        if frame.is_empty() {
            self.frames.pop_front();
            self.left += 1;
            self.end.handle_written(self.left, now);
            self.drain(now);
        }
        self.arrives = (!self.frames.is_empty()).then(|| now + CHARACTER);
        Some(byte)
    }

    /// Does what fell due.
    pub fn handle_timeout(&mut self, now: Duration) {
        while self.load.front().is_some_and(|(due, _)| *due <= now) {
            if let Some((_, serial)) = self.load.pop_front() {
                self.send(serial, now);
            }
        }
        if self.end.poll_timeout().is_some_and(|due| due <= now) {
            self.end.handle_timeout(now);
        }
        self.drain(now);
    }

    /// When something happens here next.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let load = self.load.front().map(|(due, _)| *due);
        [self.arrives, load, self.end.poll_timeout()].into_iter().flatten().min()
    }

    /// Charges that were posted.
    pub fn posted(&self) -> usize {
        self.events.iter().filter(|event| matches!(event, SimEvent::Posted { .. })).count()
    }

    /// The text of the last charge that was posted, as a person finds it there.
    pub fn last_posted(&self) -> Option<&Bytes> {
        self.events.iter().rev().find_map(|event| match event {
            SimEvent::Posted { text, .. } => Some(text),
            _ => None,
        })
    }

    fn drain(&mut self, now: Duration) {
        self.events.extend(std::iter::from_fn(|| self.end.poll_event()));
        while let Some(frame) = self.end.poll_transmit() {
            if !frame.is_empty() {
                self.frames.push_back(frame);
            }
        }
        if !self.frames.is_empty() && self.arrives.is_none() {
            self.arrives = Some(now + CHARACTER);
        }
    }
}

/// When the first record comes, and the others one after the other: while the first charges go out.
const FIRST: Duration = Duration::from_millis(400);
const EVERY: Duration = Duration::from_millis(150);
