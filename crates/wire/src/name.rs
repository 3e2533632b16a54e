//! Names of groups, nodes, lines and servers, and the random identities of a process.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

/// Longest name in bytes: keeps a heartbeat with all its peers, and a beacon with all its lines, in
/// one datagram.
pub const MAX_NAME: usize = 32;

/// A name of 1 to 32 bytes out of `A-Z a-z 0-9 . _ -` that begins with neither `.` nor `-`.
///
/// It appears in datagrams, logs, file names and environment variables, hence the small alphabet;
/// and it may arrive from the network, so it must be neither `..` nor an option of a command.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

/// Why a text is no [`Name`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NameError {
    /// Nothing there.
    #[error("a name must not be empty")]
    Empty,
    /// More than [`MAX_NAME`] bytes.
    #[error("a name has at most {MAX_NAME} characters, this one has {0}")]
    TooLong(usize),
    /// A character outside the alphabet.
    #[error("a name consists of letters, digits, '.', '_' and '-', not {0:?}")]
    BadCharacter(char),
    /// A first character that makes a path or an option of it.
    #[error("a name begins with a letter, a digit or '_', not {0:?}")]
    BadStart(char),
}

impl Name {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if let Some(bad) =
            text.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '_' | '-'))
        {
            return Err(NameError::BadCharacter(bad));
        }
        if let Some(bad @ ('.' | '-')) = text.chars().next() {
            return Err(NameError::BadStart(bad));
        }
        if text.len() > MAX_NAME {
            return Err(NameError::TooLong(text.len()));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Names one life of a process: random, drawn at its start.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct BootId(pub [u8; 16]);

/// A number used once, drawn at random by each side of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Nonce(pub [u8; 16]);

fn hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|b| write!(f, "{b:02x}"))
}

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl fmt::Debug for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0[..4], f)
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0[..4], f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_to_their_alphabet_and_length() {
        assert_eq!("node-1.a_B".parse::<Name>().unwrap().as_str(), "node-1.a_B");
        assert_eq!("".parse::<Name>(), Err(NameError::Empty));
        assert_eq!("a b".parse::<Name>(), Err(NameError::BadCharacter(' ')));
        assert_eq!("ä".parse::<Name>(), Err(NameError::BadCharacter('ä')));
        assert_eq!("x".repeat(33).parse::<Name>(), Err(NameError::TooLong(33)));
        assert!("x".repeat(32).parse::<Name>().is_ok());
        assert_eq!("..".parse::<Name>(), Err(NameError::BadStart('.')));
        assert_eq!("--force".parse::<Name>(), Err(NameError::BadStart('-')));
    }
}
