//! Clients that come and go while the line goes on: what the next one gets.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::SockRef;
use wire::Frame;

use crate::client::{Client, connect};
use crate::stand::{Stand, eventually, pause};

const LINES: &str = r#"
[line.pms]
virtual = "DIR/pms"
settings = "921600,8N1"
groups = ["crew"]
listen = [{ speech = "line", address = "127.0.0.1:0" }]
[line.bench]
virtual = "DIR/bench"
listen = [{ speech = "raw", address = "127.0.1.2:0" }]
"#;

/// The far end is never further than this beyond what was taken.
const AHEAD: u64 = 128 * 1024;
/// Then it talks on whatever was taken: on raw most of it goes with a dead client.
const NOBODY_KNOWS: u64 = 1 << 40;

/// `LINEKEEPER_SWAPS` has more of them.
fn swaps() -> u64 {
    std::env::var("LINEKEEPER_SWAPS").map_or(200, |swaps| swaps.parse().unwrap())
}

/// The byte of the numbered stream at an offset.
fn numbered(offset: u64) -> u8 {
    format!("{:07}\n", offset / 8 % 10_000_000).as_bytes()[(offset % 8) as usize]
}

/// A far end that talks all the while, numbered.
struct Talker {
    taken: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Talker {
    fn start(stand: &Stand, link: &str) -> Self {
        let (taken, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (reached, stopped) = (taken.clone(), stop.clone());
        let mut tty = stand.far(link).tty;
        let thread = std::thread::spawn(move || {
            let mut written = 0;
            while !stopped.load(Ordering::Relaxed) {
                if written < reached.load(Ordering::Relaxed) + AHEAD {
                    let block: Vec<_> = (written..written + 1000).map(numbered).collect();
                    tty.write_all(&block).unwrap();
                    written += 1000;
                }
                pause(1);
            }
            // The line hears that nobody is there once the last bytes are out.
            pause(100);
            written
        });
        Self { taken, stop, thread }
    }

    /// How much it has said in all.
    fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// Takes input up to at least `until`, compares it, and returns how far it came.
fn take(client: &mut Client, from: u64, until: u64) -> u64 {
    let mut at = from;
    while at < until {
        let input = client.find(|frame| match frame {
            Frame::Input(input) => Some(input),
            _ => None,
        });
        assert_eq!(input.offset, at, "in order, without a hole");
        assert!(input.bytes.iter().enumerate().all(|(n, byte)| *byte == numbered(at + n as u64)));
        at = input.end();
    }
    at
}

#[test]
fn i3_a_successor_on_the_line_protocol_goes_on_at_the_acknowledged_offset() {
    let mut stand = Stand::start(LINES);
    let address = stand.at("127.0.0.1");
    let talker = Talker::start(&stand, "pms");
    let (mut acked, mut doubled, mut reset) = (0, 0, false);
    let mut epoch = wire::Epoch::NONE;
    for swap in 0..swaps() {
        let (mut client, grant) = Client::granted(address, "pms", &format!("n{}", swap % 2));
        assert!(grant.epoch > epoch, "I5");
        epoch = grant.epoch;
        // A reset destroys what was sent before it and is not read yet, so an ACK, too.
        assert!(grant.acked <= acked, "nothing is taken for acknowledged that was not");
        assert!(reset || grant.acked == acked);
        assert!(grant.delivered >= grant.acked);
        doubled += grant.delivered - grant.acked;
        let at = take(&mut client, grant.acked, grant.acked + 1 + swap * 37 % 3000);
        acked = at - (swap * 11 % (at - grant.acked));
        client.ack(acked);
        talker.taken.store(acked, Ordering::Relaxed);
        reset = swap % 3 == 1;
        match swap % 3 {
            0 => {}
            1 => SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).unwrap(),
            _ => client.send(&Frame::Release(None)),
        }
    }
    let said = talker.end();
    let (mut client, grant) = Client::granted(address, "pms", "last");
    // Its ACKs go on as it comes, or the window would end it.
    let mut at = grant.acked;
    while at < said {
        at = take(&mut client, at, at + 1);
        client.ack(at);
    }
    println!("{} swaps, {said} bytes, {doubled} of them handed out again", swaps());
    assert_eq!((at, stand.count("pms", "bytes_lost")), (said, 0));
    assert_eq!(stand.line("pms")["end"], said);
    stand.is_sound();
}

/// What a raw client got: where it began, which the numbers say, and where it ended.
fn raw_share(client: &mut TcpStream, least: usize) -> (u64, u64) {
    let mut got = vec![0; least.max(32)];
    client.read_exact(&mut got).unwrap();
    let line_end = got.iter().position(|byte| *byte == b'\n').unwrap();
    let number: u64 =
        std::str::from_utf8(&got[line_end + 1..line_end + 8]).unwrap().parse().unwrap();
    let begin = number * 8 - line_end as u64 - 1;
    assert!(got.iter().enumerate().all(|(n, byte)| *byte == numbered(begin + n as u64)));
    (begin, begin + got.len() as u64)
}

#[test]
fn a_swap_on_raw_loses_only_what_was_in_the_dead_clients_socket() {
    let mut stand = Stand::start(LINES);
    let address = stand.at("127.0.1.2");
    let talker = Talker::start(&stand, "bench");
    talker.taken.store(NOBODY_KNOWS, Ordering::Relaxed);
    let (mut end, mut lost, mut got) = (0, 0, 0);
    for swap in 0..swaps() {
        let mut client = bench(address);
        let (from, until) = raw_share(&mut client, 1 + (swap * 37 % 3000) as usize);
        assert!(from >= end, "nothing is doubled, and all is in order");
        lost += from - end;
        got += until - from;
        end = until;
    }
    let mut client = bench(address);
    let (from, until) = raw_share(&mut client, 32);
    let said = talker.end();
    lost += from - end;
    let mut rest = vec![0; (said - until) as usize];
    client.read_exact(&mut rest).unwrap();
    assert!(rest.iter().enumerate().all(|(n, byte)| *byte == numbered(until + n as u64)));
    got += said - from;
    let line = stand.line("bench");
    println!("{} swaps, {said} bytes, {lost} of them with the sockets", swaps());
    assert_eq!(got + lost, said);
    // All was handed to some socket; nothing was lost on the way there.
    assert_eq!((&line["acked"], &line["end"]), (&said.into(), &said.into()));
    assert_eq!(line["counters"]["bytes_lost"], 0);
    stand.is_sound();
}

/// The next owner: the last one's end may not have been seen yet.
fn bench(address: SocketAddr) -> TcpStream {
    loop {
        let client = connect(address);
        // Refused, or there is something to read.
        if matches!(client.peek(&mut [0; 1]), Ok(1)) {
            return client;
        }
    }
}

#[test]
fn what_comes_between_two_raw_clients_is_the_next_ones() {
    let mut stand = Stand::start(LINES);
    let address = stand.at("127.0.1.2");
    let mut far = stand.far("bench").tty;
    let mut said = 0;
    let mut say = |count: u64| {
        let block: Vec<_> = (said..said + count).map(numbered).collect();
        far.write_all(&block).unwrap();
        said += count;
    };
    for _ in 0..10 {
        let mut client = connect(address);
        eventually(|| stand.line("bench")["state"] == "held");
        say(2000);
        eventually(|| {
            let line = stand.line("bench");
            line["acked"] == line["end"] && line["end"].as_u64() > Some(1000)
        });
        raw_share(&mut client, 500);
        drop(client);
        eventually(|| stand.line("bench")["state"] == "free");
        let handed = stand.line("bench")["acked"].as_u64().unwrap();
        say(1000);
        let mut client = connect(address);
        assert_eq!(raw_share(&mut client, 1000), (handed, handed + 1000));
        drop(client);
        eventually(|| stand.line("bench")["state"] == "free");
    }
    stand.is_sound();
}
