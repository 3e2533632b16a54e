//! How fast each dialect goes over a line at its own pace, beside what the line could carry.

use std::time::Duration;

use lab::{Accounts, session};
use sys::{LineSettings, boottime};

use crate::common::{Turn, assert_agreed, chain_of};

/// Records or charges that are timed: enough to forget how the link came up.
const COUNT: u64 = 60;

async fn measured(dialect: &str) {
    let posts = Accounts::of(dialect).dialect().unwrap().posts();
    let accounts = Accounts {
        items: None,
        item_count: Some(if posts { 0 } else { COUNT }),
        charges: None,
        charge_count: posts.then_some(COUNT),
        ..Accounts::of(dialect)
    };
    let mut chain = chain_of(accounts, |settings| settings.nodes = 2).await;
    // Records may have waited for the first look.
    let (mut before, mut begun) = (0, boottime());
    while before == 0 {
        tokio::time::sleep(LOOK).await;
        (before, begun) = (chain.accounted().unwrap(), boottime());
    }
    while chain.accounted().unwrap() < COUNT {
        tokio::time::sleep(LOOK).await;
    }
    let took = (boottime() - begun).as_secs_f64();
    let report = session::conclude(&mut chain, Vec::new(), Vec::new()).await;
    assert_agreed(&report);
    let outcome = &report.accounts.as_ref().unwrap().billing.outcome;
    // All but the last wait for their answer before the next begins, so both directions count.
    let bytes = outcome.bytes_in + outcome.bytes_out;
    let carried = LineSettings::new(9600).time_of(bytes).as_secs_f64();
    let (rate, limit) = ((COUNT - before) as f64 / took, COUNT as f64 / carried);
    let share = rate / limit * 100.0;
    println!("{dialect}: {rate:.1} a second of {limit:.1} that 9600 8N1 carries ({share:.0} %)");
}

#[tokio::test]
#[ignore = "measures for a minute; cargo test -p lab --test accounts -- --ignored --nocapture"]
async fn rates_beside_the_lines_own() {
    let _turn = Turn::take();
    for dialect in ["fias", "hx", "cable", "cdr"] {
        measured(dialect).await;
    }
}

/// Between two looks into the store.
const LOOK: Duration = Duration::from_millis(20);
