//! Calls keep coming while nobody reads the line: with flow control they wait, without it they are
//! lost, and everybody agrees how many.

use std::path::Path;
use std::time::Duration;

use billing_sim::exchange::verdict::Verdict;
use lab::{Accounts, Chain, session};
use sys::boottime;
use sys::process::Signal;

use crate::common::{Turn, assert_agreed, chain_of};

/// Calls as fast as the line takes them, and a terminal server that stands still for a while. Its
/// nodes lose the line meanwhile, and take it again.
async fn stopped_server(overruns: bool) -> Chain {
    let accounts = Accounts {
        // The exchange keeps what it cannot print.
        settings: [("layout", LAYOUT), ("buffer", "100000")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        items: Some(Duration::from_millis(10)),
        fast: true,
        ..Accounts::of("cdr")
    };
    let chain = chain_of(accounts, |settings| {
        settings.line = LINE.parse().expect("line settings");
        settings.overruns = overruns;
    })
    .await;
    more(&chain, 20).await;
    chain.signal_server(Signal::STOP).unwrap();
    tokio::time::sleep(STOPPED_FOR).await;
    chain.signal_server(Signal::CONT).unwrap();
    chain.wait_for_coordinator(SERVICE).await.unwrap();
    more(&chain, 600).await;
    chain
}

/// Waits until so many more records are in the store.
async fn more(chain: &Chain, count: u64) {
    let (begun, before) = (boottime(), chain.accounted().unwrap());
    while chain.accounted().unwrap() < before + count {
        tokio::time::sleep(LOOK).await;
        assert!(boottime() - begun < SERVICE, "fewer than {count} more records");
    }
}

/// The calls that the nodes found missing by the numbers.
fn missed(dir: &Path) -> u64 {
    let mut missed = 0;
    for entry in dir.read_dir().unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !(name.starts_with("node-") && name.ends_with(".log")) {
            continue;
        }
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            if let Some((_, rest)) = line.split_once("missing from=") {
                let (_, count) = rest.split_once("count=").expect("how many");
                let digits: String = count.chars().take_while(char::is_ascii_digit).collect();
                missed += digits.parse::<u64>().unwrap();
            }
        }
    }
    missed
}

#[tokio::test]
async fn cdr_with_flow_control_loses_nothing_while_the_terminal_server_stands_still() {
    let _turn = Turn::take();
    let mut chain = stopped_server(false).await;
    let report = session::conclude(&mut chain, Vec::new(), Vec::new()).await;
    assert_agreed(&report);
    assert_eq!((chain.overrun(), missed(chain.dir())), (0, 0));
}

#[tokio::test]
async fn cdr_without_flow_control_loses_calls_and_counts_every_one() {
    let _turn = Turn::take();
    let mut chain = stopped_server(true).await;
    let report = session::conclude(&mut chain, Vec::new(), Vec::new()).await;
    let audit = report.accounts.as_ref().expect("books");
    let verdicts = &audit.billing.outcome.verdicts;
    let (lost, mixed) = (verdicts.get(Verdict::Lost), verdicts.get(Verdict::Interleave));
    let (overrun, missed) = (chain.overrun(), missed(chain.dir()));
    println!("{overrun} bytes were lost, and with them {lost} calls; {missed} numbers are missing");
    assert!(!report.pass && lost > 0, "a run that loses calls does not pass");
    // The head of one and the tail of another may by chance be a whole: then a number stands for it.
    assert_eq!(lost, missed + mixed, "{}", lab::show::table(&report));
    // Of a call at either end of a hole only a part was lost.
    assert!(lost >= overrun / CALL && overrun > 0, "{overrun} bytes, {lost} calls");
}

/// Fixed in length, and numbered: what is torn does not fit, and what is missing shows.
const LAYOUT: &str = r#"
name = "cellar"
title = "An exchange in the cellar"
length = 90
end = "cr-lf"
number = { first = 0, last = 99999 }
columns = [
    { name = "number", from = 1, length = 5, kind = "number" },
    { name = "moment", from = 7, length = 14, kind = "moment", format = "mo/dd hh:mi:ss" },
    { name = "station", from = 23, length = 7, kind = "station" },
    { name = "dialled", from = 31, length = 60, kind = "dialled", align = "right" },
]
"#;
/// A call's bytes. At the line's speed they take 8 ms.
const CALL: u64 = 92;
const LINE: &str = "115200,8N1";
/// Until the kernel's buffers and the cable's are full, and a while longer.
const STOPPED_FOR: Duration = Duration::from_secs(4);
/// Far more than all takes.
const SERVICE: Duration = Duration::from_secs(60);
/// Between two looks into the store.
const LOOK: Duration = Duration::from_millis(50);
