//! The loop of a run in a dialect.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use billing::{BillingEnd, WallClock};
use bytes::{Buf, Bytes};
use sys::{BootTimer, boottime};

use super::line::Line;
use super::options::Shutdown;
use super::run::{BLOCKED_LOOK, READ_CHUNK, Wake, take_ready};
use crate::core::exchange::entry::{End, Sink};
use crate::core::exchange::fault::PortDeed;
use crate::core::exchange::truth::Truth;
use crate::core::exchange::{Exchange, Settings};

/// Runs a billing system on `line` until all has passed that `settings` ask for, it is told to end
/// through `shutdown`, or the port is gone.
///
/// `end` makes the billing system; it is told the clock on the wall and the time since boot. `sink`
/// is told of everything, at once. When the run is over, `truth` is asked what was wanted: files
/// that somebody else wrote meanwhile are complete only then. The value that comes back knows the
/// outcome, and all that was posted.
///
/// # Errors
/// The system gave no timer, and nothing was sent; or the truth could not be had.
pub async fn run_dialect(
    settings: Settings,
    end: impl FnOnce(WallClock, Duration) -> Box<dyn BillingEnd>,
    line: impl Line,
    shutdown: impl Into<Shutdown>,
    sink: &mut dyn Sink,
    truth: impl FnOnce() -> io::Result<Truth>,
) -> io::Result<Exchange> {
    let shutdown = shutdown.into();
    let mut timer = BootTimer::new()?;
    let now = boottime();
    let exchange = Exchange::new(settings, end(wall(), now), now);
    let mut driver = Driver {
        exchange,
        line,
        pending: Bytes::new(),
        buf: vec![0; READ_CHUNK],
        undo: Vec::new(),
        wall_due: now + WALL_LOOK,
    };
    let mut stop = Some(Box::pin(shutdown.stop.cancelled()));
    let mut abort = Some(Box::pin(shutdown.abort.cancelled()));
    while driver.advance(sink) {
        let deadline = driver.deadline();
        let wake = poll_fn(|cx| {
            let mut wake = driver.poll_line(cx);
            wake.stop = take_ready(&mut stop, cx);
            wake.abort = take_ready(&mut abort, cx);
            let timed = timer.poll_until(cx, deadline).is_ready();
            if timed || wake.is_any() { Poll::Ready(wake) } else { Poll::Pending }
        })
        .await;
        driver.handle(wake);
    }
    driver.put_back();
    let truth = truth();
    let nothing = Truth::default();
    driver.exchange.compare(truth.as_ref().unwrap_or(&nothing), boottime());
    driver.drain(sink);
    truth.map(|_| driver.exchange)
}

struct Driver<L> {
    exchange: Exchange,
    line: L,
    /// Handed out and not written.
    pending: Bytes,
    buf: Vec<u8>,
    /// What a fault has begun, and when it ends.
    undo: Vec<(Duration, Undo)>,
    /// When the wall is looked at again: somebody may set its clock.
    wall_due: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Undo {
    Hold,
    Break,
    Close,
}

impl<L: Line> Driver<L> {
    /// Brings the run to the present and drains it; false when it is over.
    fn advance(&mut self, sink: &mut dyn Sink) -> bool {
        let now = boottime();
        self.end_deeds(now);
        if now >= self.wall_due {
            self.wall_due = now + WALL_LOOK;
            self.exchange.set_wall_clock(wall());
        }
        self.exchange.handle_timeout(now);
        if self.pending.is_empty() {
            self.pending = self.exchange.poll_bytes(now).unwrap_or_default();
        }
        while let Some(deed) = self.exchange.poll_deed() {
            self.begin(deed, now);
        }
        self.drain(sink);
        !self.exchange.is_done()
    }

    fn drain(&mut self, sink: &mut dyn Sink) {
        while let Some(entry) = self.exchange.poll_entry() {
            sink.take(&entry);
        }
    }

