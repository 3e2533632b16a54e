//! Bytes that show where they belong.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// A stream without an end, the same in every run.
#[derive(Debug)]
pub(crate) struct Pattern {
    /// One period, twice, so that any piece stands in one place.
    bytes: Vec<u8>,
}

impl Pattern {
    pub(crate) fn new() -> Self {
        let mut bytes = vec![0; PERIOD];
        ChaCha8Rng::from_seed([7; 32]).fill_bytes(&mut bytes);
        bytes.extend_from_within(..);
        Self { bytes }
    }

    /// The bytes from `at`, at most a period.
    pub(crate) fn piece(&self, at: u64, len: usize) -> &[u8] {
        let from = (at % PERIOD as u64) as usize;
        &self.bytes[from..from + len.min(PERIOD)]
    }

    /// Where these bytes stand, within half a period of `near`.
    pub(crate) fn find(&self, near: u64, bytes: &[u8]) -> Option<u64> {
        let reach = PERIOD as u64 / 2;
        let stands = |at: &u64| bytes.len() >= SURE && self.piece(*at, bytes.len()) == bytes;
        (near.saturating_sub(reach)..near + reach).find(stands)
    }
}

/// Holds what arrives against what was sent.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    /// Bytes that arrived.
    pub(crate) got: u64,
    /// Where the first wrong one stands.
    pub(crate) wrong: Option<u64>,
}

impl Judge {
    pub(crate) fn check(&mut self, pattern: &Pattern, bytes: &[u8]) {
        for piece in bytes.chunks(PERIOD) {
            if self.wrong.is_none() && pattern.piece(self.got, piece.len()) != piece {
                let expected = pattern.piece(self.got, piece.len()).iter();
                let place = expected.zip(piece).position(|(expected, got)| expected != got);
                self.wrong = place.map(|place| self.got + place as u64);
            }
            self.got += piece.len() as u64;
        }
    }

    /// What is wrong, if anything, when so much was sent.
    pub(crate) fn verdict(&self, sent: u64) -> Option<String> {
        match (self.wrong, self.got) {
            (Some(at), _) => Some(format!("of {sent} bytes the one at {at} is not the one sent")),
            (None, got) if got < sent => Some(format!("{} of {sent} bytes lost", sent - got)),
            (None, got) if got > sent => Some(format!("{} bytes more than {sent}", got - sent)),
            _ => None,
        }
    }
}

/// A prime, so that no loss of a buffer's length goes unnoticed.
const PERIOD: usize = 65_521;
/// Fewer bytes may stand in several places.
const SURE: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_is_recognised_in_any_pieces() {
        let (pattern, mut judge) = (Pattern::new(), Judge::default());
        for len in [1, 4096, 60_000, 65_521, 3] {
            judge.check(&pattern, pattern.piece(judge.got, len));
        }
        assert_eq!(judge.verdict(129_621), None);
        assert_eq!(judge.verdict(129_622).unwrap(), "1 of 129622 bytes lost");
    }

    #[test]
    fn bytes_are_found_where_they_stand() {
        let pattern = Pattern::new();
        for at in [0, 20, 70_000, 90_000] {
            assert_eq!(pattern.find(80_000_u64.min(at + 900), pattern.piece(at, 64)), Some(at));
        }
        assert_eq!(pattern.find(0, b"Port already in use\r\n"), None);
    }

    #[test]
    fn a_lost_and_a_doubled_buffer_are_found() {
        let pattern = Pattern::new();
        for skip in [5096, 904] {
            let mut judge = Judge::default();
            judge.check(&pattern, pattern.piece(0, 1000));
            judge.check(&pattern, pattern.piece(skip, 1000));
            assert!(judge.wrong.is_some_and(|at| (1000..1010).contains(&at)), "{judge:?}");
        }
    }
}
