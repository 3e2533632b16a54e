//! Why the lab cannot go on. In every case all that it had started is ended.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

/// Why the lab cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A program of the chain is not where it should be.
    #[error("there is no {program} in {}; build it, or say where it is with --bin-dir", dir.display())]
    NoProgram {
        /// Its name.
        program: &'static str,
        /// Where it was looked for.
        dir: PathBuf,
    },
    /// cargo could not build the programs; it has said why.
    #[error("failed to build the programs: cargo ended with {0}")]
    Build(ExitStatus),
    /// The system refused something.
    #[error("failed to {doing}: {source}")]
    Io {
        /// What was tried, on what.
        doing: String,
        /// What the system said.
        source: io::Error,
    },
    /// A line or a virtual port cannot be used.
    #[error("{0}")]
    Line(String),
    /// A program of the chain ended by itself.
    #[error("{program} ended with {status}; its last words: {words}")]
    Ended {
        /// Which one.
        program: String,
        /// How.
        status: ExitStatus,
        /// The last line of its log.
        words: String,
    },
    /// Something that must happen did not.
    #[error("{what} did not happen within {within:?}")]
    Late {
        /// What was waited for.
        what: String,
        /// For how long.
        within: Duration,
    },
    /// A program said no.
    #[error("{program} refused: {words}")]
    Refused {
        /// Which one.
        program: String,
        /// In its words.
        words: String,
    },
    /// What was asked of the lab makes no sense at this moment.
    #[error("{0}")]
    Misuse(String),
}

/// What most of the lab's functions give.
pub type Result<T, E = LabError> = std::result::Result<T, E>;

/// Says what was being done when the system refused.
pub(crate) trait Doing<T> {
    /// Wraps the error.
    fn doing(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<io::Error>> Doing<T> for std::result::Result<T, E> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| LabError::Io { doing: what(), source: error.into() })
    }
}
