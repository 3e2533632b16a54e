//! Generator and judge in one run with a beginning and an end.
use std::collections::VecDeque;
use std::time::Duration;

use super::event::{End, Event, Finding};
use super::generator::{Finish, Generator, Plan};
use super::judge::Judge;
use super::report::{Outcome, Received, Sent};

/// What a run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// What to send.
    pub plan: Plan,
    /// How long late answers are awaited after the last record.
    pub settle: Duration,
    /// Whole records without an answer at most; the next one waits. `None` sends freely.
    pub max_outstanding: Option<usize>,
    /// Unserved spans of at least this length are listed.
    pub unserved_over: Duration,
}

/// A run of the billing system: sends, judges, settles, ends.
///
/// Contract: call `handle_*` with what happened, then drain `poll_event`, then write what
/// `poll_transmit` yields and report it with `handle_written` before polling for more, until
/// `is_done`; then take [`Simulation::outcome`]. `now` is the time since boot and never goes back.
#[derive(Debug)]
pub struct Simulation {
    settings: Settings,
    generator: Generator,
    judge: Judge,
    phase: Phase,
    started: Duration,
    /// What the report shows of the findings, the first [`MAX_FINDINGS`].
    findings: Vec<Finding>,
    findings_omitted: u64,
    records: u64,
    events: VecDeque<Event>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Records begin.
    Sending,
    /// No more records begin; the last is being written, until this time at most.
    Closing {
        why: End,
        until: Duration,
    },
    /// All is written; late answers are awaited.
    Settling {
        why: End,
        until: Duration,
    },
    Done {
        why: End,
        at: Duration,
    },
}

impl Simulation {
    /// A run that begins at `now`.
    pub fn new(settings: Settings, now: Duration) -> Self {
        let plan = settings.plan;
        let mut simulation = Self {
            settings,
            generator: Generator::new(plan, now),
            judge: Judge::new(plan.seed, plan.first, settings.unserved_over),
            phase: Phase::Sending,
            started: now,
            findings: Vec::new(),
            findings_omitted: 0,
            records: 0,
            events: VecDeque::from([Event::Started { at: now }]),
        };
        simulation.limit();
        simulation
    }

    /// Bytes read from the line at `now`.
    pub fn handle_bytes(&mut self, bytes: &[u8], now: Duration) {
        if !self.is_done() {
            self.judge.handle_bytes(bytes, now);
            self.after(now);
        }
    }

    /// The next `len` of the bytes handed out were written at `now`.
    pub fn handle_written(&mut self, len: usize, now: Duration) {
        self.generator.handle_written(len, now);
        while let Some(sent) = self.generator.poll_sent() {
            self.records += 1;
            self.judge.handle_sent(sent);
        }
        self.after(now);
    }

    /// The time is `now`.
    pub fn handle_timeout(&mut self, now: Duration) {
        self.generator.handle_timeout(now);
        self.after(now);
    }

    /// Begins no more records, finishes the one being sent, settles.
    pub fn stop(&mut self, now: Duration) {
        self.generator.stop();
        self.after(now);
    }

    /// Ends here and now: what is unanswered is lost.
    pub fn abort(&mut self, why: End, now: Duration) {
        self.end(why, now);
    }

    /// Bytes for the line that are due at `now`.
    pub fn poll_transmit(&mut self, now: Duration) -> Option<Vec<u8>> {
        match self.phase {
            Phase::Sending | Phase::Closing { .. } => self.generator.poll_transmit(now),
            Phase::Settling { .. } | Phase::Done { .. } => None,
        }
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When `handle_timeout` and `poll_transmit` are wanted.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let due = self.generator.poll_timeout();
        match self.phase {
            Phase::Sending => [due, self.silent_at()].into_iter().flatten().min(),
            Phase::Closing { until, .. } => Some(due.map_or(until, |due| due.min(until))),
            Phase::Settling { until, .. } => Some(until),
            Phase::Done { .. } => None,
        }
    }

