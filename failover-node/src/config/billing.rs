//! The keys of a `[[line]]` that has the built-in gateway: `billing` and what goes with it.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use billing::Dialect;
use daemon::config::values::{command, flag, text};
use daemon::config::{Findings, Section};
use toml::de::DeValue;

use super::values;
use crate::billing::options::{HandlerOptions, Job, USUAL_RETAIN};

/// What goes with `billing`, read whether it is there or not.
#[derive(Debug)]
pub(super) struct Keys {
    dialect: Option<String>,
    store: Option<PathBuf>,
    shared: bool,
    handler: Option<HandlerOptions>,
    retain: Option<Duration>,
    settings: Vec<(String, String, Range<usize>)>,
}

impl Keys {
    /// Asks for all of them.
    pub(super) fn read<'t>(section: &mut Section<'t>, findings: &mut Findings<'t>) -> Self {
        let dialect = section.read(findings, "billing", |v| text(v).map(str::to_owned));
        let store = section.read(findings, "store", |v| values::file(text(v)?));
        let shared = section.read(findings, "shared", flag).unwrap_or(false);
        let handler = section.read(findings, "handler", handler);
        let retain = section.read(findings, "retain", |v| values::retain(text(v)?));
        let mut settings = Vec::new();
        for (key, value, place) in section.table(findings, "settings").entries() {
            match scalar(value) {
                Some(value) => settings.push((key.to_owned(), value, place)),
                None => {
                    findings.add(&place, format!("{key}: give a text, a number, true or false"))
                }
            }
        }
        Self { dialect, store, shared, handler, retain, settings }
    }

    /// What the gateway is to do; everything that is wrong is told.
    pub(super) fn job(self, section: &Section<'_>, findings: &mut Findings<'_>) -> Option<Job> {
        let dialect = self.dialect?;
        if !Dialect::NAMES.contains(&dialect.as_str()) {
            let message = format!("billing: `{dialect}` is none of {}", Dialect::NAMES.join(", "));
            findings.add(&section.place_of("billing"), message);
            return None;
        }
        // One by one, so that each that is wrong is told in its place.
        for (key, value, place) in &self.settings {
            if let Err(error) = Dialect::named(&dialect, &[(key.clone(), value.clone())]) {
                findings.add(place, error.to_string());
            }
        }
        if !section.has("store") {
            let message = "billing needs `store`, as store = \"/var/lib/linekeeper/billing.db\"";
            findings.add(&section.place_of("billing"), message);
        }
        let settings = self.settings.into_iter().map(|(key, value, _)| (key, value)).collect();
        let (handler, retain) = (self.handler.unwrap_or_default(), self.retain);
        let retain = retain.unwrap_or(USUAL_RETAIN);
        Some(Job { dialect, settings, store: self.store?, shared: self.shared, handler, retain })
    }
}

/// `"store"`, `"stdout"`, or a program and its arguments.
fn handler(value: &DeValue<'_>) -> Result<HandlerOptions, String> {
    const HELP: &str = r#"give "store", "stdout", or a program as ["/usr/bin/handler"]"#;
    match value {
        DeValue::String(word) if word == "store" => Ok(HandlerOptions::Store),
        DeValue::String(word) if word == "stdout" => Ok(HandlerOptions::Stdout),
        DeValue::Array(_) => {
            let words = command(value)?.into_iter().map(|word| word.into_string());
            let words = words.collect::<Result<_, _>>().map_err(|_| HELP.to_owned())?;
            Ok(HandlerOptions::Exec(words))
        }
        _ => Err(HELP.to_owned()),
    }
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.as_str().to_owned()),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(flag) => Some(flag.to_string()),
        _ => None,
    }
}
