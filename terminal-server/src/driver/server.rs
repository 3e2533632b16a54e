//! The daemon's life: everything that can fail fails before the first client is let in.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use daemon::{Exit, StatusError, StatusSocket};
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::asker::{Asker, QUESTIONS};
use super::gate::Gate;
use super::heralds::Heralds;
use super::lines::{Lines, ReadyLine, open};
use super::listeners::Listeners;
use super::opener::DeviceError;
use super::options::Options;
use super::state::{StateDir, StateError};
use crate::core::Start;

/// A terminal server that has all it needs and whose clients can connect.
pub struct Server {
    options: Options,
    lines: Vec<ReadyLine>,
    starts: Vec<Start>,
    state: Arc<Mutex<StateDir>>,
    heralds: Heralds,
    status: Option<StatusSocket>,
    listeners: Listeners,
    asker: Asker,
}

/// New options for a running server, one set after each change.
pub type Reloads = mpsc::Receiver<Options>;

/// Why a terminal server does not start. Nothing is left locked, bound or changed, but that the
/// start number may have been raised.
#[derive(Debug, Error)]
pub enum StartError {
    /// The state directory.
    #[error(transparent)]
    State(#[from] StateError),
    /// A device that must be there.
    #[error("failed to open the line's device: {0}")]
    Device(#[from] DeviceError),
    /// The listening socket, or the first of several of which none can be had.
    #[error("failed to listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A beacon's socket.
    #[error("failed to prepare beacons to {target} ({interface}): {source}")]
    Beacon {
        /// To whom.
        target: SocketAddr,
        /// From where.
        interface: sys::InterfaceName,
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

/// Binds and serves until `shutdown`, going over to each set of options that comes meanwhile.
///
/// # Errors
/// See [`RunError`].
pub async fn run(
    options: Options,
    shutdown: CancellationToken,
    reloads: Reloads,
) -> Result<(), RunError> {
    let server = Server::bind(options).await?;
    server.serve_changing(shutdown, reloads).await.map_err(RunError::Save)
}

impl Server {
    /// Does everything up to letting clients in: locks the state, opens the devices, binds, raises
    /// and syncs the start number, listens.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn bind(options: Options) -> Result<Self, StartError> {
        let mut state = match &options.state {
            Some(dir) => StateDir::open(dir, options.new_state)?,
            None if options.lines.iter().any(|line| !line.groups.is_empty()) => {
                return Err(StartError::NoState);
            }
            None => StateDir::unkept(),
        };
        let lines = open(options.lines.clone(), options.missing, &options.root).await?;
        let mut heralds = Heralds::new(options.server.clone(), options.beacons.clone());
        heralds.change(&options.lines).await?;
        let status = match &options.status {
            Some(path) => Some(StatusSocket::bind(path).await?),
            None => None,
        };
        let gate = Arc::new(Gate::new(options.limits.address_clients));
        let listen = |(address, source)| StartError::Listen { address, source };
        let mut listeners =
            Listeners::bind(&options.lines, &gate, options.limits).map_err(listen)?;
        // What a clean stop left is consumed here, so nothing that is likely to fail comes after.
        let names: Vec<_> = lines.iter().map(|line| line.options.line.clone()).collect();
        let starts = state.begin(&names)?;
        if let Err(failed) = listeners.listen() {
            let left = names.into_iter().zip(starts);
            state.finish(left.filter_map(|(line, start)| Some((line, start.saved?))))?;
            return Err(listen(failed));
        }
        let state = Arc::new(Mutex::new(state));
        let asker = Asker::new(options.server.clone(), state.clone(), gate);
        Ok(Self { options, lines, starts, state, heralds, status, listeners, asker })
    }

    /// What answers how this server stands, once it serves.
    pub fn asker(&self) -> Asker {
        self.asker.clone()
    }

    /// Where clients connect, at the first listener: what was asked for, with the port that the
    /// system gave.
    pub fn address(&self) -> Option<SocketAddr> {
        self.listeners.first()
    }

    /// The number of this start: the upper half of its epochs.
    pub fn start(&self) -> u32 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).number()
    }

    /// Serves until `shutdown`, then stops in order and leaves the lines to the next start.
    ///
    /// # Errors
    /// The lines' input could not be left to the next start.
    pub async fn serve(self, shutdown: CancellationToken) -> Result<(), StateError> {
        let (_none, reloads) = mpsc::channel(1);
        self.serve_changing(shutdown, reloads).await
    }

    /// As [`Server::serve`], and goes over to each set of options that comes.
    ///
    /// # Errors
    /// As [`Server::serve`].
    pub async fn serve_changing(
        self,
        shutdown: CancellationToken,
        mut reloads: Reloads,
    ) -> Result<(), StateError> {
        let ready = self.announce();
        let Self { options, lines, starts, state, heralds, status, listeners, asker } = self;
        let (server, status) = (options.server.clone(), serve_status(status, &asker, &shutdown));
        let rest = (listeners, heralds);
        let mut running = Lines::new(options, state, asker, rest, shutdown.clone());
        running.start(lines, starts);
        daemon::notify::ready(&ready);
        loop {
            tokio::select! {
                // All lines end then, and none of them has fallen.
                biased;
                () = shutdown.cancelled() => break,
                Some(options) = reloads.recv() => {
                    running.change(options).await;
                    daemon::notify::reloaded();
                }
                fallen = running.fallen() => running.lift(fallen).await,
            }
        }
        let finished = running.finish().await;
        if let Some(status) = status {
            let _ = status.await;
        }
        finished?;
        tracing::info!(%server, "stopped");
        Ok(())
    }

    /// Logs that it is ready; says the same in short.
    fn announce(&self) -> String {
        let server = &self.options.server;
        let (count, listen) = (self.lines.len(), self.address().map(tracing::field::display));
        // Of many lines the status says more than a log line could.
        let only = self.lines.first().filter(|_| count == 1);
        let line = only.map(|line| tracing::field::display(&line.options.line));
        let device = only.map(|line| line.device.name());
        tracing::info!(
            %server, line, lines = count, listen, start = self.start(), device,
            version = env!("CARGO_PKG_VERSION"), "ready"
        );
        match (only, self.address()) {
            (Some(line), Some(address)) => format!("line {} on {address}", line.options.line),
            _ => format!("{count} lines"),
        }
    }
}

fn serve_status(
    socket: Option<StatusSocket>,
    asker: &Asker,
    shutdown: &CancellationToken,
) -> Option<JoinHandle<()>> {
    let socket = socket?;
    let (ask, questions) = mpsc::channel(QUESTIONS);
    tokio::spawn(asker.clone().answer(questions));
    Some(tokio::spawn(socket.serve(ask, shutdown.clone())))
}

impl From<&RunError> for Exit {
    fn from(error: &RunError) -> Self {
        match error {
            RunError::Start(StartError::State(error)) | RunError::Save(error) => error.into(),
            RunError::Start(StartError::Device(DeviceError::Tty(error))) => error.into(),
            RunError::Start(StartError::Device(DeviceError::Virtual(error))) => error.into(),
            RunError::Start(StartError::Device(DeviceError::Name(_) | DeviceError::Moved(_))) => {
                Self::Unavailable
            }
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
