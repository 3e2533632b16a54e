//! The keys of one line.

use std::path::PathBuf;
use std::time::Duration;

use daemon::config::values::{
    Placed, choice, count, flag, items, list, or_off, parsed, path, size, size_within, text, time,
};
use daemon::config::{Findings, Section};
use daemon::owner::parse_mode;
use sys::{Flow, Level, LineSettings, PtyAccess};
use toml::de::DeValue;
use wire::{CrLf, Name, Signals};

use super::values::{LARGEST_RING, lease, ring};
use crate::core::config::FrameEnd;
use crate::core::{ObserverLag, OnBusy, Packing, TelnetOptions};
use crate::driver::policies::{Edges, Keepalive, Policies, Trace};
use crate::driver::{ListenOptions, PortOptions, Speech};

/// What a line has by default, or what is known of one so far.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub(super) settings: LineSettings,
    pub(super) groups: Vec<Placed<Name>>,
    pub(super) listeners: Vec<Placed<ListenOptions>>,
    /// Whether some were meant, right or wrong.
    pub(super) listens: bool,
    pub(super) policies: Policies,
}

impl Draft {
    pub(super) fn new() -> Self {
        let (groups, listeners) = (Vec::new(), Vec::new());
        let settings = LineSettings::new(USUAL_BAUD);
        Self { settings, groups, listeners, listens: false, policies: Policies::default() }
    }

    /// Overrides what `section` says.
    pub(super) fn read(&mut self, section: &mut Section<'_>, findings: &mut Findings<'_>) {
        self.read_settings(section, findings);
        if let Some(groups) = section.value("groups") {
            self.groups = items(groups, findings, parsed);
        }
        if let Some(listeners) = section.value("listen") {
            self.listeners = items(listeners, findings, listen);
            let none = matches!(listeners.get_ref(), DeValue::Array(items) if items.is_empty());
            self.listens = !none;
        }
        let policies = &mut self.policies;
        holding(policies, section, findings);
        keeping(policies, section, findings);
        writing(policies, section, findings);
        wires(policies, section, findings);
        telnet(&mut policies.telnet, section, findings);
        watching(policies, section, findings);
    }

    fn read_settings(&mut self, section: &mut Section<'_>, findings: &mut Findings<'_>) {
        let flow = self.settings.flow;
        let settings = |value: &DeValue<'_>| {
            let settings: LineSettings = parsed(value)?;
            // Flow control that is not said is not said to be none.
            let said = text(value)?.split(',').count() > 2;
            Ok(LineSettings { flow: if said { settings.flow } else { flow }, ..settings })
        };
        section.set(findings, "settings", &mut self.settings, settings);
        let words = [("none", Flow::None), ("rtscts", Flow::RtsCts), ("xonxoff", Flow::XonXoff)];
        section.set(findings, "flow", &mut self.settings.flow, choice(&words));
    }

    /// What the line is made of.
    pub(super) fn port(
        &self,
        section: &mut Section<'_>,
        findings: &mut Findings<'_>,
    ) -> Option<PortOptions> {
        let serial = section.read(findings, "serial", parsed);
        let link = section.read(findings, "virtual", virtual_link);
        let settings = self.settings;
        match (serial, link) {
            (Some(name), None) => Some(PortOptions::Tty { name, settings }),
            (None, Some((link, access))) => Some(PortOptions::Virtual { link, settings, access }),
            _ => {
                findings.add(&section.place(), "give the line `serial` or `virtual`, and only one");
                None
            }
        }
    }
}

fn holding(policies: &mut Policies, section: &mut Section<'_>, findings: &mut Findings<'_>) {
    section.set(findings, "lease_max", &mut policies.lease_max, |value| lease(text(value)?));
    section.set(findings, "raw_may_hold", &mut policies.raw_may_hold, flag);
    let words =
        [("refuse", OnBusy::Refuse), ("replace", OnBusy::Replace), ("observe", OnBusy::Observe)];
    section.set(findings, "on_busy", &mut policies.on_busy, choice(&words));
}

