//! Frames that are none, that never end, or that nobody needs.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use bytes::BytesMut;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng, TryRng};
use wire::frame::MAX_FRAME;
use wire::{Frame, SettingsChange, SignalChange};

use crate::client::{Client, connect, encoded, hello};
use crate::scene::{BENCH, LINE, OPEN, RAW, Scene, TELNET};
use crate::stand::{PATIENCE, eventually, pause};

#[test]
fn oversize_empty_and_unknown_frames() {
    let scene = Scene::start();
    let address = scene.stand.at(LINE);
    let hello = encoded(&Frame::Hello(hello("pms")));
    let huge = [0xff; 200_000];
    let just = [&(MAX_FRAME as u16 + 1).to_be_bytes()[..], &[4; MAX_FRAME]].concat();
    let bad = [&huge[..], &just, b"\0\0", b"\0\x01\xee", b"GET / HTTP/1.1\r\n\r\n"];
    let before = scene.stand.count("pms", "misuse") + scene.stand.count("cdr", "misuse");
    for _ in 0..20 {
        for bad in bad {
            for first in [&b""[..], &hello] {
                let mut stream = connect(address);
                // What follows a bad frame is read and forgotten for a while, then refused.
                let _ = stream.write_all(&[first, bad].concat());
            }
        }
    }
    let counted = || {
        let now = scene.stand.count("pms", "misuse") + scene.stand.count("cdr", "misuse");
        now - before
    };
    eventually(|| counted() == 200);
    scene.end();
}

#[test]
fn half_a_frame_and_then_silence() {
    let scene = Scene::with("[limits]\nhandshake_time = \"1s\"\n");
    let hello = encoded(&Frame::Hello(hello("pms")));
    let whole = [&hello[..], &hello[..]].concat();
    let mut silent = Vec::new();
    for at in 0..hello.len() + 20 {
        let mut stream = connect(scene.stand.at(LINE));
        stream.write_all(&whole[..at]).unwrap();
        silent.push(stream);
    }
    eventually(|| scene.stand.refused("silent") == hello.len() as u64);
    eventually(|| scene.stand.count("pms", "slow") == 20);
    scene.end();
}

#[test]
fn random_bytes_wherever_somebody_listens() {
    let mut seed = [0; 8];
    rand::rngs::SysRng.try_fill_bytes(&mut seed).unwrap();
    let seed = std::env::var("LINEKEEPER_SEED")
        .map_or_else(|_| u64::from_ne_bytes(seed), |given| given.parse().unwrap());
    println!("again with LINEKEEPER_SEED={seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    let scene = Scene::start();
    let status = scene.stand.path("status");
    for round in 0..100 {
        let mut bytes = vec![0; random.random_range(1..20_000)];
        random.fill(&mut bytes[..]);
        for at in [LINE, RAW, TELNET, BENCH, OPEN] {
            let mut stream = connect(scene.stand.at(at));
            if round % 2 == 0 && at == LINE {
                let _ = stream.write_all(&encoded(&Frame::Hello(hello("pms"))));
            }
            let _ = stream.write_all(&bytes);
        }
        let mut socket = UnixStream::connect(&status).unwrap();
        let _ = socket.write_all(&bytes);
        if round % 10 == 0 {
            pause(10);
        }
    }
    let stand = scene.end();
    assert!(stand.count("pms", "misuse") + stand.count("cdr", "misuse") > 0);
    assert!(stand.count("bench", "refused_busy") > 0);
}

#[test]
fn the_status_socket_under_fire_answers_again_when_it_is_over() {
    let scene = Scene::start();
    let path = scene.stand.path("status");
    let idle: Vec<_> = (0..200).map(|_| UnixStream::connect(&path).unwrap()).collect();
    let endless = std::thread::spawn(move || {
        let mut socket = UnixStream::connect(path).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        // One line that never ends.
        for _ in 0..10_000 {
            if socket.write_all(&[b'{'; 1000]).is_err() {
                return;
            }
        }
        panic!("it read ten megabytes as one request");
    });
    endless.join().unwrap();
    drop(idle);
    scene.end();
}

#[test]
fn a_holder_that_asks_and_asks_and_reads_no_answer() {
    let scene = Scene::start();
    let mut questions = BytesMut::new();
    for n in 0..2000_u32 {
        let baud = (n % 2 == 0).then_some(9600 + n % 7);
        let change = SettingsChange { baud, ..SettingsChange::default() };
        questions.extend(encoded(&Frame::Settings(change)));
        let change = SignalChange { dtr: Some(n % 3 == 0), ..SignalChange::default() };
        questions.extend(encoded(&Frame::SetSignals(change)));
        questions.extend(encoded(&Frame::Break(n % 4)));
        questions.extend(encoded(&Frame::Settings(SettingsChange::default())));
    }
    let (mut holder, _) = Client::granted(scene.stand.at(LINE), "cdr", "asker");
    let mut observer = Client::observing(scene.stand.at(LINE), "pms");
    flood(&mut observer.stream, &questions, 40);
    // It is told that it is too much, and closed; that is counted.
    flood(&mut holder.stream, &questions, 40);
    eventually(|| scene.stand.count("cdr", "misuse") >= 1);
    let stand = scene.end();
    let (mut next, _) = Client::granted(stand.at(LINE), "cdr", "next");
    next.send(&Frame::Settings(SettingsChange::default()));
    let settings = next.find(|frame| match frame {
        Frame::Settings(settings) => Some(settings),
        _ => None,
    });
    assert_eq!(settings.baud, Some(921_600), "its successor finds the line as it should be");
}

/// As much as the other side takes.
fn flood(stream: &mut TcpStream, bytes: &[u8], times: usize) {
    stream.set_write_timeout(Some(std::time::Duration::from_millis(500))).unwrap();
    for _ in 0..times {
        if stream.write_all(bytes).is_err() {
            return;
        }
    }
}

#[test]
fn claims_with_a_wrong_key_by_the_hundred() {
    let scene = Scene::start();
    let claim = wire::Claim {
        group: "crew".parse().unwrap(),
        node: "stranger".parse().unwrap(),
        boot: wire::BootId([9; 16]),
        seen: wire::Epoch(u64::MAX),
        lease_ms: u32::MAX,
        key_id: 0,
        mac: [3; 32],
    };
    let said = [encoded(&Frame::Hello(hello("pms"))), encoded(&Frame::Claim(claim))].concat();
    let mut answer = Vec::new();
    for _ in 0..300 {
        let mut stream = connect(scene.stand.at(LINE));
        stream.write_all(&said).unwrap();
        stream.read_to_end(&mut answer).unwrap();
    }
    let stand = scene.end();
    assert_eq!(stand.count("pms", "refused_stranger"), 300);
}
