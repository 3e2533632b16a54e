//! The keys of `[check]` and `[[hook]]`.

use std::ffi::OsString;
use std::time::Duration;

use daemon::config::values::{choice, command, count, flag, text};
use daemon::config::{Findings, Section};

use super::values;
use crate::driver::{Check, Hook, Hooks};

/// Between two checks, unless the file says otherwise.
pub(crate) const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// How long a check may take.
pub(crate) const CHECK_TIMEOUT: Duration = Duration::from_secs(5);
/// So many failures make a node unfit.
pub(crate) const CHECK_FAILURES: u32 = 3;
/// How long a hook may take.
pub(crate) const HOOK_TIMEOUT: Duration = Duration::from_secs(10);

/// When a hook runs.
#[derive(Debug, Clone, Copy)]
enum Event {
    BeforeServe,
    AfterServe,
    AfterStop,
}

/// A check of which nothing but the command is said.
pub(crate) fn usual_check(command: Vec<OsString>) -> Check {
    Check {
        command,
        interval: CHECK_INTERVAL,
        timeout: CHECK_TIMEOUT,
        failures: CHECK_FAILURES,
        standby: false,
    }
}

/// The check, if there is one.
pub(super) fn check<'t>(file: &mut Section<'t>, findings: &mut Findings<'t>) -> Option<Check> {
    let there = file.has("check");
    let mut section = file.table(findings, "check");
    if !there {
        return None;
    }
    let words = section.need(findings, "command", "[\"/usr/bin/check\"]", |v| command(v));
    let mut check = usual_check(words.unwrap_or_default());
    section.set(findings, "interval", &mut check.interval, |v| values::interval(text(v)?));
    section.set(findings, "timeout", &mut check.timeout, |v| values::run_time(text(v)?));
    let failures = |value: &_| count(1..=100)(value).map(|count| count as u32);
    section.set(findings, "failures", &mut check.failures, failures);
    section.set(findings, "standby", &mut check.standby, flag);
    section.finish(findings);
    Some(check)
}

/// The hooks, in order.
pub(super) fn hooks<'t>(file: &mut Section<'t>, findings: &mut Findings<'t>) -> Hooks {
    let mut hooks = Hooks::default();
    for mut section in file.tables(findings, "hook") {
        let words = [
            ("before-serve", Event::BeforeServe),
            ("after-serve", Event::AfterServe),
            ("after-stop", Event::AfterStop),
        ];
        let event = section.need(findings, "event", "\"before-serve\"", choice(&words));
        let command = section.need(findings, "command", "[\"/usr/bin/hook\"]", |v| command(v));
        let mut timeout = HOOK_TIMEOUT;
        section.set(findings, "timeout", &mut timeout, |v| values::run_time(text(v)?));
        section.finish(findings);
        let (Some(event), Some(command)) = (event, command) else { continue };
        let all = match event {
            Event::BeforeServe => &mut hooks.before_serve,
            Event::AfterServe => &mut hooks.after_serve,
            Event::AfterStop => &mut hooks.after_stop,
        };
        all.push(Hook { command, timeout });
    }
    hooks
}