fn keeping(policies: &mut Policies, section: &mut Section<'_>, findings: &mut Findings<'_>) {
    let ring = |value: &DeValue<'_>| match value {
        DeValue::Integer(number) => ring(number.as_str()),
        value => ring(text(value)?),
    };
    section.set(findings, "ring", &mut policies.ring, ring);
    section.set(findings, "history", &mut policies.history, size(0..=LARGEST_RING));
    section.set(findings, "raw_keep", &mut policies.raw_keep, time(Duration::ZERO, HOUR));
    let words = [("skip", ObserverLag::Skip), ("close", ObserverLag::Close)];
    section.set(findings, "observer_lag", &mut policies.observer_lag, choice(&words));
    section.set(findings, "spool", &mut policies.spool, flag);
    section.set(findings, "trace", &mut policies.trace, or_off(trace));
    let mut table = section.table(findings, "packing");
    let Packing { idle, longest, delimiter, length } = &mut policies.packing;
    let short = || or_off(time(Duration::from_millis(1), MINUTE));
    table.set(findings, "idle", idle, short());
    table.set(findings, "longest", longest, short());
    table.set(findings, "delimiter", delimiter, or_off(byte));
    table.set(findings, "length", length, or_off(count(1..=LONGEST_PACKET)));
    table.finish(findings);
}

fn writing(policies: &mut Policies, section: &mut Section<'_>, findings: &mut Findings<'_>) {
    section.set(findings, "pace", &mut policies.pace, flag);
    let words = [("finish", FrameEnd::Finish), ("cut", FrameEnd::Cut)];
    section.set(findings, "frame_end", &mut policies.frame_end, choice(&words));
    let delay = || time(Duration::ZERO, SECOND);
    section.set(findings, "char_delay", &mut policies.char_delay, delay());
    section.set(findings, "line_delay", &mut policies.line_delay, delay());
    let break_time = time(Duration::from_millis(1), SECOND * 10);
    section.set(findings, "break_time", &mut policies.break_time, break_time);
}

fn wires(policies: &mut Policies, section: &mut Section<'_>, findings: &mut Findings<'_>) {
    let Policies { dtr, rts, hupcl, levels, .. } = policies;
    let words = [("keep", Level::Keep), ("on", Level::On), ("off", Level::Off)];
    for (key, edges) in [("dtr", dtr), ("rts", rts), ("hupcl", hupcl)] {
        let mut table = section.table(findings, key);
        let Edges { open, attach, detach, close } = edges;
        table.set(findings, "open", open, choice(&words));
        table.set(findings, "close", close, choice(&words));
        // The driver looks at it when the port is closed, whoever has the line.
        if key != "hupcl" {
            table.set(findings, "attach", attach, choice(&words));
            table.set(findings, "detach", detach, choice(&words));
        }
        table.finish(findings);
    }
    let wires =
        [("cts", Signals::CTS), ("dsr", Signals::DSR), ("dcd", Signals::DCD), ("ri", Signals::RI)];
    let set = |value: &DeValue<'_>| {
        let active = list(|item| choice(&wires)(item))(value)?;
        Ok(active.into_iter().fold(Signals::NONE, |all, wire| all.set(wire, true)))
    };
    section.set(findings, "levels", levels, set);
}

fn telnet(telnet: &mut TelnetOptions, section: &mut Section<'_>, findings: &mut Findings<'_>) {
    let mut table = section.table(findings, "telnet");
    table.set(findings, "echo", &mut telnet.echo, flag);
    let signature = |value: &DeValue<'_>| {
        let text = text(value)?;
        let fits = text.len() <= LONGEST_SIGNATURE
            && text.chars().all(|c| c.is_ascii_graphic() || c == ' ');
        let help = || format!("give at most {LONGEST_SIGNATURE} printable ASCII characters");
        if fits { Ok(text.to_owned()) } else { Err(help()) }
    };
    table.set(findings, "signature", &mut telnet.signature, signature);
    let words = [("keep", CrLf::Keep), ("cr", CrLf::Cr)];
    table.set(findings, "crlf", &mut telnet.crlf, choice(&words));
    table.set(findings, "break_on_sync", &mut telnet.break_on_sync, flag);
    table.finish(findings);
}

fn watching(policies: &mut Policies, section: &mut Section<'_>, findings: &mut Findings<'_>) {
    let mut table = section.table(findings, "keepalive");
    let Keepalive { idle, interval, probes } = &mut policies.keepalive;
    // The kernel counts both in whole seconds.
    table.set(findings, "idle", idle, time(SECOND, HOUR));
    table.set(findings, "interval", interval, time(SECOND, HOUR));
    let times = |value: &DeValue<'_>| count(1..=100)(value).map(|count| count as u32);
    table.set(findings, "probes", probes, times);
    table.finish(findings);
    section.set(findings, "user_timeout", &mut policies.user_timeout, time(SECOND, HOUR));
}

