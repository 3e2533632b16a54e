//! Telnet clients that negotiate for ever, begin what they do not end, and do not listen.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::client::connect;
use crate::scene::{OPEN, Scene, TELNET};
use crate::stand::{eventually, pause};

const IAC: u8 = 255;
const COM_PORT: u8 = 44;
/// An option that nobody knows.
const LAST: u8 = 177;

/// As much as the other side takes; how much that was.
fn flood(stream: &mut TcpStream, bytes: &[u8], times: usize) -> usize {
    stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    for done in 0..times {
        if stream.write_all(bytes).is_err() {
            return done;
        }
    }
    times
}

/// How many negotiations come up to the one about the option `last`; data of the line may be among
/// them.
fn negotiated(stream: &mut TcpStream, last: u8) -> usize {
    let (mut count, mut buf, mut before) = (0, [0; 65536], [0; 2]);
    loop {
        let got = stream.read(&mut buf).unwrap();
        assert!(got > 0, "it was closed");
        for byte in &buf[..got] {
            if before[0] == IAC && (251..=254).contains(&before[1]) {
                count += 1;
                if *byte == last {
                    return count;
                }
            }
            before = [before[1], *byte];
        }
    }
}

#[test]
fn subnegotiations_that_never_end() {
    let scene = Scene::start();
    let mut streams = Vec::new();
    for at in [TELNET, OPEN] {
        let mut stream = connect(scene.stand.at(at));
        stream.write_all(&[IAC, 251, COM_PORT, IAC, 250, COM_PORT, 1]).unwrap();
        assert_eq!(flood(&mut stream, &[b'x'; 65536], 160), 160, "it is read, and forgotten");
        streams.push(stream);
    }
    assert_eq!(scene.open.bytes().len(), 0, "nothing of it is data");
    // And many that are broken off.
    for count in 0..100 {
        let mut stream = connect(scene.stand.at(TELNET));
        let begun = [IAC, 250, COM_PORT, 1, 0, 0, IAC, IAC, 9, 9];
        stream.write_all(&begun[..count % begun.len()]).unwrap();
    }
    scene.end();
}

#[test]
fn ten_thousand_flips_of_every_option() {
    let scene = Scene::start();
    for at in [TELNET, OPEN] {
        let mut stream = connect(scene.stand.at(at));
        let mut flips = Vec::new();
        for n in 0..10_000_u32 {
            let option = [0, 1, 3, COM_PORT, 24, 200][(n / 4) as usize % 6];
            flips.extend([IAC, 251 + (n % 4) as u8, option]);
        }
        // One that nobody knows, so it is answered.
        flips.extend([IAC, 251, LAST]);
        let mut reader = stream.try_clone().unwrap();
        let reading = std::thread::spawn(move || negotiated(&mut reader, LAST));
        stream.write_all(&flips).unwrap();
        let answered = reading.join().unwrap();
        assert!(answered <= 10_010, "{answered} answers: a loop");
        println!("{answered} answers to 10000 flips");
        // The same again by somebody who reads nothing of it.
        flood(&mut stream, &flips, 100);
    }
    assert_eq!(scene.open.bytes().len(), 0);
    scene.end();
}

#[test]
fn a_million_questions_whose_answers_nobody_reads() {
    let scene = Scene::start();
    let mut streams = Vec::new();
    for at in [TELNET, OPEN] {
        let mut stream = connect(scene.stand.at(at));
        stream.write_all(&[IAC, 251, COM_PORT]).unwrap();
        let ask = |command: u8, value: &[u8]| {
            [&[IAC, 250, COM_PORT, command][..], value, &[IAC, 240]].concat()
        };
        let asks = [
            ask(1, &[0, 0, 0, 0]),
            ask(1, &[0, 0, 0x25, 0x80]),
            ask(5, &[5]),
            ask(5, &[6]),
            ask(12, &[3]),
            ask(0, b"who"),
            vec![IAC, 246],
            vec![IAC, 243],
        ];
        let asks = asks.concat().repeat(1000);
        assert!(flood(&mut stream, &asks, 200) < 200, "TCP holds it back");
        streams.push(stream);
    }
    assert_eq!(scene.open.bytes().len(), 0);
    scene.end();
}

#[test]
fn a_client_that_suspends_us_and_floods() {
    let scene = Scene::start();
    let mut far = scene.stand.far("open").tty;
    let mut stream = connect(scene.stand.at(OPEN));
    stream.write_all(&[IAC, 251, COM_PORT, IAC, 250, COM_PORT, 8, IAC, 240]).unwrap();
    eventually(|| scene.stand.line("open")["clients"] == 1);
    pause(100);
    // More than the ring keeps.
    for _ in 0..3 * 256 {
        far.write_all(&[b'i'; 4096]).unwrap();
    }
    flood(&mut stream, &[IAC, 246].repeat(10_000), 100);
    // All of it, to the last byte: the line was read all the while.
    eventually(|| scene.stand.line("open")["end"] == 3 << 20);
    drop(stream);
    scene.end();
}
