//! A gateway with its store, as the payload's process drives it.

use std::collections::VecDeque;
use std::time::Duration;

use billing::Reply;
use failover_node::billing::payload::{self, Step};
use failover_node::billing::store::{Done, Handling, SqliteStore, StoreError, Tenure, Waiting};
use wire::{Frame, Grant, Name};

use super::faults::{Faults, Moment};
use super::setting::{Setting, Stores};
use crate::world::nodes::name;

/// The payload's process from its grant on: the node's own value, stopped where the plan says.
pub struct Payload {
    payload: payload::Payload<SqliteStore>,
    /// Released and not sent.
    frame: Option<Frame>,
    /// How long the handler takes; `None`: there is none.
    handler: Option<Duration>,
    /// Records that the handler was called for and that nobody has counted.
    pub calls: Vec<Call>,
    /// Rows that the handler has, and when it is done with them.
    batch: VecDeque<(Duration, u64, Option<u64>)>,
}

/// A record by its name for good: its stream, and where it began.
pub type Call = (u64, u64);

/// How far [`Payload::settle`] came.
#[derive(Debug, PartialEq, Eq)]
pub enum Settled {
    /// To its end.
    All,
    /// The plan has something for this moment: it is called again if the process lives on.
    Halted,
}

impl Payload {
    /// From the grant on.
    ///
    /// # Errors
    /// The store refuses.
    pub fn begin(
        setting: &Setting,
        store: SqliteStore,
        (line, node): (Name, usize),
        grant: &Grant,
        now: Duration,
    ) -> Result<Self, StoreError> {
        let (epoch, incarnation) = (grant.epoch, grant.incarnation);
        let shared = setting.stores == Stores::Shared;
        let (dialect, handler) = (&setting.dialect, setting.handler);
        let handling = Handling::of(dialect, handler.is_some());
        let tenure = Tenure { line, epoch, incarnation, node: name(node), shared, handling };
        let (payload, ..) =
            payload::Payload::begin(dialect, store, &tenure, grant, (setting.wall_of(node), now))?;
        Ok(Self { payload, frame: None, handler, calls: Vec::new(), batch: VecDeque::new() })
    }

    /// Takes a frame from the node.
    ///
    /// # Panics
    /// It is none for a payload.
    pub fn handle_frame(&mut self, frame: Frame, now: Duration) {
        self.payload.handle_frame(frame, now).expect("a frame for a payload");
    }

    /// Does what fell due.
    ///
    /// # Errors
    /// The store refuses.
    pub fn handle_timeout(&mut self, now: Duration) -> Result<(), StoreError> {
        while let Some((_, row, number)) = self.batch.front().copied().filter(|b| b.0 <= now) {
            self.batch.pop_front();
            self.payload.handle_done(&[Done { row, reply: number.map(|_| Reply::Ok) }])?;
        }
        if self.payload.gateway().poll_timeout().is_some_and(|due| due <= now) {
            self.payload.gateway().handle_timeout(now);
        }
        Ok(())
    }

    /// When something happens here next.
    pub fn poll_timeout(&mut self) -> Option<Duration> {
        let batch = self.batch.front().map(|(due, ..)| *due);
        [batch, self.payload.gateway().poll_timeout()].into_iter().flatten().min()
    }

    /// Whether it waits to be told the last number.
    pub fn needs_last(&mut self) -> bool {
        self.payload.gateway().needs_last()
    }

    /// Looks for what was written into its store.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn look(&mut self, now: Duration) -> Result<(), StoreError> {
        self.payload.look(now)
    }

    /// Whether it would post a charge.
    pub fn wants_charge(&mut self) -> bool {
        self.payload.gateway().wants_charge()
    }

    /// Does what is to be done, as far as the plan lets it.
    ///
    /// # Errors
    /// The store refuses.
    pub fn settle(
        &mut self,
        frames: &mut Vec<Frame>,
        faults: &mut Faults,
        now: Duration,
    ) -> Result<Settled, StoreError> {
        loop {
            // Nothing between a frame and its way out but the plan.
            if let Some(frame) = self.frame.take() {
                frames.push(frame);
                if faults.hits(Moment::Held) {
                    return Ok(Settled::Halted);
                }
            }
            let moment = match self.payload.poll_step(now)? {
                Some(Step::Committing) => Moment::Write,
                Some(Step::Committed) => Moment::Commit,
                Some(Step::Frame(frame)) => {
                    self.frame = Some(frame);
                    Moment::Unsent
                }
                None => break,
            };
            if faults.hits(moment) {
                return Ok(Settled::Halted);
            }
        }
        while self.payload.gateway().poll_event().is_some() {}
        if let Some(takes) = self.handler.filter(|_| self.batch.is_empty()) {
            let mut due = now;
            for Waiting { row, incarnation, record } in self.payload.rows(MAX_BATCH)? {
                due += takes;
                self.calls.push((incarnation, record.start));
                self.batch.push_back((due, row, record.number));
            }
        }
        Ok(Settled::All)
    }
}

/// Records that a handler has at a time.
const MAX_BATCH: usize = 64;
