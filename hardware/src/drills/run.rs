//! One drill, from laying the chain to the verdict.

use std::time::Duration;

use tempfile::TempDir;

use super::case::Case;
use super::outcome::{Found, Outcome};
use super::plan::Plan;
use super::wall::Wall;
use super::{company, fitness, frames, networks, processes, servers, wall};
use crate::answerer::Misdeeds;
use crate::chain::Chain;
use crate::drill::Kind;
use crate::error::{Doing, LabError, Result};
use crate::net::{Traffic, tools};
use crate::place::Ground;
use crate::programs::Programs;
use crate::session;
use crate::settings::Settings;
use crate::timeline::Timeline;

/// What a drill needs and this machine does not have; nothing if it can be done here.
pub fn missing(case: Case) -> Option<&'static str> {
    let compiler = || (case == Case::Clock && !wall::can_build()).then_some(wall::COMPILER);
    tools::missing().or_else(compiler)
}

/// Does one drill. What happens goes into `timeline`.
///
/// # Errors
/// The chain cannot be laid or started, or cannot be drilled to the end. Everything that a drill is
/// about is no error but in the outcome.
pub async fn run(
    case: Case,
    plan: &Plan,
    programs: &Programs,
    timeline: Timeline,
) -> Result<Outcome> {
    if let Some(need) = missing(case) {
        return Err(LabError::Misuse(format!("{case} needs {need}")));
    }
    let scratch = tempfile::Builder::new().prefix("linekeeper-drill-").tempdir();
    let scratch = scratch.doing(|| "make a temporary directory".to_owned())?;
    let settings = settings(case, plan, &scratch)?;
    let mut chain = Chain::lay(settings, programs, timeline).await?;
    session::begin(&mut chain).await?;
    if plan.listen {
        chain.start_ear()?;
        // Some heartbeats before the failure.
        chain.settle().await;
    }
    let found = match done(case, &mut chain, plan, &scratch).await {
        Ok(found) => found,
        Err(error) => Found { faults: vec![error.to_string()], ..Found::default() },
    };
    let report = session::conclude(&mut chain, found.drills.clone(), Vec::new()).await;
    let outcome = Outcome::new(case, plan, found, &report, &chain.ledger());
    if outcome.failed() {
        eprintln!("the logs are kept in {}", chain.keep().display());
    }
    Ok(outcome)
}

async fn done(case: Case, chain: &mut Chain, plan: &Plan, scratch: &TempDir) -> Result<Found> {
    let dir = scratch.path();
    match case {
        Case::Kill | Case::Ipv6 => processes::again(chain, plan, Kind::Kill).await,
        Case::Payload => processes::again(chain, plan, Kind::CrashPayload).await,
        Case::Stubborn => processes::stubborn(chain, plan, dir).await,
        Case::Stop => processes::stop(chain, plan, dir).await,
        Case::Busy => processes::busy(chain, plan).await,
        Case::AllNodes => processes::all_nodes(chain, plan).await,
        Case::Comings => processes::comings(chain, plan).await,
        Case::Quiet => Ok(processes::quiet(plan).await),
        Case::Power => frames::power(chain, plan).await,
        Case::Cut => frames::from_server(chain, plan).await,
        Case::OneWay => frames::one_way(chain, plan).await,
        Case::Partition => frames::partition(chain, plan).await,
        Case::LossFive => frames::loss(chain, plan, Traffic::Datagrams, 5).await,
        Case::LossTwenty => frames::loss(chain, plan, Traffic::Datagrams, 20).await,
        Case::LossOfAll => frames::loss(chain, plan, Traffic::Everything, 20).await,
        Case::TwoNetworks => networks::one_of_two(chain, plan).await,
        Case::Check => fitness::unfit(chain, plan, dir).await,
        Case::Server => servers::killed(chain, plan).await,
        Case::ServerGone => servers::gone(chain, plan).await,
        Case::Clock => servers::clock(chain, plan, dir).await,
        Case::Duplicate => company::duplicates(chain, plan).await,
        Case::Strangers => company::strangers(chain, plan).await,
    }
}

fn settings(case: Case, plan: &Plan, scratch: &TempDir) -> Result<Settings> {
    let mut settings = Settings {
        nodes: plan.nodes,
        profile: plan.profile,
        ground: Ground::Network { ways: 1, ipv6: false },
        seed: plan.seed,
        ..Settings::default()
    };
    match case {
        Case::Stubborn | Case::Stop => {
            let fork_grandchild = Some(scratch.path().to_owned());
            settings.misdeeds =
                Misdeeds { ignore_term: true, fork_grandchild, ..Misdeeds::default() };
        }
        Case::Ipv6 => settings.ground = Ground::Network { ways: 1, ipv6: true },
        Case::TwoNetworks => settings.ground = Ground::Network { ways: 2, ipv6: false },
        Case::Check => settings.node_tables = fitness::tables(scratch.path()),
        // A killed terminal server keeps nothing without it.
        Case::Server => settings.server_arguments.push("--spool".into()),
        Case::ServerGone => {
            settings.server_arguments.push("--spool".into());
            settings.interval = servers::slowly(plan.gone);
            settings.settle += plan.gone;
        }
        // As many as the line takes.
        Case::Comings => settings.interval = Duration::from_millis(40),
        Case::Clock => {
            settings.environment.extend(Wall::build(scratch.path())?.environment());
        }
        _ => {}
    }
    Ok(settings)
}

/// Time for a machine that is busy with other things, on top of a bound that holds on a quiet one.
pub const ALLOWANCE: Duration = Duration::from_millis(300);
