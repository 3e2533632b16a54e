//! Payloads that know plain bytes only, over pipes and over a terminal.

use std::fs;
use std::process::Command;
use std::time::Duration;

use clap::Parser;
use failover_node::cli::Cli;
use failover_node::component::{Bridge, Door, Exec, ExecMode, PayloadOptions, Stream};
use failover_node::driver::{Hook, Hooks};
use sys::boottime;
use sys::process::Signal;
use tempfile::TempDir;
use wire::{Ack, Frame, Output};

use crate::line::{Line, Seen};
use crate::node::{LEASE, Node, place};
use crate::support::{
    BUSY, FAMILY, FAMILY_SIZE, LONG, PROGRAM, ended, family, pause, runs, signal, until_so,
};

/// The node of these stories: a process that runs the library with a payload of any kind.
#[test]
fn node_body() {
    let Ok(arguments) = std::env::var("NODE_BODY_ARGUMENTS") else { return };
    let kind = std::env::var("NODE_BODY_KIND").unwrap();
    let arguments = ["failover-node"].into_iter().chain(arguments.lines());
    let run = Cli::try_parse_from(arguments).unwrap().run;
    daemon::logs::init(run.log_format.unwrap_or_default(), None).unwrap();
    let mut options = run.config().unwrap().options;
    options.lines[0].payload = Some(payload(&kind));
    if let Ok(script) = std::env::var("NODE_BODY_HOOKS") {
        let hook = || {
            let command = ["sh", "-c", &script].map(Into::into).to_vec();
            vec![Hook { command, timeout: LONG }]
        };
        let (before_serve, after_serve, after_stop) = (hook(), hook(), hook());
        options.hooks = Hooks { before_serve, after_serve, after_stop };
    }
    sys::process::become_subreaper().unwrap();
    let service = async |shutdown| {
        let ended = failover_node::run(options, shutdown).await;
        ended.map_err(|error| daemon::Failure::new((&error).into(), error.to_string()))
    };
    daemon::program::serve(service, "the lease ends by itself").unwrap();
}

/// `stream SCRIPT`, `pty SCRIPT`, `tcp ADDRESS`, `unix PATH`, `link PATH`.
fn payload(kind: &str) -> PayloadOptions {
    let (kind, rest) = kind.split_once(' ').unwrap();
    let stream = Stream { gap: Duration::from_millis(20) };
    let door = match kind {
        "tcp" => Door::Tcp(rest.parse().unwrap()),
        "unix" => Door::Unix(rest.into()),
        "link" => Door::Pty(rest.into()),
        _ => {
            let mut exec = Exec::new("sh".into(), vec!["-c".into(), rest.into()]);
            exec.guard = PROGRAM.into();
            exec.mode = match kind {
                "stream" => ExecMode::Stream(stream),
                _ => ExecMode::Pty(stream),
            };
            return PayloadOptions::Exec(exec);
        }
    };
    PayloadOptions::Bridge(Bridge { door, stream })
}

/// Starts a node with a payload as [`payload`] reads it.
pub(crate) fn start(dir: TempDir, line: &Line, kind: &str, flags: &[&str]) -> Node {
    start_with_hooks(dir, line, kind, flags, None)
}

/// The same with one hook for all events.
fn start_with_hooks(
    dir: TempDir,
    line: &Line,
    kind: &str,
    flags: &[&str],
    hook: Option<&str>,
) -> Node {
    let none = ["--", "none"];
    Node::start_by(dir, &line.address.to_string(), &[flags, &none].concat(), |arguments| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "streams::node_body", "--test-threads=1"]);
        command.env("NODE_BODY_ARGUMENTS", arguments.join("\n")).env("NODE_BODY_KIND", kind);
        hook.inspect(|hook| {
            command.env("NODE_BODY_HOOKS", hook);
        });
        command
    })
}

pub(crate) fn ack(offset: u64) -> Seen {
    Seen::Frame(Frame::Ack(Ack { offset, note: None }))
}

pub(crate) fn output(position: u64, text: &'static str) -> Seen {
    let bytes = text.into();
    Seen::Frame(Frame::Output(Output { position, ack: None, note: None, bytes }))
}

