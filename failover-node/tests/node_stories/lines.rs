//! Several lines: the first is the group's lock, the others follow it.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use failover_node::core::{Action, LOCK, LineId, Node, NodeConfig, Occurrence};
use wire::{BootId, Claim, Epoch, Frame, Heartbeat, Name, Nonce, PeerEcho, Role, Time, Welcome};

use crate::story::{key, ms, name, signed_grant};

/// A node of two lines whose terminal server grants whatever is claimed and answers renewals.
struct Two {
    node: Node,
    now: Time,
    claims: BTreeMap<LineId, Claim>,
    /// Lines whose terminal server does not answer.
    silent: Vec<LineId>,
    did: Vec<(Time, Action)>,
    released: Vec<(Time, LineId, Option<Name>)>,
    epoch: u32,
}

const OTHER: LineId = 1;

impl Two {
    fn begin() -> Self {
        let now = Time::ZERO + ms(1000);
        let mut config = NodeConfig::new(
            name("group"),
            name("me"),
            name("first"),
            BootId([1; 16]),
            key().into(),
        );
        config.lines.push(name("second"));
        let node = Node::new(config, now);
        let claims = BTreeMap::new();
        let (silent, did, released) = (Vec::new(), Vec::new(), Vec::new());
        Self { node, now, claims, silent, did, released, epoch: 0 }
    }

    fn serving() -> Self {
        let mut two = Self::begin();
        two.wait(ms(1000));
        assert_eq!(two.node.role(), Role::Coordinator);
        assert!(two.node.epoch(OTHER).is_some());
        two.did.clear();
        two
    }

    /// A peer that has proved itself.
    fn with_peer(&mut self) {
        for seq in 1..=2 {
            let known = self.did.iter().rev().find_map(|(_, action)| match action {
                Action::Heartbeat(h) => h.peers.first().map(|peer| peer.challenge),
                _ => None,
            });
            let echo = known.unwrap_or_default();
            let peers = vec![PeerEcho { node: name("me"), challenge: 5, echo, heard_ms: 0 }];
            let heartbeat = Heartbeat::new(name("group"), name("a"), BootId([9; 16]), seq);
            let digest = self.node.config().digests.current;
            self.node.handle_heartbeat(Heartbeat { peers, digest, ..heartbeat }, self.now);
            self.settle();
            self.wait(ms(30));
        }
        assert_eq!(self.node.members().count(), 1);
    }

    fn wait(&mut self, span: Duration) {
        let end = self.now + span;
        self.settle();
        while let Some(at) = self.node.poll_timeout().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            self.node.handle_timeout(self.now);
            self.settle();
        }
        self.now = end;
    }

    fn settle(&mut self) {
        loop {
            let mut busy = false;
            for line in [LOCK, OTHER] {
                while let Some(frame) = self.node.poll_frame(line, self.now) {
                    busy = true;
                    self.server(line, frame);
                }
            }
            while let Some(action) = self.node.poll_action() {
                busy = true;
                self.did.push((self.now, action.clone()));
                match action {
                    Action::StartInstance(line) => {
                        self.node.handle_connected(line, Nonce([2; 16]), self.now);
                    }
                    Action::EndInstance(line) => self.node.handle_instance_gone(line, self.now),
                    _ => {}
                }
            }
            if !busy {
                return;
            }
        }
    }

    fn server(&mut self, line: LineId, frame: Frame) {
        if self.silent.contains(&line) {
            return;
        }
        let answer = match frame {
            Frame::Hello(_) => {
                Frame::Welcome(Welcome { version: 2, nonce: Nonce([3; 16]), server: name("ts") })
            }
            Frame::Claim(claim) => {
                self.claims.insert(line, claim.clone());
                self.epoch += 1;
                Frame::Grant(signed_grant(&claim, Epoch::new(1, self.epoch)))
            }
            Frame::Renew(n) => Frame::Renewed(n),
            Frame::Release(node) => {
                self.released.push((self.now, line, node));
                return self.node.handle_disconnected(line, self.now);
            }
            _ => return,
        };
        self.node.handle_frame(line, answer, self.now);
    }

    fn payload_gone(&mut self, line: LineId) {
        self.node.handle_payload_gone(line, self.now);
        self.settle();
    }

    fn has(&self, action: &Action) -> bool {
        self.did.iter().any(|(_, did)| did == action)
    }

    fn released_lines(&self) -> Vec<LineId> {
        self.released.iter().map(|(_, line, _)| *line).collect()
    }
}

