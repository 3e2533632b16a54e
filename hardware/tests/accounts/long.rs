//! Many records as fast as they go, and a kill every few seconds.

use std::time::Duration;

use lab::{Accounts, Kind, session};
use sys::boottime;

use crate::common::{Turn, assert_agreed, chain_of};

/// How many: 100,000 once, by the environment variable; a run on a user's machine is shorter.
fn count() -> u64 {
    match std::env::var("LINEKEEPER_RECORDS") {
        Ok(count) => count.parse().expect("LINEKEEPER_RECORDS is a number"),
        Err(_) if std::env::var_os("LINEKEEPER_CI").is_some() => 5000,
        Err(_) => 1500,
    }
}

async fn many(accounts: Accounts) {
    let _turn = Turn::take();
    let dialect = accounts.dialect.clone();
    let (begun, count) = (boottime(), count());
    let patience = PATIENCE + EACH * u32::try_from(count).expect("not that many");
    let mut chain = chain_of(accounts, |settings| {
        settings.line = FAST.parse().expect("line settings");
    })
    .await;
    let mut drills = Vec::new();
    loop {
        tokio::time::sleep(EVERY).await;
        let drill = chain.drill(Kind::Kill).await.unwrap();
        assert!(drill.recovered(), "{drill:?}");
        drills.push(drill);
        if chain.accounted().unwrap() >= count {
            break;
        }
        assert!(boottime() - begun < patience, "{dialect}: not done by then");
    }
    let took = boottime() - begun;
    let kills = drills.len();
    let report = session::conclude(&mut chain, drills, Vec::new()).await;
    assert_agreed(&report);
    let rate = count as f64 / took.as_secs_f64();
    println!("{dialect}: {count} records, {kills} kills, {rate:.0} a second with the kills");
}

#[tokio::test]
async fn many_charges_through_fias_with_a_kill_every_few_seconds() {
    let accounts = Accounts {
        fast: true,
        items: Some(Duration::from_millis(100)),
        charges: None,
        charge_count: Some(count()),
        ..Accounts::of("fias")
    };
    many(accounts).await;
}

#[tokio::test]
async fn many_calls_through_cdr_with_a_kill_every_few_seconds() {
    let accounts =
        Accounts { fast: true, items: None, item_count: Some(count()), ..Accounts::of("cdr") };
    many(accounts).await;
}

/// As fast as a pseudo terminal takes it.
const FAST: &str = "4000000,8N1";
/// Between two kills.
const EVERY: Duration = Duration::from_millis(1500);
/// Far more than the slowest machine needs.
const PATIENCE: Duration = Duration::from_secs(300);
const EACH: Duration = Duration::from_millis(100);
