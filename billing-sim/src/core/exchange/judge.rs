//! What the billing system saw, judged: as it happens, and at the end against what was wanted.
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use billing::SimEvent;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::entry::{End, Finding};
use super::truth::{self, Truth};
use super::verdict::{Counts, Verdict};
use crate::core::latency::Latency;

/// Judges a run from what the billing system saw.
///
/// Contract: tell it every event with `handle_event` and the end with `handle_end`; drain
/// `poll_finding` after each.
#[derive(Debug, Default)]
pub struct Judge {
    /// The items of the load: serial 1 is the first.
    items: Vec<Item>,
    posted: Vec<Posted>,
    /// The last number under which a content was posted.
    numbers: BTreeMap<Bytes, u64>,
    /// Whether the contents are compared with a list at the end, which knows what may come twice.
    has_list: bool,
    tally: Tally,
    latency: Latency,
    counts: Counts,
    findings: VecDeque<Finding>,
}

/// An item of the load.
#[derive(Debug, Clone)]
pub struct Item {
    /// Its record, without framing.
    pub text: Bytes,
    /// What became of it.
    pub state: State,
    /// When it went out first.
    pub sent: Option<Duration>,
}

/// What became of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is not settled.
    Waiting,
    /// The gateway has it.
    Confirmed,
    /// Its sender gave it up, or overwrote it.
    GivenUp,
}

/// A charge that was posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    /// Its number on the line.
    pub number: u64,
    /// Its text without the number.
    pub content: Bytes,
}

/// How much passed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Items of the load.
    pub queued: u64,
    /// Items that went out, each counted once.
    pub sent: u64,
    /// Items sent again.
    pub resent: u64,
    /// Items that the gateway has.
    pub confirmed: u64,
    /// Answers to commands.
    pub answered: u64,
    /// Items given up or overwritten.
    pub given_up: u64,
    /// Charges posted.
    pub posted: u64,
    /// Charges that came again.
    pub repeated: u64,
    /// Charges declined on purpose.
    pub declined: u64,
    /// Times the link came up.
    pub links: u64,
}

impl Judge {
    /// A judge; `has_list` says that a list of what is wanted comes at the end.
    pub fn new(has_list: bool) -> Self {
        Self { has_list, ..Self::default() }
    }

    /// The billing system did or saw something.
    pub fn handle_event(&mut self, event: &SimEvent, now: Duration) {
        match event {
            SimEvent::Queued { .. }
            | SimEvent::Sent { .. }
            | SimEvent::Confirmed { .. }
            | SimEvent::Answered { .. }
            | SimEvent::GaveUp { .. }
            | SimEvent::Overwritten { .. } => self.handle_item(event, now),
            SimEvent::Posted { number, content, .. } => self.handle_posted(*number, content),
            SimEvent::Repeated { number } => {
                self.tally.repeated += 1;
                self.give(Verdict::DupSuppressed, format!("charge {number} came again"));
            }
            SimEvent::Conflict { number, text } => {
                let text = text.escape_ascii();
                let detail = format!("number {number} is another charge's: \"{text}\"");
                self.give(Verdict::SeqConflict, detail);
            }
            SimEvent::Declined { .. } => self.tally.declined += 1,
            SimEvent::Gap { after, count } => {
                let detail = format!("{count} left out after {after}");
                self.give_many(Verdict::Gap, *count, detail);
            }
            SimEvent::Abandoned { after, count } => {
                let detail =
                    format!("{count} given up after {after}: refused as often as is tried");
                self.give_many(Verdict::LostBySender, *count, detail);
            }
            SimEvent::Reordered { number, after } => {
                self.give(Verdict::Reordered, format!("charge {number} came after {after}"));
            }
            SimEvent::BadCheck { bytes } => self.give_bytes(Verdict::BadCheck, bytes),
            SimEvent::Interleave { bytes } => self.give_bytes(Verdict::Interleave, bytes),
            SimEvent::Partial { bytes } => self.give_bytes(Verdict::Partial, bytes),
            SimEvent::AnswerReplayed => {
                let detail = "the last answer was asked for, and it was an earlier record's";
                self.give(Verdict::AckReplayedAcrossTakeover, detail.to_owned());
            }
            SimEvent::LateAnswer { bytes } => self.give_bytes(Verdict::LateAnswer, bytes),
            SimEvent::Link { up } => self.tally.links += u64::from(*up),
        }
    }

