//! A run with a beginning and an end: the billing system, its load, its faults and its judge.
use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use billing::{BillingEnd, SimEvent, WallClock};
use bytes::Bytes;

use super::entry::{End, Entry, What};
use super::fault::{Deed, Fault, Faults, PortDeed, Side};
use super::judge::Judge;
use super::load::{Load, Source};
use super::outlet::{Inlet, Outlet, Pace};
use super::report::{Found, Outcome};
use super::truth::Truth;
use super::verdict::Verdict;
use crate::core::event::Span;
use crate::core::simulation::MAX_FINDINGS;

/// What a run does.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// What to send, and what to wait for.
    pub load: Load,
    /// What goes wrong on purpose.
    pub faults: Vec<Fault>,
    /// Seed of gaps and faults.
    pub seed: u64,
    /// How fast bytes leave.
    pub pace: Pace,
    /// How long late bytes are awaited when all is done.
    pub settle: Duration,
    /// The run ends when something is wanted and nothing was settled for so long.
    pub patience: Duration,
    /// Whether a list of the charges wanted comes at the end.
    pub has_list: bool,
    /// Whether the dialect's gateway says anything: else what has left counts as confirmed.
    pub answers: bool,
}

/// A run in a dialect.
///
/// Contract: call `handle_*` with what happened, then drain `poll_entry` and `poll_deed`, then
/// write what `poll_bytes` yields and report it with `handle_written` before polling for more,
/// until `is_done`; then tell the truth with `compare` and take the [`Exchange::outcome`]. `now` is
/// the time since boot and never goes back.
pub struct Exchange {
    settings: Settings,
    end: Box<dyn BillingEnd>,
    source: Source,
    faults: Faults,
    outlet: Outlet,
    /// Frames that the billing system has been told of as left.
    told: u64,
    inlet: Inlet,
    judge: Judge,
    phase: Phase,
    /// It was told to stop, and ends by then whatever is under way.
    stop_by: Option<Duration>,
    started: Duration,
    /// When something was settled last, or began to be wanted.
    progress: Duration,
    /// Whether something was wanted when the last thing had happened.
    was_waiting: bool,
    standstill: Option<Span>,
    bytes_in: u64,
    struck: u64,
    /// Items that were taken back when it was told to stop.
    withdrawn: u64,
    doubts: Vec<String>,
    findings: Vec<Found>,
    findings_omitted: u64,
    deeds: VecDeque<PortDeed>,
    entries: VecDeque<Entry>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Items begin, or things are waited for.
    Running,
    /// Late bytes are awaited.
    Settling {
        why: End,
        until: Duration,
    },
    Done {
        why: End,
        at: Duration,
    },
}

impl Exchange {
    /// A run of `end` that begins at `now`.
    pub fn new(settings: Settings, end: Box<dyn BillingEnd>, now: Duration) -> Self {
        let seed = settings.seed;
        let mut exchange = Self {
            end,
            source: Source::new(settings.load, now),
            faults: Faults::new(settings.faults.clone(), seed, now),
            outlet: Outlet::new(settings.pace, seed, now),
            told: 0,
            inlet: Inlet::new(seed, settings.pace.char_time),
            judge: Judge::new(settings.has_list),
            phase: Phase::Running,
            stop_by: None,
            started: now,
            progress: now,
            was_waiting: false,
            standstill: None,
            bytes_in: 0,
            struck: 0,
            withdrawn: 0,
            doubts: Vec::new(),
            findings: Vec::new(),
            findings_omitted: 0,
            deeds: VecDeque::new(),
            entries: VecDeque::new(),
            settings,
        };
        exchange.note(What::Started, now);
        exchange.after(now);
        exchange
    }

    /// Bytes read from the line.
    pub fn handle_bytes(&mut self, bytes: &[u8], now: Duration) {
        if self.is_done() || bytes.is_empty() {
            return;
        }
        self.bytes_in += bytes.len() as u64;
        self.note(What::In { bytes: Bytes::copy_from_slice(bytes) }, now);
        let passed = self.inlet.pass(bytes, now);
        self.end.handle_bytes(&passed, now);
        self.after(now);
    }

    /// The port broke off, or was opened again.
    pub fn handle_damage(&mut self, now: Duration) {
        self.end.handle_damage(now);
        self.after(now);
    }

