//! Whole nodes before a line: they become coordinator, run their payload, and let go of it.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use serde_json::Value;
use sys::boottime;
use sys::process::{Signal, descendants};
use tempfile::TempDir;
use tokio_util::codec::Decoder;
use wire::{Ack, Epoch, Frame, FrameCodec, Key, Output as LineOutput};

use crate::line::{Line, Seen};
use crate::support::{
    BUSY, FAMILY, FAMILY_SIZE, Kept, PROGRAM, command_of, ended, family, runs, signal, until,
    until_so, write_key,
};

/// The lease of the profile that these nodes run with.
pub(crate) const LEASE: Duration = Duration::from_millis(400);

/// One node, its files, and its multicast group.
pub(crate) struct Node {
    pub(crate) process: Kept,
    pub(crate) group: SocketAddrV4,
    pub(crate) status: PathBuf,
    log: PathBuf,
    dir: TempDir,
}

/// A directory with a key in it, and the key.
pub(crate) fn place() -> (TempDir, Key) {
    let dir = tempfile::tempdir().unwrap();
    let key = write_key(&dir.path().join("key"));
    (dir, key)
}

/// A multicast group of a story's own: the port is one that the system just gave away as free.
pub(crate) fn free_group() -> SocketAddrV4 {
    let free = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    SocketAddrV4::new(Ipv4Addr::new(239, 255, 79, 1), free.port())
}

impl Node {
    /// Starts node `a`; `payload` is a shell script that runs in the node's directory.
    pub(crate) fn start(dir: TempDir, terminal_server: &str, payload: &str) -> Self {
        Self::start_with(dir, terminal_server, payload, &[])
    }

    pub(crate) fn start_with(
        dir: TempDir,
        terminal_server: &str,
        payload: &str,
        flags: &[&str],
    ) -> Self {
        let own = ["--", "sh", "-c", payload];
        Self::start_by(dir, terminal_server, &[flags, &own].concat(), |arguments| {
            let mut command = Command::new(PROGRAM);
            command.args(arguments);
            command
        })
    }

    /// `command` makes the process of the arguments.
    pub(crate) fn start_by(
        dir: TempDir,
        terminal_server: &str,
        flags: &[&str],
        command: impl FnOnce(&[String]) -> Command,
    ) -> Self {
        let (status, log) = (dir.path().join("status"), dir.path().join("log"));
        let group = free_group();
        let (group_text, status_text) = (group.to_string(), status.display().to_string());
        let mut arguments = vec!["--group", "test", "--node", "a", "--line", "pms"];
        arguments.extend(["--key-file", "key", "--interface", "127.0.0.1"]);
        arguments.extend(["--multicast", &group_text, "--terminal-server", terminal_server]);
        arguments.extend(["--status", &status_text, "--log-format", "json"]);
        arguments.extend(flags);
        let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
        let mut command = command(&arguments);
        command
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap());
        let process = Kept::spawn(&mut command);
        until_so("the status socket", || status.exists());
        Self { process, group, status, log, dir }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.0.id()
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    /// The words of its log, in order.
    fn words(&self) -> Vec<String> {
        self.events().into_iter().map(|fields| fields["message"].as_str().unwrap().into()).collect()
    }

    /// The fields of its log's lines, in order.
    pub(crate) fn events(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.log).unwrap();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.map(|line| line["fields"].clone()).collect()
    }

    /// Waits for a word of its log, and gives its fields.
    pub(crate) fn says(&self, word: &str) -> Value {
        until(word, || self.events().into_iter().find(|fields| fields["message"] == word)).0
    }

    /// Runs a subcommand against it.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).arg("--status").arg(&self.status).output().unwrap()
    }

    pub(crate) fn report(&self) -> Value {
        serde_json::from_slice(&self.ask(&["status", "--json"]).stdout).unwrap()
    }
}

fn frames_of(path: &Path) -> Vec<Frame> {
    let mut bytes = BytesMut::from(&fs::read(path).unwrap_or_default()[..]);
    let mut frames = Vec::new();
    while let Some(frame) = FrameCodec.decode(&mut bytes).unwrap() {
        frames.push(frame);
    }
    frames
}

