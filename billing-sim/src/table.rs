//! Reports for people.

use std::fmt::Write;
use std::time::Duration;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};

use crate::core::event::Verdict;
use crate::core::report::Report;

/// The report as a table and a line that says whether it passed, each line ended. Times of findings
/// count from the start of the run.
pub fn render(report: &Report) -> String {
    let outcome = &report.outcome;
    let took = outcome.finished.saturating_sub(outcome.started);
    let mut text = format!("{}\n\n{}\n", headline(report), verdicts(report).trim_fmt());
    if let Some(latency) = outcome.latency {
        let times = [latency.min, latency.median, latency.p99, latency.max].map(short);
        let [min, median, p99, max] = times;
        text += &format!("answer time: min {min}, median {median}, 99 % {p99}, max {max}\n");
    }
    if let Some(span) = outcome.unserved.longest {
        let (length, from) = (short(span.length()), at(span.from, outcome.started));
        text += &format!("longest unserved: {length}, from {from}");
        let count = outcome.unserved.spans.len() as u64 + outcome.unserved.spans_omitted;
        text += &format!(" ({count} of at least {})\n", short(outcome.unserved.over));
    }
    for finding in &outcome.findings {
        let (when, verdict) = (at(finding.at, outcome.started), finding.verdict);
        text += &format!("  {when:>11}  {verdict:9}  {}\n", finding.detail);
    }
    if outcome.findings_omitted > 0 {
        text += &format!("  and {} more\n", outcome.findings_omitted);
    }
    if report.events_dropped > 0 {
        text += &format!("{} events were not delivered in time\n", report.events_dropped);
    }
    if outcome.received.answers == 0 {
        text += "no record was answered: such a run proves nothing and does not pass\n";
    }
    let verdict = if report.pass { "PASS" } else { "FAIL" };
    let (sent, answers) = (outcome.sent.records, outcome.received.answers);
    let _ = writeln!(
        text,
        "{verdict}: {sent} records sent, {answers} answers, {} ({})",
        short(took),
        outcome.ended
    );
    text
}

fn headline(report: &Report) -> String {
    let run = &report.run;
    let pace = match (run.paced, run.interval.is_zero()) {
        (true, true) => "back to back".to_owned(),
        (true, false) => format!("a record each {}", short(run.interval)),
        (false, true) => "unpaced".to_owned(),
        (false, false) => format!("unpaced, a record each {}", short(run.interval)),
    };
    format!("{} at {}, dialect {}, seed {}, {pace}", run.port, run.line, run.dialect, run.seed)
}

fn verdicts(report: &Report) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    for (verdict, meaning) in MEANINGS {
        let count = report.outcome.verdicts.get(verdict);
        let mark = match (count, verdict) {
            (0, _) => "ok",
            (_, Verdict::Partial) => "noted",
            _ => "FAILED",
        };
        let (verdict, count) = (verdict.to_string(), count.to_string());
        table.add_row([verdict.as_str(), count.as_str(), mark, meaning]);
    }
    if let Some(column) = table.column_mut(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// A length of time as people write it: three digits, more or less.
pub fn short(time: Duration) -> String {
    let micros = time.as_micros();
    match micros {
        0..1_000 => format!("{micros} us"),
        1_000..100_000 => format!("{:.1} ms", time.as_secs_f64() * 1e3),
        100_000..1_000_000 => format!("{:.0} ms", time.as_secs_f64() * 1e3),
        _ => format!("{:.1} s", time.as_secs_f64()),
    }
}

/// A point in time, since the start of the run.
fn at(time: Duration, started: Duration) -> String {
    format!("{:.3} s", time.saturating_sub(started).as_secs_f64())
}

const MEANINGS: [(Verdict, &str); 6] = [
    (Verdict::Lost, "records never answered"),
    (Verdict::Doubled, "records answered again"),
    (Verdict::Torn, "damaged records answered as if good"),
    (Verdict::Reordered, "answers out of order"),
    (Verdict::Mixed, "bytes that are no answer"),
    (Verdict::Partial, "answers cut off and begun anew"),
];
