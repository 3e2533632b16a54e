//! What becomes of rows.

use billing::gateway::{Record, Reply};
use billing::{Ledger, Posting, Write};
use bytes::Bytes;

use super::super::desk::Counter;
use super::super::{
    Done, Handling, LastSent, OutState, SqliteStore, Store, StoreError, Tenure, Waiting,
};
use super::support::{begun, outstanding, place, post, record, settle, stands, take, tenure, text};

#[test]
fn a_record_is_kept_once_however_often_it_comes() {
    let (_dir, file) = place();
    let (mut store, _) = begun(&file, 1);
    let writes = [Write::Receive(record(100)), Write::Receive(record(142))];
    store.commit(&writes[..1]).unwrap();
    store.commit(&writes).unwrap();
    assert_eq!(starts(&mut store), [100, 142]);
    // Another stream may have the same offsets.
    let mut next = tenure(2);
    next.incarnation = 71;
    store.begin(&next).unwrap();
    store.commit(&writes[..1]).unwrap();
    assert_eq!(starts(&mut store), [100, 142, 100]);
    let waiting = store.waiting(10).unwrap();
    let done: Vec<_> = waiting.iter().map(|w| Done { row: w.row, reply: None }).collect();
    store.handled(&done).unwrap();
    store.commit(&writes[..1]).unwrap();
    assert_eq!(starts(&mut store), [0; 0], "what was handled is not handled again");
}

/// Where the records start that wait for a handler.
fn starts(store: &mut SqliteStore) -> Vec<u64> {
    store.waiting(10).unwrap().iter().map(|waiting| waiting.record.start).collect()
}

#[test]
fn without_a_handler_records_are_handled_as_they_come() {
    let (_dir, file) = place();
    let (mut store, _) = begun(&file, 1);
    store.commit(&[Write::Receive(record(100))]).unwrap();
    let nobody = Tenure { handling: Handling::Nobody, ..tenure(2) };
    store.begin(&nobody).unwrap();
    store.commit(&[Write::Receive(record(142))]).unwrap();
    let standing = store.begin(&tenure(3)).unwrap();
    assert_eq!((standing.waiting, starts(&mut store)), (1, vec![100]), "what waited waits on");
    // It was not acknowledged, so it comes from the line again.
    store.commit(&[Write::Receive(record(142))]).unwrap();
    assert_eq!(starts(&mut store), [100]);
    assert_eq!(store.reply_to(142).unwrap(), Some(Reply::Ok), "whoever answers it now");
    // A command that waited for a handler is answered by a gateway without one.
    store.begin(&Tenure { epoch: tenure(4).epoch, ..nobody }).unwrap();
    store.commit(&[Write::Receive(record(100))]).unwrap();
    assert_eq!((starts(&mut store), store.reply_to(100).unwrap()), (vec![], Some(Reply::Ok)));
}

#[test]
fn commands_that_a_predecessor_left_wait_only_if_they_come_again() {
    let (_dir, file) = place();
    let mut store = SqliteStore::open(&file).unwrap();
    let commands = |epoch| Tenure { handling: Handling::Commands, ..tenure(epoch) };
    store.begin(&commands(1)).unwrap();
    store.commit(&[100, 142].map(|start| Write::Receive(record(start)))).unwrap();
    // Another node, with a store of its own, carries out and answers the first one here.
    assert_eq!(store.begin(&commands(9)).unwrap().waiting, 0);
    assert_eq!(starts(&mut store), [0; 0]);
    store.commit(&[Write::Receive(record(142))]).unwrap();
    assert_eq!(starts(&mut store), [142]);
}

#[test]
fn the_reply_is_that_to_the_newest_record_with_the_number() {
    let (_dir, file) = place();
    let (mut store, _) = begun(&file, 1);
    let numbered = |start| Write::Receive(Record { number: Some(5), ..record(start) });
    store.commit(&[numbered(100), numbered(142)]).unwrap();
    store.handled(&[Done { row: 1, reply: Some(Reply::Ok) }]).unwrap();
    assert_eq!(store.reply_to(5).unwrap(), None);
    store.handled(&[Done { row: 2, reply: Some(Reply::Error(*b"07")) }]).unwrap();
    assert_eq!(store.reply_to(5).unwrap(), Some(Reply::Error(*b"07")));
}

