//! The commands about a billing payload's store.

use std::path::PathBuf;

use billing::Civil;
use billing::hx::number::Form;
use clap::Args;
use wire::Name;

use super::SocketArgs;

pub(super) const RECORDS_HELP: &str = "\
The inbox is what came from the line, the outbox what is to be posted there. Both are listed in the
order in which they came. The store may be in use meanwhile, and is not changed. Times of the table
and of --since and --until are those of this host's clock; JSON and CSV have UTC.

States of the inbox: new (waits for a handler), handled, kept (no handler sees it).
States of the outbox: new (not on the line yet), numbered (may be on the line), posted, refused,
elsewhere (another node sent it and has the answer), doubt (see `post --again`).

--follow shows what is added. What becomes of it is not shown again: ask for it by --key.

Exit status: 0 something was shown, 1 nothing is there, 64 wrong usage, no such line or no store, 66
no such file, or a damaged one, 69 no node answers, 77 not permitted.

Examples:
  What came and went lately:
      failover-node records

  Charges that the billing system does not have, and why:
      failover-node records --outbox --state refused

  All of November for the accountants:
      failover-node records --outbox --since 2026-11-01 --until 2026-12-01 --csv > november.csv

  Everything that comes, into a program:
      failover-node records --inbox --json --follow | ./audit

  In portions, the next after row 5000:
      failover-node records --outbox --json --after 5000 --limit 1000";

pub(super) const POST_HELP: &str = "\
A charge goes to the store of the node that leads the line, and from there to the billing system. Its
key names it for good: a second try with the same key and content adds nothing and succeeds. All
charges of a file are checked before the first is added, and all are added or none: at most 10000 at
once, since the gateway waits meanwhile.

A file has one JSON object on each line, or is CSV with the names in its first line. The names are
those of the flags: key, room, amount, kind, at, duration, dialled, text.

Exit status: 0 added, or there already (with --wait: posted); 1 a key is taken by another charge (with
--wait: not all were posted); 64 wrong usage, a charge that can't be posted, or a line that posts
none; 66 no such file or store; 69 no node answers; 74 writing failed, as on a full disk; 75 this node
does not lead the line, or its store is locked (with --wait: not settled in time); 77 not permitted.

Examples:
  A film for room 2781, 10.50:
      failover-node post --key film-778 --room 2781 --amount 1050 --text 'Pay TV'

  A night's calls, and whether the billing system has them:
      failover-node post --file calls.csv --wait=60

  A charge in doubt that the billing system does not have, as its own list shows: send it
      failover-node post --again film-778

  One that it has:
      failover-node post --done film-779

  On an hx line whose gateway says numbers-unknown: the billing system's last record is 417C (in the
  form that the line's `seq` says; else the gateway says numbers-unknown again)
      failover-node post --last 417C";

/// Arguments of `records`.
#[derive(Debug, Args)]
pub struct RecordsArgs {
    /// Only this line
    #[arg(long, value_name = "NAME")]
    pub line: Option<Name>,
    /// Only what came from the line
    #[arg(long)]
    pub inbox: bool,
    /// Only what is to be posted
    #[arg(long, conflicts_with = "inbox")]
    pub outbox: bool,
    /// Only what is in this state
    #[arg(long)]
    pub state: Option<String>,
    /// Only this kind: a record's as in its text (GI, call), or direct, telephone, minibar
    #[arg(long)]
    pub kind: Option<String>,
    /// Only what has this number
    #[arg(long, value_name = "N")]
    pub number: Option<u64>,
    /// Only the charge with this key
    #[arg(long)]
    pub key: Option<String>,
    /// Only what came then or later: 2026-11-23 or 2026-11-23T08:00:00
    #[arg(long, value_name = "TIME", value_parser = parse_civil)]
    pub since: Option<Civil>,
    /// Only what came before then
    #[arg(long, value_name = "TIME", value_parser = parse_civil)]
    pub until: Option<Civil>,
    /// Only what came after this row; with --inbox or --outbox
    #[arg(long, value_name = "ROW")]
    pub after: Option<u64>,
    /// The last so many, or with --after the first [default: 50 in a table, else all]
    #[arg(short = 'n', long, value_name = "COUNT")]
    pub limit: Option<u32>,
    /// Then show each that is added, until Ctrl-C
    #[arg(long, short, conflicts_with_all = ["until", "csv"])]
    pub follow: bool,
    /// Print CSV; with --inbox or --outbox
    #[arg(long, conflicts_with = "json")]
    pub csv: bool,
    /// The store [default: that of the running node's line]
    #[arg(long, value_name = "FILE")]
    pub store: Option<PathBuf>,
    /// Where the node answers, and in which form.
    #[command(flatten)]
    pub socket: SocketArgs,
}

