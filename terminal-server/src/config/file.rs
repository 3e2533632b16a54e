//! The whole file: from its text to checked options.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use daemon::LogFormat;
use daemon::args::host_name;
use daemon::config::values::{count, list, parsed, path, size, text, time};
use daemon::config::{ConfigErrors, Findings, Section, document};
use toml::de::DeValue;
use wire::{Key, KeyRing, Name};

use super::line::Draft;
use super::values::interval;
use crate::core::GroupKeys;
use crate::driver::{BeaconOptions, Limits, LineOptions, ListenOptions, Options, Speech};

/// What a file says.
#[derive(Debug, Clone)]
pub struct Config {
    /// For the server.
    pub options: Options,
    /// What to log.
    pub log: Option<String>,
    /// How.
    pub log_format: Option<LogFormat>,
    /// What is allowed and unwise.
    pub warnings: Vec<String>,
    /// What `[defaults]` and the built-in defaults make of a line that says nothing.
    pub defaults: LineDefaults,
}

/// What a line has that says nothing but its device.
#[derive(Debug, Clone, PartialEq)]
pub struct LineDefaults {
    /// Its settings.
    pub settings: sys::LineSettings,
    /// How it behaves.
    pub policies: crate::driver::Policies,
}

/// Gives the content of a key file, or says why not.
pub type KeyReader<'r> = &'r dyn Fn(&Path) -> Result<Vec<u8>, String>;

/// Reads a key file that nobody else could have read.
///
/// # Errors
/// What is wrong with it, and the cure.
pub fn read_key(path: &Path) -> Result<Vec<u8>, String> {
    daemon::secrets::read(path).map_err(|error| error.to_string())
}

impl Config {
    /// What `text`, the content of `path`, says.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(path: &Path, text: &str, read_key: KeyReader<'_>) -> Result<Self, ConfigErrors> {
        let table = document(path, text)?;
        let mut file = Section::new("", 0..0, table.get_ref());
        let mut reading = Reading { findings: Findings::new(text), read_key };
        let config = reading.file(&mut file);
        file.finish(&mut reading.findings);
        reading.findings.end(path).map(|()| config)
    }
}

/// The file being read.
struct Reading<'t, 'r> {
    findings: Findings<'t>,
    read_key: KeyReader<'r>,
}

