//! The loop of a console: the status socket's connection, the terminal, signals and time.

use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::io::IsTerminal;
use std::path::PathBuf;

use bytes::{Buf, BytesMut};
use daemon::keyboard::Keyboard;
use daemon::{Exit, Failure, OrExit, RequestError, Signals};
use sys::BootTimer;
use tokio::net::UnixStream;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::codec::Decoder;
use wire::{FrameCodec, Time};

use super::attach::AttachArgs;
use super::core::{Deed, Outcome, Session, Show};
use super::screen::Screen;
use crate::driver::question::AttachFrom;
use crate::driver::requests::{AttachRequest, Attached};
use crate::program::PROGRAM;

/// A console and what it stands on.
pub(super) struct Console {
    session: Session,
    target: Target,
    link: Option<Link>,
    connecting: Option<JoinHandle<Result<(Attached, Link), RequestError>>>,
    keyboard: Option<Keyboard>,
    screen: Screen,
    /// Shows that the screen has no room for yet; then nothing more is read.
    held: VecDeque<Show>,
    timer: BootTimer,
    signals: Signals,
    quit: Signal,
    outcome: Option<Outcome>,
}

/// Where consoles attach.
#[derive(Clone)]
struct Target {
    status: PathBuf,
    line: Option<String>,
    from: AttachFrom,
}

/// A connection that carries frames.
struct Link {
    stream: UnixStream,
    inbox: BytesMut,
    outbox: BytesMut,
}

/// Why the loop went on.
enum Wake {
    Stop,
    Shown(Option<u64>),
    Room(bool),
    Keys(Option<Vec<u8>>),
    Connected(Result<(Attached, Link), RequestError>),
    Link,
    Timer,
}

impl Console {
    pub(super) fn new(args: &AttachArgs) -> io::Result<Self> {
        let interactive = io::stdin().is_terminal();
        let line = args.line.clone().unwrap_or_else(|| "the line".to_owned());
        let name = if interactive { line.clone() } else { PROGRAM.to_owned() };
        let wants_keys = interactive || args.hold;
        Ok(Self {
            session: Session::new(args.options(&line, interactive)),
            target: Target {
                status: args.status.clone(),
                line: args.line.clone(),
                from: args.from,
            },
            link: None,
            connecting: None,
            signals: Signals::listen()?,
            quit: signal(SignalKind::quit())?,
            timer: BootTimer::new()?,
            keyboard: wants_keys.then(|| Keyboard::start(PIECE)),
            screen: Screen::start(name, interactive),
            held: VecDeque::new(),
            outcome: None,
        })
    }

    /// Makes the first connection. Whatever is wrong with that shows before the terminal is changed.
    pub(super) async fn connect_first(&mut self) -> Result<(), Failure> {
        self.settle();
        let Some(connecting) = &mut self.connecting else { return Ok(()) };
        let connected = tokio::select! {
            biased;
            _ = self.signals.recv() => {
                self.session.handle_stop();
                return Ok(());
            }
            connected = connecting => connected.or_exit(Exit::Software)?,
        };
        self.connecting = None;
        let (_, link) = connected.map_err(|e| Failure::new((&e).into(), e.to_string()))?;
        self.link = Some(link);
        Ok(())
    }

    /// Runs until the console ends and all of it is shown.
    pub(super) async fn run(mut self) -> Result<(), Failure> {
        let outcome = loop {
            self.settle();
            if let Some(outcome) = self.outcome.take() {
                break outcome;
            }
            let wake = self.wait().await;
            if !self.handle(wake) {
                break Outcome::Done;
            }
        };
        // A reader that takes nothing is waited for until somebody says otherwise.
        let Self { screen, held, mut signals, mut quit, .. } = self;
        tokio::select! {
            _ = signals.recv() => {}
            _ = quit.recv() => {}
            () = screen.end(held) => {}
        }
        match outcome {
            Outcome::Done => Ok(()),
            Outcome::Refused(why) => Err(Failure::new(Exit::TemporaryFailure, why)),
            Outcome::Gone(why) => Err(Failure::new(Exit::Unavailable, why)),
            Outcome::Protocol(why) => Err(Failure::new(Exit::Protocol, why)),
        }
    }

    async fn wait(&mut self) -> Wake {
        let wants_keys = self.session.wants_keys();
        let due = self.session.poll_timeout();
        let stuck = !self.held.is_empty();
        let Self { signals, quit, screen, keyboard, connecting, link, timer, .. } = self;
        let (queue, shown) = screen.parts();
        tokio::select! {
            // A signal must not wait behind a flood, nor a deadline.
            biased;
            _ = signals.recv() => Wake::Stop,
            _ = quit.recv() => Wake::Stop,
            () = timer.until(due.map(Time::since_boot)) => Wake::Timer,
            keys = keys(keyboard), if wants_keys => Wake::Keys(keys),
            connected = outcome(connecting) => Wake::Connected(connected),
            changed = shown.changed() => {
                Wake::Shown(changed.ok().map(|()| *shown.borrow_and_update()))
            }
            room = queue.reserve(), if stuck => Wake::Room(room.is_ok()),
            () = ready(link, !stuck) => Wake::Link,
        }
    }

