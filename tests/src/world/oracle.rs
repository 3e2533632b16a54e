//! The invariants, judged from outside by what happens on the simulated wire and at the
//! simulated calls. The first broken one ends the run.

use std::collections::{BTreeMap, BTreeSet};

use wire::Epoch;

use super::billing::{ETX, STX, parse_answer, wants_answer};
use super::clock::{MS, True};

/// What the judge knows.
#[derive(Debug, Default)]
pub struct Oracle {
    /// The first broken invariant.
    pub violation: Option<String>,
    /// By policy an answer may be cut short by the end of its grant.
    pub cut_allowed: bool,
    /// The grant in force.
    holder: Option<Epoch>,
    /// The grant under which the answer that is being written began; `None`: not to be judged.
    began: Option<Epoch>,
    /// The next answer was begun once before: its device vanished.
    again: bool,
    /// Which node each epoch was granted to.
    grants: BTreeMap<Epoch, usize>,
    /// The highest epoch that was granted (I5).
    granted: Epoch,
    /// The epoch of the last answer on the wire (I2).
    on_wire: Epoch,
    /// The answer that is being written.
    partial: Vec<u8>,
    /// Records whose answers are complete on the wire.
    answered: BTreeSet<u32>,
    /// Records that a component took without an answer.
    taken: BTreeSet<u32>,
    /// Records that had been sent, whole or in part.
    sent: u32,
    /// Records that a killed terminal server may have had in its memory.
    excused: BTreeSet<u32>,
    /// Nothing happens that may cost a failover.
    pub quiet: bool,
    /// The coordinator must stay the same node.
    pub steady: bool,
    /// The terminal server's state was put back to what it had been.
    put_back: bool,
    /// For which node the free line is kept, and until when by true time.
    kept: Option<(usize, True)>,
}

/// What is known of the claim that was granted.
#[derive(Debug, Clone, Copy)]
pub struct Claimed {
    /// Who claimed.
    pub node: usize,
    /// The highest epoch it had seen.
    pub seen: Epoch,
    /// The end of its connection lay unread.
    pub dead: bool,
}

impl Oracle {
    /// Something is broken.
    pub fn fail(&mut self, text: String) {
        self.violation.get_or_insert(text);
    }

    /// A node was granted the line.
    pub fn granted(&mut self, epoch: Epoch, claimed: Claimed, now: True) {
        let Claimed { node, seen, dead } = claimed;
        if dead {
            self.fail(format!("epoch {epoch} was granted to the dead node {node}"));
        }
        if epoch <= self.granted {
            // State that was put back can be known only by a claim that has seen more.
            if !self.put_back || seen >= epoch {
                self.fail(format!("I5: epoch {epoch} granted after {}", self.granted));
            }
            self.on_wire = Epoch::NONE;
        }
        if let Some((kept, _)) = self.kept.take().filter(|(k, until)| *k != node && now < *until) {
            self.fail(format!("node {node} was granted a line that was kept for node {kept}"));
        }
        if self.quiet && !self.grants.is_empty() {
            self.fail(format!("needless failover to node {node}, epoch {epoch}"));
        }
        if self.steady && self.grants.values().any(|n| *n != node) {
            self.fail(format!("node {node} took the line from an incumbent that was well"));
        }
        self.granted = self.granted.max(epoch);
        self.holder = Some(epoch);
        self.grants.insert(epoch, node);
    }

    /// A node believes that it was granted the line.
    pub fn believes_grant(&mut self, node: usize, epoch: Epoch) {
        if self.grants.get(&epoch) != Some(&node) {
            self.fail(format!("I1: node {node} believes in epoch {epoch}, which is not its own"));
        }
    }

    /// The highest epoch that was granted.
    pub fn highest_granted(&self) -> Epoch {
        self.granted
    }

    /// The grant in force has ended; the line may be kept for a node until then.
    pub fn ended(&mut self, kept: Option<(usize, True)>) {
        self.holder = None;
        self.kept = kept;
    }

    /// A terminal server has started; the line may be kept for a node until then.
    pub fn started(&mut self, kept: Option<(usize, True)>) {
        self.kept = kept;
    }

    /// Its disk shows an older state from now on.
    pub fn state_put_back(&mut self) {
        self.put_back = true;
    }

    /// An answer is begun and not finished.
    pub fn mid_answer(&self) -> bool {
        !self.partial.is_empty()
    }

