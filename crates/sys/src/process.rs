//! What a guard process needs: to own its payload's whole family, and to wait for several things
//! and a deadline at once without a runtime.
//!
//! A payload is started with `std::os::unix::process::CommandExt::process_group(0)`, so that
//! [`kill_group`] reaches it in one call; [`kill_descendants_until_none`] then finds those that
//! left the group. All of this is for small single-threaded processes.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Resource, Rlimit, WaitOptions, getrlimit, kill_process, kill_process_group,
    pidfd_open, set_child_subreaper, setrlimit, wait, waitpid,
};

pub use rustix::process::Signal;

use crate::clock::{arm, boottime, timer_fd};

/// From now on orphans among this process's descendants become its children, not init's, so that
/// none can escape by leaving its group and outliving its parent.
///
/// # Errors
/// None on any kernel since 3.4.
pub fn become_subreaper() -> io::Result<()> {
    Ok(set_child_subreaper(Some(rustix::process::getpid()))?)
}

/// Raises the soft limit of open files to the hard one, for servers of hundreds of lines. The
/// limit now, `None` if there is none. Children inherit it.
///
/// # Errors
/// The system refused; the limit is as before.
pub fn raise_open_files() -> io::Result<Option<u64>> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    Ok(limit.maximum)
}

/// All living and dead-but-unreaped descendants of the process `pid`, parents before children.
///
/// A process that forks meanwhile may be missed, so who wants to reach all must ask again.
pub fn descendants(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    let mut seen = HashSet::from([pid]);
    let mut parents = vec![pid];
    while let Some(parent) = parents.pop() {
        for child in children(parent) {
            if seen.insert(child) {
                found.push(child);
                parents.push(child);
            }
        }
    }
    found
}

