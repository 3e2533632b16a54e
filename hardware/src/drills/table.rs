//! Outcomes for people.

use std::fmt::Write as _;
use std::time::Duration;

use billing_sim::table::short;
use comfy_table::Table;
use comfy_table::presets::NOTHING;

use super::case::Moves;
use super::outcome::Outcome;
use super::suite::{DrillsReport, Setting};
use crate::show::median_and_worst;

/// An outcome in one line.
pub fn line(outcome: &Outcome) -> String {
    let mut parts = Vec::new();
    if outcome.served.is_some() {
        parts.push(format!("served again {}", median_and_worst(outcome.served)));
    }
    parts.push(format!("billing waited {}", maybe(outcome.waited)));
    parts.push(format!("{} failures, {} moves", outcome.failures, outcome.moves));
    parts.push(format!("{} lost, {} doubled", outcome.lost, outcome.doubled));
    parts.extend(outcome.notes.iter().cloned());
    parts.join("; ")
}

/// All outcomes for a terminal.
pub fn render(report: &DrillsReport) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(HEAD);
    for outcome in &report.outcomes {
        table.add_row(cells(outcome));
    }
    let mut text = format!("\n{}\n{}\n", table.trim_fmt(), words(&report.setting));
    for outcome in &report.outcomes {
        for fault in &outcome.faults {
            let _ = writeln!(text, "{RED}{}: {fault}{RESET}", outcome.case);
        }
    }
    for skipped in &report.skipped {
        let _ = writeln!(text, "{}: not done, it needs {}", skipped.case, skipped.needs);
    }
    let (colour, verdict) = if report.pass() { (GREEN, "PASS") } else { (RED, "FAIL") };
    let count = report.outcomes.len();
    let _ = writeln!(text, "\n{colour}{BOLD}drills: {verdict}{RESET}  {count} drills");
    text
}

/// All outcomes for a page.
pub fn markdown(report: &DrillsReport) -> String {
    let mut text = format!("| {} |\n|{}\n", HEAD.join(" | "), "---|".repeat(HEAD.len()));
    for outcome in &report.outcomes {
        let _ = writeln!(text, "| {} |", cells(outcome).join(" | "));
    }
    let notes = report.outcomes.iter().filter(|outcome| !outcome.notes.is_empty());
    text += "\nWhat the drills said besides:\n\n";
    for outcome in notes {
        let Outcome { case, nodes, profile, notes, .. } = outcome;
        let _ = writeln!(text, "- {case}, {nodes} nodes, {profile}: {}", notes.join("; "));
    }
    for skipped in &report.skipped {
        let _ = writeln!(text, "- {}: not done, it needs {}", skipped.case, skipped.needs);
    }
    format!("{text}\n{}\n", words(&report.setting))
}

fn cells(outcome: &Outcome) -> [String; HEAD.len()] {
    let calls = match outcome.case.moves() {
        Moves::None => "none",
        Moves::Each => "one each",
        Moves::Counted => "counted",
    };
    let verdict = match (outcome.failed(), outcome.late()) {
        (true, _) => "FAILED".to_owned(),
        (false, Some(late)) => format!("{} over", short(late)),
        (false, None) => "kept".to_owned(),
    };
    [
        outcome.case.to_string(),
        outcome.nodes.to_string(),
        outcome.profile.clone(),
        outcome.failures.to_string(),
        median_and_worst(outcome.served),
        maybe(outcome.bound),
        median_and_worst(outcome.answered),
        maybe(outcome.waited),
        format!("{} ({calls})", outcome.moves),
        format!("{} / {}", outcome.lost, outcome.doubled),
        verdict,
    ]
}

fn words(setting: &Setting) -> String {
    let Setting { command, cores, kernel, build, load } = setting;
    // Figures of a busy machine must not pass for those of a quiet one.
    let is_busy = load.parse().is_ok_and(|load: f64| load > *cores as f64 / 2.0);
    let busy = if is_busy { " **The machine was busy with other work.**" } else { "" };
    format!(
        "Measured with `{command}`: {cores} cores for all hosts together, Linux {kernel}, {build} \
         build; load {load} before.{busy} Times are median / worst."
    )
}

fn maybe(time: Option<Duration>) -> String {
    time.map_or_else(|| "-".to_owned(), short)
}

const HEAD: [&str; 11] = [
    "drill",
    "nodes",
    "profile",
    "failures",
    "served again",
    "bound",
    "first answer",
    "billing waited",
    "moves",
    "lost / doubled",
    "promise",
];
const RESET: &str = "\x1b[0m";
const BOLD: &str = "\x1b[1m";
const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