    /// Bytes were handed to the tty, hence are on the wire in this order.
    pub fn wire(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if *byte == STX && self.cut_allowed {
                self.partial.clear();
            }
            if *byte == STX && !self.partial.is_empty() {
                let torn = String::from_utf8_lossy(&self.partial).into_owned();
                return self.fail(format!("I2: an answer begins inside {torn:?}"));
            }
            if self.partial.is_empty() && *byte != STX {
                return self.fail("I2: bytes on the wire outside an answer".into());
            }
            if *byte == STX {
                let again = std::mem::take(&mut self.again);
                self.began = if again { None } else { self.holder.or(Some(Epoch::NONE)) };
            }
            self.partial.push(*byte);
            if *byte == ETX {
                let whole = std::mem::take(&mut self.partial);
                self.answer(&whole);
            }
        }
    }

    fn answer(&mut self, bytes: &[u8]) {
        let Some(answer) = parse_answer(bytes) else {
            return self.fail("I2: two answers are mixed on the wire".into());
        };
        if self.began.is_some_and(|holder| holder != answer.epoch) {
            let text = format!("I1: epoch {} wrote although it had not the line", answer.epoch);
            return self.fail(text);
        }
        if answer.epoch < self.on_wire {
            let text = format!("I2: bytes of epoch {} after epoch {}", answer.epoch, self.on_wire);
            return self.fail(text);
        }
        self.on_wire = answer.epoch;
        if self.grants.get(&answer.epoch) != Some(&answer.node) {
            let text = format!("I1: node {} wrote under epoch {}", answer.node, answer.epoch);
            return self.fail(text);
        }
        if !self.answered.insert(answer.number) {
            self.fail(format!("I3: record {} was answered twice", answer.number));
        }
    }

    /// The billing system begins to send a record.
    pub fn record_sent(&mut self, number: u32) {
        self.sent = self.sent.max(number + 1);
    }

    /// A component took a record that wants no answer.
    pub fn record_taken(&mut self, number: u32) {
        self.taken.insert(number);
    }

    /// The terminal server was killed: what it had in memory may be lost, and is reported as a
    /// gap; an answer may be torn.
    pub fn server_killed(&mut self) {
        let open = (0..self.sent).filter(|n| !self.answered.contains(n) && !self.taken.contains(n));
        let open: Vec<_> = open.collect();
        self.excused.extend(open);
        self.partial.clear();
        self.again = false;
        self.holder = None;
        self.kept = None;
    }

    /// The adapter was pulled, or the terminal server stopped meanwhile: what was being written is
    /// torn, and will be written again.
    pub fn interrupted(&mut self) {
        self.again |= !self.partial.is_empty();
        self.partial.clear();
    }

    /// Bytes of a record came while no terminal server ran.
    pub fn excuse(&mut self, number: u32) {
        self.excused.insert(number);
    }

    /// Records that somebody still has to deal with.
    pub fn open(&self) -> usize {
        let done = |n: &u32| match wants_answer(*n) {
            true => self.answered.contains(n),
            false => self.taken.contains(n),
        };
        (0..self.sent).filter(|n| !done(n) && !self.excused.contains(n)).count()
    }

    /// Records that were dealt with.
    pub fn done(&self) -> usize {
        self.answered.len() + self.taken.len()
    }

    /// A node handed output or an acknowledgement to its socket.
    pub fn write(&mut self, node: usize, now: True, may_write_until: True) {
        if now >= may_write_until {
            let late = (now - may_write_until) as f64 / MS as f64;
            self.fail(format!("I4: node {node} wrote {late:.3} ms after its lease"));
        }
    }

    /// The terminal server ended a lease.
    pub fn expired(&mut self, renewal_unread: bool) {
        if renewal_unread {
            self.fail("a lease was judged expired while its renewal lay unread".into());
        }
    }

    /// A node takes its lease to last until `until`; the terminal server gives it until `given`.
    pub fn lease(&mut self, node: usize, until: True, given: True) {
        if until > given {
            let more = (until - given) as f64 / MS as f64;
            self.fail(format!("I4: node {node} counts on {more:.3} ms more than it was given"));
        }
    }

    /// A payload runs although its node has had no valid lease for `late`.
    pub fn payload_outlives(&mut self, node: usize, late: True) {
        if late > 50 * MS {
            self.fail(format!(
                "I7: the payload of node {node} outlived its lease by {} ms",
                late / MS
            ));
        }
    }
}
