//! Bridges: the door is there while this node has the line, one client at a time, and input waits
//! for it.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use sys::process::Signal;
use wire::Frame;
use wire::frame::{INPUT_WINDOW, OUTPUT_WINDOW};

use crate::line::{Line, Seen};
use crate::node::{Node, place};
use crate::streams::{ack, output, start};
use crate::support::{LONG, ended, free_address, pause, signal, until, until_so};

fn connect(address: SocketAddr) -> TcpStream {
    let (stream, _) = until("the door", || TcpStream::connect(address).ok());
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream
}

fn read(stream: &mut impl Read, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

fn says_times(node: &Node, word: &str) -> usize {
    node.events().iter().filter(|event| event["message"] == word).count()
}

#[test]
fn input_waits_for_a_client_without_being_called_a_stall() {
    let (dir, key) = place();
    let line = Line::start(key, b"input");
    let address = free_address();
    let mut node = start(dir, &line, &format!("tcp {address}"), &["--stall", "200ms"]);
    assert_eq!(line.seen(), Seen::Granted);
    node.says("door-open");
    assert_eq!(line.seen_within(Duration::from_millis(600)), [], "nothing is acknowledged");
    let mut client = connect(address);
    assert_eq!(read(&mut client, 5), b"input");
    assert_eq!(line.seen(), ack(5));
    client.write_all(b"answer").unwrap();
    assert_eq!(line.seen(), output(0, "answer"));
    signal(&node.process.0, Signal::TERM);
    assert_eq!(line.seen(), Seen::Frame(Frame::Release(None)));
    assert_eq!(client.read(&mut [0; 8]).unwrap_or(0), 0, "its client is sent away");
    assert!(TcpStream::connect(address).is_err());
    assert!(ended(&mut node.process.0).success());
    assert_eq!(node.says("payload-gone")["status"], "closed");
}

/// More than a terminal's buffers hold, and no more than may be unacknowledged.
static FLOOD: [u8; INPUT_WINDOW as usize] = [b'x'; INPUT_WINDOW as usize];

#[test]
fn a_client_that_does_not_read_is_found_by_stall() {
    let (dir, key) = place();
    let line = Line::start(key, &FLOOD);
    let link = dir.path().join("billing");
    let flags = ["--stall", "300ms"];
    let node = start(dir, &line, &format!("link {}", link.display()), &flags);
    assert_eq!(line.seen(), Seen::Granted);
    let port = open_port(&link);
    let mut acked = 0;
    // Alone, it keeps the line for itself: nobody could do better.
    let me = "a".parse().unwrap();
    loop {
        match line.seen() {
            Seen::Frame(Frame::Ack(ack)) => acked = ack.offset,
            seen => break assert_eq!(seen, Seen::Frame(Frame::Release(Some(me)))),
        }
    }
    assert!(acked < INPUT_WINDOW, "what nobody read is acknowledged: {acked}");
    assert_eq!(node.says("resigning")["cause"], "stall");
    drop(port);
}

#[test]
fn a_second_client_is_turned_away_and_a_later_one_goes_on() {
    let (dir, key) = place();
    let line = Line::start(key, b"");
    let address = free_address();
    let node = start(dir, &line, &format!("tcp {address}"), &[]);
    let first = connect(address);
    node.says("client-connected");
    let mut second = connect(address);
    assert_eq!(second.read(&mut [0; 8]).unwrap_or(0), 0);
    node.says("client-refused");
    drop(first);
    node.says("client-gone");
    let mut third = connect(address);
    third.write_all(b"third").unwrap();
    assert_eq!(line.seen(), Seen::Granted);
    assert_eq!(line.seen(), output(0, "third"));
}

#[test]
fn what_a_client_has_said_before_it_went_is_not_lost() {
    let (dir, key) = place();
    let line = Line::start(key, b"");
    let address = free_address();
    let _node = start(dir, &line, &format!("tcp {address}"), &[]);
    assert_eq!(line.seen(), Seen::Granted);
    connect(address).write_all(b"in passing").unwrap();
    assert_eq!(line.seen(), output(0, "in passing"));
}

#[test]
fn an_address_that_is_taken_is_named() {
    let (dir, key) = place();
    let line = Line::start(key, b"");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let kind = format!("tcp {}", taken.local_addr().unwrap());
    let node = start(dir, &line, &kind, &[]);
    let error = node.says("door-failed");
    assert!(error["error"].as_str().unwrap().contains("in use"), "{error}");
    assert_eq!(node.says("payload-gone")["status"], "never ran");
}

#[test]
fn a_unix_socket_comes_with_its_mode_replaces_a_dead_one_and_goes() {
    let (dir, key) = place();
    let line = Line::start(key, b"input");
    let path = dir.path().join("billing");
    // What a killed node leaves: nobody listens there.
    drop(UnixListener::bind(&path).unwrap());
    let mut node = start(dir, &line, &format!("unix {}", path.display()), &[]);
    let mut client = until("the door", || UnixStream::connect(&path).ok()).0;
    let meta = path.metadata().unwrap();
    assert!(meta.file_type().is_socket());
    assert_eq!(meta.mode() & 0o777, 0o660);
    assert_eq!(read(&mut client, 5), b"input");
    client.write_all(b"answer").unwrap();
    assert_eq!(line.seen(), Seen::Granted);
    assert_eq!(line.seen(), ack(5));
    assert_eq!(line.seen(), output(0, "answer"));
    signal(&node.process.0, Signal::TERM);
    assert!(ended(&mut node.process.0).success());
    assert!(!path.exists());
    assert_eq!(client.read(&mut [0; 8]).unwrap(), 0);
}

#[test]
fn what_somebody_serves_or_owns_is_not_replaced() {
    for file in ["served", "file"] {
        let (dir, key) = place();
        let line = Line::start(key, b"");
        let path = dir.path().join(file);
        let served = (file == "served").then(|| UnixListener::bind(&path).unwrap());
        if served.is_none() {
            fs::write(&path, "precious").unwrap();
        }
        let node = start(dir, &line, &format!("unix {}", path.display()), &[]);
        node.says("door-failed");
        match served {
            Some(_) => drop(UnixStream::connect(&path).unwrap()),
            None => assert_eq!(fs::read_to_string(&path).unwrap(), "precious"),
        }
    }
}

/// As a legacy program opens its serial port.
fn open_port(link: &Path) -> File {
    until("the port", || File::options().read(true).write(true).open(link).ok()).0
}

#[test]
fn a_legacy_program_opens_a_link_as_its_serial_port() {
    let (dir, key) = place();
    let line = Line::start(key, b"in\r\nput");
    let link = dir.path().join("billing");
    symlink("/dev/pts/999999", &link).unwrap();
    let flags = ["--stall", "200ms"];
    let mut node = start(dir, &line, &format!("link {}", link.display()), &flags);
    assert_eq!(line.seen(), Seen::Granted);
    node.says("door-open");
    assert_eq!(line.seen_within(Duration::from_millis(600)), [], "nobody has it open");
    let mut port = open_port(&link);
    assert_eq!(read(&mut port, 7), b"in\r\nput");
    assert_eq!(line.seen(), ack(7));
    port.write_all(b"one\r").unwrap();
    assert_eq!(line.seen(), output(0, "one\r"));
    drop(port);
    node.says("client-gone");
    // The next one finds it raw again.
    let mut port = open_port(&link);
    until_so("the next client", || says_times(&node, "client-connected") == 2);
    port.write_all(b"two\n").unwrap();
    assert_eq!(line.seen(), output(4, "two\n"));
    signal(&node.process.0, Signal::TERM);
    assert_eq!(line.seen(), Seen::Frame(Frame::Release(None)));
    assert!(ended(&mut node.process.0).success());
    assert!(link.symlink_metadata().is_err(), "the link goes with the door");
    // The hang-up: an end of file or EIO, and no more writing.
    assert_eq!(port.read(&mut [0; 8]).unwrap_or(0), 0);
    assert!(port.write(b"late").is_err());
}

#[test]
fn a_program_that_came_and_went_between_two_looks_is_heard_and_given_nothing() {
    let (dir, key) = place();
    let line = Line::start(key, b"input");
    let link = dir.path().join("billing");
    let node = start(dir, &line, &format!("link {}", link.display()), &[]);
    assert_eq!(line.seen(), Seen::Granted);
    open_port(&link).write_all(b"in passing").unwrap();
    assert_eq!(line.seen(), output(0, "in passing"));
    node.says("client-gone");
    assert_eq!(line.seen_within(Duration::from_millis(200)), [], "input waits for the next one");
    let mut port = open_port(&link);
    assert_eq!(read(&mut port, 5), b"input");
    assert_eq!(line.seen(), ack(5));
}

#[test]
fn what_a_client_said_beyond_the_window_is_counted() {
    for way in ["tcp", "unix", "link"] {
        let (dir, key) = place();
        let line = Line::start(key, b"");
        let (path, address) = (dir.path().join("billing"), free_address());
        let kind = match way {
            "tcp" => format!("tcp {address}"),
            _ => format!("{way} {}", path.display()),
        };
        let mut node = start(dir, &line, &kind, &[]);
        assert_eq!(line.seen(), Seen::Granted);
        let mut client: Box<dyn Write> = match way {
            "tcp" => Box::new(connect(address)),
            "unix" => Box::new(until("the door", || UnixStream::connect(&path).ok()).0),
            _ => Box::new(open_port(&path)),
        };
        // The line never says that it was written, so the window stays full.
        client.write_all(&[b'x'; OUTPUT_WINDOW as usize]).unwrap();
        for _ in 0..4 {
            assert!(matches!(line.seen(), Seen::Frame(Frame::Output(_))), "{way}");
        }
        client.write_all(b"beyond").unwrap();
        signal(&node.process.0, Signal::TERM);
        assert!(ended(&mut node.process.0).success());
        let account = node.says("stream-ended");
        let counts = (account["said"].as_u64(), account["unsaid"].as_u64());
        assert_eq!(counts, (Some(OUTPUT_WINDOW), Some(6)), "{way}");
    }
}

#[test]
fn a_killed_node_takes_its_door_along_and_its_successor_replaces_what_is_left() {
    let (dir, key) = place();
    let line = Line::start(key, b"");
    let link = dir.path().join("billing");
    let kind = format!("link {}", link.display());
    let node = start(dir, &line, &kind, &[]);
    let mut port = open_port(&link);
    node.says("client-connected");
    signal(&node.process.0, Signal::KILL);
    assert_eq!(port.read(&mut [0; 8]).unwrap_or(0), 0, "hung up");
    // A process that died removes nothing: its link dangles.
    until_so("the end of the terminal", || !link.exists());
    assert!(link.symlink_metadata().is_ok());
    let (other, key) = place();
    let line = Line::start(key, b"");
    let successor = start(other, &line, &kind, &[]);
    successor.says("door-open");
    assert!(link.exists());
}

#[test]
fn a_stopped_nodes_client_is_cut_when_it_wakes_and_nothing_of_it_reached_the_line() {
    let (dir, key) = place();
    let line = Line::start(key, b"");
    let address = free_address();
    let node = start(dir, &line, &format!("tcp {address}"), &[]);
    assert_eq!(line.seen(), Seen::Granted);
    let mut client = connect(address);
    node.says("client-connected");
    signal(&node.process.0, Signal::STOP);
    pause(Duration::from_millis(50));
    client.write_all(b"too late").unwrap();
    pause(crate::node::LEASE + Duration::from_millis(100));
    signal(&node.process.0, Signal::CONT);
    assert_eq!(node.says("lost")["end"], "lease");
    assert_eq!(line.seen(), Seen::Closed, "and no OUTPUT before it");
    match client.read(&mut [0; 8]) {
        Ok(count) => assert_eq!(count, 0),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
}
