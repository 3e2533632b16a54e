//! `terminal-server clients` and `terminal-server kick`: who is connected to a line, and closing
//! them.

use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use daemon::program::print;
use daemon::{Exit, Failure, OrExit};
use serde::Serialize;
use serde_json::{Value, json};

use crate::driver::question::{ClientReport, Kick};
use crate::driver::requests::{ClientsReport, KickRequest};
use crate::program::PROGRAM;

/// Lists who is connected to a line.
///
/// One row for each client: its number, which `kick` takes; how it speaks; whether it holds the line
/// or only observes; how long it has been there; the bytes it sent for the line and was sent from
/// it; and its lag, the kept bytes that it was not sent yet.
#[derive(Debug, Args)]
#[command(after_help = CLIENTS_HELP)]
pub struct ClientsArgs {
    /// The line; may be left out if there is only one
    pub line: Option<String>,
    /// The socket that the terminal server was started with
    #[arg(long, value_name = "PATH")]
    pub status: PathBuf,
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

/// Closes clients of a line: its holder, unless told otherwise.
///
/// Whoever is closed may connect again. A holder that spoke the line protocol is told that its
/// grant has ended; the line is free then, and nothing of its unacknowledged input is lost.
#[derive(Debug, Args)]
#[command(after_help = KICK_HELP, group = ArgGroup::new("whom").args(["client", "observers"]))]
pub struct KickArgs {
    /// The line; may be left out if there is only one
    pub line: Option<String>,
    /// Close the client of this number, as `terminal-server clients` shows it
    #[arg(long, value_name = "N")]
    pub client: Option<u64>,
    /// Close all that only observe
    #[arg(long)]
    pub observers: bool,
    /// The socket that the terminal server was started with
    #[arg(long, value_name = "PATH")]
    pub status: PathBuf,
}

/// Prints who is connected.
///
/// # Errors
/// The terminal server does not answer, or has no such line.
pub fn clients(args: &ClientsArgs) -> Result<(), Failure> {
    let request = json!({ "command": "clients", "line": args.line });
    let answer = ask(&args.status, &request)?;
    if args.json {
        return print(&format!("{answer:#}\n"));
    }
    let report: ClientsReport = serde_json::from_value(answer).or_exit(Exit::Protocol)?;
    print(&render(&report))
}

/// Closes clients and says which.
///
/// # Errors
/// The terminal server does not answer, has no such line, or nobody fitted.
pub fn kick(args: &KickArgs) -> Result<(), Failure> {
    let who = match args.client {
        Some(id) => Kick::Client(id),
        None if args.observers => Kick::Observers,
        None => Kick::Holder,
    };
    let request = KickRequest { command: "kick".to_owned(), line: args.line.clone(), who };
    let answer = ask(&args.status, &request)?;
    let report: ClientsReport = serde_json::from_value(answer).or_exit(Exit::Protocol)?;
    if report.clients.is_empty() {
        return Err(Failure::new(Exit::Negative, nobody(&report.line, who)));
    }
    print(&closed(&report))
}

/// The clients as a table, each line ended.
pub fn render(report: &ClientsReport) -> String {
    let ClientsReport { line, clients } = report;
    if clients.is_empty() {
        return format!("nobody is connected to {line}\n");
    }
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(["CLIENT", "FROM", "NAME", "KIND", "ROLE", "FOR", "IN", "OUT", "LAG"]);
    for client in clients {
        table.add_row([
            client.id.to_string(),
            client.address.clone(),
            client.name.clone().unwrap_or_else(|| "-".to_owned()),
            client.kind.clone(),
            client.role.clone(),
            age(client.connected_ms),
            client.bytes_in.to_string(),
            client.bytes_out.to_string(),
            client.lag.to_string(),
        ]);
    }
    table.trim_fmt() + "\n"
}

/// What `kick` says of those it closed, each line ended.
pub fn closed(report: &ClientsReport) -> String {
    let one = |client: &ClientReport| {
        let ClientReport { id, address, kind, role, .. } = client;
        format!("{}: closed client {id}, {role}, {kind} from {address}\n", report.line)
    };
    report.clients.iter().map(one).collect()
}

fn nobody(line: &str, who: Kick) -> String {
    match who {
        Kick::Holder => format!("{line}: nobody holds it"),
        Kick::Client(id) => {
            format!("{line}: there is no client {id}; see: terminal-server clients {line}")
        }
        Kick::Observers => format!("{line}: nobody observes it"),
    }
}

/// In the two largest units that say something.
pub(crate) fn age(ms: u64) -> String {
    let seconds = ms / 1000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {:02}s", seconds % 60),
        (0, ..) => format!("{hours}h {:02}m", minutes % 60),
        _ => format!("{days}d {:02}h", hours % 24),
    }
}

