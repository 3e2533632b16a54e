//! The billing system's bytes of a journal once more, and whether the same comes back.

use std::collections::VecDeque;
use std::io::BufRead;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;

use super::file::{Journal, JournalError};
use crate::core::exchange::entry::What;

/// A journal being played back, as a value.
#[derive(Debug)]
pub struct Replay {
    /// All that is to be sent.
    bytes: Bytes,
    steps: VecDeque<Step>,
    /// What came back then.
    expected: Vec<u8>,
    pace: Pace,
    settle: Duration,
    started: Duration,
    /// When a byte last passed, in whichever direction.
    last: Duration,
    sent: u64,
    received: u64,
    difference: Option<Difference>,
}

/// When bytes are played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pace {
    /// As long after the start as then.
    #[default]
    Original,
    /// As soon as as much has come back as had then, or nothing comes for the time of patience.
    Fast,
}

/// A paced journal has one for each byte, so they are small.
#[derive(Debug)]
struct Step {
    /// Since the start.
    at_us: u64,
    /// Its end in `bytes`.
    end: u32,
    /// Bytes that had come back before.
    heard: u32,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// Whether the very same bytes came back.
    pub same: bool,
    /// Bytes played.
    pub sent: u64,
    /// Bytes that were not played, as the port was gone or the time over.
    pub unsent: u64,
    /// Bytes that came back then.
    pub expected: u64,
    /// Bytes that came back now.
    pub received: u64,
    /// Where they begin to differ.
    pub difference: Option<Difference>,
}

/// Where what came back begins to differ, with the bytes from there on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Bytes before it that are the same.
    pub after: u64,
    /// Since the start, in microseconds.
    pub at_us: u64,
    /// Then, in hexadecimal digits; empty: nothing more came.
    pub expected: String,
    /// Now; empty: nothing more came.
    pub received: String,
}

/// Why a journal can't be played.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// It can't be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// It is too long.
    #[error("it needs more than {} MiB of memory: play a part of it", MAX_BYTES >> 20)]
    Long,
    /// There is nothing to play.
    #[error("the billing system sent nothing in it")]
    Empty,
}

impl Replay {
    /// Reads a journal to its end.
    ///
    /// # Errors
    /// It can't be read, or holds nothing to play.
    pub fn read<R: BufRead>(
        journal: Journal<R>,
        pace: Pace,
        settle: Duration,
    ) -> Result<Self, ReplayError> {
        let began = journal.header().started;
        let (mut sent, mut expected) = (Vec::new(), Vec::new());
        let mut steps: VecDeque<Step> = VecDeque::new();
        for entry in journal {
            let entry = entry?;
            match entry.what {
                What::In { bytes } => expected.extend_from_slice(&bytes),
                What::Out { bytes } => {
                    let at = entry.at.saturating_sub(began).as_micros();
                    sent.extend_from_slice(&bytes);
                    steps.push_back(Step {
                        at_us: u64::try_from(at).unwrap_or(u64::MAX),
                        // Both are below the limit.
                        end: sent.len() as u32,
                        heard: expected.len() as u32,
                    });
                }
                _ => continue,
            }
            if sent.len() + expected.len() + steps.len() * size_of::<Step>() > MAX_BYTES {
                return Err(ReplayError::Long);
            }
        }
        if steps.is_empty() {
            return Err(ReplayError::Empty);
        }
        let zero = Duration::ZERO;
        Ok(Self {
            bytes: sent.into(),
            steps,
            expected,
            pace,
            settle,
            started: zero,
            last: zero,
            sent: 0,
            received: 0,
            difference: None,
        })
    }

    /// The run begins.
    pub fn start(&mut self, now: Duration) {
        self.started = now;
        self.last = now;
    }

    /// Takes bytes that came back.
    pub fn handle_bytes(&mut self, bytes: &[u8], now: Duration) {
        self.last = now;
        let from = usize::try_from(self.received).unwrap_or(usize::MAX).min(self.expected.len());
        let then = &self.expected[from..];
        let same = bytes.iter().zip(then).take_while(|(now, then)| now == then).count();
        if same < bytes.len() && self.difference.is_none() {
            let then = &then[same..];
            self.differ(same as u64, now, then.to_vec(), &bytes[same..]);
        }
        self.received += bytes.len() as u64;
    }

    fn differ(&mut self, same: u64, now: Duration, expected: Vec<u8>, received: &[u8]) {
        let shown = |bytes: &[u8]| {
            let bytes = bytes.iter().take(SHOWN).map(|byte| format!("{byte:02x}"));
            bytes.collect::<Vec<_>>().join(" ")
        };
        let at = now.saturating_sub(self.started);
        self.difference = Some(Difference {
            after: self.received + same,
            at_us: u64::try_from(at.as_micros()).unwrap_or(u64::MAX),
            expected: shown(&expected),
            received: shown(received),
        });
    }

    /// Bytes that are to be sent now, and have left when it is asked again.
    pub fn poll_transmit(&mut self, now: Duration) -> Option<Bytes> {
        self.due().filter(|due| *due <= now)?;
        let end = self.steps.pop_front()?.end;
        let bytes = self.bytes.slice(self.sent as usize..end as usize);
        self.sent = end.into();
        self.last = now;
        Some(bytes)
    }