/// Sends `signal` to every process of the group `pgid`. `false` if there is none (any more);
/// zombies that nobody has reaped still count.
///
/// # Errors
/// `pgid` is no group's number, or a member belongs to another user.
pub fn kill_group(pgid: u32, signal: Signal) -> io::Result<bool> {
    match kill_process_group(to_pid(pgid)?, signal) {
        Ok(()) => Ok(true),
        Err(Errno::SRCH) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Kills and reaps every descendant of this process, again and again until none is left, new ones
/// and those in other sessions and groups included. Gives how they ended, in order of reaping.
///
/// Call [`become_subreaper`] at the start of the process, or orphans will have escaped. Children
/// held in a `std::process::Child` are reaped as well: that value then reports an error.
///
/// # Errors
/// [`io::ErrorKind::TimedOut`] at `deadline` (as [`boottime`] counts) if some hang in the kernel;
/// [`io::ErrorKind::PermissionDenied`] at once if some belong to another user, after all others were
/// killed. The message names them.
pub fn kill_descendants_until_none(deadline: Duration) -> io::Result<Vec<(u32, ExitStatus)>> {
    let me = std::process::id();
    let mut ended = Vec::new();
    loop {
        let mut foreign = Vec::new();
        for pid in descendants(me) {
            // A number taken again since the listing cannot be that of a child of ours, which
            // keeps its number until it is reaped below.
            match kill_process(to_pid(pid)?, Signal::KILL) {
                Ok(()) | Err(Errno::SRCH) => {}
                Err(Errno::PERM) => foreign.push(pid),
                Err(error) => return Err(error.into()),
            }
        }
        // Without a child there is no descendant: orphans become children of the sub-reaper.
        if !reap(&mut ended)? {
            return Ok(ended);
        }
        if !foreign.is_empty() {
            let text = format!("processes {foreign:?} belong to another user");
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
        let left = descendants(me);
        let now = boottime();
        if now >= deadline && !left.is_empty() {
            let text = format!("processes {left:?} did not end in time");
            return Err(io::Error::new(io::ErrorKind::TimedOut, text));
        }
        if let Some(pid) = left.first()
            && let Ok(fd) = open_pidfd(*pid)
        {
            Waiter::new()?.wait(&[fd.as_fd()], Some((now + KILL_RETRY).min(deadline)))?;
        }
    }
}

/// Kills what killed children have left behind: every child of this process but `keep`, with all
/// its descendants. Never waits; `true` if nothing of the kind is left.
///
/// Call [`become_subreaper`] at the start of the process, or orphans will have escaped.
///
/// # Errors
/// [`io::ErrorKind::PermissionDenied`] if some belong to another user, after all others were
/// killed. The message names them.
pub fn kill_strays(keep: &[u32]) -> io::Result<bool> {
    let me = std::process::id();
    let mut foreign = Vec::new();
    loop {
        let strays: Vec<u32> = children(me).into_iter().filter(|pid| !keep.contains(pid)).collect();
        let mut reaped = false;
        for stray in &strays {
            for pid in descendants(*stray).into_iter().chain([*stray]) {
                match kill_process(to_pid(pid)?, Signal::KILL) {
                    Ok(()) | Err(Errno::SRCH) => {}
                    Err(Errno::PERM) => foreign.push(pid),
                    Err(error) => return Err(error.into()),
                }
            }
            // Only this one: the ends of others are somebody else's to see.
            reaped |= !matches!(waitpid(Some(to_pid(*stray)?), WaitOptions::NOHANG), Ok(None));
        }
        if !foreign.is_empty() {
            let text = format!("processes {foreign:?} belong to another user");
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
        // The children of a reaped stray are ours now.
        if !reaped {
            return Ok(strays.is_empty());
        }
    }
}

/// Collects children that have ended, without waiting; `false` if there are no children at all.
///
/// # Errors
/// None in practice.
pub fn reap(ended: &mut Vec<(u32, ExitStatus)>) -> io::Result<bool> {
    loop {
        // `waitpid(None)` would be pid 0: only children in this process's own group.
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => {
                let pid = pid.as_raw_nonzero().get().unsigned_abs();
                ended.push((pid, ExitStatus::from_raw(status.as_raw())));
            }
            Ok(None) => return Ok(true),
            Err(Errno::CHILD) => return Ok(false),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// A descriptor that becomes readable when the process `pid` ends. Closed on exec.
///
/// # Errors
/// There is no such process.
pub fn open_pidfd(pid: u32) -> io::Result<OwnedFd> {
    Ok(pidfd_open(to_pid(pid)?, PidfdFlags::empty())?)
}

/// Waits for descriptors and a `CLOCK_BOOTTIME` deadline in a program without a runtime.
#[derive(Debug)]
pub struct Waiter {
    timer: OwnedFd,
}

/// Why [`Waiter::wait`] came back. Several reasons may hold at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Woken {
    /// For each descriptor, in the order given: something to read, an end of file or an error,
    /// all of which a read tells apart.
    pub ready: Vec<bool>,
    /// The deadline is reached.
    pub deadline: bool,
}

impl Waiter {
    /// Makes the timer.
    ///
    /// # Errors
    /// The process has no file descriptors left.
    pub fn new() -> io::Result<Self> {
        Ok(Self { timer: timer_fd()? })
    }

    /// Waits until one of `fds` is readable or ended, or `deadline` (as [`boottime`] counts) is
    /// reached, suspended time included; `None` waits for the descriptors only.
    ///
    /// # Errors
    /// A descriptor is not open.
    pub fn wait(&self, fds: &[BorrowedFd<'_>], deadline: Option<Duration>) -> io::Result<Woken> {
        arm(&self.timer, deadline)?;
        let mut polled: Vec<_> =
            fds.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
        polled.push(PollFd::new(&self.timer, PollFlags::IN));
        loop {
            match poll(&mut polled, None) {
                Ok(_) => break,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let ready = polled[..fds.len()].iter().map(|fd| !fd.revents().is_empty()).collect();
        // By the clock and not by the timer, which may fire while poll already has an answer.
        Ok(Woken { ready, deadline: deadline.is_some_and(|at| boottime() >= at) })
    }
}

/// The children of every thread of `pid`.
fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let mut found = Vec::new();
    for thread in threads.flatten() {
        match fs::read_to_string(thread.path().join("children")) {
            Ok(text) => found.extend(text.split_ascii_whitespace().flat_map(str::parse::<u32>)),
            // A kernel without CONFIG_PROC_CHILDREN; or the thread just ended, and then the long
            // way round does no harm.
            Err(_) => return children_by_scan(pid),
        }
    }
    found
}

/// The children of `pid` by asking every process of the machine for its parent.
fn children_by_scan(pid: u32) -> Vec<u32> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    processes
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|candidate| parent(*candidate) == Some(pid))
        .collect()
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may contain anything, so count from its end: state, then parent.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(1)?.parse().ok()
}

fn to_pid(pid: u32) -> io::Result<Pid> {
    let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
    raw.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, format!("{pid} is no process")))
}

/// How long one round of killing waits before it looks for processes started meanwhile.
const KILL_RETRY: Duration = Duration::from_millis(2);

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// Whether a process runs (a zombie does not).
    fn runs(pid: u32) -> bool {
        fs::read_to_string(format!("/proc/{pid}/stat"))
            .ok()
            .and_then(|stat| Some(stat.rsplit_once(')')?.1.trim_start().starts_with('Z')))
            .is_some_and(|zombie| !zombie)
    }

    fn until(what: &str, condition: impl Fn() -> bool) {
        let deadline = boottime() + Duration::from_secs(5);
        let waiter = Waiter::new().unwrap();
        while !condition() {
            assert!(boottime() < deadline, "{what} within 5 s");
            waiter.wait(&[], Some(boottime() + Duration::from_millis(1))).unwrap();
        }
    }

    fn shell(script: &str) -> Child {
        Command::new("sh").args(["-c", script]).process_group(0).spawn().unwrap()
    }

    #[test]
    fn descendants_are_found_by_either_way_and_a_group_dies_at_once() {
        let mut child = shell("sleep 100 & sleep 100 & wait");
        until("two grandchildren", || descendants(child.id()).len() == 2);
        assert!(descendants(std::process::id()).contains(&child.id()));
        assert!(children_by_scan(std::process::id()).contains(&child.id()));
        let mut one = children(child.id());
        let mut other = children_by_scan(child.id());
        one.sort_unstable();
        other.sort_unstable();
        assert_eq!(one, other);
        assert!(kill_group(child.id(), Signal::KILL).unwrap());
        child.wait().unwrap();
        until("their end", || one.iter().all(|pid| !runs(*pid)));
        // Its number is free, or kept by zombies that nobody reaped; no error either way.
        kill_group(child.id(), Signal::KILL).unwrap();
        assert!(!kill_group(i32::MAX as u32, Signal::KILL).unwrap());
    }

    /// The body of the next test, in a process of its own: reaping everything would take the
    /// children of tests that run beside it.
    #[test]
    fn guard_body() {
        let Ok(path) = std::env::var("SYS_TEST_GUARD") else { return };
        become_subreaper().unwrap();
        // A child, a grandchild in a session of its own, and an orphan in another.
        let script = "(setsid sleep 100 &) ; setsid sh -c 'sleep 100 & sleep 100' & sleep 100";
        let mut child = shell(script);
        let sleeps = |pid: &u32| {
            fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "sleep\n")
        };
        until("the family", || {
            descendants(std::process::id()).iter().filter(|pid| sleeps(pid)).count() == 4
        });
        let family = descendants(std::process::id());
        assert!(family.contains(&child.id()));
        let ended = kill_descendants_until_none(boottime() + Duration::from_secs(5)).unwrap();
        assert!(ended.iter().any(|(pid, status)| *pid == child.id() && !status.success()));
        assert!(family.iter().all(|pid| !runs(*pid)));
        assert_eq!(descendants(std::process::id()), Vec::<u32>::new());
        assert!(child.wait().is_err(), "already reaped");
        fs::write(path, "done").unwrap();
    }

    #[test]
    fn a_family_with_its_own_sessions_is_killed_to_the_last() {
        let dir = tempfile::tempdir().unwrap();
        let report = dir.path().join("report");
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "process::tests::guard_body", "--test-threads=1"])
            .env("SYS_TEST_GUARD", &report)
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success());
        assert_eq!(fs::read_to_string(report).unwrap(), "done");
    }

    /// The body of the next test, in a process of its own.
    #[test]
    fn strays_body() {
        let Ok(path) = std::env::var("SYS_TEST_STRAYS") else { return };
        become_subreaper().unwrap();
        let mut known = shell("sleep 100 & sleep 100 & wait");
        let mut orphaning = shell("setsid sh -c 'sleep 100 & sleep 100' & exit 0");
        orphaning.wait().unwrap();
        until("both families", || descendants(std::process::id()).len() == 6);
        until("no stray", || kill_strays(&[known.id()]).unwrap());
        assert_eq!(descendants(std::process::id()).len(), 3);
        known.kill().unwrap();
        assert!(!known.wait().unwrap().success(), "its status was left");
        until("no stray", || kill_strays(&[]).unwrap());
        assert_eq!(descendants(std::process::id()), Vec::<u32>::new());
        fs::write(path, "done").unwrap();
    }

    #[test]
    fn strays_are_killed_and_known_children_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let report = dir.path().join("report");
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "process::tests::strays_body", "--test-threads=1"])
            .env("SYS_TEST_STRAYS", &report)
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success());
        assert_eq!(fs::read_to_string(report).unwrap(), "done");
    }

    /// The body of the next test, under another user's id than its child.
    #[test]
    fn foreign_body() {
        if std::env::var_os("SYS_TEST_FOREIGN").is_none() {
            return;
        }
        let error = kill_descendants_until_none(boottime() + Duration::from_secs(5)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        let mine = format!("{:?}", descendants(std::process::id()));
        assert!(error.to_string().contains(&mine), "{error}: {mine}");
    }

    /// Only root can make another user's process its child; others have nothing to see here.
    #[test]
    fn what_belongs_to_another_user_is_named_at_once() {
        if !rustix::process::getuid().is_root() {
            return;
        }
        let script = "sleep 100 & exec setpriv --reuid=65534 --clear-groups \
                      \"$0\" --exact process::tests::foreign_body --test-threads=1";
        let dir = tempfile::tempdir().unwrap();
        // Where another user can reach it.
        let copy = dir.path().join("test");
        fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
        let all = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(dir.path(), all).unwrap();
        let mut child = Command::new("sh")
            .args(["-c", script])
            .arg(&copy)
            .env("SYS_TEST_FOREIGN", "1")
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let status = child.wait().unwrap();
        kill_group(child.id(), Signal::KILL).unwrap();
        assert!(status.success());
    }

    #[test]
    fn waiting_tells_a_pipe_a_child_and_a_deadline_apart() {
        let waiter = Waiter::new().unwrap();
        let (reader, mut writer) = io::pipe().unwrap();
        let mut child = shell("exec sleep 100");
        let pidfd = open_pidfd(child.id()).unwrap();
        let fds = [reader.as_fd(), pidfd.as_fd()];

        let deadline = boottime() + Duration::from_millis(5);
        let woken = waiter.wait(&fds, Some(deadline)).unwrap();
        assert_eq!(woken, Woken { ready: vec![false, false], deadline: true });
        assert!(boottime() >= deadline);

        writer.write_all(b"tick").unwrap();
        let woken = waiter.wait(&fds, Some(boottime() + Duration::from_secs(60))).unwrap();
        assert_eq!(woken, Woken { ready: vec![true, false], deadline: false });

        child.kill().unwrap();
        let woken = waiter.wait(&fds[1..], None).unwrap();
        assert_eq!(woken, Woken { ready: vec![true], deadline: false });
        child.wait().unwrap();

        drop(writer);
        let woken = waiter.wait(&fds[..1], Some(Duration::ZERO)).unwrap();
        assert_eq!(woken, Woken { ready: vec![true], deadline: true });
    }

    #[test]
    fn a_process_that_cannot_be_is_an_error() {
        assert!(open_pidfd(0).is_err());
        assert!(kill_group(0, Signal::KILL).is_err());
        assert!(open_pidfd(u32::MAX).is_err());
        assert_eq!(descendants(u32::MAX), Vec::<u32>::new());
    }
}
