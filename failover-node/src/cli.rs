//! The command line.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use daemon::args::{host_name, parse_time_within};
use daemon::{Exit, Failure, LogFormat, OrExit};
use wire::{Key, Name};

use crate::component::{Exec, PayloadOptions};
use crate::core::{Behaviour, Profile};
use crate::driver::{Hooks, Interface, LineOptions, Network, Options};

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
    override_usage = USAGE,
    after_help = EXIT_STATUS,
    after_long_help = EXAMPLES
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
    #[command(after_help = PROBE_STATUS, after_long_help = PROBE_STATUS)]
    Status(StatusArgs),
    /// Have a running coordinator give the line to another node, now and in order
    #[command(after_help = HANDOVER_HELP, after_long_help = HANDOVER_HELP)]
    Handover(HandoverArgs),
    /// Guard a payload; a node starts this itself
    #[command(hide = true)]
    Guard(GuardArgs),
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
    /// The payload
    #[arg(last = true, required = true)]
    pub payload: Vec<OsString>,
}

/// The node to run.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Group of nodes that share the line and the key
    #[arg(long, value_name = "NAME", required = true, help_heading = "Identity")]
    pub group: Option<Name>,
    /// Name of this node, unique in the group [default: the host's name]
    #[arg(long, value_name = "NAME", help_heading = "Identity")]
    pub node: Option<Name>,
    /// Name of the line, as the terminal server calls it
    #[arg(long, value_name = "NAME", required = true, help_heading = "Identity")]
    pub line: Option<Name>,
    /// File with the group's key, readable by its owner only; make one with: openssl rand -hex 32
    #[arg(long, value_name = "FILE", required = true, help_heading = "Identity")]
    pub key_file: Option<PathBuf>,

    /// Multicast group and port of heartbeats and beacons; the same on all nodes and the terminal
    /// server, and best one of 239.0.0.0/8
    #[arg(long, value_name = "ADDR:PORT", required = true, value_parser = parse_multicast,
          help_heading = "Network")]
    pub multicast: Option<SocketAddrV4>,
    /// Address of this host on the network of heartbeats; 127.0.0.1 for all on one host
    #[arg(long, value_name = "ADDR", required = true, help_heading = "Network")]
    pub interface: Option<Ipv4Addr>,
    /// Where the terminal server listens for nodes
    #[arg(long, value_name = "HOST:PORT", required = true, value_parser = parse_host_port,
          help_heading = "Network")]
    pub terminal_server: Option<String>,
    /// Believe datagrams that have come through routers; without it their TTL must be 255
    #[arg(long, help_heading = "Network")]
    pub routed: bool,

    /// standard (100/400/450), fast (20/80/90), wan (1000/9000/10000), or HEARTBEAT/LEASE/DEAD in
    /// milliseconds; the same on all nodes of the group
    #[arg(long, value_name = "PROFILE", default_value = "standard", help_heading = "Behaviour")]
    pub profile: Profile,
    /// Which node goes first when the line is free: higher first, then by name; the holder keeps it
    #[arg(long, value_name = "0-255", default_value_t = 100, help_heading = "Behaviour")]
    pub priority: u8,
    /// Give the line to another node when COMMAND leaves input unacknowledged for so long
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_stall,
          help_heading = "Behaviour")]
    pub stall: Duration,
    /// Give the line to another node when COMMAND has ended more often than this in a minute
    #[arg(long, value_name = "COUNT", default_value_t = 5, value_parser = parse_restarts,
          help_heading = "Behaviour")]
    pub restarts: usize,
    /// How COMMAND takes part: framed is the line protocol's frames on standard input and output
    #[arg(long, value_enum, default_value_t, help_heading = "Behaviour")]
    pub payload_mode: PayloadMode,

    /// Answer `failover-node status` and `handover` on this Unix socket [default:
    /// /run/linekeeper/failover-node.status, if that directory is there]
    #[arg(long, value_name = "PATH", env = STATUS_VARIABLE, help_heading = "Daemon")]
    pub status: Option<PathBuf>,
    /// Form of the log on standard error: text or json
    #[arg(long, value_name = "FORMAT", default_value_t, help_heading = "Daemon")]
    pub log_format: LogFormat,
    /// What to log, as info or warn,failover_node=debug [default: RUST_LOG, else info]
    #[arg(long, value_name = "FILTER", help_heading = "Daemon")]
    pub log: Option<String>,

    /// What the coordinator runs, after `--`
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub payload: Vec<OsString>,
}

/// How a payload takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum PayloadMode {
    /// Frames of the line protocol on standard input and output.
    #[default]
    Framed,
}

