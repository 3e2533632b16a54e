//! The state directory: what outlives the process, written so that no crash can tear it.
//!
//! One file for all lines: at a start and at a stop it is written and synced once, however many
//! lines there are. While they run it says no more of each than that it runs.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use daemon::Exit;
use thiserror::Error;
use wire::Name;

use super::state_file::{Damage, State};
use crate::core::{Saved, Start};

/// A state directory that is ours alone, or the want of one.
#[derive(Debug)]
pub struct StateDir {
    /// `None`: nothing outlives this process.
    dir: Option<PathBuf>,
    /// Held for the life of the process; the state file itself is replaced at every write.
    _lock: Option<File>,
    state: State,
    /// What was there could not be read and was put aside: input may be lost.
    lost: bool,
}

/// Why there is no usable state. Nothing was changed.
#[derive(Debug, Error)]
pub enum StateError {
    /// The first start here, or the wrong directory.
    #[error(
        "there is no state in {0}: if this terminal server really starts for the first time, \
         pass --new-state once"
    )]
    Missing(PathBuf),
    /// It is there and says nothing.
    #[error(
        "the state in {path} is damaged: {damage}; put a good copy back, or pass --new-state to \
         start over (kept input is lost then)"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        damage: Damage,
    },
    /// Two daemons with one state would grant the same epochs.
    #[error("the state in {0} is in use by another terminal server")]
    InUse(PathBuf),
    /// The start numbers, one a start, are used up.
    #[error("the start number in {0} cannot be raised further")]
    UsedUp(PathBuf),
    /// A line without a state has no number to raise.
    #[error("no state is kept: pass --state")]
    NotKept,
    /// The daemon ended, or broke, before the write did.
    #[error("the state was not written to its end")]
    Unfinished,
    /// The file system refused.
    #[error("failed to {doing} {path}: {source}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl StateDir {
    /// Locks and reads the directory. `new` allows to begin where there is no readable state; a
    /// good one is always used, so that `--new-state` in a unit file does no harm.
    pub fn open(dir: &Path, new: bool) -> Result<Self, StateError> {
        if new && !dir.exists() {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
            made.map_err(at("create", dir))?;
        }
        if !dir.is_dir() {
            return Err(StateError::Missing(dir.to_owned()));
        }
        let lock = lock(dir)?;
        let path = dir.join(FILE);
        let (state, lost) = match fs::read(&path) {
            Ok(file) => match State::decode(&file) {
                Ok(state) => (state, false),
                Err(damage) if new => {
                    let aside = dir.join(ASIDE);
                    fs::rename(&path, &aside).map_err(at("put aside", &path))?;
                    tracing::warn!(%damage, aside = %aside.display(), "damaged state put aside");
                    (State { start: first_start(), ..State::default() }, true)
                }
                Err(damage) => return Err(StateError::Damaged { path, damage }),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound && new => {
                (State { start: first_start(), ..State::default() }, false)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(StateError::Missing(dir.to_owned()));
            }
            Err(error) => return Err(at("read", &path)(error)),
        };
        Ok(Self { dir: Some(dir.to_owned()), _lock: Some(lock), state, lost })
    }

    /// For lines without groups, whose epochs nobody checks: they resume when they are started
    /// again by the same process.
    pub fn unkept() -> Self {
        let state = State { start: first_start(), ..State::default() };
        Self { dir: None, _lock: None, state, lost: false }
    }

    /// Raises the start number and hands out what a clean stop left of `lines`, in one write: if
    /// this process is killed, the next one must not take the old streams for the present ones.
    pub fn begin(&mut self, lines: &[Name]) -> Result<Vec<Start>, StateError> {
        let number = self
            .state
            .start
            .checked_add(1)
            .ok_or_else(|| StateError::UsedUp(self.dir.clone().unwrap_or_default()))?;
        let mut state = self.state.clone();
        state.start = number;
        let mut starts = Vec::with_capacity(lines.len());
        for line in lines {
            let before = state.lines.insert(line.clone(), None);
            let unclean = before == Some(None) || (before.is_none() && self.lost);
            starts.push(Start { number, saved: before.flatten(), unclean });
        }
        self.write(state)?;
        Ok(starts)
    }

    /// The highest start number so far.
    pub fn number(&self) -> u32 {
        self.state.start
    }

    /// Raises the start number to at least `start`.
    pub fn raise(&mut self, start: u32) -> Result<u32, StateError> {
        if self.dir.is_none() {
            return Err(StateError::NotKept);
        }
        if start > self.state.start {
            self.write(State { start, ..self.state.clone() })?;
        }
        Ok(self.state.start)
    }

    /// Leaves what these lines saved for their next start.
    pub fn finish(
        &mut self,
        lines: impl IntoIterator<Item = (Name, Saved)>,
    ) -> Result<(), StateError> {
        let mut state = self.state.clone();
        state.lines.extend(lines.into_iter().map(|(line, saved)| (line, Some(saved))));
        self.write(state)
    }

    /// On the disk when this returns, and whole at any moment before.
    fn write(&mut self, state: State) -> Result<(), StateError> {
        let Some(kept) = &self.dir else {
            self.state = state;
            return Ok(());
        };
        let (path, new) = (kept.join(FILE), kept.join(NEW));
        // Input of a billing line is nobody else's business.
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&new).map_err(at("create", &new))?;
        file.write_all(&state.encode()).map_err(at("write", &new))?;
        file.sync_all().map_err(at("sync", &new))?;
        fs::rename(&new, &path).map_err(at("replace", &path))?;
        let dir = File::open(kept).map_err(at("open", kept))?;
        dir.sync_all().map_err(at("sync", kept))?;
        self.state = state;
        Ok(())
    }
}