    /// When something is to be done: bytes fall due, or the run is over.
    pub fn poll_timeout(&self) -> Duration {
        self.due().unwrap_or(self.last + self.settle)
    }

    /// Whether all has been played, and nothing has come for a while.
    pub fn is_done(&self, now: Duration) -> bool {
        self.steps.is_empty() && self.last + self.settle <= now
    }

    fn due(&self) -> Option<Duration> {
        let step = self.steps.front()?;
        Some(match self.pace {
            Pace::Original => self.started + Duration::from_micros(step.at_us),
            Pace::Fast if self.received >= step.heard.into() => self.started,
            Pace::Fast => self.last + PATIENCE,
        })
    }

    /// What came of it.
    pub fn outcome(mut self, now: Duration) -> Outcome {
        let expected = self.expected.len() as u64;
        if self.difference.is_none() && self.received < expected {
            let missing = self.expected.split_off(self.received as usize);
            self.differ(0, now, missing, &[]);
        }
        Outcome {
            same: self.difference.is_none() && self.steps.is_empty(),
            sent: self.sent,
            unsent: self.bytes.len() as u64 - self.sent,
            expected,
            received: self.received,
            difference: self.difference,
        }
    }
}

/// What is kept in memory, steps and all: four hours of a line at 9600 bit/s that never rests.
const MAX_BYTES: usize = 256 << 20;
/// Bytes of a difference that are told.
const SHOWN: usize = 32;
/// In a fast run, how long bytes are waited for that had come back then: longer than any gateway
/// takes for an answer, and the shortest of the dialects' timers.
const PATIENCE: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = r#"{"journal":1,"release":"0.1.0","dialect":"fias","seed":1,"port":"","line":"9600,8N1","started_us":1000000}"#;
    const T0: Duration = Duration::from_secs(500);

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// ENQ, NAK comes back after 1 s, ENQ again after 5 s, ACK comes back.
    fn replay(pace: Pace) -> Replay {
        let text = format!(
            "{HEADER}\n{}\n{}\n{}\n{}\n",
            r#"{"at_us":1000000,"event":"out","hex":"05"}"#,
            r#"{"at_us":2000000,"event":"in","hex":"15"}"#,
            r#"{"at_us":6000000,"event":"out","hex":"05"}"#,
            r#"{"at_us":6500000,"event":"in","hex":"06"}"#,
        );
        let mut replay = Replay::read(Journal::open(text.as_bytes()).unwrap(), pace, s(2)).unwrap();
        replay.start(T0);
        replay
    }

    #[test]
    fn bytes_go_out_when_they_went_out_then() {
        let mut replay = replay(Pace::Original);
        assert!(replay.poll_transmit(T0).is_some());
        replay.handle_bytes(&[0x15], T0 + s(1));
        assert_eq!(replay.poll_transmit(T0 + s(4)), None);
        assert_eq!(replay.poll_timeout(), T0 + s(5));
        assert!(replay.poll_transmit(T0 + s(5)).is_some());
        replay.handle_bytes(&[0x06], T0 + s(6));
        assert!(!replay.is_done(T0 + s(7)));
        assert!(replay.is_done(T0 + s(8)));
        let outcome = replay.outcome(T0 + s(8));
        assert!(outcome.same, "{outcome:?}");
        assert_eq!((outcome.sent, outcome.received), (2, 2));
    }

    #[test]
    fn in_a_fast_run_they_wait_for_what_came_before_them_and_not_for_ever() {
        let mut answered = replay(Pace::Fast);
        assert!(answered.poll_transmit(T0).is_some());
        assert_eq!(answered.poll_transmit(T0), None);
        answered.handle_bytes(&[0x15], T0);
        assert!(answered.poll_transmit(T0).is_some());
        let mut silent = replay(Pace::Fast);
        assert!(silent.poll_transmit(T0).is_some());
        let deadline = silent.poll_timeout();
        assert!(silent.poll_transmit(deadline).is_some());
        let outcome = silent.outcome(deadline);
        let difference = outcome.difference.unwrap();
        assert_eq!((difference.expected.as_str(), difference.received.as_str()), ("15 06", ""));
    }

    #[test]
    fn the_first_difference_is_told() {
        let mut replay = replay(Pace::Fast);
        replay.poll_transmit(T0);
        replay.handle_bytes(&[0x15, 0x07, 0x06], T0 + s(1));
        replay.poll_transmit(T0 + s(1));
        let outcome = replay.outcome(T0 + s(3));
        assert!(!outcome.same);
        let difference = outcome.difference.unwrap();
        assert_eq!((difference.after, difference.at_us), (1, 1_000_000));
        assert_eq!((difference.expected.as_str(), difference.received.as_str()), ("06", "07 06"));
    }

    #[test]
    fn a_step_costs_little_beside_its_byte() {
        assert!(size_of::<Step>() <= 16);
    }

    #[test]
    fn a_journal_without_bytes_is_refused() {
        let journal = Journal::open(HEADER.as_bytes()).unwrap();
        let error = Replay::read(journal, Pace::Fast, s(1)).unwrap_err();
        assert!(matches!(error, ReplayError::Empty));
    }
}
