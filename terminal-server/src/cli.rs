//! The command line.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use daemon::args::host_name;
use daemon::{Exit, Failure, LogFormat, OrExit, watch};
use sys::{DeviceName, DeviceNameError, InterfaceName, LineSettings, PtyAccess};
use wire::{Key, Name};

use crate::config::values;
use crate::console::attach::AttachArgs;
use crate::core::GroupKeys;
use crate::core::OnBusy;
use crate::core::config::FrameEnd;
use crate::driver::policies::Trace;
use crate::driver::{
    BeaconOptions, LineOptions, ListenOptions, Missing, Network, Options, Policies, PortOptions,
    Speech,
};
use crate::tools::clients::{ClientsArgs, KickArgs};
use crate::tools::pair::PairArgs;

/// Bridges a serial line to TCP and grants it to one client at a time.
///
/// The nodes of a group claim the line over the line protocol; the terminal server grants it under
/// an epoch and a lease, numbers every byte it reads, keeps it until the holder has acknowledged
/// it, and multicasts beacons that say who holds the line.
#[derive(Debug, Parser)]
#[command(
    name = "terminal-server",
    version,
    max_term_width = 100,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    override_usage = USAGE,
    after_help = EXIT_STATUS,
    after_long_help = EXAMPLES
)]
pub struct Cli {
    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// What to serve.
    #[command(flatten)]
    pub serve: ServeArgs,
}

/// What to do instead of serving.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show how a running terminal server stands
    Status(StatusArgs),
    /// Open a console on a line: look at it, or type to it
    Attach(AttachArgs),
    /// List who is connected to a line
    Clients(ClientsArgs),
    /// Close clients of a line: its holder, one, or all that observe
    Kick(KickArgs),
    /// Make a null-modem pair of pseudo terminals, linked as A and B
    Pair(PairArgs),
    /// Check a configuration file: prints a summary, or every error with its place
    CheckConfig {
        /// The file
        file: PathBuf,
    },
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

/// Arguments of `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// The socket that the terminal server was started with
    #[arg(long, value_name = "PATH")]
    pub status: PathBuf,
    /// Show this line only, in full
    #[arg(long, value_name = "NAME", conflicts_with = "watch")]
    pub line: Option<Name>,
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
    /// Show it again every so many seconds, in place on a terminal, until q or Ctrl-C
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "1",
          value_parser = watch::parse_interval)]
    pub watch: Option<Duration>,
}

/// What to serve.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("port").args(["serial", "virtual_link", "config", "list"]).required(true),
    group = ArgGroup::new("access")
        .args(["listen_line", "listen_raw", "listen_telnet", "config", "list"])
        .required(true)
        .multiple(true)
)]
pub struct ServeArgs {
    /// Take everything from this file, as for many lines; SIGHUP reads it again
    #[arg(long, value_name = "FILE", conflicts_with_all = ONE_LINE, help_heading = "Lines")]
    pub config: Option<PathBuf>,

