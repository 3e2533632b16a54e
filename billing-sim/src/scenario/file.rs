//! The scenario file.

use std::path::Path;
use std::time::Duration;

use billing::dialect::{Dialect, DialectError};
use daemon::args::parse_time;
use daemon::config::{ConfigErrors, Findings, Section, document, values};
use sys::LineSettings;
use toml::de::DeValue;

use super::words;
use crate::core::exchange::Settings;
use crate::core::exchange::fault::{Deed, Fault, PortDeed};
use crate::core::exchange::load::{BUSY_BACKLOG, Load};
use crate::core::exchange::outlet::Pace;
use crate::core::exchange::report::{Amount, Expectations, Run};
use crate::core::exchange::verdict::Verdict;
use crate::rate::Rate;

/// What a run in a dialect is to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Its name: that of its file, without folder and ending.
    pub name: Option<String>,
    /// What it is for, in a sentence or two.
    pub about: String,
    /// The dialect.
    pub dialect: String,
    /// The dialect's settings that were set.
    pub settings: Vec<(String, String)>,
    /// The line's settings.
    pub line: LineSettings,
    /// Send as fast as bytes are taken, not at character time.
    pub fast: bool,
    /// Longest extra gap between characters.
    pub jitter: Duration,
    /// Seed of load, gaps and faults.
    pub seed: u64,
    /// How much, and how fast.
    pub load: Load,
    /// What goes wrong on purpose.
    pub faults: Vec<Fault>,
    /// How long late bytes are awaited when all is done.
    pub settle: Duration,
    /// The run ends when something is wanted and nothing was settled for so long.
    pub patience: Duration,
    /// Which verdicts are to be given.
    pub expectations: Expectations,
}

impl Scenario {
    /// Five records per second of `dialect`, with its usual settings and without a fault, until
    /// told to stop.
    pub fn new(dialect: &str) -> Self {
        let Settings { load, seed, settle, patience, .. } = Settings::default();
        Self {
            name: None,
            about: String::new(),
            dialect: dialect.to_owned(),
            settings: Vec::new(),
            line: LineSettings::new(9600),
            fast: false,
            jitter: Duration::ZERO,
            seed,
            load,
            faults: Vec::new(),
            settle,
            patience,
            expectations: Expectations::default(),
        }
    }

