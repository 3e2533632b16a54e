//! What the texts in a configuration mean. The command line's are the same.

use std::ffi::OsString;
use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::section::Findings;
use crate::args::parse_time_within;

/// Something, and where the file says it.
pub type Placed<T> = (T, Range<usize>);

/// Bytes, or with a unit: `65536`, `64KiB`, `1MiB`, `1GiB`.
///
/// # Errors
/// What to give instead.
pub fn size_within(text: &str, range: RangeInclusive<usize>) -> Result<usize, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: Option<usize> = match &text[digits.len()..] {
        "" => Some(1),
        "KiB" => Some(1 << 10),
        "MiB" => Some(1 << 20),
        "GiB" => Some(1 << 30),
        _ => None,
    };
    let count = digits.parse::<usize>().ok();
    let size = count.zip(unit).and_then(|(count, unit)| count.checked_mul(unit));
    size.filter(|size| range.contains(size)).ok_or_else(|| {
        let (least, most) = (in_units(*range.start()), in_units(*range.end()));
        format!("give a size from {least} to {most}, in bytes or as KiB or MiB")
    })
}

/// A size with the largest unit that fits it.
pub fn in_units(size: usize) -> String {
    match size {
        0 => "0".to_owned(),
        size if size.is_multiple_of(1 << 30) => format!("{}GiB", size >> 30),
        size if size.is_multiple_of(1 << 20) => format!("{}MiB", size >> 20),
        size if size.is_multiple_of(1 << 10) => format!("{}KiB", size >> 10),
        size => size.to_string(),
    }
}

/// A text.
pub fn text<'v>(value: &'v DeValue<'_>) -> Result<&'v str, String> {
    match value {
        DeValue::String(text) => Ok(text),
        other => Err(format!("give a text in quotes, not {}", article(other))),
    }
}

/// A text that is a `T`.
pub fn parsed<T>(value: &DeValue<'_>) -> Result<T, String>
where
    T: FromStr,
    T::Err: Display,
{
    text(value)?.parse().map_err(|error: T::Err| error.to_string())
}

/// `true` or `false`.
pub fn flag(value: &DeValue<'_>) -> Result<bool, String> {
    match value {
        DeValue::Boolean(flag) => Ok(*flag),
        other => Err(format!("give true or false, not {}", article(other))),
    }
}

/// A whole number within `range`.
pub fn count(range: RangeInclusive<usize>) -> impl FnOnce(&DeValue<'_>) -> Result<usize, String> {
    move |value| {
        let number = match value {
            DeValue::Integer(number) => usize::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        number
            .filter(|number| range.contains(number))
            .ok_or_else(|| format!("give a number from {} to {}", range.start(), range.end()))
    }
}

/// A time within bounds.
pub fn time(least: Duration, most: Duration) -> impl Fn(&DeValue<'_>) -> Result<Duration, String> {
    move |value| parse_time_within(text(value)?, least, most)
}

/// A size within bounds: a text with its unit, or a number of bytes.
pub fn size(range: RangeInclusive<usize>) -> impl FnOnce(&DeValue<'_>) -> Result<usize, String> {
    move |value| match value {
        DeValue::Integer(number) if number.radix() == 10 => size_within(number.as_str(), range),
        _ => size_within(text(value)?, range),
    }
}

/// What `meaning` makes of it, or nothing for `"off"`.
pub fn or_off<T>(
    meaning: impl FnOnce(&DeValue<'_>) -> Result<T, String>,
) -> impl FnOnce(&DeValue<'_>) -> Result<Option<T>, String> {
    move |value| match value {
        DeValue::String(text) if text == "off" => Ok(None),
        value => meaning(value).map(Some).map_err(|message| format!("{message}, or \"off\"")),
    }
}

/// One of a few words.
pub fn choice<T: Copy>(words: &[(&str, T)]) -> impl FnOnce(&DeValue<'_>) -> Result<T, String> {
    move |value| {
        let given = text(value)?;
        let found = words.iter().find(|(word, _)| *word == given).map(|(_, meant)| *meant);
        found.ok_or_else(|| {
            let words: Vec<_> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
            format!("`{given}` is none of {}", words.join(", "))
        })
    }
}

/// A list, each of whose items is a `T`.
pub fn list<T>(
    meaning: impl Fn(&DeValue<'_>) -> Result<T, String>,
) -> impl FnOnce(&DeValue<'_>) -> Result<Vec<T>, String> {
    move |value| match value {
        DeValue::Array(items) => items.iter().map(|item| meaning(item.get_ref())).collect(),
        other => Err(format!("give a list in [brackets], not {}", article(other))),
    }
}

/// The program and its arguments, as `["/usr/bin/gateway", "--quick"]`.
pub fn command(value: &DeValue<'_>) -> Result<Vec<OsString>, String> {
    const HELP: &str = r#"give the program and its arguments, as ["/usr/bin/program", "--flag"]"#;
    let words = list(|word| text(word).map(OsString::from))(value).map_err(|_| HELP.to_owned())?;
    let fine = words.first().is_some_and(|program| !program.is_empty())
        && words.iter().all(|word| !word.as_encoded_bytes().contains(&0));
    if fine { Ok(words) } else { Err(HELP.to_owned()) }
}

/// The items of a list, each with its place, those left out that are wrong.
pub fn items<'t, T>(
    value: &'t Spanned<DeValue<'t>>,
    findings: &mut Findings<'_>,
    meaning: impl Fn(&DeValue<'t>) -> Result<T, String>,
) -> Vec<Placed<T>> {
    let DeValue::Array(items) = value.get_ref() else {
        findings.add(&value.span(), "give a list in [brackets]");
        return Vec::new();
    };
    let mut right = Vec::new();
    for item in items {
        match meaning(item.get_ref()) {
            Ok(meant) => right.push((meant, item.span())),
            Err(message) => findings.add(&item.span(), message),
        }
    }
    right
}

/// The name of a file.
pub fn path(value: &DeValue<'_>) -> Result<PathBuf, String> {
    match text(value)? {
        "" => Err("give the name of a file".to_owned()),
        path => Ok(path.into()),
    }
}

fn article(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let all = 0..=usize::MAX;
        for (text, size) in [("0", 0), ("65536", 65536), ("64KiB", 65536), ("2GiB", 2 << 30)] {
            assert_eq!(size_within(text, all.clone()), Ok(size));
        }
        for text in
            ["", "KiB", "1kb", "-1", "1.5MiB", "99999999999999999999", "18446744073709551615KiB"]
        {
            assert!(size_within(text, all.clone()).is_err(), "{text}");
        }
        let error = size_within("1", 65_536..=256 << 20).unwrap_err();
        assert_eq!(error, "give a size from 64KiB to 256MiB, in bytes or as KiB or MiB");
    }
}
