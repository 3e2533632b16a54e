//! How it went when the line was given to somebody: a node that cannot take it, or cannot keep it,
//! is left out for a while, longer each time, or the line would go to and fro between two
//! difficulties.

use std::time::Duration;

use wire::heartbeat::MAX_MEMBERS;
use wire::{Name, Time};

use super::config::{FLAP_WINDOW, hold};

/// What this node remembers of those to whom it gave the line.
#[derive(Debug, Default)]
pub struct Successors {
    given: Option<(Name, Time)>,
    failed: Vec<Failed>,
}

#[derive(Debug)]
struct Failed {
    node: Name,
    count: u32,
    at: Time,
    until: Time,
}

impl Successors {
    /// The line was given to a node.
    pub(crate) fn give(&mut self, node: &Name, now: Time) {
        self.given = Some((node.clone(), now));
    }

    /// The line is ours again. If that is soon after it was given away, that went wrong.
    pub(crate) fn came_back(&mut self, now: Time) {
        let Some((node, at)) = self.given.take() else { return };
        self.failed.retain(|failed| now.since(failed.at) < FLAP_WINDOW);
        if now.since(at) >= SOON {
            return;
        }
        let known = self.failed.iter().position(|failed| failed.node == node);
        let count = known.map_or(0, |i| self.failed.swap_remove(i).count);
        if self.failed.len() >= MAX_MEMBERS {
            self.failed.swap_remove(0);
        }
        self.failed.push(Failed { node, count: count + 1, at: now, until: now + hold(count) });
    }

    /// Whether the line may be given to a node because of a difficulty of ours, or for its
    /// priority.
    pub(crate) fn may_have(&self, node: &Name, now: Time) -> bool {
        !self.failed.iter().any(|failed| failed.node == *node && now < failed.until)
    }
}

/// A node that has kept the line for so long has not failed. Longer than a lease and a hold-down.
const SOON: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_did_not_keep_the_line_is_left_out_longer_each_time() {
        let (a, b): (Name, Name) = ("a".parse().unwrap(), "b".parse().unwrap());
        let mut s = Successors::default();
        let mut now = Time::ZERO;
        for seconds in [5, 10, 20, 40] {
            s.give(&a, now);
            now = now + Duration::from_secs(1);
            s.came_back(now);
            let just_before = now + Duration::from_secs(seconds) - Duration::from_millis(1);
            assert!(!s.may_have(&a, just_before));
            assert!(s.may_have(&b, just_before));
            now = now + Duration::from_secs(seconds);
            assert!(s.may_have(&a, now), "{seconds}");
        }
        s.give(&a, now);
        now = now + Duration::from_secs(60);
        s.came_back(now);
        assert!(s.may_have(&a, now), "it kept it for a minute");
    }
}