    /// Serial device, with its settings unless they are 9600,8N1: /dev/ttyUSB0,115200,7E1,rtscts or
    /// usb:serial=A10KZP45,9600,8N1
    #[arg(long, value_name = "DEVICE[,SETTINGS]", help_heading = "Line")]
    pub serial: Option<SerialText>,
    /// Make a pseudo terminal and link its far end here; the settings give its pace
    #[arg(long = "virtual", value_name = "LINK[,SETTINGS]", help_heading = "Line")]
    pub virtual_link: Option<LinkText>,
    /// Name of the line [default: the file name of the device or link]
    #[arg(long, value_name = "NAME", help_heading = "Line")]
    pub line: Option<Name>,
    /// Keep output back so that at most 20 ms of it are out of hand; off for bulk transfers
    #[arg(long, value_enum, default_value_t, help_heading = "Line")]
    pub pace: Pace,
    /// What becomes of a record whose sender loses the line in the middle of it
    #[arg(long, value_enum, default_value_t, help_heading = "Line")]
    pub frame_end: FrameEndArg,
    /// Most input kept until it is acknowledged, in bytes or as 64KiB, 1MiB
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = values::ring,
          help_heading = "Line")]
    pub ring: usize,
    /// Keep input in the state directory as well, so that a kill -9 of this process loses none
    #[arg(long, requires = "state", help_heading = "Line")]
    pub spool: bool,
    /// Write the traffic down in this file: time, direction, hex and meaning; 10 MiB, three old ones
    #[arg(long, value_name = "FILE", help_heading = "Line")]
    pub trace: Option<PathBuf>,
    /// Do not start while the device is not there; without this it is waited for
    #[arg(long, help_heading = "Line")]
    pub require_device: bool,

    /// Listen here for nodes; always needs a key file, on loopback too
    #[arg(long, value_name = "ADDR:PORT", requires_all = ["key_file", "state"],
          help_heading = "Clients")]
    pub listen_line: Option<SocketAddr>,
    /// Listen here for plain bytes. Without a key file the first to connect has the line; with one
    /// these clients watch, since only nodes hold
    #[arg(long, value_name = "ADDR:PORT", help_heading = "Clients")]
    pub listen_raw: Option<SocketAddr>,
    /// Listen here for telnet clients, RFC 2217 included; otherwise like --listen-raw
    #[arg(long, value_name = "ADDR:PORT", help_heading = "Clients")]
    pub listen_telnet: Option<SocketAddr>,
    /// Let raw and telnet clients hold the line while no node claims it
    #[arg(long, requires = "key_file", help_heading = "Clients")]
    pub raw_may_hold: bool,
    /// Let only this network connect, as 10.0.0.0/8; may be given several times
    #[arg(long, value_name = "NETWORK", help_heading = "Clients")]
    pub allow: Vec<Network>,
    /// What happens to a raw or telnet client while another one has the line
    #[arg(long, value_enum, default_value_t, help_heading = "Clients")]
    pub on_busy: OnBusyArg,
    /// File with the group's key, readable by its owner only; make one with: openssl rand -hex 32.
    /// credential:NAME is what the systemd unit's LoadCredential=NAME:FILE names
    #[arg(long, value_name = "FILE", requires = "listen_line", help_heading = "Clients")]
    pub key_file: Option<PathBuf>,
    /// Group whose nodes may claim the line
    #[arg(long, value_name = "NAME", default_value = "linekeeper", help_heading = "Clients")]
    pub group: Name,
    /// Longest lease that is granted
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = values::lease,
          help_heading = "Clients")]
    pub lease_max: Duration,

    /// Send beacons to this multicast group or host; may be given several times
    #[arg(long, value_name = "ADDR:PORT", requires = "key_file", help_heading = "Beacons")]
    pub beacon: Vec<SocketAddr>,
    /// Interface that multicast beacons leave by, by name or address; may be given several times
    /// [default: the system's choice]
    #[arg(long, value_name = "NAME|ADDR", help_heading = "Beacons")]
    pub interface: Vec<InterfaceName>,
    /// Longest time between two beacons; a change is told at once
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = values::interval,
          help_heading = "Beacons")]
    pub beacon_interval: Duration,

    /// Directory that keeps the start number and, over a restart, what nobody has acknowledged
    #[arg(long, value_name = "DIR", help_heading = "Daemon")]
    pub state: Option<PathBuf>,
    /// Begin with a new state if DIR has none; without this, a missing state is an error
    #[arg(long, help_heading = "Daemon")]
    pub new_state: bool,
    /// Name of this terminal server [default: the host's name]
    #[arg(long, value_name = "NAME", help_heading = "Daemon")]
    pub name: Option<Name>,
    /// Answer `terminal-server status` on this Unix socket
    #[arg(long, value_name = "PATH", help_heading = "Daemon")]
    pub status: Option<PathBuf>,
    /// Form of the log on standard error: text or json [default: text]
    #[arg(long, value_name = "FORMAT", help_heading = "Daemon")]
    pub log_format: Option<LogFormat>,
    /// What to log, as info or warn,terminal_server=debug [default: RUST_LOG, else info]
    #[arg(long, value_name = "FILTER", help_heading = "Daemon")]
    pub log: Option<String>,

    /// List this machine's serial ports and end
    #[arg(long, help_heading = "Other")]
    pub list: bool,
    /// With --list: print JSON instead of a table
    #[arg(long, requires = "list", help_heading = "Other")]
    pub json: bool,
}

/// A device and its line's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SerialText {
    /// The device.
    pub name: DeviceName,
    /// The settings, given or usual.
    pub settings: LineSettings,
}

