//! What happened, in every program of the chain, on one clock.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Serialize, Serializer};
use sys::boottime;
use tokio::sync::{Notify, mpsc};

use crate::deed::Deed;
use crate::error::{LabError, Result};
use crate::saying::Saying;

/// All that happened so far. Clones are the same timeline.
#[derive(Debug, Clone, Default)]
pub struct Timeline {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    entries: Mutex<Vec<Entry>>,
    grown: Notify,
    follower: Mutex<Option<mpsc::UnboundedSender<Entry>>>,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// When, as [`boottime`] counts: by the clock that all processes of a host share.
    #[serde(rename = "at_us", serialize_with = "as_micros")]
    pub at: Duration,
    /// Where.
    pub source: Source,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// Where something happened.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// The lab did it.
    Lab,
    /// The terminal server said it.
    Server,
    /// A node said it.
    Node(String),
    /// The billing system saw it.
    Billing,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum What {
    /// A line of a program's log.
    Said(Saying),
    /// An event of the billing system.
    Billing(billing_sim::Event),
    /// The billing system of a dialect did or saw something.
    Exchange(billing_sim::exchange::entry::What),
    /// What the lab did to the chain.
    Did(Deed),
}

/// A point in the timeline: what comes after it happened later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// When.
    pub at: Duration,
    index: usize,
}

impl Timeline {
    /// Something happened.
    pub fn push(&self, entry: Entry) {
        if let Some(follower) = &*lock(&self.shared.follower) {
            // Who followed may have stopped.
            let _ = follower.send(entry.clone());
        }
        lock(&self.shared.entries).push(entry);
        self.shared.grown.notify_waiters();
    }

    /// The lab did something, just now.
    pub fn did(&self, deed: Deed) {
        self.push(Entry { at: boottime(), source: Source::Lab, what: What::Did(deed) });
    }

    /// The lab did something at that moment: what comes of it must not stand before it.
    pub fn did_then(&self, moment: Moment, deed: Deed) {
        self.push(Entry { at: moment.at, source: Source::Lab, what: What::Did(deed) });
    }

    /// The present.
    pub fn now(&self) -> Moment {
        let index = lock(&self.shared.entries).len();
        // Read last: what is in the timeline already happened before.
        Moment { at: boottime(), index }
    }

    /// The beginning of all.
    pub fn beginning(&self) -> Moment {
        Moment { at: Duration::ZERO, index: 0 }
    }

    /// Everything so far, in order of time.
    pub fn entries(&self) -> Vec<Entry> {
        let mut entries = lock(&self.shared.entries).clone();
        // Programs are read independently; the sort keeps the order within each.
        entries.sort_by_key(|entry| entry.at);
        entries
    }

    /// What `look` finds first since `moment`, if it is there already.
    pub fn find<T>(&self, moment: Moment, look: impl FnMut(&Entry) -> Option<T>) -> Option<T> {
        let entries = lock(&self.shared.entries);
        // What was said before and read after is not meant.
        entries[moment.index..].iter().filter(|entry| entry.at >= moment.at).find_map(look)
    }

    /// All that `look` finds since `moment`.
    pub fn all<T>(&self, moment: Moment, look: impl FnMut(&Entry) -> Option<T>) -> Vec<T> {
        let entries = lock(&self.shared.entries);
        entries[moment.index..].iter().filter(|e| e.at >= moment.at).filter_map(look).collect()
    }

    /// Waits until `look` finds something since `moment`.
    ///
    /// # Errors
    /// It found nothing within `within` from now; `what` says what was looked for.
    pub async fn wait<T>(
        &self,
        moment: Moment,
        within: Duration,
        what: impl fmt::Display,
        mut look: impl FnMut(&Entry) -> Option<T>,
    ) -> Result<T> {
        let found = async {
            loop {
                // Before the look, so that nothing can fall between the two.
                let grown = self.shared.grown.notified();
                if let Some(found) = self.find(moment, &mut look) {
                    return found;
                }
                grown.await;
            }
        };
        let found = tokio::time::timeout(within, found).await;
        found.map_err(|_| LabError::Late { what: what.to_string(), within })
    }

    /// Everything from now on, as it happens.
    pub fn follow(&self) -> mpsc::UnboundedReceiver<Entry> {
        // Not bounded: a terminal that was stopped by its user must not stop the chain, and the
        // timeline keeps everything anyway.
        let (sender, receiver) = mpsc::unbounded_channel();
        *lock(&self.shared.follower) = Some(sender);
        receiver
    }

    /// Lets go of who followed, who then comes to the end.
    pub fn unfollow(&self) {
        *lock(&self.shared.follower) = None;
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Lab => "lab",
            Self::Server => "server",
            Self::Node(name) => name,
            Self::Billing => "billing",
        })
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// Whole microseconds.
pub(crate) fn as_micros<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(micros(*time))
}

/// Likewise, where there may be none.
pub(crate) fn maybe_micros<S: Serializer>(
    time: &Option<Duration>,
    to: S,
) -> Result<S::Ok, S::Error> {
    time.map(micros).serialize(to)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere leaves entries whole: they are pushed in one step.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(at: u64, word: &str) -> Entry {
        let line = format!(
            r#"{{"boottime":{}.0,"level":"INFO","target":"t","fields":{{"message":"{word}"}}}}"#,
            at
        );
        let saying = Saying::parse(&line).unwrap();
        Entry { at: saying.at, source: Source::Server, what: What::Said(saying) }
    }

    fn word(entry: &Entry) -> Option<String> {
        match &entry.what {
            What::Said(saying) => Some(saying.word.clone()),
            _ => None,
        }
    }

    #[tokio::test]
    async fn what_is_waited_for_is_found_before_during_and_never() {
        let timeline = Timeline::default();
        let beginning = timeline.beginning();
        timeline.push(said(1, "early"));
        let short = Duration::from_millis(10);
        let found = timeline.wait(beginning, short, "early", word).await;
        assert_eq!(found.unwrap(), "early");

        let now = timeline.now();
        let late = said(now.at.as_secs() + 10, "late");
        let before = said(now.at.as_secs() - 1, "said before, read after");
        let (waited, ()) =
            tokio::join!(timeline.wait(now, Duration::from_secs(5), "late", word), async {
                timeline.push(before);
                tokio::task::yield_now().await;
                timeline.push(late);
            },);
        assert_eq!(waited.unwrap(), "late");
        let error = timeline.wait(timeline.now(), short, "nothing", word).await.unwrap_err();
        assert_eq!(error.to_string(), "nothing did not happen within 10ms");
        let words: Vec<_> = timeline.entries().iter().filter_map(word).collect();
        assert_eq!(words, ["early", "said before, read after", "late"]);
    }
}
