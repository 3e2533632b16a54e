//! How a payload can go wrong, so that tests see what becomes of it.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clap::Args;
use sys::boottime;
use sys::process::Waiter;

/// What the answerer does wrong; nothing by default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct Misdeeds {
    /// Crash when this many answers were handed out
    #[arg(long, value_name = "ANSWERS")]
    pub crash_after: Option<u64>,
    /// Read on and answer nothing more when this many answers were handed out
    #[arg(long, value_name = "ANSWERS")]
    pub hang_after: Option<u64>,
    /// Leave out one answer in so many, and acknowledge its record all the same
    #[arg(long, value_name = "ANSWERS")]
    pub lose_every: Option<NonZeroU64>,
    /// Give one answer in so many twice
    #[arg(long, value_name = "ANSWERS")]
    pub double_every: Option<NonZeroU64>,
    /// Stay when asked to end, and when the input ends
    #[arg(long)]
    pub ignore_term: bool,
    /// Start a process in a session of its own that writes its number and the time to this file
    #[arg(long, value_name = "FILE")]
    pub fork_grandchild: Option<PathBuf>,
}

/// What a grandchild wrote last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    /// The grandchild.
    pub pid: u32,
    /// When it was certainly alive, as [`boottime`] counts.
    pub at: Duration,
}

impl Misdeeds {
    /// The command line that asks an answerer for these.
    pub fn arguments(&self) -> Vec<OsString> {
        let mut arguments = Vec::new();
        let numbers = [
            ("--crash-after", self.crash_after),
            ("--hang-after", self.hang_after),
            ("--lose-every", self.lose_every.map(NonZeroU64::get)),
            ("--double-every", self.double_every.map(NonZeroU64::get)),
        ];
        for (flag, number) in numbers {
            if let Some(number) = number {
                arguments.extend([flag.into(), number.to_string().into()]);
            }
        }
        if self.ignore_term {
            arguments.push("--ignore-term".into());
        }
        if let Some(file) = &self.fork_grandchild {
            arguments.extend(["--fork-grandchild".into(), file.into()]);
        }
        arguments
    }
}

/// Starts a grandchild and forgets it, as a careless payload would: it inherits the streams, too.
pub(crate) fn fork_grandchild(file: &Path) -> io::Result<()> {
    Command::new(std::env::current_exe()?).arg("grandchild").arg(file).spawn()?;
    Ok(())
}

/// The grandchild: leaves its parent's session and group, and writes until it is killed.
///
/// # Errors
/// The file cannot be written.
pub fn grandchild(path: &Path) -> io::Result<()> {
    sys::spawn::new_session()?;
    let file = File::create(path)?;
    let waiter = Waiter::new()?;
    loop {
        let at = boottime();
        // Of one length, in one call and at one place, so that a reader finds a whole line.
        let line = format!("{:10} {:20}\n", std::process::id(), at.as_micros());
        file.write_all_at(line.as_bytes(), 0)?;
        waiter.wait(&[], Some(at + TRACE_INTERVAL))?;
    }
}

/// What the grandchild that writes to `path` wrote last; nothing if it has not begun.
pub fn trace(path: &Path) -> Option<Trace> {
    let text = std::fs::read_to_string(path).ok()?;
    let (pid, at) = text.trim().split_once(' ')?;
    let at = at.trim().parse().ok()?;
    Some(Trace { pid: pid.parse().ok()?, at: Duration::from_micros(at) })
}

/// How often the grandchild writes: what a test can tell about its end.
const TRACE_INTERVAL: Duration = Duration::from_millis(1);
