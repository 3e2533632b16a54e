//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use billing::dialect::Dialect;
use billing::numbered::MAX_NUMBER;
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use daemon::args::parse_time;
use sys::LineSettings;

use crate::core::exchange::fault::Fault;
use crate::core::exchange::verdict::Verdict;
use crate::driver::options::Options;
use crate::journal::args::{REPLAY_EXAMPLES, ReplayArgs, SHOW_EXAMPLES, ShowArgs};
use crate::rate::Rate;
use crate::scenario::file::MAX_RECORDS;
use crate::scenario::{Scenario, words};

/// A simulated billing system that judges whoever answers it.
///
/// It plays the billing system at the far end of a serial line, in a dialect: `fias` (hotel), `hx`
/// (call accounting), `cable` (provisioning) or `cdr` (telephone exchange). It sends, answers, posts
/// charges and misbehaves as told, and says at the end what was lost, doubled, reordered or mixed.
///
/// Its own dialect `numbered` measures: it sends numbered records and knows the exact bytes that
/// must come back, and for how long it was not served.
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
    Run(Box<RunArgs>),
    /// Show a journal: bytes and their meaning side by side
    #[command(after_help = SHOW_EXAMPLES)]
    Show(ShowArgs),
    /// Play a journal's bytes again, and compare what comes back
    #[command(after_help = REPLAY_EXAMPLES)]
    Replay(ReplayArgs),
    /// List this machine's serial ports, the dialects, or the faults
    List(ListArgs),
    /// Print plausible charges as JSON lines, for `failover-node post` and for --expect
    Charges(ChargesArgs),
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
    /// The dialect: fias, hx, cable, cdr, or numbered (the default)
    #[arg(long, value_name = "NAME", value_parser = parse_dialect, conflicts_with = "scenario")]
    pub dialect: Option<String>,
    /// Take dialect, load, faults and expectations from this file; options given besides win
    #[arg(long, value_name = "FILE")]
    pub scenario: Option<PathBuf>,
    /// Line settings: speed, then data bits, parity and stop bits, then flow control (rtscts or
    /// xonxoff) if there is any [default: 9600,8N1]
    #[arg(short, long, value_name = "SETTINGS")]
    pub line: Option<LineSettings>,
    /// Records per second, as 5, 5/s or 0.5; `max` is back to back [default: 5]
    #[arg(short, long)]
    pub rate: Option<Rate>,
    /// Stop after this many records; without count, charges and duration, run until SIGINT or SIGTERM
    #[arg(short = 'n', long, value_parser = clap::value_parser!(u32).range(1..))]
    pub count: Option<u32>,
    /// Stop after this time, as 90s, 10m or 500ms
    #[arg(short, long, value_name = "TIME", value_parser = parse_time)]
    pub duration: Option<Duration>,
    /// Seed of the load, of gaps and faults: the same seed gives the same records [default: 1]
    #[arg(long)]
    pub seed: Option<u64>,
    /// How long to wait for late answers after the last record [default: 2s]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub settle: Option<Duration>,
    /// Send as fast as bytes are taken instead of at true character time
    #[arg(long)]
    pub fast: bool,
    /// Wait while this many records are unanswered [default: 4096, at rate max 8; numbered: no limit,
    /// with --fast 256]
    #[arg(long, value_name = "RECORDS", value_parser = parse_outstanding)]
    pub outstanding: Option<usize>,
    /// What only `numbered` has.
    #[command(flatten)]
    pub numbered: NumberedArgs,
    /// What all other dialects have.
    #[command(flatten)]
    pub trial: TrialArgs,
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

/// Arguments of `run` that only the dialect `numbered` has.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of the dialect numbered")]
pub struct NumberedArgs {
    /// Number of the first record [default: 1]
    #[arg(long, value_name = "NUMBER",
          value_parser = clap::value_parser!(u32).range(..=i64::from(MAX_NUMBER)))]
    pub first: Option<u32>,
    /// List the times in which records waited this long and no answer came [default: 150ms]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub unserved_over: Option<Duration>,
}