#[test]
fn handlers_get_records_in_order_and_their_replies_are_kept() {
    let (_dir, file) = place();
    let (mut store, _) = begun(&file, 1);
    let kept = Record { handled_by: billing::gateway::HandledBy::Nobody, ..record(50) };
    let records = [record(100), kept, record(7)].map(Write::Receive);
    store.commit(&records).unwrap();
    let waiting = store.waiting(10).unwrap();
    let [Waiting { row, record: first, incarnation }, second] = &waiting[..] else {
        panic!("{waiting:?}")
    };
    assert_eq!((first, &second.record, *incarnation), (&record(100), &record(7), 70));
    assert_eq!(store.waiting(1).unwrap(), waiting[..1]);
    assert_eq!(store.reply_to(100).unwrap(), None);
    let done = |reply| Done { row: *row, reply: Some(reply) };
    store.handled(&[done(Reply::Error(*b"07"))]).unwrap();
    store.handled(&[done(Reply::Ok)]).unwrap();
    assert_eq!(store.reply_to(100).unwrap(), Some(Reply::Error(*b"07")), "the first counts");
    assert_eq!(store.waiting(10).unwrap(), std::slice::from_ref(second));
}

#[test]
fn a_charge_is_numbered_once_and_settled_once() {
    let (_dir, file) = place();
    let (mut store, _) = begun(&file, 1);
    post(&mut store, &tenure(1), "k1");
    let mut ledger = Ledger::new(0);
    let posting = store.next_posting(&ledger).unwrap().unwrap();
    let Posting::New { id, .. } = posting else { panic!("{posting:?}") };
    let number = |number| Write::Number { id, number, text: text(number, "k1") };
    assert_eq!(take(&mut store, &mut ledger, posting), 1);
    store.commit(&[number(1)]).unwrap();
    let again = store.commit(&[number(2)]);
    assert!(matches!(again, Err(StoreError::Misuse { .. })), "{again:?}");
    assert_eq!(stands(&store, "k1"), (OutState::Numbered, Some(1)));
    assert_eq!(store.next_posting(&ledger).unwrap(), None, "it is the gateway's");
    ledger.settle();
    store.commit(&[settle(1), settle(1)]).unwrap();
    assert_eq!(stands(&store, "k1"), (OutState::Posted, Some(1)));
    assert_eq!(store.next_posting(&ledger).unwrap(), None);
}

#[test]
fn a_failed_commit_leaves_nothing_behind() {
    let (_dir, file) = place();
    let (mut store, _) = begun(&file, 1);
    let number = Write::Number { id: 9, number: 1, text: Bytes::new() };
    assert!(store.commit(&[Write::Receive(record(0)), number]).is_err());
    assert_eq!(store.waiting(10).unwrap(), []);
}

