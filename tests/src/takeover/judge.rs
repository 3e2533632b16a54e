//! What must be true in the end, seen from the billing system and from the stores.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use billing::SimEvent;
use failover_node::billing::store::StoreError;

use super::payload::Call;
use super::place::{InRow, OutRow};
use super::setting::{Setting, Stores};

/// How a run ended.
pub struct Report {
    /// What the billing system saw.
    pub events: Vec<SimEvent>,
    /// All bytes that it heard.
    pub heard: Vec<u8>,
    /// The stores' inboxes.
    pub inboxes: Vec<Vec<InRow>>,
    /// The stores' outboxes.
    pub outboxes: Vec<Vec<OutRow>>,
    /// What stores have refused.
    pub refused: Vec<StoreError>,
    /// Bytes over the cable, both ways.
    pub bytes: u64,
    /// Commits.
    pub writes: u64,
    /// Frames of payloads.
    pub frames: u64,
    /// Nothing of the plan is left.
    pub are_faults_over: bool,
    /// Grants given.
    pub granted: u64,
    /// Output frames of ended grants that were refused on arrival.
    pub stale: u64,
    /// Output frames that were dropped at the end of their grant.
    pub dropped: usize,
    /// What the terminal server objected to.
    pub objections: Vec<String>,
    /// Bytes that came while no terminal server was there.
    pub lost: u64,
    /// Records that a handler was called for: stream and place, in order.
    pub calls: Vec<Call>,
    /// Virtual time.
    pub took: Duration,
    /// Every frame, where that was wanted.
    pub trace: Vec<String>,
}

/// What is wrong with a run in which the line itself lost nothing: one sentence each.
pub fn judge(setting: &Setting, report: &Report) -> Vec<String> {
    let mut findings = Vec::new();
    if !report.are_faults_over {
        findings.push("not all of the plan has happened".to_owned());
    }
    findings.extend(report.objections.iter().map(|o| format!("the terminal server objects: {o}")));
    findings.extend(mixed(report));
    findings.extend(charges(setting, report));
    findings.extend(outboxes(setting, report));
    findings.extend(records(report));
    findings.extend(answers(setting, report));
    findings
}

/// Each record is confirmed once, and where the dialect answers commands, each is answered once.
fn answers(setting: &Setting, report: &Report) -> Vec<String> {
    let count = |wanted: &dyn Fn(&SimEvent) -> Option<u64>, serial: u64| {
        report.events.iter().filter(|event| wanted(event) == Some(serial)).count()
    };
    let confirmed = |event: &SimEvent| match event {
        SimEvent::Confirmed { serial } | SimEvent::GaveUp { serial } => Some(*serial),
        _ => None,
    };
    let answered = |event: &SimEvent| match event {
        SimEvent::Answered { serial, .. } => Some(*serial),
        _ => None,
    };
    let queued = |event: &SimEvent| match event {
        SimEvent::Queued { serial, .. } => Some(*serial),
        _ => None,
    };
    let mut findings = Vec::new();
    for serial in report.events.iter().filter_map(queued) {
        let (confirmed, answered) = (count(&confirmed, serial), count(&answered, serial));
        let wanted = usize::from(setting.dialect.name() == "cable");
        if confirmed != 1 || answered != wanted {
            findings.push(format!(
                "record {serial} was confirmed {confirmed} and answered {answered} times"
            ));
        }
    }
    findings
}

/// What the billing system may never see where no byte is lost.
fn mixed(report: &Report) -> Vec<String> {
    let bad = |event: &&SimEvent| {
        matches!(
            event,
            SimEvent::GaveUp { .. }
                | SimEvent::Overwritten { .. }
                | SimEvent::Conflict { .. }
                | SimEvent::Declined { .. }
                | SimEvent::Gap { .. }
                | SimEvent::Reordered { .. }
                | SimEvent::BadCheck { .. }
                | SimEvent::Interleave { .. }
                | SimEvent::Partial { .. }
                | SimEvent::AnswerReplayed
                | SimEvent::LateAnswer { .. }
        )
    };
    report.events.iter().filter(bad).map(|event| format!("the billing system: {event:?}")).collect()
}

