//! The journal of role changes: who this node was, when, under which epoch and why. A writer of its
//! own puts it on the disk, so that a disk that hangs keeps nothing waiting.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, spawn_blocking};
use wire::{BootId, Epoch, LineState, LineStatus, Name, Role, Time};

use super::event_file::EventFile;
use super::journal::{cause_word, end_word, refusal_word, resign_word};
use crate::core::Occurrence;

/// One change of the role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleChange {
    /// The time of day, UTC. It may step: for people only.
    pub time: String,
    /// `CLOCK_BOOTTIME` in milliseconds.
    pub boot_ms: u64,
    /// This life of the node's process.
    pub boot: String,
    /// The node.
    pub node: String,
    /// The group's lock.
    pub line: String,
    /// What it was: `standby`, `candidate` or `coordinator`; nothing before the start.
    pub from: Option<String>,
    /// What it is.
    pub to: String,
    /// The grant that began or ended.
    pub epoch: Option<String>,
    /// Why, in a word of the log.
    pub cause: String,
    /// Whom it follows, or who follows.
    pub peer: Option<String>,
    /// How long it was what it was.
    pub lasted_ms: u64,
    /// How long nobody had the line before, as far as this node knows.
    pub unserved_ms: Option<u64>,
    /// Changes before this one that could not be written.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lost: u64,
}

/// Sees every change of the role, remembers the last ones, and has them written.
#[derive(Debug)]
pub(crate) struct Events {
    boot: String,
    node: Name,
    line: Name,
    role: Option<Role>,
    since: Time,
    /// Of the newest grant.
    epoch: Option<Epoch>,
    cause: &'static str,
    peer: Option<Name>,
    free_since: Option<Time>,
    recent: VecDeque<RoleChange>,
    writer: Option<Writer>,
}

impl Events {
    /// For a node that has no role yet. Needs a runtime if there is a file.
    pub(crate) fn new(
        (boot, node, line): (BootId, Name, Name),
        file: Option<&Path>,
        now: Time,
    ) -> Self {
        Self {
            boot: boot.to_string(),
            node,
            line,
            role: None,
            since: now,
            epoch: None,
            cause: "start",
            peer: None,
            free_since: None,
            recent: VecDeque::new(),
            writer: file.map(Writer::start),
        }
    }

    /// What happened may be the cause of the next change.
    pub(crate) fn note(&mut self, occurrence: &Occurrence) {
        use Occurrence as O;
        let (cause, peer) = match occurrence {
            O::Claiming { cause, .. } => (cause_word(*cause), self.peer.take()),
            O::Granted { .. } => ("granted", self.peer.take()),
            O::Refused { why, holder } => (refusal_word(*why), holder.clone()),
            O::ConnectFailed { .. } => ("connect-failed", None),
            O::Lost { end, .. } => (end_word(end), None),
            O::Resigning { cause, reserve_for, .. } => (resign_word(*cause), reserve_for.clone()),
            // A candidate stops to be one for it; a coordinator's word is that of resigning.
            O::Maintenance { on: true, .. } => ("maintenance", None),
            _ => return,
        };
        (self.cause, self.peer) = (cause, peer);
    }

    /// How the line stands, as far as the node knows.
    pub(crate) fn line(&mut self, status: Option<&LineStatus>, now: Time) {
        match status.map(|status| status.state) {
            Some(LineState::Free(_)) => {
                self.free_since = self.free_since.or(Some(now));
                let last = status.and_then(|status| status.holder.clone());
                if self.role == Some(Role::Standby) && last.as_ref() != Some(&self.node) {
                    self.peer = last;
                }
            }
            // Its own grant ends the vacancy only when it has been written down.
            Some(LineState::Held) if self.role != Some(Role::Candidate) => self.free_since = None,
            _ => {}
        }
    }

    /// What the node is now.
    pub(crate) fn role(&mut self, role: Role, epoch: Option<Epoch>, now: Time) {
        if self.role == Some(role) {
            self.epoch = epoch.or(self.epoch);
            return;
        }
        let served = role == Role::Coordinator;
        let left = self.role == Some(Role::Coordinator);
        let epoch = epoch.or_else(|| self.epoch.filter(|_| left));
        let unserved = self.free_since.filter(|_| served).map(|since| millis(now.since(since)));
        let change = RoleChange {
            time: daemon::wall::stamp(daemon::wall::now()),
            boot_ms: millis(now.since_boot()),
            boot: self.boot.clone(),
            node: self.node.to_string(),
            line: self.line.to_string(),
            from: self.role.map(|role| role.as_str().to_owned()),
            to: role.as_str().to_owned(),
            epoch: epoch.map(|epoch| epoch.to_string()),
            cause: self.cause.to_owned(),
            peer: self.peer.as_ref().map(ToString::to_string),
            lasted_ms: millis(now.since(self.since)),
            unserved_ms: unserved,
            lost: 0,
        };
        (self.role, self.since, self.epoch) = (Some(role), now, epoch);
        if served {
            self.free_since = None;
        }
        if let Some(writer) = &self.writer {
            writer.shared.push(change.clone());
        }
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(change);
    }

