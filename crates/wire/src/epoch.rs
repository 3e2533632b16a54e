//! The number of a grant, which is the fencing token.

use std::fmt;

/// `start number << 32 | count`: grows for ever, across restarts of the terminal server (I5).
///
/// Zero is "none yet".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(pub u64);

impl Epoch {
    /// No grant was ever seen.
    pub const NONE: Self = Self(0);

    /// The epoch number `count` of a terminal server's start `start`.
    pub const fn new(start: u32, count: u32) -> Self {
        Self((start as u64) << 32 | count as u64)
    }

    /// The terminal server's start number in it.
    pub const fn start(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The grant's number since that start, from 1.
    pub const fn count(self) -> u32 {
        self.0 as u32
    }

    /// The next epoch of the same start, `None` when its 2^32 are used up.
    pub const fn next(self) -> Option<Self> {
        match self.count().checked_add(1) {
            Some(count) => Some(Self::new(self.start(), count)),
            None => None,
        }
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.start(), self.count())
    }
}
