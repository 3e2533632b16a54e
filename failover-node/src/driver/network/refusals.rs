//! Datagrams that were refused: counted for ever by cause, remembered for a while by sender.

use std::collections::BTreeMap;
use std::time::Duration;

use wire::Time;

use crate::core::diagnosis::RefusalFacts;

/// All of one node.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    causes: BTreeMap<&'static str, Refused>,
    /// By cause and whom it is about.
    recent: BTreeMap<(&'static str, String), Recent>,
}

/// Datagrams that were refused for one cause.
#[derive(Debug, Default)]
struct Refused {
    count: u64,
    logged: Option<Time>,
}

#[derive(Debug)]
struct Recent {
    why: String,
    last: Time,
}

impl Refusals {
    /// One more. `about` is the sender's address, or the foreign group.
    pub(super) fn add(&mut self, cause: &'static str, why: String, about: String, now: Time) {
        let refused = self.causes.entry(cause).or_default();
        refused.count += 1;
        // A stranger who sends thousands must not fill the log.
        if refused.logged.is_none_or(|at| now.since(at) >= LOG_EVERY) {
            refused.logged = Some(now);
            tracing::warn!(cause, why, from = about, total = refused.count, "datagram-refused");
        }
        let key = (cause, about);
        if self.recent.len() >= MAX_RECENT && !self.recent.contains_key(&key) {
            let oldest = self.recent.iter().min_by_key(|(_, recent)| recent.last);
            if let Some(key) = oldest.map(|(key, _)| key.clone()) {
                self.recent.remove(&key);
            }
        }
        self.recent.insert(key, Recent { why, last: now });
    }

    /// How many for each cause, since the start.
    pub(super) fn counts(&self) -> BTreeMap<String, u64> {
        self.causes.iter().map(|(cause, r)| ((*cause).to_owned(), r.count)).collect()
    }

    pub(super) fn facts(&self) -> Vec<RefusalFacts<'_>> {
        self.recent
            .iter()
            .map(|((cause, about), recent)| RefusalFacts {
                cause,
                about,
                why: &recent.why,
                last: recent.last,
            })
            .collect()
    }
}

/// At most one line per cause and minute.
const LOG_EVERY: Duration = Duration::from_secs(60);
/// Senders that are remembered: more than a group has members, and a stranger with many addresses
/// fills no memory.
const MAX_RECENT: usize = 32;
