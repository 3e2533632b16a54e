//! The spool of a line: what it keeps, on the disk while it runs, so that a kill -9 of this process
//! loses none of it.
//!
//! A file of entries: type (`S` or `I`), length of the payload (u32, big-endian), payload, CRC-32 of
//! all before it (u32, big-endian). `S` is the line's state as JSON, as in the state file but
//! without its input; `I` is input, in order. The input of the file begins at the first state's
//! `acked`. What a crash leaves half written at the end has a wrong checksum and is not there.
//!
//! Entries are handed to the system before anything that depends on them is sent, and not synced:
//! they outlive this process, not the machine.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use wire::{Fate, LastFrame, Name};

use super::state_file::{crc32, decode_saved, encode_saved};
use crate::core::Saved;

/// An open spool.
#[derive(Debug)]
pub(crate) struct Spool {
    path: PathBuf,
    file: File,
    /// Bytes in the file, and of them those that a new file would have, too.
    size: u64,
    live: u64,
    /// Entries that are not written yet.
    buffer: Vec<u8>,
}

/// Where the spool of a line lives, beside the state file.
pub(crate) fn path_of(dir: &Path, line: &Name) -> PathBuf {
    dir.join(format!("{line}.spool"))
}

/// What a killed process left of a line; `None` if there is nothing that can be believed.
///
/// All that was kept is in doubt, and a frame that was being written is not finished: nobody knows
/// how much of it had left. Its answer to input was not acknowledged, so that input comes again.
pub(crate) fn recover(path: &Path) -> Option<Saved> {
    let file = fs::read(path).ok()?;
    let mut rest = file.strip_prefix(MAGIC)?;
    let (mut begin, mut last, mut input) = (None, None, Vec::new());
    while let Some((kind, payload, after)) = entry(rest) {
        rest = after;
        if kind == STATE {
            let saved = decode_saved(payload).ok()?;
            begin.get_or_insert(saved.acked);
            last = Some(saved);
        } else {
            input.extend_from_slice(payload);
        }
    }
    let last: Saved = last?;
    let taken = usize::try_from(last.acked.checked_sub(begin?)?).ok()?;
    let bytes = Bytes::from(input.split_off(taken.min(input.len())));
    let delivered = last.acked + bytes.len() as u64;
    let fate = match last.last.fate {
        // It had begun, and nobody knows how far it came.
        Fate::Finishing => LastFrame::default(),
        _ => last.last,
    };
    Some(Saved { bytes, delivered, unfinished: Bytes::new(), last: fate, ..last })
}

/// The first entry of `rest` and what follows it.
fn entry(rest: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (head, _) = rest.split_first_chunk::<5>()?;
    let length = usize::try_from(u32::from_be_bytes([head[1], head[2], head[3], head[4]])).ok()?;
    let end = length.checked_add(HEAD)?;
    let (whole, after) = rest.split_at_checked(end)?;
    let (crc, after) = after.split_first_chunk::<4>()?;
    let good = u32::from_be_bytes(*crc) == crc32(whole) && matches!(head[0], STATE | INPUT);
    good.then_some((head[0], &whole[HEAD..], after))
}

impl Spool {
    /// Begins a new file with what `saved` keeps, in place of an older one.
    pub(crate) fn begin(path: PathBuf, saved: &Saved) -> io::Result<Self> {
        let new = path.with_extension("spool.new");
        // Input of a billing line is nobody else's business.
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&new)?;
        let mut spool = Vec::from(MAGIC);
        push(&mut spool, STATE, &encode_saved(&Saved { bytes: Bytes::new(), ..saved.clone() }));
        push(&mut spool, INPUT, &saved.bytes);
        file.write_all(&spool)?;
        fs::rename(&new, &path)?;
        let size = spool.len() as u64;
        Ok(Self { path, file, size, live: size, buffer: Vec::new() })
    }

    /// It cannot be believed any more.
    pub(crate) fn discard(self) {
        let _ = fs::remove_file(&self.path);
    }

    /// Input was read.
    pub(crate) fn input(&mut self, bytes: &[u8]) {
        self.live += bytes.len() as u64;
        push(&mut self.buffer, INPUT, bytes);
    }

    /// The line's state has changed.
    pub(crate) fn state(&mut self, snapshot: &Saved, kept: usize) {
        push(&mut self.buffer, STATE, &encode_saved(snapshot));
        self.live = kept as u64;
    }

    /// Hands all entries to the system. `saved` is asked for what the line keeps when most of the
    /// file has become useless; then it is written anew.
    pub(crate) fn write(&mut self, saved: impl FnOnce() -> Saved) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.file.write_all(&self.buffer)?;
        self.size += self.buffer.len() as u64;
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER);
        if self.size > self.live * 4 + SMALL {
            *self = Self::begin(self.path.clone(), &saved())?;
        }
        Ok(())
    }
}

