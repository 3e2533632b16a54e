//! Nodes with stores of their own, callers that try again, and a line that remembers: no charge is
//! ever posted under two numbers, and none is lost without a word.

use std::collections::{BTreeMap, VecDeque};

use billing::{Ledger, Write};
use proptest::prelude::*;
use tempfile::TempDir;

use super::super::{OutState, SqliteStore, Store};
use super::support::{post, settle, take, tenure, text};

/// Nodes of the group, each with a store of its own.
const NODES: usize = 3;

/// What happens next.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// A caller posts a charge at the coordinator.
    Post,
    /// The caller of a charge, counted from the newest, was not sure and posts it again.
    Retry(usize),
    /// The coordinator composes the next charge.
    Take,
    /// The first of its outputs leaves, to its last byte.
    Leave,
    /// The billing system's answer is here.
    Answer,
    /// All of these for so many new charges.
    Many(usize),
    /// Another node takes over; whether the output that is just leaving is finished.
    Takeover { to: usize, finished: bool },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Post),
        2 => (0..40_usize).prop_map(Step::Retry),
        5 => Just(Step::Take),
        5 => Just(Step::Leave),
        4 => Just(Step::Answer),
        1 => (1..70_usize).prop_map(Step::Many),
        2 => (0..NODES, any::<bool>())
            .prop_map(|(to, finished)| Step::Takeover { to, finished }),
    ]
}

/// An output on its way: the ledger after it, and the charge in it.
struct Output {
    note: Ledger,
    charge: Option<(u64, String)>,
}

