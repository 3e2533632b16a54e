//! What a payload wrote down of its own answers, before it gave them away: whose bytes those on the
//! line are can then be told from the bytes.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use wire::{Epoch, Frame};

/// The journal that is being written. One payload, one file.
#[derive(Debug)]
pub struct Journal {
    file: File,
}

/// All that one payload offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Its grant.
    pub epoch: Epoch,
    /// Where its output began, by the terminal server's word.
    pub position: u64,
    /// Its records: where each begins, and its bytes.
    pub frames: Vec<(u64, Vec<u8>)>,
}

impl Journal {
    /// A new one in this directory.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn create(dir: &Path) -> io::Result<Self> {
        Ok(Self { file: File::create(dir.join(std::process::id().to_string()))? })
    }

    /// Writes down what a frame says of the grant or of the output, if it says something.
    ///
    /// # Errors
    /// The disk is full.
    pub fn note(&mut self, frame: &Frame) -> io::Result<()> {
        let mut line = String::new();
        match frame {
            Frame::Grant(grant) => {
                let _ = writeln!(line, "grant {} {}", grant.epoch, grant.position);
            }
            Frame::Output(output) => {
                let _ = write!(line, "frame {} ", output.position);
                for byte in &output.bytes {
                    let _ = write!(line, "{byte:02x}");
                }
                line.push('\n');
            }
            _ => return Ok(()),
        }
        // In one call, so that a payload that is killed leaves whole lines.
        self.file.write_all(line.as_bytes())
    }
}

/// All that was offered by payloads that wrote into `dir`, in the order of their grants. A payload
/// that never had a grant has offered nothing.
pub fn offers(dir: &Path) -> Vec<Offer> {
    let Ok(files) = fs::read_dir(dir) else { return Vec::new() };
    let texts = files.flatten().filter_map(|file| fs::read_to_string(file.path()).ok());
    let mut offers: Vec<_> = texts.filter_map(|text| offer(&text)).collect();
    offers.sort_by_key(|offer| offer.epoch);
    offers
}

fn offer(text: &str) -> Option<Offer> {
    let mut lines = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let first = lines.next()?;
    let ["grant", epoch, position] = first[..] else { return None };
    let (start, count) = epoch.split_once('.')?;
    let epoch = Epoch::new(start.parse().ok()?, count.parse().ok()?);
    let frame = |words: Vec<&str>| match words[..] {
        ["frame", position, bytes] => Some((position.parse().ok()?, from_hex(bytes)?)),
        _ => None,
    };
    Some(Offer {
        epoch,
        position: position.parse().ok()?,
        frames: lines.filter_map(frame).collect(),
    })
}

/// Bytes from pairs of digits.
pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let pair = |at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (0..text.len()).step_by(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use wire::Output;

    use super::*;

    #[test]
    fn what_is_written_down_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::create(dir.path()).unwrap();
        journal.file.write_all(b"grant 7.2 40\n").unwrap();
        let bytes = Bytes::from_static(b"\x02A\xff");
        let output = Output { position: 40, ack: None, note: None, bytes: bytes.clone() };
        journal.note(&Frame::Output(output)).unwrap();
        let expected =
            Offer { epoch: Epoch::new(7, 2), position: 40, frames: vec![(40, bytes.to_vec())] };
        assert_eq!(offers(dir.path()), [expected]);
    }

    #[test]
    fn what_is_cut_off_is_left_out() {
        assert_eq!(offer(""), None);
        assert_eq!(offer("grant 7"), None);
        assert_eq!(offer("grant 7.1 0\nframe 0 4").unwrap().frames, []);
    }
}