/// What a payload says in a story: it acknowledges the first two bytes and answers.
fn sayings() -> [Frame; 2] {
    let output = LineOutput {
        position: 0,
        ack: Some(5),
        note: Some(Bytes::from_static(b"note")),
        bytes: Bytes::from_static(b"answer"),
    };
    [Frame::Ack(Ack { offset: 2, note: None }), Frame::Output(output)]
}

fn write_sayings(path: &Path) {
    let mut bytes = BytesMut::new();
    sayings().iter().for_each(|frame| frame.encode(&mut bytes));
    fs::write(path, bytes).unwrap();
}

/// The guard and the payload's family of a coordinator that runs [`FAMILY`].
fn coordinator(line: &Line, node: &Node) -> (u32, Vec<u32>) {
    assert_eq!(line.seen(), Seen::Granted);
    let mut all = family(node.pid(), FAMILY_SIZE + 1);
    let guards = |pid: &u32| command_of(*pid) == "failover-guard";
    let guard = all.remove(all.iter().position(guards).unwrap());
    (guard, all)
}

#[test]
fn i7_a_killed_coordinator_leaves_nobody_behind() {
    let (dir, key) = place();
    let line = Line::start(key, b"");
    let node = Node::start(dir, &line.address.to_string(), FAMILY);
    let (guard, family) = coordinator(&line, &node);
    assert_eq!(node.ask(&["status"]).status.code(), Some(0));
    let at = boottime();
    signal(&node.process.0, Signal::KILL);
    // The guard holds no copy of the connection that would delay this.
    assert_eq!(line.seen(), Seen::Closed);
    let took = until_so("their end", || !family.iter().any(|pid| runs(*pid))) - at;
    assert!(took < Duration::from_millis(50) + BUSY, "{took:?}");
    until_so("the guard's end", || !runs(guard));
}

#[test]
fn i7_a_stopped_coordinator_leaves_nobody_behind_after_lease_and_50_ms() {
    let (dir, key) = place();
    let line = Line::start(key, b"");
    let node = Node::start(dir, &line.address.to_string(), FAMILY);
    let (_guard, family) = coordinator(&line, &node);
    let at = boottime();
    signal(&node.process.0, Signal::STOP);
    let took = until_so("their end", || !family.iter().any(|pid| runs(*pid))) - at;
    assert!(took < LEASE + Duration::from_millis(50) + BUSY, "{took:?}");
    // When it wakes up it has written nothing and begins anew.
    signal(&node.process.0, Signal::CONT);
    assert_eq!(node.says("lost")["end"], "lease");
    assert_eq!(line.seen(), Seen::Closed);
    assert_eq!(line.seen(), Seen::Granted);
}

#[test]
fn i7_a_killed_guard_leaves_nobody_behind() {
    let (dir, key) = place();
    let line = Line::start(key, b"");
    let node = Node::start(dir, &line.address.to_string(), FAMILY);
    let (guard, family) = coordinator(&line, &node);
    sys::process::kill_group(guard, Signal::KILL).unwrap();
    // RELEASE is sent only when all of them are gone, those in other sessions, too.
    assert_eq!(line.seen(), Seen::Frame(Frame::Release(Some("a".parse().unwrap()))));
    assert!(!family.iter().any(|pid| runs(*pid)));
    node.says("guard-died");
}

#[test]
fn a_stop_ends_the_payload_then_gives_the_line_back() {
    let (dir, key) = place();
    let line = Line::start(key, b"");
    let payload = "trap 'echo bye > bye; exit 0' TERM; sleep 1000 & wait";
    let mut node = Node::start(dir, &line.address.to_string(), payload);
    assert_eq!(line.seen(), Seen::Granted);
    family(node.pid(), 3);
    signal(&node.process.0, Signal::TERM);
    assert_eq!(line.seen(), Seen::Frame(Frame::Release(None)), "nobody else is heard");
    assert_eq!(ended(&mut node.process.0).code(), Some(0));
    assert!(node.path("bye").exists(), "it was asked, and had the time");
    assert!(!node.status.exists());
    let mut words = node.words();
    let order = [
        "ready",
        "claiming",
        "granted",
        "serving",
        "stopping",
        "resigning",
        "payload-gone",
        "released",
        "instance-gone",
        "stopped",
    ];
    words.retain(|word| order.contains(&word.as_str()));
    assert_eq!(words, order);
}

