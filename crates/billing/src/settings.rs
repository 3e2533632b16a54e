//! Settings of a dialect as text, so that a configuration file, a command line and a scenario take
//! the same keys.
#![deny(clippy::disallowed_methods)]

use std::ops::RangeInclusive;
use std::time::Duration;

/// One key of a dialect's settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// As written: `on_enq_exhausted`.
    pub name: &'static str,
    /// What it is without being set, as written.
    pub default: &'static str,
    /// What may be written: `discard | resend`, `1s to 60s`.
    pub values: &'static str,
    /// What it means, in one sentence.
    pub meaning: &'static str,
}

/// A key, in the order in which it is read.
pub(crate) const fn key(
    name: &'static str,
    default: &'static str,
    values: &'static str,
    meaning: &'static str,
) -> Key {
    Key { name, default, values, meaning }
}

/// What is wrong with a setting, as a fragment fit for behind the place where it stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// The dialect has no such key.
    #[error("{dialect} has no setting `{name}`; it has {known}")]
    Unknown {
        /// The dialect.
        dialect: &'static str,
        /// What was written.
        name: String,
        /// What could have been.
        known: String,
    },
    /// The key can't have that value.
    #[error("{name}: `{value}` is none of its values: {values}")]
    Value {
        /// The key.
        name: &'static str,
        /// What was written.
        value: String,
        /// What could have been.
        values: &'static str,
    },
    /// The value is a text of its own, and something in it is wrong.
    #[error("{name}: {problem}")]
    Text {
        /// The key.
        name: &'static str,
        /// What is wrong, and where in the text.
        problem: String,
    },
}

/// A dialect's settings. `Default` is what most sites have.
pub trait Settings: Default {
    /// The dialect's name.
    const DIALECT: &'static str;
    /// All keys, in the order of the documentation.
    const KEYS: &'static [Key];

    /// Sets the key to the value; `None`: the value is none of its values. The key is one of
    /// [`Self::KEYS`].
    fn set_known(&mut self, key: &Key, value: &str) -> Option<()>;

    /// What is wrong with a value that `set_known` refused, where that can be said closer.
    fn problem(_key: &Key, _value: &str) -> Option<String> {
        None
    }

    /// Sets a key.
    ///
    /// # Errors
    /// There is no such key or it can't have that value; nothing was changed.
    fn set(&mut self, name: &str, value: &str) -> Result<(), SettingError> {
        let Some(key) = Self::KEYS.iter().find(|key| key.name == name) else {
            let known: Vec<_> = Self::KEYS.iter().map(|key| key.name).collect();
            let (dialect, name) = (Self::DIALECT, shortened(name));
            return Err(SettingError::Unknown { dialect, name, known: known.join(", ") });
        };
        let (name, values) = (key.name, key.values);
        self.set_known(key, value).ok_or_else(|| match Self::problem(key, value) {
            Some(problem) => SettingError::Text { name, problem },
            None => SettingError::Value { name, value: shortened(value), values },
        })
    }
}

/// A time such as `500ms`, `30s`, `5m` or `24h`, within the range.
pub fn time(value: &str, range: RangeInclusive<Duration>) -> Option<Duration> {
    let digits = value.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = value.split_at(digits);
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    let number = number.parse::<u64>().ok()?;
    let time = Duration::from_millis(number.checked_mul(milliseconds)?);
    range.contains(&time).then_some(time)
}

fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_unit_and_a_range() {
        let most = Duration::from_secs(86_400);
        let read = |value| time(value, Duration::from_millis(100)..=most);
        for (value, seconds) in [("1500ms", 1.5), ("30s", 30.0), ("5m", 300.0), ("24h", 86_400.0)] {
            assert_eq!(read(value), Some(Duration::from_secs_f64(seconds)), "{value}");
        }
        for bad in
            ["", "5", "s", "99ms", "25h", "5min", "1d", "-1s", "1.5s", "18446744073709551615h"]
        {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
