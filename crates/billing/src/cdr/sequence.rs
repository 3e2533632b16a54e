//! Record numbers: where they begin again, and what is missing between two of them.
#![deny(clippy::disallowed_methods)]

use crate::civil::Civil;
use crate::ledger;
use crate::reset::Reset;

/// How records are numbered: from `first` to `last`, then `first` again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sequence {
    /// The number after a wrap and after a reset.
    pub first: u64,
    /// The highest number.
    pub last: u64,
    /// When it begins again, whatever it has reached.
    pub reset: Reset,
}

impl Sequence {
    /// The number after this one, without a reset.
    pub fn after(&self, number: u64) -> u64 {
        if number >= self.last { self.first } else { number + 1 }
    }

    /// How many numbers there are.
    pub fn span(&self) -> u64 {
        self.last.saturating_sub(self.first).saturating_add(1)
    }

    /// How many numbers `to` is ahead of `from`, over a wrap if need be.
    fn ahead(&self, from: u64, to: u64) -> u64 {
        if to >= from { to - from } else { (self.last + 1 - from) + (to - self.first) }
    }
}

/// The last number seen. A reset is believed once in each period, by the clock on the wall: an
/// exchange that was held back over midnight goes on with the old numbers first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// The number.
    pub number: u64,
    /// The period of the last reset believed.
    pub period: i64,
    /// Digest of the record's text: the same number with the same text came twice.
    pub digest: u64,
}

/// How a number follows the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follows {
    /// As it ought to.
    Next,
    /// It is the last one, with the same text.
    Again,
    /// So many are left out, from this one.
    After { missing: u64, count: u64 },
    /// It is none of the sequence's numbers.
    Outside,
}

impl Sequence {
    /// Judges a record's number, and remembers it. Order is by number; times on records are of no
    /// account, since an exchange prints calls as they end.
    pub fn follow(
        &self,
        seen: &mut Option<Seen>,
        number: u64,
        text: &[u8],
        wall: Civil,
    ) -> Follows {
        if !(self.first..=self.last).contains(&number) {
            return Follows::Outside;
        }
        let period = |slack| self.reset.period(wall.seconds().saturating_add(slack));
        let digest = ledger::digest(text);
        let Some(last) = seen else {
            // It may stand on either side of a reset.
            let period = period(-SLACK);
            *seen = Some(Seen { number, period, digest });
            return Follows::Next;
        };
        if last.number == number && last.digest == digest {
            return Follows::Again;
        }
        let expected = self.after(last.number);
        let by_gap = self.ahead(expected, number);
        let by_reset = number - self.first;
        // The smaller loss is the likelier one.
        let is_reset = period(SLACK) > last.period && number <= last.number && by_reset < by_gap;
        let believed = if period(0) > last.period { period(0) } else { period(SLACK) };
        *last = Seen { number, digest, period: if is_reset { believed } else { last.period } };
        match (is_reset, by_reset, by_gap) {
            (true, 0, _) | (false, _, 0) => Follows::Next,
            (true, count, _) => Follows::After { missing: self.first, count },
            (false, _, count) => Follows::After { missing: expected, count },
        }
    }
}

/// How far the exchange's clock may be ahead of ours, in seconds: nobody sets it often.
const SLACK: i64 = 15 * 60;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Civil {
        format!("2018-06-{text}").parse().unwrap()
    }

    /// Follows the numbers in turn, each with its own text.
    fn follow(sequence: Sequence, numbers: &[(u64, &str)]) -> Vec<Follows> {
        let mut seen = None;
        let judge = |(at_index, (number, wall)): (usize, &(u64, &str))| {
            sequence.follow(&mut seen, *number, &at_index.to_be_bytes(), at(wall))
        };
        numbers.iter().enumerate().map(judge).collect()
    }

    const MOD_128: Sequence = Sequence { first: 0, last: 127, reset: Reset::Never };
    const NOON: &str = "18T12:00:00";

    #[test]
    fn a_wrap_is_no_gap() {
        let all = follow(MOD_128, &[(126, NOON), (127, NOON), (0, NOON), (1, NOON)]);
        assert_eq!(all, [Follows::Next; 4]);
    }

    #[test]
    fn a_gap_is_counted_over_a_wrap_too() {
        let all = follow(MOD_128, &[(25, NOON), (27, NOON), (126, NOON), (2, NOON)]);
        let after = |missing, count| Follows::After { missing, count };
        assert_eq!(all, [Follows::Next, after(26, 1), after(28, 98), after(127, 3)]);
    }

    #[test]
    fn a_reset_at_midnight_is_believed_once_a_day() {
        let midnight = Sequence { first: 1, last: 999, reset: Reset::Hours(24) };
        let all = follow(
            midnight,
            &[
                (500, "18T23:00:00"),
                // Held back over midnight: the old numbers come first.
                (501, "19T00:30:00"),
                (1, "19T00:30:01"),
                (2, "19T00:30:02"),
                // Not again on the same day: 998 are missing.
                (1, "19T12:00:00"),
                // The next day's first one is lost.
                (2, "20T12:00:00"),
                (2, "21T12:00:00"),
            ],
        );
        let after = |missing, count| Follows::After { missing, count };
        assert_eq!(all[..4], [Follows::Next; 4]);
        assert_eq!(all[4], after(3, 997));
        assert_eq!(all[5], Follows::Next);
        assert_eq!(all[6], after(1, 1));
    }

    #[test]
    fn a_reset_every_six_hours() {
        let six = Sequence { first: 1, last: 999, reset: "6h".parse().unwrap() };
        let all = follow(six, &[(7, "18T05:59:00"), (1, "18T06:01:00"), (1, "18T12:05:00")]);
        assert_eq!(all, [Follows::Next; 3]);
    }

    #[test]
    fn the_same_record_twice_is_no_gap_and_another_one_is() {
        let mut seen = None;
        let wall = at(NOON);
        assert_eq!(MOD_128.follow(&mut seen, 5, b"a", wall), Follows::Next);
        assert_eq!(MOD_128.follow(&mut seen, 5, b"a", wall), Follows::Again);
        let gap = Follows::After { missing: 6, count: 127 };
        assert_eq!(MOD_128.follow(&mut seen, 5, b"b", wall), gap);
        assert_eq!(MOD_128.follow(&mut seen, 128, b"c", wall), Follows::Outside);
    }
}
