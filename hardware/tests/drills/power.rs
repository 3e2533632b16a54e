//! The coordinator's frames vanish: no FIN and no RST tells anybody.

use failover_node::core::profile::Profile;
use lab::drills::{Case, Plan};

use crate::common::drill;

#[tokio::test]
async fn a_coordinator_without_power_is_replaced_when_its_lease_ends() {
    drill(Case::Power, &Plan::short()).await;
}

#[tokio::test]
async fn a_coordinator_without_power_is_replaced_in_the_fast_profile_and_among_three() {
    let plan = Plan { nodes: 3, profile: Profile::FAST, ..Plan::short() };
    drill(Case::Power, &plan).await;
}

#[tokio::test]
async fn a_coordinator_cut_from_the_terminal_server_alone_is_replaced() {
    drill(Case::Cut, &Plan::short()).await;
}

#[tokio::test]
async fn a_coordinator_cut_from_the_terminal_server_alone_is_replaced_in_the_fast_profile() {
    drill(Case::Cut, &Plan { profile: Profile::FAST, ..Plan::short() }).await;
}