fn ask(status: &Path, request: &impl Serialize) -> Result<Value, Failure> {
    daemon::status::request(status, PROGRAM, request)
        .map_err(|error| Failure::new((&error).into(), error.to_string()))
}

const CLIENTS_HELP: &str = "\
Examples:
  terminal-server clients pms --status /run/linekeeper/terminal-server.status
  terminal-server clients pms --status /run/linekeeper/terminal-server.status --json

Exit status: 0 done, 69 no terminal server answers, 75 it has no such line or does not answer, 77
not permitted.";

const KICK_HELP: &str = "\
Examples:
  Whoever holds the line:
      terminal-server kick pms --status /run/linekeeper/terminal-server.status
  One client, by its number:
      terminal-server kick pms --client 17 --status /run/linekeeper/terminal-server.status
  All that only observe:
      terminal-server kick pms --observers --status /run/linekeeper/terminal-server.status

A node of a group whose grant is ended this way waits its hold-down and asks again, so to move the
line to another node use a planned hand-over instead.

Exit status: 0 done, 1 there was nobody to close, 69 no terminal server answers, 75 it has no such
line or does not answer, 77 not permitted.";

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> ClientsReport {
        let client = ClientReport {
            id: 3,
            address: "192.0.2.7:50123".to_owned(),
            kind: "line".to_owned(),
            role: "holder".to_owned(),
            name: Some("alpha".to_owned()),
            connected_ms: 93_784_000,
            bytes_in: 2900,
            bytes_out: 5123,
            lag: 0,
        };
        let console = ClientReport {
            id: 11,
            address: "uid 1000 pid 4711".to_owned(),
            kind: "console".to_owned(),
            role: "observer".to_owned(),
            name: None,
            connected_ms: 61_000,
            bytes_in: 0,
            bytes_out: 512,
            lag: 64,
        };
        ClientsReport { line: "pms".to_owned(), clients: vec![client, console] }
    }

    #[test]
    fn a_table_has_one_row_for_each_client() {
        let expected = "\
 CLIENT  FROM               NAME   KIND     ROLE      FOR      IN    OUT   LAG
 3       192.0.2.7:50123    alpha  line     holder    1d 02h   2900  5123  0
 11      uid 1000 pid 4711  -      console  observer  1m 01s   0     512   64
";
        assert_eq!(squeezed(&render(&report())), squeezed(expected));
        let nobody = ClientsReport { clients: Vec::new(), ..report() };
        assert_eq!(render(&nobody), "nobody is connected to pms\n");
    }

    fn squeezed(text: &str) -> Vec<Vec<&str>> {
        text.lines().map(|line| line.split_whitespace().collect()).collect()
    }

    #[test]
    fn those_that_were_closed_are_named() {
        let expected = "\
pms: closed client 3, holder, line from 192.0.2.7:50123
pms: closed client 11, observer, console from uid 1000 pid 4711
";
        assert_eq!(closed(&report()), expected);
        assert_eq!(
            nobody("pms", Kick::Client(9)),
            "pms: there is no client 9; see: terminal-server clients pms"
        );
    }

    #[test]
    fn ages_have_the_two_units_that_matter() {
        for (seconds, text) in
            [(0, "0s"), (59, "59s"), (60, "1m 00s"), (3599, "59m 59s"), (3600, "1h 00m")]
        {
            assert_eq!(age(seconds * 1000), text);
        }
        assert_eq!(age(90_061_000), "1d 01h");
    }
}
