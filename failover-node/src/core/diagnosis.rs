//! What is wrong with the network, in plain words, from what a node hears and does not hear.
//!
//! A finding has a stable code, says whom it is about, what it means and what to do. It comes when
//! its condition has held for a while, and goes when that has not held for `LINGER`.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

use wire::{Heartbeat, Name, Role, Time};

use super::paths::PathView;

mod rules;

/// What the driver and the core know at one instant.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// This node.
    pub node: &'a Name,
    /// When it began to listen.
    pub started: Time,
    /// A node that was not heard for so long counts as gone.
    pub dead_after: Duration,
    /// The ways by which datagrams come; their place is their number.
    pub paths: Vec<PathFacts<'a>>,
    /// The other nodes that are believed.
    pub peers: Vec<PeerFacts<'a>>,
    /// What was refused lately.
    pub refusals: Vec<RefusalFacts<'a>>,
    /// Heartbeats of another process under this node's name, since the start.
    pub duplicates: u64,
    /// When a beacon was heard last.
    pub beacon: Option<Time>,
    /// This node is coordinator.
    pub coordinator: bool,
}

/// One way by which datagrams come.
#[derive(Debug, Clone, Copy)]
pub struct PathFacts<'a> {
    /// In words, as `239.255.77.1:4100 on eth0`.
    pub name: &'a str,
    /// Paths of one number belong to one network.
    pub network: usize,
    /// Datagrams come to an address of this node, not to a group.
    pub unicast: bool,
    /// Since when it is open; `None` while it is not.
    pub open: Option<Time>,
}

/// Another node.
#[derive(Debug, Clone)]
pub struct PeerFacts<'a> {
    /// Its newest heartbeat.
    pub heartbeat: &'a Heartbeat,
    /// When that came.
    pub heard: Time,
    /// Its settings are not ours.
    pub settings_differ: bool,
    /// The paths by which it was ever heard.
    pub paths: Vec<PathView>,
}

/// Datagrams of one sender, or one foreign group, that were refused for one cause.
#[derive(Debug, Clone, Copy)]
pub struct RefusalFacts<'a> {
    /// The counter's name.
    pub cause: &'a str,
    /// The sender's address, or the foreign group.
    pub about: &'a str,
    /// Why the last one was refused.
    pub why: &'a str,
    /// When that came.
    pub last: Time,
}

/// What a finding says is wrong. The words are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is explained by its words, and in docs/network.md")]
pub enum Code {
    Alone,
    DuplicateName,
    ForeignGroup,
    KeyId,
    NoBeacons,
    OneWay,
    PathDead,
    PathLoss,
    Routed,
    SettingsDiffer,
    UnicastOnly,
    Version,
    WrongKey,
}

/// Something is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub code: Code,
    /// Whom or what it is about.
    pub about: String,
    /// Since when it is known.
    pub since: Time,
    /// What it means and what to do.
    pub words: String,
}

/// A finding came or went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It is true from now on.
    Came(Finding),
    /// It is not true any more.
    Gone(Finding),
}

/// Keeps the findings.
#[derive(Debug, Default)]
pub struct Diagnosis {
    cases: BTreeMap<(Code, String), Case>,
    changes: VecDeque<Change>,
    /// How many duplicates were known, and when there were more.
    duplicates: u64,
    duplicate: Option<Time>,
}

/// A condition that holds or held a moment ago.
#[derive(Debug)]
struct Case {
    words: String,
    first: Time,
    last: Time,
    /// Since when it is a finding.
    shown: Option<Time>,
}

impl Diagnosis {
    /// Looks at the facts; about once a second.
    pub fn handle_facts(&mut self, facts: &Facts<'_>, now: Time) {
        if facts.duplicates > self.duplicates {
            self.duplicates = facts.duplicates;
            self.duplicate = Some(now);
        }
        let mut held = rules::hold(facts, now, |code, about| self.is_shown(code, about));
        if self.duplicate.is_some_and(|at| now.since(at) < RECENT) {
            held.push(rules::duplicate_name(facts));
        }
        for (code, about, words) in held {
            let full = self.cases.len() >= MAX_CASES;
            let key = (code, about);
            if full && !self.cases.contains_key(&key) {
                continue;
            }
            let new = Case { words: String::new(), first: now, last: now, shown: None };
            let case = self.cases.entry(key).or_insert(new);
            (case.words, case.last) = (words, now);
        }
        self.settle(now);
    }

