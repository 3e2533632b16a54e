//! The status for people.

use comfy_table::Table;
use comfy_table::presets::NOTHING;

use crate::driver::NodeReport;
use crate::driver::report::{CounterReport, LineReport, MemberReport};
use crate::driver::requests::{MaintenanceAnswer, WhyNotAnswer};
use crate::history::span;

/// The status as a headline, what there is to know about node and line, and the members, each line
/// ended.
pub fn render(report: &NodeReport) -> String {
    let NodeReport { node, group, version, role, .. } = report;
    let mut text = format!("{node}: {role} of group {group}, failover-node {version}\n\n");
    text += &facts(report).trim_fmt();
    text += "\n\n";
    if report.members.is_empty() {
        text += "no other node is heard\n";
    } else {
        text += &members(&report.members).trim_fmt();
        text += "\n";
    }
    text
}

/// How it stands with a node's maintenance.
pub fn maintenance(maintenance: &MaintenanceAnswer) -> String {
    match (maintenance.on, maintenance.left_ms) {
        (true, Some(left)) => format!("in maintenance for another {}", span(left)),
        (true, None) => "in maintenance until it is switched off".to_owned(),
        (false, _) => "not in maintenance".to_owned(),
    }
}

/// Why a node would not lead: a headline, and a sentence for each reason.
pub fn why_not(why: &WhyNotAnswer) -> String {
    let mut text = match (why.leads, why.would) {
        (true, _) => "this node leads\n",
        (false, true) => "this node would lead now\n",
        (false, false) => "this node would not lead now:\n",
    }
    .to_owned();
    for (n, reason) in (1..).zip(&why.reasons) {
        text += &format!("  {n}. {}\n", reason.text);
    }
    text
}

fn facts(report: &NodeReport) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    let mut row = |name: &str, fact: String| {
        table.add_row([name, &fact]);
    };
    row("line", line(&report.line));
    row("state", state(&report.line));
    if let (Some(epoch), Some(left)) = (&report.epoch, report.lease_left_ms) {
        row("grant", format!("epoch {epoch}, {left} ms of the lease left"));
    }
    row("profile", format!("{} ms, priority {}", report.profile, report.priority));
    let c = &report.counters;
    row("claims", claims(c));
    row("heard", format!("{} heartbeats, {} beacons", c.heartbeats_heard, c.beacons_heard));
    row("refused", refusals(report));
    row("late", format!("{} wake-ups, the latest by {} us", c.late, c.late_max_us));
    flush_left(&mut table, 2);
    table
}

fn line(line: &LineReport) -> String {
    let up = match line.up {
        Some(true) => ", up",
        Some(false) => ", DOWN",
        None => "",
    };
    let beacon = match line.beacon_ms {
        Some(ms) => format!("beacon {ms} ms ago"),
        None => "no beacon heard".to_owned(),
    };
    format!("{} at {}{up}, {beacon}", line.line, line.terminal_server)
}

fn state(line: &LineReport) -> String {
    let epoch = line.epoch.as_deref().unwrap_or("unknown");
    let holder = line.holder.as_deref();
    let mut text = match (line.state.as_str(), holder) {
        ("held", Some(holder)) => format!("held by {holder}, epoch {epoch}"),
        ("held", None) => format!("held, epoch {epoch}"),
        ("free", last) => {
            let cause = line.cause.as_deref().unwrap_or("unknown");
            let last = last.map(|last| format!(", last held by {last}")).unwrap_or_default();
            format!("free ({cause}){last}, epoch {epoch}")
        }
        _ => "nothing heard of it".to_owned(),
    };
    if let Some(node) = &line.reserved_for {
        text += &format!(", kept for {node}");
    }
    text
}

fn claims(c: &CounterReport) -> String {
    format!(
        "{} made, {} granted, {} refused, {} failed; {} grants lost",
        c.claims, c.grants, c.refused, c.failed, c.lost
    )
}