    fn deadline(&self) -> Option<Duration> {
        let blocked = (!self.pending.is_empty()).then(|| boottime() + BLOCKED_LOOK);
        let undo = self.undo.iter().map(|(at, _)| *at).min();
        [blocked, undo, self.exchange.poll_timeout(), Some(self.wall_due)]
            .into_iter()
            .flatten()
            .min()
    }

    fn poll_line(&mut self, cx: &mut Context<'_>) -> Wake {
        let mut wake = Wake::default();
        if !self.pending.is_empty()
            && let Poll::Ready(result) = self.line.poll_write(cx, &self.pending)
        {
            wake.wrote = Some(result);
        }
        if let Poll::Ready(result) = self.line.poll_read(cx, &mut self.buf) {
            wake.read = Some(result);
        }
        wake
    }

    fn handle(&mut self, wake: Wake) {
        let now = boottime();
        // What was written comes first: its answer may be in what was read.
        match wake.wrote {
            Some(Ok(len)) => {
                self.pending.advance(len);
                self.exchange.handle_written(len, now);
            }
            Some(Err(error)) => self.gone(&error, now),
            None => {}
        }
        match wake.read {
            Some(Ok(0)) => self.gone(&io::ErrorKind::UnexpectedEof.into(), now),
            Some(Ok(len)) => self.exchange.handle_bytes(&self.buf[..len], now),
            Some(Err(error)) => self.gone(&error, now),
            None => {}
        }
        if wake.stop {
            self.exchange.stop(now);
        }
        if wake.abort {
            self.exchange.abort(End::Stopped, now);
        }
    }

    fn gone(&mut self, error: &io::Error, now: Duration) {
        if !self.exchange.is_done() {
            tracing::warn!(%error, "the port is gone; the run ends here");
        }
        self.exchange.abort(End::Gone, now);
    }

    fn begin(&mut self, deed: PortDeed, now: Duration) {
        let (undo, lasting, done) = match deed {
            PortDeed::Hold { lasting } => (Undo::Hold, lasting, self.line.hold(true)),
            PortDeed::Break { lasting } => (Undo::Break, lasting, self.line.send_break(true)),
            PortDeed::Reopen { pause } => {
                self.line.close();
                (Undo::Close, pause, Ok(()))
            }
        };
        if let Err(error) = done {
            tracing::warn!(%error, ?deed, "the port refused a fault");
        }
        // One that lasts already lasts longer.
        self.undo.retain(|(_, other)| *other != undo);
        self.undo.push((now + lasting, undo));
    }

    fn end_deeds(&mut self, now: Duration) {
        let (over, rest) = self.undo.drain(..).partition::<Vec<_>, _>(|(at, _)| *at <= now);
        self.undo = rest;
        for (_, undo) in over {
            let ended = match undo {
                Undo::Hold => self.line.hold(false),
                Undo::Break => self.line.send_break(false),
                Undo::Close => {
                    let opened = self.line.open();
                    if opened.is_err() {
                        self.undo.push((now + OPEN_AGAIN, Undo::Close));
                    } else {
                        self.exchange.handle_damage(now);
                    }
                    opened
                }
            };
            if let Err(error) = ended {
                tracing::warn!(%error, "the port refused to end a fault");
            }
        }
    }

    /// Leaves the line as it was found.
    fn put_back(&mut self) {
        for (_, undo) in std::mem::take(&mut self.undo) {
            let _ = match undo {
                Undo::Hold => self.line.hold(false),
                Undo::Break => self.line.send_break(false),
                Undo::Close => Ok(()),
            };
        }
    }
}

/// How the clock on the wall stands now.
fn wall() -> WallClock {
    WallClock { at_boot: daemon::wall::at_boot() }
}

/// How often the clock on the wall is read: a billing system's records carry seconds.
const WALL_LOOK: Duration = Duration::from_secs(1);
/// How soon a port that did not open is tried again.
const OPEN_AGAIN: Duration = Duration::from_millis(100);
