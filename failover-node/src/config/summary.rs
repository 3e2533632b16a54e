//! What a checked file comes to, for people.

use std::ffi::OsString;

use comfy_table::Table;
use comfy_table::presets::NOTHING;

use super::file::Config;
use super::values::door_text;
use crate::component::{Billing, ExecMode, PayloadOptions};
use crate::driver::report::member_word;
use crate::driver::{Check, Hook, LineOptions, Network};

/// A headline, lines, networks, what else would run, and warnings; each line ended.
pub fn render(config: &Config) -> String {
    let options = &config.options;
    let mut text = format!("OK: node {} of group {}\n\n", options.node, options.group);
    text += &format!("{}\n\n", lines(&options.lines).trim_fmt());
    text += &format!("{}\n\n", networks(&options.networks).trim_fmt());
    text += &format!("{}\n", facts(config).trim_fmt());
    for warning in &config.warnings {
        text += &format!("\nwarning: {warning}\n");
    }
    text
}

fn lines(lines: &[LineOptions]) -> Table {
    let mut table = table();
    table.set_header(["line", "terminal server", "runs"]);
    for LineOptions { line, terminal_server, payload } in lines {
        let server = if terminal_server.is_empty() { "-" } else { terminal_server };
        let runs = payload.as_ref().map_or_else(|| "nothing".to_owned(), payload_text);
        table.add_row([line.to_string(), server.to_owned(), runs]);
    }
    table
}

fn payload_text(payload: &PayloadOptions) -> String {
    match payload {
        PayloadOptions::Bridge(bridge) => format!("bridge {}", door_text(&bridge.door)),
        PayloadOptions::Billing(Billing { job, .. }) => {
            format!(
                "billing {}: store {}, handler {}",
                job.dialect,
                job.store.display(),
                job.handler
            )
        }
        PayloadOptions::Exec(exec) => {
            let mode = match exec.mode {
                ExecMode::Framed => "framed",
                ExecMode::Stream(_) => "stream",
                ExecMode::Pty(_) => "pty",
            };
            let words = std::iter::once(&exec.program).chain(&exec.arguments);
            format!("{mode}: {}", words_text(words))
        }
    }
}

fn networks(networks: &[Network]) -> Table {
    let mut table = table();
    table.set_header(["interface", "multicast", "listens", "peers", "TTL"]);
    for Network { interface, multicast, listen, peers, routed } in networks {
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let peers: Vec<String> = peers.iter().map(ToString::to_string).collect();
        table.add_row([
            interface.to_string(),
            or_none(multicast.map(|group| group.to_string())),
            or_none(listen.map(|listen| listen.to_string())),
            or_none(Some(peers.join(" ")).filter(|peers| !peers.is_empty())),
            if *routed { "any" } else { "255" }.to_owned(),
        ]);
    }
    table
}

fn facts(config: &Config) -> Table {
    let options = &config.options;
    let behaviour = &options.behaviour;
    let mut table = table();
    let mut row = |name: &str, fact: String| {
        table.add_row([name, &fact]);
    };
    row("member", member_word(behaviour.membership).to_owned());
    row("priority", behaviour.priority.to_string());
    row("profile", format!("{} ms", options.profile));
    let preempt = behaviour.preempt_after.map(|after| format!("after {after:?}"));
    row("preempts", preempt.unwrap_or_else(|| "no".to_owned()));
    let (stall, restarts) = (behaviour.stall, behaviour.restarts);
    row("resigns", format!("after {stall:?} without ack, {restarts} restarts in a minute"));
    let ids = options.keys.iter().map(|key| key.id().to_string());
    row("keys", ids.collect::<Vec<_>>().join(", ") + "; the first one signs");
    if let Some(maintenance) = options.maintenance {
        row("maintenance", format!("for {maintenance:?} from the start"));
    }
    row("check", options.check.as_ref().map_or_else(|| "none".to_owned(), check_text));
    let hooks = &options.hooks;
    let events = [
        ("before-serve", &hooks.before_serve),
        ("after-serve", &hooks.after_serve),
        ("after-stop", &hooks.after_stop),
    ];
    for (event, hooks) in events {
        hooks.iter().for_each(|hook| row(event, hook_text(hook)));
    }
    let or_none = |path: &Option<std::path::PathBuf>| {
        path.as_ref().map_or_else(|| "none".to_owned(), |path| path.display().to_string())
    };
    row("status", or_none(&options.status));
    row("events", or_none(&options.events));
    table
}

fn check_text(check: &Check) -> String {
    let Check { command, interval, timeout, failures, standby } = check;
    let who = if *standby { "on every node" } else { "on the coordinator" };
    format!(
        "{} every {interval:?}, {timeout:?} at most, {failures} failures, {who}",
        words_text(command)
    )
}

fn hook_text(hook: &Hook) -> String {
    format!("{}, {:?} at most", words_text(&hook.command), hook.timeout)
}

fn words_text<'w>(words: impl IntoIterator<Item = &'w OsString>) -> String {
    let words: Vec<String> = words.into_iter().map(|word| word.display().to_string()).collect();
    words.join(" ")
}

fn table() -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table
}
