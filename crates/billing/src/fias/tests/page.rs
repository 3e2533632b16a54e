//! The documentation says what is.
#![deny(clippy::disallowed_methods)]

use super::super::Settings;
use crate::settings::Settings as _;

const PAGE: &str = include_str!("../../../../../docs/fias.md");

#[test]
fn the_page_lists_every_setting_with_its_default() {
    for key in Settings::KEYS {
        let (name, default) = (key.name, key.default);
        let values = key.values.replace('|', "\\|");
        let row = format!("| `{name}` | {default} | {values} | {} |", key.meaning);
        assert!(PAGE.contains(&row), "docs/fias.md has no row\n{row}");
    }
    let rows = PAGE.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(rows, Settings::KEYS.len());
}
