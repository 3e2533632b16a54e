//! The operator's commands: hooks in order, gates, timeouts, checks; and nothing of them is left.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use failover_node::driver::check::Checker;
use failover_node::driver::command::Commands;
use failover_node::driver::hooks::{Gate, HookCall, HookEvent, HookRunner};
use failover_node::driver::{Check, Hook, Hooks};
use sys::boottime;
use sys::process::{Signal, descendants};
use tempfile::TempDir;
use wire::Epoch;

use crate::support::{BUSY, Kept, LONG, PROGRAM, family, runs, signal, until_so};

fn commands() -> Commands {
    let (node, group) = ("a".parse().unwrap(), "test".parse().unwrap());
    Commands { node, group, guard: PROGRAM.into() }
}

fn hook(dir: &Path, script: &str, timeout: Duration) -> Hook {
    let script = format!("cd {}; {script}", dir.display());
    Hook { command: ["sh", "-c", &script].map(Into::into).to_vec(), timeout }
}

fn call(event: HookEvent, count: u32) -> HookCall {
    let (line, cause) = ("pms".parse().unwrap(), "closed".to_owned());
    HookCall { event, line, epoch: Epoch::new(7, count), cause, coordinator: None }
}

/// Polls the runner until nothing runs or waits, and gives the gates that were decided.
async fn all(runner: &mut HookRunner) -> Vec<Gate> {
    let mut gates = Vec::new();
    tokio::time::timeout(LONG, async {
        loop {
            tokio::select! {
                biased;
                gate = runner.event() => gates.push(gate),
                () = tokio::time::sleep(Duration::from_millis(2)) => {
                    if !runner.is_busy() {
                        return;
                    }
                }
            }
        }
    })
    .await
    .expect("all hooks end in time");
    gates
}

