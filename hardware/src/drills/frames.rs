//! Frames that vanish.

use std::time::Duration;

use super::outcome::Found;
use super::plan::Plan;
use super::processes::wait_whole;
use crate::chain::{Chain, SERVER_HOST};
use crate::drill::{Drill, Kind};
use crate::error::Result;
use crate::net::{Loss, Traffic};

/// The coordinator's frames vanish, so that no FIN leaves it, and then it is killed.
pub(crate) async fn power(chain: &mut Chain, plan: &Plan) -> Result<Found> {
    let mut found = Found::default();
    for _ in 0..plan.times {
        let held = chain.holder()?;
        let victim = held.node.clone();
        let moment = chain.cut_apart(format!("{victim} from all"), &[chain.host_of(&victim)])?;
        chain.kill9(&victim)?;
        found.drills.push(chain.watch(Kind::PowerLoss, held, moment).await);
        chain.heal()?;
        chain.start_node(&victim).await?;
        chain.settle().await;
    }
    Ok(found)
}

/// The coordinator and the terminal server do not hear each other; the nodes do.
pub(crate) async fn from_server(chain: &Chain, plan: &Plan) -> Result<Found> {
    let mut found = Found::default();
    for _ in 0..plan.times {
        let held = chain.holder()?;
        let losses = chain.between_node_and_server(&held.node);
        let moment = chain.cut(format!("{} from the terminal server", held.node), &losses)?;
        let drill = chain.watch(Kind::CutFromServer, held, moment).await;
        note_stay(&mut found, &drill);
        found.drills.push(drill);
        tokio::time::sleep(plan.profile.lease).await;
        chain.heal()?;
        wait_whole(chain).await;
    }
    Ok(found)
}

/// A grant went back to who could not be reached: it cannot have been cut.
fn note_stay(found: &mut Found, drill: &Drill) {
    if drill.after.as_ref().is_some_and(|after| after.node == drill.before.node) {
        found.faults.push(format!("{} has the line although it is cut off", drill.before.node));
    }
}

/// Datagrams vanish from the coordinator to the others, the other way, both ways. Beacons of the
/// terminal server pass.
pub(crate) async fn one_way(chain: &Chain, plan: &Plan) -> Result<Found> {
    let held = chain.holder()?;
    let one = chain.host_of(&held.node);
    let others: Vec<_> = chain.node_hosts().into_iter().filter(|host| *host != one).collect();
    let lost = |from, to| Loss { from, to, what: Traffic::Datagrams, percent: 100 };
    let out: Vec<_> = others.iter().map(|other| lost(one, *other)).collect();
    let back: Vec<_> = others.iter().map(|other| lost(*other, one)).collect();
    let both = [out.clone(), back.clone()].concat();
    let ways = [("from", out), ("to", back), ("from and to", both)];
    for (way, losses) in &ways {
        chain.cut(format!("heartbeats {way} {}", held.node), losses)?;
        tokio::time::sleep(plan.disturbed).await;
        chain.heal()?;
        wait_whole(chain).await;
    }
    let note = format!("{:.0?} each: from the coordinator, to it, both", plan.disturbed);
    Ok(Found { notes: vec![note], ..Found::default() })
}

/// The hosts fall into halves, the terminal server in one of them: every way there is, healed each
/// time.
pub(crate) async fn partition(chain: &Chain, plan: &Plan) -> Result<Found> {
    let mut found = Found::default();
    let (mut kept, mut moved, mut vacant) = (0, 0, 0);
    // Every set of nodes but the empty one, on the side without the terminal server.
    for set in 1_usize..1 << plan.nodes {
        let apart: Vec<_> = (0..plan.nodes).filter(|node| set & 1 << node != 0).collect();
        let hosts: Vec<_> = apart.iter().map(|node| node + 1).collect();
        let held = chain.holder()?;
        let what = format!("{} of {} nodes off", apart.len(), plan.nodes);
        let moment = chain.cut_apart(what, &hosts)?;
        if !hosts.contains(&chain.host_of(&held.node)) {
            tokio::time::sleep(plan.profile.dead_after * 3).await;
            if chain.coordinator().as_ref() != Some(&held) {
                found.faults.push(format!("{} lost the line though it had all", held.node));
            }
            kept += 1;
        } else if apart.len() < plan.nodes {
            let drill = chain.watch(Kind::Partition, held, moment).await;
            note_stay(&mut found, &drill);
            found.drills.push(drill);
            moved += 1;
        } else {
            // Nobody can serve; from the healing on somebody must.
            tokio::time::sleep(plan.profile.dead_after * 3).await;
            if let Some(held) = chain.coordinator() {
                found.faults.push(format!("{} has the line that nobody reaches", held.node));
            }
            let moment = chain.heal()?;
            let mut drill = chain.watch(Kind::Partition, held, moment).await;
            vacant += 1;
            let served = drill.unserved.take().unwrap_or_default();
            found.notes.push(format!("nobody reached the line; served {served:.0?} after healing"));
            found.drills.push(drill);
        }
        chain.heal()?;
        wait_whole(chain).await;
    }
    let note = format!("halves: {moved} moved the line, {kept} did not, {vacant} left nobody");
    found.notes.insert(0, note);
    Ok(found)
}

/// A share of all frames of a kind is lost, everywhere.
pub(crate) async fn loss(chain: &Chain, plan: &Plan, what: Traffic, percent: u8) -> Result<Found> {
    let hosts: Vec<_> = std::iter::once(SERVER_HOST).chain(chain.node_hosts()).collect();
    let pairs = hosts.iter().flat_map(|from| hosts.iter().map(move |to| (*from, *to)));
    let pairs = pairs.filter(|(from, to)| from != to);
    let losses: Vec<_> = pairs.map(|(from, to)| Loss { from, to, what, percent }).collect();
    chain.cut(format!("{percent} % of {what:?}").to_lowercase(), &losses)?;
    tokio::time::sleep(plan.disturbed).await;
    let moves = chain.history().tenures.len().saturating_sub(1);
    chain.heal()?;
    wait_whole(chain).await;
    let held = chain.wait_for_holder(BACK).await;
    let mut found = Found {
        notes: vec![format!("{moves} moves in {:.0?}", plan.disturbed)],
        ..Found::default()
    };
    found.faults.extend(held.err().map(|error| error.to_string()));
    Ok(found)
}

/// After the healing a holder must be there.
const BACK: Duration = Duration::from_secs(10);
