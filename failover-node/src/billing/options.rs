//! What a line's `billing` payload is told.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The whole of it. The node passes it to the payload's process as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// The dialect's name.
    pub dialect: String,
    /// Its settings, as written.
    pub settings: Vec<(String, String)>,
    /// The store's file.
    pub store: PathBuf,
    /// Every node that may ever have the line uses this very file.
    pub shared: bool,
    /// What happens with records.
    pub handler: HandlerOptions,
    /// How long rows that are done with are kept.
    pub retain: Duration,
}

/// What happens with records once they are durable.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HandlerOptions {
    /// They stay in the store, for `failover-node records`.
    #[default]
    Store,
    /// They are printed on the node's standard output, as JSON lines.
    Stdout,
    /// A program reads them as JSON lines and answers each with one.
    Exec(Vec<String>),
}

impl fmt::Display for HandlerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store => f.write_str("store"),
            Self::Stdout => f.write_str("stdout"),
            Self::Exec(words) => write!(f, "exec {}", words.join(" ")),
        }
    }
}

/// How long rows that are done with are kept, unless told otherwise: a quarter of accounts.
pub const USUAL_RETAIN: Duration = Duration::from_secs(90 * 86_400);