fn refusals(report: &NodeReport) -> String {
    let c = &report.counters;
    let heartbeats = [
        ("old", c.heartbeats_old),
        ("unproven", c.heartbeats_unproven),
        ("under our name", c.duplicate_name),
        ("too many nodes", c.members_full),
        ("old beacons", c.beacons_old),
    ];
    let all = report.refused_datagrams.iter().map(|(cause, count)| (cause.as_str(), *count));
    let all: Vec<String> = all
        .chain(heartbeats)
        .filter(|(_, count)| *count > 0)
        .map(|(cause, count)| format!("{count} {cause}"))
        .collect();
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}

fn members(members: &[MemberReport]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(["NODE", "ROLE", "PRIORITY", "HEARD", "REMARKS"]);
    for member in members {
        table.add_row([
            member.node.clone(),
            member.role.clone(),
            member.priority.to_string(),
            format!("{} ms ago", member.heard_ms),
            remarks(member),
        ]);
    }
    flush_left(&mut table, 5);
    table
}

/// No space before the first column, two between columns.
fn flush_left(table: &mut Table, columns: usize) {
    for index in 0..columns {
        if let Some(column) = table.column_mut(index) {
            column.set_padding((0, 2));
        }
    }
}

fn remarks(member: &MemberReport) -> String {
    let remarks = [
        (!member.alive && !member.leaving, "gone"),
        (member.leaving, "stopping"),
        (!member.hears_beacons, "hears no beacons"),
        (member.connect_failed, "could not connect"),
        (member.held_down, "lets others go first"),
        (member.settings_differ, "OTHER SETTINGS"),
    ];
    let all: Vec<&str> = remarks.into_iter().filter(|r| r.0).map(|r| r.1).collect();
    all.join(", ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn squeeze(text: &str) -> String {
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_status_tells_what_there_is_to_know() {
        let counters = CounterReport {
            heartbeats_sent: 20,
            heartbeats_heard: 19,
            heartbeats_old: 2,
            heartbeats_unproven: 0,
            duplicate_name: 0,
            members_full: 0,
            beacons_heard: 33,
            beacons_old: 0,
            claims: 1,
            grants: 1,
            refused: 0,
            failed: 0,
            lost: 0,
            late: 0,
            late_max_us: 812,
        };
        let report = NodeReport {
            node: "a".into(),
            group: "desk".into(),
            version: "0.1.0".into(),
            role: "coordinator".into(),
            epoch: Some("1.7".into()),
            lease_left_ms: Some(371),
            priority: 100,
            profile: "100/400/450".into(),
            line: LineReport {
                line: "pms".into(),
                terminal_server: "10.0.0.5:4101".into(),
                beacon_ms: Some(12),
                state: "held".into(),
                cause: None,
                holder: Some("a".into()),
                epoch: Some("1.7".into()),
                reserved_for: None,
                up: Some(true),
                highest_epoch: "1.7".into(),
            },
            members: vec![MemberReport {
                node: "b".into(),
                role: "standby".into(),
                priority: 90,
                heard_ms: 42,
                alive: true,
                hears_beacons: false,
                connect_failed: false,
                held_down: false,
                leaving: false,
                settings_differ: true,
            }],
            counters,
            refused_datagrams: BTreeMap::from([("mac".into(), 3)]),
            paths: Vec::new(),
            findings: Vec::new(),
            recent: Vec::new(),
            events: None,
        };
        let text = render(&report);
        for part in [
            "a: coordinator of group desk, failover-node 0.1.0\n",
            "pms at 10.0.0.5:4101, up, beacon 12 ms ago",
            "held by a, epoch 1.7",
            "epoch 1.7, 371 ms of the lease left",
            "3 mac, 2 old",
            "1 made, 1 granted, 0 refused, 0 failed; 0 grants lost",
            "b     standby  90        42 ms ago  hears no beacons, OTHER SETTINGS",
        ] {
            assert!(squeeze(&text).contains(&squeeze(part)), "{part} in:\n{text}");
        }
        assert!(text.lines().all(|line| line == line.trim_end()), "{text}");
    }
}
