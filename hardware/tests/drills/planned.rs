//! What operators do: hand over, stop nodes, restart the terminal server.

use std::time::Duration;

use lab::{Kind, Schedule, Settings, session};
use sys::process::Signal;

use crate::common::{BUSY, Turn, assert_clean, chain, chain_of, measured};

#[tokio::test]
async fn a_planned_hand_over_moves_the_line_and_loses_nothing() {
    let _turn = Turn::take();
    let mut chain = chain(2).await;
    let schedule = Schedule::only(Kind::HandOver, 6, 3);
    let report = session::drill(&mut chain, schedule).await;
    assert_clean(&report);
    for drill in &report.drills {
        assert_ne!(drill.after.as_ref().unwrap().node, drill.victim);
    }
    let unserved = report.kinds[0].unserved.unwrap();
    measured("hand-over, unserved since the question", unserved, "20 ms + a frame");
    assert!(unserved.median <= Duration::from_millis(100), "{unserved:?}");
    assert!(unserved.max <= Duration::from_millis(20) + BUSY, "{unserved:?}");
}

#[tokio::test]
async fn a_standby_refuses_to_hand_over_what_it_has_not() {
    let _turn = Turn::take();
    let chain = chain(2).await;
    let held = chain.coordinator().unwrap();
    let standby = chain.node_names().into_iter().find(|name| *name != held.node).unwrap();
    let error = chain.ask_for_handover(&standby, None).await.unwrap_err().to_string();
    assert!(error.contains("not the coordinator") && error.contains(&held.node), "{error}");
    assert_eq!(chain.coordinator(), Some(held));
}

#[tokio::test]
async fn sigterm_of_the_coordinator_gives_the_line_to_the_other_node_at_once() {
    let _turn = Turn::take();
    let mut chain = chain(2).await;
    let held = chain.coordinator().unwrap();
    let moment = chain.signal(&held.node, Signal::TERM).unwrap();
    let drill = chain.watch(Kind::HandOver, held.clone(), moment).await;
    assert!(drill.recovered(), "{drill:?}");
    assert_ne!(drill.after.as_ref().unwrap().node, held.node);
    let unserved = drill.unserved.unwrap();
    println!("SIGTERM of the coordinator: unserved {unserved:.1?} (goal: 20 ms + a frame)");
    assert!(unserved <= Duration::from_millis(20) + BUSY, "{unserved:?}");
    assert!(chain.ended(&held.node).await.unwrap().success());
    assert_clean(&session::conclude(&mut chain, vec![drill], Vec::new()).await);
}

#[tokio::test]
async fn a_restart_of_the_terminal_server_under_load_loses_nothing() {
    let _turn = Turn::take();
    // Records without a pause: something is always on its way, in both directions.
    let settings =
        Settings { nodes: 2, interval: Duration::from_millis(40), ..Settings::default() };
    let mut chain = chain_of(settings).await;
    let report = session::drill(&mut chain, Schedule::only(Kind::RestartServer, 4, 5)).await;
    assert_clean(&report);
    for drill in &report.drills {
        let (before, after) = (&drill.before, drill.after.as_ref().unwrap());
        assert_eq!(after.node, before.node, "the incumbent is preferred");
        assert!(after.epoch.start() > before.epoch.start(), "I5: {before:?} {after:?}");
    }
    let unserved = report.kinds[0].unserved.unwrap();
    measured("restart of the terminal server, unserved", unserved, "its start + 20 ms");
    assert!(unserved.max <= Duration::from_secs(1) + BUSY, "{unserved:?}");
}
