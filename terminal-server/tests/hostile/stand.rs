//! A terminal server in a process of its own, from a configuration file, and its far ends.

use std::fs::File;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use serde_json::Value;
use tempfile::TempDir;
use wire::Key;

/// Longest time that anything here may take. Generous: other work shares the machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

const SECRET: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

pub fn key() -> Key {
    Key::from_file_content(0, SECRET.as_bytes()).unwrap()
}

/// A running terminal server. It ends with this.
pub struct Stand {
    dir: TempDir,
    child: Child,
}

impl Stand {
    /// With these lines, where `DIR` is a directory of its own and `crew` a group.
    pub fn start(lines: &str) -> Self {
        Self::start_in(lines, Command::new(env!("CARGO_BIN_EXE_terminal-server")))
    }

    /// The same by a command that runs the program with the arguments it is given.
    pub fn start_in(lines: &str, mut command: Command) -> Self {
        sys::process::raise_open_files().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("key"), SECRET).unwrap();
        std::fs::set_permissions(at("key"), std::fs::Permissions::from_mode(0o600)).unwrap();
        let head = "[server]\nname = \"ts\"\nstate = \"DIR/state\"\nstatus = \"DIR/status\"\n\
                    [group.crew]\nkeys = { 0 = \"DIR/key\" }\n";
        let text = (head.to_owned() + lines).replace("DIR", &dir.path().display().to_string());
        std::fs::write(at("ts.toml"), text).unwrap();
        command.arg("--config").arg(at("ts.toml")).arg("--new-state");
        command.env_remove("RUST_LOG").env_remove("NOTIFY_SOCKET").stdin(Stdio::null());
        command.stderr(File::create(at("log")).unwrap());
        let stand = Self { dir, child: command.spawn().unwrap() };
        eventually(|| stand.ask().is_some());
        stand
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn ask(&self) -> Option<Value> {
        let request = serde_json::json!({ "command": "status" });
        let path = self.path("status");
        let status = daemon::status::request(&path, "terminal-server", &request).ok()?;
        // Where too many ask at once, some are told to come again.
        status["lines"].is_array().then_some(status)
    }

    pub fn status(&self) -> Value {
        let mut status = None;
        eventually(|| {
            status = self.ask();
            status.is_some()
        });
        status.unwrap()
    }

    pub fn line(&self, name: &str) -> Value {
        let status = self.status();
        let lines = status["lines"].as_array().unwrap();
        lines.iter().find(|line| line["line"] == name).cloned().unwrap()
    }

    pub fn count(&self, line: &str, counter: &str) -> u64 {
        self.line(line)["counters"][counter].as_u64().unwrap()
    }

    /// Connections turned away before they reached a line.
    pub fn refused(&self, cause: &str) -> u64 {
        self.status()["refused"][cause].as_u64().unwrap()
    }

    /// The listener on that address. Each has an address of its own, and any port.
    pub fn at(&self, ip: &str) -> SocketAddr {
        let status = self.status();
        let listeners = status["listeners"].as_array().unwrap().clone();
        let found = listeners.iter().map(|listener| listener["address"].as_str().unwrap());
        let found = found.map(|address| address.parse::<SocketAddr>().unwrap());
        found.into_iter().find(|address| address.ip().to_string() == ip).unwrap()
    }

    /// Its resident memory, in KiB.
    pub fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap()
    }

    /// It runs, and no part of it has broken.
    pub fn is_sound(&mut self) {
        assert_eq!(self.child.try_wait().unwrap(), None, "it goes on: {}", self.log());
        assert!(!self.log().contains("panicked"), "{}", self.log());
    }

    pub fn far(&self, link: &str) -> Far {
        Far::open(&self.path(link))
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The far end of a line.
pub struct Far {
    pub tty: File,
}

impl Far {
    pub fn open(path: &Path) -> Self {
        let tty = rustix::fs::open(path, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        let mut raw = tcgetattr(&tty).unwrap();
        raw.make_raw();
        tcsetattr(&tty, OptionalActions::Now, &raw).unwrap();
        Self { tty: tty.into() }
    }

    /// Sends back all that comes, and keeps it.
    pub fn echo(self) -> Heard {
        self.answer(|tty, bytes| tty.write_all(bytes).is_ok())
    }

    /// Keeps all that comes.
    pub fn listen(self) -> Heard {
        self.answer(|_, _| true)
    }

    fn answer(mut self, answer: impl Fn(&mut File, &[u8]) -> bool + Send + 'static) -> Heard {
        let heard = Heard::default();
        let all = heard.clone();
        // It ends with the line.
        std::thread::spawn(move || {
            let mut buf = [0; 4096];
            while let Ok(count @ 1..) = self.tty.read(&mut buf) {
                all.bytes().extend_from_slice(&buf[..count]);
                if !answer(&mut self.tty, &buf[..count]) {
                    return;
                }
            }
        });
        heard
    }
}

/// What a far end has got so far.
#[derive(Clone, Default)]
pub struct Heard(Arc<Mutex<Vec<u8>>>);

impl Heard {
    pub fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until it is so.
#[track_caller]
pub fn eventually(mut so: impl FnMut() -> bool) {
    let began = sys::boottime();
    while !so() {
        assert!(sys::boottime() - began < PATIENCE, "in time");
        pause(5);
    }
}

/// So many milliseconds.
#[allow(clippy::disallowed_methods, reason = "a thread of a test, which nobody waits for")]
pub fn pause(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}
