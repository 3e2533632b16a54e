//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use billing::numbered::MAX_NUMBER;
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use daemon::args::parse_time;
use sys::LineSettings;

use crate::driver::options::Options;
use crate::journal::args::{REPLAY_EXAMPLES, ReplayArgs, SHOW_EXAMPLES, ShowArgs};

/// A simulated billing system that judges whoever answers it.
///
/// It sends numbered, checksummed records down a serial line and knows the exact bytes that must
/// come back: answer n is a function of record n. At the end it says what was lost, doubled, torn,
/// reordered or mixed, and for how long it was not served.
#[derive(Debug, Parser)]
#[command(name = "billing-sim", version, max_term_width = 100, after_help = EXIT_STATUS, after_long_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Send records, judge the answers, report
    #[command(after_help = EXIT_STATUS, after_long_help = EXAMPLES)]
    Run(RunArgs),
    /// Show a journal: bytes and their meaning side by side
    #[command(after_help = SHOW_EXAMPLES)]
    Show(ShowArgs),
    /// Play a journal's bytes again, and compare what comes back
    #[command(after_help = REPLAY_EXAMPLES)]
    Replay(ReplayArgs),
    /// List this machine's serial ports
    List(ListArgs),
    /// Print shell completions
    #[command(hide = true)]
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Print a manual page
    #[command(hide = true)]
    Man {
        /// The subcommand; without it, the page of the program
        subcommand: Option<String>,
    },
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Serial device or pseudo terminal to send on
    #[arg(short, long, value_name = "PATH")]
    pub port: PathBuf,
    /// Line settings: speed, then data bits, parity and stop bits, then flow control (rtscts or
    /// xonxoff) if there is any
    #[arg(short, long, value_name = "SETTINGS", default_value = "9600,8N1")]
    pub line: LineSettings,
    /// Records per second, as 5 or 0.5; `max` is back to back
    #[arg(short, long, default_value = "5", value_parser = parse_rate)]
    pub rate: Rate,
    /// Stop after this many records; without count and duration, run until SIGINT or SIGTERM
    #[arg(short = 'n', long, value_parser = clap::value_parser!(u32).range(1..))]
    pub count: Option<u32>,
    /// Stop after this time, as 90s, 10m or 500ms
    #[arg(short, long, value_name = "TIME", value_parser = parse_time)]
    pub duration: Option<Duration>,
    /// Seed of the records' texts: the same seed gives the same records
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Number of the first record
    #[arg(long, value_name = "NUMBER", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(..=i64::from(MAX_NUMBER)))]
    pub first: u32,
    /// How long to wait for late answers after the last record
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = parse_time)]
    pub settle: Duration,
    /// Send as fast as bytes are taken instead of at true character time
    #[arg(long)]
    pub fast: bool,
    /// Wait while this many records are unanswered (default: no limit; with --fast, 256)
    #[arg(long, value_name = "RECORDS", value_parser = parse_outstanding)]
    pub outstanding: Option<usize>,
    /// List the times in which records waited this long and no answer came
    #[arg(long, value_name = "TIME", default_value = "150ms", value_parser = parse_time)]
    pub unserved_over: Duration,
    /// Print the report as JSON instead of a table
    #[arg(long, conflicts_with = "events")]
    pub json: bool,
    /// Print everything that happens as JSON lines; the last line holds the report
    #[arg(long)]
    pub events: bool,
    /// Also write the report as JSON to this file
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

/// Arguments of `list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

/// How many records there are to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// From the beginning of one record to that of the next; `None` is back to back.
    pub interval: Option<Duration>,
}

impl RunArgs {
    /// The options these arguments ask for.
    pub fn options(&self) -> Options {
        Options {
            port: self.port.display().to_string(),
            line: self.line,
            interval: self.rate.interval,
            count: self.count,
            duration: self.duration,
            seed: self.seed,
            first: self.first,
            settle: self.settle,
            fast: self.fast,
            max_outstanding: self.outstanding,
            unserved_over: self.unserved_over,
        }
    }
}

fn parse_rate(text: &str) -> Result<Rate, String> {
    if text == "max" {
        return Ok(Rate { interval: None });
    }
    let rate: f64 = text.parse().map_err(|_| RATE_HELP.to_owned())?;
    if !(MIN_RATE..=MAX_RATE).contains(&rate) {
        return Err(RATE_HELP.to_owned());
    }
    Ok(Rate { interval: Some(Duration::from_secs_f64(1.0 / rate)) })
}

fn parse_outstanding(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("give a number of records above 0".to_owned()),
        Ok(records) => Ok(records),
    }
}

const RATE_HELP: &str = "give records per second from 0.001 to 100000, or `max`";
const MIN_RATE: f64 = 0.001;
const MAX_RATE: f64 = 100_000.0;

const EXIT_STATUS: &str = "\
Exit status: 0 the gateway passed, 1 it failed, 64 wrong usage, 69 the port cannot be opened,
73 the report cannot be written, 74 another failure of the system.";

const EXAMPLES: &str = "\
Examples:
  Twenty seconds of records on a USB adapter, at the speed of a real line:
      billing-sim run --port /dev/ttyUSB0 --line 9600,8N1 --rate 5 --count 100

  As many as the line carries for ten minutes, with a report for a machine:
      billing-sim run --port /dev/ttyUSB0 --line 115200,8N1,rtscts --rate max \\
          --duration 10m --json --report report.json

  A quick look at a gateway on a pseudo terminal, without the line's slowness:
      billing-sim run --port /tmp/line --fast --rate max --count 10000

  Follow what happens, record by record:
      billing-sim run --port /tmp/line --count 20 --events | jq -c .

  Which ports are there:
      billing-sim list

A run ends by count, by duration, or by SIGINT or SIGTERM: it finishes the record being sent, waits
for late answers and reports. A second signal ends it at once.

Exit status: 0 the gateway passed, 1 it failed, 64 wrong usage, 69 the port cannot be opened,
73 the report cannot be written, 74 another failure of the system.";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn rates() {
        assert_eq!(parse_rate("max"), Ok(Rate { interval: None }));
        assert_eq!(parse_rate("4"), Ok(Rate { interval: Some(Duration::from_millis(250)) }));
        for text in ["", "0", "-1", "nan", "inf", "fast"] {
            assert!(parse_rate(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn arguments_become_options() {
        let line = "billing-sim run -p /dev/ttyS0 -l 1200,7E1 -r max -n 7 -d 1m --first 10 --fast";
        let Cli { command: Command::Run(args) } = Cli::try_parse_from(line.split(' ')).unwrap()
        else {
            panic!("not run")
        };
        let expected = Options {
            port: "/dev/ttyS0".to_owned(),
            line: "1200,7E1".parse().unwrap(),
            interval: None,
            count: Some(7),
            duration: Some(Duration::from_secs(60)),
            first: 10,
            fast: true,
            ..Options::default()
        };
        assert_eq!(args.options(), expected);
    }

    #[test]
    fn defaults_are_those_of_the_library() {
        let Cli { command: Command::Run(args) } =
            Cli::try_parse_from(["billing-sim", "run", "--port", "x"]).unwrap()
        else {
            panic!("not run")
        };
        assert_eq!(args.options(), Options { port: "x".to_owned(), ..Options::default() });
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "billing-sim",
            "billing-sim run",
            "billing-sim run --port x --count 0",
            "billing-sim run --port x --first 100000000",
            "billing-sim run --port x --json --events",
            "billing-sim run --port x --outstanding 0",
            "billing-sim run --port x --line 9600",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
