//! Clients whose network has gone: they say nothing any more, not even that they are gone.

use std::io::Write;
use std::process::Command;
use std::time::Duration;

use wire::Frame;

use crate::client::{Client, connect};
use crate::stand::{Stand, eventually, pause};

/// A network of its own for the server, with two ways to it. It goes with this.
struct Network {
    name: String,
}

/// The first three numbers of the addresses on one of the two ways: another test's may be there.
fn net(way: u8) -> String {
    format!("10.{}.{}", 200 + way, std::process::id() % 256)
}

fn ip(arguments: &str) -> bool {
    let output = Command::new("ip").args(arguments.split(' ')).output();
    output.is_ok_and(|output| output.status.success())
}

impl Network {
    /// `None` where that is not to be had.
    fn new() -> Option<Self> {
        let name = format!("lk{}", std::process::id());
        if !ip(&format!("netns add {name}")) {
            let required = std::env::var_os("LINEKEEPER_CI").is_some_and(|value| value == "1");
            assert!(!required, "no network namespace, and LINEKEEPER_CI=1 demands it");
            println!("skipped: needs the right to make a network namespace");
            return None;
        }
        let network = Self { name };
        let name = &network.name;
        for (way, n) in [("a", 1), ("b", 2)] {
            assert!(ip(&format!("link add {name}{way} type veth peer name e{way} netns {name}")));
            let net = net(n);
            assert!(ip(&format!("addr add {net}.2/24 dev {name}{way}")));
            assert!(ip(&format!("link set {name}{way} up")));
            assert!(ip(&format!("-n {name} addr add {net}.1/24 dev e{way}")));
            assert!(ip(&format!("-n {name} link set e{way} up")));
        }
        Some(network)
    }

    fn cut(&self) {
        assert!(ip(&format!("link set {}a down", self.name)));
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for way in ["a", "b"] {
            ip(&format!("link del {}{way}", self.name));
        }
        ip(&format!("netns del {}", self.name));
    }
}

const LINES: &str = r#"
[line.idle]
virtual = "DIR/idle"
listen = [{ speech = "raw", address = "NET.1:4001" }]
[line.busy]
virtual = "DIR/busy"
listen = [{ speech = "telnet", address = "NET.1:4002" }]
[line.replaced]
virtual = "DIR/replaced"
on_busy = "replace"
listen = [{ speech = "raw", address = "0.0.0.0:4003" }]
[line.leased]
virtual = "DIR/leased"
groups = ["crew"]
listen = [{ speech = "line", address = "NET.1:4004" }]
"#;

#[test]
fn a_half_open_holder_is_gone_in_under_ten_seconds_or_at_once_by_policy() {
    let Some(network) = Network::new() else { return };
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &network.name, env!("CARGO_BIN_EXE_terminal-server")]);
    let mut stand = Stand::start_in(&LINES.replace("NET", &net(1)), command);
    let at = |way: u8, port: u16| format!("{}.1:{port}", net(way)).parse().unwrap();
    let to = |way: u8, port: u16| connect(at(way, port));
    let mut gone = vec![to(1, 4001), to(1, 4002), to(1, 4003)];
    let (mut leased, _) = Client::granted(at(1, 4004), "leased", "alpha");
    let held = |line: &str| stand.line(line)["state"] == "held";
    let lines = ["idle", "busy", "replaced", "leased"];
    eventually(|| lines.iter().all(|line| held(line)));
    let mut busy = stand.far("busy").tty;
    // So that the timers of TCP have their usual values.
    busy.write_all(b"before").unwrap();
    leased.send(&Frame::Renew(1));
    pause(500);
    assert!(lines.iter().all(|line| held(line)));

    network.cut();
    let began = sys::boottime();
    busy.write_all(b"never to be acknowledged").unwrap();
    let mut second = to(2, 4003);
    second.write_all(b"now").unwrap();
    let mut far = stand.far("replaced").tty;
    let mut got = [0; 3];
    std::io::Read::read_exact(&mut far, &mut got).unwrap();
    let after = |what: &str| println!("{what} after {:?}", sys::boottime() - began);
    assert_eq!(&got, b"now", "it has the line at once");
    after("replaced");
    assert!(held("idle") && held("busy"));
    eventually(|| !held("leased"));
    after("the lease");
    assert!(held("idle") && held("busy"), "they have none");
    assert_eq!(stand.count("leased", "expired"), 1);
    eventually(|| !held("idle") || !held("busy"));
    after(if held("idle") { "the busy one" } else { "the idle one" });
    eventually(|| !held("idle") && !held("busy"));
    after("the other one");
    assert!(sys::boottime() - began < Duration::from_secs(10));
    assert!(held("replaced"), "whose network is in order stays");
    gone.clear();
    stand.is_sound();
}