    /// From the text of the file `path`.
    ///
    /// # Errors
    /// All that is wrong with it, each with its place.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigErrors> {
        let document = document(path, text)?;
        let mut findings = Findings::new(text);
        let mut top = Section::new("", 0..0, document.get_ref());
        let known = |value: &DeValue<'_>| {
            let name = values::text(value)?;
            Dialect::named(name, &[]).map(|_| name.to_owned()).map_err(|error| error.to_string())
        };
        if !top.has("dialect") {
            findings.add(&(0..0), "the file needs `dialect`, as dialect = \"fias\"");
        }
        let dialect = top.read(&mut findings, "dialect", known);
        let mut scenario = Self::new(dialect.as_deref().unwrap_or_default());
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        scenario.name = stem.map(str::to_owned);
        scenario.read_top(&mut top, &mut findings);
        scenario.read_load(top.table(&mut findings, "load"), &mut findings);
        let settings = top.table(&mut findings, "settings");
        if dialect.is_some() {
            scenario.read_settings(&settings, &mut findings);
        }
        for section in top.tables(&mut findings, "fault") {
            let Some(fault) = read_fault(&section, &mut findings) else { continue };
            if let (true, Ok(dialect)) = (dialect.is_some(), scenario.dialect())
                && let Err(error) = words::check(&fault, &dialect)
            {
                findings.add(&section.place_of("do"), error.message);
            }
            scenario.faults.push(fault);
        }
        let expect = top.table(&mut findings, "expect");
        scenario.read_expected(&expect, &mut findings);
        top.finish(&mut findings);
        findings.end(path).map(|()| scenario)
    }

    /// The dialect with its settings.
    ///
    /// # Errors
    /// There is no such dialect, or a setting is wrong.
    pub fn dialect(&self) -> Result<Dialect, DialectError> {
        Dialect::named(&self.dialect, &self.settings)
    }

    /// What the run does. `has_list`: a list of the charges wanted comes at the end.
    pub fn exchange(&self, has_list: bool) -> Settings {
        let char_time = (!self.fast).then(|| self.line.char_time());
        Settings {
            load: self.load,
            faults: self.faults.clone(),
            seed: self.seed,
            pace: Pace { char_time, jitter: self.jitter },
            settle: self.settle,
            patience: self.patience,
            has_list,
            answers: self.dialect().is_ok_and(|dialect| dialect.answers()),
        }
    }

    /// For the report.
    pub fn run(&self, port: &str) -> Run {
        Run {
            dialect: self.dialect.clone(),
            settings: self.settings.clone(),
            scenario: self.name.clone(),
            port: port.to_owned(),
            line: self.line.to_string(),
            paced: !self.fast,
            seed: self.seed,
        }
    }

    /// Sets the rate, and how many items may wait at it unless that was said.
    pub fn set_rate(&mut self, rate: Rate) {
        let usual = |interval: Option<Duration>| match interval {
            Some(_) => Load::default().outstanding,
            None => BUSY_BACKLOG,
        };
        let is_said = self.load.outstanding != usual(self.load.interval);
        self.load.interval = rate.interval;
        if !is_said {
            self.load.outstanding = usual(rate.interval);
        }
    }

    /// Whether a fault needs a line that has flow control.
    pub fn holds_gateway(&self) -> bool {
        let holds = |fault: &Fault| matches!(fault.deed, Deed::Port(PortDeed::Hold { .. }));
        self.faults.iter().any(holds)
    }

    fn read_top(&mut self, top: &mut Section<'_>, findings: &mut Findings<'_>) {
        top.set(findings, "about", &mut self.about, |value| values::text(value).map(str::to_owned));
        top.set(findings, "line", &mut self.line, values::parsed);
        top.set(findings, "fast", &mut self.fast, values::flag);
        top.set(findings, "jitter", &mut self.jitter, time);
        top.set(findings, "seed", &mut self.seed, |value| {
            values::count(0..=usize::MAX)(value).map(|seed| seed as u64)
        });
        top.set(findings, "settle", &mut self.settle, time);
        top.set(findings, "patience", &mut self.patience, time);
        if let Some(list) = top.value("allow") {
            let all = values::items(list, findings, values::parsed::<Verdict>);
            self.expectations.allowed.extend(all.into_iter().map(|(verdict, _)| verdict));
        }
    }

    fn read_load(&mut self, mut load: Section<'_>, findings: &mut Findings<'_>) {
        let rate = load.read(findings, "rate", |value| plain(value)?.parse::<Rate>());
        if let Some(rate) = rate {
            self.set_rate(rate);
        }
        let count = |value: &DeValue<'_>| {
            values::count(1..=MAX_RECORDS)(value).map(|count| Some(count as u64))
        };
        load.set(findings, "count", &mut self.load.count, count);
        load.set(findings, "duration", &mut self.load.duration, |value| time(value).map(Some));
        load.set(findings, "charges", &mut self.load.charges, |value| {
            values::count(0..=MAX_RECORDS)(value).map(|count| count as u64)
        });
        load.set(
            findings,
            "outstanding",
            &mut self.load.outstanding,
            values::count(1..=MAX_RECORDS),
        );
        load.finish(findings);
    }

    fn read_settings(&mut self, settings: &Section<'_>, findings: &mut Findings<'_>) {
        for (key, value, place) in settings.entries() {
            let pair = match plain(value) {
                Ok(text) => (key.to_owned(), text),
                Err(message) => {
                    findings.add(&place, format!("{key}: {message}"));
                    continue;
                }
            };
            match Dialect::named(&self.dialect, std::slice::from_ref(&pair)) {
                Ok(_) => self.settings.push(pair),
                Err(error) => findings.add(&settings.place_of(key), error.to_string()),
            }
        }
    }

    fn read_expected(&mut self, expect: &Section<'_>, findings: &mut Findings<'_>) {
        for (key, value, place) in expect.entries() {
            let amount = plain(value).and_then(|text| text.parse::<Amount>());
            match (key.parse::<Verdict>(), amount) {
                (Ok(verdict), Ok(amount)) => {
                    self.expectations.expected.insert(verdict, amount);
                }
                (Err(message), _) => {
                    findings
                        .add(&expect.place_of(key), format!("`{key}` is no verdict; {message}"));
                }
                (_, Err(message)) => findings.add(&place, format!("{key}: {message}")),
            }
        }
    }
}

fn read_fault(section: &Section<'_>, findings: &mut Findings<'_>) -> Option<Fault> {
    let mut name = None;
    let mut pairs = Vec::new();
    for (key, value, place) in section.entries() {
        match plain(value) {
            Ok(text) if key == "do" => name = Some(text),
            Ok(text) => pairs.push((key, text)),
            Err(message) => findings.add(&place, format!("{key}: {message}")),
        }
    }
    let Some(name) = name else {
        findings.add(&section.place(), "fault needs `do`, as do = \"nak\"");
        return None;
    };
    let pairs: Vec<_> = pairs.iter().map(|(key, text)| (*key, text.as_str())).collect();
    match words::fault_of(&name, &pairs) {
        Ok(fault) => Some(fault),
        Err(error) => {
            let place = section.place_of(error.key.as_deref().unwrap_or("do"));
            findings.add(&place, error.message);
            None
        }
    }
}

