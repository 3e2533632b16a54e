//! Faults as words: `nak count=2 every=50`. A scenario file has the same words as keys.

use std::time::Duration;

use billing::{Dialect, Misdeed};
use daemon::args::parse_time;

use crate::core::exchange::fault::{Deed, Fault, PortDeed, Side, Tamper, TamperKind, When};

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    /// The keys that it has, without those of the schedule.
    pub keys: &'static [&'static str],
    /// The dialects in which it can happen.
    pub dialects: &'static [&'static str],
    /// What happens.
    pub meaning: &'static str,
}

/// A key of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word {
    /// As written.
    pub name: &'static str,
    /// What may be written, and what it is without.
    pub values: &'static str,
    /// What it means.
    pub meaning: &'static str,
}

/// What is wrong with a fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FaultError {
    /// The key at fault, if it is one.
    pub key: Option<String>,
    /// What is wrong and what to write.
    pub message: String,
}

/// All kinds of faults.
pub const KINDS: [Kind; 17] = [
    kind("drop_answers", &["count"], ANSWERING, "good records get no answer on the link"),
    kind("delay_answers", &["count", "by"], ANSWERING, "good records are answered late"),
    kind("nak", &["count"], ANSWERING, "good records are answered with NAK"),
    kind("corrupt_check", &["count"], &["fias", "cable"], "records go out with a wrong check"),
    kind(
        "late_enq",
        &["count", "by"],
        ANSWERING,
        "the ENQ after a missing answer, or the answer to a bid, is late",
    ),
    kind(
        "end_link",
        &["pause"],
        &["fias", "cable", "cdr"],
        "the link is ended, and started again after the pause",
    ),
    kind("night_audit", &["lasting"], FIAS, "charges are declined for the time of a night audit"),
    kind("retry", &["count"], FIAS, "charges are declined for now"),
    kind("refuse", &["count"], FIAS, "charges are declined for good"),
    kind("drop_commits", &["count"], FIAS, "charges are posted, and the commit answer is not sent"),
    kind("flip", &["count", "side"], ALL, "bits of a record are flipped on the line"),
    kind("drop", &["count", "side"], ALL, "bytes of a record are lost on the line"),
    kind("insert", &["count", "side"], ALL, "noise gets into a record on the line"),
    kind(
        "stall",
        &["lasting"],
        &["fias", "cable", "cdr"],
        "a record stops in the middle for a time",
    ),
    kind("hold", &["lasting"], ALL, "the gateway is told to wait, by RTS or XOFF"),
    kind("break", &["lasting"], ALL, "a break is sent"),
    kind("reopen", &["pause"], ALL, "the port is closed, and opened again after the pause"),
];

/// All keys of faults.
pub const WORDS: [Word; 11] = [
    word("count", "1 to 1000000, else 1", "how many records, or bytes of one record"),
    word("by", "a time, else 5s", "how late"),
    word("lasting", "a time, else 2s; a break 250ms", "how long"),
    word("pause", "a time, else 5s", "how long the link is down or the port is closed"),
    word("side", "out | in, else out", "bytes to the gateway, or from it"),
    word("record", "a number", "strike after so many records"),
    word("every", "a number", "strike after each so many records"),
    word("at", "a time", "strike so long after the start"),
    word("each", "a time", "strike each time so long has passed"),
    word("chance", "0 to 1", "strike after a record with this probability"),
    word("times", "a number, else no limit", "strike so often at most"),
];

/// A fault from text: its name, then `key=value` with spaces between.
///
/// # Errors
/// What to write instead.
pub fn fault(text: &str) -> Result<Fault, FaultError> {
    let mut words = text.split_whitespace();
    let name = words.next().unwrap_or_default();
    let pairs: Result<Vec<_>, _> = words
        .map(|word| {
            word.split_once('=').ok_or_else(|| error(None, format!("`{word}` is no key=value")))
        })
        .collect();
    fault_of(name, &pairs?)
}

/// The fault `name` with these keys and values.
///
/// # Errors
/// What to write instead, and for which key.
pub fn fault_of(name: &str, pairs: &[(&str, &str)]) -> Result<Fault, FaultError> {
    let Some(kind) = KINDS.iter().find(|kind| kind.name == name) else {
        let known = KINDS.map(|kind| kind.name).join(", ");
        let message = format!("`{}` is no fault; there are {known}", short(name));
        return Err(error(None, message));
    };
    for (index, (key, _)) in pairs.iter().enumerate() {
        if !kind.keys.contains(key) && !SCHEDULE.contains(key) {
            let known = [kind.keys, &SCHEDULE].concat().join(", ");
            let message = format!("{name} has no `{}`; it has {known}", short(key));
            return Err(error(Some(key), message));
        }
        if pairs[..index].iter().any(|(other, _)| other == key) {
            return Err(error(Some(key), format!("`{key}` is there twice")));
        }
    }
    let pairs = Pairs(pairs);
    let deed = deed(name, &pairs)?;
    let when = when(name, &pairs)?;
    let times = pairs.read("times", number)?;
    let said = pairs.0.iter().map(|(key, value)| format!(" {key}={value}"));
    Ok(Fault { deed, when, times, text: said.fold(name.to_owned(), |text, word| text + &word) })
}

