//! Nodes of the release before, which know version 1 of heartbeats only, in a group with new ones.

use std::collections::BTreeSet;
use std::time::Duration;

use failover_node::core::config::Membership;
use failover_node::core::{Action, LOCK, Node, NodeConfig, Occurrence};
use wire::{
    Beacon, BootId, Datagram, Digests, Heartbeat, Key, KeyRing, LineState, LineStatus, Name, Time,
};

use crate::story::{FIRST, FREE, Story, ms, name, status};

const PROFILE: &str = "line 100/400/450";

fn key(id: u8) -> Key {
    Key::new(id, [b'k' + id; 32])
}

/// Nodes on one network, each heard by all others in the same moment, as bytes.
struct Group {
    parties: Vec<Party>,
    now: Time,
    /// What beacons say of the line, a hundred milliseconds apart.
    line: LineState,
    beacons: u64,
    /// After so many datagrams of a node one is lost to all; none, if zero.
    lose: usize,
}

struct Party {
    node: Node,
    /// It reads version 1 only, and sends nothing else.
    old: bool,
    keys: KeyRing,
    digests: Digests,
    /// How many heartbeats it sent, in version 1 and in version 2.
    sent: [usize; 2],
    started: Option<Time>,
    reports: Vec<Occurrence>,
}

impl Group {
    fn new() -> Self {
        Self {
            parties: Vec::new(),
            now: Time::ZERO + ms(1000),
            line: LineState::Held,
            beacons: 0,
            lose: 0,
        }
    }

    /// A node that starts now.
    fn join(&mut self, node: &str, old: bool, change: impl FnOnce(&mut NodeConfig)) {
        let boot = BootId([self.parties.len() as u8 + 1; 16]);
        let keys = KeyRing::from(key(0));
        let mut config = NodeConfig::new(name("group"), name(node), name("line"), boot, keys);
        config.digests = Digests::new(&config.keys, PROFILE, PROFILE);
        change(&mut config);
        self.parties.push(Party {
            old,
            keys: config.keys.clone(),
            digests: config.digests.clone(),
            node: Node::new(config, self.now),
            sent: [0, 0],
            started: None,
            reports: Vec::new(),
        });
    }

    fn wait(&mut self, span: Duration) {
        let end = self.now + span;
        while self.now < end {
            self.now = self.now + ms(1);
            if self.now.since(Time::ZERO).as_millis().is_multiple_of(100) {
                self.beacon();
            }
            for at in 0..self.parties.len() {
                if self.parties[at].node.poll_timeout().is_some_and(|due| due <= self.now) {
                    self.parties[at].node.handle_timeout(self.now);
                }
                self.settle(at);
            }
        }
    }

    fn settle(&mut self, at: usize) {
        while let Some(action) = self.parties[at].node.poll_action() {
            let now = self.now;
            match action {
                Action::Heartbeat(heartbeat) => self.multicast(at, heartbeat),
                Action::StartInstance(LOCK) => self.parties[at].started = Some(now),
                Action::Report(_, occurrence) => self.parties[at].reports.push(occurrence),
                _ => {}
            }
        }
    }

    fn multicast(&mut self, from: usize, heartbeat: Heartbeat) {
        let party = &mut self.parties[from];
        let heartbeat = match (party.old, heartbeat.speaks) {
            // What the release before does not send.
            (true, 1) => return,
            (true, _) => heartbeat.for_version_1(party.digests.version_1),
            (false, _) => heartbeat,
        };
        let bytes = Datagram::Heartbeat(heartbeat).encode(party.keys.sender());
        party.sent[usize::from(bytes[4] - 1)] += 1;
        if self.lose > 0 && party.sent.iter().sum::<usize>().is_multiple_of(self.lose) {
            return;
        }
        for (to, party) in self.parties.iter_mut().enumerate() {
            if to == from || (party.old && bytes[4] != 1) {
                continue;
            }
            let decoded = Datagram::decode(&bytes, &name("group"), |id| party.keys.get(id));
            if let Ok(Datagram::Heartbeat(heartbeat)) = decoded {
                party.node.handle_heartbeat(heartbeat, self.now);
            }
        }
        for to in 0..self.parties.len() {
            if to != from {
                self.settle(to);
            }
        }
    }

    fn beacon(&mut self) {
        self.beacons += 1;
        let lines = vec![LineStatus { state: self.line, ..status("gone", FIRST) }];
        let (group, server, seq) = (name("group"), name("server"), self.beacons);
        let beacon = Beacon { group, server, start: 1, seq, interval_ms: 100, lines };
        for at in 0..self.parties.len() {
            self.parties[at].node.handle_beacon(&beacon, self.now);
            self.settle(at);
        }
    }

    /// The line falls vacant. How long each node waits before it claims, within a second.
    fn vacate(&mut self) -> Vec<Option<Duration>> {
        assert!(self.parties.iter().all(|party| party.started.is_none()), "it was held");
        self.line = FREE;
        let at = self.now;
        self.beacon();
        self.wait(ms(1000));
        self.parties.iter().map(|party| party.started.map(|started| started.since(at))).collect()
    }

    /// Whom it believes and heard just now, by name.
    fn believed(&self, at: usize) -> Vec<String> {
        let lately = |m: &failover_node::core::MemberView<'_>| self.now.since(m.heard) < ms(450);
        let believed = self.parties[at].node.members().filter(lately);
        believed.map(|m| m.heartbeat.node.to_string()).collect()
    }
}

