//! Writing a journal beside a run that never waits for the file.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::{self, JoinHandle};

use serde::Serialize;

use super::file::{Footer, FrameEntry, Header};
use super::frames::{Direction, Ended, Frames};
use crate::core::exchange::entry::{Entry, Sink, What};

/// A journal being written, by a thread of its own. What does not fit into the queue to it is
/// dropped and counted: the line comes first.
#[derive(Debug)]
pub struct Writer {
    queue: Option<SyncSender<Entry>>,
    dropped: u64,
    thread: Option<JoinHandle<io::Result<File>>>,
}

/// How the writing went.
#[derive(Debug)]
pub struct Written {
    /// Entries that are missing because the file was slower than the line.
    pub dropped: u64,
    /// Why the file ends early, if it does.
    pub error: Option<io::Error>,
}

impl Writer {
    /// Makes the file, or empties it, and writes its first line.
    ///
    /// # Errors
    /// The file can't be made or written.
    pub fn create(path: &Path, header: &Header) -> io::Result<Self> {
        let mut file = BufWriter::new(File::create(path)?);
        line(&mut file, header)?;
        file.flush()?;
        let (queue, entries) = sync_channel(QUEUE);
        let thread = thread::Builder::new().name("journal".into());
        let frames = Frames::new(header);
        let thread = thread.spawn(move || write(file, frames, &entries))?;
        Ok(Self { queue: Some(queue), dropped: 0, thread: Some(thread) })
    }

    /// Waits until everything is in the file, and writes the last line.
    pub fn end(mut self) -> Written {
        let dropped = self.dropped;
        let error = self.finish().err();
        Written { dropped, error }
    }

    fn finish(&mut self) -> io::Result<()> {
        drop(self.queue.take());
        let Some(thread) = self.thread.take() else { return Ok(()) };
        let joined = thread.join();
        let mut file = joined.map_err(|_| io::Error::other("its thread panicked"))??;
        line(&mut file, &Footer { dropped: self.dropped })
    }
}

impl Sink for Writer {
    fn take(&mut self, entry: &Entry) {
        let fits = self.queue.as_ref().is_some_and(|queue| queue.try_send(entry.clone()).is_ok());
        self.dropped += u64::from(!fits);
    }
}

/// A journal, if one is wanted.
impl Sink for Option<Writer> {
    fn take(&mut self, entry: &Entry) {
        if let Some(writer) = self {
            writer.take(entry);
        }
    }
}

/// A run that is given up still leaves a whole journal.
impl Drop for Writer {
    fn drop(&mut self) {
        // Nobody is left to be told.
        let _ = self.finish();
    }
}

/// Writes until nobody sends any more. Behind bytes stand the frames that they ended.
fn write(
    mut file: BufWriter<File>,
    mut frames: Frames,
    entries: &Receiver<Entry>,
) -> io::Result<File> {
    loop {
        let entry = match entries.try_recv() {
            Ok(entry) => entry,
            Err(TryRecvError::Disconnected) => break,
            Err(TryRecvError::Empty) => {
                // Whoever kills us now shall find all that has passed.
                file.flush()?;
                let Ok(entry) = entries.recv() else { break };
                entry
            }
        };
        line(&mut file, &entry)?;
        let (direction, bytes) = match &entry.what {
            What::Out { bytes } => (Direction::Out, bytes),
            What::In { bytes } => (Direction::In, bytes),
            _ => continue,
        };
        for byte in bytes {
            let Ended { before, with } = frames.byte(direction, *byte);
            for frame in [before, with].iter().flatten() {
                line(&mut file, &FrameEntry::new(entry.at, frame))?;
            }
        }
    }
    file.into_inner().map_err(|error| error.into_error())
}

fn line(file: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_string(value)?;
    text.push('\n');
    file.write_all(text.as_bytes())
}

/// Entries that may wait: more than a line at 115200 bit/s brings in 5 s, byte by byte.
const QUEUE: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::io::BufReader;
    use std::time::Duration;

    use bytes::Bytes;

    use super::super::file::Journal;
    use super::*;

    fn entry(micros: u64) -> Entry {
        let bytes = Bytes::copy_from_slice(&micros.to_be_bytes());
        Entry { at: Duration::from_micros(micros), what: What::Out { bytes } }
    }

    #[test]
    fn a_journal_holds_everything_in_its_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.jsonl");
        let mut writer = Writer::create(&path, &Header::new("fias", Duration::ZERO)).unwrap();
        for micros in 0..10_000 {
            writer.take(&entry(micros));
        }
        let written = writer.end();
        assert!(written.error.is_none() && written.dropped == 0, "{written:?}");
        let mut journal = Journal::open(BufReader::new(File::open(path).unwrap())).unwrap();
        let entries: Vec<_> = journal.by_ref().map(Result::unwrap).collect();
        assert_eq!(entries, (0..10_000).map(entry).collect::<Vec<_>>());
        assert_eq!(journal.footer(), Some(Footer { dropped: 0 }));
    }

    #[test]
    fn behind_bytes_stand_the_frames_that_they_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.jsonl");
        let mut writer = Writer::create(&path, &Header::new("fias", Duration::ZERO)).unwrap();
        let texts: [&[u8]; 3] = [b"\x02PA|ASO", b"K|P#1729|", b"\x03\x33"];
        for (micros, text) in (7..).zip(texts) {
            let bytes = Bytes::from_static(text);
            writer.take(&Entry { at: Duration::from_micros(micros), what: What::Out { bytes } });
        }
        writer.end();
        let text = std::fs::read_to_string(&path).unwrap();
        let frames: Vec<_> = text.lines().filter(|line| line.contains("\"frame\"")).collect();
        let [frame] = frames[..] else { panic!("{text}") };
        let start =
            r#"{"at_us":9,"event":"frame","direction":"out","kind":"PA","what":"posting answer""#;
        assert!(frame.starts_with(start), "{frame}");
        // For whoever reads the file with other tools; ours make them anew.
        let journal = Journal::open(BufReader::new(File::open(path).unwrap())).unwrap();
        assert_eq!(journal.map(Result::unwrap).count(), 3);
    }

    #[test]
    fn a_file_that_can_not_keep_up_costs_entries_and_no_time() {
        // Nothing is ever taken out of this queue.
        let (queue, _entries) = sync_channel(2);
        let mut writer = Writer { queue: Some(queue), dropped: 0, thread: None };
        for micros in 0..5 {
            writer.take(&entry(micros));
        }
        assert_eq!(writer.end().dropped, 3);
    }

    #[test]
    fn a_full_disk_is_told_at_the_end() {
        let full = Path::new("/dev/full");
        if !full.exists() {
            return println!("skipped: needs /dev/full");
        }
        let error = Writer::create(full, &Header::new("fias", Duration::ZERO)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn a_run_that_is_given_up_leaves_a_whole_journal() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.jsonl");
        let mut writer = Writer::create(&path, &Header::new("hx", Duration::ZERO)).unwrap();
        writer.take(&entry(1));
        drop(writer);
        let mut journal = Journal::open(BufReader::new(File::open(path).unwrap())).unwrap();
        assert_eq!(journal.by_ref().filter_map(Result::ok).count(), 1);
        assert!(journal.footer().is_some());
    }
}
