//! Number and letter of a record, when they begin again, and what follows what.
#![deny(clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use crate::civil::WallClock;
use crate::reset::Reset;

/// How a record's number is written in columns 1 to 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// `417C`: 000 to 999, and a letter A to Z that steps at each wrap.
    #[default]
    N3Letter,
    /// `0417`.
    N4,
}

impl Form {
    /// By its name in the settings.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "n3+letter" => Some(Self::N3Letter),
            "n4" => Some(Self::N4),
            _ => None,
        }
    }

    /// Numbers before the first comes again.
    pub fn count(self) -> u64 {
        match self {
            Self::N3Letter => 26_000,
            Self::N4 => 10_000,
        }
    }

    /// The four columns of a number that counts on for ever. Number 1 is `001A`.
    pub fn write(self, number: u64) -> [u8; 4] {
        let wire = (number % self.count()) as u32;
        let digit = |divisor: u32| b'0' + (wire / divisor % 10) as u8;
        match self {
            Self::N3Letter => [digit(100), digit(10), digit(1), b'A' + (wire / 1000) as u8],
            Self::N4 => [digit(1000), digit(100), digit(10), digit(1)],
        }
    }

    /// The number in the four columns, below [`Self::count`].
    pub fn read(self, columns: &[u8]) -> Option<u64> {
        let digits = if self == Self::N4 { 4 } else { 3 };
        let (number, letter) = (columns.get(..digits)?, columns.get(digits..4)?);
        let mut value = 0;
        for digit in number {
            value = value * 10 + u64::from(digit.is_ascii_digit().then(|| digit - b'0')?);
        }
        match letter {
            [] => Some(value),
            [letter @ b'A'..=b'Z'] => Some(value + 1000 * u64::from(letter - b'A')),
            _ => None,
        }
    }
}

/// What a receiver finds when it compares a record's number with those before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// It follows; `missing` numbers are left out before it.
    New { number: u64, missing: u64 },
    /// It came before, with the same text.
    Repeated { number: u64 },
    /// Another text came with its number.
    Conflict { number: u64 },
    /// It is lower than the last, and was never seen.
    Reordered { number: u64 },
}

/// What a receiver remembers of the records before.
#[derive(Debug)]
pub struct Sequence {
    form: Form,
    reset: Reset,
    /// The last number, counted on over wraps and resets, and its four columns' value.
    last: Option<(u64, u64)>,
    /// Period of the last reset, or of the beginning.
    period: i64,
    texts: BTreeMap<u64, Bytes>,
}

impl Sequence {
    /// Nothing was received.
    pub fn new(form: Form, reset: Reset) -> Self {
        Self { form, reset, last: None, period: i64::MIN, texts: BTreeMap::new() }
    }

    /// The last number.
    pub fn last(&self) -> Option<u64> {
        self.last.map(|(number, _)| number)
    }

    /// Takes a record with this value in its four columns.
    pub fn take(&mut self, wire: u64, text: &Bytes, wall: WallClock, now: Duration) -> Finding {
        let Some((last, last_wire)) = self.last else {
            // Its sender's clock may be behind, and its next record may be the new period's first.
            let at_boot = wall.at_boot - CLOCK_SLACK.as_secs().cast_signed();
            self.period = self.reset.period(WallClock { at_boot }.show(now).seconds());
            return self.follow(wire, wire, 0, text);
        };
        let count = self.form.count();
        let ahead = (wire + count - last_wire) % count;
        let is_behind = ahead == 0 || ahead > count / 2;
        // Before the first record nothing is known: such a number is simply lower.
        let number =
            if is_behind { last.saturating_sub((count - ahead) % count) } else { last + ahead };
        if self.texts.get(&number) == Some(text) {
            return Finding::Repeated { number };
        }
        // Once a period, a lower number is no lower number. The two clocks may differ a little.
        let period = self.reset.period(wall.show(now + CLOCK_SLACK).seconds());
        if self.reset != Reset::Never && period > self.period && wire <= last_wire {
            self.period = period;
            let first = wire.min(1);
            return self.follow(last + 1 + wire - first, wire, wire - first, text);
        }
        match self.texts.get(&number) {
            Some(_) => Finding::Conflict { number },
            None if is_behind => {
                self.keep(number, text);
                Finding::Reordered { number }
            }
            None => self.follow(number, wire, ahead - 1, text),
        }
    }

    fn follow(&mut self, number: u64, wire: u64, missing: u64, text: &Bytes) -> Finding {
        self.last = Some((number, wire));
        self.keep(number, text);
        Finding::New { number, missing }
    }

    fn keep(&mut self, number: u64, text: &Bytes) {
        self.texts.insert(number, text.clone());
        if self.texts.len() > MAX_KEPT {
            self.texts.pop_first();
        }
    }
}

