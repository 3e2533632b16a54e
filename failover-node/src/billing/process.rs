//! The gateway's process: one loop between the node, the store and the handler.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use billing::{Dialect, Reply, Resume, Write};
use daemon::{Exit, Failure, OrExit};
use sys::{BootTimer, boottime, spawn};
use tokio::signal::unix::{SignalKind, signal};
use wire::frame::Fate;
use wire::{Frame, Grant};

use super::handler::{Handler, MAX_BATCH, Said, Task};
use super::note;
use super::notices;
use super::options::{HandlerOptions, Job};
use super::pipes::{Inlet, Outlet};
use super::session::Session;
use super::store::{Done, SqliteStore, Store, Tenure, Waiting};
use super::wall::{WALL_INTERVAL, wall_clock};
use crate::component::exec::{ENV_LINE, ENV_NODE, ENV_OUTPUT};

/// Runs the gateway until the node ends it.
///
/// # Errors
/// The job is none, the store is not to be used or refuses, or the node does not keep the protocol.
/// Nothing was acknowledged that is not durable.
pub fn run(job: &str) -> Result<(), Failure> {
    let job: Job = serde_json::from_str(job).or_exit(Exit::Usage)?;
    let dialect = Dialect::named(&job.dialect, &job.settings).or_exit(Exit::Usage)?;
    // By way of /proc/self/exe it would be listed as "exe". No reason to fail.
    let _ = std::fs::write("/proc/self/comm", "gateway");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .or_exit(Exit::OsError)?;
    runtime.block_on(serve(job, dialect))
}

async fn serve(job: Job, dialect: Dialect) -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate()).or_exit(Exit::OsError)?;
    let mut inlet = Inlet::open().or_exit(Exit::OsError)?;
    let mut outlet = Outlet::open().or_exit(Exit::OsError)?;
    let grant = tokio::select! {
        biased;
        _ = terminate.recv() => return Ok(()),
        grant = inlet.grant() => grant.or_exit(Exit::Protocol)?,
    };
    let Some(grant) = grant else { return Ok(()) };
    let mut payload = Payload::begin(&job, &dialect, &grant)?;
    let timers = || BootTimer::new().or_exit(Exit::OsError);
    let (mut timer, mut look, mut wall) = (timers()?, timers()?, timers()?);
    loop {
        payload.settle(&mut outlet)?;
        let (due, next_look) = (payload.session.gateway().poll_timeout(), payload.next_look());
        tokio::select! {
            biased;
            // First, so that no flood of input keeps the process from ending. What the pipe takes
            // at once is not lost; a frame in it is whole or not there.
            _ = terminate.recv() => break,
            written = outlet.write() => written.or_exit(Exit::Io)?,
            read = inlet.read() => match read.or_exit(Exit::Protocol)? {
                frames if frames.is_empty() => break,
                frames => payload.handle_frames(frames)?,
            },
            () = timer.until(due), if due.is_some() => {
                payload.session.gateway().handle_timeout(boottime());
            }
            said = payload.handler.event(!payload.batch.is_empty()) => payload.handle_said(said)?,
            () = look.until(next_look), if next_look.is_some() => payload.look()?,
            () = wall.until(Some(payload.wall_at)) => payload.look_at_wall(),
        }
    }
    payload.settle(&mut outlet)
}

/// A gateway and what it needs.
struct Payload {
    session: Session,
    store: Box<dyn Store>,
    handler: Handler,
    line: String,
    /// The handler has these rows and has not dealt with them, each with its record's number.
    batch: BTreeMap<u64, Option<u64>>,
    /// There may be rows for the handler.
    rows: bool,
    /// There may be charges to post.
    charges: bool,
    /// The command whose reply was looked for.
    sought: Option<u64>,
    look_at: Duration,
    tidy_at: Duration,
    wall_at: Duration,
    retain: Duration,
}