fn journal(dir: &TempDir) -> Vec<String> {
    let text = fs::read_to_string(dir.path().join("journal")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn hooks_run_once_each_in_the_order_of_their_events() {
    let dir = tempfile::tempdir().unwrap();
    let tell = |name: &str, pause: &str| {
        let script = format!(
            "sleep {pause}; echo {name} $LINEKEEPER_EVENT $LINEKEEPER_NODE $LINEKEEPER_GROUP \
             $LINEKEEPER_LINE $LINEKEEPER_EPOCH $LINEKEEPER_CAUSE >> journal"
        );
        hook(dir.path(), &script, LONG)
    };
    let hooks = Hooks {
        before_serve: vec![tell("slow", "0.2"), tell("quick", "0")],
        after_serve: vec![tell("serve", "0.1")],
        after_stop: vec![tell("stop", "0")],
    };
    let mut runner = HookRunner::new(hooks, commands());
    for count in [1, 2] {
        runner.push(call(HookEvent::BeforeServe, count));
        runner.push(call(HookEvent::AfterServe, count));
        runner.push(call(HookEvent::AfterStop, count));
    }
    let gates = all(&mut runner).await;
    let passed: Vec<_> = gates.iter().map(|gate| (gate.epoch, gate.passed)).collect();
    assert_eq!(passed, [(Epoch::new(7, 1), true), (Epoch::new(7, 2), true)]);
    let expected: Vec<String> = (1..=2)
        .flat_map(|count| {
            let epoch = Epoch::new(7, count).0;
            [
                ("slow", "before-serve"),
                ("quick", "before-serve"),
                ("serve", "after-serve"),
                ("stop", "after-stop"),
            ]
            .map(|(name, event)| format!("{name} {event} a test pms {epoch} closed"))
        })
        .collect();
    assert_eq!(journal(&dir), expected);
}

#[tokio::test]
async fn a_gate_closes_with_its_first_failure_and_what_comes_after_the_fact_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let [fails, tells] = ["exit 3", "echo told >> journal"].map(|s| hook(dir.path(), s, LONG));
    let hooks = Hooks {
        before_serve: vec![fails.clone(), tells.clone()],
        after_serve: vec![],
        after_stop: vec![fails, tells],
    };
    let mut runner = HookRunner::new(hooks, commands());
    runner.push(call(HookEvent::BeforeServe, 1));
    assert!(!all(&mut runner).await[0].passed);
    assert_eq!(journal(&dir), [""; 0]);
    runner.push(call(HookEvent::AfterStop, 1));
    assert_eq!(all(&mut runner).await, []);
    assert_eq!(journal(&dir), ["told"]);
}

#[tokio::test]
async fn a_hook_that_is_not_there_closes_its_gate_and_none_opens_it() {
    let missing = Hook { command: vec!["/no/such/hook".into()], timeout: LONG };
    let hooks = Hooks { before_serve: vec![missing], ..Hooks::default() };
    let mut runner = HookRunner::new(hooks, commands());
    runner.push(call(HookEvent::BeforeServe, 1));
    runner.push(call(HookEvent::AfterStop, 1));
    assert!(!runner.event().await.passed);
    runner.set_hooks(Hooks::default());
    runner.push(call(HookEvent::BeforeServe, 2));
    assert!(runner.event().await.passed);
}

#[tokio::test]
async fn a_hook_that_takes_too_long_is_killed_with_all_that_it_has_started() {
    let dir = tempfile::tempdir().unwrap();
    let script = "setsid sleep 1000 & echo $! >> journal; trap '' TERM; sleep 1000";
    let timeout = Duration::from_secs(1);
    let hooks = Hooks { before_serve: vec![hook(dir.path(), script, timeout)], ..Hooks::default() };
    let mut runner = HookRunner::new(hooks, commands());
    let at = boottime();
    runner.push(call(HookEvent::BeforeServe, 1));
    assert!(!all(&mut runner).await[0].passed);
    let took = boottime() - at;
    assert!(took >= timeout && took < timeout + BUSY, "{took:?}");
    let child: u32 = journal(&dir)[0].parse().unwrap();
    assert!(!runs(child));
}

#[tokio::test]
async fn a_lost_lease_kills_the_gate_and_what_has_begun_after_it_waits_for_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let slow = "sleep 1000 & echo $! >> journal; wait";
    let hooks = Hooks {
        before_serve: vec![hook(dir.path(), slow, LONG)],
        after_stop: vec![hook(dir.path(), "echo stop >> journal", LONG)],
        ..Hooks::default()
    };
    let mut runner = HookRunner::new(hooks, commands());
    runner.push(call(HookEvent::BeforeServe, 1));
    let started = async {
        while journal(&dir).is_empty() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::select! {
        gate = runner.event() => panic!("{gate:?} before its time"),
        () = started => {}
    }
    let child: u32 = journal(&dir)[0].parse().unwrap();
    runner.kill_gate(&"pms".parse().unwrap());
    runner.push(call(HookEvent::AfterStop, 1));
    assert_eq!(all(&mut runner).await, [], "nobody waits for it any more");
    assert!(!runs(child));
    assert_eq!(journal(&dir)[1..], ["stop"]);
}

#[tokio::test]
async fn of_too_many_events_the_oldest_are_dropped_but_no_gate() {
    let dir = tempfile::tempdir().unwrap();
    let tell = |event: &str| {
        vec![hook(dir.path(), &format!("echo {event} $LINEKEEPER_EPOCH >> journal"), LONG)]
    };
    let hooks =
        Hooks { before_serve: tell("before"), after_stop: tell("stop"), ..Hooks::default() };
    let mut runner = HookRunner::new(hooks, commands());
    runner.push(call(HookEvent::BeforeServe, 0));
    for count in 1..=70 {
        runner.push(call(HookEvent::AfterStop, count));
    }
    assert_eq!(all(&mut runner).await.len(), 1);
    let told = journal(&dir);
    assert_eq!(told.len(), 64);
    assert_eq!(told[0], format!("before {}", Epoch::new(7, 0).0));
    assert_eq!(told[1], format!("stop {}", Epoch::new(7, 8).0));
    assert_eq!(told[63], format!("stop {}", Epoch::new(7, 70).0));
}

/// The script of docs/payload.md, with tools that only write down what they were told.
#[tokio::test]
async fn the_address_of_the_manual_comes_before_the_payload_and_goes_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let manual = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/payload.md"));
    let manual = manual.unwrap();
    let script = manual.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    fs::write(dir.path().join("move-address"), script).unwrap();
    for tool in ["ip", "arping"] {
        let path = dir.path().join(tool);
        fs::write(&path, "#!/bin/sh\necho ${0##*/} \"$@\" >> journal\n").unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    }
    let moves = "PATH=$PWD:$PATH sh -eu ./move-address eth0 10.0.0.9/24";
    let hooks = Hooks {
        before_serve: vec![hook(dir.path(), moves, LONG)],
        after_serve: vec![],
        after_stop: vec![hook(dir.path(), moves, LONG)],
    };
    let mut runner = HookRunner::new(hooks, commands());
    runner.push(call(HookEvent::BeforeServe, 1));
    runner.push(call(HookEvent::AfterStop, 1));
    assert!(all(&mut runner).await[0].passed);
    let expected = [
        "ip address replace 10.0.0.9/24 dev eth0",
        "arping -q -U -c 2 -I eth0 10.0.0.9",
        "ip address del 10.0.0.9/24 dev eth0",
    ];
    assert_eq!(journal(&dir), expected);
}

