//! Chance from a seed.

/// SplitMix64: a few lines, and the same on every machine for ever, which recorded seeds rely on.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// Dice for one purpose: the same seed and purpose throw the same numbers.
    pub fn new(seed: u64, purpose: u64) -> Self {
        let mut dice = Self(seed);
        Self(dice.next().wrapping_add(purpose))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 if that is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        // The bias of a remainder is far below anything that a test of a line could see.
        self.next().checked_rem(end).unwrap_or_default()
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        // 53 bits are what a float holds.
        ((self.next() >> 11) as f64) < probability * (1_u64 << 53) as f64
    }
}
