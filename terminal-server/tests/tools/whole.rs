//! The tools and a real terminal server.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::support::{Running, ended, eventually, open, program, read, timely};

/// A terminal server with a virtual line `pms`, in a process of its own.
struct Daemon {
    running: Running,
    dir: tempfile::TempDir,
}

impl Daemon {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut command = program();
        command.args(["--line", "pms", "--listen-raw", "127.0.0.1:0", "--virtual"]);
        command.arg(dir.path().join("line")).arg("--status").arg(dir.path().join("status"));
        let running = Running::start(command.stderr(Stdio::null()));
        let daemon = Self { running, dir };
        eventually("it answers", || daemon.ask(&["clients"]).0 == Some(0));
        daemon
    }

    fn line(&self) -> PathBuf {
        self.dir.path().join("line")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = program();
        command.args(args).arg("--status").arg(self.dir.path().join("status"));
        command
    }

    fn ask(&self, args: &[&str]) -> (Option<i32>, String, String) {
        ended(&mut self.command(args))
    }
}

#[test]
fn a_script_talks_to_the_line_while_another_watches_and_is_kicked() {
    let mut daemon = Daemon::start();
    let mut far = open(&daemon.line());
    let piped = |args: &[&str]| {
        let mut command = daemon.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Running::start(&mut command)
    };
    let mut holder = piped(&["attach", "pms", "--hold"]);
    let mut watcher = piped(&["attach", "pms"]);
    eventually("both are there", || daemon.ask(&["clients", "pms"]).1.lines().count() == 3);

    holder.0.stdin.as_mut().unwrap().write_all(b"ATI").unwrap();
    assert_eq!(read(far.try_clone().unwrap(), 3), b"ATI");
    far.write_all(b"OK").unwrap();
    assert_eq!(read(holder.0.stdout.take().unwrap(), 2), b"OK");
    assert_eq!(read(watcher.0.stdout.take().unwrap(), 2), b"OK");

    let (_, clients, _) = daemon.ask(&["clients", "pms"]);
    assert!(clients.contains("console") && clients.contains("observer"), "{clients}");
    let (code, told, _) = daemon.ask(&["kick", "pms", "--observers"]);
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(watcher.wait(), Some(69), "it says that it was closed");
    let mut refused = piped(&["attach", "pms", "--hold"]);
    assert_ne!(refused.wait(), Some(0), "one holds at a time");
    let mut why = String::new();
    let stderr = refused.0.stderr.take().unwrap();
    let why = timely(move || {
        let mut stderr = stderr;
        stderr.read_to_string(&mut why).unwrap();
        why
    });
    assert!(why.contains("pms"), "{why}");

    drop(holder.0.stdin.take());
    assert_eq!(holder.wait(), Some(0));
    daemon.running.signal("-TERM");
    assert_eq!(daemon.running.wait(), Some(0));
    assert!(!daemon.line().exists(), "the link goes with it");
}
