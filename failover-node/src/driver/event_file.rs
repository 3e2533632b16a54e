//! The file behind the journal of role changes. All of it may block.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::events::RoleChange;

/// A file of JSON lines that only grows, until somebody renames it.
#[derive(Debug)]
pub(super) struct EventFile {
    path: PathBuf,
    file: Option<File>,
}

impl EventFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, file: None }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends them in order and syncs. What is written is taken out, so that nothing is written
    /// twice when the rest is tried again.
    pub(super) fn append(&mut self, changes: &mut VecDeque<RoleChange>) -> io::Result<()> {
        let appended = self.open().and_then(|file| {
            while let Some(change) = changes.front() {
                write_line(file, change)?;
                changes.pop_front();
            }
            sync(file)
        });
        if appended.is_err() {
            // It is looked at anew by the next try.
            self.file = None;
        }
        appended
    }

    /// The open file, if it still has its name; else the one that has it now, or a new one.
    fn open(&mut self) -> io::Result<&mut File> {
        let named = std::fs::metadata(&self.path).map(|meta| (meta.dev(), meta.ino())).ok();
        let same = match &self.file {
            Some(file) => file.metadata().map(|meta| Some((meta.dev(), meta.ino())) == named)?,
            None => false,
        };
        if !same {
            self.file = None;
        }
        match &mut self.file {
            Some(file) => Ok(file),
            closed => Ok(closed.insert(open(&self.path)?)),
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o640);
    // Its last line may be torn, which only reading shows. A device need not be readable.
    let mut file = match options.clone().read(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => options.open(path)?,
        Err(error) => return Err(error),
    };
    if file.metadata()?.is_file() {
        end_last_line(&mut file)?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        // So that the file itself outlives a power cut; where that cannot be, it is as it is.
        let _ = File::open(parent.unwrap_or_else(|| Path::new("."))).and_then(|dir| dir.sync_all());
    }
    Ok(file)
}

/// What a crash has torn stays for whoever wants to read it, but the next line begins anew.
fn end_last_line(file: &mut File) -> io::Result<()> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(());
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    // A file that was opened to append only is left alone.
    if file.read(&mut last).is_ok_and(|n| n == 1) && last != *b"\n" {
        file.write_all(b"\n")?;
    }
    Ok(())
}

/// All of it or, as far as that can be, nothing.
fn write_line(file: &mut File, change: &RoleChange) -> io::Result<()> {
    let mut line = serde_json::to_vec(change)?;
    line.push(b'\n');
    let before = file.metadata()?.len();
    file.write_all(&line).inspect_err(|_| {
        // A device has no length, and then there is nothing to take back either.
        let _ = file.set_len(before);
    })
}

fn sync(file: &File) -> io::Result<()> {
    match file.sync_data() {
        // A pipe or a device has nothing to sync.
        Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(()),
        synced => synced,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(cause: &str) -> RoleChange {
        RoleChange {
            time: "2026-11-23T08:26:02.123456Z".to_owned(),
            boot_ms: 1,
            boot: "00".to_owned(),
            node: "a".to_owned(),
            line: "pms".to_owned(),
            from: None,
            to: "standby".to_owned(),
            epoch: None,
            cause: cause.to_owned(),
            peer: None,
            lasted_ms: 0,
            unserved_ms: None,
            lost: 0,
        }
    }

    fn causes(path: &Path) -> Vec<String> {
        let text = std::fs::read_to_string(path).unwrap();
        let cause = |line| serde_json::from_str::<RoleChange>(line).map(|change| change.cause);
        text.lines().map(|line| cause(line).unwrap_or_else(|_| "torn".to_owned())).collect()
    }

    #[test]
    fn a_line_torn_by_a_crash_is_ended_and_the_next_begins_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events");
        std::fs::write(&path, "{\"time\":\"2026").unwrap();
        EventFile::new(path.clone()).append(&mut [change("one")].into()).unwrap();
        EventFile::new(path.clone()).append(&mut [change("two")].into()).unwrap();
        assert_eq!(causes(&path), ["torn", "one", "two"]);
    }

    #[test]
    fn a_file_that_was_renamed_away_is_followed_by_a_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let (path, old) = (dir.path().join("events"), dir.path().join("events.1"));
        let mut file = EventFile::new(path.clone());
        file.append(&mut [change("one"), change("two")].into()).unwrap();
        std::fs::rename(&path, &old).unwrap();
        file.append(&mut [change("three")].into()).unwrap();
        assert_eq!(causes(&old), ["one", "two"]);
        assert_eq!(causes(&path), ["three"]);
    }

    #[test]
    fn what_a_full_disk_refused_is_kept_and_written_when_there_is_room() {
        let mut changes: VecDeque<_> = [change("one"), change("two")].into();
        let mut file = EventFile::new("/dev/full".into());
        let error = file.append(&mut changes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        assert_eq!(changes.len(), 2);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events");
        EventFile::new(path.clone()).append(&mut changes).unwrap();
        assert_eq!(causes(&path), ["one", "two"]);
    }
}
