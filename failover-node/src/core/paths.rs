//! By which paths each node is heard, and how much of what it sends is lost on each.
//!
//! A heartbeat goes out on every path at once, under one sequence number. So what came by one path
//! and not by another was lost on the other. What came by none is known by the gap in the numbers.

use std::collections::BTreeMap;
use std::time::Duration;

use wire::heartbeat::MAX_MEMBERS;
use wire::{BootId, Name, Time};

/// Most paths of a node: each is a socket, and nobody has more ways between two hosts.
pub const MAX_PATHS: usize = 8;
/// The loss is that of so many heartbeats: 6.4 s of the standard profile.
const WINDOW: u32 = 64;
/// The newest ones do not count: their copies on other paths may still be on their way.
const GRACE: u32 = 2;
/// A node that was silent for so long makes room for another.
const LONG_DEAD: Duration = Duration::from_secs(60);
/// Another boot of a name is taken for its successor when nothing came from the one before for so
/// long, so that recorded heartbeats of an earlier life disturb no count.
const BOOT_AFTER: Duration = Duration::from_secs(2);

/// What came from whom by which path.
#[derive(Debug, Default)]
pub struct Paths {
    peers: BTreeMap<Name, Peer>,
}

/// One node, in one boot.
#[derive(Debug)]
struct Peer {
    boot: BootId,
    /// The highest sequence number heard by any path.
    newest: u64,
    heard: Time,
    paths: [Option<Window>; MAX_PATHS],
}

/// What came by one path.
#[derive(Debug, Clone, Copy)]
struct Window {
    /// Bit n: the heartbeat n before the newest one of the peer came by this path.
    came: u128,
    /// The sequence number with which the path began to count.
    first: u64,
    heard: Time,
}

/// How one path to one node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathView {
    /// Which path.
    pub path: usize,
    /// Of the last 64 heartbeats, or of those since it was first heard by this path.
    pub loss_percent: u8,
    /// Of so many.
    pub of: u8,
    /// When the node was last heard by it.
    pub heard: Time,
}

impl Paths {
    /// A heartbeat with a right MAC has come, be it the first of its number or not.
    pub fn heard(&mut self, node: &Name, boot: BootId, seq: u64, path: usize, now: Time) {
        if path >= MAX_PATHS || !self.make_room(node, now) {
            return;
        }
        let new = Peer { boot, newest: seq, heard: now, paths: [None; MAX_PATHS] };
        let peer = self.peers.entry(node.clone()).or_insert(new);
        if peer.boot != boot {
            if now.since(peer.heard) < BOOT_AFTER {
                return;
            }
            peer.restarted(boot, seq);
        }
        peer.advance(seq);
        let age = peer.newest - seq;
        if age >= u64::from(u128::BITS) {
            return;
        }
        let window = peer.paths[path].get_or_insert(Window { came: 0, first: seq, heard: now });
        window.came |= 1 << age;
        window.heard = now;
        peer.heard = now;
    }

    /// The paths by which `node` was ever heard.
    pub fn of(&self, node: &Name) -> impl Iterator<Item = PathView> {
        let peer = self.peers.get(node);
        peer.into_iter().flat_map(|peer| {
            let windows = peer.paths.iter().enumerate();
            windows.filter_map(|(path, window)| Some(window.as_ref()?.view(path, peer.newest)))
        })
    }

    /// Every node that was heard, by name.
    pub fn nodes(&self) -> impl Iterator<Item = &Name> {
        self.peers.keys()
    }

    /// Whether `node` has a place, if need be that of one long dead.
    fn make_room(&mut self, node: &Name, now: Time) -> bool {
        if self.peers.len() < MAX_MEMBERS || self.peers.contains_key(node) {
            return true;
        }
        let oldest = self.peers.iter().min_by_key(|(_, peer)| peer.heard);
        let dead = oldest.filter(|(_, peer)| now.since(peer.heard) >= LONG_DEAD);
        let Some(name) = dead.map(|(name, _)| name.clone()) else { return false };
        self.peers.remove(&name);
        true
    }
}

impl Peer {
    /// Everything is counted anew. By which paths it was heard is remembered: what was cut before
    /// it was started again is cut still.
    fn restarted(&mut self, boot: BootId, seq: u64) {
        (self.boot, self.newest) = (boot, seq);
        for window in self.paths.iter_mut().flatten() {
            (window.came, window.first) = (0, seq);
        }
    }

    /// All windows go on to `seq`.
    fn advance(&mut self, seq: u64) {
        let steps = seq.saturating_sub(self.newest);
        self.newest = self.newest.max(seq);
        if steps > 0 {
            let steps = u32::try_from(steps).unwrap_or(u32::MAX);
            for window in self.paths.iter_mut().flatten() {
                window.came = window.came.checked_shl(steps).unwrap_or(0);
            }
        }
    }
}

