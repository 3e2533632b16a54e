//! How fast a store is on this disk. Run it where the store would be:
//! `TMPDIR=/var/lib/linekeeper cargo test -p failover-node --lib store::tests::rate -- --ignored --nocapture`

use std::time::Duration;

use billing::{Ledger, Write};
use sys::boottime;

use super::super::desk::{Counter, MAX_ADDED, Wanted};
use super::super::{SqliteStore, Store};
use super::support::{begun, charge, place, post, record, settle, take, tenure};

/// How long each figure is measured.
const SPAN: Duration = Duration::from_secs(3);

#[test]
#[ignore = "measures"]
fn records_and_charges_in_a_second() {
    let (_dir, file) = place();
    let (mut store, _) = begun(&file, 1);
    println!("records in a commit, commits/s, records/s");
    let mut start = 0;
    for count in [1, 10, 100] {
        let commits = rate(|| {
            let records = (0..count).map(|_| {
                start += 42;
                Write::Receive(record(start))
            });
            store.commit(&records.collect::<Vec<_>>()).unwrap();
        });
        println!("{count}, {commits:.0}, {:.0}", commits * f64::from(count));
    }
    println!("charges/s, numbered and settled: {:.0}", charges(&mut store));
}

#[test]
#[ignore = "measures"]
fn how_long_a_file_of_charges_keeps_the_lock() {
    let (_dir, file) = place();
    let (mut store, _) = begun(&file, 1);
    let counter = Counter { line: tenure(1).line, epoch: None };
    let mut key = 0;
    for round in 1..=10 {
        let mut one = || {
            key += 1;
            Wanted { charge: charge(&format!("c{key}")), is_now: false }
        };
        let wanted: Vec<_> = (0..MAX_ADDED).map(|_| one()).collect();
        let begin = boottime();
        store.add(&counter, &wanted).unwrap();
        println!("file {round}: {:?} for {MAX_ADDED} charges", boottime() - begin);
    }
}

/// A charge is added beforehand, numbered in one commit and settled in another.
fn charges(store: &mut SqliteStore) -> f64 {
    let mut ledger = Ledger::new(0);
    let mut added = 0;
    let mut add = |store: &mut SqliteStore| {
        added += 1;
        post(store, &tenure(1), &format!("k{added}"));
    };
    store.db.pragma_update(None, "synchronous", "OFF").unwrap();
    (0..20_000).for_each(|_| add(store));
    store.db.pragma_update(None, "synchronous", "FULL").unwrap();
    rate(|| {
        let posting = store.next_posting(&ledger).unwrap().unwrap();
        let number = take(store, &mut ledger, posting);
        ledger.settle();
        store.commit(&[settle(number)]).unwrap();
    })
}

fn rate(mut work: impl FnMut()) -> f64 {
    let begin = boottime();
    let mut count = 0_u32;
    while boottime() < begin + SPAN {
        work();
        count += 1;
    }
    f64::from(count) / (boottime() - begin).as_secs_f64()
}
