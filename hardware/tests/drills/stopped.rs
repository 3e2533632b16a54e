//! A coordinator that is stopped and wakes up again, and what becomes of its payload meanwhile.

use std::time::Duration;

use failover_node::core::profile::Profile;
use lab::answerer::{Misdeeds, misdeeds};
use lab::drills::{Case, Plan};
use lab::{Chain, Kind, Settings, session};
use sys::boottime;
use sys::process::{Signal, Waiter, open_pidfd};

use crate::common::{BUSY, Turn, assert_clean, chain_of, drill, measured, programs};

/// A chain whose payloads have grandchildren that leave traces in a directory.
async fn with_grandchildren(nodes: usize) -> (Chain, tempfile::TempDir) {
    programs();
    let dir = tempfile::tempdir().unwrap();
    let fork_grandchild = Some(dir.path().to_owned());
    let misdeeds = Misdeeds { fork_grandchild, ignore_term: true, ..Misdeeds::default() };
    let chain = chain_of(Settings { nodes, misdeeds, ..Settings::default() }).await;
    (chain, dir)
}

/// The end of a process: when a thread that only waits for it has seen it.
fn end_of(pid: u32) -> std::thread::JoinHandle<Duration> {
    let pidfd = open_pidfd(pid).unwrap();
    std::thread::spawn(move || {
        use std::os::fd::AsFd;
        let deadline = boottime() + Duration::from_secs(10);
        let woken = Waiter::new().unwrap().wait(&[pidfd.as_fd()], Some(deadline)).unwrap();
        assert!(woken.ready[0], "process {pid} did not end");
        boottime()
    })
}

/// The last trace of the only grandchild there is.
fn only_trace(dir: &tempfile::TempDir) -> misdeeds::Trace {
    let traces = misdeeds::traces(dir.path());
    let [trace] = traces[..] else { panic!("{traces:?}") };
    trace
}

#[tokio::test]
async fn i1_i7_a_stopped_coordinator_is_replaced_its_payload_ends_and_it_writes_nothing_more() {
    drill(Case::Stop, &Plan::short()).await;
}

#[tokio::test]
async fn i1_i7_a_stopped_coordinator_is_replaced_in_the_fast_profile_and_among_three() {
    drill(Case::Stop, &Plan { nodes: 3, profile: Profile::FAST, ..Plan::short() }).await;
}

#[tokio::test]
async fn i7_a_payload_that_refuses_to_die_has_ended_before_the_next_grant() {
    drill(Case::Stubborn, &Plan::short()).await;
}

#[tokio::test]
async fn i7_a_killed_coordinators_payload_ends_and_its_grandchild_too() {
    let _turn = Turn::take();
    let (mut chain, dir) = with_grandchildren(2).await;
    let lease = chain.settings().profile.lease;
    let held = chain.coordinator().unwrap();
    let payload = end_of(chain.payload(&held.node).unwrap());
    let grandchild = only_trace(&dir).pid;
    let drill = chain.drill(Kind::Kill).await.unwrap();
    assert!(drill.recovered(), "{drill:?}");
    let payload = payload.join().unwrap() - drill.at;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let traces = misdeeds::traces(dir.path());
    let last = traces.iter().find(|trace| trace.pid == grandchild).unwrap();
    let grandchild = last.at.saturating_sub(drill.at);
    println!(
        "kill -9: its payload ended after {payload:.1?}, the grandchild wrote last after {grandchild:.1?} (goal: lease + 50 ms)"
    );
    assert!(payload <= lease + Duration::from_millis(50) + BUSY, "{payload:?}");
    assert!(grandchild <= lease + Duration::from_millis(50) + BUSY, "{grandchild:?}");
    assert_clean(&session::conclude(&mut chain, vec![drill], Vec::new()).await);
}

#[tokio::test]
async fn a_stop_shorter_than_the_lease_changes_nothing() {
    let _turns = Turn::take_all();
    let mut chain = crate::common::chain(2).await;
    let held = chain.coordinator().unwrap();
    for _ in 0..3 {
        chain.signal(&held.node, Signal::STOP).unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        chain.signal(&held.node, Signal::CONT).unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let report = session::conclude(&mut chain, Vec::new(), Vec::new()).await;
    assert_clean(&report);
    assert_eq!(report.holders.tenures.len(), 1, "{:?}", report.holders);
}

#[tokio::test]
async fn a_stopped_standby_changes_nothing_and_is_of_use_again_when_it_wakes() {
    let _turn = Turn::take();
    let mut chain = crate::common::chain(2).await;
    let held = chain.coordinator().unwrap();
    let standby = chain.node_names().into_iter().find(|name| *name != held.node).unwrap();
    chain.signal(&standby, Signal::STOP).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    chain.signal(&standby, Signal::CONT).unwrap();
    chain.settle().await;
    assert_eq!(chain.coordinator(), Some(held));
    let drill = chain.drill(Kind::Kill).await.unwrap();
    assert!(drill.recovered(), "{drill:?}");
    let unserved = lab::Spread::of(drill.unserved).unwrap();
    measured("kill -9 after the standby was stopped, unserved", unserved, "150 ms");
    assert_clean(&session::conclude(&mut chain, vec![drill], Vec::new()).await);
}
