//! Nothing happens, and nothing must.

use failover_node::core::profile::Profile;
use lab::drills::{Case, Plan};

use crate::common::drill;

#[tokio::test]
async fn quiet_minutes_are_quiet() {
    // Ten of them: LINEKEEPER_QUIET=600.
    drill(Case::Quiet, &Plan { nodes: 3, ..Plan::short() }).await;
}

#[tokio::test]
async fn quiet_minutes_are_quiet_in_the_fast_profile() {
    drill(Case::Quiet, &Plan { profile: Profile::FAST, ..Plan::short() }).await;
}
