//! A journal played back on a port, by the real clock.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::Poll;

use bytes::Bytes;
use sys::{BootTimer, boottime};
use tokio_util::sync::CancellationToken;

use super::replay::{Outcome, Replay};
use crate::core::exchange::entry::{End, Entry, Sink, What};
use crate::driver::port::Port;

/// Plays until all has left and nothing has come back for a while, the port is gone, or it is told
/// to stop. Everything that passes goes to `sink`.
///
/// # Errors
/// The system gave no timer. Nothing was sent.
pub async fn play(
    mut replay: Replay,
    mut port: impl Port,
    stop: CancellationToken,
    sink: &mut impl Sink,
) -> io::Result<(Outcome, End)> {
    let mut timer = BootTimer::new()?;
    let mut buf = vec![0; READ_CHUNK];
    let mut rest = Bytes::new();
    let mut stopped = pin!(stop.cancelled());
    let mut tell = |what| sink.take(&Entry { at: boottime(), what });
    replay.start(boottime());
    tell(What::Started);
    let why = loop {
        let now = boottime();
        if rest.is_empty() {
            rest = replay.poll_transmit(now).unwrap_or_default();
        }
        if rest.is_empty() && replay.is_done(now) {
            break End::Done;
        }
        // While a write waits for room, nothing can fall due.
        let deadline = rest.is_empty().then(|| replay.poll_timeout());
        let woken = std::future::poll_fn(|cx| {
            let mut woken =
                Woken { stop: stopped.as_mut().poll(cx).is_ready(), ..Woken::default() };
            if !rest.is_empty()
                && let Poll::Ready(wrote) = port.poll_write(cx, &rest)
            {
                woken.wrote = Some(wrote);
            }
            if let Poll::Ready(read) = port.poll_read(cx, &mut buf) {
                woken.read = Some(read);
            }
            let timed = timer.poll_until(cx, deadline).is_ready();
            if timed || woken.is_any() { Poll::Ready(woken) } else { Poll::Pending }
        })
        .await;
        match woken.wrote {
            Some(Ok(len)) => tell(What::Out { bytes: rest.split_to(len) }),
            Some(Err(_)) => break End::Gone,
            None => {}
        }
        match woken.read {
            Some(Ok(len @ 1..)) => {
                let bytes = Bytes::copy_from_slice(&buf[..len]);
                replay.handle_bytes(&bytes, boottime());
                tell(What::In { bytes });
            }
            Some(_) => break End::Gone,
            None => {}
        }
        if woken.stop {
            break End::Stopped;
        }
    };
    tell(What::Ended { why });
    Ok((replay.outcome(boottime()), why))
}

/// Why the loop woke up; none is the timer.
#[derive(Default)]
struct Woken {
    stop: bool,
    wrote: Option<io::Result<usize>>,
    read: Option<io::Result<usize>>,
}

impl Woken {
    fn is_any(&self) -> bool {
        self.stop || self.wrote.is_some() || self.read.is_some()
    }
}

/// Bytes read at once: more than a PTY buffers.
const READ_CHUNK: usize = 8192;
