//! The lines that run, each in a task of its own: started, stopped, and changed alone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sys::{BootTimer, ResolveError, SerialPort, TtyError};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;
use wire::Name;
use wire::frame::MAX_OUTPUT;

use super::actor::{Actor, Links};
use super::asker::{Asker, QUESTIONS};
use super::clock::now;
use super::device::Device;
use super::heralds::Heralds;
use super::keeping::{self, Keeping, Memory};
use super::listeners::Listeners;
use super::opener::{DeviceError, Opener, Stance};
use super::options::{LineOptions, Missing, Options};
use super::pulse::Pulse;
use super::server::StartError;
use super::state::{StateDir, StateError};
use crate::core::{Line, LineConfig, Saved, Start};

/// The lines, and what they share.
pub(crate) struct Lines {
    /// As in force: what a change of the file asks for and cannot have while we run is not in it.
    options: Options,
    state: Arc<Mutex<StateDir>>,
    memory: Arc<Memory>,
    asker: Asker,
    listeners: Listeners,
    heralds: Heralds,
    pulse: Option<Arc<Pulse>>,
    shutdown: CancellationToken,
    running: BTreeMap<Name, CancellationToken>,
    tasks: JoinSet<(Saved, Device)>,
    names: HashMap<Id, Name>,
}

/// A line that ended, with what it left; `None`: it broke.
pub(crate) type Ended = (Name, Option<(Saved, Device)>);

/// A line that has all it needs.
pub(crate) struct ReadyLine {
    pub(crate) options: LineOptions,
    pub(crate) device: Device,
    pub(crate) timer: BootTimer,
}