/// The rows of the table in docs/store.md, one by one.
#[test]
fn what_a_predecessor_left_is_judged_by_the_ledger() {
    let numbered = || {
        let (dir, file) = place();
        let (mut store, _) = begun(&file, 1);
        post(&mut store, &tenure(1), "k");
        post(&mut store, &tenure(1), "later");
        let mut ledger = Ledger::new(5);
        let posting = store.next_posting(&ledger).unwrap().unwrap();
        assert_eq!(take(&mut store, &mut ledger, posting), 6);
        store.begin(&tenure(3)).unwrap();
        (dir, store)
    };
    let sent = |keys: &[&str]| {
        let mut ledger = Ledger::new(5);
        for (number, key) in (6..).zip(keys) {
            ledger.settle();
            ledger.send(outstanding(number, key));
        }
        ledger
    };
    let next = |ledger: &Ledger| {
        let (_dir, mut store) = numbered();
        let posting = store.next_posting(ledger).unwrap();
        let key = posting.map(|posting| match posting {
            Posting::New { charge, .. } => format!("new {}", charge.key),
            Posting::Numbered { number, key, text: same } => {
                assert_eq!(same, text(number, &key));
                format!("{number} {key}")
            }
        });
        (key.unwrap_or_default(), stands(&store, "k").0)
    };
    let settled = |keys: &[&str]| {
        let mut ledger = sent(keys);
        ledger.settle();
        ledger
    };
    assert_eq!(next(&sent(&["k"])), (String::new(), OutState::Numbered), "outstanding");
    assert_eq!(next(&settled(&["k"])), ("new later".into(), OutState::Elsewhere), "settled");
    assert_eq!(next(&sent(&[])), ("6 k".into(), OutState::Numbered), "unused, and next");
    assert_eq!(next(&settled(&["x"])), ("new k".into(), OutState::New), "taken");
    assert_eq!(next(&settled(&["x", "k"])), ("new later".into(), OutState::Elsewhere), "sent");
    assert_eq!(next(&Ledger::new(3)), ("new later".into(), OutState::Doubt), "unused, not next");
    assert_eq!(next(&Ledger::new(6)), ("new later".into(), OutState::Doubt), "unknown");
}

#[test]
fn another_stream_s_ledger_proves_nothing_unless_the_store_is_shared() {
    for (shared, state) in [(false, OutState::Doubt), (true, OutState::Numbered)] {
        let (_dir, file) = place();
        let (mut store, _) = begun(&file, 1);
        post(&mut store, &tenure(1), "k");
        let mut ledger = Ledger::new(0);
        let posting = store.next_posting(&ledger).unwrap().unwrap();
        take(&mut store, &mut ledger, posting);
        // The terminal server was killed: a new stream, and no note.
        let mut next = tenure(2);
        (next.incarnation, next.shared) = (71, shared);
        let standing = store.begin(&next).unwrap();
        let ledger = Ledger::new(standing.last_number);
        let posting = store.next_posting(&ledger).unwrap();
        let again = Posting::Numbered { number: 1, key: "k".into(), text: text(1, "k") };
        assert_eq!(posting, shared.then_some(again));
        assert_eq!(stands(&store, "k").0, state);
    }
}

#[test]
fn what_the_note_says_is_outstanding_is_adopted() {
    let (_dir, file) = place();
    let (mut store, _) = begun(&file, 1);
    for key in ["new", "numbered"] {
        post(&mut store, &tenure(1), key);
    }
    let adopt =
        |number: u64, key: &str| Write::Adopt { number, key: key.into(), text: text(number, key) };
    store.commit(&[adopt(4, "stranger"), settle(4)]).unwrap();
    store.commit(&[adopt(5, "new"), settle(5), adopt(5, "new")]).unwrap();
    assert_eq!(stands(&store, "stranger"), (OutState::Posted, Some(4)));
    assert_eq!(stands(&store, "new"), (OutState::Posted, Some(5)), "its end stays known");
    // Numbered here, but the line says that the number is another's: it never was on the line.
    let mut ledger = Ledger::new(5);
    let posting = store.next_posting(&ledger).unwrap().unwrap();
    take(&mut store, &mut ledger, posting);
    store.commit(&[adopt(6, "other")]).unwrap();
    assert_eq!(stands(&store, "numbered"), (OutState::New, None));
    assert_eq!(stands(&store, "other"), (OutState::Numbered, Some(6)));
    store.commit(&[adopt(7, "numbered")]).unwrap();
    assert_eq!(stands(&store, "numbered"), (OutState::Numbered, Some(7)));
    assert_eq!(store.begin(&tenure(2)).unwrap().last_number, 7);
}

