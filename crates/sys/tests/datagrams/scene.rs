//! Networks of a test's own, and what several stories do.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::process::Command;
use std::time::Duration;

use sys::{DatagramSocket, Received};

pub(crate) const LO: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// A group of this test's own: the port is one that the system just gave away as free.
pub(crate) fn group(last: u8) -> SocketAddrV4 {
    let free = std::net::UdpSocket::bind((LO, 0)).unwrap().local_addr().unwrap();
    SocketAddrV4::new(Ipv4Addr::new(239, 255, 77, last), free.port())
}

pub(crate) async fn hear(socket: &DatagramSocket, buf: &mut [u8]) -> Received {
    let hearing = tokio::time::timeout(Duration::from_secs(5), socket.recv(buf));
    hearing.await.expect("a datagram within 5 s").unwrap()
}

/// Nothing comes although it had the time to.
pub(crate) async fn hear_nothing(socket: &DatagramSocket) {
    let mut buf = [0; 64];
    let hearing = tokio::time::timeout(Duration::from_millis(200), socket.recv(&mut buf));
    assert!(hearing.await.is_err(), "nothing was to come");
}

pub(crate) async fn has_heard(socket: &DatagramSocket, text: &str) {
    let mut buf = [0; 64];
    let received = hear(socket, &mut buf).await;
    assert_eq!(&buf[..received.len], text.as_bytes());
    assert_eq!(received.ttl, Some(255));
}

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Gives this thread a network of its own, with the pair `va`, `vb`; both ends have addresses and
/// a carrier. It goes with the thread. `false` where that is not to be had.
pub(crate) fn alone_with_a_pair() -> bool {
    if let Err(error) = unshare() {
        return skipped(&error.to_string());
    }
    if !Command::new("ip").arg("-V").output().is_ok_and(|out| out.status.success()) {
        return skipped("no ip");
    }
    ip("link set lo up");
    make_pair();
    true
}

/// Both ends of the pair, ready at once: no duplicate address detection.
pub(crate) fn make_pair() {
    bare_pair("va", "vb");
    for (end, n) in [("va", 1), ("vb", 2)] {
        ip(&format!("addr add fe80::{n}/64 dev {end} nodad"));
        ip(&format!("addr add fd00:77::{n}/64 dev {end} nodad"));
        ip(&format!("addr add 10.77.0.{n}/24 dev {end}"));
    }
}

/// A pair of which neither end has an address.
pub(crate) fn bare_pair(one: &str, other: &str) {
    ip(&format!("link add {one} type veth peer name {other}"));
    for end in [one, other] {
        ip(&format!("link set {end} addrgenmode none"));
        ip(&format!("link set {end} up"));
    }
}

pub(crate) fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments}: {said}");
}

fn skipped(why: &str) -> bool {
    let required = std::env::var_os("LINEKEEPER_CI").is_some_and(|value| value == "1");
    assert!(!required, "{why}, and LINEKEEPER_CI=1 demands a network namespace");
    println!("skipped: needs root and iproute2 ({why})");
    false
}

/// Of this thread only; the sockets it opens and the processes it starts are in the new one.
fn unshare() -> io::Result<()> {
    // SAFETY: no pointers; the network namespace of one thread is nothing that memory depends on.
    match unsafe { libc::unshare(libc::CLONE_NEWNET) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
