//! What `list` says of dialects and faults.

use std::fmt::Write;

use billing::dialect::Dialect;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde_json::{Value, json};

use crate::scenario::words::{KINDS, WORDS};

/// The dialects, each with its settings.
pub fn dialects(is_json: bool) -> String {
    let all = Dialect::NAMES.map(|name| (name, Dialect::named(name, &[])));
    let mut text = String::new();
    let mut list = Vec::new();
    for (name, dialect) in all {
        let Ok(dialect) = dialect else { continue };
        let _ = writeln!(text, "{name}: settings for --set, and what they are without");
        let mut table = Table::new();
        table.load_style(NOTHING);
        let mut settings = Vec::new();
        for key in dialect.keys() {
            table.add_row([key.name, key.default, key.values, key.meaning]);
            settings.push(json!({
                "name": key.name, "default": key.default, "values": key.values,
                "meaning": key.meaning,
            }));
        }
        let _ = writeln!(text, "{}\n", table.trim_fmt());
        list.push(json!({ "name": name, "settings": settings }));
    }
    if is_json { format!("{:#}\n", Value::from(list)) } else { text }
}

/// The faults and their keys.
pub fn faults(is_json: bool) -> String {
    if is_json {
        let kinds = KINDS.map(|kind| {
            json!({
                "name": kind.name, "keys": kind.keys, "dialects": kind.dialects,
                "meaning": kind.meaning,
            })
        });
        let words = WORDS.map(
            |word| json!({ "name": word.name, "values": word.values, "meaning": word.meaning }),
        );
        return format!("{:#}\n", json!({ "faults": kinds, "keys": words }));
    }
    let mut kinds = Table::new();
    kinds.load_style(NOTHING);
    for kind in KINDS {
        kinds.add_row([kind.name, &kind.keys.join(", "), &kind.dialects.join(", "), kind.meaning]);
    }
    let mut words = Table::new();
    words.load_style(NOTHING);
    for word in WORDS {
        words.add_row([word.name, word.values, word.meaning]);
    }
    let (kinds, words) = (kinds.trim_fmt(), words.trim_fmt());
    format!(
        "faults\n{kinds}\n\nkeys; one of record, every, at, each and chance says when\n{words}\n"
    )
}