    /// The next `len` of the bytes handed out were written.
    pub fn handle_written(&mut self, len: usize, now: Duration) {
        self.outlet.handle_written(len);
        self.tell_written(now);
        self.after(now);
    }

    /// The time is `now`.
    pub fn handle_timeout(&mut self, now: Duration) {
        self.faults.handle_timeout(now);
        self.end.handle_timeout(now);
        self.after(now);
    }

    /// The clock on the wall.
    pub fn set_wall_clock(&mut self, wall: WallClock) {
        self.end.set_wall_clock(wall);
    }

    /// Begins no more items and waits for no more charges; what is under way is finished, or given
    /// up after the time of patience.
    pub fn stop(&mut self, now: Duration) {
        if self.stop_by.is_none() {
            self.doubts.extend(self.doubt_of_stop(now));
            self.stop_by = Some(now + self.settings.patience);
            self.source.stop();
            let backlog = self.end.backlog();
            self.end.withdraw();
            self.withdrawn = backlog.saturating_sub(self.end.backlog()) as u64;
        }
        self.after(now);
    }

    /// Ends here and now.
    pub fn abort(&mut self, why: End, now: Duration) {
        if !self.is_done() {
            self.phase = Phase::Done { why, at: now };
        }
    }

    /// Bytes for the line that are due.
    pub fn poll_bytes(&mut self, now: Duration) -> Option<Bytes> {
        if self.is_done() {
            return None;
        }
        let due = self.outlet.poll_bytes(now).map(Bytes::from);
        if let Some(bytes) = &due {
            self.note(What::Out { bytes: bytes.clone() }, now);
        }
        // A frame of which a fault has left nothing has left without being written. What follows it
        // is due later, or such frames without a pace would follow each other for ever.
        if self.tell_written(now) {
            self.after(now);
        }
        due
    }

    /// The next thing for the port to do.
    pub fn poll_deed(&mut self) -> Option<PortDeed> {
        self.deeds.pop_front()
    }

    /// The next thing that passed.
    pub fn poll_entry(&mut self) -> Option<Entry> {
        self.entries.pop_front()
    }