impl RunArgs {
    /// The options these arguments ask for; reads the key file.
    ///
    /// # Errors
    /// What does not fit together, or a key file that is not to be used.
    pub fn options(&self) -> Result<Options, Failure> {
        let PayloadMode::Framed = self.payload_mode;
        let (Some(program), arguments) = (self.payload.first(), self.payload.iter().skip(1)) else {
            return Err(missing("-- COMMAND"));
        };
        let node = match &self.node {
            Some(node) => node.clone(),
            None => host_name("--node")?,
        };
        let payload = Exec::new(program.clone(), arguments.cloned().collect());
        Ok(Options {
            group: given(&self.group, "--group")?,
            node,
            keys: read_key(&given(&self.key_file, "--key-file")?)?.into(),
            networks: vec![Network {
                interface: Interface::Address(given(&self.interface, "--interface")?.into()),
                multicast: Some(given(&self.multicast, "--multicast")?.into()),
                listen: None,
                peers: Vec::new(),
                routed: self.routed,
            }],
            lines: vec![LineOptions {
                line: given(&self.line, "--line")?,
                terminal_server: given(&self.terminal_server, "--terminal-server")?,
                payload: Some(PayloadOptions::Exec(payload)),
            }],
            profile: self.profile,
            behaviour: Behaviour {
                priority: self.priority,
                stall: self.stall,
                restarts: self.restarts,
                ..Behaviour::default()
            },
            check: None,
            hooks: Hooks::default(),
            events: None,
            status: self.status.clone().or_else(usual_socket),
            own_process: true,
        })
    }
}

impl SocketArgs {
    /// Where to ask.
    pub fn path(&self) -> PathBuf {
        self.status.clone().unwrap_or_else(|| USUAL_SOCKET.into())
    }
}

/// clap has seen to it, except where a subcommand takes the place of the flags.
fn given<T: Clone>(value: &Option<T>, flag: &str) -> Result<T, Failure> {
    value.clone().ok_or_else(|| missing(flag))
}

fn missing(flag: &str) -> Failure {
    Failure::new(Exit::Usage, format!("{flag} is missing"))
}

fn read_key(path: &Path) -> Result<Key, Failure> {
    let content = daemon::secrets::read(path)
        .map_err(|error| Failure::new((&error).into(), format!("--key-file: {error}")))?;
    Key::from_file_content(0, &content)
        .map_err(|error| format!("--key-file: {}: {error}", path.display()))
        .or_exit(Exit::Usage)
}

/// Where a service's socket is usually; a node started by hand elsewhere goes without.
fn usual_socket() -> Option<PathBuf> {
    let path = Path::new(USUAL_SOCKET);
    path.parent().is_some_and(Path::is_dir).then(|| path.to_owned())
}

fn parse_multicast(text: &str) -> Result<SocketAddrV4, String> {
    match text.parse::<SocketAddrV4>() {
        Ok(address) if address.ip().is_multicast() && address.port() != 0 => Ok(address),
        _ => Err("give an IPv4 multicast group and a port, as in 239.255.77.1:4100".to_owned()),
    }
}

fn parse_host_port(text: &str) -> Result<String, String> {
    let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    match port.and_then(|(_, port)| port.parse::<u16>().ok()) {
        Some(1..) => Ok(text.to_owned()),
        _ => Err("give a host and a port, as in terminal-server.example:4101".to_owned()),
    }
}

fn parse_stall(text: &str) -> Result<Duration, String> {
    parse_time_within(text, SHORTEST_STALL, LONGEST_STALL)
}

fn parse_restarts(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| *count <= MOST_RESTARTS);
    count.ok_or_else(|| format!("give a number from 0 to {MOST_RESTARTS}"))
}

const STATUS_VARIABLE: &str = "LINEKEEPER_STATUS";
const USUAL_SOCKET: &str = "/run/linekeeper/failover-node.status";
/// A payload must have a chance to acknowledge what it was just given.
const SHORTEST_STALL: Duration = Duration::from_millis(100);
const LONGEST_STALL: Duration = Duration::from_secs(3600);
/// Each costs a grant; beyond one a second it is no restart any more.
const MOST_RESTARTS: usize = 60;

const USAGE: &str = "\
failover-node --group NAME --line NAME --key-file FILE --multicast ADDR:PORT --interface ADDR
              --terminal-server HOST:PORT [OPTIONS] -- COMMAND [ARGS]...
       failover-node status [--status PATH] [--json]
       failover-node handover [--to NODE] [--status PATH]";

const EXIT_STATUS: &str = "\
Exit status of a node: 0 stopped in order, 64 wrong usage, 66 key file unreadable, 69 network or
status socket in use or not there, 71 the system refused, 73 the status socket cannot be made, 75
stopped by a second signal or too slowly, 77 not permitted (as a key file that others may read).";

const PROBE_STATUS: &str = "\
Exit status, for probes: 0 this node is coordinator; 3 it stands ready and the line has a holder;
4 it stands ready and knows of no holder, as for a moment during a takeover; 69 no node answers;
77 not permitted.

