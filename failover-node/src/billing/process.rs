//! The gateway's process: one loop between the node, the store and the handler.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use billing::{Dialect, WallClock};
use daemon::{Exit, Failure, OrExit};
use sys::{BootTimer, boottime, spawn};
use tokio::signal::unix::{SignalKind, signal};
use wire::{Frame, Grant};

use super::fields::fields;
use super::handler::{Handler, MAX_BATCH, Said, Task};
use super::notices;
use super::options::{HandlerOptions, Job};
use super::payload::{Payload, Step};
use super::pipes::{Inlet, Outlet};
use super::store::{Done, Handling, SqliteStore, StoreError, Tenure, Tidied, Waiting};
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
    let mut process = Process::begin(&job, &dialect, &grant)?;
    let timers = || BootTimer::new().or_exit(Exit::OsError);
    let (mut timer, mut look, mut watch) = (timers()?, timers()?, timers()?);
    loop {
        process.settle(&mut outlet)?;
        let (due, next_look) = (process.payload.gateway().poll_timeout(), process.next_look());
        tokio::select! {
            biased;
            // First, so that no flood of input keeps the process from ending. What the pipe takes
            // at once is not lost; a frame in it is whole or not there.
            _ = terminate.recv() => break,
            written = outlet.write() => written.or_exit(Exit::Io)?,
            read = inlet.read() => match read.or_exit(Exit::Protocol)? {
                frames if frames.is_empty() => break,
                frames => process.handle_frames(frames)?,
            },
            () = timer.until(due), if due.is_some() => {
                process.payload.gateway().handle_timeout(boottime());
            }
            said = process.handler.event(!process.batch.is_empty()) => process.handle_said(said)?,
            () = look.until(Some(next_look)) => process.look()?,
            () = watch.until(Some(process.wall_at)) => process.look_at_wall(),
        }
    }
    process.settle(&mut outlet)
}

/// A payload with its handler and what else knows the time.
struct Process {
    payload: Payload<SqliteStore>,
    handler: Handler,
    dialect: Dialect,
    line: String,
    /// The handler has these rows and has not dealt with them, each with its record's number.
    batch: BTreeMap<u64, Option<u64>>,
    /// When it got them, until that was long ago and was said.
    given_at: Option<Duration>,
    /// Rows up to this are given one by one: it failed, and what is behind it waits for it.
    single_to: u64,
    look_at: Duration,
    tidy_at: Duration,
    wall_at: Duration,
    retain: Duration,
    /// That nothing is forgotten was said.
    has_leapt: bool,
}

impl Process {
    fn begin(job: &Job, dialect: &Dialect, grant: &Grant) -> Result<Self, Failure> {
        let environment = |name| std::env::var(name).map_err(|_| format!("{name} is not set"));
        let line = environment(ENV_LINE).or_exit(Exit::Usage)?;
        let node = environment(ENV_NODE).or_exit(Exit::Usage)?;
        let store = SqliteStore::open(&job.store)?;
        let output = match job.handler {
            HandlerOptions::Stdout => Some(node_output().or_exit(Exit::OsError)?),
            _ => None,
        };
        let handler = Handler::new(&job.handler, output).or_exit(Exit::OsError)?;
        let tenure = Tenure {
            line: line.parse().or_exit(Exit::Usage)?,
            epoch: grant.epoch,
            incarnation: grant.incarnation,
            node: node.parse().or_exit(Exit::Usage)?,
            shared: job.shared,
            handling: Handling::of(dialect, handler.takes_rows()),
        };
        let now = boottime();
        let clocks = (wall(), now);
        let (payload, standing, has_note) = Payload::begin(dialect, store, &tenure, grant, clocks)?;
        eprintln!(
            "gateway-begins dialect={} note={} acked={} waiting={} unsettled={} doubt={}",
            dialect.name(),
            if has_note { "known" } else { "unknown" },
            grant.acked,
            standing.waiting,
            standing.unsettled,
            standing.doubt,
        );
        Ok(Self {
            payload,
            handler,
            dialect: dialect.clone(),
            line,
            batch: BTreeMap::new(),
            given_at: None,
            single_to: 0,
            look_at: now,
            tidy_at: now + TIDY_INTERVAL,
            wall_at: now + WALL_INTERVAL,
            retain: job.retain,
            has_leapt: false,
        })
    }

    fn handle_frames(&mut self, frames: Vec<Frame>) -> Result<(), Failure> {
        let now = boottime();
        for frame in frames {
            self.payload.handle_frame(frame, now).or_exit(Exit::Protocol)?;
        }
        Ok(())
    }

