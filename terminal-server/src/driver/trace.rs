//! The traffic of a line as text, in a file that is rotated by size.
//!
//! The line never waits for it. Entries go through a bounded queue to a thread of their own; when
//! the disk is too slow for the traffic, entries are left out, and the trace says of how many bytes.

mod file;
pub mod format;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::thread;
use std::time::Duration;

use wire::Time;

use self::file::TraceFile;
use self::format::Entry;

/// What a trace is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceOptions {
    /// The file. Older ones have `.1`, `.2` and so on after its name, the newest first.
    pub path: PathBuf,
    /// What each file begins with, as the line's name and settings.
    pub title: String,
    /// A file that has reached this size in bytes makes place for a new one.
    pub max_size: u64,
    /// How many old files are kept.
    pub keep: u32,
}

/// Why there is no trace. Nothing runs then; an empty file may have been made.
#[derive(Debug, thiserror::Error)]
#[error("failed to open the trace {}: {source}", path.display())]
pub struct TraceError {
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// An open trace. Dropping it writes what is queued, which is waited for [`LAST_WRITES`] at most.
#[derive(Debug)]
pub struct Trace {
    queue: Option<SyncSender<(Time, Entry, Left)>>,
    shared: Arc<Shared>,
    ended: Receiver<()>,
}

/// What both sides count.
#[derive(Debug, Default)]
struct Shared {
    /// Memory of the entries in the queue.
    queued: AtomicUsize,
    /// Bytes left out since that was last said.
    left_in: AtomicU64,
    left_out: AtomicU64,
}

/// Bytes of each direction that are missing before an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Left {
    input: u64,
    output: u64,
}

impl Trace {
    /// Opens the file, to be appended to, with mode 0600, and starts its thread.
    ///
    /// # Errors
    /// See [`TraceError`].
    pub fn open(options: TraceOptions) -> Result<Self, TraceError> {
        let path = options.path.clone();
        let failed = |source| TraceError { path, source };
        let file = match TraceFile::open(options) {
            Ok(file) => file,
            Err(source) => return Err(failed(source)),
        };
        let (queue, entries) = sync_channel(QUEUE_ENTRIES);
        // Holds nothing: it tells by its end that the thread has ended.
        let (end, ended) = sync_channel(0);
        let shared = Arc::new(Shared::default());
        let theirs = shared.clone();
        let writer = move || {
            write(file, &entries, &theirs);
            drop(end);
        };
        thread::Builder::new().name("trace".to_owned()).spawn(writer).map_err(failed)?;
        Ok(Self { queue: Some(queue), shared, ended })
    }

