//! The command lines of `show` and `replay`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use daemon::args::parse_time;
use sys::LineSettings;

use super::show::{Only, Options};

/// Arguments of `show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The journal, as `run --journal` wrote it; `-` is standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Begin at this time of the run
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub from: Option<Duration>,
    /// End at this time of the run
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub to: Option<Duration>,
    /// Leave out everything else
    #[arg(long, value_name = "WHAT")]
    pub only: Option<Only>,
    /// Print lines of JSON: the entries, and a line for each frame
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// The journal to play; a last line that breaks off is left out
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Serial device or pseudo terminal to play on
    #[arg(short, long, value_name = "PATH")]
    pub port: PathBuf,
    /// Line settings [default: those in the journal]
    #[arg(short, long, value_name = "SETTINGS")]
    pub line: Option<LineSettings>,
    /// Play as soon as as much has come back as had then, instead of at the original times
    #[arg(long)]
    pub fast: bool,
    /// How long to wait for more to come back after the last byte
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = parse_time)]
    pub settle: Duration,
    /// Write a journal of the replay to this file
    #[arg(long, value_name = "FILE")]
    pub journal: Option<PathBuf>,
    /// Print the outcome as JSON
    #[arg(long)]
    pub json: bool,
}

impl ShowArgs {
    /// What is to be shown.
    pub fn options(&self) -> Options {
        Options {
            from: self.from.unwrap_or_default(),
            to: self.to.unwrap_or(Duration::MAX),
            only: self.only,
            json: self.json,
        }
    }
}

/// Help behind that of `show`.
pub const SHOW_EXAMPLES: &str = "\
Examples:
  Bytes and their meaning side by side, as a pager shows them in colours:
      billing-sim show run.jsonl

  What was said in the second minute, without the bytes:
      billing-sim show run.jsonl --from 1m --to 2m --only frames

  The verdicts of a run, for a program:
      billing-sim show run.jsonl --only verdicts --json | jq -c .

Times are seconds since the run began.

Exit status: 0 shown, 64 wrong usage, 66 the file is no journal or cannot be read.";

/// Help behind that of `replay`.
pub const REPLAY_EXAMPLES: &str = "\
Examples:
  The same bytes at the same times, and a journal of what comes back:
      billing-sim replay run.jsonl --port /dev/ttyUSB0 --journal again.jsonl

  A failure found once, played to a gateway on a pseudo terminal without waiting:
      billing-sim replay run.jsonl --port /tmp/line --fast

A gateway that writes the time of day into its records, or goes on with its numbers, answers in
other bytes than it did then. Start it with the clock and the store that it had.

Exit status: 0 the same bytes came back, 1 others did, 64 wrong usage, 66 the file is no journal or
cannot be read, 69 the port cannot be opened, 73 the journal cannot be written, 74 another failure
of the system.";
