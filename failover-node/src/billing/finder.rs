//! Which store a command is about, and who leads its line, by asking the node of this host.

use std::path::PathBuf;

use billing::Dialect;
use daemon::{Exit, Failure, OrExit};
use serde_json::json;
use wire::{Epoch, Name};

use crate::cli::SocketArgs;
use crate::driver::NodeReport;
use crate::driver::report::LineReport;
use crate::program::PROGRAM;

/// A line that has a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The line.
    pub line: Name,
    /// Its store.
    pub store: PathBuf,
    /// The grant that the node has for it.
    pub held: Option<Epoch>,
    /// Who has it, as far as the node knows.
    pub holder: Option<String>,
}

/// Which lines are meant when none is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Those that have a store.
    Store,
    /// Those that post charges.
    Posting,
    /// Those that may have to be told the last number.
    Telling,
}

impl Wanted {
    fn fits(self, report: &LineReport) -> bool {
        let dialect = report.dialect.as_deref();
        let posts = |name| Dialect::named(name, &[]).is_ok_and(|dialect| dialect.posts());
        report.store.is_some()
            && match self {
                Self::Store => true,
                Self::Posting => dialect.is_some_and(posts),
                Self::Telling => dialect == Some("hx"),
            }
    }

    /// What is said of a line that is none of these, and of one that is.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Store => {
                ("has no store: no `billing` payload", "has a store: a `billing` payload")
            }
            Self::Posting => {
                ("posts no charges: `fias` and `hx` do", "posts charges: `fias` and `hx` do")
            }
            Self::Telling => ("is told no number: only `hx` is", "is told a number: only `hx` is"),
        }
    }
}

/// Asks the node for its line of this kind: the one named, or the only one.
///
/// # Errors
/// No node answers; no line, or more than one, is meant.
pub fn find(socket: &SocketArgs, line: Option<&Name>, wanted: Wanted) -> Result<Found, Failure> {
    let answer = daemon::status::request(&socket.path(), PROGRAM, &json!({"command": "status"}));
    let answer = answer.map_err(|error| {
        let message =
            format!("{error}; to use the store of a node that is down, name it by --store");
        Failure::new((&error).into(), message)
    })?;
    let report: NodeReport = serde_json::from_value(answer).or_exit(Exit::Protocol)?;
    choose(&report.lines, line, wanted)
}

fn choose(lines: &[LineReport], line: Option<&Name>, wanted: Wanted) -> Result<Found, Failure> {
    let usage = |message: String| Err(Failure::new(Exit::Usage, message));
    let named = |report: &&LineReport| line.is_none_or(|line| line.as_str() == report.line);
    let fitting: Vec<_> = lines.iter().filter(named).filter(|report| wanted.fits(report)).collect();
    let names = |lines: &[&LineReport]| {
        lines.iter().map(|report| report.line.as_str()).collect::<Vec<_>>().join(", ")
    };
    match (&fitting[..], line) {
        ([report], _) => found(report),
        ([], Some(line)) if !lines.iter().any(|report| report.line == line.as_str()) => {
            let all = names(&lines.iter().collect::<Vec<_>>());
            usage(format!("this node has no line {line}; it has {all}"))
        }
        ([], Some(line)) => usage(format!("line {line} {}", wanted.words().0)),
        ([], None) => usage(format!("no line of this node {}", wanted.words().1)),
        (several, _) => usage(format!("say which line by --line: {}", names(several))),
    }
}

fn found(report: &LineReport) -> Result<Found, Failure> {
    let held = match &report.held {
        None => None,
        Some(text) => Some(epoch(text).ok_or("no epoch").or_exit(Exit::Protocol)?),
    };
    Ok(Found {
        line: report.line.parse().or_exit(Exit::Protocol)?,
        store: report.store.clone().unwrap_or_default().into(),
        held,
        holder: report.holder.clone().filter(|_| report.state == "held"),
    })
}

/// From `start.count`.
fn epoch(text: &str) -> Option<Epoch> {
    let (start, count) = text.split_once('.')?;
    Some(Epoch::new(start.parse().ok()?, count.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, store: Option<&str>) -> LineReport {
        LineReport {
            line: name.into(),
            terminal_server: String::new(),
            beacon_ms: None,
            state: "held".into(),
            cause: None,
            holder: Some("b".into()),
            epoch: Some("7.2".into()),
            reserved_for: None,
            up: None,
            highest_epoch: "7.2".into(),
            held: Some("7.2".into()),
            lease_left_ms: None,
            store: store.map(Into::into),
            dialect: store.map(|_| "cdr".to_owned()),
        }
    }

    #[test]
    fn the_only_line_with_a_store_is_meant() {
        let lines = [line("pms", Some("/s")), line("door", None)];
        let found = choose(&lines, None, Wanted::Store).unwrap();
        assert_eq!((found.line.as_str(), found.held), ("pms", Some(Epoch::new(7, 2))));
        assert_eq!(found.holder.as_deref(), Some("b"));
        let door = "door".parse().unwrap();
        let error = choose(&lines, Some(&door), Wanted::Store).unwrap_err();
        assert_eq!(error.message, "line door has no store: no `billing` payload");
        let error = choose(&lines, Some(&"x".parse().unwrap()), Wanted::Store).unwrap_err();
        assert_eq!(error.message, "this node has no line x; it has pms, door");
        let error = choose(&[line("a", Some("/s")), line("b", Some("/s"))], None, Wanted::Store)
            .unwrap_err();
        assert_eq!(error.message, "say which line by --line: a, b");
    }

    #[test]
    fn a_charge_is_for_the_only_line_that_posts() {
        let (calls, taps) = (line("calls", Some("/s")), line("taps", Some("/s")));
        let pms = LineReport { dialect: Some("fias".into()), ..line("pms", Some("/s")) };
        let choose = |lines: &[LineReport], line: Option<&str>| {
            let line = line.map(|line| line.parse().unwrap());
            choose(lines, line.as_ref(), Wanted::Posting)
        };
        let lines = [calls.clone(), pms, taps];
        assert_eq!(choose(&lines, None).unwrap().line.as_str(), "pms");
        let error = choose(&lines, Some("taps")).unwrap_err();
        assert_eq!(error.message, "line taps posts no charges: `fias` and `hx` do");
        assert_eq!(error.exit, Exit::Usage);
        let error = choose(&[calls], None).unwrap_err();
        assert_eq!(error.message, "no line of this node posts charges: `fias` and `hx` do");
    }

    #[test]
    fn only_a_line_that_counts_without_answers_is_told_a_number() {
        let of = |dialect: &str| LineReport {
            dialect: Some(dialect.into()),
            ..line(dialect, Some("/s"))
        };
        let lines = [of("fias"), of("hx"), of("cable")];
        assert_eq!(choose(&lines, None, Wanted::Telling).unwrap().line.as_str(), "hx");
        let fias = "fias".parse().unwrap();
        let error = choose(&lines, Some(&fias), Wanted::Telling).unwrap_err();
        assert_eq!(error.message, "line fias is told no number: only `hx` is");
    }
}
