//! What to run.

use std::time::Duration;

use sys::LineSettings;
use tokio_util::sync::CancellationToken;

use crate::core::generator::Plan;
use crate::core::report::Run;
use crate::core::simulation::Settings;

/// What to run, and on which line. Start from [`Options::default`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The port's name, for the report only.
    pub port: String,
    /// The line's settings; they give the time of a character.
    pub line: LineSettings,
    /// From the beginning of one record to that of the next; `None` is back to back.
    pub interval: Option<Duration>,
    /// How many records; `None` is until told to stop.
    pub count: Option<u32>,
    /// How long records begin; `None` is until told to stop.
    pub duration: Option<Duration>,
    /// Seed of the records' texts. The same seed and number give the same record.
    pub seed: u64,
    /// Number of the first record.
    pub first: u32,
    /// How long late answers are awaited after the last record.
    pub settle: Duration,
    /// Send as fast as bytes are taken, not at character time.
    pub fast: bool,
    /// Whole records without an answer at most. `None` is no limit at character time, and
    /// [`FAST_OUTSTANDING`] if `fast`.
    pub max_outstanding: Option<usize>,
    /// Unserved spans of at least this length are listed and reported as events.
    pub unserved_over: Duration,
}

/// How a run is told to end before its time.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    /// Finish the record being sent, await late answers for the settle time, report.
    pub stop: CancellationToken,
    /// Report now; what is unanswered is lost.
    pub abort: CancellationToken,
}

impl Options {
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            plan: Plan {
                seed: self.seed,
                first: self.first,
                count: self.count,
                duration: self.duration,
                interval: self.interval,
                char_time: (!self.fast).then(|| self.line.char_time()),
            },
            settle: self.settle,
            max_outstanding: self.max_outstanding.or_else(|| self.fast.then_some(FAST_OUTSTANDING)),
            unserved_over: self.unserved_over,
        }
    }

    pub(crate) fn summary(&self) -> Run {
        Run {
            dialect: "numbered".to_owned(),
            port: self.port.clone(),
            line: self.line.to_string(),
            paced: !self.fast,
            interval: self.interval.unwrap_or_default(),
            seed: self.seed,
            first: self.first,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            port: String::new(),
            line: LineSettings::new(9600),
            interval: Some(Duration::from_millis(200)),
            count: None,
            duration: None,
            seed: 1,
            first: 1,
            settle: Duration::from_secs(2),
            fast: false,
            max_outstanding: None,
            unserved_over: Duration::from_millis(150),
        }
    }
}

impl From<CancellationToken> for Shutdown {
    /// Only the gentle way.
    fn from(stop: CancellationToken) -> Self {
        Self { stop, abort: CancellationToken::new() }
    }
}

/// Records outstanding in an unpaced run unless told otherwise: keeps any gateway busy, and their
/// 16 KiB fit into what lies between (a terminal server keeps far more) without flow control.
pub const FAST_OUTSTANDING: usize = 256;
