//! The hosts fall into halves.

use lab::drills::{Case, Plan};

use crate::common::drill;

#[tokio::test]
async fn i1_i6_two_nodes_and_their_line_fall_into_every_pair_of_halves() {
    drill(Case::Partition, &Plan::short()).await;
}

#[tokio::test]
async fn i1_i6_three_nodes_and_their_line_fall_into_every_pair_of_halves() {
    drill(Case::Partition, &Plan { nodes: 3, ..Plan::short() }).await;
}

#[tokio::test]
async fn heartbeats_that_pass_in_one_direction_or_in_none_move_nothing() {
    drill(Case::OneWay, &Plan::short()).await;
}
