//! The flags of a node that is to run.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use billing::Dialect;
use clap::{Args, ValueEnum};
use daemon::args::host_name;
use daemon::{Exit, Failure, LogFormat, OrExit};
use sys::InterfaceName;
use wire::{Key, Name};

use super::STATUS_VARIABLE;
use crate::billing::options::{HandlerOptions, Job, USUAL_RETAIN};
use crate::component::{Billing, Bridge, Door, Exec, ExecMode, PayloadOptions, Stream};
use crate::config::{Config, commands, values};
use crate::core::config::Membership;
use crate::core::{Behaviour, Profile};
use crate::driver::{Hook, Hooks, LineOptions, Network, Options};

/// The node to run.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// Take everything from this file: several lines and networks, all keys, hooks, and what else
    /// the flags have no words for; SIGHUP reads it again. Only --node, --status, --log and
    /// --log-format may stand beside it, and go before what it says
    #[arg(long, value_name = "FILE", conflicts_with_all = ONE_LINE, help_heading = "Lines")]
    pub config: Option<PathBuf>,

    /// Group of nodes that share the line and the key
    #[arg(
        long,
        value_name = "NAME",
        required_unless_present = "config",
        help_heading = "Identity"
    )]
    pub group: Option<Name>,
    /// Name of this node, unique in the group [default: the host's name]
    #[arg(long, value_name = "NAME", help_heading = "Identity")]
    pub node: Option<Name>,
    /// Name of the line, as the terminal server calls it
    #[arg(
        long,
        value_name = "NAME",
        required_unless_present = "config",
        help_heading = "Identity"
    )]
    pub line: Option<Name>,
    /// File with the group's key, readable by its owner only, or credential:NAME of the systemd unit;
    /// make one with: openssl rand -hex 32
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "config",
        help_heading = "Identity"
    )]
    pub key_file: Option<PathBuf>,

    /// Multicast group and port of heartbeats and beacons, IPv4 or IPv6; the same on all nodes and
    /// the terminal server, and best one of 239.255.0.0/16 or ff08::/16
    #[arg(long, value_name = "ADDR:PORT", required_unless_present_any = ["config", "peer"],
          value_parser = values::multicast, help_heading = "Network")]
    pub multicast: Option<SocketAddr>,
    /// Address of this host on the network of heartbeats, or the interface there, as eth0;
    /// 127.0.0.1 for all on one host
    #[arg(long, value_name = "ADDR|NAME", required_unless_present = "config",
          value_parser = values::interface, help_heading = "Network")]
    pub interface: Option<InterfaceName>,
    /// Where the terminal server listens for nodes
    #[arg(long, value_name = "HOST:PORT", required_unless_present = "config",
          value_parser = values::host_port, help_heading = "Network")]
    pub terminal_server: Option<String>,
    /// Receive heartbeats here that are sent to this node alone
    #[arg(long, value_name = "ADDR:PORT", value_parser = values::listen,
          help_heading = "Network")]
    pub listen: Option<SocketAddr>,
    /// Send heartbeats to the node that listens here, besides or without multicast; once for each
    #[arg(long, value_name = "ADDR:PORT", requires = "listen", value_parser = values::peer,
          help_heading = "Network")]
    pub peer: Vec<SocketAddr>,
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
    /// What this node is to its group; an observer needs no COMMAND
    #[arg(long, value_enum, default_value_t, help_heading = "Behaviour")]
    pub member: Member,
    /// Give the line to a node of higher priority that was ready for so long [default: never]
    #[arg(long, value_name = "TIME", value_parser = values::preempt_after,
          help_heading = "Behaviour")]
    pub preempt_after: Option<Duration>,
    /// Give the line to another node when COMMAND leaves input unacknowledged for so long
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = values::stall,
          help_heading = "Behaviour")]
    pub stall: Duration,
    /// Give the line to another node when COMMAND has ended more often than this in a minute
    #[arg(long, value_name = "COUNT", default_value_t = 5, value_parser = values::restarts,
          help_heading = "Behaviour")]
    pub restarts: usize,
    /// Run this program every 5 s on the coordinator; three failures in a row make it unfit to serve
    #[arg(long, value_name = "PROGRAM", help_heading = "Behaviour")]
    pub check: Option<OsString>,
    /// Run this program after the grant and before COMMAND; if it fails the line is given back
    #[arg(long, value_name = "PROGRAM", help_heading = "Behaviour")]
    pub before_serve: Option<OsString>,
    /// Run this program when the line is given up and COMMAND is gone
    #[arg(long, value_name = "PROGRAM", help_heading = "Behaviour")]
    pub after_stop: Option<OsString>,

    /// How COMMAND takes part
    #[arg(long, value_enum, default_value_t, help_heading = "Payload")]
    pub payload_mode: PayloadMode,
    /// Instead of COMMAND, open a door for other programs on whichever node is coordinator:
    /// tcp:ADDR:PORT, unix:PATH, or pty:PATH for one that expects a serial port
    #[arg(long, value_name = "DOOR", value_parser = values::door,
          conflicts_with_all = ["payload", "payload_mode"], help_heading = "Payload")]
    pub bridge: Option<Door>,
    /// Instead of COMMAND, be the gateway of a billing line that speaks this dialect: cable, cdr,
    /// fias or hx
    #[arg(long, value_name = "DIALECT", requires = "store", help_heading = "Payload",
          conflicts_with_all = ["payload", "payload_mode", "bridge"])]
    pub billing: Option<String>,
    /// Keep records and charges in this SQLite file, on a disk of this host
    #[arg(long, value_name = "FILE", requires = "billing", help_heading = "Payload")]
    pub store: Option<PathBuf>,
    /// All nodes of the group use this very store: they are on one host
    #[arg(long, requires = "billing", help_heading = "Payload")]
    pub shared: bool,
    /// What happens with records once they are durable: store (nothing more), stdout (JSON lines
    /// there), or a program by its path that reads JSON lines and answers each [default: store]
    #[arg(long, value_name = "WHAT", requires = "billing", value_parser = values::handler,
          help_heading = "Payload")]
    pub handler: Option<HandlerOptions>,
    /// How long records and charges that are done with are kept [default: 90d]
    #[arg(long, value_name = "TIME", requires = "billing", value_parser = values::retain,
          help_heading = "Payload")]
    pub retain: Option<Duration>,
    /// A setting of the dialect, as check=none; once for each. See docs, or give a wrong one
    #[arg(long, value_name = "KEY=VALUE", requires = "billing", value_parser = values::setting,
          help_heading = "Payload")]
    pub setting: Vec<(String, String)>,

    /// Answer `failover-node status` and the like on this Unix socket [default:
    /// /run/linekeeper/failover-node.status, if that directory is there]
    #[arg(long, value_name = "PATH", env = STATUS_VARIABLE, help_heading = "Daemon")]
    pub status: Option<PathBuf>,
    /// Write each change of the role to this file: JSON lines, synced
    #[arg(long, value_name = "FILE", help_heading = "Daemon")]
    pub events: Option<PathBuf>,
    /// Form of the log on standard error: text or json [default: text]
    #[arg(long, value_name = "FORMAT", help_heading = "Daemon")]
    pub log_format: Option<LogFormat>,
    /// What to log, as info or warn,failover_node=debug [default: RUST_LOG, else info]
    #[arg(long, value_name = "FILTER", help_heading = "Daemon")]
    pub log: Option<String>,

    /// What the coordinator runs, after `--`
    #[arg(last = true, value_name = "COMMAND")]
    pub payload: Vec<OsString>,
}

