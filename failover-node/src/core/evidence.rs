//! What is known about the line: who holds it, or since when and why it is free.
//!
//! The newest evidence wins, and the terminal server's word (a beacon, a refusal, the end of our
//! own grant) beats heartbeats. Statuses are ordered by what they say, not by when they came: a
//! line free after epoch e is newer than one held under e and older than one held under e + 1.

use std::time::Duration;

use wire::{Beacon, Epoch, FreeCause, Guard, LineState, LineStatus, Name, Time, guard};

use super::profile::Profile;

/// All that is known about one line.
#[derive(Debug)]
pub struct Evidence {
    line: Name,
    /// (start, sequence) of the last beacon.
    order: (u32, u64),
    /// When a beacon was heard last.
    beacon: Option<Time>,
    latest: Option<Seen>,
    highest: Epoch,
    incumbent: Option<Name>,
}

#[derive(Debug)]
struct Seen {
    status: LineStatus,
    /// Held: when that was last heard. Free: when it was first heard.
    at: Time,
}

/// A line without a holder, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Vacancy {
    /// From when on a claim makes sense.
    pub(crate) at: Time,
    /// The terminal server's word for it, if it is its word.
    pub(crate) cause: Option<FreeCause>,
}

impl Evidence {
    pub(crate) fn new(line: Name) -> Self {
        Self {
            line,
            order: (0, 0),
            beacon: None,
            latest: None,
            highest: Epoch::NONE,
            incumbent: None,
        }
    }

    /// Takes in a beacon whose MAC is right. `None`: it is older than one already heard. Else
    /// whether the terminal server has started since.
    pub(crate) fn handle_beacon(&mut self, beacon: &Beacon, now: Time) -> Option<bool> {
        // Another terminal server of the group counts for itself.
        let Some(status) = beacon.lines.iter().find(|l| l.line == self.line) else {
            return Some(false);
        };
        if guard::on(Guard::BeaconOrder) && (beacon.start, beacon.seq) <= self.order {
            return None;
        }
        let restarted = beacon.start > self.order.0;
        self.order = (beacon.start, beacon.seq);
        self.beacon = Some(now);
        self.handle_status(status.clone(), now);
        Some(restarted)
    }

    /// Takes in the terminal server's word about the line, by beacon or refusal.
    pub(crate) fn handle_status(&mut self, status: LineStatus, now: Time) {
        self.saw_epoch(status.epoch);
        let restarted = status.state == LineState::Free(FreeCause::Restarted);
        let order = |s: &LineStatus| (s.epoch, s.state != LineState::Held);
        let known = self.latest.as_ref().map(|seen| order(&seen.status));
        let ordered = guard::on(Guard::EvidenceOrder);
        if ordered && !restarted && known.is_some_and(|known| order(&status) < known) {
            return;
        }
        if let Some(holder) = &status.holder {
            self.incumbent = Some(holder.clone());
        }
        let still = |seen: &&mut Seen| {
            status.state != LineState::Held
                && seen.status.state == status.state
                && seen.status.epoch == status.epoch
                && seen.status.reserved_for == status.reserved_for
        };
        match self.latest.as_mut().filter(still) {
            // Free as before, and since then; only the time left of a reservation goes on.
            Some(_) => {}
            None => self.latest = Some(Seen { status, at: now }),
        }
    }

    /// We have the grant.
    pub(crate) fn handle_own_grant(&mut self, me: &Name, epoch: Epoch, lease: Duration, now: Time) {
        let status = self.own_status(me, epoch, lease, LineState::Held);
        self.handle_status(status, now);
    }

    /// Our grant of `epoch` has ended by our own doing; the line may be kept for somebody.
    pub(crate) fn handle_own_release(
        &mut self,
        me: &Name,
        epoch: Epoch,
        reserved_for: Option<Name>,
        lease: Duration,
        now: Time,
    ) {
        let cause = reserved_for.as_ref().map_or(FreeCause::Released, |_| FreeCause::Reserved);
        let mut status = self.own_status(me, epoch, lease, LineState::Free(cause));
        status.reserved_for = reserved_for;
        self.handle_status(status, now);
    }

