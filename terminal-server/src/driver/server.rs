//! The daemon's life: everything that can fail fails before the first client is let in.

use std::io;
use std::net::{SocketAddr, SocketAddrV4};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use daemon::{Exit, Request, StatusError, StatusSocket};
use sys::{BootTimer, DatagramSender};
use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wire::Name;
use wire::frame::MAX_OUTPUT;

use super::actor::{Actor, Links};
use super::beacons::{Board, Herald};
use super::clock::now;
use super::device::{Device, DeviceError};
use super::listener::{self, Arrival, Listener};
use super::options::{Access, Options};
use super::report::{LineReport, ServerReport};
use super::state::{StateDir, StateError, first_start};
use crate::core::{Announcer, Line, LineConfig, Start};

/// A terminal server that has all it needs and whose clients can connect.
pub struct Server {
    options: Options,
    address: SocketAddr,
    start: Start,
    state: Option<Arc<Mutex<StateDir>>>,
    device: Device,
    senders: Vec<DatagramSender>,
    status: Option<StatusSocket>,
    socket: TcpListener,
    /// The beacons' and the line's.
    timers: (BootTimer, BootTimer),
    counters: Arc<listener::Counters>,
    ask: mpsc::Sender<oneshot::Sender<LineReport>>,
    questions: mpsc::Receiver<oneshot::Sender<LineReport>>,
}