#[test]
fn a_program_of_plain_bytes_gets_input_and_is_heard() {
    let (dir, key) = place();
    let line = Line::start(key, b"input");
    let script = "head -c 5 > got; echo $LINEKEEPER_LINE; sleep 0.2; printf two; exec sleep 1000";
    let mut node = start(dir, &line, &format!("stream {script}"), &[]);
    assert_eq!(line.seen(), Seen::Granted);
    assert_eq!(line.seen(), ack(5));
    assert_eq!(line.seen(), output(0, "pms\n"));
    assert_eq!(line.seen(), output(4, "two"), "a pause ends a record");
    assert_eq!(fs::read_to_string(node.path("got")).unwrap(), "input");
    for word in ["serving", "first-input"] {
        assert_eq!(node.says(word)["epoch"], "7.1", "{word}");
    }
    signal(&node.process.0, Signal::TERM);
    assert_eq!(line.seen(), Seen::Frame(Frame::Release(None)));
    assert!(ended(&mut node.process.0).success());
    let account = node.says("stream-ended");
    assert_eq!((&account["taken"], &account["said"]), (&5.into(), &7.into()));
    assert_eq!(account["unprocessed"], 0);
}

#[test]
fn what_a_program_has_not_read_when_it_ended_is_counted() {
    let (dir, key) = place();
    let line = Line::start(key, b"input");
    let node = start(dir, &line, "stream head -c 2 > /dev/null; sleep 0.3; echo last; exit 7", &[]);
    assert_eq!(line.seen(), Seen::Granted);
    assert_eq!(line.seen(), ack(5));
    assert_eq!(line.seen(), output(0, "last\n"), "what it said last is not lost");
    assert_eq!(line.seen(), Seen::Frame(Frame::Release(Some("a".parse().unwrap()))));
    assert_eq!(node.says("payload-gone")["status"], "exit status: 7");
    let account = node.says("stream-ended");
    assert_eq!((&account["taken"], &account["unprocessed"]), (&5.into(), &3.into()));
}

#[test]
fn a_stop_counts_what_was_not_read_too() {
    let (dir, key) = place();
    let line = Line::start(key, b"input");
    let script = "stream trap 'exit 0' TERM; touch up; while :; do sleep 0.01; done";
    let node = start(dir, &line, script, &[]);
    assert_eq!(line.seen(), Seen::Granted);
    assert_eq!(line.seen(), ack(5));
    until_so("the trap", || node.path("up").exists());
    signal(&node.process.0, Signal::TERM);
    assert_eq!(line.seen(), Seen::Frame(Frame::Release(None)));
    assert_eq!(node.says("stream-ended")["unprocessed"], 5);
}

#[test]
fn a_program_that_says_more_than_the_line_takes_waits() {
    let (dir, key) = place();
    // This line never says that it has written anything.
    let line = Line::start(key, b"");
    let node = start(dir, &line, "stream yes | head -c 100000; touch done; sleep 1000", &[]);
    assert_eq!(line.seen(), Seen::Granted);
    let mut said = 0;
    while said < wire::frame::OUTPUT_WINDOW {
        let seen = line.seen();
        let Seen::Frame(Frame::Output(output)) = seen else { panic!("{seen:?}") };
        assert_eq!(output.position, said);
        said += output.bytes.len() as u64;
    }
    assert_eq!(said, wire::frame::OUTPUT_WINDOW);
    assert_eq!(line.seen_within(Duration::from_millis(300)), []);
    assert!(!node.path("done").exists());
}

#[test]
fn standard_error_goes_into_the_log_line_by_line_and_a_flood_is_cut() {
    let (dir, key) = place();
    let line = Line::start(key, b"");
    let script = "stream echo 'first \"quoted\"' >&2; yes no | head -n 5000 >&2; sleep 1.2; \
                  echo last >&2; exec sleep 1000";
    let node = start(dir, &line, script, &[]);
    let lines = |text: &str| {
        let said = node.events().into_iter().filter(|e| e["message"] == "payload-stderr");
        said.filter(|event| event["text"] == text && event["line"] == "pms").count()
    };
    until_so("the last line", || lines("last") == 1);
    assert_eq!(lines("first \"quoted\""), 1);
    let (kept, dropped) = (lines("no"), node.says("payload-stderr-dropped"));
    assert!(kept < 1000, "{kept} kept");
    let dropped: u64 = node
        .events()
        .iter()
        .filter(|event| event["message"] == "payload-stderr-dropped")
        .map(|event| event["lines"].as_u64().unwrap())
        .sum::<u64>()
        .max(dropped["lines"].as_u64().unwrap());
    assert_eq!(kept as u64 + dropped, 5000);
}

#[test]
fn a_program_on_a_terminal_has_it_raw_and_is_controlled_by_it() {
    let (dir, key) = place();
    let line = Line::start(key, b"in\r\x03\x04t");
    let script = "[ -t 0 ] && [ -t 1 ] && : < /dev/tty && ps -o sess= -p $$ > session; echo $$ > pid; \
                  head -c 6 > got; echo ok; exec sleep 1000";
    let node = start(dir, &line, &format!("pty {script}"), &[]);
    assert_eq!(line.seen(), Seen::Granted);
    assert_eq!(line.seen(), ack(6));
    assert_eq!(line.seen(), output(0, "ok\n"), "no echo, no carriage return");
    assert_eq!(fs::read(node.path("got")).unwrap(), b"in\r\x03\x04t");
    let [session, pid] =
        ["session", "pid"].map(|file| fs::read_to_string(node.path(file)).unwrap());
    assert_eq!(session.trim(), pid.trim(), "it leads a session, with a terminal of its own");
}

