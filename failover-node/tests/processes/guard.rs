//! I7, the guard alone: whatever happens to its node, nothing of the payload is left.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use failover_node::component::message::{Ending, MESSAGE_LEN, News, Order};
use sys::boottime;
use sys::process::{Signal, Waiter};
use sys::spawn::inherit;
use wire::{Epoch, Time};

use crate::support::{
    BUSY, FAMILY, FAMILY_SIZE, Kept, LONG, PROGRAM, ended, family, pause, runs, signal, until_so,
};

/// A guard, and the end of its pipe that a node would have.
struct Guard {
    process: Kept,
    control: Option<UnixStream>,
}

impl Guard {
    fn start(payload: &[&str]) -> Self {
        Self::start_with(payload, None)
    }

    /// As from a host whose libraries leave `stray` open over exec.
    fn start_with(payload: &[&str], stray: Option<OwnedFd>) -> Self {
        let (control, theirs) = UnixStream::pair().unwrap();
        let mut command = Command::new(PROGRAM);
        let number = inherit(&mut command, theirs.into());
        if let Some(stray) = stray {
            inherit(&mut command, stray);
        }
        command.args(["guard", "--control", &number.to_string(), "--"]).args(payload);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        // Not a group of its own: the guard makes itself a session, which a leader cannot.
        let process = Kept(command.spawn().unwrap());
        control.set_read_timeout(Some(LONG)).unwrap();
        Self { process, control: Some(control) }
    }

    fn pid(&self) -> u32 {
        self.process.0.id()
    }

    fn order(&self, order: Order) {
        self.control.as_ref().unwrap().write_all(&order.encode()).unwrap();
    }

    /// Tells the lease, counted from now.
    fn lease(&self, span: Duration) {
        self.order(Order::LeaseUntil(Time::from_boot(boottime() + span)));
    }

    fn news(&self) -> News {
        let mut bytes = [0; MESSAGE_LEN];
        self.control.as_ref().unwrap().read_exact(&mut bytes).unwrap();
        News::decode(bytes).unwrap()
    }

    /// Starts the payload and waits until all of its family is there.
    fn serve(&self, lease: Duration, processes: usize) -> Vec<u32> {
        self.lease(lease);
        self.order(Order::Start(Epoch::new(3, 9).0));
        let News::Started(pid) = self.news() else { panic!("not started") };
        let family = family(self.pid(), processes);
        assert!(family.contains(&pid));
        family
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.control = None;
        // It ends its family first; a failed story's guard is killed without further ado.
        if !std::thread::panicking() {
            ended(&mut self.process.0);
        }
    }
}

/// [`Write::write_all`] on a shared socket.
trait WriteAll {
    fn write_all(&self, bytes: &[u8]) -> std::io::Result<()>;
}

impl WriteAll for UnixStream {
    fn write_all(&self, bytes: &[u8]) -> std::io::Result<()> {
        let mut stream: &Self = self;
        Write::write_all(&mut stream, bytes)
    }
}

fn gone(family: &[u32]) -> bool {
    !family.iter().any(|pid| runs(*pid))
}

fn killed(signal: Signal) -> News {
    News::Gone(Ending::Status(ExitStatus::from_raw(signal.as_raw()).into_raw()))
}

#[test]
fn i7_at_the_end_of_the_pipe_the_whole_family_dies() {
    let mut guard = Guard::start(&["sh", "-c", FAMILY]);
    let family = guard.serve(LONG, FAMILY_SIZE);
    let at = boottime();
    guard.control = None;
    let took = until_so("its end", || gone(&family)) - at;
    assert!(took < Duration::from_millis(50) + BUSY, "{took:?}");
}

#[test]
fn i7_at_the_end_of_the_lease_the_whole_family_dies() {
    let lease = Duration::from_millis(300);
    let mut guard = Guard::start(&["sh", "-c", FAMILY]);
    let family = guard.serve(LONG, FAMILY_SIZE);
    let at = boottime();
    guard.lease(lease);
    let end = until_so("its end", || gone(&family));
    assert_eq!(guard.news(), killed(Signal::KILL));
    assert!(end >= at + lease, "not before its time");
    assert!(end < at + lease + Duration::from_millis(50) + BUSY, "{:?}", end - at);
    // The guard itself ends with its node, or when it is told.
    assert!(runs(guard.pid()));
    guard.order(Order::Kill);
    assert!(ended(&mut guard.process.0).success());
}

