//! The loop of one line: it owns the device for the daemon's life and the clients' sockets.
//!
//! It decides nothing. It waits, tells the core what happened, and does what the core says. A hang
//! of this loop hangs the line's renewals, beacons, status and watchdog with it (I8).

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sys::{BootTimer, PortError, SerialPort};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wire::time::earliest;
use wire::{Name, Time};

use super::beacons::Boards;
use super::clock::now;
use super::device::{Device, DeviceError, Ready};
use super::listener::Arrival;
use super::peers::{Found, Peer, Peers};
use super::pulse::Beat;
use super::question::LineQuestion;
use super::report::{self, LineReport, Reporter};
use super::state::{StateDir, StateError};
use crate::core::config::MAX_CLIENTS;
use crate::core::{Action, ClientId, ClientKind, Line, Saved};

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
    timer: BootTimer,
    /// When the service manager is to be told again that the loop turns.
    watchdog_at: Time,
    /// What the longest frame takes on the wire.
    frame_time: Duration,
    reporter: Reporter,
    /// Connections closed at once because there were too many for the core to answer them.
    turned_away: u64,
    /// The client that the core is being told of.
    about: Option<SocketAddr>,
    /// Something was announced that its task has not had a chance to send.
    announced: bool,
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
        links: Links,
    ) -> Self {
        Self {
            reporter: Reporter::new(name.clone()),
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
            timer,
            announced: false,
            stopping: false,
        }
    }

    /// Serves the line until `shutdown`, then leaves it in order. What is to be saved, and the
    /// device, to be closed after that: closing may take long.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) -> (Saved, Device) {
        self.settle();
        if !self.device.is_open() {
            self.line.handle_device(false, now());
            self.settle();
        }
        loop {
            let wake = self.wait(&shutdown, None).await;
            if matches!(wake, Wake::Stop) {
                break;
            }
            self.handle(wake);
        }
        self.stop(&shutdown).await
    }

    async fn wait(&mut self, shutdown: &CancellationToken, until: Option<Time>) -> Wake {
        if std::mem::take(&mut self.announced) {
            // The beacon of a change goes out before this loop does anything more.
            tokio::task::yield_now().await;
        }
        let watchdog = self.links.watchdog.as_ref().map(|_| self.watchdog_at);
        let retry = self.device.retry_at();
        let due = earliest([self.line.poll_timeout(), retry, watchdog, until]);
        let (reading, raw) = (self.line.wants_input(), self.line.wants_raw());
        let probing = !self.probes.is_empty();
        let Self { device, peers, timer, links, storing, opening, .. } = self;
        let io = async {
            // Neither a flood from the line nor one from a client holds up the other: no order.
            // Probes go on after whatever wakes the loop; here they only keep it from sleeping.
            tokio::select! {
                ready = device.ready(reading) => Wake::Device(ready),
                () = peers.ready(raw) => Wake::Peers,
                () = tokio::task::yield_now(), if probing => Wake::Probes,
            }
        };
        tokio::select! {
            // A stop must not wait behind work, nor a deadline behind a flood.
            biased;
            () = shutdown.cancelled(), if !self.stopping => Wake::Stop,
            () = timer.until(due.map(Time::since_boot)) => Wake::Timer,
            stored = outcome(storing, StateError::Unfinished) => Wake::Stored(stored),
            opened = outcome(opening, DeviceError::Unfinished) => Wake::Opened(opened),
            Some(question) = links.questions.recv() => Wake::Question(question),
            Some(arrival) = links.arrivals.recv(), if !self.stopping => Wake::Arrival(arrival),
            wake = io => wake,
        }
    }

    fn handle(&mut self, wake: Wake) {
        self.about = None;
        match wake {
            Wake::Stop => self.line.handle_stop(now()),
            Wake::Timer => self.timer_is_due(),
            Wake::Arrival(arrival) => self.arrive(arrival),
            // Who asked may have gone again. Nothing else is answered yet.
            Wake::Question(LineQuestion::Report(answer)) => drop(answer.send(self.report())),
            Wake::Question(_) => {}
            Wake::Stored(stored) => self.stored(stored),
            Wake::Opened(opened) => self.opened(opened),
            Wake::Device(Ready::Input) => self.read_device(),
            // What did not fit is tried again below.
            Wake::Device(Ready::Room) => {}
            Wake::Peers => {
                for id in self.peers.take_ready() {
                    self.read_peer(id);
                }
            }
            Wake::Probes => {}
        }
        self.settle();
        while let Some(id) = self.peers.to_hang_up().filter(|_| !self.line.has_output()) {
            self.closed(id);
        }
        for _ in 0..self.probes.len() {
            if let Some((id, until)) = self.probes.pop_front() {
                self.probe(id, until);
            }
        }
    }

    // ---- what happened, told to the core

    fn timer_is_due(&mut self) {
        let now = now();
        self.line.handle_timeout(now);
        self.settle();
        if let Some(beat) = self.links.watchdog.as_ref().filter(|_| self.watchdog_at <= now) {
            self.watchdog_at = now + beat.interval();
            beat.beat();
        }
        if self.device.retry_at().is_some_and(|at| at <= now) {
            self.opening = Some(self.device.retry());
        }
    }

    fn opened(&mut self, opened: Result<SerialPort, DeviceError>) {
        self.opening = None;
        let now = now();
        match self.device.opened(opened, now) {
            Ok(()) => {
                report::device(&self.name, self.device.path(), true, None);
                self.line.handle_device(true, now);
            }
            Err(error) => tracing::debug!(line = %self.name, %error, "not back yet"),
        }
    }

    fn arrive(&mut self, arrival: Arrival) {
        if self.peers.len() >= MAX_PEERS {
            self.turned_away += 1;
            return self.reporter.crowd(arrival.address, now());
        }
        let Arrival { stream, address, kind, inbox, permit } = arrival;
        let id = self.next_id;
        self.next_id += 1;
        tracing::debug!(line = %self.name, client = id, peer = %address, "connected");
        let peer = Peer::new(stream, address, kind == ClientKind::Raw, inbox, permit);
        self.peers.insert(id, peer);
        self.line.handle_connect(id, kind, now());
        self.settle();
        self.read_peer(id);
    }

    fn read_device(&mut self) {
        let mut buf = [0; DEVICE_READ];
        match self.device.read(&mut buf) {
            Ok(Some(count)) => self.line.handle_input(&buf[..count], now()),
            Ok(None) => {}
            Err(error) => self.device_gone(&error),
        }
    }

    fn device_gone(&mut self, error: &PortError) {
        let now = now();
        report::device(&self.name, self.device.path(), false, Some(error));
        self.device.gone(error, now);
        self.line.handle_device(false, now);
    }

    /// Reads a client's socket, for one turn at most.
    fn read_peer(&mut self, id: ClientId) {
        for _ in 0..TURN {
            let raw = self.line.wants_raw();
            let Some(peer) = self.peers.get(id).filter(|peer| peer.may_read(raw)) else { return };
            let found = peer.look();
            if matches!(found, Found::Idle) {
                return peer.set_more(false);
            }
            self.found(id, found);
        }
        if let Some(peer) = self.peers.get(id) {
            peer.set_more(true);
        }
    }

    /// Reads what lay in a client's socket when the core asked, or more.
    fn probe(&mut self, id: ClientId, until: u64) {
        for _ in 0..TURN {
            let Some(peer) = self.peers.get(id) else { return };
            match peer.look_until(until) {
                Found::Idle => {
                    // What came after the question, if anything did, is looked at in its turn.
                    peer.set_more(true);
                    self.about = Some(peer.address());
                    self.line.handle_idle(id, now());
                    return self.settle();
                }
                found => self.found(id, found),
            }
        }
        // The others have their turn before the rest of it.
        self.probes.push_back((id, until));
    }

    fn ask_for_probe(&mut self, id: ClientId) {
        if let Some(peer) = self.peers.get(id)
            && !self.probes.iter().any(|(probed, _)| *probed == id)
        {
            let until = peer.most_received();
            self.probes.push_back((id, until));
        }
    }

    fn found(&mut self, id: ClientId, found: Found) {
        let now = now();
        self.about = self.peers.get(id).map(|peer| peer.address());
        match found {
            Found::Frame(frame) => self.line.handle_frame(id, frame, now),
            Found::Raw(bytes) => self.line.handle_raw(id, &bytes, now),
            Found::Bad(error) => self.line.handle_bad_frame(id, error, now),
            Found::Closed => return self.ended(id),
            Found::Part | Found::Idle => return,
        }
        self.settle();
    }

    /// Nothing more comes from a client. Of a raw one that is no more than the end of a file sent
    /// to the line: it has the line until that is written.
    fn ended(&mut self, id: ClientId) {
        match self.peers.get(id) {
            Some(peer) if peer.is_raw() && self.line.has_output() => peer.hang_up_later(),
            _ => self.closed(id),
        }
    }

    fn closed(&mut self, id: ClientId) {
        tracing::debug!(line = %self.name, client = id, "closed");
        self.peers.remove(id);
        self.line.handle_closed(id, now());
        self.settle();
    }

    fn stored(&mut self, stored: Result<u32, StateError>) {
        self.storing = None;
        match stored {
            Ok(start) => {
                self.links.boards.raise(start);
                self.line.handle_stored(start, now());
            }
            Err(error) => {
                report::store_failed(&self.name, &error);
                self.line.handle_store_failed(now());
            }
        }
    }

    // ---- what the core says is to be done

    /// Does all that the core has to say, so that the next `handle_*` may be called.
    fn settle(&mut self) {
        loop {
            while let Some(action) = self.line.poll_action() {
                self.act(action);
            }
            if !self.write_device() && !self.send() {
                return;
            }
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Probe(id) => self.ask_for_probe(id),
            Action::Store(start) => self.store(start),
            Action::Finish(id) => {
                if let Some(peer) = self.peers.get(id) {
                    peer.finish();
                }
            }
            Action::Drop(id) => self.peers.remove(id),
            Action::Announce => {
                let now = now();
                let status = self.line.status(now);
                self.links.boards.post(&status, now);
                self.announced = true;
            }
            Action::Report(occurrence) => {
                self.reporter.occurrence(&occurrence, self.about, now());
            }
        }
    }

    /// One write to the device. Whether the core was told something by it.
    fn write_device(&mut self) -> bool {
        let now = now();
        if self.line.poll_serial(now).is_none() {
            return false;
        }
        if let Some(count) = self.device.holds() {
            self.line.handle_port_holds(count, now);
        }
        let Some(bytes) = self.line.poll_serial(now) else { return true };
        match self.device.write(bytes) {
            Ok(None) => false,
            Ok(Some(count)) => {
                self.line.handle_written(count, now);
                true
            }
            Err(error) => {
                self.device_gone(&error);
                true
            }
        }
    }

    /// Sends to every client what it can take. Whether the core was told something by it.
    fn send(&mut self) -> bool {
        let mut at = None;
        while let Some(id) = self.peers.after(at) {
            at = Some(id);
            if self.send_to(id).is_err() {
                tracing::debug!(line = %self.name, client = id, "broken");
                self.peers.remove(id);
                self.line.handle_closed(id, now());
                return true;
            }
        }
        false
    }

    fn send_to(&mut self, id: ClientId) -> std::io::Result<()> {
        let now = now();
        let Some(peer) = self.peers.get(id) else { return Ok(()) };
        loop {
            let mut more = false;
            while peer.has_room() {
                if peer.is_raw() {
                    let Some(bytes) = self.line.poll_raw(id) else { break };
                    peer.push_raw(&bytes);
                } else {
                    let Some(frame) = self.line.poll_frame(id, now) else { break };
                    peer.push(&frame);
                }
                more = true;
            }
            peer.send()?;
            if !peer.is_sent() {
                return Ok(());
            }
            if !more {
                return peer.close_sending();
            }
        }
    }

    fn store(&mut self, start: u32) {
        // One at a time. Who needs a higher one asks again when this one is stored.
        if self.storing.is_some() {
            return;
        }
        let state = self.links.state.clone();
        self.storing = Some(tokio::task::spawn_blocking(move || {
            state.lock().unwrap_or_else(PoisonError::into_inner).raise(start)
        }));
    }

    fn report(&self) -> LineReport {
        let mut report = LineReport::new(&self.line, &self.device, self.peers.len(), now());
        report.counters.full += self.turned_away;
        report
    }

    // ---- the end

    /// Finishes the started frame, lets last words reach the clients, takes what is still in the
    /// device. Each within its time.
    async fn stop(mut self, shutdown: &CancellationToken) -> (Saved, Device) {
        let begun = now();
        self.stopping = true;
        self.links.arrivals.close();
        self.line.handle_stop(begun);
        self.settle();
        let frame = (begun + FRAME_GRACE + self.frame_time, begun + LAST_WORDS);
        while let Some(until) = self.stopped(frame) {
            let wake = self.wait(shutdown, Some(until)).await;
            self.handle(wake);
        }
        if !self.line.is_stopped() {
            tracing::warn!(line = %self.name, "a frame could not be finished in time");
        }
        self.look_once_more().await;
        if let Some(storing) = self.storing.take() {
            let _ = storing.await;
        }
        (self.line.save(), self.device)
    }

    /// `None` when all has been done or its time is over, else when to look again at the latest.
    fn stopped(&self, (frame_until, words_until): (Time, Time)) -> Option<Time> {
        let now = now();
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
            let mut buf = [0; DEVICE_READ];
            match self.device.read(&mut buf) {
                Ok(Some(count)) => self.line.handle_input(&buf[..count], now()),
                Ok(None) | Err(_) => break,
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

/// Frames, or pieces of them, taken from one client before the others have their turn.
const TURN: usize = 64;
/// One read of the device: all that its driver keeps.
const DEVICE_READ: usize = 4096;
/// Reads at the end: more than any driver keeps.
const LAST_READS: usize = 64;
/// Connections beyond the core's clients: they are told that the line is full. The rest is closed.
const MAX_PEERS: usize = MAX_CLIENTS + 16;
/// How long a frame that was started may take to be finished at the end, beyond its own time.
const FRAME_GRACE: Duration = Duration::from_secs(2);
/// How long clients that were told REVOKED may take to go.
const LAST_WORDS: Duration = Duration::from_millis(250);
