//! `failover-node records`: what came from the line and what was posted, for people and programs.

mod cells;
mod forms;

use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use daemon::{Exit, Failure, OrExit, Signals};

use self::cells::{Cells, in_cells, out_cells};
use self::forms::{Form, print_rows};
use super::calendar;
use super::finder::{self, Wanted};
use super::store::listing::{Filter, Page};
use super::store::{InState, OutState, SqliteStore, Store, StoreError};
use crate::cli::RecordsArgs;

/// Shows them.
///
/// # Errors
/// There is no such store, or it can't be read.
pub fn show(args: &RecordsArgs) -> Result<ExitCode, Failure> {
    let boxes = boxes(args)?;
    check(args, boxes)?;
    let form = match (args.socket.json, args.csv) {
        (true, _) => Form::Json,
        (_, true) => Form::Csv,
        _ => Form::Table,
    };
    let mut filter = filter(args)?;
    let store = store(args, &mut filter)?;
    let mut shown = Shown { store, filter, form, is_empty: true };
    let mut out = io::stdout().lock();
    let listed = boxes.iter().map(|side| Ok((*side, shown.list(*side, args, &mut out)?)));
    let listed: Result<Vec<_>, Failure> = listed.collect();
    let ended = match listed {
        Ok(seen) if args.follow => {
            drop(out);
            follow(&mut shown, seen)
        }
        Ok(_) => out.flush().map_err(broken),
        Err(failure) => Err(failure),
    };
    match ended {
        // A reader that has gone has seen enough.
        Err(failure) if failure.exit == Exit::Ok => Ok(ExitCode::SUCCESS),
        Err(failure) => Err(failure),
        Ok(()) if shown.is_empty => Ok(Exit::Negative.into()),
        Ok(()) => Ok(ExitCode::SUCCESS),
    }
}

/// The two tables of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Inbox,
    Outbox,
}

struct Shown {
    store: SqliteStore,
    filter: Filter,
    form: Form,
    is_empty: bool,
}

impl Shown {
    /// Shows one side; the last row seen.
    fn list(
        &mut self,
        side: Side,
        args: &RecordsArgs,
        out: &mut impl Write,
    ) -> Result<u64, Failure> {
        let table = (self.form == Form::Table).then_some(USUAL_LIMIT);
        match (args.after, args.limit.or(table)) {
            (None, Some(limit)) => {
                // What is added from now on comes behind all there is, shown or not.
                let newest = self.newest(side)?;
                let rows = self.rows(side, Page::Last(limit))?;
                self.print(side, &rows, true, out)?;
                Ok(rows.last().map_or(newest, |row| row.row.max(newest)))
            }
            (after, limit) => {
                let mut after = after.unwrap_or(0);
                let mut left = limit.unwrap_or(u32::MAX);
                let mut is_first = true;
                loop {
                    let page = Page::After { row: after, limit: left.min(PAGE) };
                    let rows = self.rows(side, page)?;
                    self.print(side, &rows, is_first, out)?;
                    is_first = false;
                    left -= u32::try_from(rows.len()).unwrap_or(left).min(left);
                    match rows.last() {
                        Some(row) if left > 0 => after = row.row,
                        Some(row) => return Ok(row.row),
                        None => return Ok(after),
                    }
                }
            }
        }
    }

    fn newest(&self, side: Side) -> Result<u64, Failure> {
        let all = Filter::default();
        let last = match side {
            Side::Inbox => self.store.inbox(&all, Page::Last(1))?.last().map(|row| row.row),
            Side::Outbox => self.store.outbox(&all, Page::Last(1))?.last().map(|row| row.row),
        };
        Ok(last.unwrap_or(0))
    }

    fn rows(&self, side: Side, page: Page) -> Result<Vec<Cells>, StoreError> {
        Ok(match side {
            Side::Inbox => self.store.inbox(&self.filter, page)?.iter().map(in_cells).collect(),
            Side::Outbox => self.store.outbox(&self.filter, page)?.iter().map(out_cells).collect(),
        })
    }

    fn print(
        &mut self,
        side: Side,
        rows: &[Cells],
        is_first: bool,
        out: &mut impl Write,
    ) -> Result<(), Failure> {
        self.is_empty &= rows.is_empty();
        let text = print_rows(self.form, side == Side::Inbox, rows, is_first);
        out.write_all(text.as_bytes()).map_err(broken)
    }
}

