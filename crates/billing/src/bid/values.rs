//! Settings from text.
#![deny(clippy::disallowed_methods)]

use std::time::Duration;

use super::check::Check;
pub use crate::chance::Draw;
pub use crate::settings::time;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_s_time_has_a_range() {
        assert_eq!(answer_time("500ms"), Some(Duration::from_millis(500)));
        for bad in ["99ms", "121s"] {
            assert_eq!(answer_time(bad), None, "{bad}");
        }
    }
}
