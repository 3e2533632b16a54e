//! A null-modem cable between two virtual serial ports, for tests and labs.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use crate::clock::{BootTimer, boottime};
use crate::port::{PortError, SerialPort};
use crate::pty::{Pty, PtyError, Slave};
use wire::LineSettings;

/// Two virtual ports, A and B, and the wires between them.
///
/// Programs open the two links as they would open serial devices and may come and go: both slaves
/// are held. A byte written at one end comes out at the other, not before its characters' time has
/// passed if the direction is paced. Nothing is dropped: where nobody reads, the kernel's and this
/// cable's buffers fill and then the writer waits, as on a line with working flow control; but see
/// [`Self::without_flow_control`].
#[derive(Debug)]
pub struct Cable {
    a: SerialPort,
    b: SerialPort,
    a_to_b: Lane,
    b_to_a: Lane,
    timer: BootTimer,
    counters: Arc<CableCounters>,
    a_slave: PathBuf,
    b_slave: PathBuf,
}

/// How fast each direction is. `None` relays as fast as it can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CablePace {
    /// Speed and character length of what is written at A.
    pub a_to_b: Option<LineSettings>,
    /// Speed and character length of what is written at B.
    pub b_to_a: Option<LineSettings>,
}

/// Bytes that came out of the cable so far, and those that never will; readable from any task while
/// it runs.
#[derive(Debug, Default)]
pub struct CableCounters {
    a_to_b: Passed,
    b_to_a: Passed,
}

/// Of one direction.
#[derive(Debug, Default)]
struct Passed {
    delivered: AtomicU64,
    lost: AtomicU64,
}

impl Cable {
    /// Makes both ports, linked under the given names, with nothing moving until [`Self::run`].
    /// Needs a tokio runtime with I/O enabled.
    ///
    /// # Errors
    /// As [`Pty::open`]; no link is left behind.
    pub fn open(
        link_a: Option<&Path>,
        link_b: Option<&Path>,
        pace: CablePace,
    ) -> Result<Self, PtyError> {
        let a = Pty::open(link_a, Slave::Held)?;
        let b = Pty::open(link_b, Slave::Held)?;
        let timer = BootTimer::new().map_err(|source| PtyError::Open { doing: "time", source })?;
        Ok(Self {
            a_slave: a.slave_path().to_owned(),
            b_slave: b.slave_path().to_owned(),
            a: a.into(),
            b: b.into(),
            a_to_b: Lane::new(pace.a_to_b),
            b_to_a: Lane::new(pace.b_to_a),
            timer,
            counters: Arc::default(),
        })
    }

    /// A byte whose time has come and for which the kernel has no room is lost, as in the receiver of
    /// a serial port that nobody reads. To be called before anything moves.
    pub fn without_flow_control(mut self) -> Self {
        self.a_to_b.overruns = true;
        self.b_to_a.overruns = true;
        self
    }

    /// The name of end A: its link, or the slave itself.
    pub fn path_a(&self) -> &Path {
        self.a.path()
    }

    /// The name of end B: its link, or the slave itself.
    pub fn path_b(&self) -> &Path {
        self.b.path()
    }

    /// The devices behind the names of A and B.
    pub fn slaves(&self) -> (&Path, &Path) {
        (&self.a_slave, &self.b_slave)
    }

    /// The counters, to keep while the cable runs.
    pub fn counters(&self) -> Arc<CableCounters> {
        Arc::clone(&self.counters)
    }

    /// Relays until `stop` is done. Cancel-safe: run again, it continues with the next byte.
    ///
    /// # Errors
    /// An end failed, which only a broken system can cause while both slaves are held.
    pub async fn run(&mut self, stop: impl Future<Output = ()>) -> Result<(), PortError> {
        let mut stop = pin!(stop);
        poll_fn(|cx| {
            // First, so that a flood of bytes cannot keep the cable from stopping.
            if stop.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            self.poll_relay(cx).map(Err)
        })
        .await
    }

