//! Nodes whose check command fails.

use lab::drills::{Case, Plan};

use crate::common::drill;

#[tokio::test]
async fn an_unfit_coordinator_gives_way_to_a_fit_standby_and_to_no_unfit_one() {
    drill(Case::Check, &Plan { nodes: 3, times: 2, ..Plan::short() }).await;
}
