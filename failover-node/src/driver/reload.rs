//! New settings for a running node: what may change, and going over to it.

use daemon::notify;

use super::node_loop::{NodeLoop, now};
use super::options::Options;
use super::report;

/// New settings that a running node can go over to.
#[derive(Debug, Clone)]
pub struct Reload {
    options: Options,
    changed: Vec<&'static str>,
}

/// New settings for a running node, one after the other.
pub type Reloads = tokio::sync::mpsc::Receiver<Reload>;

impl Reload {
    /// What differs, in the words of the file.
    pub fn changed(&self) -> &[&'static str] {
        &self.changed
    }
}

/// What a node that runs with `old` has to do for `new`.
///
/// # Errors
/// What only a restart can change, one sentence each. Then nothing is changed at all.
pub fn compare(old: &Options, new: &Options) -> Result<Reload, Vec<String>> {
    let lines = |options: &Options| -> Vec<String> {
        options.lines.iter().map(|line| line.line.to_string()).collect()
    };
    let fixed = [
        ("group", old.group != new.group),
        ("name", old.node != new.node),
        ("profile", old.profile != new.profile),
        ("status", old.status != new.status),
        ("events", old.events != new.events),
        ("[[network]]", old.networks != new.networks),
        ("the names and the order of [[line]]", lines(old) != lines(new)),
    ];
    let fixed: Vec<String> = fixed
        .into_iter()
        .filter(|(_, differs)| *differs)
        .map(|(key, _)| format!("{key} differs, which only a restart changes"))
        .collect();
    if !fixed.is_empty() {
        return Err(fixed);
    }
    let (was, is) = (&old.behaviour, &new.behaviour);
    let pairs = || old.lines.iter().zip(&new.lines);
    let changed = [
        ("priority", was.priority != is.priority),
        ("member", was.membership != is.membership),
        ("preempt_after", was.preempt_after != is.preempt_after),
        ("stall", was.stall != is.stall),
        ("restarts", was.restarts != is.restarts),
        ("keys", old.keys != new.keys),
        ("terminal_server", pairs().any(|(a, b)| a.terminal_server != b.terminal_server)),
        ("payload", pairs().any(|(a, b)| a.payload != b.payload)),
        (CHECK, old.check != new.check),
        ("[[hook]]", old.hooks != new.hooks),
        ("maintenance (from the next start on)", old.maintenance != new.maintenance),
    ];
    let changed = changed.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key);
    Ok(Reload { options: new.clone(), changed: changed.collect() })
}

const CHECK: &str = "[check]";

impl NodeLoop {
    /// Goes over to new settings, between two events: no heartbeat waits for it. What a payload is
    /// and where its terminal server is counts from the next start on.
    pub(crate) fn reload(&mut self, reload: Reload) {
        let now = now();
        self.options = reload.options;
        self.heartbeats.set_keys(self.options.keys.clone());
        self.node.handle_keys(self.options.keys.clone(), self.options.digests());
        self.hooks.set_hooks(self.options.hooks.clone());
        if reload.changed.contains(&CHECK) {
            // It would begin anew, and an unfit node would be fit for a while.
            self.check.set_check(self.options.check.clone());
        }
        self.node.handle_behaviour(self.options.behaviour.clone(), now);
        let changed = match reload.changed.is_empty() {
            true => "nothing".to_owned(),
            false => reload.changed.join(", "),
        };
        tracing::info!(changed, "reloaded");
        notify::status(&report::headline(&self.node, now));
        notify::reloaded();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use wire::Key;

    use super::*;
    use crate::component::{Exec, PayloadOptions};
    use crate::core::{Behaviour, Profile};
    use crate::driver::{Hook, Hooks, LineOptions};

    fn options() -> Options {
        let line = |name: &str| LineOptions {
            line: name.parse().unwrap(),
            terminal_server: "ts:4101".into(),
            payload: Some(PayloadOptions::Exec(Exec::new("gateway".into(), Vec::new()))),
        };
        Options {
            group: "g".parse().unwrap(),
            node: "a".parse().unwrap(),
            keys: Key::new(0, *b"0123456789abcdef0123456789abcdef").into(),
            networks: Vec::new(),
            lines: vec![line("pms"), line("cdr")],
            profile: Profile::STANDARD,
            behaviour: Behaviour::default(),
            maintenance: None,
            check: None,
            hooks: Hooks::default(),
            events: None,
            status: None,
            own_process: true,
        }
    }

    #[test]
    fn what_may_change_is_named() {
        let old = options();
        assert_eq!(compare(&old, &old).unwrap().changed(), [""; 0]);
        let mut new = options();
        new.behaviour.priority = 7;
        new.behaviour.stall = Duration::from_secs(3);
        new.lines[1].terminal_server = "ts2:4101".into();
        let hook = Hook { command: vec!["x".into()], timeout: Duration::from_secs(1) };
        new.hooks.after_stop.push(hook);
        new.keys = Key::new(1, *b"abcdef0123456789abcdef0123456789").into();
        let changed = compare(&old, &new).unwrap();
        let expected = ["priority", "stall", "keys", "terminal_server", "[[hook]]"];
        assert_eq!(changed.changed(), expected);
        new.maintenance = Some(Duration::from_secs(60));
        let said = "maintenance (from the next start on)";
        assert!(compare(&old, &new).unwrap().changed().contains(&said));
        new.lines[0].payload = None;
        assert!(compare(&old, &new).unwrap().changed().contains(&"payload"));
    }

    #[test]
    fn what_needs_a_restart_changes_nothing_and_is_all_named() {
        let old = options();
        let mut new = options();
        new.behaviour.priority = 7;
        new.lines.swap(0, 1);
        new.profile = Profile::FAST;
        new.events = Some("/e".into());
        let fixed = compare(&old, &new).unwrap_err();
        assert_eq!(
            fixed,
            [
                "profile differs, which only a restart changes",
                "events differs, which only a restart changes",
                "the names and the order of [[line]] differs, which only a restart changes",
            ]
        );
        let other = Options { group: "h".parse().unwrap(), ..options() };
        assert!(compare(&old, &other).unwrap_err()[0].starts_with("group differs"));
    }
}
