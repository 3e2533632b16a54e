//! What the lab does to the chain.

use serde::Serialize;

use crate::drill::Drill;
use crate::process::Process;

/// One thing done to the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Deed {
    /// A program was started.
    Started {
        /// Which one.
        program: String,
        /// Its number.
        pid: u32,
    },
    /// A program was killed with SIGKILL.
    Killed {
        /// Which one.
        program: String,
        /// Its number.
        pid: u32,
    },
    /// A program was stopped with SIGSTOP.
    Stopped {
        /// Which one.
        program: String,
        /// Its number.
        pid: u32,
    },
    /// A stopped program goes on.
    Continued {
        /// Which one.
        program: String,
        /// Its number.
        pid: u32,
    },
    /// A coordinator's payload was killed with SIGKILL.
    CrashedPayload {
        /// Whose.
        node: String,
        /// The payload's number.
        pid: u32,
    },
    /// A coordinator was asked to hand over.
    AskedToHandOver {
        /// Which one.
        node: String,
    },
    /// A program was asked to end with SIGTERM.
    AskedToEnd {
        /// Which one.
        program: String,
        /// Its number.
        pid: u32,
    },
    /// Frames vanish from now on.
    Cut {
        /// Which ones, in words.
        what: String,
    },
    /// No frames vanish any more.
    Healed,
    /// A drill is over.
    Drilled(Box<Drill>),
    /// Something to know.
    Note {
        /// In words.
        text: String,
    },
}

impl Deed {
    /// `process` was started.
    pub(crate) fn started(process: &Process) -> Self {
        Self::Started { program: process.name().to_owned(), pid: process.pid() }
    }

    /// `process` was killed.
    pub(crate) fn killed(process: &Process) -> Self {
        Self::Killed { program: process.name().to_owned(), pid: process.pid() }
    }

    /// `process` was stopped.
    pub(crate) fn stopped(process: &Process) -> Self {
        Self::Stopped { program: process.name().to_owned(), pid: process.pid() }
    }

    /// `process` goes on.
    pub(crate) fn continued(process: &Process) -> Self {
        Self::Continued { program: process.name().to_owned(), pid: process.pid() }
    }

    /// `process` was asked to end.
    pub(crate) fn asked_to_end(process: &Process) -> Self {
        Self::AskedToEnd { program: process.name().to_owned(), pid: process.pid() }
    }
}
