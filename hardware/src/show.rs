//! A run for people: the timeline as it happens, and the table at the end.

use std::fmt::Write as _;
use std::io::Write;
use std::time::Duration;

use billing_sim::exchange::entry::What as Seen;
use billing_sim::table::short;
use billing_sim::{Event, Verdict};
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use tokio::sync::mpsc;

use crate::accounts::Audit;
use crate::deed::Deed;
use crate::drill::Drill;
use crate::report::{LabReport, Spread};
use crate::saying::Saying;
use crate::timeline::{Entry, Source, What};

/// How much is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Who holds the line, what was done to whom, how long it was unserved.
    Usual,
    /// All that the programs say, too.
    Everything,
}

/// Shows a timeline line by line until it ends. Runs on a thread of its own: a terminal may block.
pub fn follow(
    mut entries: mpsc::UnboundedReceiver<Entry>,
    began: Duration,
    detail: Detail,
    mut out: impl Write,
) {
    while let Some(entry) = entries.blocking_recv() {
        let Some(text) = text(&entry, detail) else { continue };
        let time = entry.at.saturating_sub(began).as_secs_f64();
        let (colour, source) = (colour(&entry), entry.source.to_string());
        let line = format!("{DIM}{time:8.3} s{RESET}  {source:8}  {colour}{text}{RESET}");
        // Each line at once: whoever follows wants it now. One who has gone misses the rest.
        if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
            break;
        }
    }
}

/// The drills, the holders and the judge's verdicts.
pub fn table(report: &LabReport) -> String {
    let mut text = format!("\n{}\n{DIM}{LEGEND}{RESET}", drills(report).trim_fmt());
    let tenures = &report.holders.tenures;
    match &report.holders.violations[..] {
        [] => {
            let _ = writeln!(text, "\nholders: {} grants, never two at a time", tenures.len());
        }
        violations => violations.iter().for_each(|violation| {
            let _ = writeln!(text, "\n{RED}holders: {violation}{RESET}");
        }),
    }
    if let Some(billing) = &report.billing {
        text += &format!("\nthe billing system's verdict\n{}", billing_sim::table::render(billing));
    }
    if let Some(audit) = &report.accounts {
        text += &books(audit);
    }
    for drill in report.drills.iter().filter(|drill| !drill.recovered()) {
        let failure = drill.failure.as_deref().unwrap_or_default();
        let _ = writeln!(text, "{RED}{} of {}: {failure}{RESET}", drill.kind, drill.victim);
    }
    for failure in &report.failures {
        let _ = writeln!(text, "{RED}{failure}{RESET}");
    }
    if let Some(logs) = &report.logs {
        let _ = writeln!(text, "logs: {}", logs.display());
    }
    let (colour, verdict) = if report.pass { (GREEN, "PASS") } else { (RED, "FAIL") };
    let (drills, seed) = (report.drills.len(), report.run.seed);
    let _ = writeln!(text, "\n{colour}{BOLD}lab: {verdict}{RESET}  {drills} drills, seed {seed}");
    text
}

fn drills(report: &LabReport) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header([
        "drill",
        "times",
        "held again",
        "served again",
        "first answer",
        "waited",
        "",
    ]);
    for summary in &report.kinds {
        table.add_row([
            summary.kind.to_string(),
            summary.count.to_string(),
            median_and_worst(summary.granted),
            median_and_worst(summary.unserved),
            median_and_worst(summary.first_answer),
            median_and_worst(summary.waited),
            match summary.failed {
                0 => "ok".to_owned(),
                failed => format!("{failed} FAILED"),
            },
        ]);
    }
    for column in 1..6 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// `2.1 / 40 ms`, or one figure if there is but one.
pub(crate) fn median_and_worst(spread: Option<Spread>) -> String {
    match spread {
        None => "-".to_owned(),
        Some(Spread { median, max }) if median == max => short(max),
        Some(Spread { median, max }) => {
            let (median, max) = (short(median), short(max));
            // The unit once, if it is the same.
            let median = match (median.split_once(' '), max.split_once(' ')) {
                (Some((figure, unit)), Some((_, other))) if unit == other => figure.to_owned(),
                _ => median,
            };
            format!("{median} / {max}")
        }
    }
}

fn text(entry: &Entry, detail: Detail) -> Option<String> {
    match &entry.what {
        What::Did(deed) => deed_text(deed, detail),
        What::Said(saying) => said(&entry.source, saying, detail),
        What::Billing(event) => billing(event, detail),
        What::Exchange(seen) => exchanged(seen, detail),
    }
}

/// What the billing system of a dialect sees.
fn exchanged(seen: &Seen, detail: Detail) -> Option<String> {
    match seen {
        Seen::Found(finding) => Some(format!("{}: {}", finding.verdict, finding.detail)),
        Seen::Saw(event) => match event.up {
            Some(true) => Some("the link is up".to_owned()),
            Some(false) => Some("the link is down".to_owned()),
            None if detail == Detail::Everything => {
                let text = event.text.as_deref().unwrap_or_default();
                Some(format!("{} {text}", event.what))
            }
            None => None,
        },
        Seen::Fault { fault } => Some(format!("fault: {fault}")),
        Seen::Settling if detail == Detail::Everything => Some("settles".to_owned()),
        _ => None,
    }
}