    /// Bytes were read from the line, the first of them at this offset of its input.
    pub fn input(&self, offset: u64, bytes: &[u8], now: Time) {
        if !self.put(bytes.len(), now, || Entry::Input(offset, bytes.to_vec())) {
            self.shared.left_in.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
    }

    /// Bytes were handed to the line, the first of them at this position of its output.
    pub fn output(&self, position: u64, bytes: &[u8], now: Time) {
        if !self.put(bytes.len(), now, || Entry::Output(position, bytes.to_vec())) {
            self.shared.left_out.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
    }

    /// Something else happened. Left out silently if the disk is too slow.
    pub fn event(&self, text: &str, now: Time) {
        self.put(text.len(), now, || Entry::Event(text.to_owned()));
    }

    /// Whether there was room. The entry is made only then: a stuck disk costs the line no copies.
    fn put(&self, len: usize, now: Time, entry: impl FnOnce() -> Entry) -> bool {
        let Some(queue) = &self.queue else { return false };
        if self.shared.queued.load(Ordering::Relaxed) + len > QUEUE_BYTES {
            return false;
        }
        let entry = entry();
        let size = entry.size();
        let left = self.shared.take_left();
        self.shared.queued.fetch_add(size, Ordering::Relaxed);
        let sent = queue.try_send((now, entry, left)).is_ok();
        if !sent {
            self.shared.queued.fetch_sub(size, Ordering::Relaxed);
            self.shared.give_back(left);
        }
        sent
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        self.queue = None;
        if self.ended.recv_timeout(LAST_WRITES) == Err(RecvTimeoutError::Timeout) {
            // The thread goes with the process; the disk may never answer.
            tracing::warn!("the end of a trace is not written: its disk is too slow");
        }
    }
}

impl Shared {
    fn take_left(&self) -> Left {
        Left {
            input: self.left_in.swap(0, Ordering::Relaxed),
            output: self.left_out.swap(0, Ordering::Relaxed),
        }
    }

    fn give_back(&self, left: Left) {
        self.left_in.fetch_add(left.input, Ordering::Relaxed);
        self.left_out.fetch_add(left.output, Ordering::Relaxed);
    }
}

impl Left {
    /// In words; `None` if nothing is missing.
    fn said(self, why: &str) -> Option<Entry> {
        let Self { input, output } = self;
        let text = || format!("left out: {input} bytes of input, {output} of output: {why}");
        (input + output > 0).then(|| Entry::Event(text()))
    }
}

/// The thread: writes until the other side has gone and the queue is empty.
fn write(mut file: TraceFile, entries: &Receiver<(Time, Entry, Left)>, shared: &Shared) {
    let mut last = Time::ZERO;
    loop {
        let next = match entries.try_recv() {
            Err(TryRecvError::Empty) => {
                // Nothing older is on its way, so this is the place of what was left out.
                if let Some(entry) = shared.take_left().said(SLOW) {
                    file.write(last, &entry);
                }
                file.flush();
                entries.recv().ok()
            }
            next => next.ok(),
        };
        let Some((now, entry, left)) = next else { break };
        shared.queued.fetch_sub(entry.size(), Ordering::Relaxed);
        if let Some(entry) = left.said(SLOW) {
            file.write(now, &entry);
        }
        file.write(now, &entry);
        last = now;
    }
    if let Some(entry) = shared.take_left().said(SLOW) {
        file.write(last, &entry);
    }
    file.flush();
}

const SLOW: &str = "the disk is too slow";
/// Memory for entries that wait for the disk: 90 s of a line at 115,200 bit/s.
const QUEUE_BYTES: usize = 1 << 20;
/// Entries that wait: short ones too are bounded, and the queue's own memory is 64 KiB.
const QUEUE_ENTRIES: usize = 1024;
/// How long the end waits for the disk: a busy one catches up, a dead one keeps nobody.
pub const LAST_WRITES: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    use std::path::Path;

    use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};

    use super::*;

    fn options(path: &Path) -> TraceOptions {
        let title = "line pms, 9600,8N1".to_owned();
        TraceOptions { path: path.to_owned(), title, max_size: 1 << 20, keep: 3 }
    }

    fn now() -> Time {
        Time::from_boot(sys::boottime())
    }

    /// The rows without their times and without the title.
    fn rows(path: &Path) -> Vec<String> {
        let text = std::fs::read_to_string(path).unwrap();
        let rows = text.lines().filter(|row| !row.starts_with('#'));
        rows.map(|row| row.split_once("Z ").unwrap().1.to_owned()).collect()
    }

