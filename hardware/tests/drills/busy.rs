//! All cores are busy with other work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lab::session;

use crate::common::{Turn, assert_clean, chain};

#[tokio::test]
async fn all_cores_busy_for_half_a_minute_is_no_failover() {
    let _turn = Turn::take();
    let mut chain = chain(2).await;
    let over = Arc::new(AtomicBool::new(false));
    let cores = std::thread::available_parallelism().unwrap().get();
    let burners: Vec<_> = (0..cores)
        .map(|_| {
            let over = Arc::clone(&over);
            std::thread::spawn(move || while !over.load(Ordering::Relaxed) {})
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(30)).await;
    let late: Vec<_> = chain.node_names().iter().map(|name| late(&chain, name)).collect();
    over.store(true, Ordering::Relaxed);
    burners.into_iter().for_each(|burner| burner.join().unwrap());
    let report = session::conclude(&mut chain, Vec::new(), Vec::new()).await;
    println!("{cores} cores busy for 30 s: latest wake-ups of the nodes {late:.1?}");
    assert_clean(&report);
    assert_eq!(report.holders.tenures.len(), 1, "{:?}", report.holders.tenures);
}

/// By how much a node woke up too late at worst.
fn late(chain: &lab::Chain, name: &str) -> Duration {
    let status = chain.node_status(name).unwrap();
    Duration::from_micros(status["counters"]["late_max_us"].as_u64().unwrap())
}
