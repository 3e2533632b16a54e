//! Observers that do not read.

use std::io::Write;
use std::thread::JoinHandle;

use wire::Frame;

use crate::client::{Client, connect};
use crate::stand::{Stand, eventually, pause};

const WATCHED: &str = r#"
[limits]
line_clients = 200
[line.watched]
virtual = "DIR/watched"
settings = "921600,8N1"
groups = ["crew"]
listen = [
    { speech = "line", address = "127.0.0.1:0" },
    { speech = "raw", address = "127.0.1.1:0" },
    { speech = "telnet", address = "127.0.2.1:0" },
]
"#;

/// So much from the line, numbered.
fn stream(stand: &Stand, count: usize) -> JoinHandle<()> {
    let mut far = stand.far("watched").tty;
    std::thread::spawn(move || {
        for n in 0..count / 8 / 128 {
            let block: String = (0..128).map(|at| format!("{:07}\n", n * 128 + at)).collect();
            far.write_all(block.as_bytes()).unwrap();
        }
    })
}

/// Takes and acknowledges so much, which must be all there is.
fn take(client: &mut Client, count: usize) {
    let mut at = 0;
    while at < count {
        let input = client.find(|frame| match frame {
            Frame::Input(input) => Some(input),
            _ => None,
        });
        assert_eq!(input.offset as usize, at, "no hole");
        for byte in &input.bytes[..] {
            let wanted = format!("{:07}\n", at / 8).as_bytes()[at % 8];
            assert_eq!(*byte, wanted, "at {at}");
            at += 1;
        }
        client.ack(at as u64);
        client.send(&Frame::Renew(at as u64));
    }
}

#[test]
fn a_hundred_observers_that_never_read_cost_the_holder_nothing() {
    let mut stand = Stand::start(&WATCHED.replace("groups", "flow = \"rtscts\"\ngroups"));
    let (mut holder, grant) = Client::granted(stand.at("127.0.0.1"), "watched", "alpha");
    let before = stand.resident();
    let raw: Vec<_> = (0..40).map(|_| connect(stand.at("127.0.1.1"))).collect();
    let telnet: Vec<_> = (0..40).map(|_| connect(stand.at("127.0.2.1"))).collect();
    let line: Vec<_> =
        (0..20).map(|_| Client::observing(stand.at("127.0.0.1"), "watched")).collect();
    eventually(|| stand.line("watched")["clients"] == 101);
    let writing = stream(&stand, AMOUNT);
    take(&mut holder, AMOUNT);
    writing.join().unwrap();
    let grown = stand.resident().saturating_sub(before);
    println!("memory +{grown} KiB with {} observers", raw.len() + telnet.len() + line.len());
    assert!(grown < 32 * 1024, "it grew by {grown} KiB");
    let state = stand.line("watched");
    assert_eq!(state["epoch"], grant.epoch.to_string());
    assert_eq!(state["counters"]["bytes_lost"], 0);
    assert_eq!(state["clients"], 101, "they may be as slow as they like");
    stand.is_sound();
}

#[test]
fn an_observer_may_pause_for_longer_than_a_peer_may_be_dead() {
    let pausing = WATCHED.replace("groups", "user_timeout = \"1s\"\ngroups");
    for (policy, stays) in [("skip", 2), ("close", 0)] {
        let lag = format!("observer_lag = \"{policy}\"\nhistory = \"256MiB\"\nring = \"256MiB\"\n");
        let mut stand = Stand::start(&pausing.replace("groups", &(lag + "groups")));
        let (mut holder, _) = Client::granted(stand.at("127.0.0.1"), "watched", "alpha");
        let raw = connect(stand.at("127.0.1.1"));
        let observer = Client::observing(stand.at("127.0.0.1"), "watched");
        eventually(|| stand.line("watched")["clients"] == 3);
        // More than all socket buffers on the way take.
        let writing = stream(&stand, PAUSED);
        take(&mut holder, PAUSED);
        writing.join().unwrap();
        for n in 0..12 {
            holder.send(&Frame::Renew(n));
            pause(250);
        }
        let clients = stand.line("watched")["clients"].as_u64().unwrap();
        assert_eq!(clients, 1 + stays, "{policy}: each was silent for three times user_timeout");
        drop((raw, observer));
        stand.is_sound();
    }
}

/// Several times what is kept for observers.
const AMOUNT: usize = 2 << 20;
/// Beyond the largest buffers that Linux gives a socket by itself.
const PAUSED: usize = 16 << 20;
