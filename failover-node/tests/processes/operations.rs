//! What an operator does with a running node: new settings, maintenance, questions, the journal.

use std::fs::{self, File};
use std::io::Write;
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use sys::boottime;
use sys::process::Signal;
use tempfile::TempDir;

use crate::line::{Line, Seen};
use crate::node::{free_group, place};
use crate::support::{Kept, LONG, PROGRAM, ended, pause, signal, until_so};

/// A node with a file.
struct Configured {
    process: Kept,
    dir: TempDir,
    text: String,
}

/// The file of node `a`, in a directory with a key.
fn file(dir: &TempDir, line: &Line, peer: &UdpSocket) -> String {
    let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (at, group, peer) = (dir.path().display(), free_group(), peer.local_addr().unwrap());
    let server = line.address;
    format!(
        r#"[node]
name = "a"
group = "test"
keys = {{ 0 = "{at}/key" }}
profile = "400/1800/2000"
status = "{at}/status"
events = "{at}/events"
priority = 100
[[network]]
interface = "127.0.0.1"
multicast = "{group}"
listen = "{free}"
peers = ["{peer}"]
[[line]]
name = "pms"
terminal_server = "{server}"
command = ["sh", "-c", "exec sleep 1000"]
"#
    )
}

fn peer() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    socket
}

impl Configured {
    fn start(dir: TempDir, text: String, manager: Option<&Path>) -> Self {
        let file = dir.path().join("node.toml");
        fs::write(&file, &text).unwrap();
        let mut command = Command::new(PROGRAM);
        command.arg("--config").arg(&file).args(["--log-format", "json"]);
        if let Some(manager) = manager {
            command.env("NOTIFY_SOCKET", manager);
        }
        let log = File::options().create(true).append(true).open(dir.path().join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let process = Kept::spawn(&mut command);
        let node = Self { process, dir, text };
        until_so("an answer", || node.ask(&["status"]).status.code().is_some_and(|code| code < 64));
        node
    }

    fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    fn ask(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).arg("--status").arg(self.path("status")).output().unwrap()
    }

    fn report(&self) -> Value {
        serde_json::from_slice(&self.ask(&["status", "--json"]).stdout).unwrap_or_default()
    }

    /// Only the node, not its guard.
    fn hang_up(&self, text: &str) {
        fs::write(self.path("node.toml"), text).unwrap();
        let pid = self.process.0.id().to_string();
        assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap()
    }

