//! The loop of one line: it owns the device for the daemon's life and the clients' sockets.
//!
//! It decides nothing. It waits, tells the core what happened, and does what the core says. A hang
//! of this loop hangs the line's renewals, beacons, status and watchdog with it (I8).

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sys::{BootTimer, PortError, SerialPort};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};
use wire::time::earliest;
use wire::{Frame, Name, ObserveFrom, Signals, Time};

use super::beacons::Boards;
use super::clock::now;
use super::device::{self, Device, Doing, Ready};
use super::keeping::Keeping;
use super::lines::OPEN_PATIENCE;
use super::listener::Arrival;
use super::opener::DeviceError;
use super::peers::{Found, Peer, Peers};
use super::pulse::Beat;
use super::question::{Attach, AttachFrom, ClientReport, Kick, LineQuestion};
use super::report::{self, LineReport, Reporter};
use super::state::{StateDir, StateError};
use super::stream::{Address, Stream};
use crate::core::config::LINGER;
use crate::core::{Action, ClientId, ClientKind, Line, Occurrence, Outcome, Saved};

mod answers;
mod intake;
mod settling;

/// One line and all that belongs to it.
pub(crate) struct Actor {
    name: Name,
    line: Line,
    device: Device,
    peers: Peers,
    next_id: ClientId,
    /// Clients whose sockets the core wants read to the end, with how much each may have received
    /// in all until it has answered for itself.
    probes: VecDeque<(ClientId, u64)>,
    links: Links,
    /// A start number on its way to the disk.
    storing: Option<JoinHandle<Result<u32, StateError>>>,
    /// A device that had gone, being opened.
    opening: Option<JoinHandle<Result<SerialPort, DeviceError>>>,
    /// What a client asked of the device, being done.
    doing: Option<JoinHandle<Outcome>>,
    timer: BootTimer,
    /// When the service manager is to be told again that the loop turns.
    watchdog_at: Time,
    /// What the longest frame takes on the wire.
    frame_time: Duration,
    reporter: Reporter,
    keeping: Keeping,
    /// Position of the output, and since when it has stood there.
    moved: (u64, Time),
    /// When what is not read at present is looked at.
    look_at: Option<Time>,
    /// Connections closed at once because there were too many for the core to answer them.
    turned_away: u64,
    /// The client that the core is being told of.
    about: Option<Address>,
    /// Something was announced that its task has not had a chance to send.
    announced: bool,
    /// Wake-ups since others had their turn: without one a flood on this line would be the whole
    /// daemon's, as this loop need not sleep then.
    turns: u32,
    stopping: bool,
}

/// What joins the line to the rest of the daemon.
pub(crate) struct Links {
    pub(crate) state: Arc<Mutex<StateDir>>,
    pub(crate) arrivals: mpsc::Receiver<Arrival>,
    pub(crate) questions: mpsc::Receiver<LineQuestion>,
    pub(crate) boards: Boards,
    /// Says that the loop turns, where somebody wants to hear it.
    pub(crate) watchdog: Option<Beat>,
}

/// Why the loop went on.
enum Wake {
    /// The daemon is to stop.
    Stop,
    /// A deadline of the core's, a look for the device or a sign of life is due.
    Timer,
    /// A connection.
    Arrival(Arrival),
    /// Somebody asks something.
    Question(LineQuestion),
    /// The start number is on the disk, or could not be put there.
    Stored(Result<u32, StateError>),
    /// The device that had gone is open again, or not there yet.
    Opened(Result<SerialPort, DeviceError>),
    /// What was to be done with the device is done.
    Done(Option<Outcome>),
    /// The device.
    Device(Ready),
    /// Some clients' sockets.
    Peers,
    /// Probes that took more than one turn.
    Probes,
}

impl Actor {
    /// `line` is not drained yet.
    pub(crate) fn new(
        (name, line): (Name, Line),
        device: Device,
        timer: BootTimer,
        frame_time: Duration,
        (links, keeping): (Links, Keeping),
    ) -> Self {
        Self {
            reporter: Reporter::new(name.clone()),
            keeping,
            moved: (0, now()),
            look_at: None,
            name,
            line,
            device,
            watchdog_at: Time::ZERO,
            frame_time,
            turned_away: 0,
            about: None,
            peers: Peers::default(),
            next_id: 1,
            probes: VecDeque::new(),
            links,
            storing: None,
            opening: None,
            doing: None,
            timer,
            announced: false,
            turns: 0,
            stopping: false,
        }
    }

