//! Real sockets: several paths at once, links that come and go, peers without multicast.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use sys::{InterfaceName, boottime};
use wire::{BootId, Datagram, Heartbeat, Key, Time};

use super::report::PathReport;
use super::{Heard, Networks};
use crate::core::Profile;
use crate::core::config::Behaviour;
use crate::driver::{Hooks, Network, Options};

fn now() -> Time {
    Time::from_boot(boottime())
}

fn options(node: &str, networks: Vec<Network>) -> Options {
    Options {
        group: "g".parse().unwrap(),
        node: node.parse().unwrap(),
        keys: Key::new(0, *b"0123456789abcdef0123456789abcdef").into(),
        networks,
        lines: Vec::new(),
        profile: Profile::STANDARD,
        behaviour: Behaviour::default(),
        check: None,
        hooks: Hooks::default(),
        events: None,
        status: None,
        maintenance: None,
        own_process: false,
    }
}

fn group(interface: &str, address: &str) -> Network {
    Network {
        interface: InterfaceName::Name(interface.into()),
        multicast: Some(address.parse().unwrap()),
        listen: None,
        peers: Vec::new(),
        routed: false,
    }
}

fn open(node: &str, networks: Vec<Network>) -> Networks {
    Networks::open(&options(node, networks), now()).unwrap()
}

