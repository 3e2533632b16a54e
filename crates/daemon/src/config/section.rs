//! Reads tables key by key. One wrong value does not hide the next: all are told, each with its
//! place, and a key that nobody asked for is one of them.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// One thing that is wrong in the file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConfigError {
    /// Counted from 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What is wrong and what to write.
    pub message: String,
}

/// All that is wrong in the file, in the order of its lines.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors {
    /// The file.
    pub path: PathBuf,
    /// At least one.
    pub errors: Vec<ConfigError>,
}

/// What was found wrong so far.
#[derive(Debug)]
pub struct Findings<'t> {
    text: &'t str,
    errors: Vec<ConfigError>,
}

/// A table of the file. Every key is asked for once, then [`Section::finish`] names the rest.
#[derive(Debug)]
pub struct Section<'t> {
    /// As `line.pms.packing`.
    name: String,
    place: Range<usize>,
    table: Option<&'t DeTable<'t>>,
    known: Vec<&'static str>,
}

/// The file's outermost table.
///
/// # Errors
/// It is no TOML. What follows from a slip of the pen would only hide it, so nothing else is told.
pub fn document<'t>(path: &Path, text: &'t str) -> Result<Spanned<DeTable<'t>>, ConfigErrors> {
    let mut findings = Findings::new(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let place = error.span().unwrap_or_default();
        findings.add(&place, format!("this is no TOML: {}", error.message()));
    }
    findings.end(path).map(|()| table)
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, error) in self.errors.iter().enumerate() {
            let ConfigError { line, column, message } = error;
            let end = if n == 0 { "" } else { "\n" };
            write!(f, "{end}{}:{line}:{column}: {message}", self.path.display())?;
        }
        Ok(())
    }
}

impl<'t> Findings<'t> {
    /// None so far in this file.
    pub fn new(text: &'t str) -> Self {
        Self { text, errors: Vec::new() }
    }

    /// Something is wrong there.
    pub fn add(&mut self, place: &Range<usize>, message: impl Into<String>) {
        // Offsets come from the parser; one that is none must not end the program.
        let before = self.text.get(..place.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        self.errors.push(ConfigError { line, column, message: message.into() });
    }

    /// Whether nothing is wrong.
    ///
    /// # Errors
    /// All that is, in order.
    pub fn end(mut self, path: &Path) -> Result<(), ConfigErrors> {
        if self.errors.is_empty() {
            return Ok(());
        }
        self.errors.sort();
        Err(ConfigErrors { path: path.to_owned(), errors: self.errors })
    }
}

impl<'t> Section<'t> {
    /// The table `table`, known to the user as `name`.
    pub fn new(name: &str, place: Range<usize>, table: &'t DeTable<'t>) -> Self {
        Self { name: name.to_owned(), place, table: Some(table), known: Vec::new() }
    }

    /// Where it begins.
    pub fn place(&self) -> Range<usize> {
        self.place.clone()
    }

    /// The value of `key`, if it is there.
    pub fn value(&mut self, key: &'static str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.known.push(key);
        self.table?.get(key)
    }

    /// What `meaning` makes of the value of `key`, if it is there and right.
    pub fn read<T>(
        &mut self,
        findings: &mut Findings<'_>,
        key: &'static str,
        meaning: impl FnOnce(&DeValue<'t>) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.value(key)?;
        match meaning(value.get_ref()) {
            Ok(meant) => Some(meant),
            Err(message) => {
                findings.add(&value.span(), format!("{key}: {message}"));
                None
            }
        }
    }

    /// As [`Section::read`], for a key that must be there; `example` shows how.
    pub fn need<T>(
        &mut self,
        findings: &mut Findings<'_>,
        key: &'static str,
        example: &str,
        meaning: impl FnOnce(&DeValue<'t>) -> Result<T, String>,
    ) -> Option<T> {
        if !self.has(key) {
            let message = format!("{} needs `{key}`, as {key} = {example}", self.name);
            findings.add(&self.place, message);
        }
        self.read(findings, key, meaning)
    }

    /// As [`Section::read`], into `target`, which stays as it is if there is nothing right.
    pub fn set<T>(
        &mut self,
        findings: &mut Findings<'_>,
        key: &'static str,
        target: &mut T,
        meaning: impl FnOnce(&DeValue<'t>) -> Result<T, String>,
    ) {
        if let Some(meant) = self.read(findings, key, meaning) {
            *target = meant;
        }
    }

    /// The table under `key`; an empty one if there is none.
    pub fn table(&mut self, findings: &mut Findings<'_>, key: &'static str) -> Self {
        let name =
            if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) };
        let value = self.value(key);
        let place = value.map_or_else(|| self.place(), Spanned::span);
        let table = match value.map(Spanned::get_ref) {
            Some(DeValue::Table(table)) => Some(table),
            Some(_) => {
                findings.add(&place, format!("{key} is a table, as [{name}]"));
                None
            }
            None => None,
        };
        Self { name, place, table, known: Vec::new() }
    }

    /// The tables of the list under `key`, as `[[key]]` makes it.
    pub fn tables(&mut self, findings: &mut Findings<'_>, key: &'static str) -> Vec<Self> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let help = || format!("{key} is a list of tables, each as [[{key}]]");
        let DeValue::Array(items) = value.get_ref() else {
            findings.add(&value.span(), help());
            return Vec::new();
        };
        let mut all = Vec::new();
        for item in items {
            match item.get_ref() {
                DeValue::Table(table) => all.push(Self::new(key, item.span(), table)),
                _ => findings.add(&item.span(), help()),
            }
        }
        all
    }

    /// The tables under the names of the user's choice.
    pub fn named(&self, findings: &mut Findings<'_>) -> Vec<(&'t str, Self)> {
        let mut all = Vec::new();
        for (key, value) in self.table.into_iter().flatten() {
            let name = format!("{}.{}", self.name, key.get_ref());
            match value.get_ref() {
                DeValue::Table(table) => {
                    all.push((key.get_ref().as_ref(), Self::new(&name, key.span(), table)));
                }
                _ => {
                    findings.add(&key.span(), format!("{} is no table, as [{name}]", key.get_ref()))
                }
            }
        }
        all
    }

    /// What is under keys of the user's choice, each with its place.
    pub fn entries(&self) -> Vec<(&'t str, &'t DeValue<'t>, Range<usize>)> {
        let all = self.table.into_iter().flatten();
        all.map(|(key, value)| (key.get_ref().as_ref(), value.get_ref(), value.span())).collect()
    }

    /// Where `key` stands; else where the table begins.
    pub fn place_of(&self, key: &str) -> Range<usize> {
        let found = self.table.and_then(|table| table.get_key_value(key));
        found.map_or_else(|| self.place(), |(key, _)| key.span())
    }

    /// Whether `key` is there, right or wrong.
    pub fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.get(key).is_some())
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.table.is_none_or(|table| table.is_empty())
    }

    /// Names every key that nobody asked for.
    pub fn finish(self, findings: &mut Findings<'_>) {
        for key in self.table.into_iter().flat_map(|table| table.keys()) {
            if !self.known.contains(&key.get_ref().as_ref()) {
                let place = if self.name.is_empty() { "the file" } else { &self.name };
                let (key, known) = ((key.get_ref(), key.span()), self.known.join(", "));
                findings.add(&key.1, format!("{place} has no key `{}`; it has: {known}", key.0));
            }
        }
    }
}
