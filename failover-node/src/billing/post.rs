//! `failover-node post`: adds charges to the store of the node that leads the line.

mod csv;
mod intake;

use std::process::ExitCode;
use std::time::Duration;

use daemon::program::print;
use daemon::{Exit, Failure, OrExit, Signals};
use serde::Serialize;
use sys::boottime;

use super::finder::{self, Found};
use super::store::desk::{Accepted, Counter, Decision, Declined, Wanted};
use super::store::{OutState, SqliteStore, Store};
use crate::cli::PostArgs;
use crate::table::{flush_left, table};

/// Adds what the command line says, ends a doubt, or tells the last number.
///
/// # Errors
/// Nothing was added.
pub fn run(args: &PostArgs) -> Result<ExitCode, Failure> {
    if let Some(key) = &args.again {
        return decide(args, key, Decision::Again);
    }
    if let Some(key) = &args.done {
        return decide(args, key, Decision::Done);
    }
    if let Some(last) = &args.last {
        let (mut store, counter) = open(args, finder::Wanted::Telling)?;
        store.tell_last(&counter, last)?;
        let line = &counter.line;
        print(&format!("line {line} goes on after {last}, if its gateway waits for a number\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let charges = intake::charges(args)?;
    let (mut store, counter) = open(args, finder::Wanted::Posting)?;
    let accepted = match store.add(&counter, &charges.wanted) {
        Ok(accepted) => accepted,
        Err(Declined::Store(error)) => return Err(error.into()),
        Err(Declined::Conflict { index, known }) => {
            let (place, key) = (charges.place(index), &charges.wanted[index].charge.key);
            let message =
                format!("{place}key {key} is taken by another charge, nothing was added: {known}");
            return Err(Failure::new(Exit::Negative, message));
        }
    };
    let ended = match args.wait {
        None => Exit::Ok,
        Some(seconds) => wait(&mut store, &accepted, Duration::from_secs(seconds.into()))?,
    };
    print(&report(&store, &counter, &charges.wanted, &accepted, args)?)?;
    Ok(ended.into())
}

/// The store and under what it is written: the one named, or that of the line which this node leads.
fn open(args: &PostArgs, wanted: finder::Wanted) -> Result<(SqliteStore, Counter), Failure> {
    if let (Some(file), Some(line)) = (&args.store, &args.line) {
        let store = SqliteStore::open_existing(file)?;
        store.expect_line(line)?;
        return Ok((store, Counter { line: line.clone(), epoch: None }));
    }
    let found = finder::find(&args.socket, args.line.as_ref(), wanted)?;
    let Some(epoch) = found.held else { return Err(elsewhere(&found)) };
    if !found.store.exists() {
        let message = format!("the gateway of line {} has not begun yet: try again", found.line);
        return Err(Failure::new(Exit::TemporaryFailure, message));
    }
    let counter = Counter { line: found.line, epoch: Some(epoch) };
    Ok((SqliteStore::open_existing(&found.store)?, counter))
}

/// This node does not lead; who does.
fn elsewhere(found: &Found) -> Failure {
    let line = &found.line;
    let leads = match &found.holder {
        Some(holder) => format!("{holder} does: post there"),
        None => "nobody is known to: try again".to_owned(),
    };
    let message = format!("this node does not lead line {line}, {leads}");
    Failure::new(Exit::TemporaryFailure, message)
}

fn decide(args: &PostArgs, key: &str, decision: Decision) -> Result<ExitCode, Failure> {
    let (mut store, counter) = open(args, finder::Wanted::Posting)?;
    match (store.decide(&counter, key, decision)?, decision) {
        (Some(_), Decision::Again) => print(&format!("{key} will be sent\n"))?,
        (Some(_), Decision::Done) => print(&format!("{key} counts as posted\n"))?,
        (None, _) => {
            let message = format!("no charge in doubt that can be sent has the key {key}");
            return Err(Failure::new(Exit::Negative, message));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Waits until all are settled, or nothing more will happen by itself. How it ended.
fn wait(store: &mut SqliteStore, accepted: &[Accepted], span: Duration) -> Result<Exit, Failure> {
    let until = boottime() + span;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.or_exit(Exit::OsError)?.block_on(async {
        let mut signals = Signals::listen().or_exit(Exit::OsError)?;
        let mut open: Vec<u64> = accepted.iter().map(|accepted| accepted.row).collect();
        let mut all_posted = true;
        loop {
            if store.changed()? {
                let mut still_open = Vec::new();
                for row in open {
                    match store.fate(row)?.map(|fate| fate.state) {
                        Some(OutState::New | OutState::Numbered) => still_open.push(row),
                        state => all_posted &= state == Some(OutState::Posted),
                    }
                }
                open = still_open;
            }
            if open.is_empty() {
                return Ok(if all_posted { Exit::Ok } else { Exit::Negative });
            }
            let left = until.saturating_sub(boottime());
            tokio::select! {
                biased;
                _ = signals.recv() => return Ok(Exit::TemporaryFailure),
                () = tokio::time::sleep(left.min(LOOK)) => {}
            }
            if left.is_zero() {
                return Ok(Exit::TemporaryFailure);
            }
        }
    })
}

/// What was added, and how each is.
fn report(
    store: &SqliteStore,
    counter: &Counter,
    wanted: &[Wanted],
    accepted: &[Accepted],
    args: &PostArgs,
) -> Result<String, Failure> {
    let mut lines = Vec::with_capacity(accepted.len());
    for (Wanted { charge, .. }, Accepted { row, is_new }) in wanted.iter().zip(accepted) {
        let fate = store.fate(*row)?;
        lines.push(Line {
            key: &charge.key,
            row: *row,
            added: if *is_new { "now" } else { "before" },
            state: fate.as_ref().map_or("forgotten", |fate| fate.state.as_str()),
            number: fate.as_ref().and_then(|fate| fate.number),
            answer: fate
                .and_then(|fate| fate.answer)
                .map(|answer| String::from_utf8_lossy(&answer).into_owned()),
        });
    }
    if args.socket.json {
        let json: Result<String, _> =
            lines.iter().map(|line| serde_json::to_string(line).map(|line| line + "\n")).collect();
        return json.or_exit(Exit::Software);
    }
    let added = lines.iter().filter(|line| line.added == "now").count();
    let mut text = format!(
        "{added} added, {} there already, for line {} in {}\n",
        lines.len() - added,
        counter.line,
        store.file().display()
    );
    if lines.len() <= MOST_SHOWN || args.wait.is_some() {
        text += &format!("\n{}\n", people(&lines));
    }
    Ok(text)
}

fn people(lines: &[Line<'_>]) -> String {
    let mut table = table();
    table.set_header(["KEY", "ROW", "ADDED", "STATE", "NUMBER", "ANSWER"]);
    for line in lines {
        let number = line.number.map(|number| number.to_string()).unwrap_or_default();
        let answer = line.answer.clone().unwrap_or_default();
        let row = line.row.to_string();
        table.add_row([line.key, &row, line.added, line.state, &number, &answer]);
    }
    flush_left(&mut table, 6);
    table.trim_fmt()
}

/// What is said about one charge.
#[derive(Debug, Serialize)]
struct Line<'a> {
    key: &'a str,
    row: u64,
    added: &'static str,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<String>,
}

/// Charges that are listed one by one although nobody waits for them.
const MOST_SHOWN: usize = 20;
/// Between two looks at the store.
const LOOK: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standby_names_the_coordinator() {
        let line = "pms".parse().unwrap();
        let mut found = Found { line, store: "s".into(), held: None, holder: Some("b".into()) };
        let failure = elsewhere(&found);
        assert_eq!(failure.message, "this node does not lead line pms, b does: post there");
        assert_eq!(failure.exit.code(), 75);
        found.holder = None;
        assert!(elsewhere(&found).message.ends_with("nobody is known to: try again"));
    }
}
