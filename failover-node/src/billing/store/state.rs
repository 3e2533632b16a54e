//! How far a row is. The words are those in the tables, in `records` and in the documentation.

use std::fmt;
use std::str::FromStr;

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};

/// How far a record from the line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum InState {
    /// A handler has to see it.
    New,
    /// A handler is done with it.
    Handled,
    /// For the books only; no handler sees it.
    Kept,
}

/// How far a charge is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum OutState {
    /// It has no number, and was never on the line.
    New,
    /// It has its number for good, may have been on the line, and is not settled.
    Numbered,
    /// The billing system has it.
    Posted,
    /// The billing system will not have it.
    Refused,
    /// Another node has sent it and seen its end; how it ended is in that node's store.
    Elsewhere,
    /// Nobody can know whether the billing system has it. It is kept, and never sent by itself.
    Doubt,
}

/// No word for a state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no state; there are {1}")]
pub struct StateError(String, String);

impl InState {
    /// All of them, in the order of a record's life.
    pub const ALL: [Self; 3] = [Self::New, Self::Handled, Self::Kept];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Handled => "handled",
            Self::Kept => "kept",
        }
    }
}

impl OutState {
    /// All of them, in the order of a charge's life.
    pub const ALL: [Self; 6] =
        [Self::New, Self::Numbered, Self::Posted, Self::Refused, Self::Elsewhere, Self::Doubt];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Numbered => "numbered",
            Self::Posted => "posted",
            Self::Refused => "refused",
            Self::Elsewhere => "elsewhere",
            Self::Doubt => "doubt",
        }
    }

    /// Whether nothing is left to do.
    pub const fn is_settled(self) -> bool {
        matches!(self, Self::Posted | Self::Refused | Self::Elsewhere)
    }
}

/// What a word is to both kinds of states.
macro_rules! words {
    ($state:ty) => {
        impl fmt::Display for $state {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $state {
            type Err = StateError;

            fn from_str(text: &str) -> Result<Self, StateError> {
                Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or_else(|| {
                    let known: Vec<_> = Self::ALL.iter().map(|state| state.as_str()).collect();
                    StateError(text.chars().take(40).collect(), known.join(", "))
                })
            }
        }

        impl ToSql for $state {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(self.as_str().into())
            }
        }

        impl FromSql for $state {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                value.as_str()?.parse().map_err(|_| FromSqlError::InvalidType)
            }
        }
    };
}

words!(InState);
words!(OutState);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_its_state_and_nonsense_names_all_words() {
        for state in OutState::ALL {
            assert_eq!(state.to_string().parse(), Ok(state));
        }
        let error = "done".parse::<InState>().unwrap_err();
        assert_eq!(error.to_string(), "`done` is no state; there are new, handled, kept");
    }
}
