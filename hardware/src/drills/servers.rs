//! Terminal servers that are killed, and clocks that step.

use std::path::Path;
use std::time::Duration;

use super::outcome::Found;
use super::plan::Plan;
use super::processes::wait_whole;
use super::wall::Wall;
use crate::chain::{Chain, SERVER};
use crate::deed::Deed;
use crate::drill::Kind;
use crate::error::Result;

/// The terminal server is killed and started again at once.
pub(crate) async fn killed(chain: &mut Chain, plan: &Plan) -> Result<Found> {
    let mut found = Found::default();
    for _ in 0..plan.times {
        let held = chain.holder()?;
        let moment = chain.kill_server()?;
        chain.start_server().await?;
        let drill = chain.recovery(Kind::KillServer, SERVER.to_owned(), held, moment).await;
        found.drills.push(drill);
        wait_whole(chain).await;
    }
    Ok(found)
}

/// The terminal server is killed and stays away. Times count from its start.
pub(crate) async fn gone(chain: &mut Chain, plan: &Plan) -> Result<Found> {
    let mut found = Found::default();
    let held = chain.holder()?;
    chain.kill_server()?;
    tokio::time::sleep(plan.gone).await;
    let moment = chain.timeline().now();
    chain.start_server().await?;
    found.drills.push(chain.recovery(Kind::KillServer, SERVER.to_owned(), held, moment).await);
    found.notes.push(format!("gone for {:.0?}; times count from its start", plan.gone));
    wait_whole(chain).await;
    Ok(found)
}

/// The wall clock of nodes, payloads and terminal server steps forwards and back by hours; under
/// each a standby starts anew.
pub(crate) async fn clock(chain: &mut Chain, plan: &Plan, dir: &Path) -> Result<Found> {
    let wall = Wall::in_dir(dir);
    let mut found = Found::default();
    for hours in STEPS {
        wall.step(hours * HOUR)?;
        chain.timeline().did(Deed::Note { text: format!("wall clocks are off by {hours} h") });
        // Else the drill would pass because nothing happened.
        let seen = wall.seen()?;
        if seen.abs_diff(hours * HOUR) > 2 {
            found.faults.push(format!("the clock is off by {seen} s instead of {hours} h"));
        }
        tokio::time::sleep(plan.disturbed / 2).await;
        let held = chain.holder()?;
        if let Some(name) = chain.node_names().into_iter().find(|name| *name != held.node) {
            chain.kill9(&name)?;
            chain.start_node(&name).await?;
        }
        tokio::time::sleep(plan.disturbed / 2).await;
    }
    let steps = STEPS.map(|hours| format!("{hours:+} h"));
    found.notes.push(format!("off by {}; a standby started under each", steps.join(", ")));
    Ok(found)
}

/// By how many hours the wall clock is off, in turn.
const STEPS: [i64; 4] = [5, -7, 12, 0];
const HOUR: i64 = 3600;

/// Records while nobody reads have room in the kernel's buffers of a pseudo terminal.
pub(crate) fn slowly(gone: Duration) -> Duration {
    (gone / MOST_KEPT).max(Duration::from_millis(100))
}

/// Of up to a hundred bytes each, in four kilobytes.
const MOST_KEPT: u32 = 30;
