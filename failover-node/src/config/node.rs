//! The keys of `[node]`.

use std::path::PathBuf;
use std::time::Duration;

use daemon::LogFormat;
use daemon::args::host_name;
use daemon::config::values::{choice, count, or_off, parsed, path, text};
use daemon::config::{Findings, Section};
use toml::de::DeValue;
use wire::{Key, KeyRing, Name};

use super::keys::KeyReader;
use super::values::{self, usual_socket};
use crate::core::config::Membership;
use crate::core::{Behaviour, Profile};
use crate::driver::report::member_word;

/// What `[node]` says.
pub(super) struct NodeSection {
    pub(super) group: Name,
    pub(super) node: Name,
    pub(super) keys: KeyRing,
    pub(super) profile: Profile,
    pub(super) behaviour: Behaviour,
    /// Whether `priority` is there.
    pub(super) ranked: bool,
    pub(super) status: Option<PathBuf>,
    pub(super) events: Option<PathBuf>,
    pub(super) maintenance: Option<Duration>,
    pub(super) log: Option<String>,
    pub(super) log_format: Option<LogFormat>,
    pub(super) warnings: Vec<String>,
}

impl NodeSection {
    pub(super) fn read<'t>(
        file: &mut Section<'t>,
        findings: &mut Findings<'t>,
        (reader, given): (KeyReader<'_>, Option<&Name>),
    ) -> Self {
        let mut section = file.table(findings, "node");
        let mut warnings = Vec::new();
        let group = section.need(findings, "group", "\"front-desk\"", parsed);
        let name = section.read(findings, "name", parsed);
        // Of a host whose name does not fit, only a node without another one has to hear.
        let node = given.cloned().or(name).or_else(|| own_name(&section, findings));
        let keys = keys(&mut section, findings, (reader, &mut warnings));
        let mut profile = Profile::STANDARD;
        section.set(findings, "profile", &mut profile, parsed);
        let mut behaviour = Behaviour::default();
        let ranked = behave(&mut behaviour, &mut section, findings);
        let status = section.read(findings, "status", or_off(path));
        let events = section.read(findings, "events", or_off(path));
        let maintenance = |value: &DeValue<'_>| values::maintenance(text(value)?);
        let maintenance = section.read(findings, "maintenance", or_off(maintenance));
        let log = section.read(findings, "log", |value| {
            let filter = text(value)?;
            daemon::logs::check(filter).map_err(|error| error.to_string())?;
            Ok(filter.to_owned())
        });
        let log_format = section.read(findings, "log_format", parsed);
        section.finish(findings);
        Self {
            group: group.unwrap_or_else(unnamed),
            node: node.unwrap_or_else(unnamed),
            keys,
            profile,
            behaviour,
            ranked,
            status: status.unwrap_or_else(usual_socket),
            events: events.flatten(),
            maintenance: maintenance.flatten(),
            log,
            log_format,
            warnings,
        }
    }
}

/// In the place of a name that is wrong; the error keeps it from being used.
pub(super) fn unnamed() -> Name {
    "unnamed".parse().expect("letters make a name")
}

fn own_name(section: &Section<'_>, findings: &mut Findings<'_>) -> Option<Name> {
    // A name that is there and wrong was told.
    if section.has("name") {
        return None;
    }
    let own = host_name("name in [node]");
    own.map_err(|failure| findings.add(&section.place(), failure.message)).ok()
}

/// Returns whether there is a priority.
fn behave(
    behaviour: &mut Behaviour,
    section: &mut Section<'_>,
    findings: &mut Findings<'_>,
) -> bool {
    let Behaviour { priority, membership, preempt_after, stall, restarts } = behaviour;
    let members = [Membership::Full, Membership::NeverCoordinator, Membership::Observer];
    let members = members.map(|membership| (member_word(membership), membership));
    let given = section.read(findings, "priority", count(0..=255)).map(|given| given as u8);
    *priority = given.unwrap_or(*priority);
    section.set(findings, "member", membership, choice(&members));
    let after = |value: &DeValue<'_>| values::preempt_after(text(value)?);
    section.set(findings, "preempt_after", preempt_after, or_off(after));
    section.set(findings, "stall", stall, |value| values::stall(text(value)?));
    section.set(findings, "restarts", restarts, count(0..=values::MOST_RESTARTS));
    given.is_some()
}

fn keys<'t>(
    section: &mut Section<'t>,
    findings: &mut Findings<'t>,
    (reader, warnings): (KeyReader<'_>, &mut Vec<String>),
) -> KeyRing {
    let table = section.table(findings, "keys");
    let mut all = Vec::new();
    for (id, value, place) in table.entries() {
        let key = id.parse().map_err(|_| format!("`{id}` is no key number from 0 to 255"));
        let key = key.and_then(|id: u8| {
            let named = text(value)?;
            let Some(content) = reader(named)? else {
                warnings.push(format!("{named} was not looked at: only the service has it"));
                // Each its own, as they will be.
                return Ok(Key::new(id, [id; 32]));
            };
            Key::from_file_content(id, &content).map_err(|error| format!("{named}: {error}"))
        });
        match key {
            Ok(key) => all.push(key),
            Err(message) => findings.add(&place, message),
        }
    }
    if table.is_empty() {
        let message = "give the group's key, as keys = { 0 = \"/etc/linekeeper/key\" }";
        findings.add(&table.place(), message);
    }
    all.sort_by_key(Key::id);
    let known: Vec<u8> = all.iter().map(Key::id).collect();
    let signs = section.read(findings, "send_key", |value| {
        let id = count(0..=255)(value)? as u8;
        let known = known.contains(&id).then_some(id);
        known.ok_or_else(|| format!("there is no key {id}: add it to `keys`"))
    });
    let sender = signs.or_else(|| known.first().copied()).unwrap_or_default();
    let nameless = || KeyRing::from(Key::new(0, [0; 32]));
    // Of keys that are wrong enough was told.
    if known.is_empty() {
        return nameless();
    }
    KeyRing::new(all, sender).unwrap_or_else(|error| {
        findings.add(&table.place(), format!("keys: {error}"));
        nameless()
    })
}
