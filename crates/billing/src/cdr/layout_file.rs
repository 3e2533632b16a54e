//! Layouts as TOML: the built-in ones, and a user's own with errors that name their place.
#![deny(clippy::disallowed_methods)]

use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

use super::layout::{Align, Column, End, Kind, Layout, MAX_NUMBER_WIDTH, MAX_TEXT, Piece, width};
use super::page::Page;
use super::sequence::Sequence;
use crate::reset::Reset;

/// What is wrong with a layout, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {problem}")]
pub struct LayoutError {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What is wrong.
    pub problem: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLayout {
    name: Spanned<String>,
    #[serde(default)]
    title: String,
    #[serde(default)]
    remark: String,
    length: Spanned<usize>,
    least: Option<Spanned<usize>>,
    #[serde(default)]
    end: End,
    #[serde(default)]
    nuls: Option<Spanned<usize>>,
    columns: Spanned<Vec<Spanned<RawColumn>>>,
    number: Option<Spanned<RawNumber>>,
    page: Option<Spanned<Page>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawColumn {
    name: String,
    from: usize,
    length: usize,
    kind: Kind,
    #[serde(default)]
    align: Align,
    format: Option<String>,
    #[serde(default)]
    values: Vec<String>,
    #[serde(default)]
    sample: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNumber {
    #[serde(default)]
    first: u64,
    last: Option<u64>,
    #[serde(default)]
    reset: Reset,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    layout: Vec<RawLayout>,
}

/// A problem with its place in the text.
type Found = (Range<usize>, String);

impl Layout {
    /// All built-in layouts, in the order of the documentation.
    ///
    /// # Panics
    /// Never: a test reads them.
    pub fn all() -> Vec<Self> {
        let known: Known =
            toml::from_str(BUILT_IN).expect("the built-in layouts are read by a test");
        let checked = known.layout.into_iter().map(checked).collect::<Result<_, _>>();
        checked.expect("the built-in layouts are checked by a test")
    }

    /// The built-in layout of this name.
    pub fn built_in(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|layout| layout.name == name)
    }

    /// A user's own layout, from the text of its file.
    ///
    /// # Errors
    /// It is no layout; the first thing that is wrong, with its place.
    pub fn from_toml(text: &str) -> Result<Self, LayoutError> {
        let raw: RawLayout = toml::from_str(text).map_err(|error| {
            let place = error.span().unwrap_or_default();
            placed(text, (place, error.message().to_owned()))
        })?;
        checked(raw).map_err(|found| placed(text, found))
    }
}

fn checked(raw: RawLayout) -> Result<Layout, Found> {
    let name = raw.name.get_ref();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if name.is_empty() || name.len() > 40 || !name.bytes().all(plain) {
        return found(&raw.name, "a name is 1 to 40 letters, digits, - or _");
    }
    let length = *raw.length.get_ref();
    if !(1..=MAX_TEXT).contains(&length) {
        return found(&raw.length, format!("length is 1 to {MAX_TEXT}"));
    }
    if let Some(least) = &raw.least
        && !(1..=length).contains(least.get_ref())
    {
        return found(least, "least is 1 to length");
    }
    if let Some(nuls) = &raw.nuls
        && *nuls.get_ref() > MAX_NULS
    {
        return found(nuls, format!("nuls is at most {MAX_NULS}"));
    }
    if let Some(page) = &raw.page {
        page.get_ref().check(raw.end).or_else(|problem| found(page, problem))?;
    }
    let mut columns: Vec<Column> = Vec::new();
    for raw in raw.columns.get_ref() {
        let column = checked_column(raw, length)?;
        let overlaps = |other: &&Column| {
            column.from < other.from + other.length && other.from < column.from + column.length
        };
        if let Some(other) = columns.iter().find(overlaps) {
            return found(raw, format!("column `{}` overlaps `{}`", column.name, other.name));
        }
        if columns.iter().any(|other| other.name == column.name) {
            return found(raw, format!("there are two columns `{}`", column.name));
        }
        columns.push(column);
    }
    if columns.is_empty() {
        return found(&raw.columns, "a layout has at least one column");
    }
    columns.sort_by_key(|column| column.from);
    let sequence = checked_sequence(raw.number.as_ref(), &columns, &raw.columns)?;
    let least = raw.least.map_or(length, Spanned::into_inner);
    if let Some(column) =
        columns.iter().find(|c| c.kind == Kind::Number && c.from + c.length > least)
    {
        let problem = format!("the number in `{}` must lie within `least`", column.name);
        return found(&raw.columns, problem);
    }
    Ok(Layout {
        name: raw.name.into_inner(),
        title: raw.title,
        remark: raw.remark,
        length,
        least,
        end: raw.end,
        nuls: raw.nuls.map_or(0, Spanned::into_inner),
        columns,
        sequence,
        page: raw.page.map(Spanned::into_inner),
    })
}

fn checked_column(raw: &Spanned<RawColumn>, total: usize) -> Result<Column, Found> {
    let RawColumn { name, from, length, kind, align, format, values, sample } = raw.get_ref();
    let end = from.saturating_add(*length);
    if *from == 0 || *length == 0 || end > total + 1 {
        let problem = format!("column `{name}` does not lie within 1 to {total}");
        return found(raw, problem);
    }
    if values.iter().chain(sample).any(|value| value.len() > *length || !value.is_ascii()) {
        return found(raw, format!("column `{name}`: a value does not fit its {length} places"));
    }
    let timed = matches!(kind, Kind::Moment | Kind::Duration);
    let format = Piece::parse(format.as_deref().unwrap_or_default());
    if !timed && !format.is_empty() {
        return found(raw, format!("column `{name}`: only a moment or a duration has a format"));
    }
    if *kind == Kind::Moment && format.is_empty() {
        let problem = format!("column `{name}`: a moment needs a format, such as mo/dd hh:mi");
        return found(raw, problem);
    }
    if width(&format) > *length {
        return found(
            raw,
            format!("column `{name}`: the format is wider than its {length} places"),
        );
    }
    if *kind == Kind::Number && *length > MAX_NUMBER_WIDTH {
        let problem = format!("column `{name}`: a number has at most {MAX_NUMBER_WIDTH} digits");
        return found(raw, problem);
    }
    Ok(Column {
        name: name.clone(),
        from: from - 1,
        length: *length,
        kind: *kind,
        align: *align,
        format,
        values: values.clone(),
        sample: sample.clone(),
    })
}

fn checked_sequence(
    raw: Option<&Spanned<RawNumber>>,
    columns: &[Column],
    place: &Spanned<Vec<Spanned<RawColumn>>>,
) -> Result<Option<Sequence>, Found> {
    let mut numbers = columns.iter().filter(|column| column.kind == Kind::Number);
    let Some(column) = numbers.next() else {
        return match raw {
            Some(raw) => found(raw, "`number` needs a column of kind number"),
            None => Ok(None),
        };
    };
    if let Some(other) = numbers.next() {
        return found(place, format!("`{}` is a second number", other.name));
    }
    let highest = 10_u64.pow(column.length as u32) - 1;
    let Some(raw) = raw else {
        return Ok(Some(Sequence { first: 0, last: highest, reset: Reset::Never }));
    };
    let RawNumber { first, last, reset } = *raw.get_ref();
    let last = last.unwrap_or(highest);
    if first >= last || last > highest {
        let problem = format!("numbers go from `first` up to `last`, at most {highest} here");
        return found(raw, problem);
    }
    Ok(Some(Sequence { first, last, reset }))
}

fn found<T, V>(place: &Spanned<V>, problem: impl Into<String>) -> Result<T, Found> {
    Err((place.span(), problem.into()))
}

fn placed(text: &str, (place, problem): Found) -> LayoutError {
    let before = text.get(..place.start).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    LayoutError { line, column, problem }
}

/// More NULs than any printer needed.
const MAX_NULS: usize = 16;
const BUILT_IN: &str = include_str!("layouts.toml");

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = r#"name = "ours"
length = 30
number = { last = 99, reset = "midnight" }
columns = [
    { name = "number", from = 1, length = 4, kind = "number" },
    { name = "moment", from = 6, length = 11, kind = "moment", format = "mo/dd hh:mi" },
    { name = "dialled", from = 18, length = 13, kind = "dialled" },
]
"#;

    #[test]
    fn the_built_in_layouts_are_those_of_the_reference() {
        let names: Vec<_> = Layout::all().into_iter().map(|layout| layout.name).collect();
        let known = ["teleseer", "isdn-teleseer", "m1", "ctx", "ctx-b", "sx200", "kx", "nec-ims"];
        assert_eq!(names, known);
        for name in known {
            let layout = Layout::built_in(name).unwrap();
            assert!(!layout.title.is_empty() && !layout.remark.is_empty(), "{name}");
        }
    }

    #[test]
    fn a_layout_of_ones_own() {
        let layout = Layout::from_toml(OWN).unwrap();
        let sequence = Sequence { first: 0, last: 99, reset: Reset::Hours(24) };
        assert_eq!(layout.sequence, Some(sequence));
        assert!(layout.fits(b"0042 06/18 12:35 8056881000   "));
        assert!(!layout.fits(b"0042 06/18 12;35 8056881000   "));
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        let cases = [
            ("length = 30", "length = 0", "line 2, column 10: length is 1 to 512"),
            ("length = 30", "width = 30", "line 2, column 1: unknown field `width`"),
            ("from = 6", "from = 3", "line 6, column 5: column `moment` overlaps `number`"),
            (
                "from = 18",
                "from = 20",
                "line 7, column 5: column `dialled` does not lie within 1 to 30",
            ),
            (
                "mo/dd hh:mi",
                "mo/dd hh:mi:ss",
                "line 6, column 5: column `moment`: the format is wider",
            ),
            (
                r#", format = "mo/dd hh:mi""#,
                "",
                "line 6, column 5: column `moment`: a moment needs",
            ),
            ("midnight", "noon", "line 3"),
            ("last = 99", "last = 99999", "line 3, column 10: numbers go from"),
            (
                r#"kind = "number""#,
                r#"kind = "digits""#,
                "line 3, column 10: `number` needs a column",
            ),
            (r#""dialled" }"#, r#""dialed" }"#, "line 7"),
            ("name = \"ours\"", "name = \"our layout\"", "line 1, column 8: a name is"),
        ];
        for (old, new, expected) in cases {
            let text = OWN.replace(old, new);
            assert_ne!(text, OWN, "{old}");
            let error = Layout::from_toml(&text).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
