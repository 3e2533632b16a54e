//! The command line.

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use failover_node::core::profile::Profile;
use sys::LineSettings;

use crate::accounts::{Accounts, Speech};
use crate::answerer::{Job, Misdeeds};
use crate::bench::BenchArgs;
use crate::bench::floor::Pair;
use crate::drills::cli::DrillsArgs;
use crate::ear::EarArgs;
use crate::far::Wire;
use crate::settings::{MAX_NODES, Settings};

/// Brings the whole chain up on this machine, drives it through failures, prints a verdict.
///
/// One terminal server, some nodes and a billing system, all real processes but the last, on a
/// virtual serial cable at true character time. It needs no root, no configuration and no network
/// but loopback, and it ends by itself.
#[derive(Debug, Parser)]
#[command(
    name = "lab",
    version,
    max_term_width = 100,
    args_conflicts_with_subcommands = true,
    after_help = EXIT_STATUS,
    after_long_help = EXAMPLES
)]
pub struct Cli {
    /// What to do instead of a run.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// What to run.
    #[command(flatten)]
    pub run: RunArgs,
}

/// What to do instead of a run.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Measure the terminal server beside a floor, ser2net and socat
    Bench(BenchArgs),
    /// Drill every failure that there is a promise for, on hosts of their own; needs root and iproute2
    Drills(DrillsArgs),
    /// Listen to heartbeats and beacons until killed
    #[command(hide = true)]
    Ear(EarArgs),
    /// The floor: copies between TCP and devices until it is killed
    #[command(hide = true)]
    Floor {
        /// Which ones, as ADDR:PORT=DEVICE.
        #[arg(required = true)]
        pairs: Vec<Pair>,
    },
    /// A client that has a line until it is killed
    #[command(hide = true)]
    Holder {
        /// Where the line is.
        address: SocketAddr,
    },
    /// The nodes' payload: answer the records of a line
    #[command(hide = true)]
    Answerer(Job),
    /// A process that outlives its parent, if it is let
    #[command(hide = true)]
    Grandchild {
        /// Where it writes the time.
        dir: PathBuf,
    },
    /// Print shell completions
    #[command(hide = true)]
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Print a manual page
    #[command(hide = true)]
    Man,
}

/// What to run.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// How many nodes
    #[arg(short, long, default_value_t = 3, value_parser = parse_nodes)]
    pub nodes: usize,
    /// The nodes' times: standard, fast, wan, or heartbeat/lease/dead-after in milliseconds
    #[arg(short, long, default_value = "standard")]
    pub profile: Profile,
    /// Line settings: speed, then data bits, parity and stop bits, then flow control if any
    #[arg(short, long, value_name = "SETTINGS", default_value = "9600,8N1")]
    pub line: LineSettings,
    /// What is spoken on the line: fias, hx, cable, cdr, or numbered, the lab's own dialect, whose
    /// every record shows how long the line was not served
    #[arg(short, long, default_value = "fias", value_parser = parse_speech)]
    pub dialect: Speech,
    /// Records per second, in the lab's own dialect
    #[arg(short, long, default_value = "10", value_parser = parse_rate)]
    pub rate: Rate,
    /// How often the coordinator is killed
    #[arg(short, long, default_value_t = 5, value_parser = parse_kills)]
    pub kills: usize,
    /// Seed of the records and of the moments of failure [default: drawn]
    #[arg(short, long)]
    pub seed: Option<u64>,
    /// Join the line's ends with socat instead of the lab's own cable
    #[arg(long, conflicts_with_all = ["serial", "far"])]
    pub socat: bool,
    /// Use two real ports with a null-modem cable between them: this one is the terminal server's
    /// (not run on hardware yet)
    #[arg(long, value_name = "DEVICE", requires = "far")]
    pub serial: Option<PathBuf>,
    /// And this one the billing system's
    #[arg(long, value_name = "DEVICE", requires = "serial")]
    pub far: Option<PathBuf>,
    /// Print one JSON document at the end; the timeline goes to standard error
    #[arg(long)]
    pub json: bool,
    /// Print the timeline as JSON lines; the last line holds the report
    #[arg(long, conflicts_with = "json")]
    pub events: bool,
    /// Show all that the programs say
    #[arg(short, long)]
    pub verbose: bool,
    /// Keep the directory with the logs; after a failure it is kept anyway
    #[arg(long)]
    pub keep: bool,
    /// Where the other programs are [default: beside this one; under cargo they are built first]
    #[arg(long, value_name = "DIR", env = crate::programs::BIN_DIR)]
    pub bin_dir: Option<PathBuf>,
    /// Have the payloads misbehave, to see the verdict fail
    #[arg(long, value_enum, hide = true)]
    pub sabotage: Option<Sabotage>,
}

/// How payloads misbehave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Sabotage {
    /// Leave out answers.
    Lose,
    /// Give answers twice.
    Double,
}

/// How many records there are to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// From the beginning of one record to that of the next.
    pub interval: Duration,
}

