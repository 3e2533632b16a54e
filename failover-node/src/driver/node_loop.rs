//! The one loop of a node. It owns everything that the node has, and it alone produces heartbeats,
//! renewals and the guard's ticks, so that none of them survives its hanging (I8).

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use daemon::{CancellationToken, Exit, Request, StatusError, StatusSocket, notify};
use sys::{BootTimer, boottime};
use tokio::sync::mpsc;
use wire::time::earliest;
use wire::{Datagram, Epoch, Nonce, Role, Time};

use super::check::Checker;
use super::command::Commands;
use super::connection::{ConnectionEvent, Read};
use super::events::Events;
use super::hooks::{Gate, HookRunner};
use super::journal::Journal;
use super::lateness;
use super::network::{Heard, Networks};
use super::options::{Options, random};
use super::reload::{Reload, Reloads};
use super::report;
use super::station::{Station, StationEvent, Wants, next_event};
use crate::core::{LineId, Maintenance, Node};

/// Why a node did not start, or did not stop in order.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The heartbeat socket could not be opened. Nothing was sent.
    #[error("failed to open the heartbeat socket {network}: {source}")]
    Multicast {
        /// The network, as configured.
        network: String,
        /// What the system said.
        source: io::Error,
    },
    /// The status socket could not be bound. Nothing was sent.
    #[error(transparent)]
    Status(#[from] StatusError),
    /// The system refused a descriptor or a random number. Nothing was sent.
    #[error("failed to start: {0}")]
    System(#[from] io::Error),
    /// The line was not given back in time; the terminal server ends the lease.
    #[error("not stopped in order within {0:?}")]
    StopOverrun(Duration),
}

/// Runs a node until `shutdown` is cancelled and the line, if it has it, is given back.
///
/// Dropping the future ends everything at once: the guard kills the payload when its pipe closes.
///
/// # Errors
/// See [`Error`].
pub async fn run(options: Options, shutdown: CancellationToken) -> Result<(), Error> {
    let (_none, reloads) = mpsc::channel(1);
    run_reloading(options, shutdown, reloads).await
}

/// As [`run`], and goes over to each set of settings that comes.
///
/// # Errors
/// See [`Error`].
pub async fn run_reloading(
    options: Options,
    shutdown: CancellationToken,
    reloads: Reloads,
) -> Result<(), Error> {
    let (send, requests) = mpsc::channel(REQUESTS);
    let served = CancellationToken::new();
    let socket = match &options.status {
        Some(path) => Some(StatusSocket::bind(path).await?),
        None => None,
    };
    let mut timer = BootTimer::new()?;
    let latest = lateness::probe(&mut timer).await;
    let mut node_loop = NodeLoop::new(options, (requests, reloads), shutdown, timer)?;
    node_loop.journal.late_at_start(latest, &node_loop.options.profile);
    let server = socket.map(|socket| tokio::spawn(socket.serve(send, served.clone())));
    node_loop.journal.ready(&node_loop.options);
    notify::ready(&report::headline(&node_loop.node, now()));
    let ended = node_loop.run().await;
    node_loop.events.finish().await;
    served.cancel();
    if let Some(server) = server {
        // Only a panic could be in it, and that has been said.
        let _ = server.await;
    }
    ended
}

/// Everything a node has.
pub(crate) struct NodeLoop {
    pub(crate) options: Options,
    pub(crate) node: Node,
    pub(crate) heartbeats: Networks,
    /// One for each line.
    pub(crate) stations: Vec<Station>,
    pub(crate) hooks: HookRunner,
    pub(crate) check: Checker,
    /// The grant of the first line that is or was served, until the hooks after it have been called.
    pub(crate) served: Epoch,
    /// The hooks before serving have passed for the grant of the first line.
    pub(crate) gate_open: bool,
    /// Why the role changed last, by the log's word.
    pub(crate) cause: &'static str,
    /// Grows with each turn of the loop.
    turn: usize,
    /// What has happened within the loop and the core is to be told, after the present drain.
    pub(crate) outcomes: VecDeque<(LineId, Outcome)>,
    pub(crate) journal: Journal,
    pub(crate) events: Events,
    /// [`crate::core::Action::Stopped`] has come.
    pub(crate) stopped: bool,
    /// What a killed guard left behind is looked for again then.
    pub(crate) strays_at: Option<Time>,
    /// Since when it is looked for.
    pub(crate) strays_since: Option<Time>,
    /// It was said that some of it may not be killed.
    pub(crate) strays_told: bool,
    /// What the service manager was told last.
    pub(crate) shown: Option<(Role, Option<Epoch>)>,
    requests: mpsc::Receiver<Request>,
    reloads: Reloads,
    pub(crate) timer: BootTimer,
    shutdown: CancellationToken,
    /// The end of a stop that takes too long.
    pub(crate) stop_by: Option<Time>,
    pub(crate) watchdog: Option<Watchdog>,
}

/// What the loop tells the core about its own deeds.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The instance could not start, or died before the grant.
    InstanceFailed(String),
    /// The payload and its descendants are gone.
    PayloadGone,
    /// Guard, payload and connection are gone.
    InstanceGone,
}

