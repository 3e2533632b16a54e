//! The status for people.

use comfy_table::Table;
use comfy_table::presets::NOTHING;

use crate::driver::NodeReport;
use crate::driver::network::report::PathReport;
use crate::driver::report::{CounterReport, LineReport, MemberReport};
use crate::driver::requests::{MaintenanceAnswer, WhyNotAnswer};
use crate::history::{sentence, span};

/// The status as a headline, what there is to know about this node, the lines, the group, and what
/// is wrong; each line ended.
pub fn render(report: &NodeReport) -> String {
    let NodeReport { node, group, version, role, .. } = report;
    let mut text = format!("{node}: {role} of group {group}, failover-node {version}\n\n");
    text += &format!("{}\n\n", facts(report).trim_fmt());
    text += &format!("{}\n\n", lines(&report.lines).trim_fmt());
    text += &format!("{}\n", members(report).trim_fmt());
    if report.members.is_empty() {
        text += "no other node is heard\n";
    }
    text += &format!("\n{}\n", paths(&report.paths).trim_fmt());
    for finding in &report.findings {
        text += &format!("\n{}: {}\n", finding.code, finding.words);
    }
    if !report.recent.is_empty() {
        text += "\nlast changes\n";
    }
    for change in report.recent.iter().rev() {
        text += &format!("  {}\n", sentence(change));
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
    let mut table = table();
    let mut row = |name: &str, fact: String| {
        table.add_row([name, &fact]);
    };
    if let (Some(epoch), Some(left)) = (&report.epoch, report.lease_left_ms) {
        row("grant", format!("epoch {epoch}, {left} ms of the lease left"));
    }
    let NodeReport { profile, priority, member, .. } = report;
    row("profile", format!("{profile} ms, priority {priority}, {member} member"));
    if report.maintenance.on {
        row("maintenance", maintenance(&report.maintenance));
    }
    let first = report.obstacles.first();
    row(
        "leads",
        match (report.role.as_str(), first) {
            ("coordinator", _) => "yes".to_owned(),
            (_, None) => "would now".to_owned(),
            (_, Some(first)) => format!("not now: {}", first.text),
        },
    );
    let c = &report.counters;
    row("claims", claims(c));
    row("heard", format!("{} heartbeats, {} beacons", c.heartbeats_heard, c.beacons_heard));
    row("refused", refusals(report));
    row("late", format!("{} wake-ups, the latest by {} us", c.late, c.late_max_us));
    row("wake-ups", wake_ups(c));
    flush_left(&mut table, 2);
    table
}

fn wake_ups(counters: &CounterReport) -> String {
    let classes = counters.late_histogram.iter().filter(|class| class.count > 0);
    let classes: Vec<String> = classes
        .map(|class| match class.below_ms {
            Some(below) => format!("{} below {below} ms", class.count),
            None => format!("{} later", class.count),
        })
        .collect();
    if classes.is_empty() { "none yet".to_owned() } else { classes.join(", ") }
}

fn lines(lines: &[LineReport]) -> Table {
    let mut table = table();
    table.set_header(["LINE", "TERMINAL SERVER", "BEACON", "DEVICE", "STATE"]);
    for line in lines {
        let up = match line.up {
            Some(true) => "up",
            Some(false) => "DOWN",
            None => "?",
        };
        let beacon =
            line.beacon_ms.map_or_else(|| "none".to_owned(), |ms| format!("{} ago", span(ms)));
        let server = if line.terminal_server.is_empty() { "-" } else { &line.terminal_server };
        table.add_row([line.line.as_str(), server, &beacon, up, &state(line)]);
    }
    flush_left(&mut table, 5);
    table
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
    if let Some(left) = line.lease_left_ms {
        text += &format!(", {left} ms of our lease left");
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

/// The whole group, this node first.
fn members(report: &NodeReport) -> Table {
    let mut table = table();
    table.set_header(["NODE", "ROLE", "PRIORITY", "HEARD", "LOSS", "REMARKS"]);
    let codes: Vec<&str> = report.obstacles.iter().map(|reason| reason.reason.as_str()).collect();
    let NodeReport { node, role, priority, .. } = report;
    let priority = priority.to_string();
    table.add_row([node, role, &priority, "this node", "-", &codes.join(", ")]);
    for member in &report.members {
        table.add_row([
            member.node.clone(),
            member.role.clone(),
            member.priority.to_string(),
            format!("{} ago", span(member.heard_ms)),
            loss(report, &member.node),
            remarks(member),
        ]);
    }
    flush_left(&mut table, 6);
    table
}

/// Of each path by which a node was ever heard.
fn loss(report: &NodeReport, node: &str) -> String {
    let heard = report.paths.iter().filter_map(|path| path.nodes.iter().find(|n| n.node == node));
    let all: Vec<String> = heard.map(|heard| format!("{} %", heard.loss_percent)).collect();
    if all.is_empty() { "-".to_owned() } else { all.join(" / ") }
}

fn paths(paths: &[PathReport]) -> Table {
    let mut table = table();
    table.set_header(["PATH", "HEARD", "STATE"]);
    for path in paths {
        let heard =
            path.heard_ms.map_or_else(|| "never".to_owned(), |ms| format!("{} ago", span(ms)));
        let trouble = path.trouble.as_deref().unwrap_or("up");
        table.add_row([path.path.as_str(), &heard, trouble]);
    }
    flush_left(&mut table, 3);
    table
}

pub(crate) fn table() -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table
}

/// No space before the first column, two between columns.
pub(crate) fn flush_left(table: &mut Table, columns: usize) {
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
        (member.observer, "observer"),
        (member.never_coordinator, "never-coordinator"),
        (member.maintenance, "maintenance"),
        (member.unhealthy, "UNHEALTHY"),
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
    use crate::driver::network::report::PathNodeReport;
    use crate::driver::report::LateReport;

    fn squeeze(text: &str) -> String {
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn counters() -> CounterReport {
        CounterReport {
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
            late_histogram: vec![
                LateReport { below_ms: Some(1), count: 40 },
                LateReport { below_ms: None, count: 1 },
            ],
        }
    }

    fn report() -> NodeReport {
        NodeReport {
            node: "a".into(),
            group: "desk".into(),
            version: "0.1.0".into(),
            role: "coordinator".into(),
            epoch: Some("1.7".into()),
            lease_left_ms: Some(371),
            priority: 100,
            profile: "100/400/450".into(),
            member: "full".into(),
            maintenance: MaintenanceAnswer { on: true, left_ms: Some(90_000), to: None },
            obstacles: Vec::new(),
            lines: vec![LineReport {
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
                held: Some("1.7".into()),
                lease_left_ms: Some(371),
                store: None,
                dialect: None,
            }],
            members: vec![MemberReport {
                node: "b".into(),
                role: "standby".into(),
                priority: 90,
                heard_ms: 42,
                alive: true,
                eligible: true,
                observer: false,
                never_coordinator: false,
                maintenance: false,
                unhealthy: true,
                speaks: 2,
                hears_beacons: false,
                connect_failed: false,
                held_down: false,
                leaving: false,
                settings_differ: true,
            }],
            counters: counters(),
            refused_datagrams: BTreeMap::from([("mac".into(), 3)]),
            paths: vec![PathReport {
                path: "239.255.77.1:4100 on eth0".into(),
                trouble: None,
                heard_ms: Some(42),
                nodes: vec![PathNodeReport { node: "b".into(), loss_percent: 3, heard_ms: 42 }],
            }],
            findings: Vec::new(),
            recent: Vec::new(),
            events: None,
        }
    }

    #[test]
    fn a_status_tells_what_there_is_to_know() {
        let text = render(&report());
        for part in [
            "a: coordinator of group desk, failover-node 0.1.0\n",
            "pms 10.0.0.5:4101 12 ms ago up held by a, epoch 1.7, 371 ms of our lease left",
            "maintenance in maintenance for another 1 min",
            "40 below 1 ms, 1 later",
            "239.255.77.1:4100 on eth0 42 ms ago up",
            "epoch 1.7, 371 ms of the lease left",
            "3 mac, 2 old",
            "1 made, 1 granted, 0 refused, 0 failed; 0 grants lost",
            "b standby 90 42 ms ago 3 % UNHEALTHY, hears no beacons, OTHER SETTINGS",
            "a coordinator 100 this node -",
        ] {
            assert!(squeeze(&text).contains(&squeeze(part)), "{part} in:\n{text}");
        }
        assert!(text.lines().all(|line| line == line.trim_end()), "{text}");
    }
}
