//! Nodes that do not belong to the group, or say that they do.

use super::outcome::Found;
use super::plan::Plan;
use crate::chain::{Chain, GROUP};
use crate::drill::Kind;
use crate::error::Result;

/// Two more nodes with the group's key come, under the names of the coordinator and of a standby.
pub(crate) async fn duplicates(chain: &mut Chain, plan: &Plan) -> Result<Found> {
    let held = chain.holder()?;
    let key = chain.key_file();
    let standby = chain.node_names().into_iter().find(|name| *name != held.node);
    let names = [Some(held.node.clone()), standby];
    for (index, name) in names.iter().flatten().enumerate() {
        let label = format!("double-{index}");
        chain.start_stranger(&label, name, GROUP, Some(key.clone())).await?;
    }
    tokio::time::sleep(plan.disturbed).await;
    let mut found = Found::default();
    if chain.coordinator().as_ref() != Some(&held) {
        found.faults.push(format!("{} lost the line to its double", held.node));
    }
    chain.end_strangers();
    chain.settle().await;
    Ok(found)
}

/// A node with another key and a node of another group come, under names of the group. They change
/// nothing, neither while all is well nor when the coordinator is killed.
pub(crate) async fn strangers(chain: &mut Chain, plan: &Plan) -> Result<Found> {
    let held = chain.holder()?;
    chain.start_stranger("other-key", &held.node, GROUP, None).await?;
    chain.start_stranger("other-group", &held.node, "elsewhere", None).await?;
    tokio::time::sleep(plan.disturbed).await;
    let mut found = Found::default();
    if chain.coordinator().as_ref() != Some(&held) {
        found.faults.push("strangers moved the line".to_owned());
    }
    for _ in 0..plan.times {
        found.drills.push(chain.drill(Kind::Kill).await?);
        chain.settle().await;
    }
    chain.end_strangers();
    Ok(found)
}
