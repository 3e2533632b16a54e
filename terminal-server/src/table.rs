//! The status for people.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};

use crate::config::Config;
use crate::core::Counters;
use crate::driver::{
    LineOptions, LineReport, ListenOptions, PortOptions, RefusalReport, ServerReport,
};

/// The status as a headline and what there is to know of a line, or a row for each of several; and
/// then what is not as it should be. Each line ended.
pub fn render(report: &ServerReport) -> String {
    let ServerReport { server, version, start, refused, listeners, lines } = report;
    let mut text = format!("{server}: terminal-server {version}, start {start}\n\n");
    match lines.as_slice() {
        [] => text += "no line answers: it is stopping\n",
        [line] => text += &format!("{}\n", of_line(line).trim_fmt()),
        lines => text += &format!("{}\n", of_lines(lines).trim_fmt()),
    }
    let failed = listeners.iter().filter_map(|listener| Some((listener, listener.error.as_ref()?)));
    for (listener, error) in failed {
        text += &format!("\nnot listening: {} on {}: {error}\n", listener.speech, listener.address);
    }
    if refused.total() > 0 {
        text += &format!("\nconnections that never reached a line: {}\n", strangers(refused));
    }
    text
}

/// What a checked configuration comes to.
pub fn of_config(config: &Config) -> String {
    let lines = &config.options.lines;
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(["line", "device", "settings", "groups", "listens"]);
    for LineOptions { line, port, groups, listeners, .. } in lines {
        let groups: Vec<_> = groups.iter().map(|group| group.group.to_string()).collect();
        let listeners: Vec<_> = listeners.iter().map(listener).collect();
        let device = match port {
            PortOptions::Tty { .. } => port.name(),
            PortOptions::Virtual { .. } => format!("virtual {}", port.name()),
        };
        let groups = if groups.is_empty() { "-".to_owned() } else { groups.join(", ") };
        let settings = port.settings().to_string();
        table.add_row([line.to_string(), device, settings, groups, listeners.join(", ")]);
    }
    let mut text = format!("OK: {} lines\n\n{}\n", lines.len(), table.trim_fmt());
    for warning in &config.warnings {
        text += &format!("\nwarning: {warning}\n");
    }
    text
}

fn listener(listen: &ListenOptions) -> String {
    let mut text = format!("{} {}", listen.speech.word(), listen.address);
    if !listen.allow.is_empty() {
        let allow: Vec<_> = listen.allow.iter().map(ToString::to_string).collect();
        text += &format!(" from {}", allow.join(" "));
    }
    text
}

fn of_lines(lines: &[LineReport]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    let numbers = ["clients", "read", "kept", "in", "out", "lost", "refused"];
    table.set_header(["line", "device", "state", "holder"].into_iter().chain(numbers));
    for line in lines {
        let LineReport { acked, end, clients, counters, .. } = line;
        let Counters { bytes_in, bytes_out, bytes_lost, .. } = counters;
        let kept = end - acked;
        let numbers =
            [*clients as u64, *end, kept, *bytes_in, *bytes_out, *bytes_lost, counters.refused()];
        let device = if line.up { "up" } else { "DOWN" };
        let holder = line.holder.as_deref().filter(|_| line.state == "held").unwrap_or("-");
        let words = [&line.line, device, &line.state, holder].map(str::to_owned);
        table.add_row(words.into_iter().chain(numbers.map(|number| number.to_string())));
    }
    for column in table.column_iter_mut().skip(4) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn strangers(refused: &RefusalReport) -> String {
    let RefusalReport { silent, crowded, forbidden, crowding, no_line } = refused;
    format!(
        "{silent} too slow, {crowded} too many, {forbidden} not allowed, \
         {crowding} too many from one address, {no_line} while their line was not there"
    )
}

fn of_line(line: &LineReport) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    let up = match &line.trouble {
        None if line.up => "up".to_owned(),
        None => "DOWN".to_owned(),
        Some(trouble) => format!("DOWN: {trouble}"),
    };
    let mut device = line.device.clone();
    if let Some(path) = line.path.as_ref().filter(|path| **path != device) {
        device += &format!(" ({path})");
    }
    table.add_row(["line", &format!("{} on {device}, {up}", line.line)]);
    let wires = if line.wires.is_empty() { "none" } else { &line.wires };
    table.add_row(["settings", &format!("{}, wires {wires}", line.settings)]);
    table.add_row(["state", &state(line)]);
    table.add_row(["epoch", &line.epoch]);
    let LineReport { acked, delivered, end, clients, .. } = line;
    let kept = end - acked;
    table.add_row([
        "input",
        &format!("{end} read, {delivered} handed out, {acked} acknowledged, {kept} kept"),
    ]);
    let Counters { bytes_in, bytes_out, bytes_lost, bytes_expired, .. } = line.counters;
    table.add_row([
        "bytes",
        &format!("{bytes_in} in, {bytes_out} out, {bytes_lost} lost, {bytes_expired} too old"),
    ]);
    let Counters { line_errors, bytes_missed, lagging, unheard, .. } = line.counters;
    table.add_row(["errors", &format!("{line_errors} breaks and errors on the line")]);
    table.add_row([
        "observers",
        &format!("{bytes_missed} bytes missed, {lagging} closed, {unheard} bytes not heard"),
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

fn grants(c: &Counters) -> String {
    format!("{} given, {} expired", c.granted, c.expired)
}

fn refusals(c: &Counters) -> String {
    format!(
        "{} busy, {} strangers, {} misuse, {} slow, {} too many, {} replaced; \
         {} stale output frames dropped",
        c.refused_busy, c.refused_stranger, c.misuse, c.slow, c.full, c.replaced, c.stale_output
    )
}