    /// Moves what can be moved now; ready only with an error.
    fn poll_relay(&mut self, cx: &mut Context<'_>) -> Poll<PortError> {
        loop {
            let there = self.a_to_b.relay(cx, &mut self.a, &mut self.b, &self.counters.a_to_b);
            let back = self.b_to_a.relay(cx, &mut self.b, &mut self.a, &self.counters.b_to_a);
            let wake = match (there, back) {
                (Ok(there), Ok(back)) => there.into_iter().chain(back).min(),
                (Err(error), _) | (_, Err(error)) => return Poll::Ready(error),
            };
            if self.timer.poll_until(cx, wake).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl CableCounters {
    /// Bytes that came out at B.
    pub fn a_to_b(&self) -> u64 {
        self.a_to_b.delivered.load(Ordering::Relaxed)
    }

    /// Bytes that came out at A.
    pub fn b_to_a(&self) -> u64 {
        self.b_to_a.delivered.load(Ordering::Relaxed)
    }

    /// Bytes that were lost on the way to either end.
    pub fn lost(&self) -> u64 {
        [&self.a_to_b, &self.b_to_a].iter().map(|way| way.lost.load(Ordering::Relaxed)).sum()
    }
}

/// One direction. The k-th byte since the line was last idle is due k character times after that
/// instant, so a late wake-up delays bytes but never slows the line down.
#[derive(Debug)]
struct Lane {
    pace: Option<LineSettings>,
    queue: VecDeque<u8>,
    /// When the line was last idle.
    anchor: Duration,
    /// Bytes whose time has passed since `anchor`.
    sent: u64,
    /// There is no flow control.
    overruns: bool,
}

impl Lane {
    fn new(pace: Option<LineSettings>) -> Self {
        Self { pace, queue: VecDeque::new(), anchor: Duration::ZERO, sent: 0, overruns: false }
    }

    /// Takes bytes in, lets those out that are due, and says when to come back if only time is
    /// missing; for anything else the ports wake the task.
    fn relay(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut SerialPort,
        to: &mut SerialPort,
        passed: &Passed,
    ) -> Result<Option<Duration>, PortError> {
        loop {
            self.fill(cx, from)?;
            // A full queue did not ask to be woken for more input, so it must be looked at again.
            let was_full = self.queue.len() == QUEUE;
            let before = self.queue.len();
            let blocked = self.drain(cx, to, passed)?;
            let moved = before - self.queue.len();
            if !(was_full && moved > 0) {
                return Ok(if blocked { None } else { self.next_due() });
            }
        }
    }

    fn fill(&mut self, cx: &mut Context<'_>, from: &mut SerialPort) -> Result<(), PortError> {
        let mut buf = [0; 1024];
        while self.queue.len() < QUEUE {
            let room = buf.len().min(QUEUE - self.queue.len());
            let Poll::Ready(read) = from.poll_read(cx, &mut buf[..room]) else { break };
            let count = read?;
            if self.queue.is_empty() {
                self.start_if_idle(boottime());
            }
            self.queue.extend(&buf[..count]);
        }
        Ok(())
    }

    /// Lets out what is due; true if it waits for room at the far end.
    fn drain(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut SerialPort,
        passed: &Passed,
    ) -> Result<bool, PortError> {
        let mut due = self.due(boottime());
        while due > 0 {
            let (front, _) = self.queue.as_slices();
            let front = &front[..due.min(front.len())];
            let (count, fate) = match to.poll_write(cx, front) {
                Poll::Ready(written) => (written?, &passed.delivered),
                Poll::Pending if self.overruns => (due, &passed.lost),
                Poll::Pending => return Ok(true),
            };
            fate.fetch_add(count as u64, Ordering::Relaxed);
            self.queue.drain(..count);
            self.sent += count as u64;
            due -= count;
        }
        Ok(false)
    }

    /// Called before a byte enters an empty queue: the line may have rested.
    fn start_if_idle(&mut self, now: Duration) {
        if let Some(pace) = self.pace
            && now > self.anchor + pace.time_of(self.sent)
        {
            self.anchor = now;
            self.sent = 0;
        }
    }

    /// Count of queued bytes whose time has come.
    fn due(&self, now: Duration) -> usize {
        let Some(pace) = self.pace else { return self.queue.len() };
        let chars = pace.chars_in(now.saturating_sub(self.anchor));
        let due = chars.saturating_sub(self.sent).min(self.queue.len() as u64);
        usize::try_from(due).unwrap_or(self.queue.len())
    }

    fn next_due(&self) -> Option<Duration> {
        let pace = self.pace?;
        let queued = self.queue.len() as u64;
        if queued == 0 {
            return None;
        }
        let first = self.anchor + pace.time_of(self.sent + 1);
        let last = self.anchor + pace.time_of(self.sent + queued);
        Some(last.min(first + BATCH))
    }
}

/// Bytes a direction keeps: long enough that a wake-up delayed by a busy machine does not empty it
/// and break the schedule (at 115200 it holds 0.35 s).
const QUEUE: usize = 4096;

/// Bytes that fall due within this time leave together: a wake-up per character would be 11,520 a
/// second at 115200.
const BATCH: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(text: &str) -> CablePace {
        let settings = Some(text.parse().unwrap());
        CablePace { a_to_b: settings, b_to_a: settings }
    }

    fn ends(cable: &Cable) -> (SerialPort, SerialPort) {
        let settings = LineSettings::new(9600);
        (
            SerialPort::open_tty(cable.path_a(), &settings).unwrap(),
            SerialPort::open_tty(cable.path_b(), &settings).unwrap(),
        )
    }

    async fn send(port: &mut SerialPort, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let n = port.write(bytes).await.unwrap();
            bytes = &bytes[n..];
        }
    }

    async fn receive(port: &mut SerialPort, count: usize) -> Vec<u8> {
        let mut got = vec![0; count];
        let mut at = 0;
        while at < count {
            at += port.read(&mut got[at..]).await.unwrap();
        }
        got
    }

    #[tokio::test]
    async fn both_directions_carry_every_byte_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let (link_a, link_b) = (dir.path().join("a"), dir.path().join("b"));
        let mut cable = Cable::open(Some(&link_a), Some(&link_b), CablePace::default()).unwrap();
        let (mut a, mut b) = ends(&cable);
        let counters = cable.counters();
        let there: Vec<u8> = (0..100_000_u32).map(|i| (i * 7 % 251) as u8).collect();
        let back: Vec<u8> = there.iter().rev().copied().collect();
        let work = async {
            let (mut at, mut bt) = (0, 0);
            let (mut got_a, mut got_b) = (Vec::new(), Vec::new());
            let mut buf = [0; 2048];
            while got_a.len() < back.len() || got_b.len() < there.len() {
                at += a.try_write(&there[at..]).unwrap().unwrap_or(0);
                bt += b.try_write(&back[bt..]).unwrap().unwrap_or(0);
                if let Some(n) = b.try_read(&mut buf).unwrap() {
                    got_b.extend_from_slice(&buf[..n]);
                }
                if let Some(n) = a.try_read(&mut buf).unwrap() {
                    got_a.extend_from_slice(&buf[..n]);
                }
                tokio::task::yield_now().await;
            }
            assert!(got_a == back && got_b == there);
        };
        let work = tokio::time::timeout(Duration::from_secs(20), work);
        cable.run(async { work.await.expect("relayed within 20 s") }).await.unwrap();
        assert_eq!((counters.a_to_b(), counters.b_to_a()), (100_000, 100_000));
        drop(cable);
        assert!(link_a.symlink_metadata().is_err() && link_b.symlink_metadata().is_err());
    }