    /// The run is over: what is not settled is lost, and what passed is compared with `truth`.
    /// `is_own` knows the records of the billing system that are no items.
    pub fn handle_end(&mut self, truth: &Truth, is_own: &dyn Fn(&[u8]) -> bool, why: End) {
        if why == End::Stopped {
            // Whoever stops a run takes back what has not gone out.
            self.items.retain(|item| item.sent.is_some() || item.state != State::Waiting);
        }
        if let Some(wanted) = &truth.charges {
            for finding in truth::charges(wanted, &self.posted) {
                self.push(finding);
            }
        }
        let findings = match &truth.records {
            Some(records) => truth::records(&self.items, records, is_own),
            None => truth::unsettled(&self.items),
        };
        for finding in findings {
            self.push(finding);
        }
    }

    /// The next thing found.
    pub fn poll_finding(&mut self) -> Option<Finding> {
        self.findings.pop_front()
    }

    /// The verdicts so far.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// How much passed so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// From an item's first way out until the gateway had it.
    pub fn latency(&self) -> &Latency {
        &self.latency
    }

    /// The charges posted so far, in their order.
    pub fn posted(&self) -> &[Posted] {
        &self.posted
    }

    /// The items so far, in their order.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// Whether no more fits: a run that long is compared in parts.
    pub fn is_full(&self) -> bool {
        self.posted.len().max(self.items.len()) >= MAX_REMEMBERED
    }

    fn handle_item(&mut self, event: &SimEvent, now: Duration) {
        let (serial, state) = match event {
            SimEvent::Queued { text, .. } => {
                self.tally.queued += 1;
                self.items.push(Item { text: text.clone(), state: State::Waiting, sent: None });
                return;
            }
            SimEvent::Sent { serial, attempt } => {
                let first = *attempt <= 1;
                self.tally.sent += u64::from(first);
                self.tally.resent += u64::from(!first);
                if let Some(item) = item(&mut self.items, *serial) {
                    item.sent.get_or_insert(now);
                }
                return;
            }
            SimEvent::Answered { .. } => {
                self.tally.answered += 1;
                return;
            }
            SimEvent::Confirmed { serial } => (*serial, State::Confirmed),
            SimEvent::GaveUp { serial } | SimEvent::Overwritten { serial } => {
                (*serial, State::GivenUp)
            }
            _ => return,
        };
        let Some(item) = item(&mut self.items, serial) else { return };
        item.state = state;
        let (sent, text) = (item.sent, item.text.clone());
        if state == State::Confirmed {
            self.tally.confirmed += 1;
            self.latency.add(sent.map_or(Duration::ZERO, |sent| now.saturating_sub(sent)));
            return;
        }
        self.tally.given_up += 1;
        let why = match event {
            SimEvent::Overwritten { .. } => "overwritten",
            _ => "given up",
        };
        let detail = format!("item {serial} was {why}: \"{}\"", text.escape_ascii());
        self.give(Verdict::LostBySender, detail);
    }

    fn handle_posted(&mut self, number: u64, content: &Bytes) {
        self.tally.posted += 1;
        self.posted.push(Posted { number, content: content.clone() });
        let text = content.escape_ascii();
        match self.numbers.insert(content.clone(), number) {
            Some(before) if before == number => {
                let detail = format!("charge {number} was posted twice: \"{text}\"");
                self.give(Verdict::DuplicatePosted, detail);
            }
            Some(before) if !self.has_list => {
                let detail = format!("{before} and {number} are one charge: \"{text}\"");
                self.give(Verdict::DoubleContent, detail);
            }
            _ => {}
        }
    }

    fn give_bytes(&mut self, verdict: Verdict, bytes: &[u8]) {
        self.give(verdict, format!("\"{}\"", bytes.escape_ascii()));
    }

    fn give(&mut self, verdict: Verdict, detail: String) {
        self.give_many(verdict, 1, detail);
    }

    fn give_many(&mut self, verdict: Verdict, count: u64, detail: String) {
        self.push(Finding { verdict, count, detail });
    }

    fn push(&mut self, finding: Finding) {
        self.counts.add(finding.verdict, finding.count);
        self.findings.push_back(finding);
    }
}

fn item(items: &mut [Item], serial: u64) -> Option<&mut Item> {
    let index = usize::try_from(serial.checked_sub(1)?).ok()?;
    items.get_mut(index)
}

/// Charges and items remembered at most, each: some 200 MB, ten times the longest proof.
pub const MAX_REMEMBERED: usize = 1 << 20;