    /// When `handle_timeout` or `poll_bytes` is wanted.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let phase = match self.phase {
            Phase::Done { .. } => return None,
            Phase::Settling { until, .. } => Some(self.settled_at(until)),
            Phase::Running => {
                // Told to stop, it does not look at what was settled last any more.
                let patience = (self.stop_by.is_none() && self.is_waiting())
                    .then(|| self.progress + self.settings.patience);
                let load = self.source.poll_timeout(self.has_room());
                [patience, load, self.stop_by].into_iter().flatten().min()
            }
        };
        let parts = [
            phase,
            self.end.poll_timeout(),
            self.faults.poll_timeout(),
            self.outlet.poll_timeout(),
        ];
        parts.into_iter().flatten().min()
    }

    /// Whether the run is over.
    pub fn is_done(&self) -> bool {
        matches!(self.phase, Phase::Done { .. })
    }

    /// The judge, for progress and for whoever compares more.
    pub fn judge(&self) -> &Judge {
        &self.judge
    }

    /// The run is done: compares what passed with `truth`. The findings are entries, and the end is
    /// the last of them.
    pub fn compare(&mut self, truth: &Truth, now: Duration) {
        let Phase::Done { why, .. } = self.phase else { return };
        self.judge.handle_end(truth, &|text| self.end.is_own(text), why);
        self.collect_findings(now);
        self.doubts.extend(self.doubts_of(truth, why));
        self.note(What::Ended { why }, now);
    }

    /// What the run amounts to so far.
    pub fn outcome(&self, now: Duration) -> Outcome {
        let (ended, at) = match self.phase {
            Phase::Done { why, at } => (why, at),
            Phase::Settling { why, .. } => (why, now),
            Phase::Running => (End::Stopped, now),
        };
        Outcome {
            ended,
            started: self.started,
            finished: at,
            tally: self.judge.tally(),
            bytes_out: self.outlet.written(),
            bytes_in: self.bytes_in,
            faults: self.struck,
            latency: self.judge.latency().summary(),
            standstill: self.standstill,
            answers_dropped: self.outlet.dropped(),
            withdrawn: self.withdrawn,
            doubts: self.doubts.clone(),
            verdicts: self.judge.counts().clone(),
            findings: self.findings.clone(),
            findings_omitted: self.findings_omitted,
        }
    }

    /// What speaks against the run as a proof, though it ended as it was to.
    fn doubts_of(&self, truth: &Truth, why: End) -> Vec<String> {
        let tally = self.judge.tally();
        let short = |what: &str, is: u64, wanted: u64| {
            let when = match why {
                End::Duration => "in the time that was given",
                // More charges than ever come: the run ends when it is told to.
                End::Stopped if self.source.charges() < u64::MAX => "when it was told to stop",
                _ => return None,
            };
            (is < wanted).then(|| format!("{what} {is} of {wanted} {when}"))
        };
        let begun = tally.queued - self.withdrawn;
        let unheard = || {
            "nothing comes back in this dialect, and no comparison with what was taken (--records) \
             tells that a gateway was there"
                .to_owned()
        };
        let before = || {
            let count = truth.before;
            format!(
                "{count} records from before the run did not count: see whether the clocks differ"
            )
        };
        let is_lost = self.judge.counts().get(Verdict::Lost) > 0;
        let all = [
            short("charges posted:", tally.posted, self.source.charges()),
            short("records begun:", begun, self.source.count().unwrap_or_default()),
            (!self.settings.answers && truth.records.is_none()).then(unheard),
            (is_lost && truth.before > 0).then(before),
        ];
        all.into_iter().flatten().collect()
    }

    /// What is wrong at the moment at which it is told to stop. Those who wait are taken back then,
    /// and nothing would be told of why they waited.
    fn doubt_of_stop(&self, now: Duration) -> Option<String> {
        let still = now.saturating_sub(self.progress);
        let waiting = self.end.backlog();
        if self.phase != Phase::Running || waiting == 0 {
            return None;
        }
        if self.end.is_link_up() == Some(false) {
            return Some(format!("it was told to stop while the link was down; {waiting} waited"));
        }
        (still >= LONG_STILL).then(|| {
            let still = still.as_secs();
            format!("it was told to stop when nothing was settled for {still} s; {waiting} waited")
        })
    }

    /// Whether something is wanted that has not come.
    fn is_waiting(&self) -> bool {
        let charges = self.stop_by.is_none() && self.judge.tally().posted < self.source.charges();
        self.end.backlog() > 0 || charges
    }

    /// Whether one more item can be begun. One for which the billing system has no room costs
    /// another; at a given rate that is what is looked at, else it is not.
    fn has_room(&self) -> bool {
        let Load { interval, outstanding, .. } = self.settings.load;
        self.end.backlog() < outstanding
            && (interval.is_some() || self.end.has_room())
            && !self.judge.is_full()
    }

    /// When a run that settles until then is done: what is being sent is finished.
    fn settled_at(&self, until: Duration) -> Duration {
        if self.outlet.is_idle() { until } else { until + self.settings.patience }
    }

    /// Brings everything up to date after anything happened.
    fn after(&mut self, now: Duration) {
        self.drain(now);
        if self.phase == Phase::Running {
            self.begin_items(now);
            self.look_for_end(now);
        }
        if let Phase::Settling { why, until } = self.phase
            && now >= self.settled_at(until)
        {
            self.phase = Phase::Done { why, at: now };
        }
        self.was_waiting = self.is_waiting();
    }

    fn begin_items(&mut self, now: Duration) {
        for _ in 0..self.settings.load.outstanding {
            let Some(serial) = self.source.poll(self.has_room(), now) else { break };
            if !self.is_waiting() {
                self.progress = now;
            }
            self.end.send(serial, now);
            self.drain(now);
            if self.judge.tally().queued == 0 {
                self.source.mute();
            }
        }
    }

    fn look_for_end(&mut self, now: Duration) {
        let late = self.source.is_late(now);
        let posted = self.judge.tally().posted >= self.source.charges();
        // Charges alone were asked for: they are the run's length. And no time is over twice.
        if late || posted && self.source.is_by_charges() {
            self.source.stop();
        }
        let sent = self.source.is_over(now) && self.end.backlog() == 0 && self.outlet.is_idle();
        if self.judge.is_full() {
            self.settle(End::Full, now);
        } else if let Some(by) = self.stop_by {
            if !sent && now >= by {
                let what = "what was on the line when it was told to stop was not settled";
                self.doubts.push(what.to_owned());
            }
            if sent || now >= by {
                self.settle(End::Stopped, now);
            }
        } else if sent && (posted || late) {
            self.settle(if late { End::Duration } else { End::Done }, now);
        } else if self.is_waiting() && now >= self.progress + self.settings.patience {
            self.settle(End::Silent, now);
        }
    }

    fn settle(&mut self, why: End, now: Duration) {
        self.phase = Phase::Settling { why, until: now + self.settings.settle };
        self.note(What::Settling, now);
    }

    /// Takes what the billing system has, until it has no more.
    fn drain(&mut self, now: Duration) {
        loop {
            while let Some(bytes) = self.end.poll_transmit() {
                self.outlet.push(&bytes, now);
                self.inlet.handle_sent();
            }
            let Some(event) = self.end.poll_event() else { break };
            self.take(&event, now);
        }
        while let Some(fault) = self.faults.poll() {
            let (deed, fault) = (fault.deed, fault.text.clone());
            self.struck += 1;
            self.note(What::Fault { fault }, now);
            self.strike(deed, now);
        }
        self.collect_findings(now);
    }

    fn take(&mut self, event: &SimEvent, now: Duration) {
        self.judge.handle_event(event, now);
        self.note(What::Saw(event.into()), now);
        match event {
            SimEvent::Posted { .. } | SimEvent::Answered { .. } => {
                self.make_progress(now);
                self.faults.handle_record();
            }
            SimEvent::Sent { attempt: 0 | 1, .. } => self.faults.handle_record(),
            SimEvent::Confirmed { .. } | SimEvent::Declined { .. } => self.make_progress(now),
            // What its sender gives up or overwrites is no sign of a gateway.
            _ => {}
        }
    }

    fn make_progress(&mut self, now: Duration) {
        let span = Span { from: self.progress, to: now };
        if self.was_waiting
            && self.standstill.is_none_or(|longest| span.length() > longest.length())
        {
            self.standstill = Some(span);
        }
        self.progress = now;
    }

    fn strike(&mut self, deed: Deed, now: Duration) {
        match deed {
            Deed::Misdeed(misdeed) => {
                self.end.misbehave(misdeed, now);
                self.drain(now);
            }
            Deed::Tamper(tamper) if tamper.side == Side::Out => self.outlet.tamper(tamper),
            Deed::Tamper(tamper) => self.inlet.tamper(tamper),
            Deed::Stall { lasting } => self.outlet.stall(lasting),
            Deed::Port(deed) => self.deeds.push_back(deed),
        }
    }

    /// Tells the billing system of frames that have left; whether there were any.
    fn tell_written(&mut self, now: Duration) -> bool {
        let is_news = self.outlet.left() > self.told;
        if is_news {
            self.told = self.outlet.left();
            self.end.handle_written(self.told, now);
        }
        is_news
    }

    fn collect_findings(&mut self, now: Duration) {
        while let Some(finding) = self.judge.poll_finding() {
            self.note(What::Found(finding.clone()), now);
            if self.findings.len() < MAX_FINDINGS {
                self.findings.push(Found { at: now, finding });
            } else {
                self.findings_omitted += 1;
            }
        }
    }

    fn note(&mut self, what: What, at: Duration) {
        self.entries.push_back(Entry { at, what });
    }
}

/// Something is wanted, and nothing was settled for so long: whoever stops a run then stops one that
/// hangs. A takeover and the repetitions after it take less.
const LONG_STILL: Duration = Duration::from_secs(10);

impl Default for Settings {
    fn default() -> Self {
        Self {
            load: Load::default(),
            faults: Vec::new(),
            seed: 1,
            pace: Pace::default(),
            settle: Duration::from_secs(2),
            patience: Duration::from_secs(60),
            has_list: false,
            answers: true,
        }
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("phase", &self.phase)
            .field("backlog", &self.end.backlog())
            .field("tally", &self.judge.tally())
            .finish_non_exhaustive()
    }
}