    /// The connection of our grant of `epoch` has ended without a word: the terminal server may
    /// have gone, and we are its incumbent until it says otherwise. If it has granted the line to
    /// somebody since, it has said so.
    pub(crate) fn handle_own_loss(&mut self, me: &Name, epoch: Epoch, lease: Duration, now: Time) {
        if self.latest.as_ref().is_some_and(|seen| seen.status.epoch > epoch) {
            return;
        }
        let state = LineState::Free(FreeCause::Restarted);
        let status = self.own_status(me, epoch, lease, state);
        self.handle_status(status, now);
    }

    fn own_status(&self, me: &Name, epoch: Epoch, lease: Duration, state: LineState) -> LineStatus {
        let lease_ms = u32::try_from(lease.as_millis()).unwrap_or(u32::MAX);
        LineStatus {
            line: self.line.clone(),
            up: true,
            state,
            holder: Some(me.clone()),
            epoch,
            lease_ms,
            left_ms: lease_ms,
            reserved_for: None,
        }
    }

    /// An epoch was heard of.
    pub(crate) fn saw_epoch(&mut self, epoch: Epoch) {
        self.highest = self.highest.max(epoch);
    }

    /// The highest epoch heard of.
    pub(crate) fn highest(&self) -> Epoch {
        self.highest
    }

    /// The last coordinator, as far as is known.
    pub(crate) fn incumbent(&self) -> Option<&Name> {
        self.incumbent.as_ref()
    }

    /// What the terminal server said last.
    pub(crate) fn status(&self) -> Option<&LineStatus> {
        self.latest.as_ref().map(|seen| &seen.status)
    }

    /// Whether beacons are heard: one within the last lease.
    pub(crate) fn hears_beacons(&self, lease: Duration, now: Time) -> bool {
        self.beacon.is_some_and(|at| now.since(at) <= lease)
    }

    /// When a beacon was heard last.
    pub(crate) fn last_beacon(&self) -> Option<Time> {
        self.beacon
    }

