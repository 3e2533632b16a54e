//! Nodes that are not fit to serve, by the word of their check commands.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::outcome::Found;
use super::plan::Plan;
use crate::chain::{Chain, is};
use crate::deed::Deed;
use crate::drill::Kind;
use crate::error::{Doing, Result};
use crate::timeline::{Entry, Moment, Source};

/// A check command that fails while `dir` has a file with the node's name.
pub(crate) fn tables(dir: &Path) -> String {
    let script = "! test -e \"$0/$LINEKEEPER_NODE\"";
    let command = json!(["sh", "-c", script, dir.to_string_lossy()]);
    let times = "interval = \"100ms\"\ntimeout = \"5s\"\nfailures = 2";
    // On standbys, too: the drill wants to know who is fit.
    format!("[check]\ncommand = {command}\n{times}\nstandby = true\n")
}

/// The coordinator's check begins to fail: it gives the line to a standby. Then all checks fail:
/// nobody could do better, and it stays where it is.
pub(crate) async fn unfit(chain: &mut Chain, plan: &Plan, dir: &Path) -> Result<Found> {
    let mut found = Found::default();
    for _ in 0..plan.times {
        let first = chain.holder()?;
        let moment = turn(chain, dir, &first.node, false)?;
        let drill = chain.watch(Kind::Unfit, first.clone(), moment).await;
        if drill.after.as_ref().is_none_or(|after| after.node == first.node) {
            found.faults.push(format!("{} is unfit and did not let go", first.node));
        }
        found.drills.push(drill);
        let second = chain.holder()?;
        // Its holder last, so that there is never a fit node beside an unfit coordinator.
        let mut others = chain.node_names();
        others.retain(|name| *name != first.node && *name != second.node);
        for name in others.iter().chain([&second.node]) {
            turn_and_wait(chain, dir, name, false).await?;
        }
        tokio::time::sleep(plan.disturbed).await;
        if chain.coordinator().as_ref() != Some(&second) {
            found.faults.push(format!("{} let go, and nobody could do better", second.node));
        }
        for name in [&second.node].into_iter().chain(&others).chain([&first.node]) {
            turn_and_wait(chain, dir, name, true).await?;
        }
        // Else it would stand back for five seconds, and longer each time.
        chain.kill9(&first.node)?;
        chain.start_node(&first.node).await?;
        chain.settle().await;
    }
    let waited = plan.disturbed;
    found.notes.push(format!(
        "the check runs every 100 ms, and two failures count; then all failed for {waited:.0?}, \
         and nobody let go"
    ));
    Ok(found)
}

/// From now on a node's check fails, or does not any more.
fn turn(chain: &Chain, dir: &Path, name: &str, fit: bool) -> Result<Moment> {
    let moment = chain.timeline().now();
    let file = dir.join(name);
    let turned = if fit { fs::remove_file(&file) } else { fs::write(&file, "") };
    turned.doing(|| format!("turn {}", file.display()))?;
    let text = format!("{name}'s check {}", if fit { "succeeds" } else { "fails" });
    chain.timeline().did_then(moment, Deed::Note { text });
    Ok(moment)
}

async fn turn_and_wait(chain: &Chain, dir: &Path, name: &str, fit: bool) -> Result<()> {
    let moment = turn(chain, dir, name, fit)?;
    let word = if fit { "healthy" } else { "unhealthy" };
    let source = Source::Node(name.to_owned());
    let said = |entry: &Entry| is(entry, &source, word).then_some(());
    chain.timeline().wait(moment, chain.patience(), format!("{name}: {word}"), said).await?;
    // The others hear of it by a heartbeat.
    chain.settle().await;
    Ok(())
}
