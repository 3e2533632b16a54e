//! Files that say what was wanted and what the gateway has taken, one JSON object a line.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use billing::Charge;
use billing::dialect::Dialect;
use bytes::Bytes;
use serde::Deserialize;

/// The contents of the charges in the file, as the dialect carries them.
///
/// # Errors
/// The file can't be read, or a line of it is no charge that fits; the message names both.
pub fn charges(path: &Path, dialect: &Dialect) -> io::Result<Vec<Bytes>> {
    let read = |line: &str| {
        let charge: Charge = serde_json::from_str(line).map_err(|error| error.to_string())?;
        charge.check().map_err(|error| error.to_string())?;
        let content = dialect.content(&charge)?;
        content.ok_or_else(|| format!("nobody posts charges in {}", dialect.name()))
    };
    lines(path, read)
}

/// What a gateway has taken, by its own word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The texts of the records, in the order of the line.
    pub texts: Vec<Bytes>,
    /// How many there are from before the run.
    pub before: u64,
}

/// The records in the file that the gateway took since `began` (time since 1970), each once:
/// several nodes may have written down the same piece of input.
///
/// # Errors
/// The file can't be read, a line of it is no record, or it holds those of several lines; the
/// message names the place.
pub fn records(path: &Path, dialect: &Dialect, began: Duration) -> io::Result<Taken> {
    let rows = lines(path, |line| {
        let row: Row = serde_json::from_str(line).map_err(|error| error.to_string())?;
        let text = row.text()?;
        // A line has another incarnation, a higher one, each time that its bytes are counted anew.
        let incarnation = row.incarnation.as_deref().unwrap_or("0").parse::<u64>();
        let incarnation = incarnation.map_err(|error| format!("incarnation: {error}"))?;
        Ok((row, incarnation, text))
    })?;
    let began = daemon::wall::stamp(began.saturating_sub(CLOCKS_DIFFER));
    let mut line: Option<String> = None;
    let mut texts = BTreeMap::new();
    let mut before = 0;
    for (index, (row, incarnation, text)) in rows.into_iter().enumerate() {
        let is_from_line = row.kept_in.as_deref().is_none_or(|kept_in| kept_in == "in");
        if !is_from_line || row.kind.as_deref().is_some_and(|kind| !dialect.takes(kind)) {
            continue;
        }
        // Stamps of one length and in one zone are in the order of their text.
        if row.received.as_deref().is_some_and(|received| received < began.as_str()) {
            before += 1;
            continue;
        }
        match (&line, row.line) {
            (Some(one), Some(other)) if *one != other => {
                let path = path.display();
                let message = format!(
                    "{path}: holds records of the lines {one} and {other}; export one of them with \
                     `failover-node records --json --line {one}`"
                );
                return Err(io::Error::other(message));
            }
            (_, named) => line = named.or(line),
        }
        // Without a place in the stream, its place in the file counts.
        texts.insert((incarnation, row.start.unwrap_or(index as u64)), text);
    }
    Ok(Taken { texts: texts.into_values().collect(), before })
}

/// What matters of a line of `failover-node records --json`.
#[derive(Deserialize)]
struct Row {
    #[serde(rename = "box")]
    kept_in: Option<String>,
    line: Option<String>,
    received: Option<String>,
    kind: Option<String>,
    incarnation: Option<String>,
    start: Option<u64>,
    record: Option<String>,
    record_hex: Option<String>,
}

impl Row {
    fn text(&self) -> Result<Bytes, String> {
        match (&self.record_hex, &self.record) {
            (Some(hex), _) => from_hex(hex).ok_or_else(|| "record_hex is no hex".to_owned()),
            (None, Some(text)) => Ok(Bytes::copy_from_slice(text.as_bytes())),
            // A charge without a number yet.
            (None, None) => Ok(Bytes::new()),
        }
    }
}

/// How much the clocks of two hosts may differ, so that the first records of a run count.
const CLOCKS_DIFFER: Duration = Duration::from_secs(1);

fn lines<T>(path: &Path, read: impl Fn(&str) -> Result<T, String>) -> io::Result<Vec<T>> {
    let name = path.display();
    let text = fs::read_to_string(path)
        .map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))?;
    let numbered = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let all = numbered.map(|(number, line)| {
        read(line).map_err(|error| io::Error::other(format!("{name}:{number}: {error}")))
    });
    all.collect()
}

