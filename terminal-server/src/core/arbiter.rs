//! Who holds the line, under which epoch, until when. The terminal server's word is final.

use std::time::Duration;

use wire::{BootId, Claim, Epoch, FreeCause, Guard, LineState, Name, RefuseWhy, Time, guard};

use super::client::ClientId;
use super::config::LEASE_MIN;

/// The state of ownership of one line.
#[derive(Debug)]
pub struct Arbiter {
    /// The start number that is safely stored; epochs are made of it.
    start: u32,
    /// The last epoch granted.
    epoch: Epoch,
    /// The last lease granted.
    lease: Duration,
    /// The last node to hold the line.
    last: Option<Name>,
    tenure: Tenure,
}

#[derive(Debug)]
enum Tenure {
    Free { cause: FreeCause, kept: Option<Kept> },
    Held(Holder),
}

/// A free line is kept for one node for a while.
#[derive(Debug)]
struct Kept {
    node: Name,
    until: Time,
}

/// The client that has the line.
#[derive(Debug)]
pub struct Holder {
    /// Its connection.
    pub client: ClientId,
    /// Who it says, and proved, to be. A raw client is nobody.
    pub who: Option<(Name, BootId)>,
    /// Its grant.
    pub epoch: Epoch,
    /// When the lease runs out. A raw client's never does.
    pub expires: Time,
    /// The lease has run out by the clock; whether a renewal lies unread is being looked at.
    pub probing: bool,
}

/// What becomes of a claim.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is granted. The client named lost the line to itself by it.
    Grant { replaces: Option<ClientId> },
    /// No, and after how long it may be tried again.
    Refuse(RefuseWhy, Duration),
    /// First this start number must be stored.
    Raise(u32),
}

impl Arbiter {
    /// Of a line that has just started.
    pub(crate) fn new(start: u32, epoch: Epoch, lease: Duration, last: Option<Name>) -> Self {
        let tenure = Tenure::Free { cause: FreeCause::Restarted, kept: None };
        Self { start, epoch, lease, last, tenure }
    }

    /// The start number was stored, perhaps for another line's sake.
    pub(crate) fn stored(&mut self, start: u32) {
        self.start = self.start.max(start);
    }

    /// The last epoch granted.
    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The last lease granted.
    pub(crate) fn lease(&self) -> Duration {
        self.lease
    }

    /// The holder, or of a free line the last one.
    pub(crate) fn last(&self) -> Option<&Name> {
        self.last.as_ref()
    }

    /// Who has the line.
    pub(crate) fn holder(&self) -> Option<&Holder> {
        match &self.tenure {
            Tenure::Held(holder) => Some(holder),
            Tenure::Free { .. } => None,
        }
    }

    /// Whether `client` has the line.
    pub(crate) fn is_holder(&self, client: ClientId) -> bool {
        self.holder().is_some_and(|h| h.client == client)
    }

    /// For status and beacons.
    pub(crate) fn state(&self) -> LineState {
        match &self.tenure {
            Tenure::Held(_) => LineState::Held,
            Tenure::Free { cause, .. } => LineState::Free(*cause),
        }
    }

    /// For whom the free line is kept, and until when.
    pub(crate) fn kept_for(&self, now: Time) -> Option<(&Name, Time)> {
        match &self.tenure {
            Tenure::Free { kept: Some(kept), .. } if now < kept.until => {
                Some((&kept.node, kept.until))
            }
            _ => None,
        }
    }

    /// Judges a claim whose MAC is right and whose socket was read to the end.
    pub(crate) fn judge(&self, claim: &Claim, now: Time) -> Verdict {
        let replaces = match &self.tenure {
            Tenure::Held(holder) => {
                // Who holds without a key gives way to whoever has one.
                let same = |(n, b): &(Name, BootId)| *n == claim.node && *b == claim.boot;
                if !holder.who.as_ref().is_none_or(same) {
                    return Verdict::Refuse(RefuseWhy::Held, holder.expires.since(now));
                }
                Some(holder.client)
            }
            Tenure::Free { .. } => None,
        };
        let kept = self.kept_for(now).filter(|_| guard::on(Guard::Reservation));
        if let Some((node, until)) = kept.filter(|(node, _)| **node != claim.node) {
            debug_assert_ne!(*node, claim.node);
            return Verdict::Refuse(RefuseWhy::Reserved, until.since(now));
        }
        match self.next_epoch() {
            Some(next) if claim.seen < next || !guard::on(Guard::RaisedStart) => {
                Verdict::Grant { replaces }
            }
            // Either this start's epochs are used up, or the node has seen a higher one: our
            // state was lost or put back.
            _ => match self.start.max(claim.seen.start()).checked_add(1) {
                Some(start) => Verdict::Raise(start),
                None => Verdict::Refuse(RefuseWhy::Storage, self.lease),
            },
        }
    }

    /// Gives the line to `client`. `who` and the lease are a claim's; a raw client has neither.
    pub(crate) fn grant(
        &mut self,
        client: ClientId,
        who: Option<(Name, BootId)>,
        lease: Option<Duration>,
        now: Time,
    ) -> Epoch {
        // `judge` has seen to it that there is a next epoch; a raw line may start over its count.
        self.epoch = self.next_epoch().unwrap_or(self.epoch);
        if let Some((node, _)) = &who {
            self.last = Some(node.clone());
        }
        if let Some(lease) = lease {
            self.lease = lease;
        }
        let expires = lease.map_or(Time::NEVER, |lease| now + lease);
        let holder = Holder { client, who, epoch: self.epoch, expires, probing: false };
        self.tenure = Tenure::Held(holder);
        self.epoch
    }

    /// The lease a claim gets for the one it wants.
    pub(crate) fn clamp(wanted_ms: u32, max: Duration) -> Duration {
        Duration::from_millis(wanted_ms.into()).min(max).max(LEASE_MIN)
    }

