//! A run of the lab from its first grant to the verdict.

use std::time::Duration;

use crate::accounts::Speech;
use crate::chain::Chain;
use crate::drill::Drill;
use crate::error::{LabError, Result};
use crate::report::LabReport;
use crate::schedule::Schedule;

/// Starts what was laid and waits until the line is served and the nodes know each other.
///
/// # Errors
/// It does not come to that.
pub async fn begin(chain: &mut Chain) -> Result<()> {
    chain.start_server().await?;
    chain.start_nodes()?;
    // The first election is no failure, so no record has to wait for it.
    chain.wait_for_grant(FIRST_SERVICE).await?;
    chain.start_billing()?;
    chain.wait_for_coordinator(FIRST_SERVICE).await?;
    chain.settle().await;
    Ok(())
}

/// Does all drills, then concludes. A drill that cannot be done ends the run and fails it.
pub async fn drill(chain: &mut Chain, mut schedule: Schedule) -> LabReport {
    let (mut drills, mut failures) = (Vec::new(), Vec::new());
    while let Some(drill) = schedule.next(chain).await {
        match drill {
            Ok(drill) => drills.push(drill),
            Err(error) => {
                failures.push(error.to_string());
                break;
            }
        }
    }
    conclude(chain, drills, failures).await
}

/// Lets the billing system come to its verdict, then ends all programs in order.
pub async fn conclude(
    chain: &mut Chain,
    drills: Vec<Drill>,
    mut failures: Vec<String>,
) -> LabReport {
    tokio::time::sleep(QUIET).await;
    let mut fails = |error: &LabError| failures.push(error.to_string());
    let (billing, accounts) = match chain.settings().speech {
        Speech::Numbered => (chain.finish_billing().await.inspect_err(&mut fails).ok(), None),
        Speech::Dialect(_) => {
            let audit = chain.finish_accounts(true, SETTLED).await;
            (None, audit.inspect_err(&mut fails).ok())
        }
    };
    if let Err(error) = chain.stop().await {
        failures.push(error.to_string());
    }
    LabReport::new(chain, drills, billing, accounts, failures)
}

/// Until the line is served for the first time.
const FIRST_SERVICE: Duration = Duration::from_secs(10);
/// Until everything posted is settled: a charge takes some hundred milliseconds, and one whose answer
/// was lost is asked for again after half a minute.
const SETTLED: Duration = Duration::from_secs(90);
/// Undisturbed service before the end.
const QUIET: Duration = Duration::from_millis(500);