/// The start number where no state is kept or none is left.
///
/// The wall clock's seconds are above every number of a lost state, which grew by one a start;
/// so epochs and incarnations grow all the same.
#[expect(clippy::disallowed_methods, reason = "read once, as a number that grew since last time")]
pub fn first_start() -> u32 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u32::try_from(since.as_secs()).unwrap_or(0))
}

impl From<&StateError> for Exit {
    fn from(error: &StateError) -> Self {
        match error {
            StateError::Missing(_) | StateError::NotKept => Self::Usage,
            StateError::Damaged { .. } | StateError::UsedUp(_) => Self::NoInput,
            StateError::InUse(_) => Self::Unavailable,
            StateError::Unfinished => Self::Io,
            StateError::Io { source, .. } => source.into(),
        }
    }
}

fn lock(dir: &Path) -> Result<File, StateError> {
    let path = dir.join(LOCK);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(&path).map_err(at("create", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StateError::InUse(dir.to_owned())),
        Err(TryLockError::Error(error)) => Err(at("lock", &path)(error)),
    }
}

fn at(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StateError {
    let path = path.to_owned();
    move |source| StateError::Io { doing, path, source }
}

const FILE: &str = "terminal-server.state";
const NEW: &str = "terminal-server.state.new";
const ASIDE: &str = "terminal-server.state.damaged";
const LOCK: &str = "lock";

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use wire::{Epoch, LastFrame};

    use super::*;

    fn line() -> Name {
        "pms".parse().unwrap()
    }

    fn saved() -> Saved {
        Saved {
            incarnation: 1,
            acked: 2,
            delivered: 3,
            bytes: Bytes::from_static(b"xyz"),
            events: Vec::new(),
            note: Bytes::new(),
            position: 4,
            unfinished: Bytes::new(),
            last: LastFrame::default(),
            epoch: Epoch::new(1, 1),
            holder: None,
            lease_ms: 400,
        }
    }

    #[test]
    fn nothing_begins_without_a_state_unless_told() {
        let dir = tempfile::tempdir().unwrap();
        let error = StateDir::open(dir.path(), false).unwrap_err();
        assert!(matches!(error, StateError::Missing(_)));
        assert!(error.to_string().contains("--new-state"));
        let nowhere = dir.path().join("a/b");
        assert!(matches!(StateDir::open(&nowhere, false), Err(StateError::Missing(_))));
        let start = StateDir::open(&nowhere, true).unwrap().begin(&[line()]).unwrap().remove(0);
        assert!(start.number > 1_700_000_000, "grows over whatever was lost");
        assert!(!start.unclean && start.saved.is_none());
    }

    #[test]
    fn i5_every_start_is_higher_and_a_kill_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let first = StateDir::open(dir.path(), true).unwrap().begin(&[line()]).unwrap().remove(0);
        let mut state = StateDir::open(dir.path(), false).unwrap();
        let killed = state.begin(&[line()]).unwrap().remove(0);
        assert_eq!(killed.number, first.number + 1);
        assert!(killed.unclean);
        state.finish([(line(), saved())]).unwrap();
        drop(state);
        let clean = StateDir::open(dir.path(), true).unwrap().begin(&[line()]).unwrap().remove(0);
        assert_eq!((clean.number, clean.unclean), (killed.number + 1, false));
        assert_eq!(clean.saved, Some(saved()));
        let again = StateDir::open(dir.path(), false).unwrap().begin(&[line()]).unwrap().remove(0);
        assert!(again.unclean && again.saved.is_none(), "a saved stream goes on once");
    }

    #[test]
    fn a_raised_start_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let mut state = StateDir::open(dir.path(), true).unwrap();
        let first = state.begin(&[line()]).unwrap().remove(0).number;
        assert_eq!(state.raise(first + 100).unwrap(), first + 100);
        assert_eq!(state.raise(first).unwrap(), first + 100);
        drop(state);
        let next = StateDir::open(dir.path(), false).unwrap().begin(&[line()]).unwrap().remove(0);
        assert_eq!(next.number, first + 101);
        let mut state = StateDir::open(dir.path(), false).unwrap();
        state.raise(u32::MAX).unwrap();
        assert!(matches!(state.begin(&[line()]), Err(StateError::UsedUp(_))));
    }

    #[test]
    fn i5_a_line_that_is_started_again_by_the_same_process_has_a_higher_number() {
        let dir = tempfile::tempdir().unwrap();
        for mut state in [StateDir::open(dir.path(), true).unwrap(), StateDir::unkept()] {
            let other: Name = "cdr".parse().unwrap();
            let first = state.begin(&[line(), other.clone()]).unwrap();
            assert_eq!(first[0].number, first[1].number);
            state.finish([(line(), saved())]).unwrap();
            let again = state.begin(&[line()]).unwrap().remove(0);
            assert_eq!((again.number, again.saved), (first[0].number + 1, Some(saved())));
            assert!(state.begin(&[other]).unwrap()[0].unclean, "it was not stopped");
        }
    }

    #[test]
    fn two_daemons_do_not_share_a_state() {
        let dir = tempfile::tempdir().unwrap();
        let _first = StateDir::open(dir.path(), true).unwrap();
        assert!(matches!(StateDir::open(dir.path(), true), Err(StateError::InUse(_))));
    }

    #[test]
    fn damage_is_told_and_put_aside_only_when_allowed() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), "garbage").unwrap();
        let error = StateDir::open(dir.path(), false).unwrap_err();
        assert!(matches!(error, StateError::Damaged { .. }), "{error}");
        let start = StateDir::open(dir.path(), true).unwrap().begin(&[line()]).unwrap().remove(0);
        assert!(start.unclean);
        assert_eq!(fs::read(dir.path().join(ASIDE)).unwrap(), b"garbage");
    }
}
