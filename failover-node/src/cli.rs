//! The command line.

mod billing;
mod help;
mod run;

use std::ffi::OsString;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use daemon::watch;
use wire::Name;

pub use self::billing::{PostArgs, RecordsArgs};
pub use self::run::{Member, PayloadMode, RunArgs};
use crate::config::values::{self, USUAL_SOCKET};

/// Keeps a serial line served: one node of a group holds it, the others stand ready.
///
/// Every node multicasts heartbeats. When the line has no holder, the best node claims it from the
/// terminal server, and with the grant it becomes coordinator and runs COMMAND; no other node does.
/// COMMAND reads frames of the line protocol on its standard input (GRANT, INPUT, EVENT, WRITTEN)
/// and writes frames on its standard output (ACK, OUTPUT).
#[derive(Debug, Parser)]
#[command(
    name = "failover-node",
    version,
    max_term_width = 100,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    override_usage = help::USAGE,
    after_help = help::EXIT_STATUS,
    after_long_help = help::EXAMPLES
)]
pub struct Cli {
    /// What to do instead of running a node.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The node to run.
    #[command(flatten)]
    pub run: RunArgs,
}

/// What to do instead of running a node.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show how a running node stands, for people and for probes
    #[command(after_help = help::PROBE_STATUS, after_long_help = help::PROBE_STATUS)]
    Status(StatusArgs),
    /// Have a running coordinator give the line to another node, now and in order
    #[command(after_help = help::HANDOVER_HELP, after_long_help = help::HANDOVER_HELP)]
    Handover(HandoverArgs),
    /// Keep a running node from leading for a while, as during an update
    #[command(after_help = help::MAINTENANCE_HELP, after_long_help = help::MAINTENANCE_HELP)]
    Maintenance(MaintenanceArgs),
    /// Say why a running node would not lead now
    #[command(after_help = help::WHY_NOT_HELP, after_long_help = help::WHY_NOT_HELP)]
    WhyNot(SocketArgs),
    /// Show the journal of role changes
    #[command(after_help = help::EVENTS_HELP, after_long_help = help::EVENTS_HELP)]
    Events(EventsArgs),
    /// Show what came from the line and what was posted, from a billing payload's store
    #[command(after_help = billing::RECORDS_HELP, after_long_help = billing::RECORDS_HELP)]
    Records(RecordsArgs),
    /// Add charges that the billing payload of a line's coordinator is to post
    #[command(after_help = billing::POST_HELP, after_long_help = billing::POST_HELP)]
    Post(Box<PostArgs>),
    /// Check a configuration file: prints a summary, or every error with its place
    CheckConfig {
        /// The file
        file: PathBuf,
    },
    /// Guard a payload; a node starts this itself
    #[command(hide = true)]
    Guard(GuardArgs),
    /// Be the gateway of a billing line; a guard starts this as its payload
    #[command(hide = true)]
    Gateway(GatewayArgs),
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

/// Where a running node answers.
#[derive(Debug, Args)]
pub struct SocketArgs {
    /// The socket that the node was started with [default: that of a node without --status]
    #[arg(long, value_name = "PATH", env = STATUS_VARIABLE)]
    pub status: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Where it answers, and in which form.
    #[command(flatten)]
    pub socket: SocketArgs,
    /// Show it again every so many seconds, in place on a terminal, until q or Ctrl-C
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "1",
          value_parser = watch::parse_interval)]
    pub watch: Option<Duration>,
}

/// Arguments of `maintenance`.
#[derive(Debug, Args)]
pub struct MaintenanceArgs {
    /// Begin or end it; without, show it. --for, --until-off and --force go with `on` only
    #[arg(value_enum)]
    pub switch: Option<Switch>,
    /// End it after so long [default: 1h]
    #[arg(long = "for", value_name = "TIME", requires = "switch",
          value_parser = values::maintenance)]
    pub span: Option<Duration>,
    /// Do not end it until it is switched off
    #[arg(long, conflicts_with = "span", requires = "switch")]
    pub until_off: bool,
    /// Give the line up even if nobody can take it
    #[arg(long, requires = "switch")]
    pub force: bool,
    /// Where it answers, and in which form.
    #[command(flatten)]
    pub socket: SocketArgs,
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// Begin.
    On,
    /// End.
    Off,
}

/// Arguments of `events`.
#[derive(Debug, Args)]
pub struct EventsArgs {
    /// Show the last so many
    #[arg(short = 'n', long = "lines", value_name = "COUNT", default_value_t = 20)]
    pub count: usize,
    /// Then show each that is added, until Ctrl-C
    #[arg(long, short)]
    pub follow: bool,
    /// The journal [default: that of the running node]
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Where the node answers, and in which form.
    #[command(flatten)]
    pub socket: SocketArgs,
}

/// Arguments of `handover`.
#[derive(Debug, Args)]
pub struct HandoverArgs {
    /// The node that is to have the line [default: the best one heard]
    #[arg(long, value_name = "NODE")]
    pub to: Option<Name>,
    /// Where it answers, and in which form.
    #[command(flatten)]
    pub socket: SocketArgs,
}

/// Arguments of `guard`.
#[derive(Debug, Args)]
pub struct GuardArgs {
    /// The descriptor of the socket to the node
    #[arg(long)]
    pub control: RawFd,
    /// A descriptor of the node's standard output, for a payload that prints there
    #[arg(long)]
    pub output: Option<RawFd>,
    /// The payload
    #[arg(last = true, required = true)]
    pub payload: Vec<OsString>,
}

/// Arguments of `gateway`.
#[derive(Debug, Args)]
pub struct GatewayArgs {
    /// What it is to be, as JSON
    pub job: String,
}

impl SocketArgs {
    /// Where to ask.
    pub fn path(&self) -> PathBuf {
        self.status.clone().unwrap_or_else(|| USUAL_SOCKET.into())
    }
}

const STATUS_VARIABLE: &str = "LINEKEEPER_STATUS";

#[cfg(test)]
mod tests;
