//! What can be set for a line of call records.
#![deny(clippy::disallowed_methods)]

use std::time::Duration;

use super::layout::{End, Layout};
use super::page::{Page, is_title};
use crate::gateway::SETTLE_WITHIN;
use crate::reset::Reset;
use crate::settings::{Key, Settings, time};

/// The settings; the fields have the names of the keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CdrSettings {
    /// With the settings of pages and resets still to be laid over it: see [`Self::resolved`].
    pub layout: Layout,
    /// Instead of the layout's rule.
    pub reset: Option<Reset>,
    /// Instead of the layout's pages.
    pub page: Pages,
    /// Instead of the layout's title.
    pub title: Option<String>,
    /// A line whose end does not come is torn so long after its last byte.
    pub line_timeout: Duration,
    /// Records that the simulated exchange keeps while the line is held back.
    pub buffer: usize,
    /// Which of them goes when there is no more room.
    pub policy: Policy,
    /// Whether the simulated exchange itself obeys XOFF and XON.
    pub flow: Flow,
}

/// Pages that a site has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pages {
    /// Those of the layout.
    #[default]
    Layout,
    /// None.
    Off,
    /// So many title lines on a page of so many lines.
    Of {
        /// Title lines.
        header: u16,
        /// All lines.
        length: u16,
    },
}

/// What an exchange does when its buffer is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// The oldest record is overwritten.
    #[default]
    DropOldest,
    /// It stops recording: the new one is lost.
    Stop,
}

/// How the gateway can hold the exchange back, beside the wires of the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flow {
    /// The port does it (RTS/CTS, or the terminal driver for XON/XOFF), or nothing does.
    #[default]
    Port,
    /// XOFF and XON among the bytes that come.
    XonXoff,
}

impl CdrSettings {
    /// The layout as this site has it.
    pub fn resolved(&self) -> Layout {
        let mut layout = self.layout.clone();
        if let (Some(reset), Some(sequence)) = (self.reset, &mut layout.sequence) {
            sequence.reset = reset;
        }
        match self.page {
            Pages::Layout => {}
            Pages::Off => layout.page = None,
            // Records between STX and ETX have no pages.
            Pages::Of { .. } if layout.end == End::StxEtx => {}
            Pages::Of { header, length } => {
                let (skip, title) = layout.page.map_or((0, String::new()), |p| (p.skip, p.title));
                let skip = if header.saturating_add(skip) < length { skip } else { 0 };
                layout.page = Some(Page { length, header, skip, title });
            }
        }
        if let (Some(title), Some(page)) = (&self.title, &mut layout.page) {
            page.title.clone_from(title);
        }
        layout
    }
}

impl Default for CdrSettings {
    fn default() -> Self {
        Self {
            layout: Layout::built_in("teleseer").expect("the default layout is built in"),
            reset: None,
            page: Pages::Layout,
            title: None,
            line_timeout: Duration::from_secs(10),
            buffer: 100,
            policy: Policy::DropOldest,
            flow: Flow::Port,
        }
    }
}

impl Settings for CdrSettings {
    const DIALECT: &'static str = "cdr";
    const KEYS: &'static [Key] = &[
        LAYOUT,
        Key {
            name: "reset",
            default: "layout",
            values: "layout | never | midnight | 1h, 2h, 3h, 4h, 6h, 8h or 12h",
            meaning: "When record numbers begin again, if this site differs from the layout.",
        },
        Key {
            name: "page",
            default: "layout",
            values: "layout | off | HEADER/LENGTH such as 3/66",
            meaning: "Title lines and lines of a page, if this site differs from the layout.",
        },
        Key {
            name: "title",
            default: "layout",
            values: "layout | 1 to 80 printable characters",
            meaning: "Text of a page's first line, by which a page is known after a gap.",
        },
        Key {
            name: "line_timeout",
            default: "10s",
            values: "1s to 25s",
            meaning: "A line whose end does not come is torn so long after its last byte.",
        },
        Key {
            name: "buffer",
            default: "100",
            values: "1 to 100000",
            meaning: "Records that the simulated exchange keeps while the line is held back.",
        },
        Key {
            name: "policy",
            default: "drop-oldest",
            values: "drop-oldest | stop",
            meaning: "What the simulated exchange does when its buffer is full.",
        },
        Key {
            name: "flow",
            default: "port",
            values: "port | xonxoff",
            meaning: "Whether the simulated exchange obeys XOFF and XON itself or its port does.",
        },
    ];

    fn set_known(&mut self, key: &Key, value: &str) -> Option<()> {
        match key.name {
            "layout" => self.layout = layout(value)?,
            "reset" if value == "layout" => self.reset = None,
            "reset" => self.reset = Some(value.parse().ok()?),
            "page" => self.page = pages(value)?,
            "title" if value == "layout" => self.title = None,
            "title" => self.title = is_title(value).then(|| Some(value.to_owned()))?,
            "line_timeout" => {
                self.line_timeout = time(value, Duration::from_secs(1)..=SETTLE_WITHIN)?;
            }
            "buffer" => {
                let records = value.parse().ok()?;
                self.buffer = (1..=100_000).contains(&records).then_some(records)?;
            }
            "policy" => {
                self.policy = match value {
                    "drop-oldest" => Policy::DropOldest,
                    "stop" => Policy::Stop,
                    _ => return None,
                }
            }
            "flow" => {
                self.flow = match value {
                    "port" => Flow::Port,
                    "xonxoff" => Flow::XonXoff,
                    _ => return None,
                }
            }
            _ => return None,
        }
        Some(())
    }

    /// A layout of one's own is a text of many lines, and what is wrong with it has a place there.
    fn problem(key: &Key, value: &str) -> Option<String> {
        let own = key.name == LAYOUT.name && is_toml(value);
        own.then(|| Layout::from_toml(value).err()).flatten().map(|error| error.to_string())
    }
}