/// A link and its line's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkText {
    /// The link.
    pub link: PathBuf,
    /// The settings, given or usual.
    pub settings: LineSettings,
}

/// Whether output is kept back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Pace {
    /// It is.
    #[default]
    On,
    /// The device takes what it can.
    Off,
}

/// What becomes of a started record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum FrameEndArg {
    /// It is finished, then the next holder's output follows
    #[default]
    Finish,
    /// It ends where it is; the next holder is told after how many bytes
    Cut,
}

/// What happens to a client that finds the line taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum OnBusyArg {
    /// Its connection is closed
    #[default]
    Refuse,
    /// It gets the line, and the other one's connection is closed
    Replace,
    /// It sees the input and may write nothing
    Observe,
}

impl FromStr for SerialText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, settings) = split_settings(text)?;
        let name = name.parse().map_err(|error: DeviceNameError| error.to_string())?;
        Ok(Self { name, settings })
    }
}

impl FromStr for LinkText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (link, settings) = split_settings(text)?;
        Ok(Self { link: link.into(), settings })
    }
}

/// A name, and the settings behind it or the usual ones.
fn split_settings(text: &str) -> Result<(&str, LineSettings), String> {
    let begins_settings = |(at, _): &(usize, &str)| {
        // The parts of a USB name are separated by commas, too; none of them is a bare number.
        let next = text[at + 1..].split(',').next().unwrap_or_default();
        !text.starts_with("usb:") || next.bytes().all(|byte| byte.is_ascii_digit())
    };
    let (name, settings) = match text.match_indices(',').find(begins_settings) {
        Some((at, _)) => {
            let parsed = text[at + 1..].parse::<LineSettings>();
            (&text[..at], parsed.map_err(|error| error.to_string())?)
        }
        None => (text, LineSettings::new(USUAL_BAUD)),
    };
    if name.is_empty() {
        return Err("there is no file name before the settings".to_owned());
    }
    Ok((name, settings))
}

impl ServeArgs {
    /// The options these arguments ask for, of one line; reads the key file.
    ///
    /// # Errors
    /// What does not fit together, or a key file that is not to be used.
    pub fn options(&self) -> Result<Options, Failure> {
        let port = match (&self.serial, &self.virtual_link) {
            (Some(SerialText { name, settings }), None) => {
                PortOptions::Tty { name: name.clone(), settings: *settings }
            }
            (None, Some(LinkText { link, settings })) => {
                let (link, access) = (link.clone(), PtyAccess::default());
                PortOptions::Virtual { link, settings: *settings, access }
            }
            _ => return Err(Failure::new(Exit::Usage, "give --serial or --virtual, and only one")),
        };
        if self.new_state && self.state.is_none() {
            return Err(Failure::new(Exit::Usage, "--new-state needs --state DIR"));
        }
        let name = match &self.line {
            Some(line) => line.clone(),
            None => line_of(&port)?,
        };
        let server = match &self.name {
            Some(name) => name.clone(),
            None => host_name("--name")?,
        };
        let mut line = LineOptions::new(name, port);
        line.groups = self.groups()?;
        line.listeners = self.listeners();
        line.policies = self.policies();
        let missing = if self.require_device { Missing::Fail } else { Missing::WaitForAbsent };
        Ok(Options {
            state: self.state.clone(),
            new_state: self.new_state,
            beacons: self.beacons()?,
            status: self.status.clone(),
            missing,
            ..Options::new(server, vec![line])
        })
    }

    fn policies(&self) -> Policies {
        Policies {
            lease_max: self.lease_max,
            ring: self.ring,
            pace: self.pace == Pace::On,
            frame_end: match self.frame_end {
                FrameEndArg::Finish => FrameEnd::Finish,
                FrameEndArg::Cut => FrameEnd::Cut,
            },
            on_busy: match self.on_busy {
                OnBusyArg::Refuse => OnBusy::Refuse,
                OnBusyArg::Replace => OnBusy::Replace,
                OnBusyArg::Observe => OnBusy::Observe,
            },
            raw_may_hold: self.raw_may_hold,
            spool: self.spool,
            trace: self.trace.clone().map(Trace::new),
            ..Policies::default()
        }
    }