    /// The last changes, the newest last.
    pub(crate) fn recent(&self) -> Vec<RoleChange> {
        self.recent.iter().cloned().collect()
    }

    /// Waits until all is written, but not for a disk that hangs.
    pub(crate) async fn finish(&mut self) {
        let Some(writer) = self.writer.take() else { return };
        writer.shared.close();
        if tokio::time::timeout(FINISH, writer.task).await.is_err() {
            tracing::error!("the journal of role changes could not be written to its end");
        }
    }
}

/// The task that writes, and what waits for it.
#[derive(Debug)]
struct Writer {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    changes: VecDeque<RoleChange>,
    lost: u64,
    closed: bool,
}

impl Writer {
    fn start(path: &Path) -> Self {
        let shared = Arc::new(Shared::default());
        let file = EventFile::new(path.to_owned());
        let task = tokio::spawn(write(shared.clone(), file));
        Self { shared, task }
    }
}

impl Shared {
    /// The oldest go when there is no more room: the newest says what is.
    fn push(&self, change: RoleChange) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.changes.len() == WAITING {
            queue.lost += 1 + queue.changes.pop_front().map_or(0, |change| change.lost);
        }
        queue.changes.push_back(change);
        drop(queue);
        self.wake.notify_one();
    }

    fn close(&self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.wake.notify_one();
    }

    /// All that waits. `None`: nothing will come any more.
    fn take(&self) -> Option<VecDeque<RoleChange>> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.closed && queue.changes.is_empty() {
            return None;
        }
        let lost = std::mem::take(&mut queue.lost);
        let mut changes = std::mem::take(&mut queue.changes);
        match changes.front_mut() {
            Some(first) => first.lost += lost,
            None => queue.lost = lost,
        }
        Some(changes)
    }

    /// What could not be written waits again, before what came meanwhile. Whether it is worth it.
    fn put_back(&self, mut changes: VecDeque<RoleChange>) -> bool {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        changes.append(&mut queue.changes);
        while changes.len() > WAITING {
            queue.lost += 1 + changes.pop_front().map_or(0, |change| change.lost);
        }
        queue.changes = changes;
        !queue.closed
    }
}

/// Writes what comes, one batch after the other, until there is nothing to come.
async fn write(shared: Arc<Shared>, mut file: EventFile) {
    let mut failed = false;
    while let Some(mut changes) = shared.take() {
        if changes.is_empty() {
            shared.wake.notified().await;
            continue;
        }
        let written = spawn_blocking(move || {
            let written = file.append(&mut changes);
            (file, changes, written)
        });
        // Only a panic could be in it, and that has been said; or the runtime is going.
        let Ok((same, rest, written)) = written.await else { return };
        file = same;
        match written {
            Ok(()) => failed = false,
            Err(error) => {
                // Said once for each trouble, not for each try.
                if !std::mem::replace(&mut failed, true) {
                    let file = file.path().display().to_string();
                    tracing::error!(file, %error, "events-failed");
                }
                if !shared.put_back(rest) {
                    return;
                }
                let _ = tokio::time::timeout(RETRY, shared.closed()).await;
            }
        }
    }
}