fn layout(value: &str) -> Option<Layout> {
    if is_toml(value) { Layout::from_toml(value).ok() } else { Layout::built_in(value) }
}

/// Names have no equals sign.
fn is_toml(value: &str) -> bool {
    value.contains('=')
}

fn pages(value: &str) -> Option<Pages> {
    match value {
        "layout" => Some(Pages::Layout),
        "off" => Some(Pages::Off),
        _ => {
            let (header, length) = value.split_once('/')?;
            let (header, length) = (header.parse().ok()?, length.parse().ok()?);
            (header >= 1 && header < length).then_some(Pages::Of { header, length })
        }
    }
}

const LAYOUT: Key = Key {
    name: "layout",
    default: "teleseer",
    values: "teleseer | isdn-teleseer | m1 | ctx | ctx-b | sx200 | kx | nec-ims | a layout as TOML",
    meaning: "How records look: a built-in layout's name, or the text of a layout of your own.",
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reset::RESETS;

    #[test]
    fn the_defaults_are_those_that_the_keys_name() {
        let mut settings = CdrSettings::default();
        for key in CdrSettings::KEYS {
            settings.set(key.name, key.default).unwrap();
        }
        assert_eq!(settings, CdrSettings::default());
    }

    #[test]
    fn the_keys_name_every_layout_and_reset() {
        for layout in Layout::all() {
            assert!(LAYOUT.values.contains(&layout.name), "{}", layout.name);
        }
        assert!(CdrSettings::KEYS[1].values.ends_with(RESETS));
    }

    #[test]
    fn values_are_checked() {
        let mut settings = CdrSettings::default();
        for (name, value) in [
            ("layout", "nosuch"),
            ("reset", "noon"),
            ("page", "66/3"),
            ("title", ""),
            ("line_timeout", "30s"),
            ("buffer", "0"),
            ("policy", "never"),
            ("flow", "rtscts"),
            ("layouts", "m1"),
        ] {
            assert!(settings.set(name, value).is_err(), "{name} {value}");
        }
        assert_eq!(settings, CdrSettings::default());
    }

    #[test]
    fn a_layout_of_ones_own_is_refused_with_its_place() {
        let mut settings = CdrSettings::default();
        let error = settings.set("layout", "name = \"x\"\nlength = 9\ncolumns = []\n").unwrap_err();
        let expected = "layout: line 3, column 11: a layout has at least one column";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn a_site_may_differ_from_its_layout() {
        let mut settings = CdrSettings::default();
        settings.set("layout", "m1").unwrap();
        settings.set("reset", "6h").unwrap();
        settings.set("page", "3/66").unwrap();
        let layout = settings.resolved();
        assert_eq!(layout.sequence.unwrap().reset, Reset::Hours(6));
        assert_eq!(layout.page.unwrap().length, 66);
    }

    #[test]
    fn the_page_lists_all_layouts_and_settings() {
        let page = include_str!("../../../../docs/cdr.md");
        for key in CdrSettings::KEYS {
            let Key { name, default, values, meaning } = key;
            let values = values.replace('|', "\\|");
            let row = format!("| `{name}` | `{default}` | {values} | {meaning} |\n");
            assert!(page.contains(&row), "{row}");
        }
        for Layout { name, title, remark, least, length, sequence, .. } in Layout::all() {
            let bytes =
                if least == length { length.to_string() } else { format!("{least} to {length}") };
            let number =
                sequence.map_or_else(|| "–".into(), |s| format!("{} to {}", s.first, s.last));
            let row = format!("| `{name}` | {title} | {bytes} | {number} | {remark} |\n");
            assert!(page.contains(&row), "{row}");
        }
        let own = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
        let layout = Layout::from_toml(own.unwrap()).unwrap();
        assert_eq!((layout.name.as_str(), layout.least), ("ours", 18));
    }
}