/// Whether the fault does anything in the dialect, as it is set.
///
/// # Errors
/// It does nothing; why not.
pub fn check(fault: &Fault, dialect: &Dialect) -> Result<(), FaultError> {
    let (happens, why) = match fault.deed {
        Deed::Misdeed(Misdeed::EndLink { .. }) => {
            (dialect.heeds(Misdeed::EndLink { pause: Duration::ZERO }), "there is no link to end")
        }
        Deed::Misdeed(misdeed) => (dialect.heeds(misdeed), "as it is set, it has no such thing"),
        Deed::Tamper(Tamper { side: Side::In, .. }) => {
            (dialect.answers(), "nothing comes from its gateway")
        }
        Deed::Tamper(_) | Deed::Stall { .. } => {
            (dialect.sends(), "nothing but answers goes to its gateway; try side=in")
        }
        Deed::Port(_) => (true, ""),
    };
    if happens {
        return Ok(());
    }
    let message = format!("`{fault}` does nothing in {}: {why}", dialect.name());
    Err(error(None, message))
}

struct Pairs<'p>(&'p [(&'p str, &'p str)]);

impl Pairs<'_> {
    fn read<T>(
        &self,
        key: &str,
        meaning: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, FaultError> {
        let Some((_, value)) = self.0.iter().find(|(other, _)| *other == key) else {
            return Ok(None);
        };
        let wrong = |message| error(Some(key), format!("{key}: {message}"));
        meaning(value).map(Some).map_err(wrong)
    }

    fn time(&self, key: &str, usual: Duration) -> Result<Duration, FaultError> {
        Ok(self.read(key, parse_time)?.unwrap_or(usual))
    }
}

fn deed(name: &str, pairs: &Pairs<'_>) -> Result<Deed, FaultError> {
    let count = pairs.read("count", count)?.unwrap_or(1);
    let by = pairs.time("by", Duration::from_secs(5))?;
    let usual = if name == "break" { 250 } else { 2000 };
    let lasting = pairs.time("lasting", Duration::from_millis(usual))?;
    let pause = pairs.time("pause", Duration::from_secs(5))?;
    let side = pairs.read("side", side)?.unwrap_or(Side::Out);
    let tamper = |kind| Deed::Tamper(Tamper { kind, count, side });
    let misdeed = match name {
        "drop_answers" => Misdeed::DropAnswers { count },
        "delay_answers" => Misdeed::DelayAnswers { count, by },
        "nak" => Misdeed::Nak { count },
        "corrupt_check" => Misdeed::CorruptCheck { count },
        "late_enq" => Misdeed::LateEnq { count, by },
        "end_link" => Misdeed::EndLink { pause },
        "night_audit" => Misdeed::NightAudit { lasting },
        "retry" => Misdeed::Retry { count },
        "refuse" => Misdeed::Refuse { count },
        "drop_commits" => Misdeed::DropCommits { count },
        "flip" => return Ok(tamper(TamperKind::Flip)),
        "drop" => return Ok(tamper(TamperKind::Drop)),
        "insert" => return Ok(tamper(TamperKind::Insert)),
        "stall" => return Ok(Deed::Stall { lasting }),
        "hold" => return Ok(Deed::Port(PortDeed::Hold { lasting })),
        "break" => return Ok(Deed::Port(PortDeed::Break { lasting })),
        _ => return Ok(Deed::Port(PortDeed::Reopen { pause })),
    };
    Ok(Deed::Misdeed(misdeed))
}

fn when(name: &str, pairs: &Pairs<'_>) -> Result<When, FaultError> {
    let all = [
        pairs.read("record", number)?.map(When::Record),
        pairs.read("every", number)?.map(When::Every),
        pairs.read("at", parse_time)?.map(When::At),
        pairs.read("each", parse_time)?.map(When::Each),
        pairs.read("chance", chance)?.map(When::Chance),
    ];
    let mut said = all.into_iter().flatten();
    match (said.next(), said.next()) {
        (Some(when), None) => Ok(when),
        _ => {
            let message =
                format!("say once when {name} strikes: record, every, at, each or chance");
            Err(error(None, message))
        }
    }
}

fn number(text: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| "give a number above 0".to_owned())
}

fn count(text: &str) -> Result<u32, String> {
    let count = text.parse().ok().filter(|count| (1..=MAX_COUNT).contains(count));
    count.ok_or_else(|| format!("give a number from 1 to {MAX_COUNT}"))
}

fn side(text: &str) -> Result<Side, String> {
    match text {
        "out" => Ok(Side::Out),
        "in" => Ok(Side::In),
        _ => Err("give out (to the gateway) or in (from it)".to_owned()),
    }
}

fn chance(text: &str) -> Result<f64, String> {
    let chance = text.parse().ok().filter(|chance| (0.0..=1.0).contains(chance));
    chance.ok_or_else(|| "give a probability from 0 to 1".to_owned())
}

