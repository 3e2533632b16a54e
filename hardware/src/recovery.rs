//! How a chain is seen to recover.

use std::time::Duration;

use billing::numbered::frame::ANSWER_LEN;
use billing_sim::Event;
use wire::Epoch;

use crate::accounts::Speech;
use crate::chain::{Chain, is};
use crate::drill::{Drill, Held, Kind};
use crate::error::{LabError, Result};
use crate::timeline::{Entry, Moment, Source, What};

impl Chain {
    /// Waits until a node holds the line.
    ///
    /// # Errors
    /// None does in time.
    pub async fn wait_for_grant(&self, within: Duration) -> Result<()> {
        let beginning = self.timeline().beginning();
        let granted = |entry: &Entry| is(entry, &Source::Server, "granted").then_some(());
        self.timeline().wait(beginning, within, "the first grant", granted).await
    }

    /// Waits until anybody holds the line.
    ///
    /// # Errors
    /// Nobody does in time.
    pub async fn wait_for_holder(&self, within: Duration) -> Result<Held> {
        let deadline = sys::boottime() + within;
        loop {
            if let Some(held) = self.coordinator() {
                return Ok(held);
            }
            if sys::boottime() > deadline {
                return Err(LabError::Late { what: "a holder of the line".to_owned(), within });
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until a node holds the line and its payload has its first input.
    ///
    /// # Errors
    /// None does in time.
    pub async fn wait_for_coordinator(&self, within: Duration) -> Result<Held> {
        let beginning = self.timeline().beginning();
        let served = self.served(beginning, Epoch::NONE, within).await;
        served.map(|(held, _)| held)
    }

    /// Watches the chain recover from what was done to the holder at `moment`.
    pub async fn watch(&self, kind: Kind, before: Held, moment: Moment) -> Drill {
        self.recovery(kind, before.node.clone(), before, moment).await
    }

    pub(crate) async fn recovery(
        &self,
        kind: Kind,
        victim: String,
        before: Held,
        moment: Moment,
    ) -> Drill {
        let mut drill = Drill {
            kind,
            victim,
            at: moment.at,
            before,
            after: None,
            granted: None,
            unserved: None,
            first_answer: None,
            waited: None,
            failure: None,
        };
        let since = |at: Duration| Some(at.saturating_sub(moment.at));
        let seen = async {
            let (held, first_input) =
                self.served(moment, drill.before.epoch, self.patience()).await?;
            drill.granted = since(held.since);
            drill.unserved = since(first_input);
            drill.after = Some(held);
            if self.settings.speech != Speech::Numbered {
                return Ok(());
            }
            let answer = self.first_answer(moment, first_input).await?;
            drill.first_answer = since(answer);
            drill.waited = self.waited(moment, answer);
            Ok::<_, LabError>(())
        };
        if let Err(error) = seen.await {
            drill.failure = Some(error.to_string());
        }
        drill
    }

    /// Waits until a node has a later grant than `before` and its payload runs and has its first
    /// input; when. A line that rests for a moment makes it later: nothing is there to be handed.
    async fn served(
        &self,
        moment: Moment,
        before: Epoch,
        within: Duration,
    ) -> Result<(Held, Duration)> {
        // In a dialect the line may rest for seconds.
        let word = match self.settings.speech {
            Speech::Numbered => "first-input",
            Speech::Dialect(_) => "payload-started",
        };
        let first_input = |entry: &Entry| match (&entry.source, &entry.what) {
            (Source::Node(node), What::Said(saying)) if saying.word == word => {
                let epoch = saying.epoch().filter(|epoch| *epoch > before)?;
                Some((node.clone(), epoch, entry.at))
            }
            _ => None,
        };
        let what = "service by a coordinator";
        let (node, epoch, at) = self.timeline().wait(moment, within, what, first_input).await?;
        // The node writes into the pipe before the payload is there to read.
        let source = Source::Node(node.clone());
        let started = self.said(moment, within, &source, "payload-started", epoch).await?;
        // The two programs are read independently.
        let beginning = self.timeline().beginning();
        let since = self.said(beginning, within, &Source::Server, "granted", epoch).await?;
        let at = at.max(started).max(since);
        Ok((Held { node, epoch, since }, at))
    }

    /// When `source` said this of that grant.
    async fn said(
        &self,
        moment: Moment,
        within: Duration,
        source: &Source,
        word: &str,
        epoch: Epoch,
    ) -> Result<Duration> {
        let said = |entry: &Entry| match &entry.what {
            What::Said(saying) if entry.source == *source && saying.word == word => {
                (saying.epoch() == Some(epoch)).then_some(entry.at)
            }
            _ => None,
        };
        self.timeline().wait(moment, within, format!("{source}: {word}"), said).await
    }

    /// When the billing system had the first answer that the new payload can have given: a frame
    /// of its predecessor may have been finished before.
    async fn first_answer(&self, moment: Moment, first_input: Duration) -> Result<Duration> {
        let earliest = first_input + self.settings.line.time_of(ANSWER_LEN as u64);
        let answered = |entry: &Entry| match &entry.what {
            What::Billing(Event::Answered { at, .. }) => (*at >= earliest).then_some(*at),
            _ => None,
        };
        self.timeline().wait(moment, self.patience(), "an answer", answered).await
    }

    /// What has not happened by then will not.
    pub(crate) fn patience(&self) -> Duration {
        self.settings.profile.lease + PATIENCE
    }

    /// The longest that a record waited for an answer that came between then and `until`.
    pub(crate) fn waited(&self, moment: Moment, until: Duration) -> Option<Duration> {
        let latency = |entry: &Entry| match &entry.what {
            What::Billing(Event::Answered { at, latency, .. }) => {
                (*at <= until).then_some(*latency)
            }
            _ => None,
        };
        self.timeline().all(moment, latency).into_iter().max()
    }
}

/// What has not recovered a lease and this later has failed, on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at who has the line.
const LOOK: Duration = Duration::from_millis(10);
