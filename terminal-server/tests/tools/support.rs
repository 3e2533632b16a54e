//! Processes, and patience with them.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Longest time that anything here may take. Generous: other work shares the machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_terminal-server"));
    command.env_remove("RUST_LOG").env_remove("NOTIFY_SOCKET");
    command
}

/// A process that does not outlive its test.
pub struct Running(pub Child);

impl Running {
    pub fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap())
    }

    /// The next line of its standard output.
    pub fn line(&mut self) -> String {
        let out = self.0.stdout.take().unwrap();
        let (line, out) = timely(move || {
            let mut out = BufReader::with_capacity(1, out);
            let mut line = String::new();
            out.read_line(&mut line).unwrap();
            (line, out.into_inner())
        });
        self.0.stdout = Some(out);
        line
    }

    pub fn signal(&self, signal: &str) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// Its exit code.
    pub fn wait(&mut self) -> Option<i32> {
        let mut code = None;
        eventually("the process ends", || {
            code = self.0.try_wait().unwrap();
            code.is_some()
        });
        code.and_then(|status| status.code())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Exit code, standard output and standard error of a process that ends by itself.
pub fn ended(command: &mut Command) -> (Option<i32>, String, String) {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let output = timely(move || child.wait_with_output().unwrap());
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Opens one end as a program does.
pub fn open(path: &Path) -> std::fs::File {
    let noctty = rustix::fs::OFlags::NOCTTY.bits().cast_signed();
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).custom_flags(noctty).open(path).unwrap()
}

/// So many bytes.
pub fn read(mut from: impl Read + Send + 'static, count: usize) -> Vec<u8> {
    timely(move || {
        let mut bytes = vec![0; count];
        from.read_exact(&mut bytes).unwrap();
        bytes
    })
}

/// What is written at one open end comes out at the other.
pub fn carries(from: &Path, to: &Path, bytes: &[u8]) {
    let to = open(to);
    open(from).write_all(bytes).unwrap();
    assert_eq!(read(to, bytes.len()), bytes);
}

/// Not for ever.
pub fn timely<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (send, done) = mpsc::channel();
    std::thread::spawn(move || send.send(work()));
    done.recv_timeout(PATIENCE).expect("in time")
}

pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
