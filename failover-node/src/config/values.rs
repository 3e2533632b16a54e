//! What the texts in a configuration mean. The command line's are the same.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use daemon::args::parse_time_within;
use sys::InterfaceName;

use crate::billing::options::HandlerOptions;
use crate::component::Door;

/// A payload must have a chance to acknowledge what it was just given.
const SHORTEST_STALL: Duration = Duration::from_millis(100);
/// The shortest proof that a newcomer stays.
const SHORTEST_PREEMPT: Duration = Duration::from_secs(1);
/// The longest rest that makes a record.
const LONGEST_GAP: Duration = Duration::from_secs(10);
/// A command that has not ended by then never will.
const LONGEST_RUN: Duration = Duration::from_secs(600);
const HOUR: Duration = Duration::from_secs(3600);
/// A maintenance that is longer is a node taken out of its group.
const LONGEST_MAINTENANCE: Duration = Duration::from_secs(30 * 24 * 3600);
/// Each restart costs a grant; beyond one a second it is no restart any more.
pub const MOST_RESTARTS: usize = 60;
/// The kernel's `IFNAMSIZ`, less the end.
const LONGEST_INTERFACE: usize = 15;

/// Where a node answers usually.
pub const USUAL_SOCKET: &str = "/run/linekeeper/failover-node.status";

/// Where a service's socket is usually; a node started by hand elsewhere goes without.
pub fn usual_socket() -> Option<PathBuf> {
    let path = Path::new(USUAL_SOCKET);
    path.parent().is_some_and(Path::is_dir).then(|| path.to_owned())
}

/// For how long input may stay unacknowledged, as `30s`.
///
/// # Errors
/// What to give instead.
pub fn stall(text: &str) -> Result<Duration, String> {
    parse_time_within(text, SHORTEST_STALL, HOUR)
}

/// How long a newcomer must have been stable, as `1m`.
///
/// # Errors
/// What to give instead.
pub fn preempt_after(text: &str) -> Result<Duration, String> {
    parse_time_within(text, SHORTEST_PREEMPT, HOUR * 24)
}

/// How long rows that are done with are kept, as `90d`.
///
/// # Errors
/// What to give instead.
pub fn retain(text: &str) -> Result<Duration, String> {
    parse_time_within(text, HOUR, HOUR * 24 * 1000)
}

/// A file of the node's own, by its whole path: the node has no directory of its own.
///
/// # Errors
/// What to give instead.
pub fn file(text: &str) -> Result<PathBuf, String> {
    let path = Path::new(text);
    let fine = path.is_absolute() && path.file_name().is_some();
    fine.then(|| path.to_owned()).ok_or_else(|| "give a file by its whole path, from /".to_owned())
}

/// A setting of a dialect, as `check=none`.
///
/// # Errors
/// What to give instead.
pub fn setting(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
    let pair = pair.map(|(key, value)| (key.to_owned(), value.to_owned()));
    pair.ok_or_else(|| "give KEY=VALUE, as check=none".to_owned())
}

/// What happens with records: `store`, `stdout`, or a program.
///
/// # Errors
/// What to give instead.
pub fn handler(text: &str) -> Result<HandlerOptions, String> {
    match text {
        "store" => Ok(HandlerOptions::Store),
        "stdout" => Ok(HandlerOptions::Stdout),
        program if program.contains('/') => Ok(HandlerOptions::Exec(vec![program.to_owned()])),
        _ => Err("give store, stdout, or a program by its path".to_owned()),
    }
}

/// The rest that ends a record, as `2ms`; `0s`: each read is one.
///
/// # Errors
/// What to give instead.
pub fn gap(text: &str) -> Result<Duration, String> {
    parse_time_within(text, Duration::ZERO, LONGEST_GAP)
}

/// How long a command may run, as `10s`.
///
/// # Errors
/// What to give instead.
pub fn run_time(text: &str) -> Result<Duration, String> {
    parse_time_within(text, Duration::from_millis(100), LONGEST_RUN)
}

/// The time between two checks, as `5s`.
///
/// # Errors
/// What to give instead.
pub fn interval(text: &str) -> Result<Duration, String> {
    parse_time_within(text, Duration::from_millis(100), HOUR)
}

/// For how long a node is in maintenance, as `1h`.
///
/// # Errors
/// What to give instead.
pub fn maintenance(text: &str) -> Result<Duration, String> {
    parse_time_within(text, Duration::from_secs(1), LONGEST_MAINTENANCE)
}

/// Restarts that are forgiven in a minute.
///
/// # Errors
/// What to give instead.
pub fn restarts(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| *count <= MOST_RESTARTS);
    count.ok_or_else(|| format!("give a number from 0 to {MOST_RESTARTS}"))
}

