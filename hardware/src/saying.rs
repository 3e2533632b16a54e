//! A line of a program's log, understood.

use std::fmt::Write;
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};
use sys::boottime;
use wire::Epoch;

/// One line of a program's JSON log.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Saying {
    /// When, as the program's clock said.
    #[serde(skip)]
    pub at: Duration,
    /// How grave.
    pub level: String,
    /// The message: of what the lab looks for, one lasting word.
    #[serde(rename = "event")]
    pub word: String,
    /// The fields beside the message.
    #[serde(serialize_with = "fields")]
    fields: Map<String, Value>,
}

#[derive(Deserialize)]
struct Line {
    boottime: f64,
    level: String,
    fields: Map<String, Value>,
}

impl Saying {
    /// From a line; `None` if it is none of a JSON log.
    pub fn parse(line: &str) -> Option<Self> {
        let Line { boottime, level, mut fields } = serde_json::from_str(line).ok()?;
        let Value::String(word) = fields.remove("message")? else { return None };
        // The programs write microseconds; a float of seconds is a little off them.
        let at = Duration::from_micros((boottime * 1e6).round() as u64);
        Some(Self { at, level, word, fields })
    }

    /// A line that is none of a JSON log: a panic, or a guard's last words.
    pub fn plain(line: &str) -> Self {
        let fields = Map::from_iter([("text".to_owned(), line.into())]);
        let (level, word) = ("WARN".to_owned(), "said".to_owned());
        Self { at: boottime(), level, word, fields }
    }

    /// A field's text.
    pub fn text(&self, field: &str) -> Option<&str> {
        self.fields.get(field)?.as_str()
    }

    /// A field's number.
    pub fn number(&self, field: &str) -> Option<u64> {
        self.fields.get(field)?.as_u64()
    }

    /// The grant that this is about, as `start.count`.
    pub fn epoch(&self) -> Option<Epoch> {
        let (start, count) = self.text("epoch")?.split_once('.')?;
        Some(Epoch::new(start.parse().ok()?, count.parse().ok()?))
    }

    /// Whether a person should see it in any case.
    pub fn is_grave(&self) -> bool {
        matches!(self.level.as_str(), "WARN" | "ERROR")
    }

    /// The fields for people.
    pub fn details(&self) -> String {
        let mut text = String::new();
        for (name, value) in self.fields.iter().filter(|(_, value)| !value.is_null()) {
            let space = if text.is_empty() { "" } else { " " };
            let _ = match value {
                Value::String(value) => write!(text, "{space}{name}={value}"),
                value => write!(text, "{space}{name}={value}"),
            };
        }
        text
    }
}

fn fields<S: Serializer>(fields: &Map<String, Value>, to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(fields.iter().filter(|(_, value)| !value.is_null()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_understood() {
        let line = r#"{"boottime":123.456789,"level":"INFO","fields":{"message":"granted","line":"l",
            "node":"node-a","epoch":"7.2","in_doubt":3,"peer":null},"target":"terminal_server"}"#;
        let saying = Saying::parse(line).unwrap();
        assert_eq!(saying.at, Duration::from_micros(123_456_789));
        assert_eq!((saying.word.as_str(), saying.text("node")), ("granted", Some("node-a")));
        assert_eq!(saying.epoch(), Some(Epoch::new(7, 2)));
        assert_eq!(saying.number("in_doubt"), Some(3));
        assert_eq!(saying.details(), "epoch=7.2 in_doubt=3 line=l node=node-a");
        assert!(!saying.is_grave());
    }

    #[test]
    fn other_lines_are_not() {
        for line in ["", "thread 'main' panicked", "{}", r#"{"boottime":1,"level":"INFO"}"#] {
            assert_eq!(Saying::parse(line), None);
        }
    }
}
