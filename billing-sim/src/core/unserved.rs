//! How long records waited while no answer came.
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::event::{Span, micros};

/// Follows the spans in which at least one whole record was unanswered and no whole answer arrived.
///
/// A span begins when a record's last byte leaves and nothing else is outstanding, or with an
/// answer that leaves others outstanding; it ends with the next answer. On a healthy line each span
/// is the ordinary answer time; a failover is one long span.
#[derive(Debug)]
pub struct Unserved {
    over: Duration,
    since: Option<Duration>,
    longest: Option<Span>,
    spans: Vec<Span>,
    omitted: u64,
}

/// What a report says about unserved time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnservedSummary {
    /// The longest span, with its place in time.
    pub longest: Option<Span>,
    /// Length of the longest span, 0 if there was none.
    #[serde(rename = "longest_us", with = "micros")]
    pub longest_length: Duration,
    /// The threshold for the list.
    #[serde(rename = "over_us", with = "micros")]
    pub over: Duration,
    /// Spans at or over the threshold in order of time, the first [`MAX_SPANS`].
    pub spans: Vec<Span>,
    /// How many more there were.
    pub spans_omitted: u64,
}

impl Unserved {
    /// Nothing is outstanding. Spans of at least `over` will be listed.
    pub fn new(over: Duration) -> Self {
        Self { over, since: None, longest: None, spans: Vec::new(), omitted: 0 }
    }

    /// A record became outstanding.
    pub fn handle_sent(&mut self, at: Duration) {
        self.since.get_or_insert(at);
    }

    /// A whole answer arrived; `outstanding` says whether others are still missing. Yields the span
    /// that ended if it is to be listed.
    pub fn handle_answer(&mut self, at: Duration, outstanding: bool) -> Option<Span> {
        let ended = self.since.take().map(|from| Span { from, to: at });
        self.since = outstanding.then_some(at);
        ended.filter(|span| self.list(*span))
    }

    /// The run is over: an open span ends, too.
    pub fn handle_end(&mut self, at: Duration) -> Option<Span> {
        self.handle_answer(at, false)
    }

    /// Since when records wait without an answer, if they do.
    pub fn since(&self) -> Option<Duration> {
        self.since
    }

    /// What there was so far; an open span is not in it.
    pub fn summary(&self) -> UnservedSummary {
        UnservedSummary {
            longest: self.longest,
            longest_length: self.longest.map_or(Duration::ZERO, |span| span.length()),
            over: self.over,
            spans: self.spans.clone(),
            spans_omitted: self.omitted,
        }
    }

    fn list(&mut self, span: Span) -> bool {
        if self.longest.is_none_or(|longest| span.length() > longest.length()) {
            self.longest = Some(span);
        }
        if span.length() < self.over {
            return false;
        }
        if self.spans.len() < MAX_SPANS {
            self.spans.push(span);
        } else {
            self.omitted += 1;
        }
        true
    }
}

/// Spans kept for the report: more failovers than a person reads, few enough to keep for ever.
pub const MAX_SPANS: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn idle_time_is_served_time() {
        let mut unserved = Unserved::new(ms(50));
        unserved.handle_sent(ms(0));
        assert_eq!(unserved.handle_answer(ms(10), false), None);
        unserved.handle_sent(ms(5000));
        assert_eq!(unserved.handle_answer(ms(5020), false), None);
        assert_eq!(unserved.summary().longest, Some(Span { from: ms(5000), to: ms(5020) }));
    }

    #[test]
    fn a_span_runs_from_the_last_answer_while_others_wait() {
        let mut unserved = Unserved::new(ms(50));
        unserved.handle_sent(ms(0));
        unserved.handle_sent(ms(5));
        unserved.handle_answer(ms(10), true);
        unserved.handle_sent(ms(40));
        let span = Span { from: ms(10), to: ms(100) };
        assert_eq!(unserved.handle_answer(ms(100), true), Some(span));
        assert_eq!(unserved.since(), Some(ms(100)));
        assert_eq!(unserved.handle_end(ms(300)), Some(Span { from: ms(100), to: ms(300) }));
        assert_eq!(unserved.summary().longest_length, ms(200));
        assert_eq!(unserved.summary().spans.len(), 2);
    }

    #[test]
    fn the_list_is_bounded() {
        let mut unserved = Unserved::new(ms(1));
        for n in 0..MAX_SPANS as u64 + 5 {
            unserved.handle_sent(ms(n * 10));
            unserved.handle_answer(ms(n * 10 + 2), false);
        }
        let summary = unserved.summary();
        assert_eq!((summary.spans.len(), summary.spans_omitted), (MAX_SPANS, 5));
    }
}
