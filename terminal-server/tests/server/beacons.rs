//! What standbys hear.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::process::Command;
use std::time::Duration;

use sys::{InterfaceName, MulticastSocket, boottime};
use wire::{Beacon, Datagram, FreeCause, KeyRing, LineState, LineStatus, MAX_DATAGRAM};

use crate::client::Client;
use crate::daemon::{Site, key, within};

/// A standby's ear.
pub struct Ear(MulticastSocket);

impl Ear {
    pub fn new(group: SocketAddrV4) -> Self {
        Self::on(group, InterfaceName::from(Ipv4Addr::LOCALHOST))
    }

    fn on(group: impl Into<SocketAddr>, interface: InterfaceName) -> Self {
        Self(MulticastSocket::open(group, interface).unwrap())
    }

    pub async fn hear(&self) -> Beacon {
        self.hear_signed(&key().into()).await.1
    }

    /// The next beacon, and which of the keys signed it.
    pub async fn hear_signed(&self, keys: &KeyRing) -> (u8, Beacon) {
        let mut buf = [0; MAX_DATAGRAM + 1];
        let received = within(self.0.recv(&mut buf)).await.unwrap();
        assert_eq!(received.ttl, Some(255), "so that nobody off this link can forge one");
        let (mut signed_by, group) = (None, "crew".parse().unwrap());
        let key = |id| {
            signed_by = Some(id);
            keys.get(id)
        };
        match Datagram::decode(&buf[..received.len], &group, key).unwrap() {
            Datagram::Beacon(beacon) => (signed_by.unwrap(), beacon),
            other => panic!("{other:?}"),
        }
    }

    async fn hear_until(&self, wanted: impl Fn(&LineStatus) -> bool) -> Beacon {
        loop {
            let beacon = self.hear().await;
            if wanted(&beacon.lines[0]) {
                return beacon;
            }
        }
    }
}

#[tokio::test]
async fn a_lost_connection_is_told_at_once_and_thrice() {
    let mut site = Site::new();
    let ear = Ear::new(site.add_beacons());
    let daemon = site.start().await;
    let first = ear.hear().await;
    assert_eq!((first.server.as_str(), first.lines.len()), ("ts", 1));
    assert_eq!(first.lines[0].state, LineState::Free(FreeCause::Restarted));
    let mut took = Vec::new();
    for _ in 0..20 {
        let (alpha, grant) = Client::granted(daemon.address, "alpha").await;
        let held = ear.hear_until(|line| line.state == LineState::Held).await;
        assert_eq!(held.lines[0].epoch, grant.epoch);
        assert_eq!(held.lines[0].holder, "alpha".parse().ok());
        let closed = boottime();
        drop(alpha);
        let free = ear.hear_until(|line| line.state != LineState::Held).await;
        took.push(boottime() - closed);
        assert_eq!(free.lines[0].state, LineState::Free(FreeCause::Closed));
        assert_eq!(free.lines[0].epoch, grant.epoch);
        for n in 1..3 {
            let again = ear.hear().await;
            assert_eq!((again.seq, &again.lines), (free.seq + n, &free.lines));
        }
    }
    took.sort();
    println!("from close to beacon: median {:?}, worst {:?}", took[10], took[19]);
    assert!(took[10] < Duration::from_millis(100), "{took:?}");
}

#[tokio::test]
async fn beacons_grow_over_restarts_and_come_at_their_interval() {
    let mut site = Site::new();
    let ear = Ear::new(site.add_beacons());
    site.add(&["--beacon-interval", "20ms"]);
    let daemon = site.start().await;
    let mut last = ear.hear().await;
    for _ in 0..20 {
        let next = ear.hear().await;
        assert_eq!((next.start, next.seq), (last.start, last.seq + 1));
        assert_eq!(next.interval_ms, 20);
        last = next;
    }
    daemon.kill().await;
    let _daemon = site.restart().await;
    while last.start == ear.hear().await.start {}
    assert!(ear.hear().await.start > last.start);
}

#[tokio::test]
async fn a_single_host_is_told_as_well() {
    let mut site = Site::new();
    let peer = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    site.add(&["--beacon", &peer.local_addr().unwrap().to_string()]);
    let _daemon = site.start().await;
    let mut buf = [0; MAX_DATAGRAM];
    assert!(within(peer.recv(&mut buf)).await.unwrap() > 0);
}

/// A pair of interfaces of this test's own, ready at once. It goes with this.
struct Pair(String);

fn ip(arguments: &str) -> bool {
    let output = Command::new("ip").args(arguments.split(' ')).output();
    output.is_ok_and(|output| output.status.success())
}

impl Pair {
    /// `None` where that is not to be had.
    fn new() -> Option<Self> {
        let pair = Self(format!("lkb{}", std::process::id()));
        if pair.make() {
            return Some(pair);
        }
        let required = std::env::var_os("LINEKEEPER_CI").is_some_and(|value| value == "1");
        assert!(!required, "no veth pair, and LINEKEEPER_CI=1 demands it");
        println!("skipped: needs root and iproute2");
        None
    }

    fn make(&self) -> bool {
        let (a, b) = (self.end("a"), self.end("b"));
        let ready = |(end, n): (&String, u8)| {
            ip(&format!("link set {end} addrgenmode none"))
                && ip(&format!("addr add fe80::{n}/64 dev {end} nodad"))
                && ip(&format!("link set {end} up"))
        };
        ip(&format!("link add {a} type veth peer name {b}"))
            && [(&a, 1), (&b, 2)].into_iter().all(ready)
    }

    fn delete(&self) {
        ip(&format!("link del {}", self.end("a")));
    }

    fn end(&self, end: &str) -> String {
        format!("{}{end}", self.0)
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.delete();
    }
}

#[tokio::test]
async fn beacons_go_out_on_several_interfaces_and_return_with_one_that_was_gone() {
    let Some(pair) = Pair::new() else { return };
    let mut site = Site::new();
    let group = site.add_beacons();
    let group_6: SocketAddr = format!("[ff02::77:13]:{}", group.port()).parse().unwrap();
    site.add(&["--beacon", &group_6.to_string(), "--interface", &pair.end("a")]);
    let far = || Ear::on(group_6, InterfaceName::Name(pair.end("b")));
    let (near, first) = (Ear::new(group), far());
    let _daemon = site.start().await;
    assert_eq!(first.hear().await.server, near.hear().await.server);

    pair.delete();
    for _ in 0..10 {
        near.hear().await;
    }
    assert!(pair.make());
    far().hear().await;
}
