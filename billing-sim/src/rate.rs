//! How many records there are to be.

use std::str::FromStr;
use std::time::Duration;

/// Records per second, as `5`, `0.5` or `5/s`; `max` is as many as the line carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// From the beginning of one record to that of the next; `None` is back to back.
    pub interval: Option<Duration>,
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "max" {
            return Ok(Self { interval: None });
        }
        let number = text.strip_suffix("/s").unwrap_or(text);
        let rate: f64 = number.parse().map_err(|_| HELP.to_owned())?;
        if !(MIN_RATE..=MAX_RATE).contains(&rate) {
            return Err(HELP.to_owned());
        }
        Ok(Self { interval: Some(Duration::from_secs_f64(1.0 / rate)) })
    }
}

const HELP: &str = "give records per second from 0.001 to 100000, as 5 or 5/s, or `max`";
const MIN_RATE: f64 = 0.001;
const MAX_RATE: f64 = 100_000.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates() {
        assert_eq!("max".parse(), Ok(Rate { interval: None }));
        for text in ["4", "4/s", "4.0"] {
            assert_eq!(text.parse(), Ok(Rate { interval: Some(Duration::from_millis(250)) }));
        }
        for text in ["", "0", "-1", "nan", "inf", "fast", "4/m"] {
            assert!(text.parse::<Rate>().is_err(), "{text:?}");
        }
    }
}
