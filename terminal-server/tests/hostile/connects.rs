//! Floods of connections.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use socket2::SockRef;

use crate::client::{connect, encoded, hello};
use crate::scene::{BENCH, LINE, OPEN, RAW, Scene, TELNET};
use crate::stand::{eventually, pause};

#[test]
fn thousands_of_connects_in_a_row() {
    let scene = Scene::start();
    for at in [LINE, RAW, TELNET, BENCH, OPEN] {
        let address = scene.stand.at(at);
        for _ in 0..800 {
            drop(TcpStream::connect(address).unwrap());
        }
    }
    let stand = scene.end();
    assert!(stand.count("bench", "refused_busy") >= 1, "some were there long enough to be seen");
    eventually(|| stand.line("pms")["clients"] == 0);
}

#[test]
fn a_thousand_connections_at_once_that_say_nothing() {
    let scene = Scene::start();
    let mut crowd: Vec<_> = Vec::new();
    for at in [LINE, RAW, TELNET] {
        let address = scene.stand.at(at);
        crowd.extend((0..1000).map(|_| connect(address)));
    }
    // But for those who may wait for a first frame, and those who may observe.
    eventually(|| {
        scene.stand.refused("crowded") + scene.stand.count("pms", "full") >= 3000 - 128 - 64
    });
    eventually(|| scene.stand.line("pms")["clients"].as_u64().unwrap() <= 64);
    let stand = scene.end();
    assert!(stand.line("pms")["clients"].as_u64().unwrap() >= 60, "they may stay");
    drop(crowd);
}

#[test]
fn an_address_may_not_have_all_there_is() {
    let scene = Scene::with("[limits]\naddress_clients = 100\n");
    let address = scene.stand.at(OPEN);
    let crowd: Vec<_> = (0..500).map(|_| connect(scene.stand.at(LINE))).collect();
    eventually(|| scene.stand.refused("crowding") >= 380);
    assert!(connect(address).write_all(b"x").is_ok(), "the kernel accepts, the server does not");
    drop(crowd);
    eventually(|| scene.stand.line("open")["clients"] == 0);
    scene.end();
}

#[test]
fn handshakes_of_one_byte_at_a_time() {
    let scene = Scene::with("[limits]\nhandshake_time = \"1s\"\n");
    let address = scene.stand.at(LINE);
    let hello = encoded(&wire::Frame::Hello(hello("pms")));
    let mut slow: Vec<_> = (0..90).map(|_| connect(address)).collect();
    let mut welcomed: Vec<_> = (0..30).map(|_| connect(address)).collect();
    for stream in &mut welcomed {
        stream.write_all(&hello).unwrap();
    }
    // The last byte would come long after the end of their time.
    for byte in &hello[..12] {
        for stream in &mut slow {
            // Sooner or later they are closed.
            let _ = stream.write_all(&[*byte]);
        }
        for stream in &mut welcomed {
            let _ = stream.write_all(&[1]);
        }
        pause(200);
    }
    eventually(|| scene.stand.refused("silent") == 90);
    // After their HELLO the line itself counts the time of those who go on slowly.
    eventually(|| scene.stand.count("pms", "slow") == 30);
    scene.end();
}

#[test]
fn resets_in_mid_stream() {
    let scene = Scene::start();
    let hello = encoded(&wire::Frame::Hello(hello("pms")));
    for round in 0..60 {
        for at in [LINE, RAW, TELNET, BENCH, OPEN] {
            let mut stream = connect(scene.stand.at(at));
            SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
            let said = if at == LINE { &hello[..] } else { &b"\xff\xfb\x2c\xff\xfa\x2c\x01\0"[..] };
            // It may have been closed already where the line was taken.
            let _ = stream.write_all(&said[..said.len().min(round)]);
            if round % 3 == 0 {
                pause(1);
            }
        }
    }
    let stand = scene.end();
    eventually(|| stand.line("pms")["clients"] == 0 && stand.line("open")["clients"] == 0);
}
