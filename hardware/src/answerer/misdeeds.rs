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
    /// Start a process in a session of its own that writes the time into a file of this directory
    #[arg(long, value_name = "DIR")]
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
        if let Some(dir) = &self.fork_grandchild {
            arguments.extend(["--fork-grandchild".into(), dir.into()]);
        }
        arguments
    }
}

/// Starts a grandchild and forgets it, as a careless payload would: it inherits the streams, too.
pub(crate) fn fork_grandchild(dir: &Path) -> io::Result<()> {
    Command::new(std::env::current_exe()?).arg("grandchild").arg(dir).spawn()?;
    Ok(())
}

/// The grandchild: leaves its parent's session and group, and writes until it is killed.
///
/// # Errors
/// The file cannot be written.
pub fn grandchild(dir: &Path) -> io::Result<()> {
    sys::spawn::new_session()?;
    let file = File::create(dir.join(std::process::id().to_string()))?;
    let waiter = Waiter::new()?;
    loop {
        let at = boottime();
        // Of one length, in one call and at one place, so that a reader finds a whole line.
        file.write_all_at(format!("{:20}\n", at.as_micros()).as_bytes(), 0)?;
        waiter.wait(&[], Some(at + TRACE_INTERVAL))?;
    }
}

/// What the grandchildren that write into `dir` wrote last.
pub fn traces(dir: &Path) -> Vec<Trace> {
    let Ok(files) = std::fs::read_dir(dir) else { return Vec::new() };
    let trace = |file: std::fs::DirEntry| {
        let pid = file.file_name().to_str()?.parse().ok()?;
        let text = std::fs::read_to_string(file.path()).ok()?;
        let at = Duration::from_micros(text.trim().parse().ok()?);
        Some(Trace { pid, at })
    };
    files.flatten().filter_map(trace).collect()
}

/// How often the grandchild writes: what a test can tell about its end.
const TRACE_INTERVAL: Duration = Duration::from_millis(1);
