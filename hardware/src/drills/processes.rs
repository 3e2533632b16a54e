//! Processes that are killed, stopped, starved and started.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use sys::boottime;
use sys::process::Signal;

use super::outcome::Found;
use super::plan::Plan;
use crate::answerer::misdeeds;
use crate::chain::Chain;
use crate::drill::Kind;
use crate::error::Result;
use crate::schedule::Schedule;
use crate::timeline::Source;

/// The same failure again and again, at moments drawn from the seed.
pub(crate) async fn again(chain: &mut Chain, plan: &Plan, kind: Kind) -> Result<Found> {
    let mut schedule = Schedule::only(kind, plan.times, plan.seed);
    let mut found = Found::default();
    while let Some(drill) = schedule.next(chain).await {
        let drill = drill?;
        let stays = drill.after.as_ref().is_some_and(|after| after.node == drill.before.node);
        if drill.recovered() && stays != (kind == Kind::CrashPayload) {
            found.faults.push(format!("{kind}: not the right node has the line after it"));
        }
        found.drills.push(drill);
    }
    Ok(found)
}

/// Hand-overs from payloads that ignore what they are asked and have grandchildren in sessions of
/// their own, which write into `traces` while they live.
pub(crate) async fn stubborn(chain: &mut Chain, plan: &Plan, traces: &Path) -> Result<Found> {
    let mut found = Found::default();
    let mut ends = Vec::new();
    for _ in 0..plan.times {
        let before = living(traces);
        let (held, moment) = chain.handover().await?;
        let drill = chain.watch(Kind::HandOver, held, moment).await;
        let granted = drill.at + drill.granted.unwrap_or_default();
        for trace in misdeeds::traces(traces).iter().filter(|trace| before.contains(&trace.pid)) {
            if drill.granted.is_some() && trace.at > granted {
                let late = trace.at - granted;
                found.faults.push(format!("a grandchild lived {late:.1?} after the next grant"));
            }
            ends.push(trace.at.saturating_sub(drill.at));
        }
        found.drills.push(drill);
        chain.settle().await;
    }
    found.notes.push(longest("the whole payload had ended", &ends));
    Ok(found)
}

/// A coordinator that is stopped, with grandchildren as above, for longer than its lease.
pub(crate) async fn stop(chain: &mut Chain, plan: &Plan, traces: &Path) -> Result<Found> {
    let mut found = Found::default();
    let mut ends = Vec::new();
    let stopped_for = (plan.profile.lease * 3).max(Duration::from_secs(1));
    let allowed = plan.profile.lease + GUARD + super::run::ALLOWANCE;
    for _ in 0..plan.times {
        let before = living(traces);
        let drill = chain.drill_stop(stopped_for).await?;
        for trace in misdeeds::traces(traces).iter().filter(|trace| before.contains(&trace.pid)) {
            let after = trace.at.saturating_sub(drill.at);
            if after > allowed {
                found.faults.push(format!("a grandchild lived {after:.1?} after the stop"));
            }
            ends.push(after);
        }
        found.drills.push(drill);
        wait_whole(chain).await;
    }
    found.notes.push(longest("its whole payload had ended", &ends));
    Ok(found)
}

/// Those that have written a moment ago.
fn living(traces: &Path) -> Vec<u32> {
    let now = boottime();
    let lives = |trace: &misdeeds::Trace| now.saturating_sub(trace.at) < ALIVE;
    misdeeds::traces(traces).into_iter().filter(lives).map(|trace| trace.pid).collect()
}

fn longest(what: &str, times: &[Duration]) -> String {
    let longest = times.iter().max().copied().unwrap_or_default();
    format!("{what} after {longest:.0?} at most")
}

/// Every core is busy with other processes.
pub(crate) async fn busy(chain: &mut Chain, plan: &Plan) -> Result<Found> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    for core in 0..cores {
        let name = format!("burner-{core}");
        let mut command = Command::new("sh");
        command.args(["-c", "while :; do :; done"]);
        let process = chain.process(&name, Source::Node(name.clone()), command)?;
        chain.others.push(process);
    }
    tokio::time::sleep(plan.disturbed).await;
    let latest = chain.node_names().iter().filter_map(|name| late(chain, name)).max();
    chain.end_strangers();
    let latest = latest.unwrap_or_default();
    let note = format!("{cores} cores busy; latest wake-up of a node {latest:.0?}");
    Ok(Found { notes: vec![note], ..Found::default() })
}

/// By how much a node woke up too late at worst.
fn late(chain: &Chain, name: &str) -> Option<Duration> {
    let status = chain.node_status(name).ok()?;
    status["counters"]["late_max_us"].as_u64().map(Duration::from_micros)
}

/// All nodes are killed in the same instant and started again.
pub(crate) async fn all_nodes(chain: &mut Chain, plan: &Plan) -> Result<Found> {
    let mut found = Found::default();
    for _ in 0..plan.times {
        let held = chain.holder()?;
        let moment = chain.timeline().now();
        // The coordinator last: a standby that outlives it for a millisecond may take the line.
        let mut names = chain.node_names();
        names.sort_by_key(|name| *name == held.node);
        for name in names {
            chain.kill9(&name)?;
        }
        chain.start_nodes()?;
        let victim = "all nodes".to_owned();
        found.drills.push(chain.recovery(Kind::KillAll, victim, held, moment).await);
        wait_whole(chain).await;
    }
    Ok(found)
}

/// Standbys leave, by SIGKILL and by SIGTERM in turn, and join again.
pub(crate) async fn comings(chain: &mut Chain, plan: &Plan) -> Result<Found> {
    let deadline = boottime() + plan.comings;
    let mut count = 0;
    while boottime() < deadline {
        let held = chain.holder()?;
        let names: Vec<_> =
            chain.node_names().into_iter().filter(|name| *name != held.node).collect();
        let name = &names[count % names.len()];
        if count.is_multiple_of(2) {
            chain.kill9(name)?;
        } else {
            chain.signal(name, Signal::TERM)?;
            chain.ended(name).await?;
        }
        tokio::time::sleep(AWAY).await;
        chain.start_node(name).await?;
        count += 1;
    }
    Ok(Found { notes: vec![format!("{count} left and joined")], ..Found::default() })
}

/// Nothing happens.
pub(crate) async fn quiet(plan: &Plan) -> Found {
    tokio::time::sleep(plan.quiet).await;
    let note = format!("for {:.0?}", plan.quiet);
    Found { notes: vec![note], ..Found::default() }
}

/// Waits until all nodes can stand in for one another again.
pub(crate) async fn wait_whole(chain: &Chain) {
    tokio::time::sleep(chain.settings().profile.dead_after).await;
    chain.settle().await;
}

/// A grandchild writes every millisecond; on a busy machine later.
const ALIVE: Duration = Duration::from_millis(100);
/// What the guard may need beyond the lease.
const GUARD: Duration = Duration::from_millis(50);
/// How long a node is away.
const AWAY: Duration = Duration::from_millis(200);