struct World {
    _dir: TempDir,
    stores: Vec<SqliteStore>,
    leader: usize,
    epoch: u32,
    /// The note in effect.
    note: Ledger,
    /// The coordinator's own.
    ledger: Ledger,
    outputs: VecDeque<Output>,
    /// What the billing system has, by number.
    posted: BTreeMap<u64, String>,
    /// The last number on the line when each charge was accepted first.
    accepted: Vec<u64>,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let open = |node: usize| {
            let store = SqliteStore::open(&dir.path().join(node.to_string())).unwrap();
            // What a disk does is not in question here.
            store.db.pragma_update(None, "synchronous", "OFF").unwrap();
            store
        };
        let stores = (0..NODES).map(open).collect();
        let mut world = Self {
            _dir: dir,
            stores,
            leader: 0,
            epoch: 0,
            note: Ledger::new(0),
            ledger: Ledger::new(0),
            outputs: VecDeque::new(),
            posted: BTreeMap::new(),
            accepted: Vec::new(),
        };
        world.lead(0);
        world
    }

    fn store(&mut self) -> &mut SqliteStore {
        &mut self.stores[self.leader]
    }

    fn lead(&mut self, node: usize) {
        self.leader = node;
        self.epoch += 1;
        let tenure = tenure(self.epoch);
        self.store().begin(&tenure).unwrap();
        self.ledger = self.note.clone();
        if let Some(left) = self.ledger.outstanding().cloned() {
            let (number, key, text) = (left.number, left.key.clone(), left.text);
            self.store().commit(&[Write::Adopt { number, key, text }]).unwrap();
            self.outputs
                .push_back(Output { note: self.ledger.clone(), charge: Some((number, left.key)) });
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Post => {
                self.accepted.push(self.note.last());
                let key = format!("k{}", self.accepted.len());
                self.post(&key);
            }
            Step::Retry(back) => self.retry(back),
            Step::Take => self.take(),
            Step::Leave => self.leave(),
            Step::Answer => self.answer(),
            Step::Many(count) => {
                for _ in 0..count {
                    let all = [Step::Post, Step::Take, Step::Leave, Step::Answer, Step::Leave];
                    all.into_iter().for_each(|step| self.step(step));
                }
            }
            Step::Takeover { to, finished } => {
                if finished {
                    self.leave();
                }
                self.outputs.clear();
                self.lead(to);
            }
        }
    }

    fn post(&mut self, key: &str) {
        let tenure = tenure(self.epoch);
        post(self.store(), &tenure, key);
    }

    /// A key protects a second try at another node within 32 charges on the line.
    fn retry(&mut self, back: usize) {
        let Some(index) = self.accepted.len().checked_sub(back + 1) else { return };
        if self.ledger.last() - self.accepted[index] > 32 {
            return;
        }
        let key = format!("k{}", index + 1);
        let sql = "SELECT EXISTS (SELECT 1 FROM outbox WHERE key = ?1)";
        let known: bool = self.store().db.query_row(sql, [&key], |row| row.get(0)).unwrap();
        if !known {
            self.post(&key);
        }
    }

    fn take(&mut self) {
        let (leader, ledger) = (self.leader, &mut self.ledger);
        if let Some(posting) = self.stores[leader].next_posting(ledger).unwrap() {
            let number = take(&mut self.stores[leader], ledger, posting);
            let key = ledger.outstanding().unwrap().key.clone();
            assert_eq!(ledger.outstanding().unwrap().text, text(number, &key));
            self.outputs.push_back(Output { note: ledger.clone(), charge: Some((number, key)) });
        }
    }

    fn leave(&mut self) {
        let Some(Output { note, charge }) = self.outputs.pop_front() else { return };
        self.note = note;
        if let Some((number, key)) = charge {
            let before = self.posted.insert(number, key.clone());
            assert!(before.is_none_or(|before| before == key), "{number} was another charge's");
            let numbers = self.posted.values().filter(|posted| **posted == key).count();
            assert_eq!(numbers, 1, "{key} has two numbers: {:?}", self.posted);
        }
    }

    fn answer(&mut self) {
        // An answer comes only to what has left.
        let Some(outstanding) = self.ledger.outstanding().filter(|_| self.outputs.is_empty())
        else {
            return;
        };
        let number = outstanding.number;
        self.store().commit(&[settle(number)]).unwrap();
        self.ledger.settle();
        self.outputs.push_back(Output { note: self.ledger.clone(), charge: None });
    }

    /// Lets each node in turn do all it can.
    fn finish(&mut self) {
        for node in (0..NODES).chain(0..NODES) {
            self.step(Step::Takeover { to: node, finished: true });
            while !self.outputs.is_empty() || {
                self.take();
                !self.outputs.is_empty()
            } {
                self.leave();
                self.answer();
                self.leave();
            }
        }
    }

    fn check(&self) {
        for count in 1..=self.accepted.len() {
            let key = format!("k{count}");
            let states = self.stores.iter().filter_map(|store| {
                let sql = "SELECT state FROM outbox WHERE key = ?1";
                store.db.query_row(sql, [&key], |row| row.get::<_, OutState>(0)).ok()
            });
            let states: Vec<_> = states.collect();
            let is_posted = self.posted.values().any(|posted| *posted == key);
            let is_listed = states.contains(&OutState::Doubt);
            assert!(is_posted || is_listed, "{key} is lost: {states:?}");
            for state in states {
                assert!(state.is_settled() || state == OutState::Doubt, "{key} is {state}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn no_charge_has_two_numbers_and_none_is_lost(
        steps in prop::collection::vec(step(), 1..150),
    ) {
        let mut world = World::new();
        steps.into_iter().for_each(|step| world.step(step));
        world.finish();
        world.check();
    }
}

/// A second try that waits long behind others must not be forgotten to be one.
#[test]
fn a_second_try_at_the_end_of_a_long_queue_is_not_posted_again() {
    let mut world = World::new();
    [Step::Post, Step::Take, Step::Leave].into_iter().for_each(|step| world.step(step));
    world.step(Step::Takeover { to: 1, finished: false });
    [Step::Answer, Step::Leave].into_iter().for_each(|step| world.step(step));
    (0..100).for_each(|_| world.step(Step::Post));
    world.step(Step::Takeover { to: 2, finished: false });
    (0..100).for_each(|_| world.step(Step::Post));
    world.retry(200);
    world.finish();
    world.check();
}
