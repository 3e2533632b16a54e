//! Plausible charges, each a pure function of a seed and its number.
#![deny(clippy::disallowed_methods)]

use crate::bid::values::Draw;
use crate::charge::{Charge, Kind};
use crate::civil::Civil;

/// Charge `n` (from 1) of the run with this seed: a call, one each minute from the beginning of
/// 2018. Its last seven digits dialled are `n`, so that no two of ten million look alike.
pub fn charge(seed: u64, n: u64) -> Charge {
    let mut draw = Draw::new(seed, n);
    let seconds = 1 + draw.below(5400) as u32;
    let amount = 25 + u64::from(seconds / 60) * (5 + draw.below(40));
    let minute = i64::try_from(n % MINUTES).unwrap_or_default();
    Charge {
        key: format!("c{n:08}"),
        room: (100 * (1 + draw.below(28)) + draw.below(60)).to_string(),
        kind: Kind::Telephone,
        amount,
        at: Civil::from_seconds(START + 60 * minute + draw.below(60) as i64),
        duration: Some(seconds),
        dialled: Some(format!("{}{:07}", 200 + draw.below(700), n % 10_000_000)),
        text: None,
    }
}

/// 2018-01-01T00:00:00.
const START: i64 = 1_514_764_800;
/// Minutes after which the calendar begins again: about nineteen years.
const MINUTES: u64 = 10_000_000;
