//! A gateway with its store, as the payload's process drives it.

use std::collections::VecDeque;
use std::time::Duration;

use billing::{Reply, Resume, Write};
use failover_node::billing::note;
use failover_node::billing::session::Session;
use failover_node::billing::store::{Done, SqliteStore, Store, StoreError, Tenure};
use wire::frame::Fate;
use wire::{Frame, Grant, Name};

use super::faults::{Faults, Moment};
use super::setting::{Setting, Stores, wall};

/// The payload's process from its grant on.
pub struct Payload {
    session: Session,
    store: SqliteStore,
    /// Written down and not committed: the process was stopped there.
    writes: Vec<Write>,
    /// Released and not sent.
    frame: Option<Frame>,
    charges: bool,
    sought: Option<u64>,
    /// How long the handler takes; `None`: there is none.
    handler: Option<Duration>,
    /// Rows that the handler has, and when it is done with them.
    batch: VecDeque<(Duration, u64, Option<u64>)>,
}

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
        mut store: SqliteStore,
        (line, node): (Name, Name),
        grant: &Grant,
        now: Duration,
    ) -> Result<Self, StoreError> {
        let (epoch, incarnation) = (grant.epoch, grant.incarnation);
        let shared = setting.stores == Stores::Shared;
        let standing = store.begin(&Tenure { line, epoch, incarnation, node, shared })?;
        let dialect = &setting.dialect;
        let resume = Resume {
            acked: grant.acked,
            note: note::unwrap(grant.note.clone(), dialect.name(), incarnation),
            cut: matches!(grant.last.fate, Fate::Cut(_)),
            last_number: standing.last_number,
            wall: wall(),
        };
        Ok(Self {
            session: Session::new(dialect.name(), grant, dialect.gateway(resume, now)),
            store,
            writes: Vec::new(),
            frame: None,
            charges: dialect.posts(),
            sought: None,
            handler: setting.handler,
            batch: VecDeque::new(),
        })
    }

    /// Takes a frame from the node.
    ///
    /// # Panics
    /// It is none for a payload.
    pub fn handle_frame(&mut self, frame: Frame, now: Duration) {
        self.session.handle_frame(frame, now).expect("a frame for a payload");
    }

    /// Does what fell due.
    ///
    /// # Errors
    /// The store refuses.
    pub fn handle_timeout(&mut self, now: Duration) -> Result<(), StoreError> {
        while let Some((_, row, number)) = self.batch.front().copied().filter(|b| b.0 <= now) {
            self.batch.pop_front();
            self.store.handled(&[Done { row, reply: number.map(|_| Reply::Ok) }])?;
            if let Some(number) = number {
                self.session.gateway().handle_reply(number, Reply::Ok, now);
            }
        }
        if self.session.gateway().poll_timeout().is_some_and(|due| due <= now) {
            self.session.gateway().handle_timeout(now);
        }
        Ok(())
    }

    /// When something happens here next.
    pub fn poll_timeout(&mut self) -> Option<Duration> {
        let batch = self.batch.front().map(|(due, ..)| *due);
        [batch, self.session.gateway().poll_timeout()].into_iter().flatten().min()
    }

    /// Whether it would post a charge.
    pub fn wants_charge(&mut self) -> bool {
        self.session.gateway().wants_charge()
    }

    /// The order of the process: commit, release, send, and then what the gateway wants next.
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
            if self.writes.is_empty() {
                self.writes = self.session.writes();
                if !self.writes.is_empty() && faults.hits(Moment::Write) {
                    return Ok(Settled::Halted);
                }
            }
            if !self.writes.is_empty() {
                self.store.commit(&self.writes)?;
                self.charges |= self.writes.iter().any(|w| matches!(w, Write::Settle { .. }));
                self.writes.clear();
                if faults.hits(Moment::Commit) {
                    return Ok(Settled::Halted);
                }
            }
            self.session.release();
            if let Some(halted) = self.send(frames, faults) {
                return Ok(halted);
            }
            while self.session.gateway().poll_event().is_some() {}
            if !self.offer_reply(now)? && !self.offer_charge(now)? {
                break;
            }
        }
        self.feed_handler(now)?;
        Ok(Settled::All)
    }

    fn send(&mut self, frames: &mut Vec<Frame>, faults: &mut Faults) -> Option<Settled> {
        loop {
            if self.frame.is_none() {
                self.frame = Some(self.session.poll_frame()?);
                if faults.hits(Moment::Unsent) {
                    return Some(Settled::Halted);
                }
            }
            frames.extend(self.frame.take());
            if faults.hits(Moment::Held) {
                return Some(Settled::Halted);
            }
        }
    }

    fn offer_charge(&mut self, now: Duration) -> Result<bool, StoreError> {
        if !self.charges || !self.session.gateway().wants_charge() {
            return Ok(false);
        }
        let Some(ledger) = self.session.gateway().ledger().cloned() else { return Ok(false) };
        match self.store.next_posting(&ledger)? {
            Some(posting) => self.session.gateway().handle_charge(posting, now),
            None => self.charges = false,
        }
        Ok(self.charges)
    }

    fn offer_reply(&mut self, now: Duration) -> Result<bool, StoreError> {
        let awaited = self.session.gateway().awaits_reply();
        if awaited == self.sought {
            return Ok(false);
        }
        self.sought = awaited;
        let Some(number) = awaited else { return Ok(false) };
        let reply = match self.handler {
            None => Some(Reply::Ok),
            Some(_) => self.store.reply_to(number)?,
        };
        if let Some(reply) = reply {
            self.session.gateway().handle_reply(number, reply, now);
        }
        Ok(reply.is_some())
    }

    fn feed_handler(&mut self, now: Duration) -> Result<(), StoreError> {
        let Some(takes) = self.handler.filter(|_| self.batch.is_empty()) else { return Ok(()) };
        let rows = self.store.waiting(0, 1)?;
        self.batch.extend(rows.iter().map(|w| (now + takes, w.row, w.record.number)));
        Ok(())
    }
}
