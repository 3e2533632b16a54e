//! Nodes that come and go, and nodes that do not belong.

use lab::drills::{Case, Plan};

use crate::common::drill;

#[tokio::test]
async fn nodes_under_names_that_are_taken_move_nothing() {
    drill(Case::Duplicate, &Plan::short()).await;
}

#[tokio::test]
async fn strangers_on_the_same_multicast_address_change_nothing() {
    drill(Case::Strangers, &Plan::short()).await;
}

#[tokio::test]
async fn all_nodes_may_be_restarted_at_once() {
    drill(Case::AllNodes, &Plan { nodes: 3, ..Plan::short() }).await;
}

#[tokio::test]
async fn standbys_join_and_leave_under_load() {
    drill(Case::Comings, &Plan { nodes: 3, ..Plan::short() }).await;
}
