//! `kill -9` of the coordinator, of its payload, and payloads that go wrong by themselves.

use std::num::NonZeroU64;
use std::time::Duration;

use failover_node::core::profile::Profile;
use lab::answerer::Misdeeds;
use lab::drills::{Case, Plan};
use lab::{Settings, session};

use crate::common::{Turn, assert_clean, chain_of, drill};

/// The goals are 30 ms in the median and 150 ms at worst on a quiet machine.
async fn killed(plan: Plan) {
    let Some(outcome) = drill(Case::Kill, &plan).await else { return };
    let served = outcome.served.unwrap();
    assert_eq!(outcome.moves, plan.times, "one grant for each kill: no second election");
    assert!(served.median <= Duration::from_millis(150), "{served:?}");
}

#[tokio::test]
async fn kill_9_of_the_coordinator_with_two_nodes() {
    killed(Plan { times: 10, ..Plan::short() }).await;
}

#[tokio::test]
async fn kill_9_of_the_coordinator_with_five_nodes_in_the_fast_profile() {
    killed(Plan { nodes: 5, profile: Profile::FAST, ..Plan::short() }).await;
}

#[tokio::test]
async fn a_crashed_payload_is_replaced_on_the_same_node_under_a_new_grant() {
    drill(Case::Payload, &Plan::short()).await;
}

#[tokio::test]
async fn payloads_that_crash_again_and_again_lose_nothing_and_the_other_node_is_tried() {
    let _turn = Turn::take();
    let misdeeds = Misdeeds { crash_after: Some(3), ..Misdeeds::default() };
    // Payloads that crash are started again later and later, so late answers are awaited for long.
    let settle = Duration::from_secs(30);
    let settings = Settings { nodes: 2, misdeeds, settle, ..Settings::default() };
    let mut chain = chain_of(settings).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let report = session::conclude(&mut chain, Vec::new(), Vec::new()).await;
    assert_clean(&report);
    let tenures = &report.holders.tenures;
    println!("{} grants in a row", tenures.len());
    assert!(tenures.len() > 10, "{}", tenures.len());
    let first = &tenures[0].node;
    assert!(tenures.iter().any(|tenure| tenure.node != *first), "the budget was never used up");
}

#[tokio::test]
async fn a_payload_that_hangs_is_given_up_and_what_it_left_is_answered() {
    let _turn = Turn::take();
    let settings = Settings {
        nodes: 2,
        misdeeds: Misdeeds { hang_after: Some(10), ..Misdeeds::default() },
        node_arguments: vec!["--stall".into(), "1s".into()],
        interval: Duration::from_millis(200),
        ..Settings::default()
    };
    let mut chain = chain_of(settings).await;
    let first = chain.coordinator().unwrap();
    let moment = chain.timeline().now();
    let granted = |entry: &lab::Entry| match &entry.what {
        lab::What::Said(s) if entry.source == lab::Source::Server && s.word == "granted" => {
            Some(s.text("node")?.to_owned())
        }
        _ => None,
    };
    let wait = chain.timeline().wait(moment, Duration::from_secs(10), "another grant", granted);
    assert_ne!(wait.await.unwrap(), first.node);
    // Each payload hangs after ten answers, so some records wait when the run ends. What matters
    // is that none was answered twice, and that those were lost which nobody had answered.
    let report = chain.finish_billing().await.unwrap();
    let verdicts = report.outcome.verdicts;
    assert_eq!((verdicts.doubled, verdicts.torn, verdicts.mixed), (0, 0, 0), "{verdicts:?}");
    assert!(report.outcome.received.answers > 10);
}

#[tokio::test]
async fn the_judge_sees_payloads_that_lie() {
    let _turn = Turn::take();
    for (lose_every, double_every) in [(NonZeroU64::new(5), None), (None, NonZeroU64::new(5))] {
        let misdeeds = Misdeeds { lose_every, double_every, ..Misdeeds::default() };
        let mut chain = chain_of(Settings { nodes: 2, misdeeds, ..Settings::default() }).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let report = session::conclude(&mut chain, Vec::new(), Vec::new()).await;
        assert!(!report.pass);
        let verdicts = report.billing.unwrap().outcome.verdicts;
        assert_eq!(verdicts.lost > 0, lose_every.is_some(), "{verdicts:?}");
        assert_eq!(verdicts.doubled > 0, double_every.is_some(), "{verdicts:?}");
    }
}