impl Payload {
    fn begin(job: &Job, dialect: &Dialect, grant: &Grant) -> Result<Self, Failure> {
        let environment = |name| std::env::var(name).map_err(|_| format!("{name} is not set"));
        let line = environment(ENV_LINE).or_exit(Exit::Usage)?;
        let node = environment(ENV_NODE).or_exit(Exit::Usage)?;
        let mut store = SqliteStore::open(&job.store)?;
        let tenure = Tenure {
            line: line.parse().or_exit(Exit::Usage)?,
            epoch: grant.epoch,
            incarnation: grant.incarnation,
            node: node.parse().or_exit(Exit::Usage)?,
            shared: job.shared,
        };
        let standing = store.begin(&tenure)?;
        let now = boottime();
        let resume = Resume {
            acked: grant.acked,
            note: note::unwrap(grant.note.clone(), dialect.name(), grant.incarnation),
            cut: matches!(grant.last.fate, Fate::Cut(_)),
            last_number: standing.last_number,
            wall: wall_clock(),
        };
        let known = if resume.note.is_some() { "known" } else { "unknown" };
        eprintln!(
            "gateway-begins dialect={} note={known} acked={} waiting={} unsettled={} doubt={}",
            dialect.name(),
            grant.acked,
            standing.waiting,
            standing.unsettled,
            standing.doubt,
        );
        let output = match job.handler {
            HandlerOptions::Stdout => Some(node_output().or_exit(Exit::OsError)?),
            _ => None,
        };
        Ok(Self {
            session: Session::new(dialect.name(), grant, dialect.gateway(resume, now)),
            store: Box::new(store),
            handler: Handler::new(&job.handler, output).or_exit(Exit::OsError)?,
            line,
            batch: BTreeMap::new(),
            rows: true,
            charges: dialect.posts(),
            sought: None,
            look_at: now,
            tidy_at: now + TIDY_INTERVAL,
            wall_at: now + WALL_INTERVAL,
            retain: job.retain,
        })
    }

    fn handle_frames(&mut self, frames: Vec<Frame>) -> Result<(), Failure> {
        // All of them before the next commit: that is what makes it one for many records.
        let now = boottime();
        for frame in frames {
            self.session.handle_frame(frame, now).or_exit(Exit::Protocol)?;
        }
        Ok(())
    }

    /// Makes durable what has to be, and only then lets outputs go; gives gateway and handler what
    /// they want next.
    fn settle(&mut self, outlet: &mut Outlet) -> Result<(), Failure> {
        loop {
            let writes = self.session.writes();
            if !writes.is_empty() {
                self.store.commit(&writes)?;
                self.rows |= writes.iter().any(|write| matches!(write, Write::Receive(_)));
                self.charges |= writes.iter().any(|write| matches!(write, Write::Settle { .. }));
            }
            self.session.release();
            while let Some(frame) = self.session.poll_frame() {
                outlet.push(&frame).or_exit(Exit::Io)?;
            }
            while let Some(notice) = self.session.gateway().poll_event() {
                notices::log(&notice);
            }
            if !self.offer_reply()? && !self.offer_charge()? {
                break;
            }
        }
        self.feed_handler()
    }

    /// Gives the gateway the next charge, if it wants one and there is one.
    fn offer_charge(&mut self) -> Result<bool, Failure> {
        if !self.charges || !self.session.gateway().wants_charge() {
            return Ok(false);
        }
        let Some(ledger) = self.session.gateway().ledger().cloned() else { return Ok(false) };
        match self.store.next_posting(&ledger)? {
            Some(posting) => self.session.gateway().handle_charge(posting, boottime()),
            None => self.charges = false,
        }
        Ok(self.charges)
    }

    /// Gives the gateway a reply that is there already: no handler replies, or the one of an
    /// earlier grant has.
    fn offer_reply(&mut self) -> Result<bool, Failure> {
        let awaited = self.session.gateway().awaits_reply();
        if awaited == self.sought {
            return Ok(false);
        }
        self.sought = awaited;
        let Some(number) = awaited else { return Ok(false) };
        let reply = match self.handler.takes_rows() {
            false => Some(Reply::Ok),
            true => self.store.reply_to(number)?,
        };
        if let Some(reply) = reply {
            self.session.gateway().handle_reply(number, reply, boottime());
        }
        Ok(reply.is_some())
    }