    /// The next finding that came or went.
    pub fn poll_change(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }

    /// What is wrong now, by code.
    pub fn findings(&self) -> impl Iterator<Item = Finding> {
        self.cases.iter().filter_map(|(key, case)| Some(case.finding(key, case.shown?)))
    }

    fn is_shown(&self, code: Code, about: &str) -> bool {
        let case = self.cases.get(&(code, about.to_owned()));
        case.is_some_and(|case| case.shown.is_some())
    }

    fn settle(&mut self, now: Time) {
        let changes = &mut self.changes;
        self.cases.retain(|key, case| {
            match case.shown {
                None if now.since(case.first) >= key.0.patience() && case.last == now => {
                    case.shown = Some(now);
                    changes.push_back(Change::Came(case.finding(key, now)));
                }
                // It has to hold all the time before it is shown.
                None => return case.last == now,
                Some(since) if now.since(case.last) >= LINGER => {
                    changes.push_back(Change::Gone(case.finding(key, since)));
                    return false;
                }
                Some(_) => {}
            }
            true
        });
    }
}

impl Case {
    fn finding(&self, (code, about): &(Code, String), since: Time) -> Finding {
        Finding { code: *code, about: about.clone(), since, words: self.words.clone() }
    }
}

impl Code {
    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alone => "alone",
            Self::DuplicateName => "duplicate-name",
            Self::ForeignGroup => "foreign-group",
            Self::KeyId => "key-id",
            Self::NoBeacons => "no-beacons",
            Self::OneWay => "one-way",
            Self::PathDead => "path-dead",
            Self::PathLoss => "path-loss",
            Self::Routed => "routed",
            Self::SettingsDiffer => "settings-differ",
            Self::UnicastOnly => "unicast-only",
            Self::Version => "version",
            Self::WrongKey => "wrong-key",
        }
    }

    /// How long the condition must hold before it is a finding. Conditions that speak of silence
    /// have their time in themselves, and one refused datagram is enough.
    const fn patience(self) -> Duration {
        match self {
            // What a peer says about us is as old as its last heartbeat.
            Self::OneWay => Duration::from_secs(3),
            // A path that was cut loses all for so long, and then it is `path-dead`.
            Self::PathLoss => QUIET,
            _ => Duration::ZERO,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl PeerFacts<'_> {
    /// It was heard a moment ago and does not mean to go.
    fn is_alive(&self, facts: &Facts<'_>, now: Time) -> bool {
        !self.heartbeat.leaving && now.since(self.heard) < facts.lately()
    }

    fn is_coordinator(&self) -> bool {
        self.heartbeat.role == Role::Coordinator
    }

    fn by_path(&self, path: usize) -> Option<&PathView> {
        self.paths.iter().find(|view| view.path == path)
    }
}

impl Facts<'_> {
    /// What was heard within this time is heard: some lost heartbeats are no silence.
    fn lately(&self) -> Duration {
        self.dead_after.max(LATELY)
    }

    /// What was not heard for so long is silent.
    fn quiet(&self) -> Duration {
        (self.dead_after * 2).max(QUIET)
    }
}

/// See [`Facts::lately`].
const LATELY: Duration = Duration::from_secs(2);
/// Far more than chance loses, and less than an operator waits at a console.
const QUIET: Duration = Duration::from_secs(10);
/// A refused datagram is news for so long: the slowest heartbeats come every 10 s.
const RECENT: Duration = Duration::from_secs(30);
/// A finding stays for so long after its condition held last, so that it does not flicker.
const LINGER: Duration = Duration::from_secs(10);
/// Most conditions that are kept: each kind for each of 16 members fits several times.
const MAX_CASES: usize = 256;

#[cfg(test)]
mod tests;