#[test]
fn old_and_new_nodes_believe_each_other_and_agree_who_goes_first() {
    let mut group = Group::new();
    group.join("a", true, |_| {});
    group.wait(ms(1000));
    group.join("b", false, |_| {});
    group.join("c", true, |_| {});
    group.join("d", false, |_| {});
    group.wait(ms(700));
    assert_eq!(group.believed(0), ["b", "c", "d"]);
    assert_eq!(group.believed(1), ["a", "c", "d"]);
    assert_eq!(group.believed(2), ["a", "b", "d"]);
    assert_eq!(group.believed(3), ["a", "b", "c"]);
    let turns = [0, 30, 60, 90].map(|turn| Some(ms(turn)));
    assert_eq!(group.vacate(), turns, "each waits for those before it");
}

/// Version 1 has no word for maintenance; what the others must not do is to wait for such a node.
#[test]
fn whoever_must_not_be_coordinator_goes_last_for_old_nodes() {
    let mut group = Group::new();
    group.join("a", false, |config| config.behaviour.membership = Membership::NeverCoordinator);
    group.join("b", true, |_| {});
    group.wait(ms(700));
    assert_eq!(group.believed(1), ["a"]);
    assert_eq!(group.vacate(), [None, Some(ms(0))], "b does not wait for a");
}

#[test]
fn new_nodes_do_not_keep_each_other_speaking_version_1() {
    let mut group = Group::new();
    // Copies come alone now and then, and must not be taken for an old node's.
    group.lose = 5;
    for (node, old) in [("a", false), ("b", false), ("c", true)] {
        group.join(node, old, |_| {});
    }
    group.wait(ms(1000));
    assert!(group.parties[..2].iter().all(|p| p.sent[0] > 0), "c is heard");
    group.parties.truncate(2);
    group.wait(Duration::from_secs(62));
    let before: Vec<_> = group.parties.iter().map(|p| p.sent).collect();
    group.wait(ms(1000));
    for (party, before) in group.parties.iter().zip(before) {
        assert_eq!(party.sent[0], before[0], "a minute after the last old node there is no copy");
        assert!(party.sent[1] > before[1] + 5);
    }
    assert_eq!(group.believed(0), ["b"]);
}

/// The copy says less, so it must not take the place of the original, in whatever order they come.
#[test]
fn a_copy_in_version_1_changes_nothing() {
    let mut story = Story::begin();
    let maintenance = |h: &mut Heartbeat| h.maintenance = true;
    story.hear_with("a", maintenance);
    let heard = |story: &Story| story.node.members().next().unwrap().heartbeat.clone();
    let original = heard(&story);
    for seq in [original.seq, original.seq + 1] {
        let copy = Heartbeat { seq, ..original.for_version_1(0) };
        story.node.handle_heartbeat(copy, story.now);
        assert_eq!(heard(&story), original);
    }
    let later = Heartbeat { seq: original.seq + 1, ..original };
    story.node.handle_heartbeat(later.clone(), story.now);
    assert_eq!(heard(&story), later, "the original of a lost one's copy still counts");
    // The same process of the release before, started anew: a rollback.
    story.wait(ms(500));
    story.hear_again("a", 3, |h| *h = h.for_version_1(0));
    assert_eq!(heard(&story).speaks, 1);
}

/// Every node of the group sends with its own key of the moment, in its own version.
#[test]
fn neither_a_release_nor_a_key_makes_settings_differ_and_another_line_does() {
    let ring = |ids: &[u8], sender| {
        let keys = ids.iter().map(|id| key(*id)).collect();
        KeyRing::new(keys, sender).unwrap()
    };
    let with = |keys: KeyRing, settings: &'static str| {
        move |config: &mut NodeConfig| {
            config.digests = Digests::new(&keys, settings, settings);
            config.keys = keys;
        }
    };
    let mut group = Group::new();
    group.join("a", true, with(ring(&[0], 0), PROFILE));
    group.join("b", false, with(ring(&[0, 1], 0), PROFILE));
    group.wait(ms(1000));
    group.join("c", false, with(ring(&[0, 1], 0), "other 100/400/450"));
    group.wait(ms(1000));
    let differ = |group: &Group, at: usize| -> Vec<Name> {
        let reports = group.parties[at].reports.iter();
        let differing = reports.filter_map(|occurrence| match occurrence {
            Occurrence::SettingsDiffer(peer) => Some(peer.clone()),
            _ => None,
        });
        differing.collect()
    };
    assert_eq!(differ(&group, 0), [name("c")]);
    assert_eq!(differ(&group, 1), [name("c")]);
    let all: BTreeSet<_> = differ(&group, 2).into_iter().collect();
    assert_eq!(all, BTreeSet::from([name("a"), name("b")]));

    let mut rollover = Group::new();
    rollover.join("a", false, with(ring(&[0, 1], 0), PROFILE));
    rollover.join("b", false, with(ring(&[0, 1], 1), PROFILE));
    rollover.wait(ms(1000));
    assert_eq!((rollover.believed(0), rollover.believed(1)), (vec!["b".into()], vec!["a".into()]));
    assert_eq!((differ(&rollover, 0), differ(&rollover, 1)), (vec![], vec![]));
}