/// Arguments of `post`.
#[derive(Debug, Args)]
pub struct PostArgs {
    /// The caller's own name for the charge: posting it twice posts it once
    #[arg(long, requires_all = ["room", "amount"])]
    pub key: Option<String>,
    /// Room, station or account
    #[arg(long, requires = "key")]
    pub room: Option<String>,
    /// In the smallest unit of the currency, such as cents
    #[arg(long, requires = "key")]
    pub amount: Option<u64>,
    /// What for: direct, telephone or minibar [default: direct]
    #[arg(long, requires = "key")]
    pub kind: Option<String>,
    /// When it arose: 2026-11-23T08:00:00 [default: now]
    #[arg(long, value_name = "TIME", requires = "key")]
    pub at: Option<String>,
    /// Length of a call
    #[arg(long, value_name = "SECONDS", requires = "key")]
    pub duration: Option<u32>,
    /// Number dialled
    #[arg(long, value_name = "DIGITS", requires = "key")]
    pub dialled: Option<String>,
    /// For people
    #[arg(long, requires = "key")]
    pub text: Option<String>,
    /// Charges as JSON lines or CSV; - is standard input
    #[arg(long, short, value_name = "FILE", conflicts_with = "key")]
    pub file: Option<PathBuf>,
    /// Send this charge, which is in doubt: the billing system does not have it. Unless the line
    /// knows its key: then another node has sent it, and it is `elsewhere`
    #[arg(long, value_name = "KEY", conflicts_with_all = ["key", "file"])]
    pub again: Option<String>,
    /// Do not send this charge, which is in doubt: the billing system has it
    #[arg(long, value_name = "KEY", conflicts_with_all = ["key", "file", "again"])]
    pub done: Option<String>,
    /// The number of the last record on an hx line, such as 417C (000A: none), where it is lost
    #[arg(long, value_name = "NUMBER", value_parser = parse_last,
          conflicts_with_all = ["key", "file", "again", "done", "wait"])]
    pub last: Option<String>,
    /// The line [default: the only one that posts charges]
    #[arg(long, value_name = "NAME")]
    pub line: Option<Name>,
    /// Into this store, whoever leads; it is posted when a node that uses the store does
    #[arg(long, value_name = "FILE", requires = "line")]
    pub store: Option<PathBuf>,
    /// Wait until all are settled, for so many seconds at most [default of SECONDS: 60]
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true,
          default_missing_value = "60", conflicts_with_all = ["again", "done"],
          value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub wait: Option<u32>,
    /// Where the node answers, and in which form.
    #[command(flatten)]
    pub socket: SocketArgs,
}

/// A record's number in either form.
fn parse_last(text: &str) -> Result<String, String> {
    let is_number =
        [Form::N3Letter, Form::N4].iter().any(|form| form.read(text.as_bytes()).is_some());
    let fits = is_number && text.len() == 4;
    fits.then(|| text.to_owned())
        .ok_or_else(|| "a number is 000A to 999Z, or 0000 to 9999".to_owned())
}

/// A date is its first second.
fn parse_civil(text: &str) -> Result<Civil, String> {
    let whole = format!("{text}T00:00:00");
    let civil = whole.parse().or_else(|_| text.parse::<Civil>());
    civil.map_err(|error| error.to_string())
}
