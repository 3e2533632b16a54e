//! Which drills there are, and when.

use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::chain::Chain;
use crate::drill::{Drill, Kind};
use crate::error::Result;

/// Drills in their order, and the pauses between.
#[derive(Debug)]
pub struct Schedule {
    kinds: std::vec::IntoIter<Kind>,
    draw: ChaCha8Rng,
}

impl Schedule {
    /// One drill of each kind, with so many kills of the coordinator spread among them. The moments
    /// come from `seed`, so that failures hit records at any byte.
    pub fn new(kills: usize, seed: u64) -> Self {
        let others = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Kill);
        let mut kills = std::iter::repeat_n(Kind::Kill, kills);
        let mut kinds = Vec::new();
        for other in others {
            kinds.extend(kills.next());
            kinds.push(other);
        }
        kinds.extend(kills);
        Self { kinds: kinds.into_iter(), draw: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// Drills with one kind only, so many times.
    pub fn only(kind: Kind, times: usize, seed: u64) -> Self {
        let kinds = vec![kind; times].into_iter();
        Self { kinds, draw: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// Pauses, then does the next drill; `None` after the last.
    ///
    /// # Errors
    /// The chain cannot be drilled any further.
    pub async fn next(&mut self, chain: &mut Chain) -> Option<Result<Drill>> {
        let kind = self.kinds.next()?;
        let pause = self.draw.random_range(PAUSE);
        tokio::time::sleep(Duration::from_micros(pause)).await;
        Some(chain.drill(kind).await)
    }
}

/// Microseconds of service before a drill: some records, and no whole number of them.
const PAUSE: std::ops::Range<u64> = 250_000..750_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_comes_once_and_kills_as_often_as_asked() {
        for kills in [0, 1, 5, 20] {
            let schedule = Schedule::new(kills, 1);
            let kinds: Vec<_> = schedule.kinds.collect();
            for kind in Kind::ALL {
                let expected = if kind == Kind::Kill { kills } else { 1 };
                assert_eq!(kinds.iter().filter(|k| **k == kind).count(), expected);
            }
        }
    }
}
