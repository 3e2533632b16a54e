//! The one loop.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use sys::{BootTimer, boottime};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio_util::sync::WaitForCancellationFuture;

use super::options::{Options, Shutdown};
use super::port::Port;
use crate::core::event::{End, Event};
use crate::core::report::Report;
use crate::core::simulation::Simulation;

/// Runs the billing system on `port` until it has sent all, the time is over, it is told to end
/// through `shutdown` (a [`CancellationToken`](tokio_util::sync::CancellationToken) will do), or the
/// port is gone; in every case it reports.
///
/// `events` receives what happens, as it happens. The run never waits for the receiver: what does
/// not fit into the channel is dropped and counted in the report, so make it a large one
/// ([`EVENT_QUEUE`]).
///
/// # Errors
/// The system gave no timer. Nothing was sent.
pub async fn run(
    options: Options,
    port: impl Port,
    shutdown: impl Into<Shutdown>,
    events: Option<mpsc::Sender<Event>>,
) -> io::Result<Report> {
    let shutdown = shutdown.into();
    let mut timer = BootTimer::new()?;
    let mut driver = Driver {
        simulation: Simulation::new(options.settings(), boottime()),
        port,
        pending: Vec::new(),
        written: 0,
        buf: vec![0; READ_CHUNK],
        events,
        events_dropped: 0,
    };
    let mut stop = Some(Box::pin(shutdown.stop.cancelled()));
    let mut abort = Some(Box::pin(shutdown.abort.cancelled()));
    while driver.advance() {
        // While a write waits for room, nothing can be sent, whatever falls due.
        let deadline = match driver.pending.is_empty() {
            true => driver.simulation.poll_timeout(),
            false => Some(boottime() + BLOCKED_LOOK),
        };
        let wake = std::future::poll_fn(|cx| {
            let mut wake = driver.poll_port(cx);
            wake.stop = take_ready(&mut stop, cx);
            wake.abort = take_ready(&mut abort, cx);
            let timed = timer.poll_until(cx, deadline).is_ready();
            if timed || wake.is_any() { Poll::Ready(wake) } else { Poll::Pending }
        })
        .await;
        driver.handle(wake);
    }
    let outcome = driver.simulation.outcome(boottime());
    Ok(Report::new(options.summary(), outcome, driver.events_dropped))
}

struct Driver<P> {
    simulation: Simulation,
    port: P,
    /// Bytes handed out by the simulation, of which the first `written` are written.
    pending: Vec<u8>,
    written: usize,
    buf: Vec<u8>,
    events: Option<mpsc::Sender<Event>>,
    events_dropped: u64,
}

/// Why the loop woke up; several reasons may hold at once. None is the timer.
#[derive(Default)]
pub(super) struct Wake {
    pub(super) stop: bool,
    pub(super) abort: bool,
    pub(super) wrote: Option<io::Result<usize>>,
    pub(super) read: Option<io::Result<usize>>,
}

impl<P: Port> Driver<P> {
    /// Brings the simulation to the present and drains it; false when the run is over.
    fn advance(&mut self) -> bool {
        let now = boottime();
        self.simulation.handle_timeout(now);
        if self.pending.is_empty() {
            self.pending = self.simulation.poll_transmit(now).unwrap_or_default();
        }
        while let Some(event) = self.simulation.poll_event() {
            if let Some(events) = &self.events
                && let Err(TrySendError::Full(_)) = events.try_send(event)
            {
                self.events_dropped += 1;
            }
        }
        !self.simulation.is_done()
    }

    fn poll_port(&mut self, cx: &mut Context<'_>) -> Wake {
        let mut wake = Wake::default();
        let rest = &self.pending[self.written..];
        if !rest.is_empty()
            && let Poll::Ready(result) = self.port.poll_write(cx, rest)
        {
            wake.wrote = Some(result);
        }
        if let Poll::Ready(result) = self.port.poll_read(cx, &mut self.buf) {
            wake.read = Some(result);
        }
        wake
    }

    fn handle(&mut self, wake: Wake) {
        let now = boottime();
        // What was written comes first: its answer may be in what was read.
        match wake.wrote {
            Some(Ok(len)) => {
                self.written += len;
                if self.written == self.pending.len() {
                    self.pending.clear();
                    self.written = 0;
                }
                self.simulation.handle_written(len, now);
            }
            Some(Err(error)) => self.gone(&error, now),
            None => {}
        }
        match wake.read {
            Some(Ok(0)) => self.gone(&io::ErrorKind::UnexpectedEof.into(), now),
            Some(Ok(len)) => self.simulation.handle_bytes(&self.buf[..len], now),
            Some(Err(error)) => self.gone(&error, now),
            None => {}
        }
        if wake.stop {
            self.simulation.stop(now);
        }
        if wake.abort {
            self.simulation.abort(End::Stopped, now);
        }
    }

    fn gone(&mut self, error: &io::Error, now: Duration) {
        if !self.simulation.is_done() {
            tracing::warn!(%error, "the port is gone; the run ends here");
        }
        self.simulation.abort(End::Gone, now);
    }
}

impl Wake {
    pub(super) fn is_any(&self) -> bool {
        self.stop || self.abort || self.wrote.is_some() || self.read.is_some()
    }
}

/// Whether the token was cancelled; then it is taken, since it would be ready for ever.
pub(super) fn take_ready(
    token: &mut Option<Pin<Box<WaitForCancellationFuture<'_>>>>,
    cx: &mut Context<'_>,
) -> bool {
    let ready = token.as_mut().is_some_and(|token| token.as_mut().poll(cx).is_ready());
    if ready {
        *token = None;
    }
    ready
}

/// Events to make room for: a minute of records and answers at 115200 bauds.
pub const EVENT_QUEUE: usize = 16 * 1024;

/// Bytes read at once: more than a PTY buffers.
pub(super) const READ_CHUNK: usize = 8192;

/// How often a blocked write is looked at for having lasted too long.
pub(super) const BLOCKED_LOOK: Duration = Duration::from_millis(100);