    /// What happened, told to the session; false when there is nobody to show anything to.
    fn handle(&mut self, wake: Wake) -> bool {
        match wake {
            Wake::Stop => self.session.handle_stop(),
            Wake::Shown(Some(offset)) => self.session.handle_shown(offset),
            Wake::Room(true) => {}
            Wake::Shown(None) | Wake::Room(false) => return false,
            Wake::Keys(Some(keys)) => self.session.handle_keys(&keys),
            Wake::Keys(None) => {
                self.keyboard = None;
                self.session.handle_keys_end(now());
            }
            Wake::Connected(connected) => {
                self.connecting = None;
                match connected {
                    Ok((_, link)) => self.link = Some(link),
                    Err(error) => self.session.handle_closed(&error.to_string(), now()),
                }
            }
            Wake::Link => self.read(),
            Wake::Timer => self.session.handle_timeout(now()),
        }
        true
    }

    fn read(&mut self) {
        let Some(link) = &mut self.link else { return };
        link.inbox.reserve(READ);
        match link.stream.try_read_buf(&mut link.inbox) {
            Ok(0) => self.closed(GONE),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => self.closed(&format!("{GONE}: {error}")),
        }
    }

    fn closed(&mut self, reason: &str) {
        self.link = None;
        self.session.handle_closed(reason, now());
    }

    /// Does all that the session has to say, and tells it of all frames that are here.
    fn settle(&mut self) {
        loop {
            while let Some(deed) = self.session.poll_deed() {
                match deed {
                    Deed::Connect { hold, resume } => self.connect(hold, resume),
                    Deed::End(outcome) => _ = self.outcome.get_or_insert(outcome),
                }
            }
            self.show();
            self.send();
            // While the screen has no room no more is taken in.
            if self.outcome.is_some() || !self.held.is_empty() {
                return;
            }
            let Some(link) = &mut self.link else { return };
            match FrameCodec.decode(&mut link.inbox) {
                Ok(Some(frame)) => self.session.handle_frame(frame, daemon::wall::now(), now()),
                Ok(None) => return,
                Err(error) => {
                    let why = format!("the terminal server sent no frame: {error}");
                    self.outcome = Some(Outcome::Protocol(why));
                }
            }
        }
    }

    fn connect(&mut self, hold: bool, resume: Option<(u64, u64)>) {
        // First, so that the line is free when the new connection asks for it.
        self.link = None;
        let target = self.target.clone();
        let from = match resume {
            Some((incarnation, offset)) => {
                AttachFrom::At { offset, incarnation: Some(incarnation) }
            }
            None => target.from,
        };
        if let Some(connecting) = self.connecting.take() {
            connecting.abort();
        }
        self.connecting = Some(tokio::spawn(async move {
            let (command, line) = ("attach".to_owned(), target.line);
            let request = AttachRequest { command, line, hold, from };
            let asked = daemon::status::upgrade_async(&target.status, PROGRAM, &request).await;
            let (stream, reply, after) = asked?;
            let attached = serde_json::from_value(reply).map_err(|error| {
                RequestError::Nonsense { path: target.status, reason: error.to_string() }
            })?;
            let (inbox, outbox) = (BytesMut::from(&after[..]), BytesMut::new());
            Ok((attached, Link { stream, inbox, outbox }))
        }));
    }

    fn show(&mut self) {
        self.held.extend(std::iter::from_fn(|| self.session.poll_show()));
        while let Some(show) = self.held.pop_front() {
            if let Err(back) = self.screen.try_show(show) {
                return self.held.push_front(back);
            }
        }
    }

    fn send(&mut self) {
        let Some(link) = &mut self.link else { return };
        loop {
            while link.outbox.len() < SEND_LOW
                && let Some(frame) = self.session.poll_frame()
            {
                frame.encode(&mut link.outbox);
            }
            if link.outbox.is_empty() {
                return;
            }
            match link.stream.try_write(&link.outbox) {
                Ok(count) => link.outbox.advance(count),
                // The end of the connection is found by reading, after what it still says.
                Err(_) => return,
            }
        }
    }
}

async fn keys(keyboard: &mut Option<Keyboard>) -> Option<Vec<u8>> {
    match keyboard {
        Some(keyboard) => keyboard.recv().await,
        None => pending().await,
    }
}

async fn outcome(
    connecting: &mut Option<JoinHandle<Result<(Attached, Link), RequestError>>>,
) -> Result<(Attached, Link), RequestError> {
    match connecting {
        // It is only aborted where it is replaced.
        Some(handle) => match handle.await {
            Ok(connected) => connected,
            Err(_) => pending().await,
        },
        None => pending().await,
    }
}

async fn ready(link: &Option<Link>, reading: bool) {
    let Some(link) = link else { return pending().await };
    // An error is found again by the read or write that follows.
    tokio::select! {
        _ = link.stream.readable(), if reading => {}
        _ = link.stream.writable(), if !link.outbox.is_empty() => {}
        else => pending().await,
    }
}

fn now() -> Time {
    Time::from_boot(sys::boottime())
}

const GONE: &str = "the terminal server has closed the connection";
/// One read of the keyboard, and one record of output at most.
const PIECE: usize = wire::frame::MAX_OUTPUT;
/// One read: some frames.
const READ: usize = 16 * 1024;
/// Little to wait behind for a RENEW.
const SEND_LOW: usize = 4 * 1024;
