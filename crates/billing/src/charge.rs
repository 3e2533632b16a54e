//! What somebody wants to have posted to a guest's account, in no dialect yet.
#![deny(clippy::disallowed_methods)]

use serde::{Deserialize, Serialize};

use crate::civil::Civil;

/// A charge. Every dialect that posts composes its record from this, so that `failover-node post`
/// takes one form whatever the line speaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Charge {
    /// The caller's own name for it, 1 to [`MAX_KEY`] characters: posting it twice posts it once.
    pub key: String,
    /// Room, station or account, 1 to 10 printable characters.
    pub room: String,
    /// What for.
    #[serde(default)]
    pub kind: Kind,
    /// In the smallest unit of the currency, such as cents.
    pub amount: u64,
    /// When it arose, by the clock on the wall.
    pub at: Civil,
    /// Length of a call, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<u32>,
    /// Number dialled: digits, `*`, `#`; at most 24.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dialled: Option<String>,
    /// For people, at most 40 printable characters; what a dialect can't carry is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// What a charge is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Pay-TV, internet and whatever has a price of its own.
    #[default]
    Direct,
    /// A call.
    Telephone,
    /// Something taken from the minibar.
    Minibar,
}

/// What is wrong with a charge, as a fragment that names the field and what it may be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct ChargeError {
    /// The field's name as in JSON.
    pub field: &'static str,
    /// What it may be.
    pub problem: &'static str,
}

impl Charge {
    /// Checks what the type does not say.
    ///
    /// # Errors
    /// The first field that can't be posted; nothing was changed.
    pub fn check(&self) -> Result<(), ChargeError> {
        let printable = |text: &str| text.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b'|');
        let error = |field, problem| Err(ChargeError { field, problem });
        if self.key.is_empty() || self.key.len() > MAX_KEY || !printable(&self.key) {
            return error("key", "1 to 64 printable characters without |");
        }
        if self.room.is_empty() || self.room.len() > 10 || !printable(&self.room) {
            return error("room", "1 to 10 printable characters without |");
        }
        if self.amount > MAX_AMOUNT {
            return error("amount", "at most 99999999, in the smallest unit of the currency");
        }
        let dialled = self.dialled.as_deref().unwrap_or("0");
        if dialled.is_empty()
            || dialled.len() > 24
            || !dialled.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'*' | b'#'))
        {
            return error("dialled", "1 to 24 digits, * or #");
        }
        let text = self.text.as_deref().unwrap_or_default();
        if text.len() > 40 || !printable(text) {
            return error("text", "at most 40 printable characters without |");
        }
        if self.duration.is_some_and(|seconds| seconds > MAX_DURATION) {
            return error("duration", "at most 86400 seconds");
        }
        Ok(())
    }
}

/// Longest key of a caller.
pub const MAX_KEY: usize = 64;
/// Highest amount: what eight digits hold.
pub const MAX_AMOUNT: u64 = 99_999_999;
/// Longest call: a day, in seconds.
pub const MAX_DURATION: u32 = 86_400;