    /// Does all that is to be done, up to what the handler wants next.
    fn settle(&mut self, outlet: &mut Outlet) -> Result<(), Failure> {
        while let Some(step) = self.payload.poll_step(boottime())? {
            if let Step::Frame(frame) = step {
                outlet.push(&frame).or_exit(Exit::Io)?;
            }
        }
        while let Some(notice) = self.payload.gateway().poll_event() {
            notices::log(&notice);
        }
        if !self.batch.is_empty() || !self.handler.is_ready() {
            return Ok(());
        }
        let mut rows = self.payload.rows(MAX_BATCH)?;
        if rows.first().is_some_and(|first| first.row <= self.single_to) {
            rows.truncate(1);
        }
        if !rows.is_empty() {
            self.given_at = Some(boottime());
            self.batch = rows.iter().map(|waiting| (waiting.row, waiting.record.number)).collect();
            let task = |waiting: &Waiting| Task {
                id: waiting.row,
                json: json(&self.line, &self.dialect, waiting),
            };
            self.handler.give(rows.iter().map(task).collect());
        }
        Ok(())
    }

    fn handle_said(&mut self, said: Vec<Said>) -> Result<(), Failure> {
        let mut done = Vec::new();
        for said in said {
            match said {
                Said::Done { id, reply } => {
                    if let Some(number) = self.batch.remove(&id) {
                        done.push(Done { row: id, reply: number.map(|_| reply) });
                    }
                }
                Said::Failed { id, why } => {
                    eprintln!("record-failed line={} id={id} why={why:?}", self.line);
                    if self.batch.remove(&id).is_some() {
                        self.single_to = self.single_to.max(id);
                    }
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
            self.payload.handle_done(&done)?;
        }
        Ok(())
    }

    /// When the store is looked at next: another process may have added charges.
    fn next_look(&mut self) -> Duration {
        if self.payload.waits_for_store() { self.look_at } else { self.tidy_at }
    }

    fn look(&mut self) -> Result<(), Failure> {
        let now = boottime();
        self.look_at = now + LOOK_INTERVAL;
        self.payload.look(now)?;
        if now >= self.tidy_at {
            self.tidy_at = now + TIDY_INTERVAL;
            self.tidy()?;
            self.watch_handler(now);
        }
        Ok(())
    }

    /// Forgets some rows. It can wait: no difficulty with it ends a gateway that works.
    fn tidy(&mut self) -> Result<(), Failure> {
        match self.payload.tidy(self.retain) {
            Ok(Tidied::Done) => self.has_leapt = false,
            Ok(Tidied::Leapt) if self.has_leapt => {}
            Ok(Tidied::Leapt) => {
                eprintln!(
                    "store-forgets-nothing why=\"all that seems to be older than `retain` became so at \
                     once; was the clock set?\""
                );
                self.has_leapt = true;
            }
            Err(error @ StoreError::Superseded { .. }) => return Err(error.into()),
            Err(error) => eprintln!("store-forgets-nothing why={:?}", error.to_string()),
        }
        Ok(())
    }

    /// Says, once for a batch, that the handler is slow.
    fn watch_handler(&mut self, now: Duration) {
        let Some((id, _)) = self.batch.first_key_value() else { return };
        let Some(given) = self.given_at.filter(|given| now >= *given + SLOW) else { return };
        let seconds = (now - given).as_secs();
        eprintln!("handler-slow line={} id={id} seconds={seconds}", self.line);
        self.given_at = None;
    }

    fn look_at_wall(&mut self) {
        self.wall_at = boottime() + WALL_INTERVAL;
        self.payload.gateway().set_wall_clock(wall());
    }
}

/// A record as handlers read it: one line of JSON. Text that is no UTF-8 comes as `hex`.
fn json(line: &str, dialect: &Dialect, waiting: &Waiting) -> String {
    let Waiting { row, incarnation, record } = waiting;
    let mut json = serde_json::json!({
        "id": row,
        "line": line,
        // More digits than a reader of JSON can be trusted with.
        "incarnation": incarnation.to_string(),
        "start": record.start,
        "end": record.end,
        "kind": record.kind,
    });
    if let Some(number) = record.number {
        json["number"] = number.into();
    }
    let fields = fields(dialect, &record.text);
    if !fields.is_empty() {
        json["fields"] = fields.into();
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

/// How the clock on the wall stands now.
fn wall() -> WallClock {
    WallClock { at_boot: daemon::wall::at_boot() }
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
/// A handler that has not dealt with a batch for so long is worth a line in the log.
const SLOW: Duration = Duration::from_secs(5);
/// How often old rows are removed, some at a time, and the handler is looked after.
const TIDY_INTERVAL: Duration = Duration::from_secs(10);
/// How often the clock on the wall is looked at: a summer time that begins is seen within so long.
const WALL_INTERVAL: Duration = Duration::from_secs(10);