#[test]
fn the_others_are_claimed_when_the_first_is_held_and_not_before() {
    let mut two = Two::begin();
    two.silent.push(LOCK);
    two.wait(Duration::from_secs(2));
    assert!(!two.has(&Action::StartInstance(OTHER)));
    two.silent.clear();
    two.wait(Duration::from_secs(2));
    let at = |wanted: &dyn Fn(&Action) -> bool| {
        two.did.iter().find(|(_, action)| wanted(action)).map(|(at, _)| *at)
    };
    let held = at(&|a| matches!(a, Action::StartPayload(LOCK, _)));
    let other = at(&|a| matches!(a, Action::StartInstance(OTHER)));
    assert_eq!(held, other, "in the same instant");
    assert!(two.has(&Action::StartInstance(OTHER)));
}

#[test]
fn a_hand_over_gives_all_lines_to_the_same_node_and_the_first_one_last() {
    let mut two = Two::serving();
    two.with_peer();
    two.node.handle_handover(None, two.now).unwrap();
    two.settle();
    assert!(two.has(&Action::StopPayload(LOCK)) && two.has(&Action::StopPayload(OTHER)));
    two.payload_gone(LOCK);
    assert_eq!(two.released_lines(), [0; 0], "the other line's payload still runs");
    two.payload_gone(OTHER);
    assert_eq!(two.released_lines(), [OTHER, LOCK]);
    assert!(two.released.iter().all(|(_, _, node)| *node == Some(name("a"))));
    assert_eq!(two.node.role(), Role::Standby);
}

#[test]
fn a_lost_lock_ends_the_others_at_once() {
    let mut two = Two::serving();
    two.silent.push(LOCK);
    two.wait(ms(600));
    assert!(two.has(&Action::EndInstance(LOCK)) && two.has(&Action::EndInstance(OTHER)));
    let abandoned = |(_, action): &(Time, Action)| {
        matches!(action, Action::Report(Some(OTHER), Occurrence::Abandoned { .. }))
    };
    assert!(two.did.iter().any(abandoned));
    assert_eq!(two.node.epoch(OTHER), None);
}

#[test]
fn a_payload_that_crashes_disturbs_no_other_line() {
    let mut two = Two::serving();
    for line in [OTHER, LOCK, LOCK] {
        two.did.clear();
        let untouched = 1 - line;
        let epoch = two.node.epoch(untouched);
        two.payload_gone(line);
        two.wait(ms(1000));
        assert!(two.has(&Action::StartInstance(line)), "line {line}");
        assert!(!two.has(&Action::EndInstance(untouched)), "line {line}: {:?}", two.did);
        assert_eq!(two.node.epoch(untouched), epoch);
        assert_eq!(two.node.role(), Role::Coordinator);
    }
}

#[test]
fn when_the_lock_does_not_come_back_after_a_crash_the_others_go() {
    let mut two = Two::serving();
    two.silent.push(LOCK);
    two.payload_gone(LOCK);
    // The terminal server of the lock says nothing any more, not even to the release.
    two.wait(ms(2000));
    assert_eq!(two.node.epoch(OTHER), None);
    assert!(two.has(&Action::EndInstance(OTHER)));
}

#[test]
fn a_line_whose_terminal_server_is_away_is_tried_on_while_the_first_is_served() {
    let mut two = Two::serving();
    two.silent.push(OTHER);
    two.wait(Duration::from_secs(10));
    assert_eq!(two.node.role(), Role::Coordinator);
    assert_eq!(two.node.epoch(OTHER), None);
    two.silent.clear();
    two.wait(Duration::from_secs(2));
    assert!(two.node.epoch(OTHER).is_some());
}

