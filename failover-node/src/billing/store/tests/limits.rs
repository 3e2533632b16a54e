//! What a store refuses, and what it does at its limits.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::thread;
use std::time::Duration;

use billing::{Ledger, Write};
use daemon::Exit;

use super::super::listing::{Filter, Page};
use super::super::{Done, LastSent, OutState, SqliteStore, Store, StoreError, Tenure, Tidied};
use super::support::{begun, place, post, record, settle, take, tenure, text};

#[test]
fn a_full_disk_is_said_and_what_was_acknowledged_stays() {
    let (_dir, file) = place();
    let (mut store, _) = begun(&file, 1);
    let pages: i64 = store.db.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    store.db.pragma_update(None, "max_page_count", pages + 3).unwrap();
    let mut kept = 0;
    let full = (0..1000).find_map(|n| {
        let committed = store.commit(&[Write::Receive(record(n * 42))]);
        kept += u64::from(committed.is_ok());
        committed.err()
    });
    let full = full.expect("it becomes full");
    assert!(matches!(full, StoreError::Full { .. }), "{full}");
    assert!(full.to_string().contains("the disk is full; make room"), "{full}");
    assert_eq!(store.waiting(1000).unwrap().len() as u64, kept);
    assert!(kept > 0);
    // There is room again.
    store.db.pragma_update(None, "max_page_count", 1_000_000).unwrap();
    store.commit(&[Write::Receive(record(kept * 42))]).unwrap();
    assert_eq!(store.begin(&tenure(2)).unwrap().waiting, kept + 1);
}