/// Each charge is posted once, under a number of its own, and each node's charges in their order.
pub fn charges(setting: &Setting, report: &Report) -> Vec<String> {
    let mut findings = Vec::new();
    let mut numbers = BTreeSet::new();
    let mut times: BTreeMap<&[u8], Vec<u64>> = BTreeMap::new();
    for event in &report.events {
        if let SimEvent::Posted { number, content, .. } = event {
            times.entry(content).or_default().push(*number);
            if !numbers.insert(*number) {
                findings.push(format!("number {number} was posted twice"));
            }
        }
    }
    let mut last = [0; 2];
    for n in 1..=setting.charges {
        let Some(charge) = setting.dialect.charge(setting.seed, n) else { break };
        let content = setting.dialect.content(&charge).ok().flatten().unwrap_or_default();
        let posted = times.remove(&content[..]).unwrap_or_default();
        if posted.len() != 1 {
            findings.push(format!("charge {n} was posted {} times: {posted:?}", posted.len()));
        }
        let home = usize::from(setting.stores == Stores::Own && n % 2 == 0);
        let number = posted.first().copied().unwrap_or(u64::MAX);
        if number < last[home] {
            findings.push(format!("charge {n} was posted before one that came earlier"));
        }
        last[home] = number;
    }
    findings
        .extend(times.values().map(|numbers| format!("nobody's charge was posted: {numbers:?}")));
    findings
}

/// In every store every charge has come to its end, under the number under which it was posted.
pub fn outboxes(setting: &Setting, report: &Report) -> Vec<String> {
    let mut findings = Vec::new();
    let mut posted = BTreeMap::new();
    for event in &report.events {
        if let SimEvent::Posted { number, content, .. } = event {
            posted.insert(&content[..], *number);
        }
    }
    for n in 1..=setting.charges {
        let Some(charge) = setting.dialect.charge(setting.seed, n) else { break };
        let content = setting.dialect.content(&charge).ok().flatten().unwrap_or_default();
        let rows: Vec<_> =
            report.outboxes.iter().flatten().filter(|row| row.key == charge.key).collect();
        let ended = |row: &&OutRow| matches!(row.state.as_str(), "posted" | "elsewhere");
        if rows.is_empty() || !rows.iter().all(ended) {
            findings.push(format!("charge {n} has not come to its end: {rows:?}"));
        }
        let number = posted.get(&content[..]).copied();
        let known = |row: &&OutRow| row.state == "posted" && row.number == number;
        if !rows.iter().any(known) {
            findings.push(format!("no store knows that charge {n} is {number:?}: {rows:?}"));
        }
    }
    findings
}

/// Each record is in the union of the stores once, in the order in which it was sent.
pub fn records(report: &Report) -> Vec<String> {
    let mut sent = BTreeMap::new();
    for event in &report.events {
        if let SimEvent::Queued { serial, text } = event {
            sent.insert(*serial, text.to_vec());
        }
    }
    let received = received(report);
    let sent: Vec<_> = sent.into_values().collect();
    if received == sent {
        return Vec::new();
    }
    let text = |texts: &[Vec<u8>]| -> Vec<String> {
        texts.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect()
    };
    vec![format!("sent were {:?}, received {:?}", text(&sent), text(&received))]
}

/// The union of the stores' records for handlers, by their places in the input.
pub fn received(report: &Report) -> Vec<Vec<u8>> {
    let mut union = BTreeMap::new();
    for row in report.inboxes.iter().flatten().filter(|row| !row.is_kept) {
        union.insert((row.incarnation, row.start), row.text.clone());
    }
    union.into_values().collect()
}
