//! The status for people.

use comfy_table::Table;
use comfy_table::presets::NOTHING;

use crate::driver::{CounterReport, LineReport, ServerReport};

/// The status as a headline and, for each line, what there is to know, each line ended.
pub fn render(report: &ServerReport) -> String {
    let ServerReport { server, version, start, silent, crowded, lines } = report;
    let mut text = format!("{server}: terminal-server {version}, start {start}\n");
    if lines.is_empty() {
        text += "no line answers: it is stopping\n";
    }
    for line in lines {
        text += "\n";
        text += &of_line(line).trim_fmt();
        text += "\n";
    }
    if silent + crowded > 0 {
        text += &format!(
            "\nconnections that never asked for a line: {silent} too slow, {crowded} too many\n"
        );
    }
    text
}

fn of_line(line: &LineReport) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    let up = if line.up { "up" } else { "DOWN" };
    table.add_row(["line", &format!("{} on {}, {up}", line.line, line.device)]);
    table.add_row(["state", &state(line)]);
    table.add_row(["epoch", &line.epoch]);
    let LineReport { acked, delivered, end, clients, .. } = line;
    let kept = end - acked;
    table.add_row([
        "input",
        &format!("{end} read, {delivered} handed out, {acked} acknowledged, {kept} kept"),
    ]);
    let CounterReport { bytes_in, bytes_out, bytes_lost, .. } = line.counters;
    table.add_row([
        "bytes",
        &format!("{bytes_in} in, {bytes_out} out, {bytes_lost} lost since the start"),
    ]);
    table.add_row(["grants", &grants(&line.counters)]);
    table.add_row(["refused", &refusals(&line.counters)]);
    table.add_row(["clients", &clients.to_string()]);
    table
}

fn state(line: &LineReport) -> String {
    let holder = line.holder.as_deref();
    let left = line.left_ms;
    let mut text = match (line.state.as_str(), holder) {
        ("held", Some(holder)) => {
            format!("held by {holder}, {left} of {} ms of the lease left", line.lease_ms)
        }
        ("held", None) => "held by a raw client".to_owned(),
        (_, last) => {
            let cause = line.cause.as_deref().unwrap_or("unknown");
            let last = last.map(|last| format!(", last held by {last}")).unwrap_or_default();
            format!("free ({cause}){last}")
        }
    };
    if let Some(node) = &line.reserved_for {
        text += &format!(", kept for {node} for {left} ms");
    }
    text
}

fn grants(c: &CounterReport) -> String {
    format!("{} given, {} expired", c.granted, c.expired)
}

fn refusals(c: &CounterReport) -> String {
    format!(
        "{} busy, {} strangers, {} misuse, {} slow, {} too many; {} stale output frames dropped",
        c.refused_busy, c.refused_stranger, c.misuse, c.slow, c.full, c.stale_output
    )
}