impl RunArgs {
    /// What these arguments ask for, with this seed.
    pub fn settings(&self, seed: u64) -> Settings {
        let wire = match (&self.serial, &self.far) {
            (Some(near), Some(far)) => Wire::Serial { near: near.clone(), far: far.clone() },
            _ if self.socat => Wire::Socat,
            _ => Wire::Cable,
        };
        let misdeeds = match self.sabotage {
            None => Misdeeds::default(),
            Some(Sabotage::Lose) => Misdeeds { lose_every: SABOTAGE_EVERY, ..Misdeeds::default() },
            Some(Sabotage::Double) => {
                Misdeeds { double_every: SABOTAGE_EVERY, ..Misdeeds::default() }
            }
        };
        Settings {
            nodes: self.nodes,
            profile: self.profile,
            line: self.line,
            speech: self.dialect.clone(),
            interval: self.rate.interval,
            seed,
            wire,
            misdeeds,
            keep: self.keep,
            ..Settings::default()
        }
    }
}

fn parse_nodes(text: &str) -> Result<usize, String> {
    let nodes = text.parse().ok().filter(|nodes| (2..=MAX_NODES).contains(nodes));
    nodes.ok_or_else(|| format!("give a number from 2 to {MAX_NODES}"))
}

fn parse_kills(text: &str) -> Result<usize, String> {
    let kills = text.parse().ok().filter(|kills| *kills <= MAX_KILLS);
    kills.ok_or_else(|| format!("give a number up to {MAX_KILLS}"))
}

fn parse_speech(text: &str) -> Result<Speech, String> {
    if text == "numbered" {
        return Ok(Speech::Numbered);
    }
    let accounts = Accounts::of(text);
    accounts.dialect().map_err(|error| format!("{error}, numbered"))?;
    Ok(Speech::Dialect(accounts))
}

fn parse_rate(text: &str) -> Result<Rate, String> {
    let rate: Option<f64> = text.parse().ok().filter(|rate| (MIN_RATE..=MAX_RATE).contains(rate));
    let rate = rate.ok_or("give records per second from 0.5 to 1000")?;
    Ok(Rate { interval: Duration::from_secs_f64(1.0 / rate) })
}

/// Slower ones would make a drill wait for its first record.
const MIN_RATE: f64 = 0.5;
const MAX_RATE: f64 = 1000.0;
/// Half an hour of them.
const MAX_KILLS: usize = 1000;
const SABOTAGE_EVERY: Option<NonZeroU64> = NonZeroU64::new(20);

const EXIT_STATUS: &str = "\
Exit status: 0 nothing was lost, doubled, torn, reordered or mixed, never two nodes held the line,
and every drill recovered; 1 otherwise, and then the logs are kept; 64 wrong usage, 69 the chain
cannot be started, 130 interrupted.";

const EXAMPLES: &str = "\
Examples:
  The usual run, from the sources; under a minute:
      cargo lab

  Another dialect:
      cargo lab --dialect cdr

  The lab's own dialect, for the times of failovers; two nodes and many kills on a faster line:
      cargo lab --dialect numbered --nodes 2 --kills 50 --line 115200,8N1 --rate 100

  For a machine: one document with every drill and the verdict:
      cargo lab --json | jq .pass

  The terminal server's speed and cost beside ser2net, socat and a floor; some minutes:
      cargo lab bench

  Every failure that there is a promise for, on hosts of their own; as root, half an hour:
      cargo lab drills
      cargo lab drills --short --only kill,stop,partition

  Over two USB adapters joined by a null-modem cable (not run on hardware yet):
      cargo lab --serial /dev/ttyUSB0 --far /dev/ttyUSB1

Exit status: 0 nothing was lost, doubled, torn, reordered or mixed, never two nodes held the line,
and every drill recovered; 1 otherwise, and then the logs are kept; 64 wrong usage, 69 the chain
cannot be started, 130 interrupted.";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn run(line: &str) -> Result<RunArgs, clap::Error> {
        Cli::try_parse_from(line.split(' ')).map(|cli| cli.run)
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn defaults_are_those_of_the_library() {
        assert_eq!(run("lab -d numbered").unwrap().settings(1), Settings::default());
        let speech = run("lab").unwrap().settings(1).speech;
        assert_eq!(speech, Speech::Dialect(Accounts::of("fias")));
    }

    #[test]
    fn arguments_become_settings() {
        let args =
            run("lab -d numbered -n 2 -p fast -l 115200,7E1 -r 100 --serial a --far b --keep")
                .unwrap();
        let expected = Settings {
            nodes: 2,
            profile: Profile::FAST,
            line: "115200,7E1".parse().unwrap(),
            interval: Duration::from_millis(10),
            seed: 9,
            wire: Wire::Serial { near: "a".into(), far: "b".into() },
            keep: true,
            ..Settings::default()
        };
        assert_eq!(args.settings(9), expected);
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "lab --nodes 1",
            "lab --nodes 17",
            "lab --rate 0",
            "lab --kills -1",
            "lab --profile slow",
            "lab --dialect morse",
            "lab --serial a",
            "lab --socat --serial a --far b",
            "lab --json --events",
            "lab --nodes 2 answerer",
        ] {
            assert!(run(line).is_err(), "{line}");
        }
    }
}
