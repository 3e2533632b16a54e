//! A gateway and its store, and the order between them: write down, commit, release, go on.

use std::time::Duration;

use billing::{Dialect, Gateway, Reply, Resume, WallClock, Write};
use wire::frame::Fate;
use wire::{Frame, Grant};

use super::note;
use super::session::{Misplaced, Session};
use super::store::{
    Done, Handling, LastSent, Standing, Store, StoreError, Tenure, Tidied, Waiting,
};

/// The payload of one grant, but for its pipes, clocks and handler.
///
/// Contract: call one `handle_*`, or one method of [`Self::gateway`]; then [`Self::poll_step`] until
/// it has none. A store that refused has ended the tenure: drop the value.
pub struct Payload<S> {
    session: Session,
    store: S,
    /// Who replies to a command.
    handling: Handling,
    /// Written down and not committed.
    writes: Vec<Write>,
    /// There may be rows for the handler.
    rows: bool,
    /// There may be charges to post.
    charges: bool,
    /// The command whose reply was looked for.
    sought: Option<u64>,
}

/// What was done, or is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The next step commits something.
    Committing,
    /// It was committed.
    Committed,
    /// To be sent to the node.
    Frame(Frame),
}

impl<S: Store> Payload<S> {
    /// From the grant on. Also says how the store stands, and whether there was a note to go by.
    ///
    /// # Errors
    /// The store refuses.
    pub fn begin(
        dialect: &Dialect,
        mut store: S,
        tenure: &Tenure,
        grant: &Grant,
        (wall, now): (WallClock, Duration),
    ) -> Result<(Self, Standing, bool), StoreError> {
        let standing = store.begin(tenure)?;
        let resume = Resume {
            acked: grant.acked,
            note: note::unwrap(grant.note.clone(), dialect.name(), grant.incarnation),
            cut: matches!(grant.last.fate, Fate::Cut(_)),
            last_number: standing.last_number,
            wall,
        };
        let known = resume.note.is_some();
        let mut payload = Self {
            session: Session::new(dialect.name(), grant, dialect.gateway(resume, now)),
            store,
            handling: tenure.handling,
            writes: Vec::new(),
            rows: true,
            charges: dialect.posts(),
            sought: None,
        };
        if dialect.posts() {
            let last = payload.store.last_sent()?;
            payload.session.gateway().handle_last(&last, now);
        }
        Ok((payload, standing, known))
    }

    /// The gateway, to tell it what is no frame.
    pub fn gateway(&mut self) -> &mut dyn Gateway {
        self.session.gateway()
    }

    /// Takes a frame from the node. All that were read at once go in before the next step: that is
    /// what makes one commit of many records.
    ///
    /// # Errors
    /// It is none for a payload that has its grant.
    pub fn handle_frame(&mut self, frame: Frame, now: Duration) -> Result<(), Misplaced> {
        self.session.handle_frame(frame, now)
    }

    /// The handler is done with rows; those of commands come with its reply.
    ///
    /// # Errors
    /// The store refuses.
    pub fn handle_done(&mut self, done: &[Done]) -> Result<(), StoreError> {
        self.store.handled(done)?;
        // Whether one of them is the command whose reply is awaited, the store knows: numbers come again.
        self.sought = None;
        Ok(())
    }

    /// What happens next; `None`: nothing until somebody has news.
    ///
    /// # Errors
    /// The store refuses.
    pub fn poll_step(&mut self, now: Duration) -> Result<Option<Step>, StoreError> {
        loop {
            if !self.writes.is_empty() {
                self.store.commit(&self.writes)?;
                self.rows |= self.writes.iter().any(|w| matches!(w, Write::Receive(_)));
                self.charges |= self.writes.iter().any(|w| matches!(w, Write::Settle { .. }));
                self.writes.clear();
                return Ok(Some(Step::Committed));
            }
            self.writes = self.session.writes();
            if !self.writes.is_empty() {
                return Ok(Some(Step::Committing));
            }
            self.session.release();
            if let Some(frame) = self.session.poll_frame() {
                return Ok(Some(Step::Frame(frame)));
            }
            if !self.offer_reply(now)? && !self.offer_charge(now)? {
                return Ok(None);
            }
        }
    }

    /// Rows for a handler that has none, in the order of the line; empty: wait for the next step.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn rows(&mut self, limit: usize) -> Result<Vec<Waiting>, StoreError> {
        if !self.rows {
            return Ok(Vec::new());
        }
        let rows = self.store.waiting(limit)?;
        self.rows = !rows.is_empty();
        Ok(rows)
    }

    /// Whether something that somebody adds to the store now would be made use of at once.
    pub fn waits_for_store(&mut self) -> bool {
        let gateway = self.session.gateway();
        gateway.needs_last() || (!self.charges && gateway.wants_charge())
    }

    /// Looks for what others have added to the store.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn look(&mut self, now: Duration) -> Result<(), StoreError> {
        let has_changed = self.store.changed()?;
        self.charges |= has_changed;
        if has_changed && self.session.gateway().needs_last() {
            let last = self.store.last_sent()?;
            if matches!(last, LastSent::Known(_)) {
                self.session.gateway().handle_last(&last, now);
            }
        }
        Ok(())
    }

    /// As [`Store::tidy`].
    ///
    /// # Errors
    /// The store can't be written.
    pub fn tidy(&mut self, retain: Duration) -> Result<Tidied, StoreError> {
        self.store.tidy(retain)
    }

    /// Gives the gateway the next charge, if it wants one and there is one.
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

    /// Gives the gateway the reply that it awaits, if it is there.
    fn offer_reply(&mut self, now: Duration) -> Result<bool, StoreError> {
        let awaited = self.session.gateway().awaits_reply();
        if awaited == self.sought {
            return Ok(false);
        }
        self.sought = awaited;
        let Some(number) = awaited else { return Ok(false) };
        let reply = match self.handling {
            Handling::Nobody => Some(Reply::Ok),
            Handling::Records | Handling::Commands => self.store.reply_to(number)?,
        };
        if let Some(reply) = reply {
            self.session.gateway().handle_reply(number, reply, now);
        }
        Ok(reply.is_some())
    }
}