impl<'t> Reading<'t, '_> {
    fn file(&mut self, file: &mut Section<'t>) -> Config {
        let mut server = file.table(&mut self.findings, "server");
        let mut options = Options::new(self.name(&mut server), Vec::new());
        server.set(&mut self.findings, "state", &mut options.state, |v| path(v).map(Some));
        server.set(&mut self.findings, "status", &mut options.status, |v| path(v).map(Some));
        let log = server.read(&mut self.findings, "log", |v| text(v).map(str::to_owned));
        let log_format = server.read(&mut self.findings, "log_format", parsed);
        let server_place = server.place();
        server.finish(&mut self.findings);
        options.limits = self.limits(file);
        options.beacons = self.beacons(file);
        let groups = self.groups(file);

        let mut base = Draft::new();
        let mut defaults = file.table(&mut self.findings, "defaults");
        base.read(&mut defaults, &mut self.findings);
        defaults.finish(&mut self.findings);
        let mut listening = Listening::default();
        let lines = file.table(&mut self.findings, "line");
        for (name, section) in lines.named(&mut self.findings) {
            let line = self.line((name, section), &base, &groups, &mut listening);
            options.lines.extend(line);
        }
        if lines.is_empty() {
            self.findings.add(&(0..0), "there is no line: add one as [line.NAME]");
        }
        self.devices(&options.lines, &lines);
        let spools = |line: &LineOptions| line.policies.spool;
        if options.state.is_none() && options.lines.iter().any(spools) {
            let message = "lines with a spool need `state`, the directory that it lives in";
            self.findings.add(&server_place, message);
        }
        if options.state.is_none() && options.lines.iter().any(|line| !line.groups.is_empty()) {
            let message = "lines with groups need `state`, a directory for what outlives a restart";
            self.findings.add(&server_place, message);
        }
        let warnings = options.lines.iter().flat_map(warnings).collect();
        let defaults = LineDefaults { settings: base.settings, policies: base.policies };
        Config { options, log, log_format, warnings, defaults }
    }

    fn name(&mut self, server: &mut Section<'t>) -> Name {
        if let Some(name) = server.read(&mut self.findings, "name", parsed) {
            return name;
        }
        host_name("name in [server]").unwrap_or_else(|failure| {
            self.findings.add(&server.place(), failure.message);
            "unnamed".parse().expect("letters make a name")
        })
    }

    fn limits(&mut self, file: &mut Section<'t>) -> Limits {
        let mut limits = Limits::default();
        let mut table = file.table(&mut self.findings, "limits");
        let findings = &mut self.findings;
        table.set(findings, "line_clients", &mut limits.line_clients, count(1..=10_000));
        table.set(findings, "address_clients", &mut limits.address_clients, count(1..=1_000_000));
        table.set(findings, "handshakes", &mut limits.handshakes, count(1..=10_000));
        let seconds = time(Duration::from_millis(100), Duration::from_secs(60));
        table.set(findings, "handshake_time", &mut limits.handshake_time, seconds);
        table.set(findings, "kept_input", &mut limits.kept_input, size(65_536..=1 << 40));
        table.finish(findings);
        limits
    }

    fn beacons(&mut self, file: &mut Section<'t>) -> BeaconOptions {
        let mut beacons = BeaconOptions::default();
        let mut table = file.table(&mut self.findings, "beacons");
        let findings = &mut self.findings;
        let target = |value: &DeValue<'_>| -> Result<SocketAddr, String> {
            let target: SocketAddr = parsed(value)?;
            match target.port() == 0 || target.ip().is_unspecified() {
                true => Err(format!("{target} is nobody's address")),
                false => Ok(target),
            }
        };
        table.set(findings, "to", &mut beacons.targets, list(target));
        let interfaces = |value: &DeValue<'_>| match value {
            DeValue::Array(_) => list(parsed)(value),
            one => Ok(vec![parsed(one)?]),
        };
        table.set(findings, "interface", &mut beacons.interfaces, interfaces);
        table.set(findings, "interval", &mut beacons.interval, |value| interval(text(value)?));
        table.finish(findings);
        beacons
    }

    fn groups(&mut self, file: &mut Section<'t>) -> HashMap<Name, GroupKeys> {
        let mut groups = HashMap::new();
        let table = file.table(&mut self.findings, "group");
        for (name, mut section) in table.named(&mut self.findings) {
            let place = section.place();
            let keys = self.keys(&mut section);
            section.finish(&mut self.findings);
            match (name.parse::<Name>(), keys) {
                (Ok(group), Some(keys)) => {
                    groups.insert(group.clone(), GroupKeys { group, keys });
                }
                (Ok(_), None) => {}
                (Err(error), _) => {
                    self.findings.add(&place, format!("`{name}` is no name: {error}"));
                }
            }
        }
        groups
    }

    fn keys(&mut self, group: &mut Section<'t>) -> Option<KeyRing> {
        let keys = group.table(&mut self.findings, "keys");
        let mut read = Vec::new();
        for (id, value, place) in keys.entries() {
            let key = id.parse().map_err(|_| format!("`{id}` is no key number from 0 to 255"));
            let key = key.and_then(|id: u8| {
                let file = path(value)?;
                let content = (self.read_key)(&file)?;
                let key = Key::from_file_content(id, &content);
                key.map_err(|error| format!("{}: {error}", file.display()))
            });
            match key {
                Ok(key) => read.push(key),
                Err(message) => self.findings.add(&place, message),
            }
        }
        let lowest = read.iter().map(Key::id).min();
        let mut sender = lowest.unwrap_or_default();
        group.set(&mut self.findings, "send_key", &mut sender, |value| {
            count(0..=255)(value).map(|id| id as u8)
        });
        if lowest.is_none() {
            let message = "give keys by their numbers, as keys = { 0 = \"FILE\" }";
            self.findings.add(&group.place_of("keys"), message);
            return None;
        }
        let ring = KeyRing::new(read, sender);
        ring.map_err(|error| self.findings.add(&group.place_of("keys"), error.to_string())).ok()
    }

    fn line(
        &mut self,
        (name, mut section): (&str, Section<'t>),
        base: &Draft,
        known: &HashMap<Name, GroupKeys>,
        listening: &mut Listening,
    ) -> Option<LineOptions> {
        let mut draft = base.clone();
        draft.read(&mut section, &mut self.findings);
        let port = draft.port(&mut section, &mut self.findings);
        let place = section.place();
        section.finish(&mut self.findings);
        let line: Name = match name.parse() {
            Ok(line) => line,
            Err(error) => {
                self.findings.add(&place, format!("`{name}` is no name: {error}"));
                return None;
            }
        };
        let mut groups = Vec::new();
        for (group, place) in &draft.groups {
            match known.get(group) {
                Some(keys) => groups.push(keys.clone()),
                None => {
                    self.findings
                        .add(place, format!("there is no group {group}: add [group.{group}]"));
                }
            }
        }
        let keyed = !draft.groups.is_empty();
        for (listen, place) in &draft.listeners {
            if let Err(message) = listening.add(&line, listen, keyed) {
                self.findings.add(place, message);
            }
        }
        if !draft.listens {
            self.findings.add(&place, "nobody can reach this line: add `listen`");
        }
        let listeners = draft.listeners.into_iter().map(|(listen, _)| listen).collect();
        let policies = draft.policies;
        Some(LineOptions { line, port: port?, groups, listeners, policies })
    }

    /// No two lines may have one device.
    fn devices(&mut self, lines: &[LineOptions], section: &Section<'t>) {
        let mut seen: BTreeMap<String, &Name> = BTreeMap::new();
        for line in lines {
            let device = line.port.name();
            if let Some(other) = seen.insert(device.clone(), &line.line) {
                let message = format!("{device} is the device of line {other} already");
                self.findings.add(&section.place_of(line.line.as_str()), message);
            }
        }
    }
}

