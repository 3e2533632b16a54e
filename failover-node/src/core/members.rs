//! Whom a node hears, and whom it believes.
//!
//! Replays are kept out without a common clock: within one boot the sequence must grow, and a new
//! boot is believed only after it has given back a challenge that this node drew for it. A
//! challenge is used once, so a recorded heartbeat of an earlier boot never gets in again.

use std::collections::BTreeMap;
use std::time::Duration;

use wire::heartbeat::MAX_MEMBERS;
use wire::{BootId, Digests, Epoch, Guard, Heartbeat, Name, PeerEcho, Role, Time, guard};

/// The other nodes of the group.
#[derive(Debug)]
pub struct Members {
    me: Name,
    boot: BootId,
    /// Challenges come from it; they repeat after 2^64.
    seed: u64,
    drawn: u64,
    table: BTreeMap<Name, Member>,
    /// When a node that reads nothing but version 1 was heard last.
    version_1: Option<Time>,
}

/// One other node.
#[derive(Debug)]
struct Member {
    /// Our challenge to it.
    challenge: u64,
    /// Its challenge to us, to be given back.
    echo: u64,
    /// Our newest challenge and echo to it have gone out.
    echoed: bool,
    /// When anything with a right MAC came under its name.
    heard: Time,
    /// Its newest believed heartbeat, and when it came.
    believed: Option<(Heartbeat, Time)>,
    /// Since when it has been heard, eligible and without a difficulty.
    able_since: Option<Time>,
}

/// Why a heartbeat was not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unheard {
    /// It is our own, come back by multicast loop.
    Own,
    /// Another process uses our name.
    DuplicateName,
    /// A living member has the same name. A process that was started again is believed when its
    /// predecessor counts as gone; a second process under the name never is.
    Rival,
    /// The sequence did not grow: doubled, late, or replayed.
    Old,
    /// A new boot that has not given our challenge back yet.
    Unproven,
    /// The table is full of living members.
    Full,
}

/// A believed member, as the election and `status` see it.
#[derive(Debug, Clone, Copy)]
pub struct MemberView<'a> {
    /// Its newest heartbeat.
    pub heartbeat: &'a Heartbeat,
    /// When that came.
    pub heard: Time,
    /// Since when it could have taken the line without a pause.
    pub able_since: Option<Time>,
}

impl Members {
    pub(crate) fn new(me: Name, boot: BootId, seed: u64) -> Self {
        Self { me, boot, seed, drawn: 0, table: BTreeMap::new(), version_1: None }
    }

    /// Takes in a heartbeat whose MAC is right. Whether it is believed.
    pub(crate) fn handle(
        &mut self,
        heartbeat: Heartbeat,
        dead_after: Duration,
        now: Time,
    ) -> Result<(), Unheard> {
        if heartbeat.node == self.me {
            let own = heartbeat.boot == self.boot;
            return Err(if own { Unheard::Own } else { Unheard::DuplicateName });
        }
        if !self.table.contains_key(&heartbeat.node) {
            self.make_room(dead_after, now)?;
            let challenge = self.draw();
            let new = Member {
                challenge,
                echo: 0,
                echoed: false,
                heard: now,
                believed: None,
                able_since: None,
            };
            self.table.insert(heartbeat.node.clone(), new);
        }
        let next = self.next_challenge();
        let Some(member) = self.table.get_mut(&heartbeat.node) else { return Err(Unheard::Full) };
        let to_us = heartbeat.peers.iter().find(|p| p.node == self.me);
        let known = member.believed.as_ref().is_some_and(|(b, _)| b.boot == heartbeat.boot);
        let old = known && member.believed.as_ref().is_some_and(|(b, _)| b.seq >= heartbeat.seq);
        if old && guard::on(Guard::SequenceGrows) {
            return Err(Unheard::Old);
        }
        // What a node says in both versions counts once, and as it says it best.
        let best = member.believed.as_ref().map_or(1, |(b, _)| b.speaks);
        if known && heartbeat.speaks < best {
            return Err(Unheard::Old);
        }
        if let Some(p) = to_us.filter(|p| p.challenge != member.echo) {
            member.echo = p.challenge;
            member.echoed = false;
        }
        let living = member.believed.as_ref().is_some_and(|(b, at)| {
            b.boot != heartbeat.boot && !b.leaving && now.since(*at) < dead_after
        });
        if living && guard::on(Guard::NoRival) {
            return Err(Unheard::Rival);
        }
        member.heard = now;
        if heartbeat.speaks == 1 {
            self.version_1 = Some(now);
        }
        let proven = to_us.is_some_and(|p| p.echo == member.challenge);
        if !known && guard::on(Guard::EchoBeforeBelief) {
            if !proven {
                return Err(Unheard::Unproven);
            }
            member.challenge =
                if guard::on(Guard::ChallengeOnce) { next } else { member.challenge };
            member.echoed = false;
            self.drawn += 1;
        }
        let able = heartbeat.eligible() && !heartbeat.last_resort();
        let gap = member.believed.as_ref().is_none_or(|(_, at)| now.since(*at) >= dead_after);
        member.able_since = match member.able_since {
            Some(since) if able && known && !gap => Some(since),
            _ => able.then_some(now),
        };
        member.believed = Some((heartbeat, now));
        Ok(())
    }

