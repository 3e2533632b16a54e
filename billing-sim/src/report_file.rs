//! A report's file: there as a whole, or as it was before.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use daemon::{Exit, Failure, OrExit};

/// A file that will be written when a run is over. It can be: the place for it was made.
#[derive(Debug)]
pub struct ReportFile {
    path: PathBuf,
    file: File,
    /// Where it is written until it is whole; `None`: a pipe or a device, which has no other place.
    aside: Option<PathBuf>,
}

impl ReportFile {
    /// Makes the place. What is at `path` stays as it is.
    ///
    /// # Errors
    /// There can be no such file; the message names it.
    pub fn create(path: &Path) -> Result<Self, Failure> {
        let is_plain = fs::symlink_metadata(path).map_or(true, |found| found.is_file());
        let opened = if is_plain {
            create_aside(path).map(|(file, aside)| (file, Some(aside)))
        } else {
            OpenOptions::new().write(true).open(path).map(|file| (file, None))
        };
        let (file, aside) = named(path, opened)?;
        Ok(Self { path: path.to_owned(), file, aside })
    }

    /// Writes it.
    ///
    /// # Errors
    /// It can't be written; the message names it.
    pub fn write(mut self, text: &str) -> Result<(), Failure> {
        let mut written = self.file.write_all(text.as_bytes());
        if let Some(aside) = self.aside.take() {
            // What is mounted on its own, as into a container, can't be replaced: it is overwritten.
            let put = || fs::rename(&aside, &self.path).or_else(|_| fs::write(&self.path, text));
            written = written.and_then(|()| put());
            // It is gone, or of no more use. The error that is told is the first one.
            let _ = fs::remove_file(&aside);
        } else if fs::metadata(&self.path).is_ok_and(|found| found.is_file()) {
            written = written.and_then(|()| self.file.set_len(text.len() as u64));
        }
        named(&self.path, written)
    }
}

/// Of a run that could not be made, nothing is left.
impl Drop for ReportFile {
    fn drop(&mut self) {
        if let Some(aside) = &self.aside {
            let _ = fs::remove_file(aside);
        }
    }
}

/// Whether two reports would end up in one file, the one in the other's place.
pub fn is_one(path: &Path, other: &Path) -> bool {
    let is_plain = fs::metadata(path).map_or(true, |found| found.is_file());
    let absolute = |path: &Path| fs::canonicalize(path).or_else(|_| std::path::absolute(path));
    is_plain && absolute(path).ok() == absolute(other).ok()
}

/// A new file beside `path`: nobody else's, and not that of another run that is under way.
fn create_aside(path: &Path) -> io::Result<(File, PathBuf)> {
    let mut tried = 0;
    loop {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}-{tried}.new", std::process::id()));
        let aside = PathBuf::from(name);
        match OpenOptions::new().write(true).create_new(true).open(&aside) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && tried < MAX_TRIED => {
                tried += 1;
            }
            opened => return opened.map(|file| (file, aside)),
        }
    }
}

/// Names tried for a file aside: what runs that were killed have left, with a process id that came
/// again.
const MAX_TRIED: u32 = 100;

fn named<T>(path: &Path, result: io::Result<T>) -> Result<T, Failure> {
    result.map_err(|error| format!("{}: {error}", path.display())).or_exit(Exit::CannotCreate)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_report_replaces_the_last_one_only_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        fs::write(&path, "a longer one from before").unwrap();
        drop(ReportFile::create(&path).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "a longer one from before");
        ReportFile::create(&path).unwrap().write("new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        assert!(ReportFile::create(&folder.path().join("none/report.json")).is_err());
    }

    #[test]
    fn a_report_that_can_not_replace_the_last_one_overwrites_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        fs::write(&path, "a longer one from before").unwrap();
        let file = ReportFile::create(&path).unwrap();
        // As a mount point does, this makes the rename fail.
        fs::remove_file(file.aside.as_ref().unwrap()).unwrap();
        file.write("new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
    }

    #[test]
    fn two_runs_and_two_reports_do_not_share_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        let [one, other] = [(); 2].map(|()| ReportFile::create(&path).unwrap());
        one.write("one").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one");
        other.write("other").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "other");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        assert!(is_one(&path, &folder.path().join("./report.json")));
        assert!(!is_one(&path, &folder.path().join("verdicts.xml")));
        assert!(!is_one(Path::new("/dev/null"), Path::new("/dev/null")));
    }

    #[test]
    fn what_is_no_plain_file_stays_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("real"), folder.path().join("link"));
        fs::write(&path, "a longer one from before").unwrap();
        symlink(&path, &link).unwrap();
        ReportFile::create(&link).unwrap().write("new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }
}
