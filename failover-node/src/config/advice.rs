//! What is allowed and unwise.

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use sys::InterfaceName;

use crate::component::PayloadOptions;
use crate::core::Profile;
use crate::core::config::Membership;
use crate::driver::{Check, Options};

/// All of it. `ranked`: somebody gave this node a priority.
pub(super) fn of(options: &Options, ranked: bool) -> Vec<String> {
    let mut all = Vec::new();
    if options.behaviour.preempt_after.is_some() && !ranked {
        let message = "preempt_after does nothing among nodes of one priority: give `priority`";
        all.push(message.to_owned());
    }
    if options.profile.lease < Profile::STANDARD.lease
        && let Some(network) = options.networks.iter().find(|network| network.routed)
    {
        let profile = options.profile;
        all.push(format!(
            "{network}: a routed network may delay by more than profile {profile} allows; \
             take \"standard\" or \"wan\""
        ));
    }
    let loopback = |interface: &InterfaceName| match interface {
        InterfaceName::Address(address) => address.is_loopback(),
        InterfaceName::Name(name) => name == "lo",
    };
    if options.networks.iter().all(|network| loopback(&network.interface)) {
        all.push("every network is this host's own: no other host hears this node".to_owned());
    }
    if options.networks.iter().all(|network| network.multicast.is_none()) {
        let message = "no network has `multicast`: beacons come only if the terminal server's \
                       `beacons.to` names this node's `listen`";
        all.push(message.to_owned());
    }
    if options.status.is_none() {
        all.push("there is no status socket, so nobody can ask or steer this node".to_owned());
    }
    all.extend(options.check.as_ref().and_then(late_check));
    all.extend(missing_programs(options));
    all
}

fn late_check(check: &Check) -> Option<String> {
    let noticed = (check.interval + check.timeout) * check.failures;
    (noticed > LATE_CHECK).then(|| {
        format!(
            "check: {} failures, {:?} apart and {:?} long, are noticed only after {noticed:?}",
            check.failures, check.interval, check.timeout
        )
    })
}

/// Programs that cannot be started now. They may come later, as with a mount.
fn missing_programs(options: &Options) -> Vec<String> {
    let mut all: Vec<(String, &OsString)> = Vec::new();
    if options.behaviour.membership == Membership::Full {
        for line in &options.lines {
            if let Some(PayloadOptions::Exec(exec)) = &line.payload {
                all.push((format!("line {}", line.line), &exec.program));
            }
        }
    }
    let check = options.check.iter().map(|check| ("check", &check.command));
    let hooks = &options.hooks;
    let hooks = [
        ("before-serve", &hooks.before_serve),
        ("after-serve", &hooks.after_serve),
        ("after-stop", &hooks.after_stop),
    ];
    let hooks = hooks.into_iter().flat_map(|(event, hooks)| hooks.iter().map(move |h| (event, h)));
    let hooks = hooks.map(|(event, hook)| (event, &hook.command));
    let commands = check.chain(hooks);
    all.extend(commands.filter_map(|(what, words)| Some((what.to_owned(), words.first()?))));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let missing = all.into_iter().filter(|(_, program)| !can_start(program, &path));
    missing
        .map(|(what, program)| {
            let program = program.display();
            format!("{what}: {program} is not there, or is no program: give its whole path")
        })
        .collect()
}

fn can_start(program: &OsStr, path: &OsStr) -> bool {
    let runs = |file: &Path| {
        file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    match program.as_encoded_bytes().contains(&b'/') {
        true => runs(Path::new(program)),
        false => std::env::split_paths(path).any(|directory| runs(&directory.join(program))),
    }
}

/// Beyond this an unfit coordinator serves for longer than anybody would wait.
const LATE_CHECK: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_looked_for_as_they_will_be() {
        let path = OsStr::new("/nowhere:/bin:/usr/bin");
        assert!(can_start(OsStr::new("sh"), path));
        assert!(can_start(OsStr::new("/bin/sh"), OsStr::new("")));
        for program in ["no-such-program", "/etc/passwd", "/bin", "./sh"] {
            assert!(!can_start(OsStr::new(program), path), "{program}");
        }
    }
}
