//! A program of the chain: started, listened to, and ended by its number, whatever happens.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, kill_process, waitpid};
use sys::process::{Signal, Waiter, descendants};
use sys::{boottime, spawn};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncBufReadExt, BufReader, Interest};
use tokio::net::unix::pipe::Receiver;
use tokio::task::JoinHandle;

use crate::error::{Doing, LabError, Result};

/// A process that the lab started.
///
/// It has a group of its own, so that a Ctrl-C at the terminal is the lab's to handle, and the
/// kernel kills it when the thread that started it ends. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    pid: Pid,
    /// Readable when the process has ended.
    pidfd: AsyncFd<OwnedFd>,
    status: Option<ExitStatus>,
    reader: JoinHandle<String>,
}

impl Process {
    /// Starts `command`, whose standard error goes line by line to `heard` and into `log`.
    ///
    /// # Errors
    /// The program or the log cannot be opened.
    pub fn start(
        name: &str,
        mut command: Command,
        log: PathBuf,
        heard: impl FnMut(&str) + Send + 'static,
    ) -> Result<Self> {
        let file = File::options().create(true).append(true).open(&log);
        let file = file.doing(|| format!("open {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
        spawn::die_with_parent(&mut command, Signal::KILL);
        let mut child =
            command.spawn().doing(|| format!("start {}", command.get_program().display()))?;
        match Self::adopt(name, &mut child, file, heard) {
            Ok((pid, pidfd, reader)) => {
                Ok(Self { name: name.to_owned(), child, pid, pidfd, status: None, reader })
            }
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error).doing(|| format!("watch {name}"))
            }
        }
    }

    fn adopt(
        name: &str,
        child: &mut Child,
        log: File,
        heard: impl FnMut(&str) + Send + 'static,
    ) -> io::Result<(Pid, AsyncFd<OwnedFd>, JoinHandle<String>)> {
        let pidfd = sys::process::open_pidfd(child.id())?;
        let pidfd = sys::descriptor::watch(pidfd, Interest::READABLE)?;
        let pid = Pid::from_child(child);
        let stderr = child.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let stderr = Receiver::from_owned_fd(stderr.into())?;
        let reader = tokio::spawn(listen(name.to_owned(), stderr, log, heard));
        Ok((pid, pidfd, reader))
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its name in the lab.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sends it a signal. One that has ended gets none.
    ///
    /// # Errors
    /// None in practice.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        // The number cannot be another's: it is not given away before the process was waited for.
        if self.status.is_some() {
            return Ok(());
        }
        kill_process(self.pid, signal).doing(|| format!("signal {}", self.name))
    }

    /// All that it has started and that still runs.
    pub fn family(&self) -> Vec<u32> {
        descendants(self.pid())
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It did not end in time.
    pub async fn ended(&mut self, within: Duration) -> Result<ExitStatus> {
        let what = || format!("the end of {}", self.name);
        match tokio::time::timeout(within, self.pidfd.readable()).await {
            Ok(_) => self.wait(),
            Err(_) => Err(LabError::Late { what: what(), within }),
        }
    }

    /// How it ended, if it has, with its last words.
    pub async fn failure(&mut self) -> Option<LabError> {
        let status = match self.status {
            Some(status) => status,
            None => self.child.try_wait().ok().flatten()?,
        };
        self.status = Some(status);
        // Its children may have its standard error open, so its end is not waited for.
        let words = tokio::time::timeout(LAST_WORDS, &mut self.reader).await;
        let words = words.ok().and_then(std::result::Result::ok).unwrap_or_default();
        Some(LabError::Ended { program: self.name.clone(), status, words })
    }

    fn wait(&mut self) -> Result<ExitStatus> {
        if let Some(status) = self.status {
            return Ok(status);
        }
        let status = self.child.wait().doing(|| format!("wait for {}", self.name))?;
        self.status = Some(status);
        Ok(status)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.status.is_none() {
            // A stopped process is killed, too. After SIGKILL the wait is short.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// What processes of the chain have started, guards and payloads, so that nothing outlives the lab.
///
/// The lab is a sub-reaper: what a killed node leaves becomes the lab's child.
#[derive(Debug, Default)]
pub struct Orphans {
    known: BTreeSet<u32>,
}

impl Orphans {
    /// Makes this whole process a sub-reaper.
    ///
    /// # Errors
    /// None on any kernel since 3.4.
    pub fn new() -> Result<Self> {
        sys::process::become_subreaper().doing(|| "become a sub-reaper".to_owned())?;
        Ok(Self::default())
    }

    /// Remembers the family of a process that is about to be killed.
    pub fn expect(&mut self, family: impl IntoIterator<Item = u32>) {
        self.known.extend(family);
    }

    /// Collects those that have ended; says which are left.
    pub fn reap(&mut self) -> Vec<u32> {
        let mine = descendants(std::process::id());
        self.known.retain(|pid| {
            let Some(number) = i32::try_from(*pid).ok().and_then(Pid::from_raw) else {
                return false;
            };
            match waitpid(Some(number), WaitOptions::NOHANG) {
                Ok(Some(_)) => false,
                Ok(None) => true,
                // Still its parent's, or gone with it.
                Err(Errno::CHILD) => mine.contains(pid),
                Err(_) => true,
            }
        });
        self.known.iter().copied().collect()
    }

    /// Ends what is left: it has `patience` to go by itself, then it is killed.
    pub fn end(&mut self, patience: Duration) {
        let Ok(waiter) = Waiter::new() else { return };
        let begun = boottime();
        while !self.reap().is_empty() && boottime() < begun + patience + PATIENCE_AFTER_KILL {
            if boottime() >= begun + patience {
                let mine = descendants(std::process::id());
                for pid in self.known.iter().filter(|pid| mine.contains(pid)) {
                    // Listed just now among our own, so the number is not somebody else's.
                    let number = i32::try_from(*pid).ok().and_then(Pid::from_raw);
                    let _ = number.map(|number| kill_process(number, Signal::KILL));
                }
            }
            let _ = waiter.wait(&[], Some(boottime() + LOOK_AGAIN));
        }
    }
}

/// Reads until nobody writes any more. The last line.
async fn listen(
    name: String,
    stderr: Receiver,
    mut log: File,
    mut heard: impl FnMut(&str),
) -> String {
    let mut lines = BufReader::new(stderr).lines();
    let mut last = String::new();
    // Text that is not UTF-8 ends the listening; the programs write none.
    while let Ok(Some(line)) = lines.next_line().await {
        // A full disk must not stop the chain, whose pipe would fill.
        let _ = writeln!(log, "{line}");
        heard(&line);
        last = line;
    }
    if last.is_empty() { format!("{name} said nothing") } else { last }
}

/// How long the rest of a dead program's log is waited for.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// After SIGKILL, only a process that hangs in the kernel is left.
const PATIENCE_AFTER_KILL: Duration = Duration::from_secs(2);
/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
