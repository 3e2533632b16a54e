//! The loop of one line: it owns the device for the daemon's life and the clients' sockets.
//!
//! It decides nothing. It waits, tells the core what happened, and does what the core says. A hang
//! of this loop hangs the line's renewals, beacons, status and watchdog with it (I8).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sys::{BootTimer, PortError, SerialPort};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wire::time::earliest;
use wire::{Frame, Name, ObserveFrom, Signals, Time};

use super::beacons::Boards;
use super::clock::now;
use super::device::{self, Device, DeviceError, Doing, Ready};
use super::listener::Arrival;
use super::peers::{Found, Peer, Peers};
use super::pulse::Beat;
use super::question::{Attach, AttachFrom, ClientReport, Kick, LineQuestion};
use super::report::{self, LineReport, Reporter};
use super::state::{StateDir, StateError};
use super::stream::{Address, Stream};
use crate::core::config::LINGER;
use crate::core::{Action, ClientId, ClientKind, Line, Outcome, Saved};

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
    /// Connections closed at once because there were too many for the core to answer them.
    turned_away: u64,
    /// The client that the core is being told of.
    about: Option<Address>,
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
            doing: None,
            timer,
            announced: false,
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
        let hang_up = self.peers.hang_up_at();
        let due = earliest([self.line.poll_timeout(), retry, watchdog, hang_up, until]);
        let reading = self.line.wants_input();
        let probing = !self.probes.is_empty();
        let Self { device, peers, timer, links, storing, opening, doing, line, .. } = self;
        peers.set_wanted(|id| line.wants_bytes(id));
        let io = async {
            // Neither a flood from the line nor one from a client holds up the other: no order.
            // Probes go on after whatever wakes the loop; here they only keep it from sleeping.
            tokio::select! {
                ready = device.ready(reading) => Wake::Device(ready),
                () = peers.ready() => Wake::Peers,
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
            done = finished(doing) => Wake::Done(done),
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
        while let Some(id) = self.peers.to_hang_up(!self.line.has_output(), now()) {
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
                self.first_look();
            }
            Err(error) => tracing::debug!(line = %self.name, %error, "not back yet"),
        }
    }

    fn arrive(&mut self, arrival: Arrival) {
        if self.peers.len() >= self.line.max_clients() + SPARE_PEERS {
            self.turned_away += 1;
            return self.reporter.crowd(&arrival.address, now());
        }
        let Arrival { stream, address, kind, inbox, permit } = arrival;
        let id = self.next_id;
        self.next_id += 1;
        tracing::debug!(line = %self.name, client = id, peer = %address, "connected");
        self.about = Some(address.clone());
        self.peers.insert(id, Peer::new(stream, address, kind, inbox, now()).with(permit));
        self.line.handle_connect(id, kind, now());
        self.settle();
        self.let_lag(id);
        self.read_peer(id);
    }

    /// Reads the device for one turn at most.
    fn read_device(&mut self) {
        for _ in 0..DEVICE_TURN {
            // After a short read nothing is left, most likely: the clients have it first.
            if self.read_device_once() < DEVICE_READ {
                return;
            }
        }
    }

    /// How much there was, at most [`DEVICE_READ`].
    fn read_device_once(&mut self) -> usize {
        let mut buf = [0; DEVICE_READ];
        match self.device.read(&mut buf) {
            Ok(Some(count)) => {
                let (line, now) = (&mut self.line, now());
                self.device.sort(&buf[..count], |found| match found {
                    device::Found::Bytes(bytes) => line.handle_input(bytes, now),
                    device::Found::Event(kind) => line.handle_event(kind, now),
                });
                count
            }
            Ok(None) => 0,
            Err(error) => {
                self.device_gone(&error);
                0
            }
        }
    }

    /// The device has just been opened: its wires may stand otherwise than we thought.
    fn first_look(&mut self) {
        if let Some(signals) = self.device.signals() {
            let ours = self.line.condition().1.and(Signals::BREAK);
            self.line.handle_signals(signals | ours, now());
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
            let wanted = self.line.wants_bytes(id);
            let Some(peer) = self.peers.get(id) else { return };
            if !peer.may_read() || (peer.speaks_bytes() && !wanted) {
                return;
            }
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
                    self.about = Some(peer.address().clone());
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
        self.about = self.peers.get(id).map(|peer| peer.address().clone());
        let observe = matches!(found, Found::Frame(Frame::Observe(_)));
        match found {
            Found::Frame(frame) => self.line.handle_frame(id, frame, now),
            Found::Bytes(bytes) => self.line.handle_bytes(id, bytes, now),
            Found::Urgent => self.line.handle_urgent(id),
            Found::Bad(error) => self.line.handle_bad_frame(id, error, now),
            Found::Closed => return self.ended(id),
            Found::Part | Found::Idle => return,
        }
        self.settle();
        if observe {
            self.let_lag(id);
        }
    }

    /// An observer that may fall behind may also pause: only a peer that is gone is given up.
    fn let_lag(&mut self, id: ClientId) {
        if self.line.may_lag(id)
            && let Some(peer) = self.peers.get(id)
            && let Err(error) = peer.wait_for_ever()
        {
            tracing::debug!(line = %self.name, client = id, %error, "cannot wait for an observer");
        }
    }

    /// Nothing more comes from a client. Of one that speaks bytes that is no more than the end of a
    /// file sent to the line: it has the line until that is written.
    fn ended(&mut self, id: ClientId) {
        let writing = self.line.is_holder(id) && self.line.has_output();
        match self.peers.get(id) {
            Some(peer) if peer.speaks_bytes() && writing => peer.hang_up_later(now() + LINGER),
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

    fn done(&mut self, outcome: Option<Outcome>) {
        self.doing = None;
        let (settings, _) = self.line.condition();
        // A thread that broke changed nothing that we know of.
        let outcome = outcome.unwrap_or(Outcome { settings, signals: None });
        self.device.set(outcome.settings);
        self.line.handle_done(outcome, now());
    }

    fn answer(&mut self, question: LineQuestion) {
        // Who asked may have gone again.
        match question {
            LineQuestion::Report(answer) => drop(answer.send(self.report())),
            LineQuestion::Clients(answer) => drop(answer.send(self.clients())),
            LineQuestion::Kick { who, answer } => {
                let kicked = self.clients().into_iter().filter(|client| match who {
                    Kick::Holder => client.role == "holder",
                    Kick::Client(id) => client.id == id,
                    Kick::Observers => client.role == "observer",
                });
                let kicked: Vec<_> = kicked.collect();
                for client in &kicked {
                    tracing::info!(line = %self.name, client = client.id, peer = client.address, "kicked");
                    self.line.kick(client.id, now());
                }
                drop(answer.send(kicked));
            }
            LineQuestion::Attach(attach) => self.attach(attach),
        }
    }

    fn attach(&mut self, attach: Attach) {
        let incarnation = self.line.snapshot().incarnation;
        let from = match attach.from {
            AttachFrom::Live => ObserveFrom::Live,
            AttachFrom::Oldest => ObserveFrom::Oldest,
            AttachFrom::At { offset, incarnation: named } => {
                ObserveFrom::At { incarnation: named.unwrap_or(incarnation), offset }
            }
        };
        self.arrive(Arrival {
            stream: Stream::Unix(attach.stream),
            address: Address::Local(attach.user),
            kind: ClientKind::Console { hold: attach.hold, from },
            inbox: attach.inbox[..].into(),
            permit: None,
        });
    }

    fn clients(&self) -> Vec<ClientReport> {
        let (_, _, end) = self.line.offsets();
        let now = now();
        let known = self.peers.iter().filter_map(|(id, peer)| {
            let (_, role, cursor) = self.line.clients().find(|(known, ..)| *known == id)?;
            let (since, bytes_in, bytes_out) = peer.traffic();
            Some(ClientReport {
                id,
                address: peer.address().to_string(),
                kind: match peer.kind() {
                    ClientKind::Line { .. } => "line",
                    ClientKind::Raw => "raw",
                    ClientKind::Telnet => "telnet",
                    ClientKind::Console { .. } => "console",
                }
                .to_owned(),
                role: role.to_owned(),
                name: self.line.name_of(id).map(ToString::to_string),
                connected_ms: now.since(since).as_millis() as u64,
                bytes_in,
                bytes_out,
                lag: end.saturating_sub(cursor),
            })
        });
        known.collect()
    }

    // ---- what the core says is to be done

    /// Does all that the core has to say, so that the next `handle_*` may be called.
    fn settle(&mut self) {
        loop {
            while let Some(action) = self.line.poll_action() {
                self.act(action);
            }
            // Nothing else may come between a deed and what was read before it.
            let told = self.perform() || self.write_device() || self.send();
            if !told && !self.line.has_actions() {
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
                self.reporter.occurrence(&occurrence, self.about.as_ref(), now());
            }
        }
    }

    /// Begins what a client asked of the device, if it is time. Whether the core was told something
    /// by it.
    fn perform(&mut self) -> bool {
        if self.doing.is_some() || !self.line.has_deeds() {
            return false;
        }
        let now = now();
        if let Some(count) = self.device.holds() {
            self.line.handle_port_holds(count, now);
        }
        let Some(deed) = self.line.poll_deed(now) else { return false };
        if deed.purge_input {
            for _ in 0..LAST_READS {
                if self.read_device_once() == 0 {
                    break;
                }
            }
        }
        match self.device.perform(deed) {
            Doing::Done(outcome) => self.done(Some(outcome)),
            Doing::Later(doing) => self.doing = Some(doing),
        }
        true
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
                if peer.speaks_bytes() {
                    if !self.line.poll_bytes(id, peer.outbox(), SEND_AT_ONCE, now) {
                        break;
                    }
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
            if self.read_device_once() == 0 {
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

/// What became of work that cannot fail; `None` if its thread broke.
async fn finished(work: &mut Option<JoinHandle<Outcome>>) -> Option<Outcome> {
    match work {
        Some(handle) => handle.await.ok(),
        None => std::future::pending().await,
    }
}

/// Frames, or pieces of them, taken from one client before the others have their turn.
const TURN: usize = 64;
/// One read of the device: all that its driver keeps.
const DEVICE_READ: usize = 4096;
/// Reads of the device before the clients have their turn.
const DEVICE_TURN: usize = 4;
/// Bytes taken out of the ring for one client at once.
const SEND_AT_ONCE: usize = 16 * 1024;
/// Reads at the end: more than any driver keeps.
const LAST_READS: usize = 64;
/// Connections beyond the core's clients: they are told that the line is full. The rest is closed.
const SPARE_PEERS: usize = 16;
/// How long a frame that was started may take to be finished at the end, beyond its own time.
const FRAME_GRACE: Duration = Duration::from_secs(2);
/// How long clients that were told REVOKED may take to go.
const LAST_WORDS: Duration = Duration::from_millis(250);