pub(crate) struct Watchdog {
    interval: Duration,
    next: Time,
}

/// Why the loop woke up.
enum Event {
    Shutdown,
    Deadline,
    Request(Request),
    Reload(Box<Reload>),
    Station(LineId, StationEvent),
    Gate(Gate),
    Fit(bool),
    Datagrams,
}

impl NodeLoop {
    fn new(
        options: Options,
        (requests, reloads): (mpsc::Receiver<Request>, Reloads),
        shutdown: CancellationToken,
        timer: BootTimer,
    ) -> Result<Self, Error> {
        let heartbeats = Networks::open(&options, now()).map_err(|source| Error::Multicast {
            network: options.networks.first().map(ToString::to_string).unwrap_or_default(),
            source,
        })?;
        let now = now();
        let watchdog = notify::watchdog_interval();
        let config = options.node_config()?;
        let who = (config.boot, config.node.clone(), config.lines[0].clone());
        Ok(Self {
            events: Events::new(who, options.events.as_deref(), now),
            node: Node::new(config, now),
            heartbeats,
            stations: options.lines.iter().map(|_| Station::new()).collect(),
            turn: 0,
            hooks: HookRunner::new(options.hooks.clone(), Commands::of(&options)),
            check: Checker::new(options.check.clone(), Commands::of(&options))?,
            served: Epoch::NONE,
            gate_open: false,
            cause: "start",
            outcomes: VecDeque::new(),
            journal: Journal::new(),
            stopped: false,
            strays_at: None,
            strays_told: false,
            strays_since: None,
            shown: None,
            requests,
            reloads,
            timer,
            shutdown,
            stop_by: None,
            watchdog: watchdog.map(|interval| Watchdog { interval, next: now }),
            options,
        })
    }

    async fn run(&mut self) -> Result<(), Error> {
        if let Some(length) = self.options.maintenance {
            let order = Maintenance::On { length: Some(length), force: true };
            // It has no line yet that somebody would have to take.
            let _ = self.node.handle_maintenance(order, now());
        }
        self.settle();
        while !self.stopped {
            match self.event().await {
                Event::Shutdown => self.stop(),
                Event::Deadline => self.deadline()?,
                Event::Request(request) => self.answer(request),
                Event::Reload(reload) => self.reload(*reload),
                Event::Station(line, StationEvent::Instance(event)) => {
                    self.instance_event(line, event);
                }
                Event::Station(line, StationEvent::Connection(event)) => {
                    self.connection_event(line, event);
                }
                Event::Gate(gate) => self.gate_event(&gate),
                Event::Fit(fit) => self.node.handle_health(fit, now()),
                Event::Datagrams => self.hear(),
            }
            self.settle();
        }
        self.finish_hooks().await;
        tracing::info!("stopped");
        Ok(())
    }