    #[tokio::test]
    async fn a_paced_direction_keeps_character_time_on_average() {
        let mut cable = Cable::open(None, None, pace("115200,8N1")).unwrap();
        let (mut a, mut b) = ends(&cable);
        let count = 5760;
        let mut took = Duration::ZERO;
        let work = async {
            let start = boottime();
            let bytes = vec![0x55; count];
            tokio::join!(send(&mut a, &bytes), receive(&mut b, count));
            took = boottime() - start;
        };
        cable.run(work).await.unwrap();
        // 5760 characters at 115200 take half a second. Early is wrong, late is a busy machine.
        assert!(took >= Duration::from_micros(499_900), "{took:?}");
    }

    #[tokio::test]
    async fn a_byte_takes_its_time_after_a_rest_too() {
        let mut cable = Cable::open(None, None, pace("300,8N1")).unwrap();
        let (mut a, mut b) = ends(&cable);
        let work = async {
            for _ in 0..2 {
                let start = boottime();
                send(&mut a, b"x").await;
                receive(&mut b, 1).await;
                let took = boottime() - start;
                assert!(took >= Duration::from_millis(33), "{took:?}");
                tokio::time::sleep(Duration::from_millis(60)).await;
            }
        };
        cable.run(work).await.unwrap();
    }

