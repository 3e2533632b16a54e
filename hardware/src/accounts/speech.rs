//! What is spoken on the line.

use std::path::{Path, PathBuf};
use std::time::Duration;

use billing::{Dialect, DialectError};

/// What is spoken on the line.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Speech {
    /// The lab's own dialect. The nodes' payload is the answerer, and times can be told from every
    /// record.
    #[default]
    Numbered,
    /// A billing dialect. The nodes' payload is the built-in gateway.
    Dialect(Accounts),
}

/// A billing dialect, and what goes over it.
#[derive(Debug, Clone, PartialEq)]
pub struct Accounts {
    /// The dialect's name.
    pub dialect: String,
    /// Its settings, as written.
    pub settings: Vec<(String, String)>,
    /// All nodes have one store; else each has its own, as on hosts of their own.
    pub shared: bool,
    /// From one record of the billing system to the next; `None`: as fast as they are confirmed.
    pub items: Option<Duration>,
    /// So many records of the billing system at most.
    pub item_count: Option<u64>,
    /// From one charge at the till to the next; `None`: all at once.
    pub charges: Option<Duration>,
    /// So many charges at most; a till without an end has no `None` beside `charges`.
    pub charge_count: Option<u64>,
    /// The timeline has every byte and every record, for drills that hit a certain one; else only
    /// what a person would want to know.
    pub watched: bool,
    /// Bytes go as fast as they are taken, instead of at the line's character time.
    pub fast: bool,
}

impl Accounts {
    /// A line in this dialect as the lab shows it: some records and some charges each second.
    pub fn of(dialect: &str) -> Self {
        Self {
            dialect: dialect.to_owned(),
            settings: Vec::new(),
            shared: true,
            items: Some(Duration::from_millis(500)),
            item_count: None,
            charges: Some(Duration::from_millis(250)),
            charge_count: None,
            watched: false,
            fast: false,
        }
    }

    /// The dialect with its settings.
    ///
    /// # Errors
    /// There is none, or a setting is wrong.
    pub fn dialect(&self) -> Result<Dialect, DialectError> {
        Dialect::named(&self.dialect, &self.settings)
    }

    /// The store of a node of a chain whose files are in `dir`.
    pub(crate) fn store(&self, dir: &Path, node: &str) -> PathBuf {
        match self.shared {
            true => dir.join("billing.db"),
            false => dir.join(format!("billing-{node}.db")),
        }
    }

    /// The arguments that make a node the gateway.
    pub(crate) fn arguments(&self, dir: &Path, node: &str) -> Vec<String> {
        let store = self.store(dir, node).to_string_lossy().into_owned();
        let mut arguments: Vec<_> =
            ["--billing", &self.dialect, "--store", &store].map(str::to_owned).into();
        if self.shared {
            arguments.push("--shared".to_owned());
        }
        for (key, value) in &self.settings {
            arguments.extend(["--setting".to_owned(), format!("{key}={value}")]);
        }
        arguments
    }
}

impl Speech {
    /// The dialect, if one is spoken.
    pub fn accounts(&self) -> Option<&Accounts> {
        match self {
            Self::Numbered => None,
            Self::Dialect(accounts) => Some(accounts),
        }
    }
}