/// Texts kept for comparing: half of all numbers, so that a number met again is a new round.
const MAX_KEPT: usize = 13_000;
/// How far the two clocks may be apart.
const CLOCK_SLACK: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::civil::Civil;
    use proptest::prelude::*;

    fn wall(text: &str) -> WallClock {
        WallClock { at_boot: text.parse::<Civil>().unwrap().seconds() }
    }

    fn text(n: u64) -> Bytes {
        Bytes::from(format!("text {n}"))
    }

    #[test]
    fn the_letter_steps_at_each_wrap() {
        let write = |number| String::from_utf8(Form::N3Letter.write(number).to_vec()).unwrap();
        let written = [1, 999, 1000, 2417, 25_999, 26_000, 26_001].map(write);
        assert_eq!(written, ["001A", "999A", "000B", "417C", "999Z", "000A", "001A"]);
        assert_eq!(Form::N4.write(12_345), *b"2345");
    }

    #[test]
    fn numbers_wrap_without_an_alarm() {
        let mut sequence = Sequence::new(Form::N3Letter, Reset::Never);
        let clock = wall("2018-06-18T12:00:00");
        for number in 25_990..26_020 {
            let found = sequence.take(number % 26_000, &text(number), clock, Duration::ZERO);
            assert_eq!(found, Finding::New { number, missing: 0 });
        }
    }

    #[test]
    fn same_number_and_same_text_is_a_repeat_and_another_text_a_conflict() {
        let mut sequence = Sequence::new(Form::N4, Reset::Never);
        let mut take =
            |wire, n| sequence.take(wire, &text(n), wall("2018-06-18T12:00:00"), Duration::ZERO);
        assert_eq!(take(7, 1), Finding::New { number: 7, missing: 0 });
        assert_eq!(take(7, 1), Finding::Repeated { number: 7 });
        assert_eq!(take(7, 2), Finding::Conflict { number: 7 });
        assert_eq!(take(10, 3), Finding::New { number: 10, missing: 2 });
        assert_eq!(take(8, 4), Finding::Reordered { number: 8 });
        assert_eq!(take(7, 1), Finding::Repeated { number: 7 });
    }

    #[test]
    fn a_reset_is_no_reordering_once_a_period() {
        let mut sequence = Sequence::new(Form::N3Letter, Reset::Hours(6));
        let clock = wall("2018-06-18T05:00:00");
        let mut take = |wire, n, minutes: u64| {
            sequence.take(wire, &text(n), clock, Duration::from_secs(60 * minutes))
        };
        assert_eq!(take(1, 1, 0), Finding::New { number: 1, missing: 0 });
        assert_eq!(take(2, 2, 1), Finding::New { number: 2, missing: 0 });
        // Numbered before the reset, sent after it.
        assert_eq!(take(3, 3, 61), Finding::New { number: 3, missing: 0 });
        assert_eq!(take(1, 4, 62), Finding::New { number: 4, missing: 0 });
        assert_eq!(take(1, 4, 63), Finding::Repeated { number: 4 });
        assert_eq!(take(1, 5, 64), Finding::Conflict { number: 4 });
        assert_eq!(take(2, 6, 65), Finding::New { number: 5, missing: 0 });
        // The next period begins with a lost record.
        assert_eq!(take(2, 7, 430), Finding::New { number: 7, missing: 1 });
    }

    #[test]
    fn the_first_record_may_be_of_the_period_before() {
        let mut sequence = Sequence::new(Form::N3Letter, Reset::Hours(24));
        let mut take =
            |n| sequence.take(1, &text(n), wall("2018-06-18T00:05:00"), Duration::from_secs(n));
        assert_eq!(take(1), Finding::New { number: 1, missing: 0 });
        assert_eq!(take(2), Finding::New { number: 2, missing: 0 });
        assert_eq!(take(3), Finding::Conflict { number: 2 });
    }

    #[test]
    fn a_single_record_in_a_period_resets_to_the_same_number() {
        let mut sequence = Sequence::new(Form::N3Letter, Reset::Hours(24));
        let clock = wall("2018-06-18T12:00:00");
        for day in 0..3 {
            let now = Duration::from_secs(86_400 * day);
            let found = sequence.take(1, &text(day), clock, now);
            assert_eq!(found, Finding::New { number: day + 1, missing: 0 });
        }
    }

    proptest! {
        #[test]
        fn columns_there_and_back(number in 0..1_000_000_u64) {
            for form in [Form::N3Letter, Form::N4] {
                prop_assert_eq!(form.read(&form.write(number)), Some(number % form.count()));
            }
        }

        #[test]
        fn any_columns_are_a_number_or_none(columns in prop::collection::vec(any::<u8>(), 0..6)) {
            for form in [Form::N3Letter, Form::N4] {
                if let Some(number) = form.read(&columns) {
                    prop_assert_eq!(&form.write(number)[..], &columns[..4]);
                }
            }
        }
    }
}