    #[tokio::test]
    async fn a_cable_that_was_stopped_goes_on_with_the_next_byte() {
        let mut cable = Cable::open(None, None, pace("9600,8N1")).unwrap();
        let (mut a, mut b) = ends(&cable);
        send(&mut a, b"0123456789").await;
        let mut got = Vec::new();
        while got.len() < 10 {
            let more = async { got.extend(receive(&mut b, 1).await) };
            cable.run(more).await.unwrap();
        }
        assert_eq!(got, b"0123456789");
    }

    #[tokio::test]
    async fn programs_come_and_go_at_either_end() {
        let dir = tempfile::tempdir().unwrap();
        let (link_a, link_b) = (dir.path().join("a"), dir.path().join("b"));
        let mut cable = Cable::open(Some(&link_a), Some(&link_b), pace("115200,8N1")).unwrap();
        let work = async {
            let settings = LineSettings::new(9600);
            for round in 0..50_u8 {
                let mut a = SerialPort::open_tty(&link_a, &settings).unwrap();
                // Sent while the other end is closed, read when it is open.
                send(&mut a, &[round, b'a']).await;
                let mut b = SerialPort::open_tty(&link_b, &settings).unwrap();
                assert_eq!(receive(&mut b, 2).await, [round, b'a']);
                send(&mut b, &[round, b'b']).await;
                if round % 2 == 0 {
                    drop(b);
                    assert_eq!(receive(&mut a, 2).await, [round, b'b']);
                } else {
                    drop(a);
                    let mut a = SerialPort::open_tty(&link_a, &settings).unwrap();
                    assert_eq!(receive(&mut a, 2).await, [round, b'b']);
                }
            }
        };
        let work = tokio::time::timeout(Duration::from_secs(20), work);
        cable.run(async { work.await.expect("carried within 20 s") }).await.unwrap();
    }

    #[tokio::test]
    async fn without_flow_control_what_nobody_reads_is_lost_and_counted() {
        let cable = Cable::open(None, None, CablePace::default()).unwrap();
        let mut cable = cable.without_flow_control();
        let (mut a, mut b) = ends(&cable);
        let counters = cable.counters();
        // More than any kernel keeps. It goes through, though nobody reads.
        let sent: Vec<u8> = (0..1_000_000_u32).map(|i| (i % 251) as u8).collect();
        let flood = tokio::time::timeout(Duration::from_secs(20), send(&mut a, &sent));
        cable.run(async { flood.await.expect("taken within 20 s") }).await.unwrap();
        // What is on its way in the cable comes out first.
        let rest = tokio::time::sleep(Duration::from_millis(200));
        cable.run(rest).await.unwrap();
        let (delivered, lost) = (counters.a_to_b(), counters.lost());
        assert_eq!(delivered + lost, sent.len() as u64);
        assert!(lost > 0 && delivered > 0, "{lost} lost, {delivered} delivered");
        let kept = usize::try_from(delivered).unwrap();
        let mut got = Vec::new();
        cable.run(async { got = receive(&mut b, kept).await }).await.unwrap();
        assert_eq!(got, sent[..kept], "the first ones were kept");
    }

    #[tokio::test]
    async fn a_stop_is_heard_while_the_cable_is_full() {
        let dir = tempfile::tempdir().unwrap();
        let (link_a, link_b) = (dir.path().join("a"), dir.path().join("b"));
        let mut cable = Cable::open(Some(&link_a), Some(&link_b), CablePace::default()).unwrap();
        let (mut a, _b) = ends(&cable);
        let begin = boottime();
        let flood = async {
            let idle = Duration::from_millis(200);
            while tokio::time::timeout(idle, a.write(&[0x55; 4096])).await.is_ok() {}
        };
        cable.run(flood).await.unwrap();
        assert!(boottime() - begin < Duration::from_secs(5));
        drop(cable);
        assert_eq!(dir.path().read_dir().unwrap().count(), 0, "links are left");
        assert!(a.write(b"x").await.unwrap_err().is_gone());
    }
}