    /// Whether somebody waits for our echo, so that a heartbeat out of turn helps.
    pub(crate) fn owes_echo(&self) -> bool {
        self.table.values().any(|m| !m.echoed)
    }

    /// What our next heartbeat says to each.
    pub(crate) fn echoes(&mut self, now: Time) -> Vec<PeerEcho> {
        let echo = |(name, member): (&Name, &mut Member)| {
            member.echoed = true;
            PeerEcho {
                node: name.clone(),
                challenge: member.challenge,
                echo: member.echo,
                heard_ms: now.since(member.heard).as_millis().min(0xffff) as u16,
            }
        };
        self.table.iter_mut().map(echo).collect()
    }

    /// The believed members, by name.
    pub fn believed(&self) -> impl Iterator<Item = MemberView<'_>> {
        self.table.values().filter_map(|m| {
            let (heartbeat, heard) = m.believed.as_ref()?;
            Some(MemberView { heartbeat, heard: *heard, able_since: m.able_since })
        })
    }

    /// The believed members that were heard lately and are not stopping.
    pub fn alive(&self, dead_after: Duration, now: Time) -> impl Iterator<Item = MemberView<'_>> {
        self.believed().filter(move |m| !m.heartbeat.leaving && now.since(m.heard) < dead_after)
    }

    /// Whether there are nodes of the release before, which read version 1 only.
    pub(crate) fn hears_version_1(&self, now: Time) -> bool {
        self.version_1.is_some_and(|at| now.since(at) < VERSION_1_MEMORY)
    }

    /// The coordinator of the highest epoch that heartbeats tell of, and when it was heard.
    /// One with other settings may speak of another line.
    pub(crate) fn coordinator(&self, ours: &Digests) -> Option<(Epoch, Time)> {
        let coordinators = self.believed().filter(|m| m.heartbeat.role == Role::Coordinator);
        let coordinators = coordinators.filter(|m| ours.knows(m.heartbeat.digest));
        let newest = coordinators.max_by_key(|m| (m.heartbeat.epoch, m.heard))?;
        Some((newest.heartbeat.epoch, newest.heard))
    }

    /// A dead member's place is given to a new one.
    fn make_room(&mut self, dead_after: Duration, now: Time) -> Result<(), Unheard> {
        if self.table.len() < MAX_MEMBERS {
            return Ok(());
        }
        let oldest = self.table.iter().min_by_key(|(_, m)| m.heard);
        let dead = oldest.filter(|(_, m)| now.since(m.heard) >= dead_after).map(|(n, _)| n.clone());
        let Some(name) = dead else { return Err(Unheard::Full) };
        self.table.remove(&name);
        Ok(())
    }

    fn draw(&mut self) -> u64 {
        let challenge = self.next_challenge();
        self.drawn += 1;
        challenge
    }

    /// SplitMix64 over a counter: never the same twice, and never zero, which means "none".
    fn next_challenge(&self) -> u64 {
        let mut z = self.seed.wrapping_add((self.drawn + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)).max(1)
    }
}

