//! Datagrams that are not what they pretend to be, and true ones that come again.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use lab::{Chain, Held, session};
use sys::{DatagramSender, MulticastSocket, boottime};
use wire::{
    Beacon, BootId, Datagram, Epoch, FreeCause, Heartbeat, Key, LineState, LineStatus, Role,
};

use crate::common::{Turn, assert_clean, chain};

const LOOPBACK: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// The group's own key, as a thief would have it.
fn key(chain: &Chain) -> Key {
    Key::from_file_content(0, &std::fs::read(chain.key_file()).unwrap()).unwrap()
}

fn wrong_key() -> Key {
    Key::new(0, *b"0123456789abcdef0123456789abcdef")
}

fn sender(chain: &Chain) -> DatagramSender {
    DatagramSender::open(chain.place().multicast, LOOPBACK).unwrap()
}

/// What is on the wire for so long: heartbeats and beacons, as they were sent.
async fn record(chain: &Chain, time: Duration) -> Vec<Vec<u8>> {
    let socket = MulticastSocket::open(chain.place().multicast, LOOPBACK).unwrap();
    let mut recorded = Vec::new();
    let mut buffer = [0; 2048];
    let deadline = boottime() + time;
    while let Some(left) = deadline.checked_sub(boottime()) {
        if let Ok(received) = tokio::time::timeout(left, socket.recv(&mut buffer)).await {
            recorded.push(buffer[..received.unwrap().len].to_vec());
        }
    }
    recorded
}

/// A counter of a node's.
fn counter(chain: &Chain, node: &str, group: &str, name: &str) -> u64 {
    chain.node_status(node).unwrap()[group][name].as_u64().unwrap_or(0)
}

/// The holder says that it is dead, and the line that it is free.
fn lies(held: &Held, standby: &str) -> [Datagram; 3] {
    let name = |text: &str| text.parse().unwrap();
    let heartbeat = |node: &str, role, epoch| {
        Datagram::Heartbeat(Heartbeat {
            role,
            priority: 255,
            hears_beacons: true,
            leaving: role == Role::Standby,
            epoch,
            ..Heartbeat::new(name(lab::chain::GROUP), name(node), BootId([7; 16]), 1 << 40)
        })
    };
    let line = LineStatus {
        line: name(lab::chain::LINE),
        up: true,
        state: LineState::Free(FreeCause::Closed),
        holder: None,
        epoch: held.epoch,
        lease_ms: 400,
        left_ms: 0,
        reserved_for: None,
    };
    let beacon = Beacon {
        group: name(lab::chain::GROUP),
        server: name("lab"),
        start: u32::MAX,
        seq: 1,
        interval_ms: 100,
        lines: vec![line],
    };
    [
        heartbeat(&held.node, Role::Standby, Epoch::NONE),
        heartbeat(standby, Role::Coordinator, Epoch(u64::MAX)),
        Datagram::Beacon(beacon),
    ]
}

fn standby_of(chain: &Chain, held: &Held) -> String {
    chain.node_names().into_iter().find(|name| *name != held.node).unwrap()
}