    /// Since when, or from when on, the line is vacant. `coordinator` is what heartbeats tell;
    /// `started` is when we began to listen.
    pub(crate) fn vacancy(
        &self,
        me: &Name,
        profile: &Profile,
        coordinator: Option<(Epoch, Time)>,
        started: Time,
    ) -> Vacancy {
        let silent = |heard: Time| Vacancy { at: heard + profile.dead_after, cause: None };
        let Some(seen) = &self.latest else {
            return silent(coordinator.map_or(started, |(_, heard)| heard));
        };
        let status = &seen.status;
        // Heartbeats of a later grant: its beacons were lost. Any grant of an earlier start of the
        // terminal server is older than its restart.
        let newest = match status.state {
            LineState::Free(FreeCause::Restarted) => status.epoch.max(Epoch::new(self.order.0, 0)),
            _ => status.epoch,
        };
        if let Some((_, heard)) = coordinator.filter(|(epoch, _)| *epoch > newest) {
            return silent(heard);
        }
        match status.state {
            LineState::Held => {
                let until = seen.at + Duration::from_millis(status.lease_ms.into());
                let same = coordinator.filter(|(epoch, _)| *epoch == status.epoch);
                let heard = same.map_or(Time::ZERO, |(_, heard)| heard + profile.dead_after);
                Vacancy { at: until.max(heard), cause: None }
            }
            LineState::Free(cause) => {
                let kept = match &status.reserved_for {
                    Some(node) if node == me => Duration::ZERO,
                    Some(_) => Duration::from_millis(status.left_ms.into()),
                    None if cause == FreeCause::Restarted
                        && guard::on(Guard::IncumbentFirst)
                        && self.incumbent.as_ref() != Some(me) =>
                    {
                        profile.lease
                    }
                    None => Duration::ZERO,
                };
                Vacancy { at: seen.at + kept, cause: Some(cause) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: Profile = Profile::STANDARD;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn status(epoch: u64, state: LineState) -> LineStatus {
        LineStatus {
            line: name("line"),
            up: true,
            state,
            holder: Some(name("a")),
            epoch: Epoch(epoch),
            lease_ms: 400,
            left_ms: 400,
            reserved_for: None,
        }
    }

    fn ms(ms: u64) -> Time {
        Time::ZERO + Duration::from_millis(ms)
    }

    fn at(e: &Evidence, me: &str, coordinator: Option<(u64, u64)>) -> Time {
        let coordinator = coordinator.map(|(epoch, heard)| (Epoch(epoch), ms(heard)));
        e.vacancy(&name(me), &P, coordinator, ms(0)).at
    }

    #[test]
    fn held_by_beacon_delays_a_claim_for_at_most_one_lease() {
        let mut e = Evidence::new(name("line"));
        e.handle_status(status(1, LineState::Held), ms(1000));
        assert_eq!(at(&e, "b", None), ms(1400));
        e.handle_status(status(1, LineState::Held), ms(1100));
        assert_eq!(at(&e, "b", None), ms(1500));
        assert_eq!(at(&e, "b", Some((1, 1300))), ms(1750), "its heartbeats are still heard");
    }

    #[test]
    fn free_by_beacon_opens_at_once_and_stays_open_since_then() {
        let mut e = Evidence::new(name("line"));
        e.handle_status(status(1, LineState::Held), ms(1000));
        e.handle_status(status(1, LineState::Free(FreeCause::Closed)), ms(1010));
        e.handle_status(status(1, LineState::Free(FreeCause::Closed)), ms(1013));
        assert_eq!(at(&e, "b", Some((1, 1005))), ms(1010), "a beacon beats heartbeats");
    }

    #[test]
    fn after_a_restart_the_incumbent_goes_at_once_and_others_after_one_lease() {
        let mut e = Evidence::new(name("line"));
        e.handle_status(status(5, LineState::Held), ms(0));
        e.handle_status(status(0, LineState::Free(FreeCause::Restarted)), ms(1000));
        assert_eq!(at(&e, "a", None), ms(1000));
        assert_eq!(at(&e, "b", None), ms(1400));
    }

    #[test]
    fn a_reservation_is_the_named_nodes_at_once_and_others_when_it_ends() {
        let mut e = Evidence::new(name("line"));
        let mut reserved = status(1, LineState::Free(FreeCause::Reserved));
        reserved.reserved_for = Some(name("b"));
        reserved.left_ms = 300;
        e.handle_status(reserved, ms(1000));
        assert_eq!(at(&e, "b", None), ms(1000));
        assert_eq!(at(&e, "c", None), ms(1300));
    }

    #[test]
    fn statuses_are_ordered_by_what_they_say() {
        let mut e = Evidence::new(name("line"));
        e.handle_status(status(2, LineState::Held), ms(1000));
        e.handle_status(status(1, LineState::Free(FreeCause::Closed)), ms(1010));
        assert_eq!(e.status().unwrap().epoch, Epoch(2), "a late word about an older grant");
        e.handle_status(status(2, LineState::Free(FreeCause::Lease)), ms(1020));
        e.handle_status(status(2, LineState::Held), ms(1030));
        assert_ne!(e.status().unwrap().state, LineState::Held);
    }

    #[test]
    fn heartbeats_of_a_later_grant_outdate_free() {
        let mut e = Evidence::new(name("line"));
        e.handle_status(status(1, LineState::Free(FreeCause::Closed)), ms(1000));
        assert_eq!(at(&e, "b", Some((2, 1200))), ms(1650));
    }

    #[test]
    fn without_beacons_silence_decides() {
        let e = Evidence::new(name("line"));
        assert_eq!(at(&e, "b", None), ms(450));
        assert_eq!(at(&e, "b", Some((1, 2000))), ms(2450));
    }

    #[test]
    fn replayed_and_late_beacons_are_ignored() {
        let beacon = |start, seq| Beacon {
            group: name("g"),
            server: name("s"),
            start,
            seq,
            interval_ms: 100,
            lines: vec![status(1, LineState::Free(FreeCause::Restarted))],
        };
        let mut e = Evidence::new(name("line"));
        assert_eq!(e.handle_beacon(&beacon(7, 5), ms(0)), Some(true));
        assert_eq!(e.handle_beacon(&beacon(7, 5), ms(1)), None);
        assert_eq!(e.handle_beacon(&beacon(7, 4), ms(1)), None);
        assert_eq!(e.handle_beacon(&beacon(6, 99), ms(1)), None);
        let elsewhere = Beacon { lines: Vec::new(), ..beacon(9, 1) };
        assert_eq!(e.handle_beacon(&elsewhere, ms(1)), Some(false));
        assert_eq!(e.handle_beacon(&beacon(7, 6), ms(1)), Some(false), "of one server");
        assert_eq!(e.handle_beacon(&beacon(8, 1), ms(1)), Some(true));
    }
}