    /// Whether the run is over.
    pub fn is_done(&self) -> bool {
        matches!(self.phase, Phase::Done { .. })
    }

    /// The judge, for progress.
    pub fn judge(&self) -> &Judge {
        &self.judge
    }

    /// What the run amounts to so far.
    pub fn outcome(&self, now: Duration) -> Outcome {
        let (ended, at) = match self.phase {
            Phase::Done { why, at } => (why, at),
            Phase::Closing { why, .. } | Phase::Settling { why, .. } => (why, now),
            Phase::Sending => (End::Stopped, now),
        };
        Outcome {
            ended,
            started: self.started,
            finished: at,
            sent: Sent { records: self.records, bytes: self.generator.written() },
            received: Received { answers: self.judge.answers(), bytes: self.judge.bytes() },
            verdicts: self.judge.tally(),
            unserved: self.judge.unserved().summary(),
            latency: self.judge.latency().summary(),
            findings: self.findings.clone(),
            findings_omitted: self.findings_omitted,
        }
    }

    /// Brings phase, limit and events up to date after anything happened.
    fn after(&mut self, now: Duration) {
        self.collect();
        self.limit();
        if self.phase == Phase::Sending {
            if let Some(finish) = self.generator.finish() {
                let why = match finish {
                    Finish::Count => End::Count,
                    Finish::Duration => End::Duration,
                    Finish::Stopped => End::Stopped,
                };
                self.phase = Phase::Closing { why, until: now + self.closing_time() };
            } else if self.silent_at().is_some_and(|at| now >= at) {
                self.end(End::Silent, now);
            }
        }
        if let Phase::Closing { why, until } = self.phase {
            if self.generator.is_drained() {
                self.phase = Phase::Settling { why, until: now + self.settings.settle };
                self.events.push_back(Event::Settling { at: now });
            } else if now >= until {
                self.end(End::Blocked, now);
            }
        }
        if let Phase::Settling { why, until } = self.phase
            && now >= until
        {
            self.end(why, now);
        }
    }

    fn end(&mut self, why: End, now: Duration) {
        if self.is_done() {
            return;
        }
        self.judge.handle_end(now);
        self.collect();
        self.events.push_back(Event::Ended { at: now, why });
        self.phase = Phase::Done { why, at: now };
    }

    fn collect(&mut self) {
        while let Some(event) = self.judge.poll_event() {
            if let Event::Found(finding) = &event {
                if self.findings.len() < MAX_FINDINGS {
                    self.findings.push(finding.clone());
                } else {
                    self.findings_omitted += 1;
                }
            }
            self.events.push_back(event);
        }
    }

    fn limit(&mut self) {
        if let Some(most) = self.settings.max_outstanding {
            let room = most.max(1).saturating_sub(self.judge.outstanding());
            let room = u32::try_from(room).unwrap_or(u32::MAX);
            self.generator.set_limit(self.judge.next().saturating_add(room));
        }
    }

    /// When to give up on a gateway that holds the generator back and answers nothing.
    fn silent_at(&self) -> Option<Duration> {
        let since = self.judge.unserved().since()?;
        self.generator.is_held().then(|| since + self.settings.settle)
    }

    /// How long the last record's bytes may take to be written.
    fn closing_time(&self) -> Duration {
        let char_time = self.settings.plan.char_time.unwrap_or_default();
        let frame = billing::numbered::MAX_FRAME as u32;
        self.settings.settle + CLOSING_GRACE + char_time * frame
    }
}

/// Findings kept for the report: the first ones tell what went wrong.
pub const MAX_FINDINGS: usize = 20;

/// Allowance, on top of settle time and character time, for the last bytes of a run: an unpaced
/// run may leave a chunk to the kernel, which a slow line takes seconds to carry.
const CLOSING_GRACE: Duration = Duration::from_secs(5);