/// Why a terminal server does not start. Nothing is left locked, bound or changed, but that the
/// start number may have been raised.
#[derive(Debug, Error)]
pub enum StartError {
    /// The state directory.
    #[error(transparent)]
    State(#[from] StateError),
    /// The device.
    #[error("failed to open the line's device: {0}")]
    Device(#[from] DeviceError),
    /// The listening socket.
    #[error("failed to listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A beacon's socket.
    #[error("failed to prepare beacons to {target} (--interface {interface}): {source}")]
    Beacon {
        /// To whom.
        target: SocketAddrV4,
        /// From where.
        interface: std::net::Ipv4Addr,
        /// What the system said.
        source: io::Error,
    },
    /// The status socket.
    #[error(transparent)]
    Status(#[from] StatusError),
    /// Claims need epochs that grow over restarts.
    #[error("a line with keys needs a state directory: pass --state DIR")]
    NoState,
    /// No file descriptor for a timer, usually.
    #[error("failed to make a timer: {0}")]
    Timer(io::Error),
}

/// Why a terminal server ended.
#[derive(Debug, Error)]
pub enum RunError {
    /// It did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// It stopped, and the line's input could not be left to the next start.
    #[error("failed to leave the line to the next start: {0}")]
    Save(StateError),
}

/// Binds and serves until `shutdown`.
///
/// # Errors
/// See [`RunError`].
pub async fn run(options: Options, shutdown: CancellationToken) -> Result<(), RunError> {
    Server::bind(options).await?.serve(shutdown).await.map_err(RunError::Save)
}

impl Server {
    /// Does everything up to letting clients in: locks the state, opens the device, binds, raises
    /// and syncs the start number, listens.
    pub async fn bind(options: Options) -> Result<Self, StartError> {
        if options.state.is_none() && matches!(options.access, Access::Line { .. }) {
            return Err(StartError::NoState);
        }
        let mut state = match &options.state {
            Some(dir) => Some(StateDir::open(dir, options.new_state)?),
            None => None,
        };
        let device = Device::open(options.port.clone(), now())?;
        let senders = senders(&options)?;
        let status = match &options.status {
            Some(path) => Some(StatusSocket::bind(path).await?),
            None => None,
        };
        let timer = || BootTimer::new().map_err(StartError::Timer);
        let timers = (timer()?, timer()?);
        let address = options.access.listen();
        let listen = |source| StartError::Listen { address, source };
        let socket = bind(address).map_err(listen)?;
        // What a clean stop left is consumed here, so nothing that is likely to fail comes after.
        let start = match &mut state {
            Some(state) => state.begin(&options.line)?,
            None => Start { number: first_start(), saved: None, unclean: false },
        };
        let listening = socket.listen(BACKLOG).and_then(|s| Ok((s.local_addr()?, s)));
        let (address, socket) = match listening {
            Ok(listening) => listening,
            Err(source) => {
                if let (Some(state), Some(saved)) = (&mut state, start.saved) {
                    state.finish(&options.line, saved)?;
                }
                return Err(listen(source));
            }
        };
        let state = state.map(|state| Arc::new(Mutex::new(state)));
        let counters = Arc::default();
        let (ask, questions) = mpsc::channel(QUESTIONS);
        Ok(Self {
            options,
            address,
            start,
            state,
            device,
            senders,
            status,
            socket,
            timers,
            counters,
            ask,
            questions,
        })
    }

    /// What answers how this server stands, once it serves.
    pub fn asker(&self) -> Asker {
        Asker {
            server: self.options.server.clone(),
            start: self.start.number,
            counters: self.counters.clone(),
            lines: vec![self.ask.clone()],
        }
    }

    /// Where clients connect: what was asked for, with the port that the system gave.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The number of this start: the upper half of its epochs.
    pub fn start(&self) -> u32 {
        self.start.number
    }

    /// Serves until `shutdown`, then stops in order and leaves the line to the next start.
    ///
    /// # Errors
    /// The line's input could not be left to the next start.
    pub async fn serve(self, shutdown: CancellationToken) -> Result<(), StateError> {
        let line = self.options.line.clone();
        let (server, listen) = (self.options.server.clone(), self.address);
        tracing::info!(
            %server, %line, %listen, start = self.start.number,
            device = %self.device.path().display(),
            version = env!("CARGO_PKG_VERSION"), "ready"
        );
        daemon::notify::ready(&format!("line {line} on {listen}"));
        let state = self.state.clone();
        let (running, actor) = self.assemble(&shutdown);
        let (saved, device) = actor.run(shutdown).await;
        running.end().await;
        if let Some(state) = state {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            state.finish(&line, saved)?;
        }
        // Last of all: close(2) of a line whose far end says "wait" waits for its output, up to
        // half a minute. Whoever loses patience with that and kills us destroys nothing.
        drop(device);
        tracing::info!(%server, %line, "stopped");
        Ok(())
    }

    /// Starts the tasks around the line's loop; the loop itself is the caller's.
    fn assemble(self, shutdown: &CancellationToken) -> (Running, Actor) {
        let asker = self.asker();
        let Self { options, start, state, device, senders, status, socket, timers, .. } = self;
        let (name, number) = (options.line.clone(), start.number);
        let config =
            LineConfig { keeps_when_closed: device.keeps_when_closed(), ..options.line_config() };
        let line = Line::new(config, start, now());
        let statuses = vec![(line.status(now()), now())];
        let (board, watched) = watch::channel(Board { start: number, lines: statuses });
        let (arrive, arrivals) = mpsc::channel::<Arrival>(ARRIVALS);
        let herald = match &options.access {
            Access::Line { group, .. } if !senders.is_empty() => {
                let announcer = announcer(&options, &group.group, &watched);
                let key = group.keys[0].clone();
                let herald = Herald::new(announcer, key, senders, watched, timers.0);
                Some(tokio::spawn(herald.run()))
            }
            _ => None,
        };
        let listener = Listener {
            socket,
            speech: options.access.speech(),
            lines: vec![(name.clone(), arrive)],
            counters: self.counters,
        };
        let listener = tokio::spawn(listener.run(shutdown.clone()));
        let status = status.map(|socket| {
            let (ask, questions) = mpsc::channel(QUESTIONS);
            tokio::spawn(answer(asker, questions));
            tokio::spawn(socket.serve(ask, shutdown.clone()))
        });
        let links = Links {
            state,
            arrivals,
            questions: self.questions,
            board,
            place: 0,
            watchdog: daemon::notify::watchdog_interval(),
        };
        let frame_time = options.port.settings().time_of(MAX_OUTPUT as u64);
        let actor = Actor::new((name, line), device, timers.1, frame_time, links);
        (Running { listener, herald, status }, actor)
    }
}

/// The tasks around the line's loop.
struct Running {
    listener: JoinHandle<()>,
    herald: Option<JoinHandle<()>>,
    status: Option<JoinHandle<()>>,
}

impl Running {
    /// After the line's end, which is theirs too.
    async fn end(self) {
        self.listener.abort();
        let _ = self.listener.await;
        for task in [self.herald, self.status].into_iter().flatten() {
            let _ = task.await;
        }
    }
}

impl From<&RunError> for Exit {
    fn from(error: &RunError) -> Self {
        match error {
            RunError::Start(StartError::State(error)) | RunError::Save(error) => error.into(),
            RunError::Start(StartError::Device(DeviceError::Tty(error))) => error.into(),
            RunError::Start(StartError::Device(DeviceError::Virtual(error))) => error.into(),
            RunError::Start(StartError::Device(DeviceError::Unfinished)) => Self::OsError,
            RunError::Start(StartError::Listen { source, .. }) => source.into(),
            RunError::Start(StartError::Beacon { .. }) => Self::Unavailable,
            RunError::Start(StartError::Status(error)) => match error {
                StatusError::InUse(_) => Self::Unavailable,
                _ => Self::CannotCreate,
            },
            RunError::Start(StartError::NoState) => Self::Usage,
            RunError::Start(StartError::Timer(_)) => Self::OsError,
        }
    }
}

fn announcer(options: &Options, group: &Name, board: &watch::Receiver<Board>) -> Announcer {
    let board = board.borrow();
    let statuses: Vec<_> = board.lines.iter().map(|(status, _)| status.clone()).collect();
    let names = (group.clone(), options.server.clone());
    Announcer::new(names, board.start, options.beacons.interval, &statuses, now())
}

/// Answers how the daemon stands. May be cloned; outlives the daemon harmlessly.
#[derive(Debug, Clone)]
pub struct Asker {
    server: Name,
    start: u32,
    counters: Arc<listener::Counters>,
    lines: Vec<mpsc::Sender<oneshot::Sender<LineReport>>>,
}

impl Asker {
    /// How it stands. Lines that have ended, or hang, are not in it: the lines answer themselves.
    pub async fn ask(&self) -> ServerReport {
        let mut lines = Vec::new();
        for line in &self.lines {
            let (answer, answered) = oneshot::channel();
            if line.send(answer).await.is_ok()
                && let Ok(report) = answered.await
            {
                lines.push(report);
            }
        }
        ServerReport {
            server: self.server.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            start: self.start,
            silent: self.counters.slow.load(Ordering::Relaxed),
            crowded: self.counters.crowded.load(Ordering::Relaxed),
            lines,
        }
    }
}

/// Answers the status socket's clients until there are none any more.
async fn answer(asker: Asker, mut questions: mpsc::Receiver<Request>) {
    while let Some(question) = questions.recv().await {
        match question.command.as_str() {
            "status" => question.reply(asker.ask().await),
            _ => question.refuse("a terminal server answers `status` only"),
        }
    }
}

fn senders(options: &Options) -> Result<Vec<DatagramSender>, StartError> {
    let interface = options.beacons.interface;
    let open = |target: &SocketAddrV4| {
        DatagramSender::open(*target, interface).map_err(|source| StartError::Beacon {
            target: *target,
            interface,
            source,
        })
    };
    options.beacons.targets.iter().map(open).collect()
}

/// Takes the port without letting anybody in: connections are refused until it listens.
fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Connections of the last process that are not quite over must not keep the next one out.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Connections that the kernel may keep before they are accepted.
const BACKLOG: u32 = 128;
/// Connections on their way from the listener to the line.
const ARRIVALS: usize = 16;
/// Questions about the line that wait for its loop.
const QUESTIONS: usize = 4;