#[test]
fn i7_on_a_terminal_too_nobody_is_left_behind() {
    for (blow, lease) in [(Signal::KILL, Duration::ZERO), (Signal::STOP, LEASE)] {
        let (dir, key) = place();
        let line = Line::start(key, b"");
        // Deaf to the hang-up, which is not what ends it.
        let node = start(dir, &line, &format!("pty trap '' HUP; {FAMILY}"), &[]);
        assert_eq!(line.seen(), Seen::Granted);
        let family = family(node.pid(), FAMILY_SIZE + 1);
        let at = boottime();
        signal(&node.process.0, blow);
        let left = |pid: &u32| runs(*pid) && crate::support::command_of(*pid) != "failover-guard";
        let took = until_so("their end", || !family.iter().any(left)) - at;
        assert!(took < lease + Duration::from_millis(50) + BUSY, "{took:?}");
    }
}

#[test]
fn a_program_that_closes_its_terminal_by_ending_is_started_again() {
    let (dir, key) = place();
    let line = Line::start(key, b"");
    let node = start(dir, &line, "pty echo bye; exit 9", &[]);
    assert_eq!(line.seen(), Seen::Granted);
    assert_eq!(line.seen(), output(0, "bye\n"));
    assert_eq!(line.seen(), Seen::Frame(Frame::Release(Some("a".parse().unwrap()))));
    assert_eq!(node.says("payload-gone")["status"], "exit status: 9");
    assert_eq!(line.seen(), Seen::Closed);
    assert_eq!(line.seen(), Seen::Granted);
    pause(Duration::from_millis(1));
}

#[test]
fn hooks_enclose_the_payload_and_input_waits_for_the_gate() {
    let (dir, key) = place();
    let line = Line::start(key, b"input");
    let hook = "[ $LINEKEEPER_EVENT != before-serve ] || sleep 0.3; \
                echo $LINEKEEPER_EVENT $LINEKEEPER_EPOCH >> journal; echo said";
    let payload = "stream head -c 5 > got; echo payload >> journal; exec sleep 1000";
    let mut node = start_with_hooks(dir, &line, payload, &[], Some(hook));
    assert_eq!(line.seen(), Seen::Granted);
    assert_eq!(line.seen(), ack(5));
    let journal = || fs::read_to_string(node.path("journal")).unwrap_or_default();
    until_so("both", || journal().lines().count() == 3);
    assert_eq!(fs::read_to_string(node.path("got")).unwrap(), "input");
    signal(&node.process.0, Signal::TERM);
    assert!(ended(&mut node.process.0).success());
    let journal = fs::read_to_string(node.path("journal")).unwrap();
    let epoch = wire::Epoch::new(7, 1).0;
    let event = |event: &str| format!("{event} {epoch}");
    let mut lines: Vec<&str> = journal.lines().collect();
    assert_eq!(
        (lines.remove(0), lines.pop()),
        (&*event("before-serve"), Some(&*event("after-stop")))
    );
    // These two begin together.
    lines.sort_unstable();
    assert_eq!(lines, [&*event("after-serve"), "payload"]);
    assert_eq!(node.says("hook-output")["text"], "said");
}

#[test]
fn a_gate_that_fails_gives_the_line_back_and_no_payload_runs() {
    let (dir, key) = place();
    let line = Line::start(key, b"");
    let payload = "stream touch ran; exec sleep 1000";
    let node = start_with_hooks(dir, &line, payload, &[], Some("exit 3"));
    assert_eq!(line.seen(), Seen::Granted);
    assert!(matches!(line.seen(), Seen::Frame(Frame::Release(_))));
    assert_eq!(node.says("hook-failed")["why"], "exit status: 3");
    assert_eq!(node.says("resigning")["cause"], "gate-failed");
    assert!(!node.path("ran").exists());
}

#[test]
fn i7_a_killed_node_leaves_nothing_of_its_hook_behind() {
    let (dir, key) = place();
    let line = Line::start(key, b"");
    let node = start_with_hooks(dir, &line, "stream exec sleep 1000", &[], Some(FAMILY));
    assert_eq!(line.seen(), Seen::Granted);
    // The instance's guard, and the hook's with its family; the payload waits.
    let family = family(node.pid(), FAMILY_SIZE + 2);
    signal(&node.process.0, Signal::KILL);
    until_so("their end", || !family.iter().any(|pid| runs(*pid)));
}