#[test]
fn only_what_is_done_with_is_forgotten() {
    let (_dir, file) = place();
    let (mut store, _) = begun(&file, 1);
    for key in ["posted", "open", "doubt"] {
        post(&mut store, &tenure(1), key);
    }
    let mut ledger = Ledger::new(0);
    for _ in 0..2 {
        let posting = store.next_posting(&ledger).unwrap().unwrap();
        take(&mut store, &mut ledger, posting);
        ledger.settle();
        store.commit(&[settle(1)]).unwrap();
    }
    store.db.execute("UPDATE outbox SET state = 'doubt' WHERE key = 'doubt'", ()).unwrap();
    let records: Vec<_> = (0..2500).map(|n| Write::Receive(record(n * 42))).collect();
    store.commit(&records).unwrap();
    let done: Vec<_> = (1..2500).map(|row| Done { row, reply: None }).collect();
    store.handled(&done).unwrap();
    let count = |store: &SqliteStore| {
        let rows = "SELECT (SELECT count(*) FROM inbox) + (SELECT count(*) FROM outbox)";
        store.db.query_row(rows, (), |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!(store.tidy(DAY).unwrap(), Tidied::Done);
    assert_eq!(count(&store), 2503, "nothing is old");
    age(&store, DAY + Duration::from_secs(60));
    for left in [1502, 502, 3, 3] {
        assert_eq!(store.tidy(DAY).unwrap(), Tidied::Done);
        assert_eq!(count(&store), left, "in small steps");
    }
    let waiting: Vec<_> = store.waiting(1000).unwrap().iter().map(|w| w.row).collect();
    assert_eq!(waiting, [2500]);
    let left = store.outbox(&Filter::default(), Page::Last(10)).unwrap();
    let left: Vec<_> = left.iter().map(|row| (&*row.key, row.state)).collect();
    assert_eq!(left, [("open", OutState::Numbered), ("doubt", OutState::Doubt)]);
    assert_eq!(store.begin(&tenure(2)).unwrap().last_number, 2, "numbers are not forgotten");
    store.commit(&[Write::Receive(record(900_000))]).unwrap();
    assert_eq!(store.waiting(9).unwrap()[1].row, 2501, "nor are rows given again");
}

#[test]
fn the_last_that_was_on_the_line_is_not_forgotten_however_old() {
    let (_dir, file) = place();
    let (mut store, _) = begun(&file, 1);
    store.begin(&Tenure { shared: true, ..tenure(1) }).unwrap();
    let mut ledger = Ledger::new(0);
    for (number, key) in [(1, "first"), (2, "last")] {
        post(&mut store, &tenure(1), key);
        let posting = store.next_posting(&ledger).unwrap().unwrap();
        take(&mut store, &mut ledger, posting);
        ledger.settle();
        store.commit(&[settle(number)]).unwrap();
    }
    let last = LastSent::Known(text(2, "last"));
    assert_eq!(store.last_sent().unwrap(), last);
    age(&store, DAY + Duration::from_secs(60));
    assert_eq!(store.tidy(DAY).unwrap(), Tidied::Done);
    let left = store.outbox(&Filter::default(), Page::Last(9)).unwrap();
    assert_eq!(left.iter().map(|row| &*row.key).collect::<Vec<_>>(), ["last"]);
    assert_eq!(store.last_sent().unwrap(), last);
}

/// All that is there is older by that.
fn age(store: &SqliteStore, by: Duration) {
    let by = i64::try_from(by.as_millis()).unwrap();
    store.db.execute("UPDATE inbox SET received_at = received_at - ?1", [by]).unwrap();
    store.db.execute("UPDATE outbox SET settled_at = settled_at - ?1", [by]).unwrap();
}

#[test]
fn a_clock_that_leaps_forward_empties_no_store() {
    let (_dir, file) = place();
    let (mut store, _) = begun(&file, 1);
    store.commit(&[0, 42].map(|start| Write::Receive(record(start)))).unwrap();
    store.handled(&[1, 2].map(|row| Done { row, reply: None })).unwrap();
    // Seen from the new time, all that is there is a year old; and a record comes.
    age(&store, DAY * 365);
    store.commit(&[Write::Receive(record(84))]).unwrap();
    let left = |store: &SqliteStore| store.inbox(&Filter::default(), Page::Last(9)).unwrap().len();
    assert_eq!(store.tidy(DAY).unwrap(), Tidied::Leapt);
    assert_eq!(left(&store), 3);
    // Rows of the new time grow old: it was no mistake.
    store.handled(&[Done { row: 3, reply: None }]).unwrap();
    age(&store, DAY + Duration::from_secs(60));
    assert_eq!(store.tidy(DAY).unwrap(), Tidied::Done);
    assert_eq!(left(&store), 0);
}

const DAY: Duration = Duration::from_secs(86_400);

#[test]
fn a_newer_store_and_another_program_s_database_are_refused() {
    let (_dir, file) = place();
    let (store, _) = begun(&file, 1);
    store.db.pragma_update(None, "user_version", 99).unwrap();
    drop(store);
    let error = SqliteStore::open(&file).unwrap_err();
    assert!(error.to_string().contains("a newer release (version 99"), "{error}");
    assert_eq!(error.exit(), Exit::Usage);
    let (_dir, file) = place();
    rusqlite::Connection::open(&file).unwrap().execute_batch("CREATE TABLE mine (a)").unwrap();
    let error = SqliteStore::open(&file).unwrap_err();
    assert!(error.to_string().contains("a database of another program"), "{error}");
    fs::write(&file, "no database at all, and long enough to be looked at ".repeat(20)).unwrap();
    let error = SqliteStore::open(&file).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    let (_dir, file) = place();
    fs::write(&file, "").unwrap();
    let error = SqliteStore::open_read_only(&file).unwrap_err();
    assert!(error.to_string().contains("no node has used it yet"), "{error}");
}

#[test]
fn nodes_that_open_a_new_file_at_the_same_moment_all_get_it() {
    let (_dir, file) = place();
    let opened: Vec<_> = (0..8)
        .map(|_| {
            let file = file.clone();
            thread::spawn(move || SqliteStore::open(&file).map(drop))
        })
        .collect();
    for opened in opened {
        opened.join().unwrap().unwrap();
    }
}

#[test]
fn its_files_are_for_its_owner_and_group_and_its_log_stays_small() {
    let (_dir, file) = place();
    let (mut store, _) = begun(&file, 1);
    let wal = file.with_file_name("store-wal");
    for n in 0..40 {
        let records = (0..500).map(|m| Write::Receive(record((n * 500 + m) * 42)));
        store.commit(&records.collect::<Vec<_>>()).unwrap();
    }
    for file in [&file, &wal, &file.with_file_name("store-shm")] {
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o137, 0, "{} has {mode:o}", file.display());
    }
    let (size, log) = (file.metadata().unwrap().len(), wal.metadata().unwrap().len());
    assert!(size > 1 << 20 && log < 8 << 20, "{size} and {log} bytes");
    let mode: String = store.db.pragma_query_value(None, "journal_mode", |r| r.get(0)).unwrap();
    let sync: i64 = store.db.pragma_query_value(None, "synchronous", |row| row.get(0)).unwrap();
    assert_eq!((&*mode, sync), ("wal", 2), "2 is FULL");
}

#[test]
fn a_lock_that_stays_is_said() {
    let (_dir, file) = place();
    let (mut store, _) = begun(&file, 1);
    let other = SqliteStore::open(&file).unwrap();
    other.db.execute_batch("BEGIN IMMEDIATE").unwrap();
    let busy = store.commit(&[Write::Receive(record(0))]).unwrap_err();
    assert!(matches!(busy, StoreError::Busy { .. }), "{busy}");
    assert_eq!(busy.exit(), Exit::TemporaryFailure);
    // Readers are never kept waiting.
    assert_eq!(store.waiting(1).unwrap(), []);
    other.db.execute_batch("ROLLBACK").unwrap();
    store.commit(&[Write::Receive(record(0))]).unwrap();
}