#[tokio::test]
async fn datagrams_of_strangers_are_refused_counted_by_cause_and_disturb_nothing() {
    let _turn = Turn::take();
    let mut chain = chain(2).await;
    let held = chain.coordinator().unwrap();
    let standby = standby_of(&chain, &held);
    let sender = sender(&chain);
    let recorded = record(&chain, Duration::from_millis(400)).await;
    assert!(recorded.len() > 4, "{} datagrams", recorded.len());

    let mut strange: Vec<Vec<u8>> = Vec::new();
    let mut send = |bytes: &[u8]| strange.push(bytes.to_vec());
    for lie in lies(&held, &standby) {
        send(&lie.encode(&wrong_key()));
    }
    let [mut stray, ..] = lies(&held, &standby);
    if let Datagram::Heartbeat(heartbeat) = &mut stray {
        heartbeat.group = "others".parse().unwrap();
    }
    send(&stray.encode(&wrong_key()));
    let real = &recorded[0];
    for at in 0..real.len() {
        // Cut anywhere, and with any byte changed.
        send(&real[..at]);
        let mut changed = real.clone();
        changed[at] ^= 0x40;
        send(&changed);
    }
    for length in [1, 31, 32, 100, 1400, 1401, 9000, 60_000] {
        send(&vec![0xa5; length]);
        send(&[&b"LKDG\x01\x01\x00"[..], &vec![0xff; length - 1]].concat());
    }
    for datagram in &strange {
        assert!(sender.try_send(datagram).unwrap());
        // So slowly that no socket's buffer overflows: each is to be counted.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // A right datagram that comes from afar.
    let afar = UdpSocket::bind((LOOPBACK, 0)).unwrap();
    afar.set_multicast_ttl_v4(3).unwrap();
    let lie = lies(&held, &standby)[0].encode(&key(&chain));
    afar.send_to(&lie, chain.place().multicast).unwrap();
    let sent = strange.len() as u64 + 1;

    tokio::time::sleep(Duration::from_millis(300)).await;
    for node in chain.node_names() {
        let refused = &chain.node_status(&node).unwrap()["refused_datagrams"];
        println!("{node}, of {sent}: {refused}");
        let causes = ["foreign", "oversize", "version", "group", "key_id", "mac", "ttl"];
        for cause in causes {
            assert!(refused[cause].as_u64() > Some(0), "{cause}: {refused}");
        }
        let total: u64 = causes.iter().filter_map(|cause| refused[cause].as_u64()).sum();
        assert_eq!(total, sent, "{refused}");
        let dir = chain.dir().join(format!("{node}.log"));
        let log = std::fs::read_to_string(dir).unwrap();
        assert!(log.contains("does the sender have the same key file?"), "a clear reason");
        assert!(log.contains("it came through a router"), "a clear reason");
    }
    assert_eq!(chain.coordinator(), Some(held));
    let report = session::conclude(&mut chain, Vec::new(), Vec::new()).await;
    assert_clean(&report);
    assert_eq!(report.holders.tenures.len(), 1);
}

#[tokio::test]
async fn recorded_heartbeats_and_beacons_sent_again_are_old_and_disturb_nothing() {
    let _turn = Turn::take();
    let mut chain = chain(2).await;
    let sender = sender(&chain);
    // The whole life of the group so far, its first coordinator's among it.
    let first = chain.coordinator().unwrap();
    let mut recorded = record(&chain, Duration::from_millis(500)).await;
    let drill = chain.drill(lab::Kind::Kill).await.unwrap();
    assert!(drill.recovered(), "{drill:?}");
    recorded.extend(record(&chain, Duration::from_millis(500)).await);

    let held = chain.coordinator().unwrap();
    assert_ne!(held.node, first.node);
    let observer = held.node.clone();
    let before = ["heartbeats_old", "heartbeats_unproven", "beacons_old"]
        .map(|name| counter(&chain, &observer, "counters", name));
    for _ in 0..3 {
        for datagram in &recorded {
            assert!(sender.try_send(datagram).unwrap());
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    let after = ["heartbeats_old", "heartbeats_unproven", "beacons_old"]
        .map(|name| counter(&chain, &observer, "counters", name));
    println!(
        "{} replayed thrice; {observer} counts old, unproven, old beacons: {before:?} -> {after:?}",
        recorded.len()
    );
    // Of this life they are old; those of the killed node's life before are not believed again.
    for (before, after) in before.iter().zip(after) {
        assert!(after > *before);
    }
    assert_eq!(chain.coordinator(), Some(held));
    let report = session::conclude(&mut chain, vec![drill], Vec::new()).await;
    assert_clean(&report);
    assert_eq!(report.holders.tenures.len(), 2);
}

#[tokio::test]
async fn a_flood_of_garbage_is_no_failover() {
    let _turn = Turn::take();
    let mut chain = chain(2).await;
    let held = chain.coordinator().unwrap();
    let sender = sender(&chain);
    let mut sent = 0_u64;
    let deadline = boottime() + Duration::from_secs(3);
    while boottime() < deadline {
        for length in 0..200 {
            sent += u64::from(sender.try_send(&vec![0x4c; length * 7]).unwrap());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let counted = counter(&chain, &held.node, "refused_datagrams", "foreign");
    println!("{sent} datagrams of garbage in 3 s; the coordinator looked at {counted}");
    assert!(counted > 0);
    assert_eq!(chain.coordinator(), Some(held));
    let report = session::conclude(&mut chain, Vec::new(), Vec::new()).await;
    assert_clean(&report);
    assert_eq!(report.holders.tenures.len(), 1);
}
