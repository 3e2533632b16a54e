//! When which beacon goes out: a change at once and again 3 and 10 ms later, else one an interval.

use std::time::Duration;

use wire::beacon::MAX_BEACON_LINES;
use wire::{Beacon, LineStatus, Name, Time};

/// A change is told thrice, since a datagram may be lost and a successor waits for it.
const REPEATS: [Duration; 3] =
    [Duration::ZERO, Duration::from_millis(3), Duration::from_millis(10)];

/// The beacons of one group's lines.
///
/// Contract: after every `handle_*`, call [`Announcer::poll_beacon`] until it answers `None`, then
/// wait until [`Announcer::poll_timeout`].
#[derive(Debug)]
pub struct Announcer {
    group: Name,
    server: Name,
    start: u32,
    seq: u64,
    interval: Duration,
    pages: Vec<Page>,
}

/// As many lines as fit one datagram.
#[derive(Debug)]
struct Page {
    lines: Vec<(LineStatus, Time)>,
    changed: Option<Time>,
    /// How many of [`REPEATS`] the last change has had.
    told: usize,
    next: Time,
}

impl Announcer {
    /// For the lines in `statuses`, taken at `now`.
    pub fn new(
        (group, server): (Name, Name),
        start: u32,
        interval: Duration,
        statuses: &[LineStatus],
        now: Time,
    ) -> Self {
        let mut announcer = Self { group, server, start, seq: 0, interval, pages: Vec::new() };
        announcer.handle_lines(statuses.iter().map(|status| (status.clone(), now)), now);
        announcer
    }

    /// Lines have come or gone: these are all, each with the time when its status was taken.
    pub fn handle_lines(&mut self, lines: impl Iterator<Item = (LineStatus, Time)>, now: Time) {
        let lines: Vec<_> = lines.collect();
        let page = |lines: &[(LineStatus, Time)]| Page {
            lines: lines.to_vec(),
            changed: Some(now),
            told: 0,
            next: now,
        };
        self.pages = lines.chunks(MAX_BEACON_LINES).map(page).collect();
    }

    /// The start number was raised: a node had seen higher epochs than ours.
    pub fn handle_start(&mut self, start: u32) {
        self.start = self.start.max(start);
    }

    /// A line's status is now this. Only a change of more than the time left is told at once.
    pub fn handle_status(&mut self, status: LineStatus, now: Time) {
        let Some((page, at)) = self.pages.iter_mut().find_map(|page| {
            page.lines.iter().position(|(l, _)| l.line == status.line).map(|at| (page, at))
        }) else {
            return;
        };
        let mut before = page.lines[at].0.clone();
        before.left_ms = status.left_ms;
        if before != status {
            page.changed = Some(now);
            page.told = 0;
            page.next = now;
        }
        page.lines[at] = (status, now);
    }

    /// The next beacon that is due.
    pub fn poll_beacon(&mut self, now: Time) -> Option<Beacon> {
        let page = self.pages.iter_mut().find(|page| page.next <= now)?;
        page.told = (page.told + 1).min(REPEATS.len());
        page.next = match (page.changed, REPEATS.get(page.told)) {
            // A late wake-up must not turn the repeats into a burst.
            (Some(changed), Some(after)) => (changed + *after).max(now + Duration::from_millis(1)),
            _ => now + self.interval,
        };
        self.seq += 1;
        let aged = |(status, at): &(LineStatus, Time)| {
            let age = now.since(*at).as_millis() as u32;
            LineStatus { left_ms: status.left_ms.saturating_sub(age), ..status.clone() }
        };
        Some(Beacon {
            group: self.group.clone(),
            server: self.server.clone(),
            start: self.start,
            seq: self.seq,
            interval_ms: self.interval.as_millis() as u32,
            lines: page.lines.iter().map(aged).collect(),
        })
    }

    /// When the next beacon is due.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.pages.iter().map(|page| page.next).min()
    }
}

#[cfg(test)]
mod tests {
    use wire::{Epoch, FreeCause, LineState};

    use super::*;

