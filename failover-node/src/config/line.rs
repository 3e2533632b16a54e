//! The keys of `[[line]]`.

use std::collections::BTreeMap;
use std::time::Duration;

use daemon::config::values::{Placed, choice, command, parsed, text};
use daemon::config::{Findings, Section};
use wire::Name;

use super::{billing, values};
use crate::component::{Billing, Bridge, Exec, ExecMode, PayloadOptions, Stream};
use crate::core::config::{MAX_LINES, Membership};
use crate::driver::LineOptions;

/// The words for `mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Framed,
    Stream,
    Pty,
}

/// All of them, in order. The first is the group's lock.
pub(super) fn read<'t>(
    file: &mut Section<'t>,
    findings: &mut Findings<'t>,
    membership: Membership,
) -> Vec<LineOptions> {
    let sections = file.tables(findings, "line");
    if sections.is_empty() {
        findings.add(&(0..0), "there is no line: add a [[line]] with its `name`");
    }
    if let Some(section) = sections.get(MAX_LINES) {
        let message = format!("a group has at most {MAX_LINES} lines: this is one too many");
        findings.add(&section.place(), message);
    }
    let mut taken = Taken::default();
    let mut all = Vec::new();
    for section in sections {
        let place = section.place();
        let Some(line) = one(section, findings, membership) else { continue };
        if let Err(message) = taken.add(&line) {
            findings.add(&place, message);
        }
        all.push(line);
    }
    all
}

fn one<'t>(
    mut section: Section<'t>,
    findings: &mut Findings<'t>,
    membership: Membership,
) -> Option<LineOptions> {
    let observes = membership == Membership::Observer;
    let place = section.place();
    let line = section.need(findings, "name", "\"pms\"", parsed::<Name>);
    let server = |value: &_| values::host_port(text(value)?);
    let terminal_server = match observes {
        true => section.read(findings, "terminal_server", server),
        false => section.need(findings, "terminal_server", "\"10.0.0.5:4101\"", server),
    };
    let command = section.read(findings, "command", |v| command(v));
    let words = [("framed", Mode::Framed), ("stream", Mode::Stream), ("pty", Mode::Pty)];
    let mode = section.read(findings, "mode", choice(&words));
    let gap = section.read(findings, "gap", |value| values::gap(text(value)?));
    let door = section.read(findings, "bridge", |value| values::door(text(value)?));
    let billing = billing::Keys::read(&mut section, findings);
    let has = |key| section.has(key);
    let ways = ["command", "bridge", "billing"].into_iter().filter(|key| has(key)).count();
    for key in ["store", "shared", "handler", "retain", "settings"] {
        if has(key) && !has("billing") {
            let message = format!("{key}: it goes with `billing`, the built-in gateway");
            findings.add(&section.place_of(key), message);
        }
    }
    let payload = match (has("command"), has("bridge")) {
        _ if ways > 1 => Err(("give the line one of `command`, `bridge` and `billing`", place)),
        _ if has("billing") && has("mode") => {
            Err(("mode: it goes with `command`", section.place_of("mode")))
        }
        _ if has("billing") && has("gap") => {
            Err(("gap: it goes with `command` and `bridge`", section.place_of("gap")))
        }
        _ if has("billing") => Ok(billing
            .job(&section, findings)
            .map(|job| PayloadOptions::Billing(Billing::new(job)))),
        (false, false) if !observes => Err((
            "give the line what its coordinator runs: `command`, `bridge` for other programs, or \
             `billing`",
            place,
        )),
        (false, false) => Ok(None),
        (false, true) if has("mode") => {
            Err(("mode: a bridge has none; its clients see plain bytes", section.place_of("mode")))
        }
        (true, false) if mode.unwrap_or(Mode::Framed) == Mode::Framed && gap.is_some() => {
            let message = "gap: a framed payload makes its records itself; for mode stream or pty";
            Err((message, section.place_of("gap")))
        }
        (true, _) => Ok(command.and_then(|words| exec(words, mode, stream(gap)))),
        (false, true) => {
            let bridge = |door| PayloadOptions::Bridge(Bridge { door, stream: stream(gap) });
            Ok(door.map(bridge))
        }
    };
    section.finish(findings);
    let payload = payload.unwrap_or_else(|(message, place): Placed<&'static str>| {
        findings.add(&place, message);
        None
    });
    let terminal_server = terminal_server.unwrap_or_default();
    Some(LineOptions { line: line?, terminal_server, payload })
}

fn stream(gap: Option<Duration>) -> Stream {
    gap.map_or_else(Stream::default, |gap| Stream { gap })
}

fn exec(
    words: Vec<std::ffi::OsString>,
    mode: Option<Mode>,
    stream: Stream,
) -> Option<PayloadOptions> {
    let mut words = words.into_iter();
    let program = words.next()?;
    let mut exec = Exec::new(program, words.collect());
    exec.mode = match mode.unwrap_or(Mode::Framed) {
        Mode::Framed => ExecMode::Framed,
        Mode::Stream => ExecMode::Stream(stream),
        Mode::Pty => ExecMode::Pty(stream),
    };
    Some(PayloadOptions::Exec(exec))
}

/// Names and doors that lines have already.
#[derive(Default)]
struct Taken {
    names: Vec<Name>,
    doors: BTreeMap<String, Name>,
}

impl Taken {
    fn add(&mut self, options: &LineOptions) -> Result<(), String> {
        let line = &options.line;
        if self.names.contains(line) {
            return Err(format!("line {line} is there twice"));
        }
        self.names.push(line.clone());
        let Some(PayloadOptions::Bridge(bridge)) = &options.payload else { return Ok(()) };
        let door = values::door_text(&bridge.door);
        match self.doors.get(&door) {
            Some(other) => Err(format!("{door} is the bridge of line {other} already")),
            None => {
                self.doors.insert(door, line.clone());
                Ok(())
            }
        }
    }
}
