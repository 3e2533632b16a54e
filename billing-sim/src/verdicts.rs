//! A report of a run in a dialect, for people.

use std::fmt::Write;
use std::time::Duration;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};

use crate::core::exchange::Report;
use crate::core::exchange::report::Mark;
use crate::core::exchange::verdict::Verdict;
use crate::table::short;

/// The report as a table and a line that says whether it passed, each line ended. Times of findings
/// count from the start of the run. `colour`: with the escape sequences of a terminal.
pub fn render(report: &Report, colour: bool) -> String {
    let outcome = &report.outcome;
    let paint = |code: &str, text: &str| match colour {
        true => format!("\x1b[{code}m{text}\x1b[0m"),
        false => text.to_owned(),
    };
    let mut text = format!("{}\n\n", headline(report));
    for line in table(report).trim_fmt().lines() {
        let line = match line {
            line if line.contains(Mark::Failed.word()) => paint(RED, line),
            line if line.contains(&format!(" {} ", Mark::Ok.word())) => paint(DIM, line),
            line => paint(YELLOW, line),
        };
        text += &line;
        text += "\n";
    }
    text += &figures(report);
    let since = |at: Duration| at.saturating_sub(outcome.started).as_secs_f64();
    for found in &outcome.findings {
        let (verdict, detail) = (found.finding.verdict, shortened(&found.finding.detail));
        let _ = writeln!(text, "  {:>9.3} s  {verdict}: {detail}", since(found.at));
    }
    if outcome.findings_omitted > 0 {
        let _ = writeln!(text, "  and {} more", outcome.findings_omitted);
    }
    if outcome.withdrawn > 0 {
        let count = outcome.withdrawn;
        let _ = writeln!(text, "{count} records were taken back: they had not gone out");
    }
    if outcome.answers_dropped > 0 {
        let count = outcome.answers_dropped;
        let _ = writeln!(text, "{count} answers were not sent: too many waited already");
    }
    if report.events_dropped > 0 {
        let _ = writeln!(text, "{} events were not delivered in time", report.events_dropped);
    }
    if let Some(complaint) = report.complaint() {
        let _ = writeln!(text, "{complaint}");
    }
    let verdict = if report.pass { paint(GREEN, "PASS") } else { paint(RED, "FAIL") };
    let tally = outcome.tally;
    let took = short(outcome.finished.saturating_sub(outcome.started));
    let _ = writeln!(
        text,
        "{verdict}: {} of {} records confirmed, {} charges posted, {took} ({})",
        tally.confirmed,
        tally.queued,
        tally.posted,
        outcome.ended.words()
    );
    text
}

fn headline(report: &Report) -> String {
    let run = &report.run;
    let pace = if run.paced { "at character time" } else { "unpaced" };
    let mut text = format!("{} at {}, dialect {}", run.port, run.line, run.dialect);
    for (key, value) in &run.settings {
        let _ = write!(text, ", {key}={}", shortened(value));
    }
    if let Some(scenario) = &run.scenario {
        let _ = write!(text, ", scenario {scenario}");
    }
    text + &format!(", seed {}, {pace}", run.seed)
}

fn table(report: &Report) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    for verdict in Verdict::ALL {
        let count = report.outcome.verdicts.get(verdict).to_string();
        let mut mark =
            report.expectations.mark(verdict, &report.outcome.verdicts).word().to_owned();
        if let Some(expected) = report.expectations.expected.get(&verdict) {
            let _ = write!(mark, " ({expected} expected)");
        }
        table.add_row([verdict.name(), count.as_str(), mark.as_str(), verdict.meaning()]);
    }
    if let Some(column) = table.column_mut(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn figures(report: &Report) -> String {
    let outcome = &report.outcome;
    let tally = outcome.tally;
    let took = outcome.finished.saturating_sub(outcome.started).as_secs_f64();
    let rate = |count: u64| if took > 0.0 { count as f64 / took } else { 0.0 };
    let mut text = format!(
        "records: {} sent, {} sent again, {} given up; charges: {} came again, {} declined; \
         {} faults\n",
        tally.sent, tally.resent, tally.given_up, tally.repeated, tally.declined, outcome.faults
    );
    let _ = writeln!(
        text,
        "rate: {:.1} records and {:.1} charges a second; {} bytes out, {} in",
        rate(tally.confirmed),
        rate(tally.posted),
        outcome.bytes_out,
        outcome.bytes_in
    );
    if let Some(latency) = outcome.latency {
        let [min, median, p99, max] =
            [latency.min, latency.median, latency.p99, latency.max].map(short);
        let _ =
            writeln!(text, "confirmed after: min {min}, median {median}, 99 % {p99}, max {max}");
    }
    if let Some(span) = outcome.standstill {
        let from = span.from.saturating_sub(outcome.started).as_secs_f64();
        let _ = writeln!(text, "longest standstill: {}, from {from:.3} s", short(span.length()));
    }
    text
}

/// A detail that fits a line; the JSON report has it whole.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_DETAIL) {
        Some((end, _)) => format!("{} …", &text[..end]),
        None => text.to_owned(),
    }
}

/// Characters of a detail that are shown.
const MAX_DETAIL: usize = 160;
const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const DIM: &str = "2";