impl Window {
    fn view(&self, path: usize, newest: u64) -> PathView {
        let span = u32::try_from(newest - self.first + 1).unwrap_or(u32::MAX);
        let of = span.saturating_sub(GRACE).min(WINDOW);
        let counted = (self.came >> GRACE) & ((1 << of) - 1);
        let lost = of - counted.count_ones();
        let loss_percent = if of == 0 { 0 } else { (lost * 100).div_ceil(of) };
        PathView { path, loss_percent: loss_percent as u8, of: of as u8, heard: self.heard }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEAT: Duration = Duration::from_millis(100);
    const BOOT: BootId = BootId([1; 16]);

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    /// Heartbeats 1 to `count`, of which path 0 gets all and path 1 those that `passes` lets by.
    fn two_paths(count: u64, passes: impl Fn(u64) -> bool) -> Paths {
        let mut paths = Paths::default();
        for seq in 1..=count {
            let now = Time::ZERO + BEAT * seq as u32;
            paths.heard(&name("a"), BOOT, seq, 0, now);
            if passes(seq) {
                paths.heard(&name("a"), BOOT, seq, 1, now);
            }
        }
        paths
    }

    fn losses(paths: &Paths) -> Vec<(usize, u8)> {
        paths.of(&name("a")).map(|view| (view.path, view.loss_percent)).collect()
    }

    #[test]
    fn loss_is_told_for_each_path() {
        assert_eq!(losses(&two_paths(100, |_| true)), [(0, 0), (1, 0)]);
        assert_eq!(losses(&two_paths(100, |seq| seq % 2 == 0)), [(0, 0), (1, 50)]);
        assert_eq!(losses(&two_paths(100, |seq| seq < 10)), [(0, 0), (1, 100)]);
        assert_eq!(losses(&two_paths(100, |seq| seq > 90)), [(0, 0), (1, 0)], "new, and whole");
        assert_eq!(losses(&two_paths(100, |_| false)), [(0, 0)]);
    }

    #[test]
    fn what_no_path_brought_is_lost_on_all() {
        let mut paths = Paths::default();
        for seq in (1..200).filter(|seq| seq % 4 != 0) {
            paths.heard(&name("a"), BOOT, seq, 0, Time::ZERO + BEAT * seq as u32);
        }
        assert_eq!(losses(&paths), [(0, 25)]);
    }

    #[test]
    fn copies_out_of_order_are_counted_and_doubled_ones_once() {
        let mut paths = two_paths(100, |seq| seq % 2 == 0);
        for seq in (61..100).rev().chain(61..100) {
            paths.heard(&name("a"), BOOT, seq, 1, Time::ZERO + BEAT * 101);
        }
        assert_eq!(losses(&paths)[1], (1, 21), "13 of 64 are missing still");
    }

    #[test]
    fn a_recorded_heartbeat_of_an_earlier_boot_disturbs_no_count() {
        let mut paths = two_paths(100, |_| true);
        let now = Time::ZERO + BEAT * 100;
        paths.heard(&name("a"), BootId([9; 16]), 7, 1, now);
        assert_eq!(losses(&paths), [(0, 0), (1, 0)]);
        // It was started again: everything begins anew.
        paths.heard(&name("a"), BootId([2; 16]), 1, 1, now + BOOT_AFTER);
        assert_eq!(losses(&paths), [(0, 0), (1, 0)]);
        for seq in 2..50 {
            paths.heard(&name("a"), BootId([2; 16]), seq, 1, now + BOOT_AFTER);
        }
        assert_eq!(losses(&paths), [(0, 100), (1, 0)], "path 0 is known, and silent");
    }

    #[test]
    fn only_the_long_dead_make_room() {
        let mut paths = Paths::default();
        for n in 0..MAX_MEMBERS {
            paths.heard(&name(&format!("n{n}")), BOOT, 1, 0, Time::ZERO);
        }
        let late = name("late");
        paths.heard(&late, BOOT, 1, 0, Time::ZERO + BEAT);
        assert_eq!(paths.of(&late).count(), 0);
        paths.heard(&late, BOOT, 2, 0, Time::ZERO + LONG_DEAD);
        assert_eq!(paths.of(&late).count(), 1);
        assert_eq!(paths.nodes().count(), MAX_MEMBERS);
        paths.heard(&late, BOOT, 3, MAX_PATHS, Time::ZERO + LONG_DEAD);
        assert_eq!(paths.of(&late).count(), 1, "no such path");
    }

    /// SplitMix64.
    fn draw(state: &mut u64) -> u64 {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Against a count that keeps everything: whatever comes in whatever order.
    #[test]
    fn the_loss_is_that_of_the_last_heartbeats_for_any_history() {
        for seed in 0..300 {
            let mut state = seed;
            let mut paths = Paths::default();
            let (mut came, mut first) = (std::collections::BTreeSet::new(), None);
            let mut newest = 0;
            let mut seq = draw(&mut state) % 1000 + 100;
            for _ in 0..300 {
                seq = match draw(&mut state) % 20 {
                    0 => seq + draw(&mut state) % 300,
                    1..4 => seq - draw(&mut state) % 3,
                    _ => seq + 1,
                };
                let path = (draw(&mut state) % 3) as usize;
                paths.heard(&name("a"), BOOT, seq, path, Time::ZERO);
                newest = newest.max(seq);
                if path == 0 && newest - seq < 128 {
                    came.insert(seq);
                    first.get_or_insert(seq);
                }
                let Some(first) = first else { continue };
                let counted = (first.max((newest + 1).saturating_sub(66))..=newest)
                    .filter(|seq| newest - seq >= 2);
                let (of, got) = counted.fold((0_u64, 0_u64), |(of, got), seq| {
                    (of + 1, got + u64::from(came.contains(&seq)))
                });
                let expected = ((of - got) * 100).checked_div(of).unwrap_or(0);
                let view = paths.of(&name("a")).find(|view| view.path == 0).unwrap();
                assert!(view.loss_percent <= 100 && u64::from(view.of) == of, "seed {seed}");
                let told = u64::from(view.loss_percent);
                assert!(told == expected || told == expected + 1, "seed {seed}: {view:?}");
            }
        }
    }
}
