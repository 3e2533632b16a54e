//! Tells the groups how their lines stand.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sys::BootTimer;
use tokio::sync::Notify;
use wire::{Datagram, Key, LineStatus, Name, Time};

use super::clock::now;
use super::targets::Targets;
use crate::core::Announcer;

/// What the lines of one group last said of themselves.
#[derive(Debug)]
pub(crate) struct Board {
    posted: Mutex<Posted>,
    changed: Notify,
}

/// At most one status a line, however fast they change.
#[derive(Debug)]
struct Posted {
    /// What signs the beacons.
    key: Key,
    /// The highest start number of a line.
    start: u32,
    /// Each line's status and when it was taken.
    lines: BTreeMap<Name, (LineStatus, Time)>,
    /// The lines whose status the herald has not seen.
    news: BTreeSet<Name>,
    /// Lines have come or gone since the herald looked.
    roster: bool,
    /// The group has no lines any more.
    closed: bool,
}

/// The boards of all the groups that a line belongs to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Boards(pub(crate) Vec<Arc<Board>>);

impl Boards {
    /// The line's status is this now.
    pub(crate) fn post(&self, status: &LineStatus, taken: Time) {
        for board in &self.0 {
            let mut posted = board.lock();
            let line = status.line.clone();
            posted.news.insert(line.clone());
            posted.roster |= posted.lines.insert(line, (status.clone(), taken)).is_none();
            board.changed.notify_one();
        }
    }

    /// The start number is at least this.
    pub(crate) fn raise(&self, start: u32) {
        for board in &self.0 {
            let mut posted = board.lock();
            posted.start = posted.start.max(start);
            board.changed.notify_one();
        }
    }
}

impl Board {
    /// Of a group whose beacons `key` signs.
    pub(crate) fn new(key: &Key) -> Self {
        let posted = Posted {
            key: key.clone(),
            start: 0,
            lines: BTreeMap::new(),
            news: BTreeSet::new(),
            roster: false,
            closed: false,
        };
        Self { posted: Mutex::new(posted), changed: Notify::new() }
    }

    /// Signs the beacons from now on.
    pub(crate) fn sign_with(&self, key: &Key) {
        self.lock().key.clone_from(key);
    }

    /// The group has lost this line.
    pub(crate) fn remove(&self, line: &Name) {
        let mut posted = self.lock();
        posted.news.remove(line);
        posted.roster |= posted.lines.remove(line).is_some();
        self.changed.notify_one();
    }

    /// Ends its herald.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Posted> {
        self.posted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends the beacons of one group until its board is closed.
#[derive(Debug)]
pub(crate) struct Herald {
    announcer: Announcer,
    targets: Targets,
    board: Arc<Board>,
    timer: BootTimer,
}

impl Herald {
    pub(crate) fn new(
        announcer: Announcer,
        targets: Targets,
        board: Arc<Board>,
        timer: BootTimer,
    ) -> Self {
        Self { announcer, targets, board, timer }
    }

    /// Ends when the board is closed.
    pub(crate) async fn run(mut self) {
        loop {
            while let Some(beacon) = self.announcer.poll_beacon(now()) {
                let bytes = Datagram::Beacon(beacon).encode(&self.board.lock().key);
                self.targets.send(&bytes, now());
            }
            let deadline = self.announcer.poll_timeout().map(Time::since_boot);
            tokio::select! {
                // A change goes before a beacon that would not know of it.
                biased;
                () = self.board.changed.notified() => {
                    if self.read_board() {
                        return;
                    }
                }
                () = self.timer.until(deadline) => {}
                () = self.targets.opened() => {}
            }
        }
    }

    /// Whether it is closed.
    fn read_board(&mut self) -> bool {
        let mut posted = self.board.lock();
        self.announcer.handle_start(posted.start);
        let news = std::mem::take(&mut posted.news);
        if std::mem::take(&mut posted.roster) {
            self.announcer.handle_lines(posted.lines.values().cloned(), now());
        } else {
            for (status, taken) in news.iter().filter_map(|line| posted.lines.get(line)) {
                self.announcer.handle_status(status.clone(), *taken);
            }
        }
        posted.closed
    }
}
