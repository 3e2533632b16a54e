//! What no decent client does, and what TCP alone can do.

use std::time::Duration;

use socket2::SockRef;
use sys::boottime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::bench::{Bench, until};
use crate::daemon::within;

const IAC: u8 = 255;
const SE: u8 = 240;
const DATA_MARK: u8 = 242;
const SB: u8 = 250;
const WILL: u8 = 251;
const COM_PORT: u8 = 44;

/// Sends all but the last byte, and that as TCP's urgent byte.
fn send_urgently(stream: &TcpStream, bytes: &[u8]) {
    let socket = SockRef::from(stream);
    assert_eq!(socket.send_out_of_band(bytes).unwrap(), bytes.len());
}

/// Baud rate and its answer.
fn baud(command: u8, baud: u32) -> Vec<u8> {
    let mut bytes = vec![IAC, SB, COM_PORT, command];
    bytes.extend(baud.to_be_bytes());
    bytes.extend([IAC, SE]);
    bytes
}

async fn hears(stream: &mut TcpStream, bytes: &[u8]) {
    let mut heard = Vec::new();
    while !heard.windows(bytes.len()).any(|heard| heard == bytes) {
        assert!(within(stream.read_buf(&mut heard)).await.unwrap() > 0, "{heard:?}");
    }
}

#[tokio::test]
async fn t7_a_synch_with_urgent_data_discards_data_and_obeys_commands() {
    let mut bench = Bench::start("settings = \"9600,8N1\"").await;
    let mut client = within(TcpStream::connect(bench.telnet)).await.unwrap();
    client.write_all(b"before").await.unwrap();
    assert_eq!(bench.arrived(6).await, b"before");
    // In one segment, so that the pointer is known before the first of it is read.
    let set = [&[IAC, WILL, COM_PORT][..], &baud(1, 2400)].concat();
    let synch = [&b"discarded"[..], &set, b"this, too", &[IAC, DATA_MARK]].concat();
    send_urgently(&client, &synch);
    client.write_all(b"after").await.unwrap();
    assert_eq!(bench.arrived(5).await, b"after");
    hears(&mut client, &baud(101, 2400)).await;
    assert_eq!(bench.settings(), "2400");
    // And once more: the mark of the first one has ended it.
    send_urgently(&client, &[b'x', IAC, DATA_MARK]);
    client.write_all(b"again").await.unwrap();
    assert_eq!(bench.arrived(5).await, b"again");
}

#[tokio::test]
async fn t9_an_urgent_byte_on_a_raw_port_is_data_like_all() {
    let mut bench = Bench::start("").await;
    let client = within(TcpStream::connect(bench.raw)).await.unwrap();
    send_urgently(&client, b"abc");
    assert_eq!(bench.arrived(3).await, b"abc");
}

#[tokio::test]
async fn n5_a_reset_connection_leaves_the_line_as_it_was_configured() {
    let bench = Bench::start("settings = \"9600,8N1\"").await;
    let mut client = within(TcpStream::connect(bench.telnet)).await.unwrap();
    let flow = [IAC, SB, COM_PORT, 5, 2, IAC, SE];
    let all = [&[IAC, WILL, COM_PORT][..], &baud(1, 2400), &flow].concat();
    client.write_all(&all).await.unwrap();
    until("2400 xonxoff", || bench.settings() == "2400 xonxoff").await;
    SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    until("9600", || bench.settings() == "9600").await;
    // The next client finds the masks of the RFC and no question answered that it did not ask.
    let mut client = within(TcpStream::connect(bench.telnet)).await.unwrap();
    client.write_all(&[&[IAC, WILL, COM_PORT][..], &baud(1, 0)].concat()).await.unwrap();
    hears(&mut client, &baud(101, 9600)).await;
}

#[tokio::test]
async fn o5_a_far_end_that_takes_nothing_keeps_no_answer() {
    let mut bench = Bench::start("settings = \"921600,8N1\"").await;
    let mut client = within(TcpStream::connect(bench.telnet)).await.unwrap();
    let data: Vec<u8> = (0..30_000_u32).map(|n| (n % 251) as u8).collect();
    let all = [&[IAC, WILL, COM_PORT][..], &data, &baud(1, 115_200)].concat();
    client.write_all(&all).await.unwrap();
    let begin = boottime();
    hears(&mut client, &baud(101, 115_200)).await;
    let took = boottime() - begin;
    println!("answered {took:?} after it was asked, with what the terminal took meanwhile");
    // pyserial gives up after three.
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert_eq!(bench.settings(), "115200");
    assert!(bench.arrived(data.len()).await == data, "and the data behind it is unharmed");
}