fn from_hex(text: &str) -> Option<Bytes> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|c| !c.is_ascii_whitespace())
        .map(|c| c.to_digit(16).map(|digit| digit as u8))
        .collect::<Option<_>>()?;
    let pairs = digits.chunks(2);
    pairs.map(|pair| Some(pair.first()? << 4 | pair.get(1)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, text).unwrap();
        file
    }

    fn read(text: &str, dialect: &str, began: u64) -> io::Result<Taken> {
        let dialect = Dialect::named(dialect, &[]).unwrap();
        records(file(text).path(), &dialect, Duration::from_secs(began))
    }

    fn texts(text: &str, dialect: &str) -> Vec<Bytes> {
        read(text, dialect, 0).unwrap().texts
    }

    #[test]
    fn what_was_not_taken_or_not_in_this_run_does_not_count() {
        let calls = "{\"kind\":\"call\",\"record\":\"a\"}\n{\"kind\":\"repeat\",\"record\":\"a\"}\n\
                     {\"kind\":\"title\",\"record\":\"t\"}\n{\"kind\":\"torn\",\"record\":\"a\"}\n";
        assert_eq!(texts(calls, "cdr"), ["a"]);
        let commands = "{\"kind\":\"before-logon\",\"record\":\"a\",\"state\":\"kept\"}\n\
                        {\"kind\":\"AU\",\"record\":\"a\",\"state\":\"kept\"}\n";
        assert_eq!(texts(commands, "cable"), ["a"]);
        let runs = "{\"received\":\"1970-01-01T00:01:38.900000Z\",\"record\":\"a\"}\n\
                    {\"received\":\"1970-01-01T00:01:39.000000Z\",\"record\":\"b\"}\n\
                    {\"received\":\"1970-01-01T00:02:00.000000Z\",\"record\":\"c\"}\n";
        let taken = read(runs, "fias", 100).unwrap();
        assert_eq!((taken.texts, taken.before), (vec!["b".into(), "c".into()], 1));
    }

    #[test]
    fn the_records_of_two_lines_are_not_one_stream() {
        let lines = "{\"line\":\"a\",\"record\":\"x\"}\n{\"line\":\"b\",\"record\":\"x\"}\n";
        let error = read(lines, "fias", 0).unwrap_err().to_string();
        assert!(error.contains("lines a and b"), "{error}");
    }

    #[test]
    fn records_come_in_the_order_of_the_line_and_once() {
        // One node's export, then another's, which has the older bytes of the line.
        let export = "{\"box\":\"in\",\"incarnation\":\"10\",\"start\":20,\"record\":\"b\"}\n\
             {\"box\":\"in\",\"incarnation\":\"10\",\"start\":10,\"record\":\"a\"}\n\n\
             {\"box\":\"out\",\"key\":\"k\"}\n\
             {\"box\":\"in\",\"incarnation\":\"10\",\"start\":20,\"record\":\"b\"}\n\
             {\"box\":\"in\",\"incarnation\":\"9\",\"start\":30,\"record\":\"\",\"record_hex\":\"c3 80\"}\n";
        let expected: [&[u8]; 3] = [b"\xc3\x80", b"a", b"b"];
        assert_eq!(texts(export, "fias"), expected);
        let plain = "{\"record\":\"z\"}\n{\"record\":\"y\"}\n{\"record\":\"z\"}\n";
        assert_eq!(texts(plain, "fias"), [&b"z"[..], b"y", b"z"]);
    }

    #[test]
    fn a_wrong_line_is_told_with_its_place() {
        let dialect = Dialect::named("fias", &[]).unwrap();
        let charge = dialect.charge(1, 1).unwrap();
        let good = serde_json::to_string(&charge).unwrap();
        let export = file(&format!("{good}\n{{\"key\":\"k\"}}\n"));
        let error = charges(export.path(), &dialect).unwrap_err().to_string();
        assert!(error.contains(":2: missing field"), "{error}");
        let right = file(&good);
        let content = dialect.content(&charge).unwrap().unwrap();
        assert_eq!(charges(right.path(), &dialect).unwrap(), [content]);
        let cdr = Dialect::named("cdr", &[]).unwrap();
        assert!(charges(right.path(), &cdr).unwrap_err().to_string().contains("nobody posts"));
        assert!(read("{\"incarnation\":\"x\",\"record\":\"a\"}", "fias", 0).is_err());
        let missing = records(Path::new("/does/not/exist"), &cdr, Duration::ZERO);
        assert!(missing.is_err());
    }
}