impl Lines {
    pub(crate) fn new(
        options: Options,
        state: Arc<Mutex<StateDir>>,
        asker: Asker,
        (listeners, heralds): (Listeners, Heralds),
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            memory: Arc::new(Memory::new(options.limits.kept_input)),
            options,
            state,
            asker,
            listeners,
            heralds,
            pulse: Pulse::watched(),
            shutdown,
            running: BTreeMap::new(),
            tasks: JoinSet::new(),
            names: HashMap::new(),
        }
    }

    /// Starts lines, and then whatever waits for them.
    pub(crate) fn start(&mut self, lines: Vec<ReadyLine>, starts: Vec<Start>) {
        for (line, start) in lines.into_iter().zip(starts) {
            self.start_line(line, start);
        }
        let number = self.state.lock().unwrap_or_else(PoisonError::into_inner).number();
        self.heralds.run(number);
        self.asker.set_listeners(self.listeners.all());
        self.listeners.run(&self.shutdown);
    }

    fn start_line(&mut self, ready: ReadyLine, start: Start) {
        let ReadyLine { options, device, timer } = ready;
        let name = options.line.clone();
        if let Some(reason) = device.trouble() {
            let device = device.name();
            tracing::warn!(line = %name, device, up = false, reason, "device");
        }
        let boards = self.heralds.boards(&options);
        boards.raise(start.number);
        let config = LineConfig {
            keeps_when_closed: device.keeps_when_closed(),
            ..self.options.line_config(&options)
        };
        let dir = self.options.state.as_deref();
        let line = Line::new(config, keeping::start(dir, &options, start), now());
        let keeping = Keeping::open(dir, &options, &line, self.memory.clone());
        let (arrive, arrivals) = mpsc::channel(ARRIVALS);
        let (question, questions) = mpsc::channel(QUESTIONS);
        self.asker.join(name.clone(), question);
        self.listeners.join(&options, &arrive);
        let links = Links {
            state: self.state.clone(),
            arrivals,
            questions,
            boards,
            watchdog: self.pulse.as_ref().map(|pulse| pulse.join()),
        };
        let frame_time = options.port.settings().time_of(MAX_OUTPUT as u64);
        let actor = Actor::new((name.clone(), line), device, timer, frame_time, (links, keeping));
        let stop = self.shutdown.child_token();
        let task = self.tasks.spawn(actor.run(stop.clone()));
        self.names.insert(task.id(), name.clone());
        self.running.insert(name, stop);
    }

    /// The next line that ends without having been told to. Cancel-safe.
    pub(crate) async fn fallen(&mut self) -> Ended {
        match self.ended().await {
            Some(ended) => ended,
            None => std::future::pending().await,
        }
    }

    /// Starts a line again that has fallen: a bug of ours, which costs that line what it kept and
    /// no other line anything.
    pub(crate) async fn lift(&mut self, (line, left): Ended) {
        tracing::error!(%line, "the line's loop has ended; it is started again");
        self.forget(&line);
        self.save(left.map(|(saved, _)| (line.clone(), saved)).into_iter().collect()).await;
        tokio::time::sleep(LIFT).await;
        let options = self.options.lines.iter().find(|options| options.line == line).cloned();
        self.begin(options.into_iter().collect()).await;
    }

    /// Goes over to `new`: stops the lines that are gone or different, starts the different and
    /// new ones. All others notice nothing.
    pub(crate) async fn change(&mut self, mut new: Options) {
        self.refuse_what_needs_a_start(&mut new);
        let old = std::mem::take(&mut self.options.lines);
        let same = |line: &LineOptions| old.iter().any(|old| old.runs_on_as(line));
        let stays: BTreeSet<_> =
            new.lines.iter().filter(|line| same(line)).map(|line| line.line.clone()).collect();
        let started: Vec<_> = new.lines.iter().filter(|line| !same(line)).cloned().collect();
        let stopped: Vec<_> =
            self.running.keys().filter(|line| !stays.contains(*line)).cloned().collect();
        let (stops, starts) = (stopped.len(), started.len());
        tracing::info!(unchanged = stays.len(), stops, starts, "reloading");
        let rekeyed = |line: &&LineOptions| {
            old.iter().any(|old| old.runs_on_as(line) && old.groups != line.groups)
        };
        let rekeyed: Vec<_> = new.lines.iter().filter(rekeyed).cloned().collect();
        self.options = new;
        self.stop(&stopped).await;
        if self.shutdown.is_cancelled() {
            return;
        }
        for LineOptions { line, groups, .. } in rekeyed {
            if self.asker.set_groups(&line, groups).await {
                tracing::info!(%line, "its keys have changed");
            } else {
                tracing::error!(%line, "the line's loop does not answer; its keys are as before");
            }
        }
        self.listeners.change(&self.options.lines).await;
        if let Err(error) = self.heralds.change(&self.options.lines).await {
            tracing::error!(%error, "beacons of a group cannot be sent");
        }
        self.begin(started).await;
        tracing::info!(lines = self.running.len(), "reloaded");
    }

    /// What cannot change while the daemon runs stays as it is.
    fn refuse_what_needs_a_start(&self, new: &mut Options) {
        let old = &self.options;
        let differs = [
            ("the name", old.server != new.server),
            ("state", old.state != new.state),
            ("status", old.status != new.status),
            ("[limits]", old.limits != new.limits),
            ("[beacons]", old.beacons != new.beacons),
        ];
        for (what, _) in differs.iter().filter(|(_, differs)| *differs) {
            tracing::warn!("{what} has changed: that takes effect at the next start");
        }
        new.server.clone_from(&old.server);
        new.state.clone_from(&old.state);
        new.status.clone_from(&old.status);
        new.limits = old.limits;
        new.root.clone_from(&old.root);
        new.beacons = old.beacons.clone();
    }

    /// Opens, takes over what was left, starts. A line for which that fails is logged and left out.
    async fn begin(&mut self, lines: Vec<LineOptions>) {
        let ready = match open(lines, Missing::Wait, &self.options.root).await {
            Ok(ready) => ready,
            Err(error) => return tracing::error!(%error, "the lines cannot be started"),
        };
        let names: Vec<_> = ready.iter().map(|line| line.options.line.clone()).collect();
        let starts = self.with_state(move |state| state.begin(&names)).await;
        match starts {
            Ok(starts) => self.start(ready, starts),
            Err(error) => tracing::error!(%error, "the lines cannot be started"),
        }
    }

    /// Stops lines in order and saves what they leave for when they are started again.
    async fn stop(&mut self, lines: &[Name]) {
        let mut awaited: BTreeSet<_> = lines.iter().cloned().collect();
        for line in lines {
            self.listeners.leave(line);
            if let Some(stop) = self.running.get(line) {
                stop.cancel();
            }
        }
        let (mut left, mut devices) = (Vec::new(), Vec::new());
        while !awaited.is_empty() {
            let Some((line, what)) = self.ended().await else { break };
            self.forget(&line);
            if !awaited.remove(&line) {
                tracing::error!(%line, "the line's loop has ended; reload to start it again");
            }
            if let Some((saved, device)) = what {
                left.push((line, saved));
                devices.push(device);
            }
        }
        self.save(left).await;
        close(devices).await;
    }

    /// Waits for all lines to stop, which the shutdown has told them, and leaves them to the next
    /// start.
    ///
    /// # Errors
    /// What they kept could not be written.
    pub(crate) async fn finish(mut self) -> Result<(), StateError> {
        let (mut left, mut devices, mut written) = (Vec::new(), Vec::new(), Ok(()));
        while !self.tasks.is_empty() {
            match tokio::time::timeout(SAVE_AT_LEAST_EVERY, self.ended()).await {
                Ok(Some((line, Some((saved, device))))) => {
                    left.push((line, saved));
                    devices.push(device);
                }
                Ok(_) => {}
                // A slow line does not keep what the others left from the disk.
                Err(_) if left.is_empty() => {}
                Err(_) => {
                    let lines = std::mem::take(&mut left);
                    written = self.with_state(move |state| state.finish(lines)).await;
                }
            }
        }
        let Self { listeners, heralds, state, .. } = self;
        listeners.end().await;
        heralds.end().await;
        if !left.is_empty() {
            written = in_state(state, move |state| state.finish(left)).await;
        }
        // Last of all: close(2) of a line whose far end says "wait" waits for its output, up to
        // half a minute. Whoever loses patience with that and kills us destroys nothing.
        close(devices).await;
        written
    }

    async fn save(&self, left: Vec<(Name, Saved)>) {
        if left.is_empty() {
            return;
        }
        if let Err(error) = self.with_state(move |state| state.finish(left)).await {
            tracing::error!(%error, "failed to save what lines have kept");
        }
    }

    fn forget(&mut self, line: &Name) {
        self.running.remove(line);
        self.asker.leave(line);
        self.listeners.leave(line);
        self.heralds.leave(line);
    }

    async fn ended(&mut self) -> Option<Ended> {
        let (id, left) = match self.tasks.join_next_with_id().await? {
            Ok((id, left)) => (id, Some(left)),
            Err(error) => (error.id(), None),
        };
        Some((self.names.remove(&id)?, left))
    }

    /// Disks may be slow; the lines go on meanwhile.
    async fn with_state<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut StateDir) -> Result<T, StateError> + Send + 'static,
    ) -> Result<T, StateError> {
        in_state(self.state.clone(), work).await
    }
}

