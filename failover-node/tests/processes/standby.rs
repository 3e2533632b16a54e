//! What a standby is: I7 seen from outside, and what strangers can do to it, which is nothing.

use std::collections::BTreeSet;
use std::fs;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use sys::DatagramSender;
use sys::process::{Signal, descendants};
use wire::{Beacon, Datagram, Epoch, Frame, Key, LineState, LineStatus};

use crate::line::{Line, Seen};
use crate::node::{Node, place};
use crate::support::{PROGRAM, free_address, pause, until_so};

/// Says that somebody else has the line, until it is dropped.
struct Beacons {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Beacons {
    fn start(node: &Node, key: Key) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let stop = over.clone();
        let sender = DatagramSender::open(node.group, [127, 0, 0, 1]).unwrap();
        let thread = thread::spawn(move || {
            for seq in 1.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                sender.try_send(&beacon(seq).encode(&key)).unwrap();
                pause(Duration::from_millis(20));
            }
        });
        Self { over, thread: Some(thread) }
    }
}

impl Drop for Beacons {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn beacon(seq: u64) -> Datagram {
    let status = LineStatus {
        line: "pms".parse().unwrap(),
        up: true,
        state: LineState::Held,
        holder: Some("other".parse().unwrap()),
        epoch: Epoch::new(9, 1),
        lease_ms: 400,
        left_ms: 400,
        reserved_for: None,
    };
    Datagram::Beacon(Beacon {
        group: "test".parse().unwrap(),
        server: "test".parse().unwrap(),
        start: 9,
        seq,
        interval_ms: 20,
        lines: vec![status],
    })
}

/// The inodes of a table of `/proc/PID/net`, with the rest of their lines.
fn sockets_in(pid: u32, table: &str, inode_column: usize) -> Vec<(u64, String)> {
    let text = fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
    let inode = |line: &str| line.split_whitespace().nth(inode_column)?.parse().ok();
    text.lines().skip(1).filter_map(|line| Some((inode(line)?, line.to_owned()))).collect()
}

/// What the descriptors above the standard streams are: `socket:[1]`, `anon_inode:[eventpoll]`.
fn descriptors(pid: u32) -> Vec<String> {
    let above = |name: &str| name.parse::<i32>().is_ok_and(|fd| fd > 2);
    fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .flatten()
        .filter(|entry| above(&entry.file_name().to_string_lossy()))
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .map(|target| target.display().to_string())
        .collect()
}

/// The inodes of its sockets; several descriptors may share one.
fn sockets_of(pid: u32) -> BTreeSet<u64> {
    let inode = |kind: &String| kind.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok();
    descriptors(pid).iter().filter_map(inode).collect()
}

/// The heartbeat socket, the watch over links, the status socket, what the runtime itself waits with, and no child.
fn assert_only_the_heartbeat_function(node: &Node) {
    let pid = node.pid();
    // The last client of the status socket has gone, but perhaps not from the node's table.
    until_so("nobody asks", || sockets_of(pid).len() <= 5);
    assert_eq!(descendants(pid), [] as [u32; 0], "no component instance runs");
    let all = descriptors(pid);
    let sockets = sockets_of(pid);
    let ours = |table: &str, column: usize| -> Vec<String> {
        let of_table = sockets_in(pid, table, column).into_iter();
        of_table.filter(|(inode, _)| sockets.contains(inode)).map(|(_, line)| line).collect()
    };
    assert_eq!(ours("udp", 9).len(), 1, "the heartbeat socket");
    assert_eq!(ours("netlink", 9).len(), 1, "the watch over links");
    for table in ["tcp", "tcp6", "udp6", "udplite", "raw", "raw6"] {
        assert_eq!(ours(table, 9), [""; 0], "{table}");
    }
    let unix = ours("unix", 6);
    let (named, unnamed): (Vec<&String>, Vec<&String>) =
        unix.iter().partition(|line| line.split_whitespace().count() > 7);
    assert_eq!(named.len(), 1, "the status socket: {unix:?}");
    // Bound aside and renamed, so the kernel knows it by its first name.
    assert!(named[0].contains(node.status.to_str().unwrap()));
    assert_eq!(unnamed.len(), 2, "the pair by which the runtime hears signals");
    assert_eq!(sockets.len(), 5, "and no other kind of socket");
    // What the tests' own process was left with by whoever started it.
    let left = descriptors(std::process::id());
    let waiting = ["anon_inode:[eventpoll]", "anon_inode:[eventfd]", "anon_inode:[timerfd]"];
    let others: Vec<&String> = all
        .iter()
        .filter(|kind| !kind.starts_with("socket:") && !waiting.contains(&kind.as_str()))
        .filter(|kind| !left.contains(kind))
        .collect();
    assert_eq!(others, [""; 0]);
}

#[test]
fn i7_a_standby_has_the_heartbeat_socket_and_the_status_socket_and_nothing_else() {
    let (dir, key) = place();
    let node = Node::start(dir, "127.0.0.1:9", "exec sleep 1000");
    let _beacons = Beacons::start(&node, key);
    until_so("beacons", || node.report()["lines"][0]["state"] == "held");
    // Longer than a lease: it stays what it is.
    pause(Duration::from_millis(600));
    let output = node.ask(&["status"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert_only_the_heartbeat_function(&node);
    assert_eq!(node.report()["counters"]["claims"], 0);
}

#[test]
fn i7_who_has_given_up_the_line_is_a_standby_again() {
    let (dir, key) = place();
    let line = Line::start(key.clone(), b"");
    let payload = "[ -e got ] || { cat > got; exit 1; }; exec sleep 1000";
    let flags = ["--restarts", "0"];
    let node = Node::start_with(dir, &line.address.to_string(), payload, &flags);
    assert_eq!(line.seen(), Seen::Granted);
    until_so("the payload", || node.path("got").exists());
    // The line says: somebody else has it now, under a later grant.
    let _beacons = Beacons::start(&node, key);
    until_so("beacons", || node.report()["lines"][0]["holder"] == "other");
    let guard = descendants(node.pid())[0];
    sys::process::kill_group(guard, Signal::KILL).unwrap();
    assert!(matches!(line.seen(), Seen::Frame(Frame::Release(_))));
    assert_eq!(line.seen(), Seen::Closed);
    until_so("standby", || node.report()["role"] == "standby");
    pause(Duration::from_millis(600));
    assert_only_the_heartbeat_function(&node);
    assert_eq!(node.report()["counters"]["grants"], 1);
}

#[test]
fn strangers_are_counted_by_cause_and_change_nothing() {
    let (dir, key) = place();
    let node = Node::start(dir, "127.0.0.1:9", "exec sleep 1000");
    let _beacons = Beacons::start(&node, key.clone());
    until_so("beacons", || node.report()["lines"][0]["state"] == "held");
    let sender = DatagramSender::open(node.group, [127, 0, 0, 1]).unwrap();
    let other = Key::new(0, *b"another group's key, of 32 bytes");
    let good = beacon(u64::MAX).encode(&key);
    let datagrams: [(&str, Vec<u8>); 6] = [
        ("foreign", b"garbage".to_vec()),
        ("foreign", good[..20].to_vec()),
        ("mac", beacon(u64::MAX).encode(&other).to_vec()),
        ("mac", good[..good.len() - 1].to_vec()),
        ("oversize", vec![0; 1401]),
        ("key_id", beacon(u64::MAX).encode(&Key::new(9, [7; 32])).to_vec()),
    ];
    for (_, bytes) in &datagrams {
        sender.try_send(bytes).unwrap();
    }
    // With the right key, but from beyond a router.
    let far = UdpSocket::bind("127.0.0.1:0").unwrap();
    far.set_multicast_ttl_v4(254).unwrap();
    far.send_to(&good, node.group).unwrap();
    let counted = |cause: &str| {
        let count = datagrams.iter().filter(|(c, _)| *c == cause).count();
        node.report()["refused_datagrams"][cause] == count
    };
    for cause in ["foreign", "mac", "oversize", "key_id"] {
        until_so(cause, || counted(cause));
    }
    until_so("ttl", || node.report()["refused_datagrams"]["ttl"] == 1);
    let report = node.report();
    assert_eq!(
        (&report["role"], &report["lines"][0]["holder"]),
        (&"standby".into(), &"other".into())
    );
    assert_eq!(report["counters"]["claims"], 0);
}

#[test]
fn a_node_that_cannot_connect_says_so_and_goes_on_trying() {
    let (dir, _key) = place();
    let nobody = free_address();
    let node = Node::start(dir, &nobody.to_string(), "exec sleep 1000");
    until_so("attempts", || node.report()["counters"]["failed"].as_u64() > Some(3));
    assert_eq!(node.ask(&["status"]).status.code(), Some(4), "nobody has the line");
}

#[test]
fn where_nobody_answers_a_probe_gets_69() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new(PROGRAM);
    let output =
        command.arg("status").arg("--status").arg(dir.path().join("none")).output().unwrap();
    assert_eq!(output.status.code(), Some(69));
    assert!(String::from_utf8(output.stderr).unwrap().contains("is it running?"));
}