Examples:
  How does this host's node stand?
      failover-node status

  May the load balancer send the operators here?
      failover-node status --json > /dev/null && echo yes

  Watch a group of three on one host:
      watch -n 0.2 'for n in a b c; do failover-node status --status /tmp/$n.status; done'";

const HANDOVER_HELP: &str = "\
The payload is asked to end, the line is released and kept for the other node for one lease. If the
other node does not take it, any node may, this one last.

Exit status: 0 the hand-over has begun, 1 nothing was changed (not the coordinator, or the other node
is not heard), 69 no node answers, 77 not permitted.

Examples:
  Before this host is updated, on whichever node is best:
      failover-node handover

  To a certain one:
      failover-node handover --to node-b";

const EXAMPLES: &str = "\
Examples:
  One of two or more hosts; the same on each, --node is the host's name:
      failover-node --group front-desk --line pms --key-file /etc/linekeeper/key \\
          --multicast 239.255.77.1:4100 --interface 10.0.0.11 \\
          --terminal-server 10.0.0.5:4101 -- /usr/local/bin/gateway --config gw.toml

  Three nodes on this machine, to try things:
      for n in a b c; do
          failover-node --group lab --node $n --line pms --key-file key \\
              --multicast 239.255.77.1:4100 --interface 127.0.0.1 \\
              --terminal-server 127.0.0.1:4101 --status /tmp/$n.status -- ./gateway &
      done

  Who is it now, and what does it hear?
      failover-node status --status /tmp/a.status

COMMAND is killed, with all that it has started, as soon as this node may no longer write to the
line. It finds LINEKEEPER_EPOCH (a number that only grows: fence your database with it),
LINEKEEPER_LINE, LINEKEEPER_NODE, LINEKEEPER_GROUP and LINEKEEPER_ROLE in its environment. Its
standard error is this program's. SIGTERM ends it, with half a second to finish.

SIGTERM or SIGINT: the line is given to another node, then the program ends. A second one ends it
at once.

Exit status of a node: 0 stopped in order, 64 wrong usage, 66 key file unreadable, 69 network or
status socket in use or not there, 71 the system refused, 73 the status socket cannot be made, 75
stopped by a second signal or too slowly, 77 not permitted (as a key file that others may read).";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use clap::CommandFactory;

    use super::*;

    const FLAGS: &str = "failover-node --group g --node a --line pms --key-file KEY --multicast \
                         239.255.77.1:4100 --interface 127.0.0.1 --terminal-server ts:4101";

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn arguments_become_options() {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("key");
        std::fs::write(&key, "00112233".repeat(8)).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        let flags = FLAGS.replace("KEY", key.to_str().unwrap());
        let cli = parse(&format!("{flags} --profile 50/200/250 --stall 2s -- cmd --status x"));
        let options = cli.unwrap().run.options().unwrap();
        assert_eq!(options.node.as_str(), "a");
        assert_eq!(options.profile.to_string(), "50/200/250");
        assert_eq!(options.behaviour.stall, Duration::from_secs(2));
        let exec = Exec::new("cmd".into(), vec!["--status".into(), "x".into()]);
        assert_eq!(options.lines[0].payload, Some(PayloadOptions::Exec(exec)));
        assert_eq!(options.behaviour.restarts, 5);
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
        let failure = parse(&format!("{flags} -- cmd")).unwrap().run.options().unwrap_err();
        assert_eq!(failure.exit, Exit::Permission);
        assert!(failure.to_string().contains("chmod 600"), "{failure}");
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "failover-node".to_owned(),
            FLAGS.to_owned(),
            format!("{FLAGS} --"),
            format!("{} -- cmd", FLAGS.replace("239.255.77.1:4100", "10.0.0.1:4100")),
            format!("{} -- cmd", FLAGS.replace("ts:4101", "ts")),
            format!("{FLAGS} --profile 100/200/300 -- cmd"),
            format!("{FLAGS} --stall 5 -- cmd"),
            format!("{FLAGS} --restarts 1000 -- cmd"),
            format!("{FLAGS} --node a/b -- cmd"),
            format!("{FLAGS} status"),
            "failover-node handover --to -x".to_owned(),
        ] {
            assert!(parse(&line).is_err(), "{line}");
        }
    }

    #[test]
    fn subcommands_need_no_flags() {
        assert!(matches!(parse("failover-node status").unwrap().command, Some(Command::Status(_))));
        let Some(Command::Handover(args)) =
            parse("failover-node handover --to b --status /tmp/s").unwrap().command
        else {
            panic!("not handover")
        };
        assert_eq!(args.to.unwrap().as_str(), "b");
        assert_eq!(args.socket.path(), Path::new("/tmp/s"));
    }
}
