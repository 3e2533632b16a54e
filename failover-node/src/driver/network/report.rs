//! Paths and findings, as `failover-node status` shows them.

use serde::{Deserialize, Serialize};
use wire::Time;

use super::networks::Networks;
use crate::core::Finding;

/// One way by which datagrams come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathReport {
    /// In words, as `239.255.77.1:4100 on eth0` or `unicast 10.0.0.11:4100`.
    pub path: String,
    /// Why it does not work, as far as this host knows.
    pub trouble: Option<String>,
    /// How long ago another node or a terminal server was heard by it.
    pub heard_ms: Option<u64>,
    /// The nodes that were ever heard by it.
    pub nodes: Vec<PathNodeReport>,
}

/// How one node is heard by one path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathNodeReport {
    /// Its name.
    pub node: String,
    /// Of its last 64 heartbeats.
    pub loss_percent: u8,
    /// How long ago it was heard by this path.
    pub heard_ms: u64,
}

/// Something is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingReport {
    /// What, by its stable code.
    pub code: String,
    /// Whom or what it is about.
    pub about: String,
    /// For how long it has been known.
    pub since_ms: u64,
    /// What it means and what to do.
    pub words: String,
}

impl Networks {
    /// All paths, in the order of the configuration.
    pub(crate) fn path_reports(&self, now: Time) -> Vec<PathReport> {
        let report = |(number, path): (usize, &super::path::Path)| PathReport {
            path: path.name.clone(),
            trouble: path.trouble.clone(),
            heard_ms: path.heard.map(|at| millis(at, now)),
            nodes: self.nodes_by(number, now),
        };
        self.paths.iter().enumerate().map(report).collect()
    }

    /// What is wrong now.
    pub(crate) fn finding_reports(&self, now: Time) -> Vec<FindingReport> {
        self.diagnosis.findings().map(|finding| FindingReport::new(finding, now)).collect()
    }

    fn nodes_by(&self, number: usize, now: Time) -> Vec<PathNodeReport> {
        let nodes = self.heard.nodes().filter_map(|node| {
            let view = self.heard.of(node).find(|view| view.path == number)?;
            Some(PathNodeReport {
                node: node.to_string(),
                loss_percent: view.loss_percent,
                heard_ms: millis(view.heard, now),
            })
        });
        nodes.collect()
    }
}

impl FindingReport {
    fn new(finding: Finding, now: Time) -> Self {
        Self {
            code: finding.code.to_string(),
            about: finding.about,
            since_ms: millis(finding.since, now),
            words: finding.words,
        }
    }
}

fn millis(at: Time, now: Time) -> u64 {
    u64::try_from(now.since(at).as_millis()).unwrap_or(u64::MAX)
}