fn check(dir: &Path, script: &str, standby: bool) -> Check {
    Check {
        command: hook(dir, script, LONG).command,
        interval: Duration::from_millis(20),
        timeout: LONG,
        failures: 3,
        standby,
    }
}

#[tokio::test]
async fn so_many_failures_in_a_row_make_a_coordinator_unfit_and_one_success_fit() {
    let dir = tempfile::tempdir().unwrap();
    // Two failures, a success, then failures until the file `well` is there.
    let script = "echo $LINEKEEPER_ROLE >> journal; [ -e well ] || [ $(wc -l < journal) = 3 ]";
    let mut checker = Checker::new(Some(check(dir.path(), script, false)), commands()).unwrap();
    let quiet = tokio::time::timeout(Duration::from_millis(100), checker.event()).await;
    assert!(quiet.is_err() && journal(&dir).is_empty(), "a standby is not asked");
    checker.set_coordinator(true);
    let fit = tokio::time::timeout(LONG, checker.event()).await.unwrap();
    assert!(!fit);
    assert_eq!(journal(&dir), ["coordinator"; 6], "two, one that succeeds, and three in a row");
    fs::write(dir.path().join("well"), "").unwrap();
    assert!(tokio::time::timeout(LONG, checker.event()).await.unwrap());
}

#[tokio::test]
async fn a_check_that_hangs_has_failed_and_one_that_is_no_longer_asked_judges_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut slow = check(dir.path(), "echo $$ >> journal; sleep 1000", false);
    // It begins with its start: a busy machine needs a part of it.
    slow.timeout = Duration::from_secs(1);
    let mut checker = Checker::new(Some(slow), commands()).unwrap();
    checker.set_coordinator(true);
    assert!(!tokio::time::timeout(LONG, checker.event()).await.unwrap());
    let pids: Vec<u32> = journal(&dir).iter().map(|pid| pid.parse().unwrap()).collect();
    assert!(pids.len() == 3 && !pids.iter().any(|pid| runs(*pid)));
    checker.set_coordinator(false);
    assert!(tokio::time::timeout(LONG, checker.event()).await.unwrap());
}

#[tokio::test]
async fn a_check_for_standbys_runs_there_too() {
    let dir = tempfile::tempdir().unwrap();
    let script = "echo $LINEKEEPER_ROLE >> journal; exit 1";
    let mut checker = Checker::new(Some(check(dir.path(), script, true)), commands()).unwrap();
    assert!(!tokio::time::timeout(LONG, checker.event()).await.unwrap());
    assert_eq!(journal(&dir), ["standby"; 3]);
}

/// The node of the next story: it runs a hook and a check for ever.
#[test]
fn commands_body() {
    let Ok(dir) = std::env::var("COMMANDS_TEST") else { return };
    let dir = Path::new(&dir);
    let family = "(setsid sleep 1000 &); setsid sleep 1000 & sleep 1000 & wait";
    let hooks = Hooks { before_serve: vec![hook(dir, family, LONG)], ..Hooks::default() };
    let mut long = check(dir, family, true);
    long.timeout = LONG;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut runner = HookRunner::new(hooks, commands());
        let mut checker = Checker::new(Some(long), commands()).unwrap();
        runner.push(call(HookEvent::BeforeServe, 1));
        tokio::select! { _ = runner.event() => {}, _ = checker.event() => {} }
    });
}

#[test]
fn i7_a_killed_node_leaves_nothing_of_its_hooks_and_checks_behind() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "commands::commands_body", "--test-threads=1"]);
    command.env("COMMANDS_TEST", dir.path()).stdout(Stdio::null());
    let node = Kept::spawn(&mut command);
    // For each a guard, a shell and three sleeps.
    let all = family(node.0.id(), 10);
    assert_eq!(descendants(node.0.id()).len(), 10);
    let at = boottime();
    signal(&node.0, Signal::KILL);
    let took = until_so("their end", || !all.iter().any(|pid| runs(*pid))) - at;
    assert!(took < Duration::from_millis(50) + BUSY, "{took:?}");
}
