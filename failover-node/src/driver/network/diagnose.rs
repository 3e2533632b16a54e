//! The facts for the diagnosis, and its findings into the log.

use std::time::Duration;

use wire::{Role, Time};

use super::networks::Networks;
use super::path::Path;
use crate::core::diagnosis::{Change, Facts, PathFacts, PeerFacts};
use crate::core::{LOCK, MemberView, Node};

impl Networks {
    /// Once a second: looks at what is known, and says what is newly wrong or right again.
    pub(crate) fn diagnose(&mut self, node: &Node, now: Time) {
        if now < self.diagnosed {
            return;
        }
        self.diagnosed = now + EVERY;
        let facts = Facts {
            node: &self.node,
            started: self.started,
            dead_after: node.config().profile.dead_after,
            paths: self.paths.iter().map(PathFacts::from).collect(),
            peers: node.members().map(|member| self.peer(member, node)).collect(),
            refusals: self.refusals.facts(),
            duplicates: node.counters().duplicate_name,
            beacon: node.last_beacon(LOCK),
            coordinator: node.role() == Role::Coordinator,
        };
        self.diagnosis.handle_facts(&facts, now);
        while let Some(change) = self.diagnosis.poll_change() {
            match change {
                Change::Came(finding) => {
                    let (code, about) = (finding.code.as_str(), &finding.about);
                    tracing::warn!(code, about, words = finding.words, "finding");
                }
                Change::Gone(finding) => {
                    let (code, about) = (finding.code.as_str(), &finding.about);
                    tracing::info!(code, about, "finding-gone");
                }
            }
        }
    }

    fn peer<'a>(&self, member: MemberView<'a>, node: &Node) -> PeerFacts<'a> {
        PeerFacts {
            heartbeat: member.heartbeat,
            heard: member.heard,
            settings_differ: !node.config().digests.knows(member.heartbeat.digest),
            paths: self.heard.of(&member.heartbeat.node).collect(),
        }
    }
}

impl<'a> From<&'a Path> for PathFacts<'a> {
    fn from(path: &'a Path) -> Self {
        Self {
            name: &path.name,
            network: path.network,
            unicast: path.plan.is_unicast(),
            open: path.open,
        }
    }
}

const EVERY: Duration = Duration::from_secs(1);