    /// Waits. Every branch is cancel-safe: what is half done lives in `self`.
    async fn event(&mut self) -> Event {
        let deadline = self.next_deadline();
        let stopping = self.stop_by.is_some();
        self.turn = self.turn.wrapping_add(1);
        let wants: Vec<Wants> = (0..self.stations.len()).map(|line| self.wants(line)).collect();
        let Self { hooks, check, requests, reloads, heartbeats, .. } = self;
        // What strangers can send comes last, so that a flood of datagrams keeps nothing but
        // datagrams waiting.
        let others = async {
            tokio::select! {
                biased;
                gate = hooks.event() => Event::Gate(gate),
                fit = check.event() => Event::Fit(fit),
                Some(request) = requests.recv() => Event::Request(request),
                Some(reload) = reloads.recv() => Event::Reload(Box::new(reload)),
                () = heartbeats.readable() => Event::Datagrams,
            }
        };
        let lines = async {
            let (line, event) = next_event(&mut self.stations, &wants, self.turn).await;
            Event::Station(line, event)
        };
        // A stop and a deadline come before any amount of other work. However busy the lines are,
        // now and then everything else comes before them.
        let others_first = self.turn.is_multiple_of(OTHERS_EVERY);
        let work = async {
            if others_first {
                tokio::select! { biased; event = others => event, event = lines => event }
            } else {
                tokio::select! { biased; event = lines => event, event = others => event }
            }
        };
        tokio::select! {
            biased;
            () = self.shutdown.cancelled(), if !stopping => Event::Shutdown,
            () = self.timer.until(deadline.map(Time::since_boot)) => Event::Deadline,
            event = work => event,
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        earliest([
            self.node.poll_timeout(),
            self.stations.iter().filter_map(Station::deadline).min(),
            self.strays_at,
            self.stop_by,
            self.watchdog.as_ref().map(|watchdog| watchdog.next),
        ])
    }

    /// The payload's output is read while there is room for it on its way to the line, the
    /// terminal server while the payload takes what it sends.
    pub(crate) fn wants(&self, line: LineId) -> Wants {
        let Station { connection, instance, .. } = &self.stations[line];
        let waiting = instance.as_ref().map_or(0, |instance| instance.feed.waiting());
        Wants {
            payload: self.node.wants_payload(line) && connection.waiting() < MAX_SEND,
            connection: waiting < MAX_STDIN,
        }
    }

    fn stop(&mut self) {
        let now = now();
        let limit = self.stop_limit();
        self.stop_by = Some(now + limit);
        self.node.handle_stop(now);
    }

    /// The payload's grace, the time for a RELEASE, and the time to end what will not end.
    fn stop_limit(&self) -> Duration {
        let lease = self.options.profile.lease;
        crate::core::config::STOP_GRACE + lease * 2 + STOP_MARGIN
    }

    fn deadline(&mut self) -> Result<(), Error> {
        let now = now();
        if self.node.poll_timeout().is_some_and(|at| at <= now) {
            self.node.handle_timeout(now);
            self.journal.late(self.node.counters(), now);
            self.drain();
        }
        for instance in self.stations.iter_mut().filter_map(|station| station.instance.as_mut()) {
            if instance.patience.is_some_and(|at| at <= now) {
                tracing::error!("guard-hangs");
                instance.patience = None;
                instance.kill_guard();
            }
        }
        if let Some(watchdog) = self.watchdog.as_mut().filter(|w| w.next <= now) {
            notify::watchdog();
            watchdog.next = now + watchdog.interval;
        }
        match self.stop_by {
            Some(at) if at <= now => Err(Error::StopOverrun(self.stop_limit())),
            _ => Ok(()),
        }
    }

    fn hear(&mut self) {
        for _ in 0..MAX_DATAGRAMS {
            let now = now();
            match self.heartbeats.hear(now) {
                Heard::Datagram(Datagram::Heartbeat(h)) => self.node.handle_heartbeat(h, now),
                Heard::Datagram(Datagram::Beacon(beacon)) => self.node.handle_beacon(&beacon, now),
                Heard::Refused => continue,
                Heard::Nothing => break,
            }
            self.drain();
        }
        self.heartbeats.diagnose(&self.node, now());
    }

    fn connection_event(&mut self, line: LineId, event: ConnectionEvent) {
        match event {
            ConnectionEvent::Connected => match random() {
                Ok(nonce) => self.node.handle_connected(line, Nonce(nonce), now()),
                Err(error) => self.node.handle_connect_failed(line, error.to_string(), now()),
            },
            ConnectionEvent::Failed(error) => {
                let error = format!("{}: {error}", self.options.lines[line].terminal_server);
                self.node.handle_connect_failed(line, error, now());
            }
            ConnectionEvent::Ready => self.read_connection(line),
        }
    }

    fn read_connection(&mut self, line: LineId) {
        // It may have been woken up for writing only, when reading must wait.
        if !self.wants(line).connection {
            return;
        }
        let Some(open) = self.stations[line].connection.open() else { return };
        let read = open.read();
        // Each frame may end the connection, so it is looked for again each time.
        while let Some(open) = self.stations[line].connection.open() {
            match open.next_frame() {
                Ok(Some(frame)) => {
                    self.node.handle_frame(line, frame, now());
                    self.drain();
                }
                Ok(None) => break,
                Err(error) => {
                    tracing::warn!(%error, "bad-frame");
                    self.node.handle_disconnected(line, now());
                    return;
                }
            }
        }
        if read == Read::End {
            self.node.handle_disconnected(line, now());
        }
    }
}

/// The boot clock, as the core takes it.
pub(crate) fn now() -> Time {
    Time::from_boot(boottime())
}

impl From<&Error> for Exit {
    fn from(error: &Error) -> Self {
        match error {
            Error::Multicast { .. } => Self::Unavailable,
            Error::Status(StatusError::InUse(_)) => Self::Unavailable,
            Error::Status(_) => Self::CannotCreate,
            Error::System(_) => Self::OsError,
            Error::StopOverrun(_) => Self::TemporaryFailure,
        }
    }
}

/// Events of the lines, a few KiB each at most, between two looks at everything else.
const OTHERS_EVERY: usize = 32;
/// Questions that wait for the loop; people and probes ask, not programs in a hurry.
const REQUESTS: usize = 8;
/// Datagrams looked at in one turn: more than a full group sends at once, and below a millisecond.
const MAX_DATAGRAMS: usize = 64;
/// Bytes for the terminal server that may wait while the payload is still read: the output window
/// is smaller, so an honest payload never gets there.
const MAX_SEND: usize = 64 * 1024;
/// Bytes for the payload that may wait while the terminal server is still read. The input window
/// of 64 KiB makes about 800 KiB when each frame has one byte, so only a flood of events gets there;
/// then renewals stay unread and the lease ends, as it should with such a payload.
const MAX_STDIN: usize = 2 * 1024 * 1024;
/// For what a stop may wait beyond its known parts.
const STOP_MARGIN: Duration = Duration::from_secs(3);