/// The books, compared.
fn books(audit: &Audit) -> String {
    let mut text = String::new();
    let outcome = &audit.billing.outcome;
    let span = outcome.finished.saturating_sub(outcome.started).as_secs_f64();
    let posted = outcome.tally.posted;
    let rate = posted as f64 / span.max(f64::MIN_POSITIVE);
    if audit.taken > 0 {
        let _ = writeln!(
            text,
            "\n{} charges taken at the till, {posted} posted by the billing system, {rate:.1} a second",
            audit.taken
        );
        let states: Vec<_> =
            audit.charges.iter().map(|(state, n)| format!("{n} {state}")).collect();
        let _ = writeln!(text, "in the stores: {}", states.join(", "));
    }
    let _ = writeln!(text, "{} records of the billing system in the stores", audit.records);
    for finding in &audit.findings {
        let _ = writeln!(text, "{RED}{finding}{RESET}");
    }
    text + &billing_sim::verdicts::render(&audit.billing, true)
}

fn deed_text(deed: &Deed, detail: Detail) -> Option<String> {
    Some(match deed {
        Deed::Started { program, pid } => match detail {
            Detail::Everything => format!("starts {program} ({pid})"),
            Detail::Usual => format!("starts {program}"),
        },
        Deed::Killed { program, .. } => format!("kill -9 {program}"),
        Deed::Stopped { program, .. } => format!("SIGSTOP {program}"),
        Deed::Continued { program, .. } => format!("SIGCONT {program}"),
        Deed::CrashedPayload { node, .. } => format!("crashes the payload of {node}"),
        Deed::AskedToHandOver { node } => format!("asks {node} to hand over"),
        Deed::AskedToEnd { program, .. } => format!("SIGTERM {program}"),
        Deed::Cut { what } => format!("cuts {what}"),
        Deed::Healed => "heals the network".to_owned(),
        Deed::Drilled(drill) => drilled(drill),
        Deed::Note { text } => text.clone(),
    })
}

fn drilled(drill: &Drill) -> String {
    if let Some(failure) = &drill.failure {
        return format!("FAILED: {failure}");
    }
    let waited = |words: &str| {
        drill
            .waited
            .map_or_else(String::new, |waited| format!("; {words} {} at most", short(waited)))
    };
    let (Some(unserved), Some(after)) = (drill.unserved, &drill.after) else {
        return format!("not disturbed{}", waited("an answer took"));
    };
    let hands = match drill.before.node == after.node {
        true => format!("{} again", after.node),
        false => format!("{} to {}", drill.before.node, after.node),
    };
    format!("{hands}: unserved {}{}", short(unserved), waited("billing waited"))
}

fn said(source: &Source, saying: &Saying, detail: Detail) -> Option<String> {
    let usual = match (source, saying.word.as_str()) {
        (Source::Server, "granted") => {
            let node = saying.text("node").unwrap_or("nobody");
            Some(format!("{node} holds the line, grant {}", saying.text("epoch")?))
        }
        (Source::Server, "ended") => {
            Some(format!("the line is free: {}", saying.text("cause").unwrap_or("unknown")))
        }
        (Source::Node(_), "lost") => {
            Some(format!("lost the line: {}", saying.text("detail").unwrap_or("unknown")))
        }
        (Source::Node(_), "resigning") => {
            Some(format!("gives the line back: {}", saying.text("cause").unwrap_or("unknown")))
        }
        _ => None,
    };
    if detail == Detail::Usual && usual.is_some() {
        return usual;
    }
    // While the terminal server restarts everybody knocks, and nodes that are killed again and
    // again look like two that share a name.
    let expected = matches!(saying.word.as_str(), "connect-failed" | "member-flaps");
    let shown = detail == Detail::Everything || (saying.is_grave() && !expected);
    shown.then(|| format!("{} {}", saying.word, saying.details()))
}

fn billing(event: &Event, detail: Detail) -> Option<String> {
    match event {
        Event::Found(finding) if finding.verdict != Verdict::Partial => {
            Some(format!("{}: {}", finding.verdict, finding.detail))
        }
        Event::Found(finding) if detail == Detail::Everything => {
            Some(format!("{}: {}", finding.verdict, finding.detail))
        }
        Event::Unserved(span) if detail == Detail::Everything => {
            Some(format!("had no answer for {}", short(span.length())))
        }
        _ => None,
    }
}

fn colour(entry: &Entry) -> &'static str {
    match &entry.what {
        What::Did(Deed::Drilled(drill)) => {
            if drill.recovered() {
                GREEN
            } else {
                RED
            }
        }
        What::Did(Deed::Started { .. } | Deed::Note { .. }) => "",
        What::Did(_) => YELLOW,
        What::Said(saying) if matches!(saying.word.as_str(), "lost" | "resigning") => "",
        What::Said(saying) if saying.is_grave() => RED,
        What::Said(saying) if entry.source == Source::Server && saying.word == "granted" => BOLD,
        What::Said(_) => "",
        What::Billing(Event::Found(_)) | What::Exchange(Seen::Found(_)) => RED,
        What::Billing(_) | What::Exchange(_) => "",
    }
}

/// What the table's columns are.
const LEGEND: &str = "\
median / worst. held again: the line had a holder; served again: its payload had its first input;
first answer: the billing system had the new holder's first answer; waited: the longest that it
waited for the answer to a record meanwhile.
";
const RESET: &str = "\x1b[0m";
const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";
