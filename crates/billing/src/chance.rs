//! Chance from a seed, for made-up loads and tests.
#![deny(clippy::disallowed_methods)]

/// SplitMix64: a few lines, and the same on every machine for ever, which recorded seeds rely on.
#[derive(Debug)]
pub struct Draw(u64);

impl Draw {
    /// What is drawn for item `n` of the run with this seed.
    pub fn new(seed: u64, n: u64) -> Self {
        Self(seed ^ n.wrapping_mul(0xd134_2543_de82_ef95))
    }

    /// A number below `limit`; the bias of the remainder does not matter for made-up texts.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        scramble(self.0) % limit
    }
}

/// What makes the generator's steps look like chance.
pub(crate) fn scramble(step: u64) -> u64 {
    let mut z = step;
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// From one step of the generator to the next.
pub(crate) const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
