//! What goes wrong on purpose, and when.
use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use billing::Misdeed;

use super::dice::Dice;

/// A fault and its schedule.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// What goes wrong.
    pub deed: Deed,
    /// When.
    pub when: When,
    /// How often at most; `None` is no limit.
    pub times: Option<u64>,
    /// As it was written, for people.
    pub text: String,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// The billing system misbehaves.
    Misdeed(Misdeed),
    /// Bytes of a record are tampered with.
    Tamper(Tamper),
    /// The next record stops in the middle for so long.
    Stall {
        /// How long.
        lasting: Duration,
    },
    /// The port does something.
    Port(PortDeed),
}

/// Bytes of one record that come out differently from how they went in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tamper {
    /// What happens to them.
    pub kind: TamperKind,
    /// To how many.
    pub count: u32,
    /// In which direction.
    pub side: Side,
}

/// What happens to a byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TamperKind {
    /// One of its bits is the other way round.
    Flip,
    /// It is missing.
    Drop,
    /// Another one is before it.
    Insert,
}

/// Seen from the billing system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// To the gateway.
    Out,
    /// From the gateway.
    In,
}

/// What a port can do to the far end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortDeed {
    /// Tell the far end to wait, by RTS or XOFF, for so long.
    Hold {
        /// How long.
        lasting: Duration,
    },
    /// Send a break of this length.
    Break {
        /// How long.
        lasting: Duration,
    },
    /// Close the port, and open it again after so long.
    Reopen {
        /// How long it is closed.
        pause: Duration,
    },
}

/// When a fault strikes. A record is an item of the load on its first way out, a charge posted, or
/// an answer to a command.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum When {
    /// After so many records.
    Record(u64),
    /// After each so many records.
    Every(u64),
    /// So long after the start.
    At(Duration),
    /// Each time so long has passed.
    Each(Duration),
    /// After any record, with this probability.
    Chance(f64),
}

/// All faults of a run.
#[derive(Debug)]
pub struct Faults {
    all: Vec<Armed>,
    records: u64,
    /// Indexes into `all`, in the order in which they struck.
    due: VecDeque<usize>,
}

#[derive(Debug)]
struct Armed {
    fault: Fault,
    dice: Dice,
    /// For those that go by the clock.
    next: Option<Duration>,
    struck: u64,
}

impl Faults {
    /// These faults, from `now` on.
    pub fn new(faults: Vec<Fault>, seed: u64, now: Duration) -> Self {
        let armed = |(index, fault): (u64, Fault)| {
            let next = match fault.when {
                When::At(after) | When::Each(after) => Some(now + after),
                When::Record(_) | When::Every(_) | When::Chance(_) => None,
            };
            Armed { fault, dice: Dice::new(seed, index), next, struck: 0 }
        };
        Self { all: (0..).zip(faults).map(armed).collect(), records: 0, due: VecDeque::new() }
    }

    /// A record has passed.
    pub fn handle_record(&mut self) {
        self.records += 1;
        for (index, armed) in self.all.iter_mut().enumerate() {
            let strikes = match armed.fault.when {
                When::Record(number) => number == self.records,
                When::Every(count) => self.records.is_multiple_of(count.max(1)),
                When::Chance(probability) => armed.dice.chance(probability),
                When::At(_) | When::Each(_) => false,
            };
            armed.strike(strikes, index, &mut self.due);
        }
    }

    /// The time is `now`.
    pub fn handle_timeout(&mut self, now: Duration) {
        for (index, armed) in self.all.iter_mut().enumerate() {
            let strikes = armed.next.is_some_and(|at| now >= at);
            if strikes {
                armed.next = match armed.fault.when {
                    // From now, not from when it was due: a host that slept makes up for nothing.
                    When::Each(after) => Some(now + after.max(LEAST_PERIOD)),
                    _ => None,
                };
            }
            armed.strike(strikes, index, &mut self.due);
        }
    }

    /// The next fault that strikes.
    pub fn poll(&mut self) -> Option<&Fault> {
        self.due.pop_front().map(|index| &self.all[index].fault)
    }

    /// When `handle_timeout` is wanted.
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.all.iter().filter_map(|armed| armed.next).min()
    }
}

impl Armed {
    fn strike(&mut self, strikes: bool, index: usize, due: &mut VecDeque<usize>) {
        if strikes && self.fault.times.is_none_or(|times| self.struck < times) {
            self.struck += 1;
            due.push_back(index);
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

/// Faults that go by the clock strike no oftener.
const LEAST_PERIOD: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(when: When, times: Option<u64>) -> Fault {
        let deed = Deed::Misdeed(Misdeed::Nak { count: 1 });
        Fault { deed, when, times, text: "nak".to_owned() }
    }

    fn strikes(faults: &mut Faults) -> usize {
        std::iter::from_fn(|| faults.poll().map(drop)).count()
    }

    #[test]
    fn records_and_times_trigger_what_waits_for_them() {
        let s = Duration::from_secs;
        let all = [
            fault(When::Record(3), None),
            fault(When::Every(2), Some(3)),
            fault(When::At(s(5)), None),
            fault(When::Each(s(2)), None),
        ];
        let mut faults = Faults::new(all.to_vec(), 1, s(100));
        let by_record: Vec<_> = (0..10)
            .map(|_| {
                faults.handle_record();
                strikes(&mut faults)
            })
            .collect();
        assert_eq!(by_record, [0, 1, 1, 1, 0, 1, 0, 0, 0, 0]);
        let mut at = Vec::new();
        while let Some(now) = faults.poll_timeout().filter(|at| *at <= s(108)) {
            faults.handle_timeout(now);
            at.push((now.as_secs() - 100, strikes(&mut faults)));
        }
        assert_eq!(at, [(2, 1), (4, 1), (5, 1), (6, 1), (8, 1)]);
    }

    #[test]
    fn chance_keeps_its_odds_and_its_seed() {
        let count = |seed| {
            let mut faults =
                Faults::new(vec![fault(When::Chance(0.2), None)], seed, Duration::ZERO);
            (0..10_000).for_each(|_| faults.handle_record());
            strikes(&mut faults)
        };
        assert!((1800..2200).contains(&count(1)), "{}", count(1));
        assert_eq!(count(1), count(1));
        assert_ne!(count(1), count(2));
    }
}