    fn listeners(&self) -> Vec<ListenOptions> {
        let all = [
            (Speech::Line, self.listen_line),
            (Speech::Raw, self.listen_raw),
            (Speech::Telnet, self.listen_telnet),
        ];
        let allow = &self.allow;
        let listen = |(speech, address): (_, Option<_>)| {
            Some(ListenOptions { speech, address: address?, allow: allow.clone() })
        };
        all.into_iter().filter_map(listen).collect()
    }

    fn groups(&self) -> Result<Vec<GroupKeys>, Failure> {
        let Some(key_file) = &self.key_file else { return Ok(Vec::new()) };
        let content = daemon::secrets::read(key_file)
            .map_err(|error| Failure::new((&error).into(), format!("--key-file: {error}")))?;
        let key = Key::from_file_content(0, &content).map_err(|error| {
            Failure::new(Exit::Usage, format!("--key-file: {}: {error}", key_file.display()))
        })?;
        Ok(vec![GroupKeys { group: self.group.clone(), keys: key.into() }])
    }

    fn beacons(&self) -> Result<BeaconOptions, Failure> {
        for target in &self.beacon {
            if target.port() == 0 || target.ip().is_unspecified() {
                let message = format!("--beacon: {target} is nobody's address");
                return Err(Failure::new(Exit::Usage, message));
            }
        }
        let interval = self.beacon_interval;
        let (targets, interfaces) = (self.beacon.clone(), self.interface.clone());
        Ok(BeaconOptions { targets, interfaces, interval })
    }

    /// A warning for what is allowed and unwise.
    pub fn warning(&self) -> Option<String> {
        let open = [("--listen-raw", self.listen_raw), ("--listen-telnet", self.listen_telnet)];
        let open = open.into_iter().filter_map(|(flag, address)| Some((flag, address?)));
        let mut open = open.filter(|(_, address)| !address.ip().is_loopback());
        let (flag, address) = open.next().filter(|_| self.allow.is_empty())?;
        let can = if self.key_file.is_none() || self.raw_may_hold { "take" } else { "watch" };
        Some(format!("{flag} {address}: anybody who reaches this address can {can} the line"))
    }
}

/// A line's name from its file's, or from its adapter's.
fn line_of(port: &PortOptions) -> Result<Name, Failure> {
    let device = port.name();
    let name = match port {
        PortOptions::Tty { name: DeviceName::Usb(_), .. } => device.as_str(),
        _ => Path::new(&device).file_name().and_then(OsStr::to_str).unwrap_or_default(),
    };
    let cure = || format!("{device} makes no line name; pass --line");
    tidy(name).parse::<Name>().map_err(|_| cure()).or_exit(Exit::Usage)
}

/// As much of `text` as fits a name, what does not belong there replaced.
fn tidy(text: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let text: String = text.chars().map(fits).take(wire::name::MAX_NAME).collect();
    text.trim_start_matches(['.', '-']).to_owned()
}

const USUAL_BAUD: u32 = 9600;

/// The flags of one line, which a file has for each.
const ONE_LINE: [&str; 25] = [
    "spool",
    "trace",
    "raw_may_hold",
    "serial",
    "virtual_link",
    "line",
    "pace",
    "frame_end",
    "ring",
    "require_device",
    "listen_line",
    "listen_raw",
    "listen_telnet",
    "allow",
    "on_busy",
    "key_file",
    "group",
    "lease_max",
    "beacon",
    "interface",
    "beacon_interval",
    "state",
    "name",
    "status",
    "list",
];

const USAGE: &str = "\
terminal-server --serial DEVICE --listen-line ADDR:PORT --key-file FILE --state DIR [OPTIONS]
       terminal-server --virtual LINK --listen-line ADDR:PORT --key-file FILE --state DIR [OPTIONS]
       terminal-server --serial DEVICE --listen-raw ADDR:PORT [OPTIONS]
       terminal-server --config FILE [--new-state]
       terminal-server --list [--json]
       terminal-server check-config FILE
       terminal-server status --status PATH [--line NAME] [--json] [--watch [SECONDS]]
       terminal-server attach|clients|kick [LINE] --status PATH [OPTIONS]
       terminal-server pair A B [OPTIONS]";

const EXIT_STATUS: &str = "\
Exit status: 0 stopped in order, 64 wrong usage (as a missing state without --new-state), 66 key or
state file unreadable, 69 device, address or state in use or not there, 71 the system refused, 73 a
link or socket cannot be made, 74 the state cannot be written, 75 stopped by a second signal before
all was in order, 77 not permitted (as a key file that others may read).";