#[test]
fn a_stop_gives_all_lines_back_and_then_the_node_has_stopped() {
    let mut two = Two::serving();
    two.node.handle_stop(two.now);
    two.settle();
    two.payload_gone(OTHER);
    assert!(!two.has(&Action::Stopped));
    two.payload_gone(LOCK);
    assert_eq!(two.released_lines(), [OTHER, LOCK]);
    assert!(two.has(&Action::Stopped));
}

#[test]
fn a_secondary_that_stalls_while_the_lock_is_claimed_again_is_dealt_with() {
    let mut two = Two::serving();
    let stall = ms(1000);
    let behaviour = failover_node::core::config::Behaviour { stall, ..Default::default() };
    two.node.handle_behaviour(behaviour, two.now);
    two.settle();
    two.with_peer();
    let bytes = Bytes::from_static(b"input");
    two.node.handle_frame(OTHER, Frame::Input(wire::Input { offset: 0, bytes }), two.now);
    let due = two.now + stall;
    let mut seq = 3;
    while two.now + ms(50) < due {
        hear(&mut two, &mut seq);
        two.wait(ms(49));
    }
    hear(&mut two, &mut seq);
    two.wait(due.since(two.now) - ms(1));
    two.did.clear();
    // The lock's payload crashes; RELEASE is on its way for a few milliseconds.
    two.node.handle_payload_gone(LOCK, two.now);
    two.now = due;
    two.node.handle_timeout(two.now);
    two.settle();
    for _ in 0..1200 {
        hear(&mut two, &mut seq);
        two.wait(ms(50));
    }
    assert_eq!(two.node.role(), Role::Coordinator);
    assert!(two.has(&Action::StopPayload(OTHER)), "a minute later");
}

fn hear(two: &mut Two, seq: &mut u64) {
    *seq += 1;
    let heartbeat = Heartbeat::new(name("group"), name("a"), BootId([9; 16]), *seq);
    let digest = two.node.config().digests.current;
    two.node.handle_heartbeat(Heartbeat { digest, ..heartbeat }, two.now);
    two.settle();
}

#[test]
fn a_gate_that_fails_while_the_lock_is_claimed_again_is_dealt_with() {
    let mut two = Two::serving();
    two.with_peer();
    two.did.clear();
    two.node.handle_payload_gone(LOCK, two.now);
    two.node.handle_gate_failed(OTHER, two.now);
    two.settle();
    let mut seq = 3;
    for _ in 0..1200 {
        hear(&mut two, &mut seq);
        two.wait(ms(50));
    }
    assert!(two.has(&Action::StopPayload(OTHER)) || two.has(&Action::EndInstance(OTHER)));
}

#[test]
fn i6_a_line_that_only_this_node_cannot_reach_moves_to_one_that_can() {
    let mut two = Two::serving();
    two.with_peer();
    two.silent.push(OTHER);
    two.did.clear();
    let mut seq = 3;
    for _ in 0..2400 {
        hear(&mut two, &mut seq);
        two.wait(ms(50));
    }
    assert!(two.has(&Action::StopPayload(LOCK)), "two minutes without the second line");
}

#[test]
fn a_lock_crash_loop_disturbs_no_other_line() {
    let mut two = Two::serving();
    for count in 0..14 {
        two.did.clear();
        two.payload_gone(LOCK);
        two.wait(ms(1200));
        assert!(!two.has(&Action::EndInstance(OTHER)), "crash {count}");
    }
}

#[test]
fn i6_a_hand_over_goes_on_although_another_lines_payload_hangs() {
    let mut two = Two::serving();
    two.with_peer();
    two.node.handle_handover(None, two.now).unwrap();
    two.settle();
    two.payload_gone(LOCK);
    two.wait(Duration::from_secs(60));
    assert!(two.released_lines().contains(&LOCK) || two.has(&Action::EndInstance(LOCK)));
}
