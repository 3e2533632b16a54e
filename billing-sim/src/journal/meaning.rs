//! What the texts of the dialects say, in words.

use serde::Serialize;

use super::frames::Dialect;

/// What a frame is and says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Meaning {
    /// By the dialect's own word: `PS`, `call`, `ENQ`.
    pub kind: String,
    /// What that is, in words.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub what: &'static str,
    /// What it says: names and values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<(String, String)>,
}

impl Meaning {
    /// That of a control of this name.
    pub fn of_control(name: &str) -> Self {
        let what = match name {
            "ENQ" => "asks",
            "ACK" => "good",
            "NAK" => "not good",
            "EOT" => "end",
            "ACK0" => "good, even",
            "ACK1" => "good, odd",
            "WACK" => "wait",
            "RVI" => "interrupt",
            _ => "",
        };
        Self { kind: name.to_owned(), what, fields: Vec::new() }
    }

    fn of(kind: impl Into<String>, what: &'static str) -> Self {
        Self { kind: kind.into(), what, fields: Vec::new() }
    }

    fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let value = value.into();
        if !value.is_empty() {
            self.fields.push((name.into(), value));
        }
        self
    }
}

/// What a text says.
pub(super) fn meaning(dialect: &Dialect, text: &[u8]) -> Meaning {
    let words = text.escape_ascii().to_string();
    match dialect {
        Dialect::Fias => fias(&words),
        Dialect::Hx => hx(&words),
        Dialect::Cable => cable(&words),
        Dialect::Cdr(layout) if layout.fits(text) => {
            let mut call = Meaning::of("call", "");
            for field in layout.fields(text) {
                call = call.with(field.name, field.value);
            }
            call
        }
        Dialect::Cdr(_) => Meaning::of("other", "does not fit the layout"),
        Dialect::Other => Meaning::of("line", ""),
    }
}

fn fias(text: &str) -> Meaning {
    let mut parts = text.split('|');
    let kind = parts.next().unwrap_or_default();
    if kind.len() != 2 || !text.contains('|') {
        return Meaning::of("noise", "");
    }
    let what = named(&FIAS_RECORDS, kind);
    let mut record = Meaning::of(kind, what);
    for field in parts.filter(|field| !field.is_empty()) {
        let (id, value) = field.split_at_checked(2).unwrap_or((field, ""));
        let name = named(&FIAS_FIELDS, id);
        record = record.with(if name.is_empty() { id } else { name }, value);
    }
    record
}

fn hx(text: &str) -> Meaning {
    if text.len() < HX_LEAST || !text.is_ascii() {
        return Meaning::of("noise", "");
    }
    let column = |from: usize, length: usize| {
        let end = (from - 1 + length).min(text.len());
        text.get(from - 1..end).unwrap_or_default().trim()
    };
    // The call type is the last column, wherever the digits end.
    let (digits, call) = match column(41, 99).rsplit_once(' ') {
        Some((digits, call)) if call.len() == 1 => (digits.trim(), call),
        _ => (column(41, 99), ""),
    };
    Meaning::of("record", "call")
        .with("number", column(1, 4))
        .with("id", column(6, 3))
        .with("date", column(10, 5))
        .with("station", column(16, 5))
        .with("time", column(22, 5))
        .with("minutes", column(28, 4))
        .with("amount", column(34, 6))
        .with("dialled", digits)
        .with("type", call)
}