fn error(key: Option<&str>, message: String) -> FaultError {
    FaultError { key: key.map(str::to_owned), message }
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

const fn kind(
    name: &'static str,
    keys: &'static [&'static str],
    dialects: &'static [&'static str],
    meaning: &'static str,
) -> Kind {
    Kind { name, keys, dialects, meaning }
}

const fn word(name: &'static str, values: &'static str, meaning: &'static str) -> Word {
    Word { name, values, meaning }
}

const ALL: &[&str] = &Dialect::NAMES;
const ANSWERING: &[&str] = &["fias", "hx", "cable"];
const FIAS: &[&str] = &["fias"];
/// Keys that every fault has.
const SCHEDULE: [&str; 6] = ["record", "every", "at", "each", "chance", "times"];
/// More than any run has records.
const MAX_COUNT: u32 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_faults() {
        let fault = fault(" nak  count=2 every=50 ").unwrap();
        assert_eq!(fault.deed, Deed::Misdeed(Misdeed::Nak { count: 2 }));
        assert_eq!((fault.when, fault.times), (When::Every(50), None));
        assert_eq!(fault.to_string(), "nak count=2 every=50");
        let fault = super::fault("flip side=in chance=0.25 times=3").unwrap();
        let tamper = Tamper { kind: TamperKind::Flip, count: 1, side: Side::In };
        assert_eq!(fault.deed, Deed::Tamper(tamper));
        assert_eq!((fault.when, fault.times), (When::Chance(0.25), Some(3)));
        let fault = super::fault("break at=5s").unwrap();
        let lasting = Duration::from_millis(250);
        assert_eq!(fault.deed, Deed::Port(PortDeed::Break { lasting }));
    }

    #[test]
    fn every_kind_is_known_by_its_name_and_keys() {
        for kind in KINDS {
            let value = |key: &str| match key {
                "count" => "3",
                "side" => "in",
                _ => "100ms",
            };
            let pairs: Vec<_> = kind.keys.iter().map(|key| (*key, value(key))).collect();
            let fault = fault_of(kind.name, &[&pairs[..], &[("record", "1")]].concat()).unwrap();
            // What was written is what struck: nothing falls to the last arm by mistake.
            let is_reopen = matches!(fault.deed, Deed::Port(PortDeed::Reopen { .. }));
            assert_eq!(is_reopen, kind.name == "reopen", "{}", kind.name);
            for key in kind.keys {
                assert!(WORDS.iter().any(|word| word.name == *key), "{key}");
            }
        }
    }

    #[test]
    fn a_fault_that_does_nothing_in_a_dialect_is_known() {
        for name in Dialect::NAMES {
            // A link can be ended only where there is one.
            let settings = [("logon".to_owned(), "LK1".to_owned())];
            let dialect = Dialect::named(name, if name == "cable" { &settings } else { &[] });
            let dialect = dialect.unwrap();
            for kind in KINDS {
                let sides: &[&str] = if kind.keys.contains(&"side") { &["in", "out"] } else { &[] };
                let said = |side: &&str| format!("{} every=1 side={side}", kind.name);
                let mut said: Vec<_> = sides.iter().map(said).collect();
                if said.is_empty() {
                    said.push(format!("{} every=1", kind.name));
                }
                let happens =
                    said.iter().any(|said| check(&fault(said).unwrap(), &dialect).is_ok());
                assert_eq!(happens, kind.dialects.contains(&name), "{name}: {}", kind.name);
            }
        }
        let error = |text: &str, dialect: &str| {
            let dialect = Dialect::named(dialect, &[]).unwrap();
            check(&fault(text).unwrap(), &dialect).unwrap_err().message
        };
        assert!(error("nak every=1", "cdr").contains("`nak every=1` does nothing in cdr"));
        assert!(error("flip every=1", "hx").contains("try side=in"));
        assert!(error("flip every=1 side=in", "cdr").contains("nothing comes"));
        assert!(error("end_link at=1s", "cable").contains("no link to end"));
    }

    #[test]
    fn mistakes_are_told_with_their_key() {
        for (text, key, part) in [
            ("", None, "is no fault"),
            ("naks every=1", None, "there are drop_answers"),
            ("nak", None, "say once when nak strikes"),
            ("nak every=2 record=3", None, "say once"),
            ("nak every", None, "`every` is no key=value"),
            ("nak by=2s every=1", Some("by"), "nak has no `by`; it has count, record"),
            ("nak count=0 every=1", Some("count"), "count: give a number from 1"),
            ("nak every=1 every=2", Some("every"), "twice"),
            ("flip side=up every=1", Some("side"), "give out"),
            ("stall lasting=2 every=1", Some("lasting"), "give a number and a unit"),
            ("nak chance=1.5", Some("chance"), "from 0 to 1"),
        ] {
            let error = fault(text).unwrap_err();
            assert_eq!(error.key.as_deref(), key, "{text}");
            assert!(error.message.contains(part), "{text}: {error}");
        }
    }
}