impl Shared {
    /// Waits for the end.
    async fn closed(&self) {
        loop {
            if self.queue.lock().unwrap_or_else(PoisonError::into_inner).closed {
                return;
            }
            self.wake.notified().await;
        }
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Changes that the status shows.
const RECENT: usize = 10;
/// Changes that wait for the disk: a role changes some times a second at the very most, so this is
/// a disk that has hung for a while.
const WAITING: usize = 64;
/// Between two tries to write.
const RETRY: Duration = Duration::from_secs(1);
/// How long a stop waits for the disk.
const FINISH: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn events(file: Option<&Path>) -> Events {
        let who = (BootId([7; 16]), name("a"), name("pms"));
        Events::new(who, file, at(0))
    }

    fn at(ms: u64) -> Time {
        Time::from_boot(Duration::from_millis(ms))
    }

    fn read(path: &Path) -> Vec<RoleChange> {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        assert!(text.is_empty() || text.ends_with('\n'));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn flip(events: &mut Events, times: u64) {
        for n in 0..times {
            let role = if n % 2 == 0 { Role::Candidate } else { Role::Standby };
            events.role(role, None, at(n));
        }
    }

    #[test]
    fn a_change_says_what_was_for_how_long_and_why() {
        let mut events = events(None);
        events.role(Role::Standby, None, at(10));
        let free = LineStatus {
            line: name("pms"),
            up: true,
            state: LineState::Free(wire::FreeCause::Lease),
            holder: Some(name("b")),
            epoch: Epoch::new(7, 1),
            lease_ms: 400,
            left_ms: 0,
            reserved_for: None,
        };
        events.line(Some(&free), at(1000));
        let cause = Some(wire::FreeCause::Lease);
        events.note(&Occurrence::Claiming { rank: 0, cause });
        events.role(Role::Candidate, None, at(1000));
        events.role(Role::Candidate, None, at(1001));
        let epoch = Epoch::new(7, 2);
        events.note(&Occurrence::Granted { epoch, in_doubt: 0 });
        events.role(Role::Coordinator, Some(epoch), at(1004));
        let cause = crate::core::ResignCause::Handover;
        let reserve_for = Some(name("c"));
        events.note(&Occurrence::Resigning { epoch, cause, reserve_for });
        events.role(Role::Standby, None, at(5004));
        let said = |change: &RoleChange| {
            let RoleChange { from, to, epoch, cause, peer, lasted_ms, unserved_ms, .. } =
                change.clone();
            let from = from.unwrap_or_default();
            format!("{from}>{to} {epoch:?} {cause} {peer:?} {lasted_ms} {unserved_ms:?}")
        };
        let said: Vec<String> = events.recent().iter().map(said).collect();
        assert_eq!(
            said,
            [
                ">standby None start None 10 None",
                "standby>candidate None lease Some(\"b\") 990 None",
                "candidate>coordinator Some(\"7.2\") granted Some(\"b\") 4 Some(4)",
                "coordinator>standby Some(\"7.2\") handover Some(\"c\") 4000 None",
            ]
        );
    }

    #[test]
    fn a_candidate_that_goes_into_maintenance_says_so() {
        let mut events = events(None);
        events.role(Role::Standby, None, at(10));
        events.note(&Occurrence::Claiming { rank: 0, cause: Some(wire::FreeCause::Lease) });
        events.role(Role::Candidate, None, at(20));
        events.note(&Occurrence::Maintenance { on: true, length: None });
        events.role(Role::Standby, None, at(30));
        assert_eq!(events.recent().last().unwrap().cause, "maintenance");
    }

    #[tokio::test]
    async fn every_change_is_written_once_and_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events");
        let mut events = events(Some(&path));
        for burst in 0..20 {
            for n in 0..10 {
                let role = if n % 2 == 0 { Role::Candidate } else { Role::Standby };
                events.role(role, None, at(burst * 10 + n));
            }
            // No more than the queue holds, however slow the disk is.
            while read(&path).len() < burst as usize * 10 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        while read(&path).len() < 200 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        events.finish().await;
        let times: Vec<u64> = read(&path).iter().map(|change| change.boot_ms).collect();
        assert_eq!(times, (0..200).collect::<Vec<_>>());
        assert!(read(&path).iter().all(|change| change.lost == 0));
    }

    #[tokio::test]
    async fn what_a_full_disk_costs_is_counted_in_the_next_record() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events");
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        let mut events = events(Some(&path));
        let more = 36;
        flip(&mut events, WAITING as u64 + more);
        // Some tries have failed by now, and nothing but the newest is kept.
        tokio::time::sleep(Duration::from_millis(100)).await;
        flip(&mut events, 2);
        std::fs::remove_file(&path).unwrap();
        events.finish().await;
        let written = read(&path);
        assert_eq!(written.len(), WAITING, "{written:?}");
        assert_eq!(written[0].lost, more + 2);
        assert!(written[1..].iter().all(|change| change.lost == 0));
    }

    #[test]
    fn a_disk_that_hangs_keeps_nobody_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fifo");
        // A pipe that nobody reads is full after 64 KiB, and then as a disk that hangs.
        let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let before = sys::boottime();
        runtime.block_on(async {
            let mut events = events(Some(&path));
            for _ in 0..10 {
                flip(&mut events, 1000);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            events.finish().await;
        });
        let took = sys::boottime() - before;
        assert!((FINISH..FINISH + Duration::from_secs(5)).contains(&took), "{took:?}");
        // The thread that hangs ends with the process.
        runtime.shutdown_background();
    }
}
