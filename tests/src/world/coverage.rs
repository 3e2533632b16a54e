//! What the schedules met: faults, and states that only some of them reach.

use std::collections::BTreeMap;
use std::fmt;

/// Which table a word stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Done to somebody.
    Fault,
    /// Came of it.
    State,
}

/// How often each was met.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage(BTreeMap<(Class, &'static str), u64>);

impl Coverage {
    /// A fault was done.
    pub fn fault(&mut self, word: &'static str) {
        *self.0.entry((Class::Fault, word)).or_default() += 1;
    }

    /// A state was reached.
    pub fn state(&mut self, word: &'static str) {
        *self.0.entry((Class::State, word)).or_default() += 1;
    }

    /// What another schedule met.
    pub fn add(&mut self, other: &Self) {
        for (key, count) in &other.0 {
            *self.0.entry(*key).or_default() += count;
        }
    }

    /// The words of a class with their counts.
    pub fn of(&self, class: Class) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.iter().filter(move |((c, _), _)| *c == class).map(|((_, word), n)| (*word, *n))
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (class, title) in [(Class::Fault, "faults done"), (Class::State, "states met")] {
            writeln!(f, "{title}:")?;
            for (word, count) in self.of(class) {
                writeln!(f, "{count:>10}  {word}")?;
            }
        }
        Ok(())
    }
}