/// A number, a text, or true or false, as text: a setting means the same on the command line.
fn plain(value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Ok(number.as_str().to_owned()),
        DeValue::Float(number) => Ok(number.as_str().to_owned()),
        DeValue::Boolean(flag) => Ok(flag.to_string()),
        _ => Err("give a text, a number, true or false".to_owned()),
    }
}

fn time(value: &DeValue<'_>) -> Result<Duration, String> {
    parse_time(values::text(value)?)
}

/// Records that may be asked for at most.
pub const MAX_RECORDS: usize = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::exchange::fault::When;

    fn parse(text: &str) -> Result<Scenario, String> {
        Scenario::parse(Path::new("dir/night.toml"), text).map_err(|errors| errors.to_string())
    }

    #[test]
    fn a_file_says_all() {
        let scenario = parse(
            "about = \"A bad night.\"\ndialect = \"hx\"\nline = \"1200,7E1,xonxoff\"\nseed = 9\n\
             fast = true\njitter = \"2ms\"\nsettle = \"1s\"\npatience = \"5m\"\nallow = [\"gap\"]\n\
             [settings]\nseq = \"n4\"\n\
             [load]\nrate = 2.5\ncount = 10\nduration = \"1m\"\ncharges = 7\noutstanding = 3\n\
             [[fault]]\ndo = \"nak\"\ncount = 2\nevery = 5\n[[fault]]\ndo = \"hold\"\nat = \"3s\"\n\
             [expect]\nlost_by_sender = 1\npartial = \"1..\"\n",
        )
        .unwrap();
        assert_eq!(scenario.name.as_deref(), Some("night"));
        assert_eq!(scenario.settings, [("seq".to_owned(), "n4".to_owned())]);
        assert_eq!(scenario.line, "1200,7E1,xonxoff".parse().unwrap());
        assert_eq!(scenario.load.interval, Some(Duration::from_millis(400)));
        assert_eq!((scenario.load.charges, scenario.load.outstanding), (7, 3));
        assert_eq!(scenario.faults.len(), 2);
        assert_eq!(scenario.faults[0].when, When::Every(5));
        assert!(scenario.holds_gateway());
        assert_eq!(scenario.expectations.expected.len(), 2);
        assert!(scenario.expectations.allowed.contains(&Verdict::Gap));
        let settings = scenario.exchange(true);
        assert_eq!((settings.pace.char_time, settings.has_list), (None, true));
    }

    #[test]
    fn what_is_not_said_is_as_usual() {
        let expected = Scenario { name: Some("night".to_owned()), ..Scenario::new("cdr") };
        assert_eq!(parse("dialect = \"cdr\"\n"), Ok(expected));
        let busy = parse("dialect = \"cdr\"\n[load]\nrate = \"max\"\n").unwrap();
        assert_eq!((busy.load.interval, busy.load.outstanding), (None, BUSY_BACKLOG));
    }

    #[test]
    fn mistakes_are_told_with_line_and_column() {
        for (text, expected) in [
            ("", "1:1: the file needs `dialect`"),
            ("dialect = \"sms\"", "1:11: dialect: `sms` is no dialect; there are"),
            ("dialect = \"cdr\"\nspeed = 3", "2:1: the file has no key `speed`; it has: dialect"),
            ("dialect = \"cdr\"\n[load]\ncount = 0", "3:9: count: give a number from 1"),
            ("dialect = \"cdr\"\n[load]\nrate = 0", "3:8: rate: give records per second"),
            ("dialect = \"hx\"\n[settings]\ncheque = 1", "3:1: hx has no setting `cheque`"),
            ("dialect = \"cdr\"\n[[fault]]\nevery = 2", "2:1: fault needs `do`"),
            (
                "dialect = \"cdr\"\n[[fault]]\ndo = \"nak\"\nevery = 2\nby = \"1s\"",
                "5:1: nak has no `by`",
            ),
            ("dialect = \"cdr\"\n[expect]\ndoubled = 1", "3:1: `doubled` is no verdict; give"),
            ("dialect = \"cdr\"\n[expect]\nlost = -1", "3:8: lost: give a number, or"),
            ("dialect = \"cdr\"\nallow = [\"lots\"]", "2:10: give a verdict"),
        ] {
            let errors = parse(text).unwrap_err();
            assert!(errors.contains(expected), "{text:?}: {errors}");
        }
    }
}
