//! The times a group agrees on, checked against each other.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;
use wire::{Guard, guard};

/// How often, how long, how soon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// Between two heartbeats, and between two renewals of the lease.
    pub heartbeat: Duration,
    /// How long a grant lives without renewal.
    pub lease: Duration,
    /// A node that was not heard for so long counts as gone.
    pub dead_after: Duration,
    /// Rank k acts k of these after the vacancy.
    pub stagger: Duration,
}

/// Why times do not go together.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProfileError {
    /// Neither a name nor three numbers.
    #[error(
        "{0:?} is no profile: use standard, fast, wan or HEARTBEAT/LEASE/DEAD in milliseconds, such as 100/400/450"
    )]
    Syntax(String),
    /// A lease must outlive the loss of two renewals.
    #[error(
        "a lease of {lease:?} must be at least three heartbeats of {heartbeat:?}, or one lost renewal ends it"
    )]
    ShortLease {
        /// As given.
        lease: Duration,
        /// As given.
        heartbeat: Duration,
    },
    /// Peers must not act on silence before the terminal server would have ended the lease.
    #[error("dead after {dead_after:?} must be longer than the lease of {lease:?}")]
    HastyDeath {
        /// As given.
        dead_after: Duration,
        /// As given.
        lease: Duration,
    },
    /// Outside of what is sensible.
    #[error("a heartbeat of {0:?} is outside 5 ms to 10 s")]
    Heartbeat(Duration),
}

impl Profile {
    /// For hosts on one network: 100 / 400 / 450 ms.
    pub const STANDARD: Self = Self::millis(100, 400, 450, 30);
    /// For quiet hosts that can wake up in time: 20 / 80 / 90 ms.
    pub const FAST: Self = Self::millis(20, 80, 90, 10);
    /// For networks that lose and delay: 1 / 9 / 10 s.
    pub const WAN: Self = Self::millis(1000, 9000, 10_000, 300);

    const fn millis(heartbeat: u64, lease: u64, dead_after: u64, stagger: u64) -> Self {
        Self {
            heartbeat: Duration::from_millis(heartbeat),
            lease: Duration::from_millis(lease),
            dead_after: Duration::from_millis(dead_after),
            stagger: Duration::from_millis(stagger),
        }
    }

    /// The lease as the node counts it: 1 % shorter, so that it ends first at the node whatever
    /// the two clocks' rates (they differ by less than 0.1 %).
    pub fn own_lease(lease: Duration) -> Duration {
        if guard::on(Guard::ShorterLease) { lease - lease / 100 } else { lease }
    }

    fn check(self) -> Result<Self, ProfileError> {
        let Self { heartbeat, lease, dead_after, .. } = self;
        if !(Duration::from_millis(5)..=Duration::from_secs(10)).contains(&heartbeat) {
            return Err(ProfileError::Heartbeat(heartbeat));
        }
        if lease / 3 < heartbeat {
            return Err(ProfileError::ShortLease { lease, heartbeat });
        }
        if dead_after <= lease {
            return Err(ProfileError::HastyDeath { dead_after, lease });
        }
        Ok(self)
    }
}

impl FromStr for Profile {
    type Err = ProfileError;

    fn from_str(text: &str) -> Result<Self, ProfileError> {
        match text {
            "standard" => return Ok(Self::STANDARD),
            "fast" => return Ok(Self::FAST),
            "wan" => return Ok(Self::WAN),
            _ => {}
        }
        let numbers: Option<Vec<u64>> = text.split('/').map(|n| n.trim().parse().ok()).collect();
        match numbers.as_deref() {
            Some([heartbeat, lease, dead_after]) => {
                let profile = Self::millis(*heartbeat, *lease, *dead_after, 0).check()?;
                let stagger = (profile.heartbeat * 3 / 10).max(Duration::from_millis(10));
                Ok(Self { stagger, ..profile })
            }
            _ => Err(ProfileError::Syntax(text.into())),
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [heartbeat, lease, dead_after] =
            [self.heartbeat, self.lease, self.dead_after].map(|d| d.as_millis());
        write!(f, "{heartbeat}/{lease}/{dead_after}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_named_or_checked_numbers() {
        assert_eq!("standard".parse(), Ok(Profile::STANDARD));
        assert_eq!("20/80/90".parse(), Ok(Profile { ..Profile::FAST }));
        assert!(matches!("slow".parse::<Profile>(), Err(ProfileError::Syntax(_))));
        assert!(matches!("100/200/450".parse::<Profile>(), Err(ProfileError::ShortLease { .. })));
        assert!(matches!("100/400/400".parse::<Profile>(), Err(ProfileError::HastyDeath { .. })));
        assert!(matches!("1/400/450".parse::<Profile>(), Err(ProfileError::Heartbeat(_))));
        for huge in ["9999999999999999999/1/1", "10/18446744073709551615/18446744073709551615"] {
            assert!(huge.parse::<Profile>().is_err(), "{huge}");
        }
        assert_eq!(Profile::WAN.to_string(), "1000/9000/10000");
        for named in [Profile::STANDARD, Profile::FAST, Profile::WAN] {
            assert_eq!(named.check(), Ok(named));
        }
    }
}