/// `{ speech = "line", address = "0.0.0.0:4101", allow = ["10.0.0.0/8"] }`
fn listen(value: &DeValue<'_>) -> Result<ListenOptions, String> {
    const HELP: &str = r#"give { speech = "line", "raw" or "telnet", address = "ADDR:PORT" }, and allow = ["NETWORK", ...] if not everybody may connect"#;
    let DeValue::Table(table) = value else { return Err(HELP.to_owned()) };
    let (mut speech, mut address, mut allow) = (None, None, Vec::new());
    for (key, value) in table {
        let value = value.get_ref();
        match key.get_ref().as_ref() {
            "speech" => {
                let words = [Speech::Line, Speech::Raw, Speech::Telnet].map(|s| (s.word(), s));
                speech = Some(choice(&words)(value).map_err(|e| format!("speech: {e}"))?);
            }
            "address" => address = Some(parsed(value).map_err(|e| format!("address: {e}"))?),
            "allow" => allow = list(parsed)(value).map_err(|e| format!("allow: {e}"))?,
            other => return Err(format!("no key `{other}`; {HELP}")),
        }
    }
    let (Some(speech), Some(address)) = (speech, address) else { return Err(HELP.to_owned()) };
    Ok(ListenOptions { speech, address, allow })
}

/// `"/run/line"` or `{ link = "/run/line", owner = "uucp:dialout", mode = "0660" }`
fn virtual_link(value: &DeValue<'_>) -> Result<(PathBuf, PtyAccess), String> {
    const HELP: &str = r#"give "LINK", or { link = "LINK", owner = "USER:GROUP", mode = "0660" }"#;
    let DeValue::Table(table) = value else {
        return path(value).map(|link| (link, PtyAccess::default()));
    };
    let (mut link, mut access) = (None, PtyAccess::default());
    for (key, value) in table {
        let value = value.get_ref();
        match key.get_ref().as_ref() {
            "link" => link = Some(path(value)?),
            "owner" => access.owner = parsed(value)?,
            "mode" => access.mode = parse_mode(text(value)?)?,
            other => return Err(format!("no key `{other}`; {HELP}")),
        }
    }
    Ok((link.ok_or(HELP)?, access))
}

/// `{ path = "/var/log/pms.trace", size = "10MiB", keep = 3 }`
fn trace(value: &DeValue<'_>) -> Result<Trace, String> {
    const HELP: &str = r#"give { path = "FILE", size = "10MiB", keep = 3 }"#;
    let DeValue::Table(table) = value else { return Err(HELP.to_owned()) };
    let mut trace = Trace::new(PathBuf::new());
    for (key, value) in table {
        let value = value.get_ref();
        match key.get_ref().as_ref() {
            "path" => trace.path = path(value)?,
            "size" => {
                let bytes = size_within(text(value)?, SMALLEST_TRACE..=LARGEST_TRACE);
                trace.size = bytes.map_err(|error| format!("size: {error}"))? as u64;
            }
            "keep" => {
                let files = count(0..=1000)(value).map_err(|error| format!("keep: {error}"))?;
                trace.keep = files as u32;
            }
            other => return Err(format!("no key `{other}`; {HELP}")),
        }
    }
    if trace.path.as_os_str().is_empty() { Err(HELP.to_owned()) } else { Ok(trace) }
}

/// One character, or a byte's number.
fn byte(value: &DeValue<'_>) -> Result<u8, String> {
    const HELP: &str = r#"give one ASCII character, as "\r", or a number from 0 to 255"#;
    match value {
        DeValue::String(text) => match text.as_bytes() {
            [byte] => Ok(*byte),
            _ => Err(HELP.to_owned()),
        },
        value => count(0..=255)(value).map(|byte| byte as u8).map_err(|_| HELP.to_owned()),
    }
}

const USUAL_BAUD: u32 = 9600;
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
/// What one packet may carry: a frame of input.
const LONGEST_PACKET: usize = wire::frame::MAX_INPUT;
/// Clients keep it in small buffers.
const LONGEST_SIGNATURE: usize = 64;
const SMALLEST_TRACE: usize = 64 * 1024;
const LARGEST_TRACE: usize = 1 << 40;
