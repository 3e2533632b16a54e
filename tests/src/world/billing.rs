//! Records into the line and answers out of it, plain enough to be judged byte by byte.
//!
//! A record is `STX kind number filler ETX`. Kind `A` wants an answer; kind `N` wants none, so a
//! component acknowledges it with a plain ACK. An answer names the epoch and the node it was
//! written under.

use bytes::Bytes;
use wire::Epoch;

/// Begins a record or an answer; nothing else holds it.
pub const STX: u8 = 2;
/// Ends one.
pub const ETX: u8 = 3;

/// Whether record `number` wants an answer.
pub fn wants_answer(number: u32) -> bool {
    number % 5 != 4
}

/// Record `number`, 12 to 51 bytes.
pub fn record(number: u32) -> Vec<u8> {
    let kind = if wants_answer(number) { 'A' } else { 'N' };
    let filler = "r".repeat((number as usize * 7) % 40);
    format!("\x02{kind}{number:08}{filler}\x03").into_bytes()
}

/// An answer, 31 to 90 bytes: it takes several turns of the pace to write.
pub fn answer(epoch: Epoch, node: usize, number: u32) -> Bytes {
    let filler = "a".repeat((number as usize * 13) % 60);
    format!("\x02{:016x}{node:02}{number:08}{filler}\x03", epoch.0).into()
}

/// What an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The grant it was written under.
    pub epoch: Epoch,
    /// Who wrote it.
    pub node: usize,
    /// Which record it answers.
    pub number: u32,
}

/// Reads a whole answer, or says that it is none.
pub fn parse_answer(bytes: &[u8]) -> Option<Answer> {
    let text = std::str::from_utf8(bytes).ok()?;
    let epoch = Epoch(u64::from_str_radix(text.get(1..17)?, 16).ok()?);
    let node = text.get(17..19)?.parse().ok()?;
    let number = text.get(19..27)?.parse().ok()?;
    let whole = answer(epoch, node, number);
    (whole == bytes).then_some(Answer { epoch, node, number })
}

/// Cuts input into records, from any offset on.
#[derive(Debug, Default)]
pub struct RecordReader {
    partial: Vec<u8>,
}

impl RecordReader {
    /// Takes the bytes from `offset` on; gives each whole record's number and the offset after it.
    pub fn feed(&mut self, offset: u64, bytes: &[u8]) -> Vec<(u32, u64)> {
        let mut records = Vec::new();
        for (i, byte) in bytes.iter().enumerate() {
            if *byte == STX {
                self.partial.clear();
            }
            self.partial.push(*byte);
            if *byte == ETX {
                let number = std::str::from_utf8(&self.partial).ok();
                let number = number.and_then(|t| t.get(2..10)?.parse().ok());
                if let Some(number) = number.filter(|n| record(*n) == self.partial) {
                    records.push((number, offset + i as u64 + 1));
                }
                self.partial.clear();
            }
        }
        records
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_any_chunking_and_a_start_in_the_middle() {
        let stream: Vec<u8> = (0..20).flat_map(record).collect();
        for chunk in 1..30 {
            let mut reader = RecordReader::default();
            let mut seen = Vec::new();
            for (i, part) in stream[5..].chunks(chunk).enumerate() {
                seen.extend(reader.feed((i * chunk) as u64 + 5, part));
            }
            assert_eq!(
                seen.iter().map(|(n, _)| *n).collect::<Vec<_>>(),
                (1..20).collect::<Vec<_>>()
            );
            assert_eq!(seen.last().unwrap().1, stream.len() as u64);
        }
        let a = answer(Epoch(5), 2, 77);
        assert_eq!(parse_answer(&a), Some(Answer { epoch: Epoch(5), node: 2, number: 77 }));
        assert_eq!(parse_answer(&a[1..]), None);
    }
}