/// How a payload takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum PayloadMode {
    /// Frames of the line protocol on standard input and output.
    #[default]
    Framed,
    /// The line's bytes on standard input and output.
    Stream,
    /// The same, on a terminal.
    Pty,
}

/// What a node is to its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Member {
    /// It may become coordinator.
    #[default]
    Full,
    /// It stands ready and never leads.
    NeverCoordinator,
    /// It only hears and shows.
    Observer,
}

impl RunArgs {
    /// What the node is to be: what the file says, or these arguments. Reads file and keys.
    ///
    /// # Errors
    /// What does not fit together, or a file that is not to be used.
    pub fn config(&self) -> Result<Config, Failure> {
        let mut config = match &self.config {
            Some(file) => Config::read(file, self.node.as_ref())?,
            None => Config::of_flags(self.options()?),
        };
        if let Some(status) = &self.status {
            config.options.status = Some(status.clone());
        }
        // Who asks the node for its journal stands in another directory.
        let events = config.options.events.take();
        config.options.events = events.map(|path| std::path::absolute(&path).unwrap_or(path));
        config.log = self.log.clone().or(config.log);
        config.log_format = self.log_format.or(config.log_format);
        Ok(config)
    }

    fn options(&self) -> Result<Options, Failure> {
        let node = match &self.node {
            Some(node) => node.clone(),
            None => host_name("--node")?,
        };
        let hook = |program: &Option<OsString>| {
            let hook =
                |p: &OsString| Hook { command: vec![p.clone()], timeout: commands::HOOK_TIMEOUT };
            program.iter().map(hook).collect()
        };
        let check = self.check.as_ref().map(|program| commands::usual_check(vec![program.clone()]));
        Ok(Options {
            group: given(&self.group, "--group")?,
            node,
            keys: read_key(&given(&self.key_file, "--key-file")?)?.into(),
            networks: vec![Network {
                interface: given(&self.interface, "--interface")?,
                multicast: self.multicast,
                listen: self.listen,
                peers: self.peer.clone(),
                routed: self.routed,
            }],
            lines: vec![LineOptions {
                line: given(&self.line, "--line")?,
                terminal_server: given(&self.terminal_server, "--terminal-server")?,
                payload: self.payload()?,
            }],
            profile: self.profile,
            behaviour: Behaviour {
                priority: self.priority,
                membership: self.member.into(),
                preempt_after: self.preempt_after,
                stall: self.stall,
                restarts: self.restarts,
            },
            maintenance: None,
            check,
            hooks: Hooks {
                before_serve: hook(&self.before_serve),
                after_serve: Vec::new(),
                after_stop: hook(&self.after_stop),
            },
            events: self.events.clone(),
            status: values::usual_socket(),
            own_process: true,
        })
    }

