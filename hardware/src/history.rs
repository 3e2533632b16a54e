//! Who held the line, by the terminal server's own word.

use std::time::Duration;

use serde::Serialize;
use wire::Epoch;

use crate::chain::SERVER;
use crate::deed::Deed;
use crate::drill::{Held, epoch};
use crate::saying::Saying;
use crate::timeline::{Entry, Source, What, as_micros, maybe_micros};

/// Every grant of a run, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct History {
    /// The grants.
    pub tenures: Vec<Tenure>,
    /// What must never be: two holders at a time, or an epoch that did not grow.
    pub violations: Vec<String>,
}

/// One grant, from its beginning to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tenure {
    /// Who had it.
    pub node: String,
    /// Its number.
    #[serde(serialize_with = "epoch")]
    pub epoch: Epoch,
    /// When it was given.
    #[serde(rename = "from_us", serialize_with = "as_micros")]
    pub from: Duration,
    /// When it ended; nothing while it goes on.
    #[serde(rename = "until_us", serialize_with = "maybe_micros")]
    pub until: Option<Duration>,
    /// Why it ended.
    pub cause: Option<String>,
}

impl History {
    /// From a timeline's entries, in order of time.
    pub fn of(entries: &[Entry]) -> Self {
        let mut history = Self::default();
        for entry in entries {
            match &entry.what {
                What::Said(saying) if entry.source == Source::Server => {
                    history.handle_saying(saying, entry.at);
                }
                // Killed, it can say no more; its sockets are closed and its grants with them.
                What::Did(Deed::Killed { program, .. }) if program == SERVER => {
                    history.end(entry.at, "killed");
                }
                _ => {}
            }
        }
        history
    }

    /// Who has the line.
    pub fn holder(&self) -> Option<Held> {
        let last = self.tenures.last().filter(|tenure| tenure.until.is_none())?;
        Some(Held { node: last.node.clone(), epoch: last.epoch, since: last.from })
    }

    fn handle_saying(&mut self, saying: &Saying, at: Duration) {
        match (saying.word.as_str(), saying.epoch()) {
            ("granted", Some(epoch)) => {
                let node = saying.text("node").unwrap_or("nobody").to_owned();
                self.grant(Tenure { node, epoch, from: at, until: None, cause: None });
            }
            ("ended", Some(epoch)) => {
                if self.holder().is_none_or(|held| held.epoch != epoch) {
                    self.violations.push(format!("grant {epoch} ended, which nobody had"));
                }
                self.end(at, saying.text("cause").unwrap_or("unknown"));
            }
            ("granted" | "ended", None) => {
                self.violations.push(format!("a grant without a number: {}", saying.details()));
            }
            _ => {}
        }
    }

    fn grant(&mut self, tenure: Tenure) {
        if let Some(last) = self.tenures.last() {
            let (old, new) = (&last.node, &tenure.node);
            match last.until {
                None => self.violations.push(format!(
                    "two holders: {new} was granted {} while {old} had {}",
                    tenure.epoch, last.epoch
                )),
                Some(until) if until > tenure.from => self.violations.push(format!(
                    "two holders: {new} was granted {} before {} of {old} had ended",
                    tenure.epoch, last.epoch
                )),
                Some(_) => {}
            }
            if tenure.epoch <= last.epoch {
                self.violations
                    .push(format!("epoch {} came after epoch {}", tenure.epoch, last.epoch));
            }
        }
        self.tenures.push(tenure);
    }

    fn end(&mut self, at: Duration, cause: &str) {
        if let Some(last) = self.tenures.last_mut().filter(|last| last.until.is_none()) {
            last.until = Some(at);
            last.cause = Some(cause.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(at: u64, fields: &str) -> Entry {
        let line =
            format!(r#"{{"boottime":{at}.5,"level":"INFO","target":"t","fields":{{{fields}}}}}"#);
        let saying = Saying::parse(&line).unwrap();
        Entry { at: saying.at, source: Source::Server, what: What::Said(saying) }
    }

    fn granted(at: u64, node: &str, epoch: &str) -> Entry {
        said(at, &format!(r#""message":"granted","node":"{node}","epoch":"{epoch}""#))
    }

    fn ended(at: u64, epoch: &str) -> Entry {
        said(at, &format!(r#""message":"ended","epoch":"{epoch}","cause":"closed""#))
    }

    #[test]
    fn i1_grants_that_follow_each_other_are_in_order() {
        let entries = [granted(1, "a", "7.1"), ended(2, "7.1"), granted(3, "b", "7.2")];
        let history = History::of(&entries);
        assert_eq!(history.violations, [""; 0]);
        assert_eq!(history.tenures[0].cause.as_deref(), Some("closed"));
        let held = history.holder().unwrap();
        assert_eq!((held.node.as_str(), held.epoch), ("b", Epoch::new(7, 2)));
        assert_eq!(History::of(&entries[..2]).holder(), None);
    }

    #[test]
    fn i1_two_holders_are_found() {
        let entries = [granted(1, "a", "7.1"), granted(3, "b", "7.2")];
        let violations = History::of(&entries).violations;
        assert_eq!(violations, ["two holders: b was granted 7.2 while a had 7.1"]);
    }

    #[test]
    fn i5_an_epoch_that_does_not_grow_is_found() {
        let entries = [granted(1, "a", "7.2"), ended(2, "7.2"), granted(3, "b", "7.2")];
        assert_eq!(History::of(&entries).violations, ["epoch 7.2 came after epoch 7.2"]);
    }

    #[test]
    fn a_killed_terminal_server_holds_nothing() {
        let killed = Deed::Killed { program: SERVER.to_owned(), pid: 1 };
        let killed =
            Entry { at: Duration::from_secs(2), source: Source::Lab, what: What::Did(killed) };
        let history = History::of(&[granted(1, "a", "7.1"), killed, granted(3, "a", "8.1")]);
        assert_eq!(history.violations, [""; 0]);
    }
}
