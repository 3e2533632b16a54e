//! What can go wrong with a store, split by what is to be done about it.

use std::io;
use std::path::{Path, PathBuf};

use daemon::{Exit, Failure};
use rusqlite::ErrorCode;
use rusqlite::ffi::{SQLITE_IOERR_SHMSIZE, SQLITE_IOERR_WRITE};
use wire::Epoch;

/// What is wrong with a store. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A newer grant has begun here: whoever hears this is no longer coordinator.
    #[error(
        "{}: the line has moved on to epoch {held}, and epoch {ours} may write nothing any more",
        file.display()
    )]
    Superseded {
        /// The store.
        file: PathBuf,
        /// The epoch that began.
        held: Epoch,
        /// The epoch that wanted to write.
        ours: Epoch,
    },
    /// No room.
    #[error(
        "{}: the disk is full; make room on its file system, the charges and records in it are safe",
        file.display()
    )]
    Full {
        /// The store.
        file: PathBuf,
    },
    /// Somebody else kept it locked for too long.
    #[error(
        "{}: another process has kept it locked for more than {} s; `fuser` says which, end it if \
         it hangs",
        file.display(), super::sqlite::BUSY.as_secs()
    )]
    Busy {
        /// The store.
        file: PathBuf,
    },
    /// It can't be trusted any more, or never was a store.
    #[error(
        "{}: it is damaged or no store ({why}); move it away with its -wal and -shm files and put \
         a backup in its place, see docs/store.md",
        file.display()
    )]
    Damaged {
        /// The store.
        file: PathBuf,
        /// By SQLite's word.
        why: String,
    },
    /// It can't be where it was wanted.
    #[error("{}: {why}", file.display())]
    Place {
        /// The store.
        file: PathBuf,
        /// Why, and what to do.
        why: String,
        /// How a program ends for it.
        exit: Exit,
    },
    /// The caller has asked for what can't be right: a bug.
    #[error("{}: {what}; this is a bug, please report it", file.display())]
    Misuse {
        /// The store.
        file: PathBuf,
        /// What was asked.
        what: String,
    },
    /// The system or SQLite refused in another way.
    #[error("{}: {why}", file.display())]
    Other {
        /// The store.
        file: PathBuf,
        /// By SQLite's word.
        why: String,
    },
}

impl StoreError {
    /// How a program ends for it.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Superseded { .. } | Self::Busy { .. } => Exit::TemporaryFailure,
            Self::Full { .. } | Self::Other { .. } => Exit::Io,
            Self::Damaged { .. } => Exit::NoInput,
            Self::Place { exit, .. } => *exit,
            Self::Misuse { .. } => Exit::Software,
        }
    }

    pub(super) fn io(file: &Path, doing: &str, error: &io::Error) -> Self {
        let (file, why) = (file.to_owned(), format!("{doing}: {error}"));
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { file },
            _ => Self::Place { file, why, exit: error.into() },
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::new(error.exit(), error.to_string())
    }
}

/// What went wrong inside a transaction, which does not know its file.
#[derive(Debug)]
pub(super) enum Fault {
    Sql(rusqlite::Error),
    Superseded {
        held: Epoch,
        ours: Epoch,
    },
    Misuse(String),
    /// The file is not what this release can use.
    Foreign(String),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl Fault {
    pub(super) fn at(self, file: &Path) -> StoreError {
        let file = file.to_owned();
        let error = match self {
            Self::Superseded { held, ours } => return StoreError::Superseded { file, held, ours },
            Self::Misuse(what) => return StoreError::Misuse { file, what },
            Self::Foreign(why) => {
                return StoreError::Place { file, why, exit: Exit::Usage };
            }
            Self::Sql(error) => error,
        };
        let why = error.to_string();
        let place = |why: String, exit| StoreError::Place { file: file.clone(), why, exit };
        // SQLite tells only one kind of a full disk from other errors.
        let extended = error.sqlite_error().map(|error| error.extended_code);
        match error.sqlite_error_code() {
            _ if extended == Some(SQLITE_IOERR_SHMSIZE) => StoreError::Full { file },
            _ if extended == Some(SQLITE_IOERR_WRITE) => {
                let why = format!("{why}: has this user any room left there (`df`, `quota`)?");
                StoreError::Other { file, why }
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Busy { file },
            Some(ErrorCode::DiskFull) => StoreError::Full { file },
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                StoreError::Damaged { file, why }
            }
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
                let why = format!(
                    "{why}: this user needs to write the file, its -wal and -shm files and their \
                     directory"
                );
                place(why, Exit::Permission)
            }
            Some(ErrorCode::CannotOpen) => {
                place(format!("{why}: may this user write in its directory?"), Exit::Permission)
            }
            _ => StoreError::Other { file, why },
        }
    }
}
