//! Which failures there are, and what is promised of each.

use std::fmt;
use std::time::Duration;

use clap::ValueEnum;
use failover_node::core::profile::Profile;
use serde::Serialize;

/// A failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Case {
    /// kill -9 of the coordinator
    Kill,
    /// kill -9 of the coordinator's payload
    Payload,
    /// A hand-over from a payload that refuses to die
    Stubborn,
    /// SIGSTOP of the coordinator, and SIGCONT
    Stop,
    /// All cores loaded by other processes
    Busy,
    /// The coordinator's frames vanish, then it is killed
    Power,
    /// The coordinator cut from the terminal server alone
    Cut,
    /// Heartbeats cut in one direction, in the other, in both
    OneWay,
    /// Partition into every pair of halves, healed again
    Partition,
    /// 5 % of all datagrams lost
    #[value(name = "loss-5")]
    #[serde(rename = "loss-5")]
    LossFive,
    /// 20 % of all datagrams lost
    #[value(name = "loss-20")]
    #[serde(rename = "loss-20")]
    LossTwenty,
    /// 20 % of everything lost
    LossOfAll,
    /// kill -9 of the coordinator, everything over IPv6
    #[value(name = "ipv6")]
    Ipv6,
    /// One of two networks cut for all, then kill -9 of the coordinator
    TwoNetworks,
    /// The coordinator's check command fails, then everybody's
    Check,
    /// Terminal server killed and started again
    Server,
    /// Terminal server killed and gone for long
    ServerGone,
    /// Wall clocks stepped by hours, both ways
    Clock,
    /// Nodes with names that are taken
    Duplicate,
    /// All nodes killed and started at once
    AllNodes,
    /// Nodes of another group, and with another key, on the same multicast address
    Strangers,
    /// Standbys killed, stopped and started under load
    Comings,
    /// Nothing at all
    Quiet,
}

/// How often the line may change hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moves {
    /// Never.
    None,
    /// Once for each failure.
    Each,
    /// As often as it must; it is counted.
    Counted,
}

impl Case {
    /// All, in the order of tables.
    pub fn all() -> &'static [Self] {
        Self::value_variants()
    }

    /// Its word on the command line.
    pub fn word(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// Where the number of nodes matters most: these are done with more of them, too.
    pub const fn is_decisive(self) -> bool {
        matches!(self, Self::Kill | Self::Stop | Self::Power | Self::Cut | Self::Partition)
    }

    /// How often the line may change hands.
    pub const fn moves(self) -> Moves {
        match self {
            Self::Kill
            | Self::Payload
            | Self::Stubborn
            | Self::Stop
            | Self::Power
            | Self::Cut
            | Self::Partition
            | Self::Ipv6
            | Self::TwoNetworks
            | Self::Check
            | Self::Server
            | Self::ServerGone
            | Self::AllNodes
            | Self::Strangers => Moves::Each,
            Self::LossOfAll => Moves::Counted,
            Self::Busy
            | Self::OneWay
            | Self::LossFive
            | Self::LossTwenty
            | Self::Clock
            | Self::Duplicate
            | Self::Comings
            | Self::Quiet => Moves::None,
        }
    }

    /// The longest that the line may be unserved, where that is promised.
    pub fn bound(self, profile: &Profile) -> Option<Duration> {
        match self {
            Self::Kill | Self::Ipv6 | Self::TwoNetworks | Self::Strangers => Some(CLOSED),
            Self::Payload => Some(RESTART),
            Self::Stubborn => Some(GRACE + PLANNED),
            Self::Stop | Self::Power | Self::Cut | Self::Partition => Some(lease_bound(profile)),
            _ => None,
        }
    }
}

/// The end of a lease, and the takeover behind it.
pub fn lease_bound(profile: &Profile) -> Duration {
    match *profile {
        Profile::FAST => profile.lease + Duration::from_millis(70),
        _ => profile.lease + Duration::from_millis(100),
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Kill => "kill -9 of the coordinator",
            Self::Payload => "crash of the payload",
            Self::Stubborn => "payload that refuses to die",
            Self::Stop => "SIGSTOP, SIGCONT",
            Self::Busy => "busy host",
            Self::Power => "power loss of the coordinator",
            Self::Cut => "coordinator cut from the terminal server",
            Self::OneWay => "heartbeats cut in one direction",
            Self::Partition => "partition into halves, healed",
            Self::LossFive => "5 % of datagrams lost",
            Self::LossTwenty => "20 % of datagrams lost",
            Self::LossOfAll => "20 % of everything lost",
            Self::Ipv6 => "kill -9, all over IPv6",
            Self::TwoNetworks => "one of two networks cut, then kill -9",
            Self::Check => "check fails, then everybody's",
            Self::Server => "terminal server killed, restarted",
            Self::ServerGone => "terminal server gone for long",
            Self::Clock => "wall clock steps",
            Self::Duplicate => "duplicate node names",
            Self::AllNodes => "all nodes restarted at once",
            Self::Strangers => "other groups, other keys",
            Self::Comings => "nodes joining and leaving",
            Self::Quiet => "quiet",
        })
    }
}

/// The kernel closes the connection, the beacon says so, the next one claims.
const CLOSED: Duration = Duration::from_millis(150);
/// A payload is started again under a new grant.
const RESTART: Duration = Duration::from_millis(30);
/// What a payload has to end by itself.
const GRACE: Duration = Duration::from_millis(500);
const PLANNED: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_those_of_the_design() {
        let ms = Duration::from_millis;
        for case in [Case::Stop, Case::Power, Case::Cut, Case::Partition] {
            assert_eq!(case.bound(&Profile::STANDARD), Some(ms(500)), "{case}");
            assert_eq!(case.bound(&Profile::FAST), Some(ms(150)), "{case}");
        }
        assert_eq!(Case::Kill.bound(&Profile::FAST), Some(ms(150)));
        assert_eq!(Case::Quiet.bound(&Profile::STANDARD), None);
    }
}
