//! Somebody else's program.

use std::process::{Command as Plain, Stdio};

use sys::process::{Signal, kill_group};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::daemon::{PATIENCE, within};

/// A running client, spoken to by its standard input and output. It does not outlive its test.
pub struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    heard: Vec<u8>,
}

impl Process {
    pub fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).process_group(0);
        let mut child = command.spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take().unwrap());
        Self { child, stdin, stdout, heard: Vec::new() }
    }

    pub async fn types(&mut self, bytes: &[u8]) {
        within(self.stdin.as_mut().unwrap().write_all(bytes)).await.unwrap();
    }

    /// Waits until it has said `text`: all up to there since the last time.
    pub async fn says(&mut self, text: &str) -> String {
        loop {
            let at = self.heard.windows(text.len()).position(|said| said == text.as_bytes());
            if let Some(at) = at {
                let said: Vec<u8> = self.heard.drain(..at + text.len()).collect();
                return String::from_utf8_lossy(&said).into_owned();
            }
            let so_far = self.heard.escape_ascii().to_string();
            let got = timeout(PATIENCE, self.stdout.read_buf(&mut self.heard)).await;
            assert!(got.is_ok_and(|got| got.unwrap() > 0), "no {text:?} after {so_far}");
        }
    }

    /// The next `count` bytes that it says.
    pub async fn hears(&mut self, count: usize) -> Vec<u8> {
        while self.heard.len() < count {
            let so_far = self.heard.escape_ascii().to_string();
            let got = timeout(PATIENCE, self.stdout.read_buf(&mut self.heard)).await;
            assert!(got.is_ok_and(|got| got.unwrap() > 0), "no more after {so_far}");
        }
        self.heard.drain(..count).collect()
    }

    /// Nothing more comes from us: its exit code.
    pub async fn ends(&mut self) -> Option<i32> {
        self.stdin = None;
        within(self.child.wait()).await.unwrap().code()
    }

    /// As nobody should, but somebody will.
    pub async fn kill(&mut self) {
        kill_group(self.child.id().unwrap(), Signal::KILL).unwrap();
        within(self.child.wait()).await.unwrap();
    }
}

/// Whether `program` can be run. A machine without it skips the test and says so, except where
/// everything must be tested.
pub fn has(program: &str, package: &str) -> bool {
    let look = format!("command -v {program}");
    found(Plain::new("sh").args(["-c", &look]), package)
}

/// The same for what a command shows by its success.
pub fn found(command: &mut Plain, package: &str) -> bool {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let found = command.status().is_ok_and(|status| status.success());
    let required = std::env::var_os("LINEKEEPER_CI").is_some_and(|value| value == "1");
    assert!(found || !required, "{package} is missing, and LINEKEEPER_CI=1 demands it");
    if !found {
        println!("skipped: needs {package}");
    }
    found
}
