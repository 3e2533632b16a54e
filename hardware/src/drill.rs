//! One failure, and what became of it.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};
use wire::Epoch;

use crate::timeline::{as_micros, maybe_micros};

/// What was done to the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// SIGKILL to the coordinator.
    Kill,
    /// SIGSTOP to the coordinator, and SIGCONT some seconds later.
    Stop,
    /// SIGKILL to the coordinator's payload.
    CrashPayload,
    /// A planned hand-over.
    HandOver,
    /// SIGKILL to a standby.
    KillStandby,
    /// SIGTERM to the terminal server, which is then started again.
    RestartServer,
    /// The coordinator's frames vanish, and then it is killed.
    PowerLoss,
    /// The coordinator and the terminal server do not hear each other.
    CutFromServer,
    /// The hosts fall into halves.
    Partition,
    /// SIGKILL to the terminal server, which is started again at some time.
    KillServer,
    /// The coordinator's check command begins to fail.
    Unfit,
    /// SIGKILL to all nodes, which are then started again.
    KillAll,
}

/// Who has the line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Held {
    /// The node.
    pub node: String,
    /// Its grant.
    #[serde(serialize_with = "epoch")]
    pub epoch: Epoch,
    /// Since when.
    #[serde(rename = "since_us", serialize_with = "as_micros")]
    pub since: Duration,
}

/// One failure, and what became of it. Times are spans since [`Drill::at`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Drill {
    /// What was done.
    pub kind: Kind,
    /// To whom.
    pub victim: String,
    /// When: read just before the signal was sent or the question asked.
    #[serde(rename = "at_us", serialize_with = "as_micros")]
    pub at: Duration,
    /// Who had the line.
    pub before: Held,
    /// Who has it after; the same grant where nothing had to happen.
    pub after: Option<Held>,
    /// Until the line had a holder again.
    #[serde(rename = "granted_us", serialize_with = "maybe_micros")]
    pub granted: Option<Duration>,
    /// Until its payload had been handed its first input.
    #[serde(rename = "unserved_us", serialize_with = "maybe_micros")]
    pub unserved: Option<Duration>,
    /// Until the billing system had the first whole answer of the new holder.
    #[serde(rename = "first_answer_us", serialize_with = "maybe_micros")]
    pub first_answer: Option<Duration>,
    /// The longest that the billing system waited for the answer to a whole record meanwhile. On
    /// an undisturbed line it is the length of an answer.
    #[serde(rename = "waited_us", serialize_with = "maybe_micros")]
    pub waited: Option<Duration>,
    /// Why it is not as it should be; nothing if it is.
    pub failure: Option<String>,
}

impl Kind {
    /// The kinds of a usual run, which need no network, in the order of tables.
    pub const ALL: [Self; 6] = [
        Self::Kill,
        Self::Stop,
        Self::CrashPayload,
        Self::HandOver,
        Self::KillStandby,
        Self::RestartServer,
    ];
}

impl Drill {
    /// Whether the line is served again, or was all the time.
    pub fn recovered(&self) -> bool {
        self.failure.is_none()
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Kill => "kill -9 of the coordinator",
            Self::Stop => "SIGSTOP of the coordinator",
            Self::CrashPayload => "crash of the payload",
            Self::HandOver => "planned hand-over",
            Self::KillStandby => "kill -9 of a standby",
            Self::RestartServer => "restart of the terminal server",
            Self::PowerLoss => "power loss of the coordinator",
            Self::CutFromServer => "coordinator cut from the terminal server",
            Self::Partition => "partition",
            Self::KillServer => "kill -9 of the terminal server",
            Self::Unfit => "failing check of the coordinator",
            Self::KillAll => "kill -9 of all nodes",
        })
    }
}

/// As people and logs write it: `start.count`.
pub(crate) fn epoch<S: Serializer>(epoch: &Epoch, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(epoch)
}
