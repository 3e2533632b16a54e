//! The guard: a small process between the node and its payload (I7).
//!
//! It owns the payload and all that the payload has started. It has one pipe to the node and one
//! clock, and kills the whole family when the pipe ends (the node was killed), when the lease ends
//! (the node was stopped, or hangs), or when the node says so. It has no runtime and no thread, it
//! holds nothing else, above all not the terminal server's socket, which would delay the end of a
//! connection whose node is dead.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use sys::process::{Signal, Waiter};
use sys::{boottime, process, spawn};
use wire::Time;

use super::exec::Exec;
use super::message::{self, Ending, News, Order};

/// Runs the guard to its end, which comes only when nothing of the payload is left.
///
/// # Errors
/// The process could not be made a guard; no payload was started.
pub fn run(control: RawFd, output: Option<RawFd>, exec: Exec) -> io::Result<()> {
    // Started by way of /proc/self/exe, it would be listed as "exe". No reason to fail.
    let _ = std::fs::write("/proc/self/comm", NAME);
    let control = spawn::inherited(control)?;
    let output = output.map(spawn::inherited).transpose()?;
    let kept = [Some(control.as_raw_fd()), output.as_ref().map(AsRawFd::as_raw_fd)];
    let kept: Vec<_> = kept.into_iter().flatten().collect();
    spawn::close_others(FIRST_INHERITED, &kept)?;
    spawn::hold_off_signals()?;
    spawn::new_session()?;
    process::become_subreaper()?;
    let control = UnixStream::from(control);
    control.set_nonblocking(true)?;
    let mut guard = Guard {
        control,
        received: Vec::new(),
        waiter: Waiter::new()?,
        exec,
        output,
        lease_until: None,
        payload: Payload::None,
    };
    while guard.turn()? == Next::Go {}
    guard.end_payload(None);
    Ok(())
}

/// The guard's state.
struct Guard {
    control: UnixStream,
    /// Part of a message.
    received: Vec<u8>,
    waiter: Waiter,
    exec: Exec,
    /// The node's standard output, for a payload that prints there.
    output: Option<OwnedFd>,
    lease_until: Option<Time>,
    payload: Payload,
}

enum Payload {
    /// Not started yet.
    None,
    Running {
        pid: u32,
        /// Readable when it has ended.
        ended: OwnedFd,
        /// It was asked to end, and is killed then.
        kill_at: Option<Duration>,
    },
    /// It and all its descendants are gone, and the node was told.
    Gone,
}

#[derive(PartialEq, Eq)]
enum Next {
    Go,
    End,
}

impl Guard {
    /// Waits for something to happen and deals with it.
    fn turn(&mut self) -> io::Result<Next> {
        let mut fds = vec![self.control.as_fd()];
        if let Payload::Running { ended, .. } = &self.payload {
            fds.push(ended.as_fd());
        }
        let woken = self.waiter.wait(&fds, self.deadline())?;
        let status = self.reap()?;
        if woken.ready.get(1) == Some(&true) || status.is_some() {
            self.end_payload(status);
        }
        // What the node has said comes before the judgement, as on the terminal server: on a busy
        // host a renewed lease may lie unread here when the old one ends.
        if self.obey()? == Next::End {
            return Ok(Next::End);
        }
        if self.deadline().is_some_and(|at| at <= boottime()) {
            self.end_payload(None);
        }
        Ok(Next::Go)
    }

    /// When the payload is killed as things stand: the lease has ended, or its grace.
    fn deadline(&self) -> Option<Duration> {
        let Payload::Running { kill_at, .. } = &self.payload else { return None };
        self.lease_until.map(Time::since_boot).into_iter().chain(*kill_at).min()
    }

    /// Collects orphans of the payload that have ended, or a payload that starts many would fill
    /// the process table. Gives the payload's own status if it was among them.
    fn reap(&self) -> io::Result<Option<ExitStatus>> {
        let Payload::Running { pid, .. } = self.payload else { return Ok(None) };
        let mut ended = Vec::new();
        process::reap(&mut ended)?;
        Ok(status_of(pid, &ended))
    }

