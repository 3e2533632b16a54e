//! The files of a trace: appended to, rotated, and put up with when the disk is full.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::OFlags;
use wire::Time;

use super::TraceOptions;
use super::format::Entry;

/// The present file.
#[derive(Debug)]
pub(super) struct TraceFile {
    options: TraceOptions,
    file: File,
    /// Bytes in it, the buffer's included. A pipe has none and is never full.
    size: Option<u64>,
    buffer: Vec<u8>,
    base: Base,
    /// Rows' bytes that could not be written since that was last said, and why.
    failed: Option<(u64, io::Error)>,
}

/// What the wall clock showed at a time of the boot clock. Taken anew with each file, so that a
/// clock that was set meanwhile is followed, and never inside of one, so that rows keep their order.
#[derive(Debug, Clone, Copy)]
struct Base {
    boot: Duration,
    wall: Duration,
}

impl TraceFile {
    pub(super) fn open(options: TraceOptions) -> io::Result<Self> {
        let (file, size) = open(&options)?;
        let mut this =
            Self { options, file, size, buffer: Vec::new(), base: Base::now(), failed: None };
        this.begin();
        Ok(this)
    }

    /// Adds an entry, which reaches the file at the next [`Self::flush`] at the latest.
    pub(super) fn write(&mut self, now: Time, entry: &Entry) {
        // Only now, so that the newest file never is an empty one.
        if self.size.is_some_and(|size| size >= self.options.max_size) {
            self.rotate();
        }
        let before = self.buffer.len();
        entry.write(self.base.wall(now), &mut self.buffer);
        if let Some(size) = &mut self.size {
            *size += (self.buffer.len() - before) as u64;
        }
        if self.buffer.len() >= BUFFER {
            self.flush();
        }
    }

    /// Writes what is in the buffer. If it cannot be written it is dropped and counted: memory must
    /// not grow because a disk is full.
    pub(super) fn flush(&mut self) {
        if let Some((bytes, error)) = &self.failed
            && !self.buffer.is_empty()
        {
            let mut note = Vec::new();
            let text = format!("left out: {bytes} bytes of this file: {error}");
            Entry::Event(text).write(Base::now().wall, &mut note);
            self.buffer.splice(0..0, note);
        }
        if self.buffer.is_empty() {
            return;
        }
        match self.file.write_all(&self.buffer) {
            Ok(()) => self.failed = None,
            Err(error) => {
                let path = self.options.path.display();
                if self.failed.is_none() {
                    tracing::warn!(%path, %error, "the trace cannot be written; it is tried again");
                }
                let before = self.failed.take().map_or(0, |(bytes, _)| bytes);
                self.failed = Some((before + self.buffer.len() as u64, error));
            }
        }
        self.buffer.clear();
    }

    /// The present file becomes the first old one, and a new one begins.
    fn rotate(&mut self) {
        self.flush();
        match self.shift().and_then(|()| open(&self.options)) {
            Ok((file, size)) => {
                (self.file, self.size) = (file, size);
                self.base = Base::now();
                self.begin();
            }
            Err(error) => {
                let path = self.options.path.display();
                tracing::warn!(%path, %error, "the trace cannot be rotated; it goes on as it is");
                // Tried again when as much has been written once more.
                self.size = Some(0);
            }
        }
    }

    fn shift(&self) -> io::Result<()> {
        let TraceOptions { path, keep, .. } = &self.options;
        if *keep == 0 {
            return fs::remove_file(path);
        }
        for n in (1..*keep).rev() {
            match fs::rename(self.old(n), self.old(n + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(path, self.old(1))
    }

    fn old(&self, n: u32) -> PathBuf {
        let mut name = OsString::from(&self.options.path);
        name.push(format!(".{n}"));
        name.into()
    }

    /// Says what this is, at the head of a file and after each start of the daemon.
    fn begin(&mut self) {
        let title = &self.options.title;
        let text = format!("# {title}; time (UTC), < input or > output, offset, hex, meaning\n");
        self.buffer.extend_from_slice(text.as_bytes());
        if let Some(size) = &mut self.size {
            *size += text.len() as u64;
        }
    }
}

impl Base {
    fn now() -> Self {
        Self { boot: sys::boottime(), wall: daemon::wall::now() }
    }

    fn wall(&self, now: Time) -> Duration {
        // What was queued before this base was taken is earlier than it.
        let now = now.since_boot();
        match now.checked_sub(self.boot) {
            Some(later) => self.wall + later,
            None => self.wall.saturating_sub(self.boot - now),
        }
    }
}

/// The file, made or appended to, and its size unless it is none but a pipe.
fn open(options: &TraceOptions) -> io::Result<(File, Option<u64>)> {
    let file = OpenOptions::new()
        // Read as well, as a pipe then opens before it has a reader.
        .read(true)
        .append(true)
        .create(true)
        .mode(MODE)
        // A link in a directory that others can write to must not lead us elsewhere.
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(&options.path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Ok((file, None));
    }
    file.set_permissions(fs::Permissions::from_mode(MODE))?;
    Ok((file, Some(meta.len())))
}

/// What goes over a line is its owners' business: names of guests, numbers that were called.
const MODE: u32 = 0o600;
/// One write to the disk when there is much to write.
const BUFFER: usize = 64 * 1024;
