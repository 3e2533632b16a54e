//! How a node stands: the answer of `failover-node status`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wire::{LineState, Time};

use super::events::{Events, RoleChange};
use super::journal::cause_word;
use super::network::Networks;
use super::network::report::{FindingReport, PathReport};
use super::options::{LineOptions, Options};
use super::requests::{MaintenanceAnswer, Reason};
use crate::billing::options::Job;
use crate::component::PayloadOptions;
use crate::core::{Counters, LATE_BOUNDS_MS, LOCK, LineId, MemberView, Membership, Node};

/// How a node stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeReport {
    /// Its name.
    pub node: String,
    /// Its group.
    pub group: String,
    /// Its release.
    pub version: String,
    /// `standby`, `candidate` or `coordinator`.
    pub role: String,
    /// The grant it has, as `start.count`.
    pub epoch: Option<String>,
    /// What is left of the lease, as the node counts it.
    pub lease_left_ms: Option<u64>,
    /// Higher goes first.
    pub priority: u8,
    /// Heartbeat, lease and dead after, in milliseconds.
    pub profile: String,
    /// `full`, `never-coordinator` or `observer`.
    pub member: String,
    /// Whether it is kept from leading for a while.
    pub maintenance: MaintenanceAnswer,
    /// What keeps it from leading now, the weightiest first.
    pub obstacles: Vec<Reason>,
    /// All lines, as far as this node knows; the first is the group's lock.
    pub lines: Vec<LineReport>,
    /// The other nodes that it believes.
    pub members: Vec<MemberReport>,
    /// What was counted since the start.
    pub counters: CounterReport,
    /// Datagrams that were refused, by cause.
    pub refused_datagrams: BTreeMap<String, u64>,
    /// The ways by which datagrams come.
    pub paths: Vec<PathReport>,
    /// What is wrong with the network.
    pub findings: Vec<FindingReport>,
    /// The last changes of the role, the newest last.
    pub recent: Vec<RoleChange>,
    /// The file in which all of them are.
    pub events: Option<String>,
}

/// A line, as the terminal server's beacons and answers show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineReport {
    /// Its name.
    pub line: String,
    /// Where its terminal server listens.
    pub terminal_server: String,
    /// How long ago a beacon was heard.
    pub beacon_ms: Option<u64>,
    /// `held`, `free` or `unknown`.
    pub state: String,
    /// Why it is free.
    pub cause: Option<String>,
    /// The holder; of a free line the last one.
    pub holder: Option<String>,
    /// The last grant, as `start.count`.
    pub epoch: Option<String>,
    /// For whom the free line is kept.
    pub reserved_for: Option<String>,
    /// Whether the serial device is there.
    pub up: Option<bool>,
    /// The highest epoch heard of.
    pub highest_epoch: String,
    /// The grant that this node has.
    pub held: Option<String>,
    /// What is left of its lease, as the node counts it.
    pub lease_left_ms: Option<u64>,
    /// The store of its `billing` payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// What that speaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dialect: Option<String>,
}

/// Another node of the group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberReport {
    /// Its name.
    pub node: String,
    /// `standby`, `candidate` or `coordinator`.
    pub role: String,
    /// Higher goes first.
    pub priority: u8,
    /// How long ago it was heard.
    pub heard_ms: u64,
    /// It was heard lately enough, and is not stopping.
    pub alive: bool,
    /// It may lead, as far as it says.
    pub eligible: bool,
    /// It only hears and shows.
    pub observer: bool,
    /// It is configured never to lead.
    pub never_coordinator: bool,
    /// It is in maintenance.
    pub maintenance: bool,
    /// Its check command fails.
    pub unhealthy: bool,
    /// The highest version of datagrams that it reads.
    pub speaks: u8,
    /// It hears the terminal server's beacons.
    pub hears_beacons: bool,
    /// It could not connect a short while ago, and goes last.
    pub connect_failed: bool,
    /// It lost or gave up the line a short while ago, and goes last.
    pub held_down: bool,
    /// It is stopping.
    pub leaving: bool,
    /// Its settings are not those of this node.
    pub settings_differ: bool,
}

/// The core's counters, by their lasting names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each is explained in crate::core::Counters")]
pub struct CounterReport {
    pub heartbeats_sent: u64,
    pub heartbeats_heard: u64,
    pub heartbeats_old: u64,
    pub heartbeats_unproven: u64,
    pub duplicate_name: u64,
    pub members_full: u64,
    pub beacons_heard: u64,
    pub beacons_old: u64,
    pub claims: u64,
    pub grants: u64,
    pub refused: u64,
    pub failed: u64,
    pub lost: u64,
    pub late: u64,
    pub late_max_us: u64,
    pub late_histogram: Vec<LateReport>,
}

/// Late wake-ups of one class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LateReport {
    /// Later than those of the class before, and earlier than this; `None`: the rest.
    pub below_ms: Option<u64>,
    /// So many.
    pub count: u64,
}