async fn in_state<T: Send + 'static>(
    state: Arc<Mutex<StateDir>>,
    work: impl FnOnce(&mut StateDir) -> Result<T, StateError> + Send + 'static,
) -> Result<T, StateError> {
    let work = move || work(&mut state.lock().unwrap_or_else(PoisonError::into_inner));
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(StateError::Unfinished))
}

/// Opens the devices of `lines`, side by side. One that cannot be opened and may be `missing` is
/// waited for.
///
/// # Errors
/// A device that may not be missing; the system has no more timers.
pub(crate) async fn open(
    lines: Vec<LineOptions>,
    missing: Missing,
    root: &Path,
) -> Result<Vec<ReadyLine>, StartError> {
    let opener = |line: &LineOptions| Opener::new(line.port.clone(), line.policies.clone(), root);
    let openers: Vec<_> = lines.iter().map(opener).collect();
    let opened = open_ports(openers.clone()).await;
    let mut ready = Vec::with_capacity(lines.len());
    for ((options, opener), opened) in lines.into_iter().zip(openers).zip(opened) {
        let opened = match opened {
            Err(error) if !may_be(missing, &error) => return Err(error.into()),
            opened => opened,
        };
        let device = Device::new(opener, opened, now());
        let timer = BootTimer::new().map_err(StartError::Timer)?;
        ready.push(ReadyLine { options, device, timer });
    }
    Ok(ready)
}

fn may_be(missing: Missing, error: &DeviceError) -> bool {
    match missing {
        Missing::Wait => true,
        Missing::WaitForAbsent => matches!(
            error,
            DeviceError::Tty(TtyError::NoDevice(_))
                | DeviceError::Name(ResolveError::Absent { .. })
                | DeviceError::Moved(_)
        ),
        Missing::Fail => false,
    }
}

/// Opens ports where waiting for a driver holds up nothing else, nor for ever.
async fn open_ports(openers: Vec<Opener>) -> Vec<Result<SerialPort, DeviceError>> {
    let turns = Arc::new(Semaphore::new(OPENING));
    let open = |opener| tokio::spawn(open_port(opener, turns.clone()));
    let tasks: Vec<_> = openers.into_iter().map(open).collect();
    let mut opened = Vec::with_capacity(tasks.len());
    for task in tasks {
        opened.push(task.await.unwrap_or(Err(DeviceError::Unfinished)));
    }
    opened
}

async fn open_port(opener: Opener, turns: Arc<Semaphore>) -> Result<SerialPort, DeviceError> {
    let _turn = turns.acquire().await;
    let stance = Stance::new(*opener.port().settings());
    let opening = tokio::task::spawn_blocking(move || opener.open(&stance));
    match tokio::time::timeout(OPEN_PATIENCE, opening).await {
        Ok(Ok(opened)) => opened,
        _ => Err(DeviceError::Unfinished),
    }
}

/// Closes devices side by side.
async fn close(devices: Vec<Device>) {
    let mut closing: JoinSet<_> = devices.into_iter().map(Device::close).collect();
    while closing.join_next().await.is_some() {}
}

/// Connections on their way from the listener to the line.
const ARRIVALS: usize = 16;
/// Ports opened at once. Each takes a thread; more would gain nothing.
const OPENING: usize = 32;
/// No driver that works takes longer.
pub(crate) const OPEN_PATIENCE: Duration = Duration::from_secs(3);
/// While lines stop, what the first ones left is written this often.
const SAVE_AT_LEAST_EVERY: Duration = Duration::from_millis(250);
/// A line that breaks at once again must not fill the log.
const LIFT: Duration = Duration::from_secs(1);