    fn status(line: usize, state: LineState) -> LineStatus {
        LineStatus {
            line: format!("line{line}").parse().unwrap(),
            up: true,
            state,
            holder: None,
            epoch: Epoch(1),
            lease_ms: 400,
            left_ms: 400,
            reserved_for: None,
        }
    }

    fn at(ms: u64) -> Time {
        Time::ZERO + Duration::from_millis(ms)
    }

    fn sent(a: &mut Announcer, until: u64) -> Vec<(u64, Beacon)> {
        let mut beacons = Vec::new();
        while let Some(due) = a.poll_timeout().filter(|t| *t <= at(until)) {
            while let Some(beacon) = a.poll_beacon(due) {
                beacons.push((due.as_nanos() / 1_000_000, beacon));
            }
        }
        beacons
    }

    #[test]
    fn a_change_goes_out_at_0_3_and_10_ms_then_one_an_interval() {
        let names = ("g".parse().unwrap(), "s".parse().unwrap());
        let held = status(0, LineState::Held);
        let mut a = Announcer::new(names, 7, Duration::from_millis(100), &[held], at(0));
        let times: Vec<_> = sent(&mut a, 250).iter().map(|(t, _)| *t).collect();
        assert_eq!(times, [0, 3, 10, 110, 210]);
        a.handle_status(status(0, LineState::Free(FreeCause::Closed)), at(251));
        let beacons = sent(&mut a, 300);
        let times: Vec<_> = beacons.iter().map(|(t, _)| *t).collect();
        assert_eq!(times, [251, 254, 261]);
        assert!(
            beacons.iter().all(|(_, b)| b.lines[0].state == LineState::Free(FreeCause::Closed))
        );
        assert_eq!(beacons[2].1.seq, 8);
    }

    #[test]
    fn a_renewal_is_no_change_but_time_left_is_true_when_sent() {
        let names = ("g".parse().unwrap(), "s".parse().unwrap());
        let held = status(0, LineState::Held);
        let mut a = Announcer::new(names, 7, Duration::from_millis(100), &[held], at(0));
        sent(&mut a, 50);
        let renewed = LineStatus { left_ms: 390, ..status(0, LineState::Held) };
        a.handle_status(renewed, at(60));
        let beacons = sent(&mut a, 110);
        assert_eq!(beacons.len(), 1);
        assert_eq!(beacons[0].1.lines[0].left_ms, 340);
    }

    #[test]
    fn many_lines_fill_several_beacons_and_a_change_sends_only_its_own() {
        let names = ("g".parse().unwrap(), "s".parse().unwrap());
        let all: Vec<_> = (0..25).map(|i| status(i, LineState::Held)).collect();
        let mut a = Announcer::new(names, 7, Duration::from_millis(100), &all, at(0));
        let lines: usize = sent(&mut a, 0).iter().map(|(_, b)| b.lines.len()).sum();
        assert_eq!(lines, 25);
        sent(&mut a, 50);
        a.handle_status(status(24, LineState::Free(FreeCause::Lease)), at(51));
        let beacons = sent(&mut a, 51);
        assert_eq!(beacons.len(), 1);
        assert_eq!(beacons[0].1.lines.len(), 5);
    }

    #[test]
    fn lines_come_and_go_and_the_sequence_goes_on() {
        let names = ("g".parse().unwrap(), "s".parse().unwrap());
        let held = status(0, LineState::Held);
        let mut a = Announcer::new(names, 7, Duration::from_millis(100), &[held], at(0));
        let before = sent(&mut a, 50).last().unwrap().1.seq;
        let two = [1, 2].map(|line| (status(line, LineState::Held), at(51)));
        a.handle_lines(two.into_iter(), at(51));
        let beacons = sent(&mut a, 51);
        assert_eq!((beacons.len(), beacons[0].1.seq), (1, before + 1));
        let told: Vec<_> = beacons[0].1.lines.iter().map(|l| l.line.to_string()).collect();
        assert_eq!(told, ["line1", "line2"]);
    }
}
