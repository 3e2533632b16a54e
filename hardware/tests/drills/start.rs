//! All nodes start in the same instant.

use std::time::Duration;

use lab::deed::Deed;
use lab::{What, session};

use crate::common::{Turn, assert_clean, chain};

async fn together(nodes: usize) {
    let _turn = Turn::take();
    let mut chain = chain(nodes).await;
    // Long enough for any second thought.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let roles: Vec<_> = chain.node_names().iter().map(|name| role(&chain, name)).collect();
    assert_eq!(roles.iter().filter(|role| *role == "coordinator").count(), 1, "{roles:?}");
    assert_eq!(roles.iter().filter(|role| *role == "standby").count(), nodes - 1, "{roles:?}");
    let server = chain.server_status().unwrap();
    let counters = &server["lines"][0]["counters"];
    let report = session::conclude(&mut chain, Vec::new(), Vec::new()).await;
    assert_clean(&report);
    let tenures = &report.holders.tenures;
    let started = chain.timeline().all(chain.timeline().beginning(), |entry| match &entry.what {
        What::Did(Deed::Started { program, .. }) if program.starts_with("node-") => Some(entry.at),
        _ => None,
    });
    assert_eq!(started.len(), nodes);
    let granted = tenures[0].from - started[nodes - 1];
    let refused = &counters["refused_busy"];
    println!("{nodes} nodes at once: one grant, {granted:.1?} later; refused claims: {refused}");
    assert_eq!(tenures.len(), 1, "{tenures:?}");
}

fn role(chain: &lab::Chain, name: &str) -> String {
    chain.node_status(name).unwrap()["role"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn two_nodes_make_one_coordinator_and_one_grant() {
    together(2).await;
}

#[tokio::test]
async fn three_nodes_make_one_coordinator_and_one_grant() {
    together(3).await;
}

#[tokio::test]
async fn five_nodes_make_one_coordinator_and_one_grant() {
    together(5).await;
}