    fn journal(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path("events")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

/// The longest time between two datagrams while `work` goes on.
fn longest_gap(socket: UdpSocket, work: impl FnOnce()) -> Duration {
    let over = Arc::new(AtomicBool::new(false));
    let stop = over.clone();
    let watcher = thread::spawn(move || {
        let mut buffer = [0; 2048];
        socket.recv(&mut buffer).unwrap();
        let (mut last, mut longest) = (boottime(), Duration::ZERO);
        while !stop.load(Ordering::Relaxed) {
            socket.recv(&mut buffer).unwrap();
            let now = boottime();
            longest = longest.max(now - last);
            last = now;
        }
        longest
    });
    work();
    over.store(true, Ordering::Relaxed);
    watcher.join().unwrap()
}

#[test]
fn a_reload_changes_what_it_may_and_no_heartbeat_waits_for_it() {
    let (dir, key) = place();
    let (line, socket) = (Line::start(key, b""), peer());
    let text = file(&dir, &line, &socket);
    let node = Configured::start(dir, text, None);
    assert_eq!(line.seen(), Seen::Granted);
    let gap = longest_gap(socket, || {
        for priority in 1..=20 {
            let text = node.text.replace("priority = 100", &format!("priority = {priority}"));
            node.hang_up(&text);
            until_so("the new priority", || node.report()["priority"] == priority);
            pause(Duration::from_millis(50));
        }
    });
    assert!(gap < Duration::from_millis(800), "two heartbeats, but {gap:?}");
    let report = node.report();
    assert_eq!(
        (&report["role"], &report["counters"]["grants"]),
        (&"coordinator".into(), &1.into())
    );
    assert!(node.log().contains("\"changed\":\"priority\""), "{}", node.log());
}

#[test]
fn a_wrong_file_changes_nothing_and_the_service_manager_hears_why() {
    let (dir, key) = place();
    let (line, socket) = (Line::start(key, b""), peer());
    let text = file(&dir, &line, &socket);
    let manager = UnixDatagram::bind(dir.path().join("notify")).unwrap();
    manager.set_read_timeout(Some(LONG)).unwrap();
    let path = dir.path().join("notify");
    let node = Configured::start(dir, text, Some(&path));
    assert_eq!(line.seen(), Seen::Granted);
    let until_told = |words: &[&str]| {
        let mut buffer = [0; 4096];
        let mut words = words.iter().peekable();
        while let Some(word) = words.peek() {
            let n = manager.recv(&mut buffer).unwrap();
            if String::from_utf8_lossy(&buffer[..n]).contains(**word) {
                words.next();
            }
        }
    };
    let changed = node.text.replace("priority = 100", "priority = 7");
    // An error is told with its place.
    node.hang_up(&changed.replace("name = \"pms\"", "name = 3"));
    until_told(&[
        "RELOADING=1",
        "STATUS=the configuration was not taken, nothing changed",
        "READY=1",
    ]);
    let log = node.log();
    assert!(log.contains("node.toml:15:8: name: give a text in quotes"), "{log}");
    // What needs a restart is named, and the rest is not taken either.
    node.hang_up(&changed.replace("400/1800/2000", "standard").replace("\"test\"", "\"best\""));
    until_told(&["RELOADING=1", "STATUS=the configuration was not taken", "READY=1"]);
    for key in ["group", "profile"] {
        assert!(node.log().contains(&format!("{key} differs, which only a restart changes")));
    }
    assert_eq!(node.report()["priority"], 100);
    node.hang_up(&changed);
    until_told(&["RELOADING=1", "STATUS=coordinator of line pms", "READY=1"]);
    assert_eq!(node.report()["priority"], 7);
    assert_eq!(node.report()["counters"]["grants"], 1);
}

#[test]
fn a_payload_of_a_new_file_runs_from_its_next_start_on() {
    let (dir, key) = place();
    let (line, socket) = (Line::start(key, b""), peer());
    let text = file(&dir, &line, &socket);
    let node = Configured::start(dir, text, None);
    assert_eq!(line.seen(), Seen::Granted);
    let marker = node.path("new");
    let command = format!("touch {}; exec sleep 1000", marker.display());
    node.hang_up(&node.text.replace("exec sleep 1000", &command));
    until_so("the reload", || node.log().contains("\"changed\":\"payload\""));
    assert!(!marker.exists(), "what runs goes on");
    assert!(node.ask(&["maintenance", "on", "--force"]).status.success());
    until_so("standby", || node.report()["role"] == "standby");
    assert!(node.ask(&["maintenance", "off"]).status.success());
    until_so("the new payload", || marker.exists());
}

#[test]
fn maintenance_keeps_a_node_from_leading_and_why_not_says_so() {
    let (dir, key) = place();
    let (line, socket) = (Line::start(key, b""), peer());
    let text = file(&dir, &line, &socket);
    let node = Configured::start(dir, text, None);
    assert_eq!(line.seen(), Seen::Granted);
    let said = |output: &Output| String::from_utf8(output.stdout.clone()).unwrap();
    until_so("coordinator", || node.report()["role"] == "coordinator");
    let why_not = node.ask(&["why-not"]);
    assert_eq!((why_not.status.code(), &*said(&why_not)), (Some(0), "this node leads\n"));
    assert_eq!(said(&node.ask(&["maintenance"])), "not in maintenance\n");
    assert_eq!(node.ask(&["maintenance", "off", "--force"]).status.code(), Some(64));
    // Nobody else could take the line.
    let refused = node.ask(&["maintenance", "on"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert_eq!(node.report()["role"], "coordinator");
    let on = node.ask(&["maintenance", "on", "--for", "30m", "--force"]);
    assert!(said(&on).starts_with("in maintenance for another "), "{on:?}");
    until_so("standby", || node.report()["role"] == "standby");
    let why_not = node.ask(&["why-not", "--json"]);
    assert_eq!(why_not.status.code(), Some(3));
    let why: Value = serde_json::from_slice(&why_not.stdout).unwrap();
    assert_eq!((&why["leads"], &why["would"]), (&false.into(), &false.into()));
    assert_eq!(why["reasons"][0]["reason"], "maintenance");
    let why_not = node.ask(&["why-not"]);
    assert!(said(&why_not).contains("1. this node is in maintenance for another"), "{why_not:?}");
    assert_eq!(said(&node.ask(&["maintenance", "off"])), "not in maintenance\n");
    until_so("coordinator again", || node.report()["role"] == "coordinator");
    let open_ended = node.ask(&["maintenance", "on", "--until-off", "--force", "--json"]);
    let answer: Value = serde_json::from_slice(&open_ended.stdout).unwrap();
    assert_eq!((&answer["on"], &answer["left_ms"]), (&true.into(), &Value::Null));
}

#[test]
fn a_node_may_start_in_maintenance() {
    let (dir, key) = place();
    let (line, socket) = (Line::start(key, b""), peer());
    let text = file(&dir, &line, &socket).replace("priority", "maintenance = \"3s\"\npriority");
    let node = Configured::start(dir, text, None);
    assert_eq!(node.report()["maintenance"]["on"], true);
    assert_eq!(node.report()["counters"]["claims"], 0);
    until_so("the end of the maintenance", || node.report()["maintenance"]["on"] == false);
    assert_eq!(line.seen(), Seen::Granted);
}

#[test]
fn the_journal_outlives_a_kill_and_is_shown() {
    let (dir, key) = place();
    let (line, socket) = (Line::start(key, b""), peer());
    let text = file(&dir, &line, &socket);
    let mut node = Configured::start(dir, text, None);
    let leads = |node: &Configured, times: usize| {
        let count = node.journal().iter().filter(|c| c["to"] == "coordinator").count();
        count == times
    };
    until_so("the first record", || leads(&node, 1));
    signal(&node.process.0, Signal::KILL);
    ended(&mut node.process.0);
    // As a power cut leaves it.
    let mut text = fs::read(node.path("events")).unwrap();
    text.extend_from_slice(b"{\"time\":\"20");
    fs::write(node.path("events"), text).unwrap();
    let node = Configured::start(node.dir, node.text, None);
    until_so("the second record", || leads(&node, 2));
    let journal = node.journal();
    let to = |change: &Value| (change["from"].clone(), change["to"].clone());
    let (start, standby, candidate) = (Value::Null, "standby", "candidate");
    let life = [
        (start, standby.into()),
        (standby.into(), candidate.into()),
        (candidate.into(), "coordinator".into()),
    ];
    let roles: Vec<_> = journal.iter().map(to).collect();
    assert_eq!(roles, [life.clone(), life].concat(), "each once and in order");
    assert_ne!(journal[0]["boot"], journal[5]["boot"]);
    assert_eq!(journal[5]["cause"], "granted");
    let shown = node.ask(&["events", "-n", "2"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert_eq!(shown.lines().count(), 2, "{shown}");
    assert!(shown.contains("candidate -> coordinator, granted, epoch 7."), "{shown}");
    let by_file = Command::new(PROGRAM)
        .args(["events", "--json", "--file"])
        .arg(node.path("events"))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(by_file.stdout).unwrap().lines().count(), 6);
}

#[test]
fn a_watched_status_is_painted_in_place_until_q() {
    if Command::new("script").arg("--version").output().is_err() {
        assert!(std::env::var_os("LINEKEEPER_CI").is_none(), "script is needed");
        return eprintln!("skipped: needs script");
    }
    let (dir, key) = place();
    let (line, socket) = (Line::start(key, b""), peer());
    let text = file(&dir, &line, &socket);
    let node = Configured::start(dir, text, None);
    let watch = format!("{PROGRAM} status --watch 0.1 --status {}", node.path("status").display());
    let screen = node.path("screen");
    let mut command = Command::new("script");
    command.args(["-qec", &watch, "/dev/null"]).stdin(Stdio::piped());
    command.stdout(File::create(&screen).unwrap()).stderr(Stdio::null());
    let mut terminal = Kept::spawn(&mut command);
    let shown = || fs::read_to_string(&screen).unwrap();
    until_so("three pictures", || shown().matches("\x1b[Ha: ").count() >= 3);
    terminal.0.stdin.as_mut().unwrap().write_all(b"q").unwrap();
    assert!(ended(&mut terminal.0).success());
    let shown = shown();
    assert!(shown.starts_with("\x1b[?1049h") && shown.contains("\x1b[?1049l"), "{shown:?}");
    assert!(shown.contains("every 100ms, q ends it") && shown.contains("this node"), "{shown:?}");
}
