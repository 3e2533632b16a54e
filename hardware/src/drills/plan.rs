//! How many nodes, how often, how long.

use std::time::Duration;

use failover_node::core::profile::Profile;

/// How a drill is done.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// How many nodes.
    pub nodes: usize,
    /// Their times.
    pub profile: Profile,
    /// How many failures of one kind.
    pub times: usize,
    /// How long a disturbance lasts that must change nothing.
    pub disturbed: Duration,
    /// How long a terminal server is gone.
    pub gone: Duration,
    /// How long nodes join and leave.
    pub comings: Duration,
    /// How long nothing happens.
    pub quiet: Duration,
    /// Whether heartbeats and beacons are written down.
    pub listen: bool,
    /// Seed of the moments of failure.
    pub seed: u64,
}

impl Plan {
    /// A run whose figures mean something; some minutes.
    pub fn full() -> Self {
        Self {
            nodes: 2,
            profile: Profile::STANDARD,
            times: 20,
            disturbed: Duration::from_secs(20),
            gone: seconds("LINEKEEPER_GONE", 60),
            comings: seconds("LINEKEEPER_COMINGS", 60),
            quiet: seconds("LINEKEEPER_QUIET", 600),
            listen: false,
            seed: 1,
        }
    }

    /// A run that shows that all works, in some seconds for each drill.
    pub fn short() -> Self {
        Self {
            times: 2,
            disturbed: Duration::from_secs(2),
            gone: seconds("LINEKEEPER_GONE", 4),
            comings: seconds("LINEKEEPER_COMINGS", 6),
            quiet: seconds("LINEKEEPER_QUIET", 4),
            ..Self::full()
        }
    }
}

/// A length of time from the environment.
fn seconds(variable: &str, default: u64) -> Duration {
    let value = std::env::var(variable).ok().and_then(|value| value.parse().ok());
    Duration::from_secs(value.unwrap_or(default))
}
