//! A share of all frames is lost.

use std::time::Duration;

use lab::drills::{Case, Plan};

use crate::common::drill;

/// Long enough for some unlucky ones in a row.
fn long() -> Plan {
    Plan { disturbed: Duration::from_secs(6), ..Plan::short() }
}

#[tokio::test]
async fn a_twentieth_of_all_datagrams_lost_moves_nothing() {
    drill(Case::LossFive, &long()).await;
}

#[tokio::test]
async fn a_fifth_of_all_datagrams_lost_moves_nothing() {
    drill(Case::LossTwenty, &Plan { nodes: 3, ..long() }).await;
}

#[tokio::test]
async fn i1_i3_a_fifth_of_everything_lost_loses_no_record_and_makes_no_two_holders() {
    drill(Case::LossOfAll, &long()).await;
}