#[test]
fn i7_a_renewed_lease_keeps_the_payload_alive() {
    let lease = Duration::from_secs(2);
    let guard = Guard::start(&["sleep", "1000"]);
    let family = guard.serve(LONG, 1);
    for _ in 0..20 {
        guard.lease(lease);
        pause(lease / 16);
        assert!(!gone(&family));
    }
}

#[test]
fn i7_a_guard_that_is_killed_takes_its_payload_along() {
    let guard = Guard::start(&["sleep", "1000"]);
    let family = guard.serve(LONG, 1);
    let pidfd = sys::process::open_pidfd(family[0]).unwrap();
    signal(&guard.process.0, Signal::KILL);
    let deadline = boottime() + LONG;
    let woken = Waiter::new().unwrap().wait(&[pidfd.as_fd()], Some(deadline)).unwrap();
    assert!(woken.ready[0], "the payload ended");
}

#[test]
fn a_payload_that_ignores_sigterm_is_killed_after_the_grace() {
    let grace = Duration::from_millis(200);
    let guard = Guard::start(&["sh", "-c", "trap '' TERM; sleep 1000 & wait; sleep 1000"]);
    let family = guard.serve(LONG, 2);
    pause(Duration::from_millis(50));
    let at = boottime();
    guard.order(Order::Stop(grace));
    assert_eq!(guard.news(), killed(Signal::KILL));
    let took = boottime() - at;
    assert!(took >= grace && took < grace + BUSY, "{took:?}");
    assert!(gone(&family));
}

#[test]
fn a_payload_that_obeys_is_not_waited_for_and_tells_its_status() {
    let guard = Guard::start(&["sh", "-c", "trap 'exit 7' TERM; echo $$; sleep 1000 & wait"]);
    let family = guard.serve(LONG, 2);
    // Not before the trap is set.
    pause(Duration::from_millis(100));
    let at = boottime();
    guard.order(Order::Stop(LONG));
    assert_eq!(guard.news(), News::Gone(Ending::Status(7 << 8)));
    assert!(boottime() - at < LONG / 2);
    assert!(gone(&family), "its descendants end with it");
}

#[test]
fn a_payload_that_ends_by_itself_leaves_nobody_behind() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pid");
    let script = format!("setsid sleep 1000 & echo $! > {}; exit 3", file.display());
    let guard = Guard::start(&["sh", "-c", &script]);
    guard.lease(LONG);
    guard.order(Order::Start(1));
    assert!(matches!(guard.news(), News::Started(_)));
    assert_eq!(guard.news(), News::Gone(Ending::Status(3 << 8)));
    let left: u32 = fs::read_to_string(file).unwrap().trim().parse().unwrap();
    assert!(!runs(left));
}

#[test]
fn no_payload_starts_without_a_lease_nor_twice() {
    let guard = Guard::start(&["sleep", "1000"]);
    guard.order(Order::LeaseUntil(Time::from_boot(boottime() - Duration::from_millis(1))));
    guard.order(Order::Start(1));
    assert_eq!(guard.news(), News::Gone(Ending::NeverRan));
    guard.lease(LONG);
    guard.order(Order::Start(2));
    pause(Duration::from_millis(100));
    assert_eq!(sys::process::descendants(guard.pid()), [] as [u32; 0]);
}

#[test]
fn a_program_that_is_not_there_is_named_by_its_error() {
    let guard = Guard::start(&["/no/such/program"]);
    guard.lease(LONG);
    guard.order(Order::Start(1));
    let News::Failed(errno) = guard.news() else { panic!("not failed") };
    assert_eq!(std::io::Error::from_raw_os_error(errno).kind(), ErrorKind::NotFound);
    assert_eq!(guard.news(), News::Gone(Ending::NeverRan));
}

