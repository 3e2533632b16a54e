//! Two networks, of which one fails for all.

use std::time::Duration;

use serde_json::Value;
use sys::boottime;

use super::outcome::Found;
use super::plan::Plan;
use super::processes::{again, wait_whole};
use crate::chain::Chain;
use crate::drill::Kind;
use crate::error::Result;
use crate::net::Network;

/// The network that carries heartbeats and beacons only fails for all hosts. Nothing moves, each
/// node says what is wrong, and a coordinator that is killed then is replaced as usual.
pub(crate) async fn one_of_two(chain: &mut Chain, plan: &Plan) -> Result<Found> {
    let held = chain.holder()?;
    let interface = Network::interface(CUT);
    let moment = chain.cut_way(CUT)?;
    let mut faults = Vec::new();
    let deadline = moment.at + TOLD;
    for name in chain.node_names() {
        let told = loop {
            match told(&chain.node_status(&name)?, &interface) {
                None if boottime() < deadline => tokio::time::sleep(ASK_AGAIN).await,
                told => break told,
            }
        };
        if told.is_none() {
            faults.push(format!("{name} does not say that {interface} carries nothing"));
        }
    }
    let said = boottime() - moment.at;
    if chain.coordinator().as_ref() != Some(&held) {
        faults.push(format!("{} lost the line with one of two networks", held.node));
    }
    let mut found = again(chain, plan, Kind::Kill).await?;
    chain.heal()?;
    wait_whole(chain).await;
    found.faults.extend(faults);
    found.notes.push(format!("every node had said `path-dead` {said:.0?} after the cut"));
    Ok(found)
}

/// Whether a node's status has a finding about the path that is cut, and shows its loss.
fn told(status: &Value, interface: &str) -> Option<()> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let is_about = |text: &Value| text.as_str().is_some_and(|text| text.ends_with(interface));
    let finding = |finding: &Value| finding["code"] == "path-dead" && is_about(&finding["about"]);
    list(&status["findings"]).iter().find(|one| finding(one))?;
    let path = list(&status["paths"]).into_iter().find(|path| is_about(&path["path"]))?;
    let nodes = list(&path["nodes"]);
    let lost = |node: &Value| node["loss_percent"].as_u64() > Some(MOST_LOST);
    (!nodes.is_empty() && nodes.iter().all(lost)).then_some(())
}

/// The terminal server's connections are on the other one.
const CUT: usize = 0;
/// A finding about silence takes ten seconds, and a look at the facts one more.
const TOLD: Duration = Duration::from_secs(20);
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// Of the last 64 heartbeats all but a few, on a machine that is late with some.
const MOST_LOST: u64 = 80;