/// Arguments of `run` that all dialects but `numbered` have.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Options of all other dialects")]
pub struct TrialArgs {
    /// Set one of the dialect's settings (`billing-sim list --dialects` names them)
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = parse_setting)]
    pub set: Vec<(String, String)>,
    /// Wait for this many charges from the gateway
    #[arg(long, value_name = "CHARGES")]
    pub charges: Option<u64>,
    /// Do something wrong on purpose, as "nak count=2 every=50" (`billing-sim list --faults` names
    /// all)
    #[arg(long, value_name = "FAULT", value_parser = parse_fault)]
    pub fault: Vec<Fault>,
    /// Let a verdict be given as often as it likes
    #[arg(long, value_name = "VERDICT", value_delimiter = ',')]
    pub allow: Vec<Verdict>,
    /// Compare what was posted with the charges in this file, one JSON object a line, as
    /// `failover-node post` takes them; it is read at the end
    #[arg(long, value_name = "FILE")]
    pub expect: Option<PathBuf>,
    /// Compare what was sent with the records in this file, as `failover-node records --json`
    /// exports them; it is read at the end
    #[arg(long, value_name = "FILE")]
    pub records: Option<PathBuf>,
    /// Longest extra gap between characters, drawn evenly [default: none]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub jitter: Option<Duration>,
    /// End the run when something is wanted and nothing was settled for so long [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub patience: Option<Duration>,
    /// Write every byte with its time and all that happens to this file, for `billing-sim show` and
    /// `billing-sim replay`
    #[arg(long, value_name = "FILE")]
    pub journal: Option<PathBuf>,
    /// Also write the verdicts as JUnit XML to this file, a test case each
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
}

/// Arguments of `charges`.
#[derive(Debug, Args)]
pub struct ChargesArgs {
    /// The dialect that is to carry them
    #[arg(long, value_name = "NAME", value_parser = parse_dialect)]
    pub dialect: String,
    /// How many
    #[arg(short = 'n', long, default_value_t = 10)]
    pub count: u64,
    /// Their seed: the same seed gives the same charges
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// Arguments of `list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// List the dialects and their settings instead of the ports
    #[arg(long, conflicts_with = "faults")]
    pub dialects: bool,
    /// List the faults and their keys instead of the ports
    #[arg(long)]
    pub faults: bool,
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

impl RunArgs {
    /// The options that these arguments ask for, of a run in the dialect `numbered`.
    pub fn options(&self) -> Options {
        let usual = Options::default();
        Options {
            port: self.port.display().to_string(),
            line: self.line.unwrap_or(usual.line),
            interval: self.rate.map_or(usual.interval, |rate| rate.interval),
            count: self.count,
            duration: self.duration,
            seed: self.seed.unwrap_or(usual.seed),
            first: self.numbered.first.unwrap_or(usual.first),
            settle: self.settle.unwrap_or(usual.settle),
            fast: self.fast,
            max_outstanding: self.outstanding,
            unserved_over: self.numbered.unserved_over.unwrap_or(usual.unserved_over),
        }
    }

    /// Changes the scenario as these arguments say.
    pub fn change(&self, scenario: &mut Scenario) {
        fn set<T: Clone>(target: &mut T, given: &Option<T>) {
            if let Some(given) = given {
                *target = given.clone();
            }
        }
        let Self { trial, .. } = self;
        if let Some(rate) = self.rate {
            scenario.set_rate(rate);
        }
        set(&mut scenario.line, &self.line);
        set(&mut scenario.seed, &self.seed);
        set(&mut scenario.settle, &self.settle);
        set(&mut scenario.patience, &trial.patience);
        set(&mut scenario.jitter, &trial.jitter);
        set(&mut scenario.load.outstanding, &self.outstanding);
        set(&mut scenario.load.charges, &trial.charges);
        scenario.load.count = self.count.map(u64::from).or(scenario.load.count);
        scenario.load.duration = self.duration.or(scenario.load.duration);
        scenario.fast |= self.fast;
        scenario.settings.extend(trial.set.iter().cloned());
        scenario.faults.extend(trial.fault.iter().cloned());
        scenario.expectations.allowed.extend(&trial.allow);
    }
}

fn parse_dialect(text: &str) -> Result<String, String> {
    match Dialect::named(text, &[]) {
        _ if text == NUMBERED => Ok(text.to_owned()),
        Ok(dialect) => Ok(dialect.name().to_owned()),
        Err(error) => Err(format!("{error}, {NUMBERED}")),
    }
}

fn parse_setting(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').ok_or("give key=value")?;
    Ok((pair.0.to_owned(), pair.1.to_owned()))
}

fn parse_fault(text: &str) -> Result<Fault, String> {
    words::fault(text).map_err(|error| error.message)
}

fn parse_outstanding(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(records @ 1..=MAX_RECORDS) => Ok(records),
        _ => Err(format!("give a number of records from 1 to {MAX_RECORDS}")),
    }
}

