//! Networks of one's own: they carry frames, lose those that they should, and leave nothing behind.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Duration;

use lab::net::{Loss, Network, Traffic, tools};

use crate::common::{LAB, Turn};

/// Whether this machine has what it takes.
fn ready() -> bool {
    let Some(need) = tools::missing() else { return true };
    let required = std::env::var_os("LINEKEEPER_CI").is_some_and(|value| value == "1");
    assert!(!required, "{need} is missing, and LINEKEEPER_CI=1 demands it");
    println!("skipped: needs root and iproute2, and here {need} is missing");
    false
}

/// The namespaces of a process.
fn namespaces(pid: u32) -> Vec<String> {
    let prefix = format!("lk{pid}-");
    let names = std::fs::read_dir("/run/netns").into_iter().flatten().flatten();
    let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with(&prefix)).collect()
}

#[test]
fn a_network_goes_when_it_is_dropped_and_one_of_a_dead_process_with_the_next() {
    if !ready() {
        return;
    }
    let _turns = Turn::take_all();
    let mut child = Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    let left = format!("lk{}-0-hub", child.id());
    assert!(Command::new("ip").args(["netns", "add", &left]).status().unwrap().success());
    let network = Network::lay(3, 2).unwrap();
    assert_eq!(namespaces(child.id()), [""; 0], "swept");
    assert_eq!(namespaces(std::process::id()).len(), 4, "three hosts and what joins them");
    drop(network);
    assert_eq!(namespaces(std::process::id()), [""; 0]);
}

/// Whether a host hears what another one sends to all.
async fn hears(network: &Network, from: usize, to: usize) -> bool {
    let group = "239.255.77.9:4100";
    let listener = network
        .command(to, LAB)
        .args(["ear", group, &Network::address(to).to_string()])
        .stderr(Stdio::piped())
        .spawn();
    let mut listener = listener.unwrap();
    let mut stderr = listener.stderr.take().unwrap();
    // The group has to be joined first.
    tokio::time::sleep(MOMENT).await;
    let source = Network::address(from).to_string();
    let sent = network.command(from, LAB).args(["ear", group, &source, "--call"]).status();
    assert!(sent.unwrap().success());
    tokio::time::sleep(MOMENT).await;
    listener.kill().unwrap();
    listener.wait().unwrap();
    let mut text = String::new();
    stderr.read_to_string(&mut text).unwrap();
    text.contains(&source)
}

/// A program has started by then, and a datagram arrived.
const MOMENT: Duration = Duration::from_millis(400);

#[tokio::test]
async fn frames_pass_until_they_are_cut_in_one_direction_and_pass_again_when_healed() {
    if !ready() {
        return;
    }
    let _turn = Turn::take();
    let network = Network::lay(3, 1).unwrap();
    assert!(hears(&network, 0, 1).await && hears(&network, 1, 0).await);
    let datagrams = Loss { what: Traffic::Datagrams, ..Loss::cut(0, 1) };
    network.lose(&[datagrams]).unwrap();
    assert!(!hears(&network, 0, 1).await);
    assert!(hears(&network, 1, 0).await, "the other direction");
    assert!(hears(&network, 0, 2).await, "to somebody else");
    network.lose(&network.apart(&[1])).unwrap();
    assert!(!hears(&network, 1, 0).await && !hears(&network, 2, 1).await);
    network.heal().unwrap();
    assert!(hears(&network, 0, 1).await);
}