#[test]
fn a_payload_gets_the_grant_then_input_and_is_heard() {
    let (dir, key) = place();
    let line = Line::start(key, b"input");
    write_sayings(&dir.path().join("sayings"));
    let payload = "cat sayings; cat > got";
    let mut node = Node::start(dir, &line.address.to_string(), payload);
    assert_eq!(line.seen(), Seen::Granted);
    for frame in sayings() {
        assert_eq!(line.seen(), Seen::Frame(frame));
    }
    let got = node.path("got");
    until_so("the input", || frames_of(&got).len() == 2);
    let frames = frames_of(&got);
    let [Frame::Grant(grant), Frame::Input(input)] = &frames[..] else { panic!("{frames:?}") };
    assert_eq!((grant.epoch, grant.mac), (Epoch::new(7, 1), [0; 32]));
    assert_eq!(input.bytes, "input");
    for word in ["granted", "serving", "first-input"] {
        assert_eq!(node.says(word)["epoch"], "7.1", "{word}");
    }
    signal(&node.process.0, Signal::TERM);
    assert!(ended(&mut node.process.0).success());
}

#[test]
fn nothing_that_a_payload_has_sent_before_its_end_is_lost() {
    let (dir, key) = place();
    let line = Line::start(key, b"");
    write_sayings(&dir.path().join("sayings"));
    let node = Node::start(dir, &line.address.to_string(), "cat sayings; exit 9");
    assert_eq!(line.seen(), Seen::Granted);
    for frame in sayings() {
        assert_eq!(line.seen(), Seen::Frame(frame));
    }
    // It is started again under a new grant, kept for this node.
    assert_eq!(line.seen(), Seen::Frame(Frame::Release(Some("a".parse().unwrap()))));
    assert_eq!(line.seen(), Seen::Closed);
    assert_eq!(line.seen(), Seen::Granted);
    assert_eq!(node.says("payload-gone")["status"], "exit status: 9");
    assert_eq!(node.says("resigning")["cause"], "payload-crashed");
}

#[test]
fn a_payload_that_talks_nonsense_loses_the_line() {
    let (dir, key) = place();
    let line = Line::start(key, b"");
    let payload = "[ -e once ] || printf '\\377\\377nonsense'; touch once; sleep 1000";
    let node = Node::start(dir, &line.address.to_string(), payload);
    assert_eq!(line.seen(), Seen::Granted);
    assert_eq!(line.seen(), Seen::Frame(Frame::Release(Some("a".parse().unwrap()))));
    node.says("bad-payload");
    assert_eq!(node.says("resigning")["cause"], "bad-payload");
}

#[test]
fn a_payload_that_is_not_there_is_named() {
    let (dir, key) = place();
    let line = Line::start(key, b"");
    let node = Node::start(dir, &line.address.to_string(), "exec /no/such/program");
    assert_eq!(line.seen(), Seen::Granted);
    assert_eq!(node.says("payload-gone")["status"], "exit status: 127");
}

#[test]
fn a_second_signal_does_not_wait() {
    let (dir, key) = place();
    let line = Line::start(key, b"");
    let payload = "trap '' TERM; touch deaf; while :; do sleep 1000; done";
    let mut node = Node::start(dir, &line.address.to_string(), payload);
    until_so("deafness", || node.path("deaf").exists());
    let all = descendants(node.pid());
    signal(&node.process.0, Signal::TERM);
    node.says("resigning");
    signal(&node.process.0, Signal::TERM);
    assert_eq!(ended(&mut node.process.0).code(), Some(75));
    until_so("their end", || !all.iter().any(|pid| runs(*pid)));
}

#[test]
fn an_operator_is_told_why_there_is_no_hand_over() {
    let (dir, key) = place();
    let line = Line::start(key, b"");
    let node = Node::start(dir, &line.address.to_string(), "exec sleep 1000");
    assert_eq!(line.seen(), Seen::Granted);
    for (arguments, words) in [
        (&["handover"][..], "no other node is heard"),
        (&["handover", "--to", "b"][..], "node b is not heard"),
    ] {
        let output = node.ask(arguments);
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(words), "{said}");
    }
    assert_eq!(node.report()["role"], "coordinator");
}