const EXAMPLES: &str = "\
Examples:
  Which serial ports are there:
      terminal-server --list

  Serve a USB adapter to the nodes of a group; --new-state for the first start only:
      terminal-server --serial /dev/ttyUSB0,9600,8N1 --listen-line 0.0.0.0:4101 \\
          --key-file /etc/linekeeper/key --beacon 239.255.77.1:4100 \\
          --state /var/lib/linekeeper --new-state

  A virtual line on this machine, without hardware:
      terminal-server --virtual /tmp/pms,9600,8N1 --listen-line 127.0.0.1:4101 \\
          --key-file key --beacon 239.255.77.1:4100 --interface 127.0.0.1 \\
          --state state --new-state

  A bench line for any TCP client, and a look at it:
      terminal-server --serial /dev/ttyUSB0,115200,8N1 --listen-raw 127.0.0.1:4001 \\
          --status /tmp/bench.status
      terminal-server status --status /tmp/bench.status

  Hundreds of lines; docs/terminal-server.toml explains every key:
      terminal-server check-config /etc/linekeeper/terminal-server.toml
      terminal-server --config /etc/linekeeper/terminal-server.toml

SIGHUP reads the file again and applies what differs: lines that are new, gone or changed; all
others and their clients notice nothing. A file with an error changes nothing.

A device that is not there is waited for, and the status says why; with --require-device, the start
fails. From a file, a line whose device cannot be used keeps no other from running.

SIGTERM finishes the record being written and leaves unacknowledged input to the next start, which
prefers the last holder: nothing is lost. After kill -9 the input goes on under a new name, with a
reported gap.

Exit status: 0 stopped in order, 64 wrong usage (as a missing state without --new-state), 66 key or
state file unreadable, 69 device, address or state in use or not there, 71 the system refused, 73 a
link or socket cannot be made, 74 the state cannot be written, 75 stopped by a second signal before
all was in order, 77 not permitted (as a key file that others may read).";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_told_from_the_parts_of_a_usb_name() {
        for (text, name, settings) in [
            ("/dev/ttyUSB0", "/dev/ttyUSB0", "9600,8N1"),
            ("/dev/ttyUSB0,115200,7E1,rtscts", "/dev/ttyUSB0", "115200,7E1,rtscts"),
            ("usb:serial=A10KZP45", "usb:serial=A10KZP45", "9600,8N1"),
            ("usb:serial=A10KZP45,19200,8N1", "usb:serial=A10KZP45", "19200,8N1"),
            ("usb:serial=0001,path=1-1.2,300,7O2", "usb:serial=0001,path=1-1.2", "300,7O2"),
            (
                "usb:0403:6001@1-1,if=1,9600,8N1,xonxoff",
                "usb:0403:6001,path=1-1,if=1",
                "9600,8N1,xonxoff",
            ),
            ("usb:0403:6001,port=1", "usb:0403:6001,port=1", "9600,8N1"),
        ] {
            let read: SerialText = text.parse().unwrap();
            assert_eq!(
                (read.name.to_string(), read.settings),
                (name.to_owned(), settings.parse().unwrap())
            );
        }
        for (text, part) in [
            ("usb:serial=A,9600,9N1", "data bits"),
            ("usb:9600,8N1", "`9600` in `usb:9600,8N1`"),
            ("usb:fi=1,9600,8N1", "`fi=1`"),
            ("/dev/ttyUSB0,if=1", "if=1"),
            (",9600,8N1", "no file name"),
        ] {
            let error = text.parse::<SerialText>().unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn a_line_has_its_devices_name_unless_it_is_given_one() {
        let named = |name: &str| {
            let settings = LineSettings::new(USUAL_BAUD);
            line_of(&PortOptions::Tty { name: name.parse().unwrap(), settings })
        };
        assert_eq!(named("/dev/ttyUSB0").unwrap().as_str(), "ttyUSB0");
        assert_eq!(named("usb:serial=A10KZP45").unwrap().as_str(), "usb-serial-A10KZP45");
        assert_eq!(named("usb:0403:6001@1-1.2").unwrap().as_str(), "usb-0403-6001-path-1-1.2");
        assert!(named("/").is_err());
    }
}
