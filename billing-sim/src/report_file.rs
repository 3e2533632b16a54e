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
            let mut name = path.as_os_str().to_owned();
            name.push(".new");
            let aside = PathBuf::from(name);
            File::create(&aside).map(|file| (file, Some(aside)))
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
            written = written.and_then(|()| fs::rename(&aside, &self.path)).inspect_err(|_| {
                // The error that is told is the first one.
                let _ = fs::remove_file(&aside);
            });
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
