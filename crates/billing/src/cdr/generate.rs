//! Plausible calls, each a pure function of a seed and its serial number.
#![deny(clippy::disallowed_methods)]

use std::fmt;

use crate::chance::Draw;
use crate::civil::Civil;

/// A call, in no layout yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// When it began.
    pub at: Civil,
    /// How long it was, in seconds.
    pub seconds: u32,
    /// Who called.
    pub station: String,
    /// What was dialled.
    pub dialled: String,
    /// Chooses among the samples of a layout's other columns.
    pub pick: u32,
}

/// Call `serial` of the load with this seed. The number dialled ends in eight digits of the serial,
/// so that no call of a run is like another in any layout that has room for them.
pub fn call(seed: u64, serial: u64) -> Call {
    let mut draw = Draw::new(seed, serial);
    let second = i64::try_from(serial.wrapping_mul(7) % (28 * 86_400)).unwrap_or_default();
    Call {
        at: Civil::from_seconds(FIRST_SECOND.saturating_add(second)),
        seconds: 6 + draw.below(5994) as u32,
        station: format!("{:04}", 1000 + draw.below(9000)),
        dialled: format!("0{}{:08}", 10 + draw.below(90), serial % 100_000_000),
        pick: draw.below(1 << 16) as u32,
    }
}

impl fmt::Display for Call {
    /// The whole call, for layouts whose columns aren't known.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Civil { month, day, hour, minute, .. } = self.at;
        let (station, dialled) = (&self.station, &self.dialled);
        let (minutes, seconds) = (self.seconds / 60, self.seconds % 60);
        write!(f, "{month:02}/{day:02} {hour:02}:{minute:02} {station:>5} {dialled:<12} ")?;
        write!(f, "{minutes:02}'{seconds:02}")
    }
}

/// 2018-06-01T00:00:00: where the calls of a run begin.
const FIRST_SECOND: i64 = 1_527_811_200;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::Layout;
    use super::*;

    #[test]
    fn the_same_seed_and_serial_give_the_same_call() {
        assert_eq!(call(1, 42), call(1, 42));
        assert_ne!(call(1, 42), call(2, 42));
    }

    #[test]
    fn no_two_records_of_a_run_are_alike_in_any_layout() {
        for layout in Layout::all() {
            let text = |serial| layout.compose(&call(5, serial), 0);
            let texts: BTreeSet<_> = (1..=2000).map(text).collect();
            assert_eq!(texts.len(), 2000, "{}", layout.name);
        }
    }
}
