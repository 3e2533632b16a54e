//! All cores are busy with other work.

use std::time::Duration;

use lab::drills::{Case, Plan};

use crate::common::drill;

#[tokio::test]
async fn all_cores_busy_is_no_failover() {
    drill(Case::Busy, &Plan { disturbed: Duration::from_secs(8), ..Plan::short() }).await;
}