fn free_port() -> u16 {
    std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// `from` sends heartbeats until `done` is so of `to`, which hears them meanwhile.
async fn beat_until(
    (from, to): (&mut Networks, &mut Networks),
    seq: &mut u64,
    done: impl Fn(&[PathReport]) -> bool,
) {
    let deadline = boottime() + Duration::from_secs(15);
    while !done(&to.path_reports(now())) {
        assert!(boottime() < deadline, "{:?}", to.path_reports(now()));
        *seq += 1;
        let (group, node) = (from.group.clone(), from.node.clone());
        from.send(Heartbeat::new(group, node, BootId([7; 16]), *seq), now());
        let _ = tokio::time::timeout(Duration::from_millis(10), to.readable()).await;
        while !matches!(to.hear(now()), Heard::Nothing) {}
        while !matches!(from.hear(now()), Heard::Nothing) {}
        let _ = tokio::time::timeout(Duration::from_millis(1), from.readable()).await;
    }
}

fn losses(paths: &[PathReport]) -> Vec<Option<u8>> {
    paths.iter().map(|path| path.nodes.first().map(|node| node.loss_percent)).collect()
}

/// Two pairs of interfaces, which go with this. Both ends are this host's, so IPv6 alone passes.
struct Pairs(String);

fn ip(arguments: &str) -> bool {
    let output = Command::new("ip").args(arguments.split(' ')).output();
    output.is_ok_and(|output| output.status.success())
}

impl Pairs {
    /// `None` where that is not to be had.
    fn new(test: char) -> Option<Self> {
        let pairs = Self(format!("lkn{}{test}", std::process::id()));
        if pairs.make(1) && pairs.make(2) {
            return Some(pairs);
        }
        let required = std::env::var_os("LINEKEEPER_CI").is_some_and(|value| value == "1");
        assert!(!required, "no veth pairs, and LINEKEEPER_CI=1 demands them");
        println!("skipped: needs root and iproute2");
        None
    }

    fn end(&self, node: &str, pair: u8) -> String {
        format!("{}{node}{pair}", self.0)
    }

    fn make(&self, pair: u8) -> bool {
        let (a, b) = (self.end("a", pair), self.end("b", pair));
        let ready = |(end, n): (&String, u8)| {
            ip(&format!("link set {end} addrgenmode none"))
                && ip(&format!("addr add fe80::{pair}:{n}/64 dev {end} nodad"))
                && ip(&format!("link set {end} up"))
        };
        ip(&format!("link add {a} type veth peer name {b}"))
            && [(&a, 1), (&b, 2)].into_iter().all(ready)
    }

    fn delete(&self, pair: u8) {
        ip(&format!("link del {}", self.end("a", pair)));
    }

    fn networks(&self, node: &str, port: u16) -> Vec<Network> {
        let group_6 = format!("[ff08::77:1]:{port}");
        [1, 2].map(|pair| group(&self.end(node, pair), &group_6)).to_vec()
    }
}

impl Drop for Pairs {
    fn drop(&mut self) {
        self.delete(1);
        self.delete(2);
    }
}

#[tokio::test]
async fn a_cut_network_loses_all_while_the_other_carries_on_and_returns_with_its_interface() {
    let Some(pairs) = Pairs::new('c') else { return };
    let port = free_port();
    let mut a = open("a", pairs.networks("a", port));
    let mut b = open("b", pairs.networks("b", port));
    let mut seq = 0;
    let whole = |paths: &[PathReport]| losses(paths) == [Some(0), Some(0)];
    beat_until((&mut a, &mut b), &mut seq, |paths| seq_of(paths) && whole(paths)).await;
    pairs.delete(2);
    beat_until((&mut a, &mut b), &mut seq, |paths| {
        losses(paths) == [Some(0), Some(100)] && paths[1].trouble.is_some()
    })
    .await;
    assert!(b.path_reports(now())[0].trouble.is_none());
    assert!(pairs.make(2));
    beat_until((&mut a, &mut b), &mut seq, |paths| {
        paths.iter().all(|path| path.trouble.is_none()) && whole(paths)
    })
    .await;
}

/// Both paths have brought something.
fn seq_of(paths: &[PathReport]) -> bool {
    paths.iter().all(|path| path.heard_ms.is_some())
}

#[tokio::test]
async fn peers_hear_each_other_without_multicast() {
    let address = |port| -> SocketAddr { ([127, 0, 0, 1], port).into() };
    let (one, two) = (address(free_port()), address(free_port()));
    let network = |listen| Network {
        interface: InterfaceName::Name("lo".into()),
        multicast: None,
        listen: Some(listen),
        peers: vec![one, two],
        routed: false,
    };
    let (mut a, mut b) = (open("a", vec![network(one)]), open("b", vec![network(two)]));
    beat_until((&mut a, &mut b), &mut 0, |paths| losses(paths) == [Some(0)]).await;
    beat_until((&mut b, &mut a), &mut 0, |paths| losses(paths) == [Some(0)]).await;
    assert_eq!(b.path_reports(now())[0].path, format!("unicast {two}"));
    assert_eq!(a.refused().len() + b.refused().len(), 0);
}

#[tokio::test]
async fn a_network_that_is_missing_at_the_start_is_waited_for_unless_there_is_no_other() {
    let port = free_port();
    let here = group("lo", &format!("239.255.79.2:{port}"));
    let missing = group("nosuch7", &format!("239.255.79.2:{port}"));
    let networks = open("a", vec![missing.clone(), here]);
    let paths = networks.path_reports(now());
    let trouble = paths[0].trouble.as_deref().unwrap_or_default();
    assert!(trouble.contains("there is no interface nosuch7"), "{trouble}");
    assert_eq!(paths[1].trouble, None);
    let error = Networks::open(&options("a", vec![missing]), now()).unwrap_err().to_string();
    assert!(error.contains("on nosuch7: there is no interface nosuch7"), "{error}");
}

#[tokio::test]
async fn a_datagram_that_has_lost_a_hop_is_refused_unless_its_network_is_routed() {
    let listen: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let network = |routed| Network {
        interface: InterfaceName::Name("lo".into()),
        multicast: None,
        listen: Some(listen),
        peers: vec![listen],
        routed,
    };
    let heartbeat = Heartbeat::new("g".parse().unwrap(), "b".parse().unwrap(), BootId([1; 16]), 1);
    for routed in [false, true] {
        let mut a = open("a", vec![network(routed)]);
        let far = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        far.set_ttl(254).unwrap();
        let key = options("a", Vec::new()).keys;
        let bytes = Datagram::Heartbeat(heartbeat.clone()).encode(key.sender());
        far.send_to(&bytes, listen).unwrap();
        let heard = loop {
            a.readable().await;
            match a.hear(now()) {
                Heard::Nothing => {}
                heard => break heard,
            }
        };
        assert_eq!(matches!(heard, Heard::Datagram(_)), routed, "{heard:?}");
        assert_eq!(a.refused().get("ttl").copied(), (!routed).then_some(1));
    }
}