    /// The holder is alive. Whether `client` is the holder.
    pub(crate) fn renew(&mut self, client: ClientId, now: Time) -> bool {
        let lease = self.lease;
        match &mut self.tenure {
            Tenure::Held(holder) if holder.client == client => {
                holder.expires = now + lease;
                holder.probing = false;
                true
            }
            _ => false,
        }
    }

    /// The grant has ended; the line may be kept for one node, for one lease at most.
    pub(crate) fn free(&mut self, cause: FreeCause, keep_for: Option<Name>, now: Time) {
        let until = now + self.lease;
        let cause = if keep_for.is_some() && cause == FreeCause::Released {
            FreeCause::Reserved
        } else {
            cause
        };
        let kept = keep_for.map(|node| Kept { node, until });
        self.tenure = Tenure::Free { cause, kept };
    }

    /// The reservation is over. Whether there was one that ran out.
    pub(crate) fn drop_stale_reservation(&mut self, now: Time) -> bool {
        match &mut self.tenure {
            Tenure::Free { kept, .. } if kept.as_ref().is_some_and(|k| k.until <= now) => {
                *kept = None;
                true
            }
            _ => false,
        }
    }

    /// The holder whose lease has run out by the clock and who is not being looked at yet; it is
    /// from now on.
    pub(crate) fn overdue(&mut self, now: Time) -> Option<ClientId> {
        match &mut self.tenure {
            Tenure::Held(holder) if holder.expires <= now && !holder.probing => {
                holder.probing = true;
                Some(holder.client)
            }
            _ => None,
        }
    }

    /// The next moment at which a lease or a reservation ends by the clock.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        match &self.tenure {
            Tenure::Held(holder) if holder.probing => None,
            Tenure::Held(holder) => Some(holder.expires).filter(|t| *t != Time::NEVER),
            Tenure::Free { kept, .. } => kept.as_ref().map(|k| k.until),
        }
    }

    fn next_epoch(&self) -> Option<Epoch> {
        if self.epoch.start() < self.start {
            Some(Epoch::new(self.start, 1))
        } else {
            self.epoch.next()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_millis(400);

    fn claim(node: &str, boot: u8, seen: Epoch) -> Claim {
        Claim {
            group: "g".parse().unwrap(),
            node: node.parse().unwrap(),
            boot: BootId([boot; 16]),
            seen,
            lease_ms: 400,
            key_id: 0,
            mac: [0; 32],
        }
    }

    fn held() -> Arbiter {
        let mut a = Arbiter::new(7, Epoch::NONE, LEASE, None);
        let c = claim("a", 1, Epoch::NONE);
        assert_eq!(a.grant(1, Some((c.node, c.boot)), Some(LEASE), Time::ZERO), Epoch::new(7, 1));
        a
    }

    #[test]
    fn i1_a_second_claim_while_held_is_refused() {
        let verdict = held().judge(&claim("b", 2, Epoch::NONE), Time::ZERO);
        assert_eq!(verdict, Verdict::Refuse(RefuseWhy::Held, LEASE));
    }

    #[test]
    fn a_claimant_replaces_itself_at_once_but_not_its_namesake() {
        let a = held();
        let same = a.judge(&claim("a", 1, Epoch::NONE), Time::ZERO);
        assert_eq!(same, Verdict::Grant { replaces: Some(1) });
        let namesake = a.judge(&claim("a", 2, Epoch::NONE), Time::ZERO);
        assert_eq!(namesake, Verdict::Refuse(RefuseWhy::Held, LEASE));
    }

    #[test]
    fn i5_an_epoch_seen_elsewhere_raises_ours_and_is_stored_first() {
        let mut a = held();
        a.free(FreeCause::Closed, None, Time::ZERO);
        let c = claim("b", 2, Epoch::new(9, 4));
        assert_eq!(a.judge(&c, Time::ZERO), Verdict::Raise(10));
        a.stored(10);
        assert_eq!(a.judge(&c, Time::ZERO), Verdict::Grant { replaces: None });
        assert_eq!(a.grant(2, Some((c.node, c.boot)), Some(LEASE), Time::ZERO), Epoch::new(10, 1));
        let never = a.judge(&claim("a", 1, Epoch(u64::MAX)), Time::ZERO);
        assert!(matches!(never, Verdict::Refuse(RefuseWhy::Held, _)));
        a.free(FreeCause::Closed, None, Time::ZERO);
        let never = a.judge(&claim("a", 1, Epoch(u64::MAX)), Time::ZERO);
        assert_eq!(never, Verdict::Refuse(RefuseWhy::Storage, LEASE));
    }

    #[test]
    fn a_reservation_keeps_others_out_for_one_lease_at_most() {
        let mut a = held();
        a.free(FreeCause::Released, "b".parse().ok(), Time::ZERO);
        assert_eq!(a.state(), LineState::Free(FreeCause::Reserved));
        let other = claim("c", 3, Epoch::NONE);
        let named = claim("b", 2, Epoch::NONE);
        assert_eq!(a.judge(&other, Time::ZERO), Verdict::Refuse(RefuseWhy::Reserved, LEASE));
        assert_eq!(a.judge(&named, Time::ZERO), Verdict::Grant { replaces: None });
        assert_eq!(a.judge(&other, Time::ZERO + LEASE), Verdict::Grant { replaces: None });
    }

    #[test]
    fn leases_are_clamped() {
        let max = Duration::from_secs(30);
        assert_eq!(Arbiter::clamp(0, max), LEASE_MIN);
        assert_eq!(Arbiter::clamp(400, max), LEASE);
        assert_eq!(Arbiter::clamp(u32::MAX, max), max);
    }
}
