//! Settings from text.
#![deny(clippy::disallowed_methods)]

use std::ops::RangeInclusive;
use std::time::Duration;

use super::check::Check;

/// A time such as `500ms`, `11s`, `5min` or `24h` within the range.
pub fn time(value: &str, range: RangeInclusive<Duration>) -> Option<Duration> {
    let digits = value.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = value.split_at(digits);
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1000,
        "min" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    let number = number.parse::<u64>().ok()?;
    let time = Duration::from_millis(number.checked_mul(milliseconds)?);
    range.contains(&time).then_some(time)
}

/// A time from a tenth of a second to two minutes: what an answer may take.
pub fn answer_time(value: &str) -> Option<Duration> {
    time(value, Duration::from_millis(100)..=Duration::from_secs(120))
}

/// A number of attempts, 1 to 99.
pub fn tries(value: &str) -> Option<u8> {
    value.parse().ok().filter(|tries| (1..=99).contains(tries))
}

/// `xor`, `sum` or `sum2`.
pub fn check(value: &str) -> Option<Check> {
    Some(match value {
        "xor" => Check::Xor,
        "sum" => Check::Sum,
        "sum2" => Check::Sum2,
        _ => return None,
    })
}

/// `yes` or `no`.
pub fn yes(value: &str) -> Option<bool> {
    match value {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

/// SplitMix64: the same on every machine for ever, which recorded seeds rely on.
#[derive(Debug)]
pub struct Draw(u64);

impl Draw {
    /// What is drawn for item `n` of the run with this seed.
    pub fn new(seed: u64, n: u64) -> Self {
        Self(seed ^ n.wrapping_mul(0xd134_2543_de82_ef95))
    }

    /// A number below `limit`; the bias of the remainder does not matter for made-up texts.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (value ^ value >> 31) % limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit_and_a_range() {
        assert_eq!(answer_time("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(answer_time("2min"), Some(Duration::from_secs(120)));
        for bad in ["", "5", "s", "99ms", "121s", "1d", "-1s", "18446744073709551615h"] {
            assert_eq!(answer_time(bad), None, "{bad}");
        }
    }
}
