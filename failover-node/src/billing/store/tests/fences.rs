//! Who may write.

use super::super::desk::{Counter, Decision, Declined, Wanted};
use super::super::listing::{Filter, Page};
use super::super::{Done, OutState, SqliteStore, Store, StoreError};
use super::support::{begun, charge, place, post, record, settle, stands, tenure};
use billing::{Ledger, Write};
use std::time::Duration;
use wire::Epoch;

#[test]
fn a_paused_old_coordinator_that_wakes_writes_nothing() {
    let (_dir, file) = place();
    let (mut old, _) = begun(&file, 1);
    post(&mut old, &tenure(1), "k1");
    old.commit(&[Write::Receive(record(100))]).unwrap();
    // It is stopped here; another node on this host takes over.
    let (mut new, standing) = begun(&file, 2);
    assert_eq!((standing.waiting, standing.unsettled), (1, 1));
    let refused = [
        old.commit(&[Write::Receive(record(142))]),
        old.commit(&[settle(1)]),
        old.handled(&[Done { row: 1, reply: None }]),
        old.begin(&tenure(1)).map(drop),
    ];
    for refused in refused {
        let Err(StoreError::Superseded { held, ours, .. }) = refused else { panic!("{refused:?}") };
        assert_eq!((held, ours), (Epoch::new(7, 2), Epoch::new(7, 1)));
    }
    assert_eq!(new.waiting(10).unwrap().len(), 1, "nothing came and nothing was handled");
}

#[test]
fn what_would_only_be_judged_is_fenced_too() {
    let (_dir, file) = place();
    let (mut old, _) = begun(&file, 1);
    post(&mut old, &tenure(1), "k1");
    drop(begun(&file, 2));
    let mut ledger = Ledger::new(0);
    ledger.send(super::support::outstanding(1, "k1"));
    ledger.settle();
    let judged = old.next_posting(&ledger);
    assert!(matches!(judged, Err(StoreError::Superseded { .. })), "{judged:?}");
}

#[test]
fn a_paused_old_coordinator_forgets_nothing() {
    let (_dir, file) = place();
    let (mut old, _) = begun(&file, 1);
    old.commit(&[Write::Receive(record(100))]).unwrap();
    old.handled(&[Done { row: 1, reply: None }]).unwrap();
    old.db.execute("UPDATE inbox SET received_at = received_at - 3601000", ()).unwrap();
    let (mut new, _) = begun(&file, 2);
    let hour = Duration::from_secs(3600);
    let refused = old.tidy(hour);
    assert!(matches!(refused, Err(StoreError::Superseded { .. })), "{refused:?}");
    let left = |new: &SqliteStore| new.inbox(&Filter::default(), Page::Last(9)).unwrap().len();
    assert_eq!(left(&new), 1);
    new.tidy(hour).unwrap();
    assert_eq!(left(&new), 0);
}

#[test]
fn at_the_desk_of_a_node_that_has_lost_the_line_nothing_is_taken_and_nothing_decided() {
    let (_dir, file) = place();
    let (mut old, _) = begun(&file, 1);
    post(&mut old, &tenure(1), "k1");
    old.db.execute("UPDATE outbox SET state = 'doubt'", ()).unwrap();
    let (mut new, _) = begun(&file, 2);
    let counter = |epoch| Counter { line: "pms".parse().unwrap(), epoch };
    let old_epoch = counter(Some(Epoch::new(7, 1)));
    let wanted = Wanted { charge: charge("k2"), is_now: false };
    let refused = old.add(&old_epoch, std::slice::from_ref(&wanted));
    assert!(matches!(refused, Err(Declined::Store(StoreError::Superseded { .. }))), "{refused:?}");
    for decision in [Decision::Again, Decision::Done] {
        let refused = old.decide(&old_epoch, "k1", decision);
        assert!(matches!(refused, Err(StoreError::Superseded { .. })), "{refused:?}");
    }
    assert_eq!(stands(&new, "k1").0, OutState::Doubt);
    new.add(&counter(Some(Epoch::new(7, 2))), &[wanted]).unwrap();
    assert!(new.decide(&counter(None), "k1", Decision::Done).unwrap().is_some());
}

#[test]
fn epochs_are_compared_as_unsigned_numbers() {
    let (_dir, file) = place();
    let mut store = SqliteStore::open(&file).unwrap();
    let mut late = tenure(1);
    late.epoch = Epoch::new(u32::MAX, 1);
    store.begin(&late).unwrap();
    assert!(store.begin(&tenure(9)).is_err());
    store.commit(&[Write::Receive(record(0))]).unwrap();
}

#[test]
fn lines_in_one_file_do_not_fence_each_other() {
    let (_dir, file) = place();
    let (mut pms, _) = begun(&file, 1);
    let mut other = tenure(9);
    other.line = "pbx".parse().unwrap();
    let mut pbx = SqliteStore::open(&file).unwrap();
    pbx.begin(&other).unwrap();
    pms.commit(&[Write::Receive(record(0))]).unwrap();
    pbx.commit(&[Write::Receive(record(0))]).unwrap();
    assert_eq!(pms.waiting(10).unwrap().len(), 1);
    assert_eq!(pbx.waiting(10).unwrap().len(), 1);
}

#[test]
fn another_process_s_change_is_noticed() {
    let (_dir, file) = place();
    let (mut node, _) = begun(&file, 1);
    node.changed().unwrap();
    assert!(!node.changed().unwrap());
    node.commit(&[Write::Receive(record(0))]).unwrap();
    assert!(!node.changed().unwrap(), "its own writes do not count");
    let mut desk = SqliteStore::open(&file).unwrap();
    post(&mut desk, &tenure(1), "k1");
    assert!(node.changed().unwrap());
    assert!(!node.changed().unwrap());
}

#[test]
fn nothing_is_written_before_a_tenure() {
    let (_dir, file) = place();
    let mut store = SqliteStore::open(&file).unwrap();
    let refused = store.commit(&[settle(1)]);
    assert!(matches!(refused, Err(StoreError::Misuse { .. })), "{refused:?}");
}