    fn feed_handler(&mut self) -> Result<(), Failure> {
        if !self.rows || !self.batch.is_empty() || !self.handler.is_ready() {
            return Ok(());
        }
        let rows = self.store.waiting(0, MAX_BATCH)?;
        self.rows = rows.len() == MAX_BATCH;
        if rows.is_empty() {
            return Ok(());
        }
        self.batch = rows.iter().map(|waiting| (waiting.row, waiting.record.number)).collect();
        let task = |waiting: &Waiting| Task { id: waiting.row, json: json(&self.line, waiting) };
        self.handler.give(rows.iter().map(task).collect());
        Ok(())
    }

    fn handle_said(&mut self, said: Vec<Said>) -> Result<(), Failure> {
        let mut done = Vec::new();
        for said in said {
            match said {
                Said::Done { id, reply } => {
                    if let Some(number) = self.batch.remove(&id) {
                        done.push((id, reply, number));
                    }
                }
                Said::Failed { id, why } => {
                    eprintln!("record-failed line={} id={id} why={why:?}", self.line);
                    self.batch.remove(&id);
                    self.handler.rest();
                }
                Said::Ended { why } => {
                    eprintln!("handler-ended line={} why={why:?}", self.line);
                    self.batch.clear();
                    self.handler.rest();
                }
            }
        }
        if !done.is_empty() {
            let reply = |number: &Option<u64>, reply| number.is_some().then_some(reply);
            let rows: Vec<_> = done
                .iter()
                .map(|(row, said, number)| Done { row: *row, reply: reply(number, *said) })
                .collect();
            self.store.handled(&rows)?;
        }
        for (_, reply, number) in done {
            if let Some(number) = number {
                self.session.gateway().handle_reply(number, reply, boottime());
            }
        }
        self.rows |= self.batch.is_empty();
        Ok(())
    }

    /// When the store is looked at next: another process may have added charges.
    fn next_look(&mut self) -> Option<Duration> {
        let waits = !self.charges && self.session.gateway().wants_charge();
        Some(if waits { self.look_at } else { self.tidy_at })
    }

    fn look(&mut self) -> Result<(), Failure> {
        let now = boottime();
        self.look_at = now + LOOK_INTERVAL;
        self.charges |= self.store.changed()?;
        if now >= self.tidy_at {
            self.tidy_at = now + TIDY_INTERVAL;
            self.store.tidy(self.retain)?;
        }
        Ok(())
    }

    fn look_at_wall(&mut self) {
        self.wall_at = boottime() + WALL_INTERVAL;
        self.session.gateway().set_wall_clock(wall_clock());
    }
}

/// A record as handlers read it: one line of JSON. Text that is no UTF-8 comes as `hex`.
fn json(line: &str, waiting: &Waiting) -> String {
    let Waiting { row, incarnation, record } = waiting;
    let mut json = serde_json::json!({
        "id": row,
        "line": line,
        "incarnation": incarnation,
        "start": record.start,
        "end": record.end,
        "kind": record.kind,
    });
    if let Some(number) = record.number {
        json["number"] = number.into();
    }
    match std::str::from_utf8(&record.text) {
        Ok(text) => json["text"] = text.into(),
        Err(_) => json["hex"] = hex(&record.text).into(),
    }
    json.to_string()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The descriptor of the node's standard output that the guard has left.
fn node_output() -> io::Result<std::os::fd::OwnedFd> {
    let number = std::env::var(ENV_OUTPUT).ok().and_then(|number| number.parse().ok());
    let number = number.ok_or_else(|| io::Error::other(format!("{ENV_OUTPUT} is not set")))?;
    spawn::inherited(number)
}

/// How soon a charge that was added is seen, while the gateway waits for one: soon enough for a
/// till, and a look is one small read.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// How often old rows are removed, some at a time.
const TIDY_INTERVAL: Duration = Duration::from_secs(10);