/// Which addresses are taken, and by whom.
#[derive(Default)]
struct Listening(HashMap<SocketAddr, (Name, ListenOptions)>);

impl Listening {
    fn add(&mut self, line: &Name, listen: &ListenOptions, keyed: bool) -> Result<(), String> {
        if listen.speech == Speech::Line && !keyed {
            return Err("a `line` listener needs `groups`: only who has a key may claim".to_owned());
        }
        let address = listen.address;
        if address.port() == 0 && listen.speech != Speech::Line {
            return Ok(());
        }
        let Some((other, before)) = self.0.get(&address) else {
            self.0.insert(address, (line.clone(), listen.clone()));
            return Ok(());
        };
        if listen.speech != Speech::Line || before.speech != Speech::Line {
            return Err(format!(
                "{address} is taken by line {other}; only `line` listeners are shared"
            ));
        }
        if listen.allow != before.allow {
            return Err(format!("{address} has another `allow` at line {other}"));
        }
        Ok(())
    }
}

fn warnings(line: &LineOptions) -> Vec<String> {
    let open = line.listeners.iter().filter(|listen| {
        listen.speech != Speech::Line
            && listen.allow.is_empty()
            && !listen.address.ip().is_loopback()
    });
    let open = open.filter(|_| line.groups.is_empty() || line.policies.raw_may_hold);
    open.map(|listen| {
        let (speech, address) = (listen.speech.word(), listen.address);
        let name = &line.line;
        format!(
            "{speech} {address}: anybody who reaches this address can take line {name}; see `allow`"
        )
    })
    .collect()
}