/// For so long after the last heartbeat of version 1 a node speaks it, too.
const VERSION_1_MEMORY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    const DEAD: Duration = Duration::from_millis(450);

    fn heartbeat(node: &str, boot: u8, seq: u64, echo: u64) -> Heartbeat {
        let peer = PeerEcho { node: "me".parse().unwrap(), challenge: 77, echo, heard_ms: 0 };
        Heartbeat {
            peers: vec![peer],
            ..Heartbeat::new("g".parse().unwrap(), node.parse().unwrap(), BootId([boot; 16]), seq)
        }
    }

    fn members() -> Members {
        Members::new("me".parse().unwrap(), BootId([9; 16]), 42)
    }

    fn challenge_to(m: &mut Members, node: &str) -> u64 {
        let echoes = m.echoes(Time::ZERO);
        echoes.iter().find(|e| e.node.as_str() == node).unwrap().challenge
    }

    #[test]
    fn a_new_boot_is_believed_only_after_it_echoed_our_challenge() {
        let mut m = members();
        let now = Time::ZERO;
        assert_eq!(m.handle(heartbeat("a", 1, 1, 0), DEAD, now), Err(Unheard::Unproven));
        assert!(m.owes_echo());
        let first = challenge_to(&mut m, "a");
        assert_eq!(m.handle(heartbeat("a", 1, 2, first), DEAD, now), Ok(()));
        assert_eq!(m.believed().count(), 1);
        // It restarts; then its first life is replayed, with the echo that was good then.
        let second = challenge_to(&mut m, "a");
        assert_ne!(first, second);
        let now = now + DEAD;
        assert_eq!(m.handle(heartbeat("a", 2, 1, second), DEAD, now), Ok(()));
        let now = now + DEAD;
        let replayed = heartbeat("a", 1, 3, first);
        assert_eq!(m.handle(replayed, DEAD, now), Err(Unheard::Unproven));
        assert_eq!(m.believed().next().unwrap().heartbeat.boot, BootId([2; 16]));
    }

    #[test]
    fn a_second_process_under_a_living_members_name_is_not_believed() {
        let mut m = members();
        let _ = m.handle(heartbeat("a", 1, 1, 0), DEAD, Time::ZERO);
        let echo = challenge_to(&mut m, "a");
        m.handle(heartbeat("a", 1, 2, echo), DEAD, Time::ZERO).unwrap();
        let echo = challenge_to(&mut m, "a");
        let second = heartbeat("a", 2, 1, echo);
        assert_eq!(m.handle(second.clone(), DEAD, Time::ZERO), Err(Unheard::Rival));
        let leaving = Heartbeat { leaving: true, ..heartbeat("a", 1, 3, 0) };
        m.handle(leaving, DEAD, Time::ZERO).unwrap();
        assert_eq!(m.handle(second, DEAD, Time::ZERO), Ok(()), "the first has said good-bye");
    }

    #[test]
    fn a_sequence_that_does_not_grow_is_old() {
        let mut m = members();
        let _ = m.handle(heartbeat("a", 1, 1, 0), DEAD, Time::ZERO);
        let echo = challenge_to(&mut m, "a");
        m.handle(heartbeat("a", 1, 5, echo), DEAD, Time::ZERO).unwrap();
        assert_eq!(m.handle(heartbeat("a", 1, 5, echo), DEAD, Time::ZERO), Err(Unheard::Old));
        assert_eq!(m.handle(heartbeat("a", 1, 4, echo), DEAD, Time::ZERO), Err(Unheard::Old));
        assert_eq!(m.handle(heartbeat("a", 1, 6, 0), DEAD, Time::ZERO), Ok(()));
    }

    #[test]
    fn our_own_name_is_ourselves_or_a_mistake() {
        let mut m = members();
        assert_eq!(m.handle(heartbeat("me", 9, 1, 0), DEAD, Time::ZERO), Err(Unheard::Own));
        let other = m.handle(heartbeat("me", 8, 1, 0), DEAD, Time::ZERO);
        assert_eq!(other, Err(Unheard::DuplicateName));
    }

    #[test]
    fn the_table_is_bounded_and_only_the_dead_make_room() {
        let mut m = members();
        for i in 0..MAX_MEMBERS {
            let _ = m.handle(heartbeat(&format!("n{i}"), 1, 1, 0), DEAD, Time::ZERO);
        }
        let late = heartbeat("late", 1, 1, 0);
        assert_eq!(m.handle(late.clone(), DEAD, Time::ZERO), Err(Unheard::Full));
        assert_eq!(m.handle(late, DEAD, Time::ZERO + DEAD), Err(Unheard::Unproven));
        assert_eq!(m.echoes(Time::ZERO).len(), MAX_MEMBERS);
    }
}
