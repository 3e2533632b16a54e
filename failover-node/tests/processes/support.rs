//! What the stories share: watching processes of others, waiting, cleaning up.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use sys::boottime;
use sys::process::{self, Signal, Waiter};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_failover-node");

/// Far more than anything takes that is not broken.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// What a busy machine may add to a promise of milliseconds.
pub(crate) const BUSY: Duration = Duration::from_millis(700);

/// A payload with a child, a child in a session of its own, and an orphan in another.
pub(crate) const FAMILY: &str = "(setsid sleep 1000 &); setsid sleep 1000 & sleep 1000 & wait";

/// The processes of [`FAMILY`]: the shell and three sleeps.
pub(crate) const FAMILY_SIZE: usize = 4;

/// An address that nobody else takes: each has a host of its own.
pub(crate) fn free_address() -> SocketAddr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [.., process, part] = std::process::id().to_be_bytes();
    let host = Ipv4Addr::new(127, 64 | process & 63, part, NEXT.fetch_add(1, Ordering::Relaxed));
    TcpListener::bind((host, 0)).unwrap().local_addr().unwrap()
}

/// Whether a process runs; a zombie does not.
pub(crate) fn runs(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
    })
}

/// Looks every millisecond until `found` finds something, and says when that was.
pub(crate) fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> (T, Duration) {
    let deadline = boottime() + LONG;
    loop {
        if let Some(value) = found() {
            return (value, boottime());
        }
        assert!(boottime() < deadline, "{what} within {LONG:?}");
        pause(Duration::from_millis(1));
    }
}

/// As [`until`], for a condition.
pub(crate) fn until_so(what: &str, mut so: impl FnMut() -> bool) -> Duration {
    until(what, || so().then_some(())).1
}

pub(crate) fn pause(span: Duration) {
    Waiter::new().unwrap().wait(&[], Some(boottime() + span)).unwrap();
}

/// The living descendants of a process once there are `count` of them, besides itself.
pub(crate) fn family(of: u32, count: usize) -> Vec<u32> {
    let what = format!("{count} descendants of {of}");
    until(&what, || {
        let all: Vec<u32> = process::descendants(of).into_iter().filter(|pid| runs(*pid)).collect();
        // A shell that has forked is its own copy until it has executed something.
        let copies = all.iter().filter(|pid| command_of(**pid) == "setsid").count();
        (all.len() == count && copies == 0).then_some(all)
    })
    .0
}

pub(crate) fn command_of(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}

/// Waits for a child without blocking for ever.
pub(crate) fn ended(child: &mut Child) -> std::process::ExitStatus {
    if let Some(status) = child.try_wait().unwrap() {
        return status;
    }
    let pidfd = process::open_pidfd(child.id()).unwrap();
    let deadline = boottime() + LONG;
    let woken = Waiter::new().unwrap().wait(&[pidfd.as_fd()], Some(deadline)).unwrap();
    assert!(woken.ready[0], "process {} ended within {LONG:?}", child.id());
    child.wait().unwrap()
}

pub(crate) fn signal(child: &Child, signal: Signal) {
    // Each is started as the leader of a group of its own, so that this reaches nobody else.
    assert!(process::kill_group(child.id(), signal).unwrap());
}

/// A child in a group of its own, killed when the story is over or has failed.
pub(crate) struct Kept(pub(crate) Child);

impl Kept {
    pub(crate) fn spawn(command: &mut Command) -> Self {
        Self(command.process_group(0).spawn().unwrap())
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = process::kill_group(self.0.id(), Signal::KILL);
        let _ = self.0.wait();
    }
}

/// A key file as the program wants it.
pub(crate) fn write_key(path: &Path) -> wire::Key {
    use std::os::unix::fs::PermissionsExt;
    let text = "0123456789abcdef".repeat(4);
    fs::write(path, &text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    wire::Key::from_file_content(0, text.as_bytes()).unwrap()
}