/// The lab's own dialect, which measures.
pub const NUMBERED: &str = "numbered";

const EXIT_STATUS: &str = "\
Exit status: 0 the gateway passed, 1 it failed, 64 wrong usage or a wrong scenario, 66 a file to
compare with cannot be read, 69 the port cannot be opened, 71 the system refused something ordinary,
73 a report cannot be written, 74 another failure of the system.";

const EXAMPLES: &str = "\
Examples:
  A hotel's system: a hundred guests come and go, and what the gateway posts is judged:
      billing-sim run --dialect fias --port /dev/ttyUSB0 --line 9600,8N1 --rate 5 --count 100

  The same under bad conditions, with the charges that must arrive:
      billing-sim charges --dialect fias --count 200 > charges.jsonl
      billing-sim run --dialect fias --port /tmp/line --charges 200 --expect charges.jsonl \\
          --fault \"nak count=2 every=20\" --fault \"stall lasting=2s chance=0.01\"

  Call accounting receives only: the run is as long as its charges:
      billing-sim run --dialect hx --port /tmp/line --set check=sum --charges 50

  A headend's commands, each with its answer:
      billing-sim run --dialect cable --port /tmp/line --rate 2 --count 40

  An exchange's call records with hardware flow control, and what the gateway made of them:
      billing-sim run --dialect cdr --port /dev/ttyUSB0 --line 9600,8N1,rtscts --rate max \\
          --count 1000 --records records.jsonl

  Keep every byte, and look at it afterwards:
      billing-sim run --dialect fias --port /tmp/line --count 20 --journal night.jsonl
      billing-sim show night.jsonl

  A scenario from a file, with a report for a CI:
      billing-sim run --port /tmp/line --scenario scenarios/fias/night-audit.toml \\
          --junit verdicts.xml --report report.json

  How long a gateway does not serve: the dialect numbered, at the speed of a real line:
      billing-sim run --port /dev/ttyUSB0 --line 115200,8N1,rtscts --rate max --duration 10m

  Follow what happens, record by record:
      billing-sim run --dialect fias --port /tmp/line --count 20 --events | jq -c .

  Which ports, dialects with their settings, and faults there are:
      billing-sim list
      billing-sim list --dialects
      billing-sim list --faults

A run ends by count, charges and duration, or by SIGINT or SIGTERM: it finishes the record being
sent, takes back those that wait, waits for late answers and reports. A second signal ends it at
once.

Exit status: 0 the gateway passed, 1 it failed, 64 wrong usage or a wrong scenario, 66 a file to
compare with cannot be read, 69 the port cannot be opened, 71 the system refused something ordinary,
73 a report cannot be written, 74 another failure of the system.";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
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
            "billing-sim run --port x --outstanding 1000001",
            "billing-sim run --port x --line 9600",
            "billing-sim run --port x --dialect sms",
            "billing-sim run --port x --dialect fias --set lrc",
            "billing-sim run --port x --dialect fias --fault nak",
            "billing-sim run --port x --dialect fias --allow doubled",
            "billing-sim run --port x --dialect fias --scenario y",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
