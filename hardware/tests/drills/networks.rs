//! Other networks than one with IPv4.

use lab::drills::{Case, Plan};

use crate::common::drill;

#[tokio::test]
async fn all_over_ipv6_by_names_of_interfaces_a_killed_coordinator_is_replaced() {
    drill(Case::Ipv6, &Plan::short()).await;
}

#[tokio::test]
async fn one_of_two_networks_that_fails_moves_nothing_is_told_and_a_kill_is_survived() {
    drill(Case::TwoNetworks, &Plan { nodes: 3, ..Plan::short() }).await;
}