    /// Serves the line until `shutdown`, then leaves it in order. What is to be saved, and the
    /// device, to be closed after that: closing may take long.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) -> (Saved, Device) {
        self.first_look();
        self.settle();
        if !self.device.is_open() {
            self.line.handle_device(false, now());
            self.settle();
        }
        let mut stop = std::pin::pin!(shutdown.cancelled());
        loop {
            let wake = self.wait(Some(stop.as_mut()), None).await;
            if matches!(wake, Wake::Stop) {
                break;
            }
            self.handle(wake);
        }
        self.stop().await
    }

    async fn wait(
        &mut self,
        stop: Option<Pin<&mut WaitForCancellationFuture<'_>>>,
        until: Option<Time>,
    ) -> Wake {
        self.turns += 1;
        if std::mem::take(&mut self.announced) || self.turns > TURNS {
            self.turns = 0;
            // The beacon of a change goes out before this loop does anything more, and other lines
            // have their turn.
            tokio::task::yield_now().await;
        }
        let watchdog = self.links.watchdog.as_ref().map(|_| self.watchdog_at);
        let retry = self.device.retry_at();
        let line = &self.line;
        self.peers.set_wanted(|id| line.wants_bytes(id));
        let hang_up = self.peers.hang_up_at();
        let reading = self.line.wants_input();
        if self.look_at.is_none() && (!reading || self.peers.some_unread()) {
            self.look_at = Some(now() + LOOK);
        }
        let due =
            earliest([self.line.poll_timeout(), retry, watchdog, hang_up, self.look_at, until]);
        let writing = self.line.poll_serial(now()).is_some();
        let probing = !self.probes.is_empty();
        let Self { device, peers, timer, links, storing, opening, doing, .. } = self;
        let io = async {
            // Neither a flood from the line nor one from a client holds up the other: no order.
            // Probes go on after whatever wakes the loop; here they only keep it from sleeping.
            tokio::select! {
                ready = device.ready(reading, writing) => Wake::Device(ready),
                () = peers.ready() => Wake::Peers,
                () = tokio::task::yield_now(), if probing => Wake::Probes,
            }
        };
        tokio::select! {
            // A stop must not wait behind work, nor a deadline behind a flood.
            biased;
            () = given(stop) => Wake::Stop,
            () = timer.until(due.map(Time::since_boot)) => Wake::Timer,
            stored = outcome(storing, StateError::Unfinished) => Wake::Stored(stored),
            opened = outcome(opening, DeviceError::Unfinished) => Wake::Opened(opened),
            done = finished(doing) => Wake::Done(done),
            Some(question) = links.questions.recv() => Wake::Question(question),
            Some(arrival) = links.arrivals.recv(), if !self.stopping => Wake::Arrival(arrival),
            wake = io => wake,
        }
    }

    fn handle(&mut self, wake: Wake) {
        self.about = None;
        let mut settled = false;
        match wake {
            // Of that the loop itself takes care.
            Wake::Stop => {}
            Wake::Timer => self.timer_is_due(),
            Wake::Arrival(arrival) => self.arrive(arrival),
            Wake::Question(question) => self.answer(question),
            Wake::Stored(stored) => self.stored(stored),
            Wake::Opened(opened) => self.opened(opened),
            Wake::Done(outcome) => self.done(outcome),
            Wake::Device(Ready::Wires(state)) => {
                if self.device.overrun(state.counts) {
                    self.line.handle_event(wire::EventKind::Overrun, now());
                }
                if let Some(signals) = state.signals {
                    self.line.handle_signals(signals, now());
                }
            }
            Wake::Device(Ready::Input) => {
                self.read_device();
                // The clients have it before the device is asked whether that was all.
                self.settle();
                settled = self.read_device() == 0 && self.device.is_open();
            }
            // What did not fit is tried again below.
            Wake::Device(Ready::Room) => self.device.has_room(),
            Wake::Peers => {
                for id in self.peers.take_ready() {
                    self.read_peer(id);
                }
            }
            Wake::Probes => {}
        }
        if !settled {
            self.settle();
        }
        let written = self.line.written_to();
        if self.moved.0 != written {
            self.moved = (written, now());
            self.peers.prolong_hang_up(self.moved.1 + LINGER);
        }
        while let Some(id) = self.peers.to_hang_up(!self.line.is_writing(), now()) {
            self.closed(id);
        }
        for _ in 0..self.probes.len() {
            if let Some((id, until)) = self.probes.pop_front() {
                self.probe(id, until);
            }
        }
    }

    // ---- the end

    /// Finishes the started frame, lets last words reach the clients, takes what is still in the
    /// device. Each within its time.
    async fn stop(mut self) -> (Saved, Device) {
        let begun = now();
        self.stopping = true;
        self.links.arrivals.close();
        self.line.handle_stop(begun);
        self.settle();
        // What the far end sends from now on is read at the end, or waits there.
        let throttling = self.device.throttle();
        let frame = (begun + FRAME_GRACE + self.frame_time, begun + LAST_WORDS);
        while let Some(until) = self.stopped(frame) {
            let wake = self.wait(None, Some(until)).await;
            self.handle(wake);
        }
        if !self.line.is_stopped() {
            tracing::warn!(line = %self.name, "a frame could not be finished in time");
        }
        if let Some(throttling) = throttling {
            let _ = tokio::time::timeout(LAST_WORDS, throttling).await;
        }
        self.look_once_more().await;
        if let Some(storing) = self.storing.take() {
            let _ = storing.await;
        }
        if let Some(opening) = self.opening.take()
            && let Ok(Ok(opened)) = tokio::time::timeout(OPEN_PATIENCE, opening).await
        {
            // To be closed in order, before somebody opens it next.
            let _ = self.device.opened(opened, now());
        }
        (self.line.save(), self.device)
    }

    /// `None` when all has been done or its time is over, else when to look again at the latest.
    fn stopped(&mut self, (frame_until, words_until): (Time, Time)) -> Option<Time> {
        let now = now();
        if let Some(count) = self.device.holds() {
            self.line.handle_port_holds(count, now);
        }
        let frame = if !self.line.is_stopped() {
            Some(frame_until)
        } else {
            // Closing a port may throw away what it still holds.
            Some(self.line.drained_at().min(frame_until))
        };
        let words = if self.peers.is_empty() { None } else { Some(words_until) };
        earliest([frame.filter(|t| *t > now), words.filter(|t| *t > now)])
    }

    /// Input that came while the line was not read any more belongs to the next start.
    async fn look_once_more(&mut self) {
        // The reactor is asked first whether there is something: a read believes it.
        tokio::task::yield_now().await;
        for _ in 0..LAST_READS {
            if !self.line.has_space() || self.read_device_once() == 0 {
                break;
            }
            self.settle();
        }
    }
}

/// What came of work outside the loop, `unfinished` if it was cut short; never, while there is
/// none.
async fn outcome<T, E>(work: &mut Option<JoinHandle<Result<T, E>>>, unfinished: E) -> Result<T, E> {
    match work {
        Some(handle) => handle.await.unwrap_or(Err(unfinished)),
        None => std::future::pending().await,
    }
}

/// `future`, if there is one.
async fn given<F: Future>(future: Option<Pin<&mut F>>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

/// What became of work that cannot fail; `None` if its thread broke.
async fn finished(work: &mut Option<JoinHandle<Outcome>>) -> Option<Outcome> {
    match work {
        Some(handle) => handle.await.ok(),
        None => std::future::pending().await,
    }
}

/// Wake-ups before other lines have their turn: each is some work, and a rest costs a system call.
const TURNS: u32 = 8;
/// How often what is not read at present is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Reads at the end: more than any driver keeps.
const LAST_READS: usize = 64;
/// How long a frame that was started may take to be finished at the end, beyond its own time.
const FRAME_GRACE: Duration = Duration::from_secs(2);
/// How long clients that were told REVOKED may take to go.
const LAST_WORDS: Duration = Duration::from_millis(250);
