//! What the command lines of several programs mean alike: times, and the host's name.

use std::str::FromStr;
use std::time::Duration;

use crate::{Exit, Failure};

/// A number and a unit: `1.5s`, `500ms`, `10m`, `2h`.
///
/// # Errors
/// What to give instead, for clap to print.
pub fn parse_time(text: &str) -> Result<Duration, String> {
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return Err(TIME_HELP.to_owned()),
    };
    let number: f64 = number.parse().map_err(|_| TIME_HELP.to_owned())?;
    let time = Duration::try_from_secs_f64(number * seconds).map_err(|_| TIME_HELP.to_owned())?;
    if time > MAX_TIME {
        return Err("give at most 1000 days".to_owned());
    }
    Ok(time)
}

/// As [`parse_time`], from `least` to `most`.
///
/// # Errors
/// What to give instead, for clap to print.
pub fn parse_time_within(text: &str, least: Duration, most: Duration) -> Result<Duration, String> {
    let time = parse_time(text)?;
    if (least..=most).contains(&time) {
        Ok(time)
    } else {
        Err(format!("give a time from {least:?} to {most:?}"))
    }
}

/// The host's name for a program that was given none by `flag`: the whole, or its first label where
/// the whole does not fit. It is never cut elsewhere, since two hosts could then have one name.
///
/// # Errors
/// Neither is a name; the message says which flag to pass.
pub fn host_name<N: FromStr>(flag: &str) -> Result<N, Failure> {
    let host = std::fs::read_to_string(HOST_NAME).unwrap_or_default();
    let host = host.trim();
    let message = || format!("the host's name {host:?} does not fit; pass {flag}");
    name_of(host).ok_or_else(|| Failure::new(Exit::Usage, message()))
}

fn name_of<N: FromStr>(host: &str) -> Option<N> {
    let label = host.split('.').next().unwrap_or(host);
    host.parse().or_else(|_| label.parse()).ok()
}

const TIME_HELP: &str = "give a number and a unit: ms, s, m, h or d, as in 500ms or 2s";
/// Keeps sums of times far from overflow.
const MAX_TIME: Duration = Duration::from_secs(1000 * 86_400);
const HOST_NAME: &str = "/proc/sys/kernel/hostname";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let ms = Duration::from_millis;
        for (text, time) in [
            ("500ms", ms(500)),
            ("2s", ms(2000)),
            ("0.5s", ms(500)),
            ("1.5m", ms(90_000)),
            ("1h", ms(3_600_000)),
        ] {
            assert_eq!(parse_time(text), Ok(time));
        }
        for text in ["", "5", "s", "-1s", "1w", "1s ", "nans", "1e300h", "9999999h"] {
            assert!(parse_time(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_time_out_of_range_is_refused_with_the_range() {
        let (least, most) = (Duration::from_millis(100), Duration::from_secs(10));
        for text in ["100ms", "1s", "10s"] {
            assert!(parse_time_within(text, least, most).is_ok(), "{text}");
        }
        for text in ["99ms", "10.1s", "1h"] {
            let message = "give a time from 100ms to 10s".to_owned();
            assert_eq!(parse_time_within(text, least, most), Err(message), "{text}");
        }
    }

    #[test]
    fn a_long_name_of_a_host_is_cut_at_its_first_dot_or_not_at_all() {
        #[derive(Debug, PartialEq)]
        struct Short(String);
        impl FromStr for Short {
            type Err = ();
            fn from_str(text: &str) -> Result<Self, ()> {
                let fits = (1..=8).contains(&text.len());
                fits.then(|| Self(text.to_owned())).ok_or(())
            }
        }
        let short = |text: &str| Some(Short(text.to_owned()));
        assert_eq!(name_of("pms1"), short("pms1"));
        assert_eq!(name_of("pms1.lan"), short("pms1.lan"));
        assert_eq!(name_of("pms1.hotel.example"), short("pms1"));
        assert_eq!(name_of::<Short>("frontdesk1.hotel.example"), None);
        assert_eq!(name_of::<Short>(""), None);
    }
}
