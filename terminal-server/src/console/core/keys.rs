//! The escape key: what follows it is a command and not for the line.

use std::fmt;
use std::str::FromStr;

/// The key that makes a command of the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Escape {
    /// `None`: there are no commands, every key is for the line.
    key: Option<u8>,
    armed: bool,
}

/// What a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// For the line.
    Plain(u8),
    /// A command.
    Command(u8),
}

impl Escape {
    /// The next key; `None` for the escape key itself. Twice the escape key sends it once.
    pub fn key(&mut self, byte: u8) -> Option<Key> {
        if std::mem::take(&mut self.armed) {
            return Some(match Some(byte) == self.key {
                true => Key::Plain(byte),
                false => Key::Command(byte),
            });
        }
        if Some(byte) == self.key {
            self.armed = true;
            return None;
        }
        Some(Key::Plain(byte))
    }
}

impl Default for Escape {
    /// Ctrl-T, as tio has it.
    fn default() -> Self {
        Self { key: Some(0x14), armed: false }
    }
}

impl FromStr for Escape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        if lower == "none" {
            return Ok(Self { key: None, armed: false });
        }
        let letter = ["ctrl-", "^", "c-"].iter().find_map(|start| lower.strip_prefix(start));
        let key = match letter.map(str::as_bytes) {
            Some([letter @ (b'a'..=b'z' | b'\\' | b']' | b'^' | b'_')]) => letter & 0x1f,
            _ => return Err("give ctrl and a letter, as ctrl-t or ^T, or none".to_owned()),
        };
        // These three are what every text consists of.
        if matches!(key, b'\r' | b'\n' | b'\t') {
            return Err(format!("{text} is Enter or Tab, which are for the line"));
        }
        Ok(Self { key: Some(key), armed: false })
    }
}

impl fmt::Display for Escape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key {
            Some(key) => write!(f, "ctrl-{}", char::from(key | 0x40).to_ascii_lowercase()),
            None => f.write_str("none"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(escape: &mut Escape, bytes: &[u8]) -> Vec<Key> {
        bytes.iter().filter_map(|byte| escape.key(*byte)).collect()
    }

    #[test]
    fn the_key_after_the_escape_key_is_a_command_wherever_the_bytes_are_cut() {
        use Key::{Command, Plain};
        let mut escape = Escape::default();
        let got = keys(&mut escape, b"a\x14qb\x14\x14c");
        assert_eq!(got, [Plain(b'a'), Command(b'q'), Plain(b'b'), Plain(0x14), Plain(b'c')]);
        assert_eq!(keys(&mut escape, b"\x14"), []);
        assert_eq!(keys(&mut escape, b"q"), [Command(b'q')]);
        let mut none: Escape = "none".parse().unwrap();
        assert_eq!(keys(&mut none, b"\x14q"), [Plain(0x14), Plain(b'q')]);
    }

    #[test]
    fn escape_keys_are_named_as_people_name_them() {
        for (text, key) in [("ctrl-t", 0x14), ("^A", 1), ("C-]", 0x1d), ("ctrl-^", 0x1e)] {
            let escape: Escape = text.parse().unwrap();
            assert_eq!(escape.key, Some(key), "{text}");
            assert_eq!(escape.to_string().parse(), Ok(escape), "{text}");
        }
        for text in ["", "t", "ctrl-", "ctrl-1", "ctrl-m", "^J", "ctrl-tt", "ctrl-é"] {
            assert!(text.parse::<Escape>().is_err(), "{text:?}");
        }
    }
}
