//! The terminal server is killed; clocks step.

use lab::drills::{Case, Plan};

use crate::common::drill;

#[tokio::test]
async fn i5_a_killed_terminal_server_is_claimed_again() {
    drill(Case::Server, &Plan::short()).await;
}

#[tokio::test]
async fn a_terminal_server_may_be_gone_for_long() {
    drill(Case::ServerGone, &Plan::short()).await;
}

#[tokio::test]
async fn a_wall_clock_that_steps_by_hours_moves_nothing() {
    drill(Case::Clock, &Plan::short()).await;
}