/// A multicast group and its port, as `239.255.77.1:4100` or `[ff08::4c4b]:4100`.
///
/// # Errors
/// What to give instead.
pub fn multicast(text: &str) -> Result<SocketAddr, String> {
    match text.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_multicast() && address.port() != 0 => Ok(address),
        _ => Err("give a multicast group and a port, as 239.255.77.1:4100 or [ff08::4c4b]:4100"
            .to_owned()),
    }
}

/// An address and port of one host, as `10.0.0.12:4100`.
///
/// # Errors
/// What to give instead.
pub fn peer(text: &str) -> Result<SocketAddr, String> {
    match listen(text) {
        Ok(address) if !address.ip().is_unspecified() => Ok(address),
        _ => Err("give the address and port of a node, as 10.0.0.12:4100".to_owned()),
    }
}

/// An address and port of this host, as `10.0.0.11:4100`.
///
/// # Errors
/// What to give instead.
pub fn listen(text: &str) -> Result<SocketAddr, String> {
    match text.parse::<SocketAddr>() {
        Ok(address) if !address.ip().is_multicast() && address.port() != 0 => Ok(address),
        _ => Err("give an address of this host and a port, as 10.0.0.11:4100".to_owned()),
    }
}

/// An interface, by an address of this host or by its name.
///
/// # Errors
/// What to give instead.
pub fn interface(text: &str) -> Result<InterfaceName, String> {
    const HELP: &str = "give an address of this host, as 10.0.0.11, or an interface, as eth0";
    if let Ok(address) = text.parse::<IpAddr>() {
        let usable = !address.is_multicast() && !address.is_unspecified();
        return usable.then_some(InterfaceName::Address(address)).ok_or_else(|| HELP.to_owned());
    }
    let name = (1..=LONGEST_INTERFACE).contains(&text.len())
        && text != "."
        && text != ".."
        && text.chars().all(|c| c.is_ascii_graphic() && c != '/' && c != ':');
    if name { Ok(InterfaceName::Name(text.to_owned())) } else { Err(HELP.to_owned()) }
}

/// A host, by address or name, and a port, as `ts.example:4101`.
///
/// # Errors
/// What to give instead.
pub fn host_port(text: &str) -> Result<String, String> {
    let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    match port.and_then(|(_, port)| port.parse::<u16>().ok()) {
        Some(1..) => Ok(text.to_owned()),
        _ => Err("give a host and a port, as in terminal-server.example:4101".to_owned()),
    }
}

/// Where a bridge opens, as `tcp:127.0.0.1:4001`, `unix:PATH` or `pty:PATH`.
///
/// # Errors
/// What to give instead.
pub fn door(text: &str) -> Result<Door, String> {
    let help = || "give tcp:ADDR:PORT, unix:PATH or pty:PATH".to_owned();
    let (kind, rest) = text.split_once(':').ok_or_else(help)?;
    match kind {
        "tcp" => listen(rest).map(Door::Tcp).map_err(|error| format!("tcp: {error}")),
        "unix" if !rest.is_empty() => Ok(Door::Unix(rest.into())),
        "pty" if !rest.is_empty() => Ok(Door::Pty(rest.into())),
        _ => Err(help()),
    }
}

/// A door as [`door`] reads it.
pub fn door_text(door: &Door) -> String {
    match door {
        Door::Tcp(address) => format!("tcp:{address}"),
        Door::Unix(path) => format!("unix:{}", path.display()),
        Door::Pty(path) => format!("pty:{}", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doors_are_read_as_they_are_written() {
        for text in ["tcp:127.0.0.1:4001", "tcp:[::1]:4001", "unix:/run/x", "pty:/run/linekeeper/b"]
        {
            assert_eq!(door_text(&door(text).unwrap()), text);
        }
        for text in ["", "tcp", "tcp:4001", "tcp:ts:4001", "unix:", "serial:/dev/x"] {
            assert!(door(text).is_err(), "{text}");
        }
    }

    #[test]
    fn interfaces_have_an_address_or_a_name() {
        assert_eq!(interface("10.0.0.1"), Ok(InterfaceName::Address([10, 0, 0, 1].into())));
        assert_eq!(interface("eth0.5"), Ok(InterfaceName::Name("eth0.5".into())));
        for text in ["", "a/b", "..", "an-interface-too-long", "0.0.0.0", "10.0.0.1:1", "a b"] {
            assert!(interface(text).is_err(), "{text}");
        }
    }

    #[test]
    fn groups_are_multicast_and_peers_are_not() {
        for text in ["239.255.77.1:4100", "[ff08::4c4b]:4100"] {
            assert!(multicast(text).is_ok() && peer(text).is_err() && listen(text).is_err());
        }
        for text in ["10.0.0.1:4100", "239.255.77.1:0", "239.255.77.1", "[fe80::1]:4100"] {
            assert!(multicast(text).is_err(), "{text}");
        }
        assert!(peer("0.0.0.0:1").is_err() && listen("0.0.0.0:1").is_ok());
    }
}
