//! A node's rank for a vacancy. Rank k acts k staggers after it, so that claims seldom meet; where
//! two nodes disagree about their ranks, the terminal server decides.

use std::cmp::Reverse;

use wire::{FreeCause, Heartbeat, LineState, LineStatus, Name};

/// What counts for the rank of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing<'a> {
    pub(crate) node: &'a Name,
    pub(crate) priority: u8,
    pub(crate) hears_beacons: bool,
    /// It failed to connect, or lost or gave up the line, a short while ago.
    pub(crate) last_resort: bool,
}

impl<'a> Standing<'a> {
    pub(crate) fn of(heartbeat: &'a Heartbeat) -> Self {
        Self {
            node: &heartbeat.node,
            priority: heartbeat.priority,
            hears_beacons: heartbeat.hears_beacons,
            last_resort: heartbeat.last_resort(),
        }
    }

    /// Smaller goes first.
    fn key(&self, status: Option<&LineStatus>, incumbent: Option<&Name>) -> impl Ord + use<'a> {
        let cause = status.and_then(|s| match s.state {
            LineState::Free(cause) => Some(cause),
            LineState::Held => None,
        });
        let reserved = status.and_then(|s| s.reserved_for.as_ref()) == Some(self.node);
        let incumbent = incumbent == Some(self.node);
        let restarted = cause == Some(FreeCause::Restarted);
        // Whoever has just lost the line had a difficulty, and may not know it yet; or is dead, and
        // nobody must wait for it, not even one who had a difficulty before.
        let lost = incumbent && cause.is_some() && !restarted;
        (
            !reserved,
            lost,
            self.last_resort,
            !(incumbent && restarted),
            !self.hears_beacons,
            Reverse(self.priority),
            self.node,
        )
    }
}

/// How many of `others` go before `me`.
pub(crate) fn rank<'a>(
    me: Standing<'a>,
    others: impl Iterator<Item = Standing<'a>>,
    status: Option<&LineStatus>,
    incumbent: Option<&Name>,
) -> u32 {
    let mine = me.key(status, incumbent);
    others.filter(|other| other.key(status, incumbent) < mine).count() as u32
}

/// The best of `others`, for a planned hand-over.
pub(crate) fn best<'a>(others: impl Iterator<Item = Standing<'a>>) -> Option<&'a Name> {
    others.min_by_key(|s| s.key(None, None)).map(|s| s.node)
}

#[cfg(test)]
mod tests {
    use wire::Epoch;

    use super::*;

    fn names() -> [Name; 3] {
        ["a", "b", "c"].map(|n| n.parse().unwrap())
    }

    fn standing(node: &Name) -> Standing<'_> {
        Standing { node, priority: 100, hears_beacons: true, last_resort: false }
    }

    fn free(cause: FreeCause) -> LineStatus {
        LineStatus {
            line: "line".parse().unwrap(),
            up: true,
            state: LineState::Free(cause),
            holder: None,
            epoch: Epoch(1),
            lease_ms: 400,
            left_ms: 0,
            reserved_for: None,
        }
    }

    fn order(standings: [Standing<'_>; 3], status: &LineStatus, incumbent: &Name) -> [u32; 3] {
        standings.map(|me| {
            let others = standings.into_iter().filter(|s| s.node != me.node);
            rank(me, others, Some(status), Some(incumbent))
        })
    }

    #[test]
    fn priority_then_node_id() {
        let [a, b, c] = names();
        let other = "x".parse().unwrap();
        let mut s = [standing(&a), standing(&b), standing(&c)];
        assert_eq!(order(s, &free(FreeCause::Closed), &other), [0, 1, 2]);
        s[2].priority = 200;
        assert_eq!(order(s, &free(FreeCause::Closed), &other), [1, 2, 0]);
        s[2].last_resort = true;
        assert_eq!(order(s, &free(FreeCause::Closed), &other), [0, 1, 2]);
        s[0].hears_beacons = false;
        assert_eq!(order(s, &free(FreeCause::Closed), &other), [1, 0, 2]);
    }

    #[test]
    fn the_incumbent_goes_first_after_a_restart_and_last_after_its_loss() {
        let [a, b, c] = names();
        let s = [standing(&a), standing(&b), standing(&c)];
        assert_eq!(order(s, &free(FreeCause::Restarted), &b), [1, 0, 2]);
        assert_eq!(order(s, &free(FreeCause::Closed), &a), [2, 0, 1]);
        let mut held_down = s;
        held_down[1].last_resort = true;
        assert_eq!(order(held_down, &free(FreeCause::Closed), &a), [2, 1, 0]);
        let mut reserved = free(FreeCause::Reserved);
        reserved.reserved_for = Some(a.clone());
        assert_eq!(order(s, &reserved, &a), [0, 1, 2]);
    }
}
