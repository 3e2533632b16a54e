//! What the stories share: a store of a test's own, tenures, charges.

use std::path::PathBuf;

use billing::gateway::{HandledBy, Outcome, Record};
use billing::ledger::Outstanding;
use billing::{Charge, Ledger, Posting, Write};
use bytes::Bytes;
use tempfile::TempDir;
use wire::Epoch;

use super::super::desk::{Counter, Wanted};
use super::super::{Handling, OutState, SqliteStore, Standing, Store, Tenure};

pub(super) fn place() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("store");
    (dir, file)
}

pub(super) fn tenure(epoch: u32) -> Tenure {
    Tenure {
        line: "pms".parse().unwrap(),
        epoch: Epoch::new(7, epoch),
        incarnation: 70,
        node: "a".parse().unwrap(),
        shared: false,
        handling: Handling::Records,
    }
}

/// A store whose tenure has begun.
pub(super) fn begun(file: &std::path::Path, epoch: u32) -> (SqliteStore, Standing) {
    let mut store = SqliteStore::open(file).unwrap();
    let standing = store.begin(&tenure(epoch)).unwrap();
    (store, standing)
}

pub(super) fn charge(key: &str) -> Charge {
    Charge {
        key: key.to_owned(),
        room: "2781".to_owned(),
        kind: billing::charge::Kind::Direct,
        amount: 1050,
        at: "2018-06-18T12:35:45".parse().unwrap(),
        duration: None,
        dialled: None,
        text: None,
    }
}

/// Adds a charge as somebody at the desk of the node with this tenure does.
pub(super) fn post(store: &mut SqliteStore, tenure: &Tenure, key: &str) {
    let counter = Counter { line: tenure.line.clone(), epoch: Some(tenure.epoch) };
    let wanted = Wanted { charge: charge(key), is_now: false };
    assert_eq!(store.add(&counter, &[wanted]).unwrap().len(), 1);
}

pub(super) fn record(start: u64) -> Record {
    Record {
        start,
        end: start + 42,
        kind: "GI".to_owned(),
        number: Some(start),
        text: Bytes::from_static(b"GI|RN2781|"),
        handled_by: HandledBy::Handler,
    }
}

pub(super) fn settle(number: u64) -> Write {
    Write::Settle { number, outcome: Outcome::Posted, answer: Bytes::from_static(b"PA|ASOK|") }
}

pub(super) fn outstanding(number: u64, key: &str) -> Outstanding {
    Outstanding { number, key: key.to_owned(), text: text(number, key) }
}

/// The record that a gateway composes of a charge and its number.
pub(super) fn text(number: u64, key: &str) -> Bytes {
    Bytes::from(format!("PS|X1{key}|P#{number}|"))
}

/// What a gateway does with a posting, up to the output; the output is not sent yet.
pub(super) fn take(store: &mut SqliteStore, ledger: &mut Ledger, posting: Posting) -> u64 {
    let (number, key, text) = match posting {
        Posting::New { id, charge } => {
            let number = ledger.last() + 1;
            let text = text(number, &charge.key);
            store.commit(&[Write::Number { id, number, text: text.clone() }]).unwrap();
            (number, charge.key, text)
        }
        Posting::Numbered { number, key, text } => (number, key, text),
    };
    ledger.send(Outstanding { number, key, text });
    number
}

/// State and number of a charge.
pub(super) fn stands(store: &SqliteStore, key: &str) -> (OutState, Option<u64>) {
    let sql = "SELECT state, number FROM outbox WHERE key = ?1";
    let row = store.db.query_row(sql, [key], |row| Ok((row.get(0)?, row.get(1)?)));
    let (state, number): (_, Option<i64>) = row.unwrap();
    (state, number.map(i64::cast_unsigned))
}