/// Shows each row that is added, until Ctrl-C.
fn follow(shown: &mut Shown, mut seen: Vec<(Side, u64)>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.or_exit(Exit::OsError)?.block_on(async {
        let mut signals = Signals::listen().or_exit(Exit::OsError)?;
        loop {
            if shown.store.changed()? {
                for (side, after) in &mut seen {
                    *after = catch_up(shown, *side, *after)?;
                }
            }
            tokio::select! {
                biased;
                _ = signals.recv() => return Ok(()),
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    })
}

fn catch_up(shown: &mut Shown, side: Side, mut after: u64) -> Result<u64, Failure> {
    loop {
        let rows = shown.rows(side, Page::After { row: after, limit: PAGE })?;
        let Some(last) = rows.last() else { return Ok(after) };
        after = last.row;
        let mut out = io::stdout().lock();
        shown.print(side, &rows, false, &mut out)?;
        out.flush().map_err(broken)?;
    }
}

/// A reader that has gone is marked by the code of success.
fn broken(error: io::Error) -> Failure {
    let exit = if error.kind() == ErrorKind::BrokenPipe { Exit::Ok } else { Exit::Io };
    Failure::new(exit, error.to_string())
}

fn boxes(args: &RecordsArgs) -> Result<&'static [Side], Failure> {
    let usage = |message: &str| Err(Failure::new(Exit::Usage, message));
    match (args.inbox, args.outbox) {
        (true, _) if args.key.is_some() => usage("records from the line have no key: --outbox"),
        (true, _) => Ok(&[Side::Inbox]),
        (_, true) => Ok(&[Side::Outbox]),
        _ if args.key.is_some() => Ok(&[Side::Outbox]),
        _ => Ok(&[Side::Inbox, Side::Outbox]),
    }
}

fn check(args: &RecordsArgs, boxes: &[Side]) -> Result<(), Failure> {
    let usage = |message: String| Err(Failure::new(Exit::Usage, message));
    if boxes.len() > 1 && (args.csv || args.after.is_some()) {
        let flag = if args.csv { "--csv" } else { "--after" };
        return usage(format!("{flag} is about one list: add --inbox or --outbox"));
    }
    let Some(state) = &args.state else { return Ok(()) };
    let of_inbox = state.parse::<InState>().map(drop);
    let of_outbox = state.parse::<OutState>().map(drop);
    let fits = boxes.iter().any(|side| match side {
        Side::Inbox => of_inbox.is_ok(),
        Side::Outbox => of_outbox.is_ok(),
    });
    match (boxes, of_inbox, of_outbox) {
        _ if fits => Ok(()),
        ([Side::Inbox], Err(error), _) | (_, _, Err(error)) => usage(format!("--state: {error}")),
        _ => Ok(()),
    }
}

fn filter(args: &RecordsArgs) -> Result<Filter, Failure> {
    Ok(Filter {
        line: args.line.as_ref().map(ToString::to_string),
        state: args.state.clone(),
        kind: args.kind.clone(),
        number: args.number,
        key: args.key.clone(),
        since: args.since.map(calendar::moment),
        until: args.until.map(calendar::moment),
    })
}

/// The store that is meant. A file of its own may have rows of lines that this node does not know.
fn store(args: &RecordsArgs, filter: &mut Filter) -> Result<SqliteStore, Failure> {
    let file: PathBuf = match &args.store {
        Some(file) => file.clone(),
        None => {
            let found = finder::find(&args.socket, args.line.as_ref(), Wanted::Store)?;
            filter.line = Some(found.line.to_string());
            found.store
        }
    };
    let store = SqliteStore::open_read_only(&file)?;
    if let Some(line) = &args.line {
        store.expect_line(line)?;
    }
    Ok(store)
}

/// Rows that a table shows when nobody says how many.
const USUAL_LIMIT: u32 = 50;
/// Rows read at once: the store is never kept from cleaning up for long.
const PAGE: u32 = 500;
/// Between two looks at the store.
const LOOK: Duration = Duration::from_millis(200);