    /// Reads orders until there are no more.
    fn obey(&mut self) -> io::Result<Next> {
        let mut chunk = [0; CHUNK];
        loop {
            match self.control.read(&mut chunk) {
                // The node has gone, by whatever way.
                Ok(0) => return Ok(Next::End),
                Ok(n) => self.received.extend_from_slice(&chunk[..n]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Next::Go),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A connection reset is an end, too.
                Err(_) => return Ok(Next::End),
            }
            while let Some(order) = message::take(&mut self.received) {
                match Order::decode(order) {
                    Some(Order::LeaseUntil(until)) => self.lease_until = Some(until),
                    Some(Order::Start(epoch)) => self.start(epoch),
                    Some(Order::Stop(grace)) => self.stop(grace),
                    // What cannot be understood must not leave a payload running.
                    Some(Order::Kill) | None => return Ok(Next::End),
                }
            }
        }
    }

    fn start(&mut self, epoch: u64) {
        if !matches!(self.payload, Payload::None) {
            return;
        }
        self.payload = Payload::Gone;
        let leased = self.lease_until.is_some_and(|until| boottime() < until.since_boot());
        if !leased {
            return self.tell(News::Gone(Ending::NeverRan));
        }
        let started = self.exec.start(epoch, self.output.as_ref()).and_then(|child| {
            let pid = child.id();
            // The child is reaped by number, so the `Child` is not needed; dropping it ends nothing.
            Ok((pid, process::open_pidfd(pid)?))
        });
        // From here on the payload's streams are the payload's only, so that their end is its end.
        let let_go = spawn::let_go_of_streams();
        match started.and_then(|started| let_go.map(|()| started)) {
            Ok((pid, ended)) => {
                self.payload = Payload::Running { pid, ended, kill_at: None };
                self.tell(News::Started(pid));
            }
            Err(error) => {
                self.kill_family();
                self.tell(News::Failed(error.raw_os_error().unwrap_or(0)));
                self.tell(News::Gone(Ending::NeverRan));
            }
        }
    }

    fn stop(&mut self, grace: Duration) {
        if let Payload::Running { pid, kill_at, .. } = &mut self.payload {
            // It may have ended meanwhile, which the next turn finds out.
            let _ = process::kill_group(*pid, Signal::TERM);
            *kill_at = Some(boottime().saturating_add(grace));
        }
    }

    /// Ends whatever of the payload is left, and tells the node. By itself, by order or by lease:
    /// when the payload ends, its descendants end. `status`: it was reaped already.
    fn end_payload(&mut self, status: Option<ExitStatus>) {
        let Payload::Running { pid, .. } = self.payload else { return };
        if status.is_none() {
            // One call for the group, before the slower search for those that have left it. Never
            // once the leader was reaped: the number may be another's by then.
            let _ = process::kill_group(pid, Signal::KILL);
        }
        let ended = self.kill_family();
        let status = status.or_else(|| status_of(pid, &ended));
        self.payload = Payload::Gone;
        self.tell(News::Gone(Ending::Status(status.map_or(0, ExitStatus::into_raw))));
    }

    /// Kills and reaps all descendants, however long that takes: a guard that ended before would
    /// break its promise.
    fn kill_family(&mut self) -> Vec<(u32, ExitStatus)> {
        let mut all = Vec::new();
        let mut complained = false;
        loop {
            match process::kill_descendants_until_none(boottime() + PATIENCE) {
                Ok(ended) => {
                    all.extend(ended);
                    return all;
                }
                Err(error) if !std::mem::replace(&mut complained, true) => {
                    let foreign = error.kind() == io::ErrorKind::PermissionDenied;
                    self.tell(News::Remains { foreign });
                }
                Err(_) => {}
            }
            // A payload under another user's id is refused at once, and would make this a busy loop.
            if let Ok(waiter) = Waiter::new() {
                let _ = waiter.wait(&[], Some(boottime() + RETRY));
            }
        }
    }

    fn tell(&mut self, news: News) {
        // A few messages at most at most are ever in the socket's buffer, and a node that has gone needs none.
        let _ = self.control.write_all(&news.encode());
    }
}

fn status_of(pid: u32, ended: &[(u32, ExitStatus)]) -> Option<ExitStatus> {
    ended.iter().find(|(ended, _)| *ended == pid).map(|(_, status)| *status)
}

/// In process listings; at most 15 bytes.
const NAME: &str = "failover-guard";
/// Above the standard streams.
const FIRST_INHERITED: RawFd = 3;
/// Orders read at once; a few ticks.
const CHUNK: usize = 256;
/// After so long of killing in vain it is said, once.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two attempts that fail.
const RETRY: Duration = Duration::from_millis(20);