fn push(buffer: &mut Vec<u8>, kind: u8, payload: &[u8]) {
    let start = buffer.len();
    buffer.push(kind);
    // A state has a note of 4 KiB at most, input comes in reads: both are far below 4 GiB.
    buffer.extend_from_slice(&(payload.len() as u32).to_be_bytes());
    buffer.extend_from_slice(payload);
    let crc = crc32(&buffer[start..]);
    buffer.extend_from_slice(&crc.to_be_bytes());
}

const MAGIC: &[u8] = b"linekeeper spool 1\n";
const STATE: u8 = b'S';
const INPUT: u8 = b'I';
/// Type and length.
const HEAD: usize = 5;
/// A file of this size is not worth writing anew.
const SMALL: u64 = 256 * 1024;
/// Memory kept for entries between two writes.
const BUFFER: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use wire::{Epoch, EventKind, LineEvent};

    use super::*;

    fn saved(acked: u64, bytes: &'static [u8]) -> Saved {
        Saved {
            incarnation: 7 << 32,
            acked,
            delivered: acked,
            bytes: Bytes::from_static(bytes),
            events: vec![LineEvent { offset: acked, kind: EventKind::Break }],
            note: Bytes::from_static(b"note"),
            position: 90,
            unfinished: Bytes::from_static(b"half"),
            last: LastFrame::default(),
            epoch: Epoch::new(7, 3),
            holder: "node-a".parse().ok(),
            lease_ms: 400,
        }
    }

    fn spool(dir: &tempfile::TempDir) -> (PathBuf, Spool) {
        let path = path_of(dir.path(), &"pms".parse().unwrap());
        let spool = Spool::begin(path.clone(), &saved(10, b"abc")).unwrap();
        (path, spool)
    }

    #[test]
    fn what_was_kept_comes_back_with_its_offsets() {
        let dir = tempfile::tempdir().unwrap();
        let (path, mut spool) = spool(&dir);
        spool.input(b"def");
        spool.state(&saved(12, b""), 4);
        spool.input(b"g");
        spool.write(|| unreachable!("it is small")).unwrap();
        let back = recover(&path).unwrap();
        let expected = Saved {
            bytes: Bytes::from_static(b"cdefg"),
            delivered: 17,
            unfinished: Bytes::new(),
            ..saved(12, b"")
        };
        assert_eq!(back, expected);
    }

    #[test]
    fn a_torn_end_costs_only_itself() {
        let dir = tempfile::tempdir().unwrap();
        let (path, mut spool) = spool(&dir);
        spool.input(b"def");
        spool.write(|| unreachable!()).unwrap();
        let whole = fs::read(&path).unwrap();
        let before = whole.len() - (HEAD + 3 + 4);
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let kept = recover(&path).map(|back| back.bytes);
            match cut {
                _ if cut >= before => assert_eq!(kept.as_deref(), Some(&b"abc"[..]), "{cut}"),
                _ => assert!(kept.is_none_or(|kept| kept.is_empty()), "{cut}"),
            }
        }
        let mut bent = whole;
        *bent.last_mut().unwrap() ^= 1;
        fs::write(&path, bent).unwrap();
        assert_eq!(recover(&path).unwrap().bytes, &b"abc"[..]);
    }

    #[test]
    fn it_is_written_anew_when_most_of_it_is_useless() {
        let dir = tempfile::tempdir().unwrap();
        let (path, mut spool) = spool(&dir);
        let block = [b'x'; 4096];
        let mut acked = 10;
        for _ in 0..200 {
            spool.input(&block);
            acked += 4096;
            spool.state(&saved(acked, b""), 3);
            spool.write(|| saved(acked, b"xyz")).unwrap();
            assert!(fs::metadata(&path).unwrap().len() < SMALL * 2);
        }
        let back = recover(&path).unwrap();
        assert_eq!(back.acked, acked);
        assert_eq!(back.bytes.len(), 3);
    }
}