#[test]
fn charges_from_before_an_absence_that_nobody_remembers_are_in_doubt() {
    for (others, state) in [(64, OutState::New), (65, OutState::Doubt)] {
        let (_dir, file) = place();
        let (mut store, _) = begun(&file, 1);
        post(&mut store, &tenure(1), "before");
        store.begin(&tenure(9)).unwrap();
        post(&mut store, &tenure(9), "after");
        let mut ledger = Ledger::new(0);
        for number in 1..=others {
            ledger.settle();
            ledger.send(outstanding(number, &format!("x{number}")));
        }
        ledger.settle();
        let posting = store.next_posting(&ledger).unwrap();
        assert!(matches!(posting, Some(Posting::New { .. })), "{posting:?}");
        assert_eq!(stands(&store, "before").0, state, "{others}");
        assert_eq!(stands(&store, "after").0, OutState::New);
        assert_eq!(store.begin(&tenure(10)).unwrap().last_number, others);
    }
}

#[test]
fn the_last_record_is_known_for_sure_by_a_shared_store_or_a_person() {
    let (_dir, file) = place();
    let (mut store, _) = begun(&file, 1);
    let known = |text: &[u8]| LastSent::Known(Bytes::copy_from_slice(text));
    assert_eq!(store.last_sent().unwrap(), LastSent::Unused);
    store.begin(&Tenure { shared: true, ..tenure(1) }).unwrap();
    assert_eq!(store.last_sent().unwrap(), known(b""));
    store.begin(&tenure(1)).unwrap();
    for key in ["k1", "k2", "k3"] {
        post(&mut store, &tenure(1), key);
    }
    let mut ledger = Ledger::new(0);
    for number in [1, 2] {
        let posting = store.next_posting(&ledger).unwrap().unwrap();
        assert_eq!(take(&mut store, &mut ledger, posting), number);
        store.commit(&[settle(number)]).unwrap();
        ledger.settle();
    }
    // One that did not fit its record has a number and no text, and was not on the line.
    let Some(Posting::New { id, .. }) = store.next_posting(&ledger).unwrap() else { panic!() };
    let number = Write::Number { id, number: 3, text: Bytes::new() };
    store.commit(&[number, settle(3)]).unwrap();
    assert_eq!(store.last_sent().unwrap(), LastSent::Unknown);
    store.begin(&Tenure { shared: true, ..tenure(2) }).unwrap();
    assert_eq!(store.last_sent().unwrap(), known(&text(2, "k2")));
    // A person's word counts for one stream, until there is a newer number.
    store.begin(&tenure(3)).unwrap();
    let counter = Counter { line: tenure(3).line, epoch: Some(tenure(3).epoch) };
    store.tell_last(&counter, "417C").unwrap();
    assert_eq!(store.last_sent().unwrap(), known(b"417C"));
    store.begin(&Tenure { incarnation: 71, ..tenure(4) }).unwrap();
    assert_eq!(store.last_sent().unwrap(), LastSent::Unknown);
    assert!(store.tell_last(&counter, "001A").is_err(), "its grant has ended");
    store.begin(&tenure(5)).unwrap();
    post(&mut store, &tenure(5), "k4");
    let mut ledger = Ledger::new(3);
    let posting = store.next_posting(&ledger).unwrap().unwrap();
    assert_eq!(take(&mut store, &mut ledger, posting), 4);
    assert_eq!(store.last_sent().unwrap(), LastSent::Unknown);
}

#[test]
fn a_store_that_knows_a_number_and_not_its_record_does_not_know_the_last() {
    let (_dir, file) = place();
    let (mut store, _) = begun(&file, 1);
    // A note has told of 417 numbers, and the node that sent them has gone.
    assert_eq!(store.next_posting(&Ledger::new(417)).unwrap(), None);
    assert_eq!(store.last_sent().unwrap(), LastSent::Unknown);
    let shared = |epoch| Tenure { shared: true, ..tenure(epoch) };
    store.begin(&shared(2)).unwrap();
    assert_eq!(store.last_sent().unwrap(), LastSent::Unknown, "records of before are elsewhere");
    post(&mut store, &shared(2), "k1");
    let mut ledger = Ledger::new(417);
    let posting = store.next_posting(&ledger).unwrap().unwrap();
    assert_eq!(take(&mut store, &mut ledger, posting), 418);
    assert_eq!(store.last_sent().unwrap(), LastSent::Known(text(418, "k1")));
}