#[test]
fn the_payload_knows_its_epoch_and_signals_for_the_family_spare_the_guard() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("epoch");
    let script = format!("echo $LINEKEEPER_EPOCH > {}.new; mv {0}.new {0}; cat", file.display());
    let guard = Guard::start(&["sh", "-c", &format!("{script}; exec sleep 1000")]);
    let family = guard.serve(LONG, 1);
    until_so("its word", || file.exists());
    assert_eq!(fs::read_to_string(file).unwrap(), format!("{}\n", (3_u64 << 32) | 9));
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        sys::process::kill_group(guard.pid(), signal).unwrap();
    }
    pause(Duration::from_millis(50));
    assert!(runs(guard.pid()) && !gone(&family));
}

#[test]
fn i7_the_guard_holds_nothing_but_its_pipe_its_timer_and_its_payload() {
    let (stray, _other) = UnixStream::pair().unwrap();
    let guard = Guard::start_with(&["sleep", "1000"], Some(stray.into()));
    guard.serve(LONG, 1);
    let mut held: Vec<String> = fs::read_dir(format!("/proc/{}/fd", guard.pid()))
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_name().to_str().unwrap().parse::<i32>().unwrap() > 2)
        .map(|entry| fs::read_link(entry.path()).unwrap().display().to_string())
        .map(|kind| kind.trim_end_matches(|c: char| c.is_ascii_digit() || "[]:".contains(c)).into())
        .collect();
    held.sort();
    // The process is a file of its own kind on newer kernels.
    let held: Vec<&str> = held.iter().map(|k| k.trim_start_matches("anon_inode:[")).collect();
    let (mut kinds, expected) = (held.clone(), ["pidfd", "socket", "timerfd"]);
    kinds.sort_unstable();
    assert_eq!(kinds, expected, "{held:?}");
}

/// The node of the next two stories: a process that keeps a guard's lease and never ends.
#[test]
fn node_body() {
    let Ok(report) = std::env::var("GUARD_TEST_REPORT") else { return };
    let guard = Guard::start(&["sh", "-c", FAMILY]);
    let mut all = guard.serve(LEASE * 10, FAMILY_SIZE);
    all.push(guard.pid());
    fs::write(format!("{report}.new"), format!("{all:?}")).unwrap();
    fs::rename(format!("{report}.new"), report).unwrap();
    loop {
        guard.lease(LEASE);
        pause(LEASE / 16);
    }
}

const LEASE: Duration = Duration::from_millis(800);

fn family_of_a_node_that_gets(blow: Signal) -> Duration {
    let dir = tempfile::tempdir().unwrap();
    let report = dir.path().join("report");
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "guard::node_body", "--test-threads=1"]);
    command.env("GUARD_TEST_REPORT", &report).stdout(Stdio::null());
    let node = Kept::spawn(&mut command);
    until_so("the family", || report.exists());
    let text = fs::read_to_string(&report).unwrap();
    let all: Vec<u32> =
        text.trim_matches(['[', ']']).split(", ").map(|n| n.parse().unwrap()).collect();
    let (guard, family) = all.split_last().unwrap();
    pause(LEASE);
    assert!(family.iter().all(|pid| runs(*pid)), "kept alive by ticks");
    let at = boottime();
    signal(&node.0, blow);
    let took = until_so("its end", || gone(family)) - at;
    if blow == Signal::KILL {
        until_so("the guard's end", || !runs(*guard));
    }
    took
}

#[test]
fn i7_a_killed_node_leaves_nobody_behind() {
    let took = family_of_a_node_that_gets(Signal::KILL);
    assert!(took < Duration::from_millis(50) + BUSY, "{took:?}");
}

#[test]
fn i7_a_stopped_node_leaves_nobody_behind_after_lease_and_50_ms() {
    let took = family_of_a_node_that_gets(Signal::STOP);
    assert!(took > LEASE / 2, "it had a lease when it was stopped: {took:?}");
    assert!(took < LEASE + Duration::from_millis(50) + BUSY, "{took:?}");
}