impl NodeReport {
    pub(crate) fn new(
        options: &Options,
        node: &Node,
        heartbeats: &Networks,
        events: &Events,
        now: Time,
    ) -> Self {
        let left = |until: Time| millis(until.since(now));
        Self {
            node: options.node.to_string(),
            group: options.group.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            role: node.role().as_str().to_owned(),
            epoch: node.epoch(LOCK).map(|epoch| epoch.to_string()),
            lease_left_ms: node.lease_until(LOCK).map(left),
            priority: options.behaviour.priority,
            profile: options.profile.to_string(),
            member: member_word(options.behaviour.membership).to_owned(),
            maintenance: MaintenanceAnswer::new(node, now),
            obstacles: Reason::all(node, now),
            lines: (0..options.lines.len())
                .map(|line| LineReport::new(options, node, line, now))
                .collect(),
            members: node.members().map(|member| MemberReport::new(member, node, now)).collect(),
            counters: CounterReport::new(node.counters()),
            refused_datagrams: heartbeats.refused(),
            paths: heartbeats.path_reports(now),
            findings: heartbeats.finding_reports(now),
            recent: events.recent(),
            events: options.events.as_ref().map(|path| path.display().to_string()),
        }
    }
}

impl LineReport {
    fn new(options: &Options, node: &Node, line: LineId, now: Time) -> Self {
        let status = node.line_status(line);
        let (state, cause) = match status.map(|status| status.state) {
            None => ("unknown", None),
            Some(LineState::Held) => ("held", None),
            Some(LineState::Free(cause)) => ("free", Some(cause_word(Some(cause)).to_owned())),
        };
        Self {
            line: options.lines[line].line.to_string(),
            terminal_server: options.lines[line].terminal_server.clone(),
            beacon_ms: node.last_beacon(line).map(|at| millis(now.since(at))),
            state: state.to_owned(),
            cause,
            holder: status.and_then(|s| s.holder.as_ref()).map(ToString::to_string),
            epoch: status.map(|s| s.epoch.to_string()),
            reserved_for: status.and_then(|s| s.reserved_for.as_ref()).map(ToString::to_string),
            up: status.map(|s| s.up),
            highest_epoch: node.highest_epoch(line).to_string(),
            held: node.epoch(line).map(|epoch| epoch.to_string()),
            lease_left_ms: node.lease_until(line).map(|until| millis(until.since(now))),
            store: job(&options.lines[line]).map(|job| job.store.display().to_string()),
            dialect: job(&options.lines[line]).map(|job| job.dialect.clone()),
        }
    }
}

impl MemberReport {
    fn new(member: MemberView<'_>, node: &Node, now: Time) -> Self {
        let MemberView { heartbeat, heard, .. } = member;
        let quiet = now.since(heard);
        Self {
            node: heartbeat.node.to_string(),
            role: heartbeat.role.as_str().to_owned(),
            priority: heartbeat.priority,
            heard_ms: millis(quiet),
            alive: !heartbeat.leaving && quiet < node.config().profile.dead_after,
            eligible: heartbeat.eligible(),
            observer: heartbeat.observer,
            never_coordinator: heartbeat.barred,
            maintenance: heartbeat.maintenance,
            unhealthy: heartbeat.unhealthy,
            speaks: heartbeat.speaks,
            hears_beacons: heartbeat.hears_beacons,
            connect_failed: heartbeat.connect_failed,
            held_down: heartbeat.held_down,
            leaving: heartbeat.leaving,
            settings_differ: !node.config().digests.knows(heartbeat.digest),
        }
    }
}

impl CounterReport {
    fn new(counters: &Counters) -> Self {
        Self {
            heartbeats_sent: counters.heartbeats_sent,
            heartbeats_heard: counters.heartbeats_heard,
            heartbeats_old: counters.heartbeats_old,
            heartbeats_unproven: counters.heartbeats_unproven,
            duplicate_name: counters.duplicate_name,
            members_full: counters.members_full,
            beacons_heard: counters.beacons_heard,
            beacons_old: counters.beacons_old,
            claims: counters.claims,
            grants: counters.grants,
            refused: counters.refused,
            failed: counters.failed,
            lost: counters.lost,
            late: counters.late,
            late_max_us: counters.late_max_us,
            late_histogram: LateReport::all(counters),
        }
    }
}

impl LateReport {
    fn all(counters: &Counters) -> Vec<Self> {
        let bounds = LATE_BOUNDS_MS.into_iter().map(Some).chain([None]);
        let classes = bounds.zip(counters.late_histogram);
        classes.map(|(below_ms, count)| Self { below_ms, count }).collect()
    }
}

/// What a line's gateway is told, if it has one.
fn job(line: &LineOptions) -> Option<&Job> {
    match &line.payload {
        Some(PayloadOptions::Billing(billing)) => Some(&billing.job),
        _ => None,
    }
}

/// The word for a membership, as in the file.
pub(crate) fn member_word(membership: Membership) -> &'static str {
    match membership {
        Membership::Full => "full",
        Membership::NeverCoordinator => "never-coordinator",
        Membership::Observer => "observer",
    }
}

/// What the node is, in one line.
pub(crate) fn headline(node: &Node, now: Time) -> String {
    let (role, line) = (node.role().as_str(), &node.config().lines[0]);
    let alive = |m: &MemberView<'_>| now.since(m.heard) < node.config().profile.dead_after;
    let heard = node.members().filter(alive).count();
    match node.epoch(LOCK) {
        Some(epoch) => format!("{role} of line {line}, epoch {epoch}; hears {heard} other nodes"),
        None => format!("{role} of line {line}; hears {heard} other nodes"),
    }
}

fn millis(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