fn cable(text: &str) -> Meaning {
    let mut words = text.split_ascii_whitespace();
    let (number, kind) = match (words.next(), words.next()) {
        (Some(number), Some(kind)) if number.bytes().any(|b| b.is_ascii_digit()) => (number, kind),
        (Some(kind @ ("LO" | "LF")), id) => {
            let what = if kind == "LO" { "logon" } else { "logoff" };
            return Meaning::of(kind, what).with("id", id.unwrap_or_default());
        }
        _ => return Meaning::of("noise", ""),
    };
    let rest: Vec<_> = words.collect();
    match kind {
        "OK" => Meaning::of("OK", "done").with("number", number),
        "ER" => Meaning::of("ER", "not done").with("number", number).with("why", rest.join(" ")),
        _ => {
            let word = |at: usize| rest.get(at).copied().unwrap_or_default();
            Meaning::of(kind, "command")
                .with("number", number)
                .with("address", word(0))
                .with("code", word(1))
                .with("argument", rest.get(2..).unwrap_or_default().join(" "))
        }
    }
}

fn named(names: &[(&str, &'static str)], id: &str) -> &'static str {
    names.iter().find(|(known, _)| *known == id).map_or("", |(_, name)| name)
}

/// Shortest record: through the amount.
const HX_LEAST: usize = 39;

const FIAS_RECORDS: [(&str, &str); 19] = [
    ("LS", "link start"),
    ("LA", "link alive"),
    ("LE", "link end"),
    ("LD", "link description"),
    ("LR", "link record"),
    ("PS", "posting"),
    ("PR", "posting request"),
    ("PL", "guest list"),
    ("PA", "posting answer"),
    ("GI", "check-in"),
    ("GO", "check-out"),
    ("GC", "guest change"),
    ("DR", "resync request"),
    ("DS", "resync start"),
    ("DE", "resync end"),
    ("NS", "night audit start"),
    ("NE", "night audit end"),
    ("WR", "wakeup request"),
    ("WC", "wakeup clear"),
];

const FIAS_FIELDS: [(&str, &str); 22] = [
    ("RN", "room"),
    ("PT", "type"),
    ("TA", "total"),
    ("MP", "pulses"),
    ("MA", "article"),
    ("M#", "count"),
    ("DU", "duration"),
    ("DD", "dialled"),
    ("DA", "date"),
    ("TI", "time"),
    ("P#", "number"),
    ("AS", "status"),
    ("CT", "text"),
    ("WS", "workstation"),
    ("SO", "outlet"),
    ("GN", "guest"),
    ("GS", "share"),
    ("G#", "guest number"),
    ("V#", "version"),
    ("IF", "family"),
    ("RI", "record"),
    ("FL", "fields"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn said(meaning: &Meaning) -> String {
        let fields = meaning.fields.iter().map(|(name, value)| format!("{name} {value}"));
        format!("{} {}: {}", meaning.kind, meaning.what, fields.collect::<Vec<_>>().join(", "))
    }

    #[test]
    fn texts_of_the_reference_in_words() {
        let posting = fias("PS|RN2781|PTC|TA1050|DA080618|TI123545|P#1729|X1E7|");
        let expected = "PS posting: room 2781, type C, total 1050, date 080618, time 123545, \
                        number 1729, X1 E7";
        assert_eq!(said(&posting), expected);
        let record = hx("417C HTL 06/18  2781 12:35 0004 $010.50 805-688-1000 L");
        let expected = "record call: number 417C, id HTL, date 06/18, station 2781, time 12:35, \
                        minutes 0004, amount 010.50, dialled 805-688-1000, type L";
        assert_eq!(said(&record), expected);
        let command = cable("000417 AU 2781 39 ADD");
        let expected = "AU command: number 000417, address 2781, code 39, argument ADD";
        assert_eq!(said(&command), expected);
        assert_eq!(said(&cable("000417 ER 07")), "ER not done: number 000417, why 07");
        assert_eq!(said(&cable("LO HEADEND1")), "LO logon: id HEADEND1");
    }

    #[test]
    fn what_says_nothing_is_noise() {
        for text in ["", "|", "x", "GI", "\\xff\\xff"] {
            assert_eq!(fias(text).kind, "noise", "{text}");
            assert_eq!(hx(text).kind, "noise", "{text}");
            assert_eq!(cable(text).kind, "noise", "{text}");
        }
    }
}