    #[test]
    fn what_was_told_is_in_the_file_when_the_trace_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pms.trace");
        let trace = Trace::open(options(&path)).unwrap();
        trace.input(10, b"\x02A", now());
        trace.output(0, b"\x06", now());
        trace.event("down", now());
        drop(trace);
        let rows = rows(&path);
        assert_eq!(rows.len(), 3, "{rows:?}");
        assert!(rows[0].starts_with("<           10  02 41 ") && rows[0].ends_with(" <STX>A"));
        assert!(rows[1].starts_with(">            0  06 ") && rows[1].ends_with(" <ACK>"));
        assert_eq!(rows[2], "-               down");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("# line pms, 9600,8N1; "), "{text}");
    }

    #[test]
    fn times_are_those_of_the_wall_clock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pms.trace");
        let wall = || daemon::wall::now().as_secs();
        let before = wall();
        let trace = Trace::open(options(&path)).unwrap();
        trace.event("now", now());
        drop(trace);
        let after = wall();
        let text = std::fs::read_to_string(&path).unwrap();
        let row = text.lines().last().unwrap();
        let near = (before..=after + 1)
            .map(|second| daemon::wall::stamp(Duration::from_secs(second))[..19].to_owned());
        assert!(near.into_iter().any(|second| row.starts_with(&second)), "{row}");
    }

    #[test]
    fn only_the_owner_may_read_it_though_others_could_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pms.trace");
        std::fs::write(&path, "# old\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        let trace = Trace::open(TraceOptions { max_size: 100, ..options(&path) }).unwrap();
        assert_eq!(mode(&path), 0o600);
        trace.input(0, &[0; 64], now());
        trace.input(64, &[0; 64], now());
        drop(trace);
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(&dir.path().join("pms.trace.1")), 0o600);
    }

    #[test]
    fn a_full_file_makes_place_and_so_many_old_ones_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pms.trace");
        let old = |n: u32| dir.path().join(format!("pms.trace.{n}"));
        let trace = Trace::open(TraceOptions { max_size: 1000, ..options(&path) }).unwrap();
        for n in 0..100 {
            trace.input(n, b"x", now());
        }
        drop(trace);
        assert!(old(3).exists() && !old(4).exists());
        let mut kept: Vec<u64> = Vec::new();
        for path in [old(3), old(2), old(1), path] {
            let size = path.metadata().unwrap().len();
            assert!(size < 1100, "{}: {size} bytes", path.display());
            let offset =
                |row: &String| row.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap();
            kept.extend(rows(&path).iter().map(offset));
        }
        // No row is missing or doubled where one file goes over into the next.
        let expected: Vec<u64> = (kept[0]..100).collect();
        assert_eq!(kept, expected);
        assert!(kept.len() > 25, "{} rows are kept", kept.len());
    }

    #[test]
    fn without_old_files_there_is_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pms.trace");
        let few = TraceOptions { max_size: 1000, keep: 0, ..options(&path) };
        let trace = Trace::open(few).unwrap();
        for n in 0..50 {
            trace.input(n, b"x", now());
        }
        drop(trace);
        assert_eq!(dir.path().read_dir().unwrap().count(), 1);
        assert!(rows(&path).last().unwrap().contains(" 49 "));
    }

    #[test]
    fn a_disk_that_takes_nothing_holds_up_nobody_and_what_is_missing_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pms.trace");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let trace = Trace::open(options(&path)).unwrap();
        let begin = sys::boottime();
        let (count, piece) = (4096_u64, [b'x'; 4096]);
        for n in 0..count {
            trace.input(n * 4096, &piece, now());
        }
        let took = sys::boottime() - begin;
        assert!(took < Duration::from_secs(10), "16 MiB took {took:?}");
        // The disk comes back.
        let nonblock = OFlags::NONBLOCK.bits().cast_signed();
        let mut pipe = std::fs::OpenOptions::new().read(true).custom_flags(nonblock).open(&path);
        let (mut text, mut buf) = (Vec::new(), [0; 65536]);
        while !String::from_utf8_lossy(&text[text.len().saturating_sub(200)..]).contains("left out")
        {
            assert!(sys::boottime() - begin < Duration::from_secs(20), "it never says so");
            match pipe.as_mut().unwrap().read(&mut buf) {
                Ok(count) => text.extend_from_slice(&buf[..count]),
                Err(_) => thread::yield_now(),
            }
        }
        let text = String::from_utf8(text).unwrap();
        let traced = text.lines().filter(|row| row.contains("Z < ")).count() as u64 * 16;
        let (_, left) = text.split_once("left out: ").unwrap();
        let left: u64 = left.split(' ').next().unwrap().parse().unwrap();
        assert_eq!(traced + left, count * 4096, "each byte is there or counted");
        assert!(text.contains(" of output: the disk is too slow"), "{text}");
        assert!(left > 0);
    }

    #[test]
    fn the_end_waits_for_a_dead_disk_within_its_bound() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pms.trace");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let trace = Trace::open(options(&path)).unwrap();
        for n in 0..100 {
            trace.input(n * 4096, &[0; 4096], now());
        }
        let begin = sys::boottime();
        drop(trace);
        let took = sys::boottime() - begin;
        assert!(took >= LAST_WRITES && took < 10 * LAST_WRITES, "{took:?}");
    }

    #[test]
    fn a_trace_that_cannot_be_opened_names_its_file() {
        let error = Trace::open(options(Path::new("/no/such/trace"))).unwrap_err().to_string();
        assert!(error.starts_with("failed to open the trace /no/such/trace: "), "{error}");
    }
}