    fn payload(&self) -> Result<Option<PayloadOptions>, Failure> {
        if let Some(door) = &self.bridge {
            let bridge = Bridge { door: door.clone(), stream: Stream::default() };
            return Ok(Some(PayloadOptions::Bridge(bridge)));
        }
        if let Some(dialect) = &self.billing {
            return self.gateway(dialect).map(Some);
        }
        let Some(program) = self.payload.first() else {
            let observes = self.member == Member::Observer;
            return if observes {
                Ok(None)
            } else {
                Err(missing("-- COMMAND, or --bridge or --billing,"))
            };
        };
        let mut exec = Exec::new(program.clone(), self.payload[1..].to_vec());
        exec.mode = match self.payload_mode {
            PayloadMode::Framed => ExecMode::Framed,
            PayloadMode::Stream => ExecMode::Stream(Stream::default()),
            PayloadMode::Pty => ExecMode::Pty(Stream::default()),
        };
        Ok(Some(PayloadOptions::Exec(exec)))
    }
}

impl RunArgs {
    fn gateway(&self, dialect: &str) -> Result<PayloadOptions, Failure> {
        Dialect::named(dialect, &self.setting)
            .map_err(|error| format!("--billing: {error}"))
            .or_exit(Exit::Usage)?;
        let store = given(&self.store, "--store")?;
        let job = Job {
            dialect: dialect.to_owned(),
            settings: self.setting.clone(),
            // The gateway's process may stand elsewhere.
            store: std::path::absolute(&store).unwrap_or(store),
            shared: self.shared,
            handler: self.handler.clone().unwrap_or_default(),
            retain: self.retain.unwrap_or(USUAL_RETAIN),
        };
        Ok(PayloadOptions::Billing(Billing::new(job)))
    }
}

impl From<Member> for Membership {
    fn from(member: Member) -> Self {
        match member {
            Member::Full => Self::Full,
            Member::NeverCoordinator => Self::NeverCoordinator,
            Member::Observer => Self::Observer,
        }
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

/// The flags of a node without a file.
const ONE_LINE: [&str; 28] = [
    "group",
    "line",
    "key_file",
    "multicast",
    "interface",
    "terminal_server",
    "listen",
    "peer",
    "routed",
    "profile",
    "priority",
    "member",
    "preempt_after",
    "stall",
    "restarts",
    "check",
    "before_serve",
    "after_stop",
    "payload_mode",
    "bridge",
    "billing",
    "store",
    "shared",
    "handler",
    "retain",
    "setting",
    "events",
    "payload",
];
