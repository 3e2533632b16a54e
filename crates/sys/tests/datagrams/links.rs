//! Links that come and go, IPv6, and what the kernel says about them.

use std::io;
use std::time::Duration;

use sys::{DatagramSender, DatagramSocket, InterfaceName, LinkWatch, MulticastSocket, interfaces};

use crate::scene::{address, alone_with_a_pair, bare_pair, has_heard, hear_nothing, ip, make_pair};

fn named(name: &str) -> InterfaceName {
    InterfaceName::Name(name.to_owned())
}

async fn is_told(watch: &LinkWatch) {
    let told = tokio::time::timeout(Duration::from_secs(5), watch.changed());
    told.await.expect("told within 5 s");
}

#[tokio::test]
async fn ipv6_groups_are_heard_over_a_link_with_hop_limit_255() {
    if !alone_with_a_pair() {
        return;
    }
    for group in ["[ff02::77:1]:4100", "[ff08::77:1]:4100", "239.255.77.1:4100"] {
        let group = address(group);
        let far = MulticastSocket::open(group, named("vb")).unwrap();
        let near = MulticastSocket::open(group, named("va")).unwrap();
        let sender = DatagramSender::open(group, named("va")).unwrap();
        for send in [near.try_send(b"beat"), sender.try_send(b"beat")] {
            assert!(send.unwrap());
            has_heard(&near, "beat").await;
            // Both ends are this host's, and IPv4 believes no datagram from an address of its own.
            if group.is_ipv6() {
                has_heard(&far, "beat").await;
            }
        }
    }
}

#[tokio::test]
async fn one_group_on_two_interfaces_is_two_paths() {
    if !alone_with_a_pair() {
        return;
    }
    bare_pair("vc", "vd");
    ip("addr add fe80::3/64 dev vc nodad");
    for group in ["[ff02::77:1]:4100", "[ff08::77:1]:4100", "239.255.77.1:4100"] {
        let group = address(group);
        let on_va = MulticastSocket::open(group, named("va")).unwrap();
        let on_vc = MulticastSocket::open(group, named("vc")).unwrap();
        on_va.try_send(b"by va").unwrap();
        has_heard(&on_va, "by va").await;
        hear_nothing(&on_vc).await;
    }
}

#[tokio::test]
async fn ipv6_unicast_peers_hear_each_other() {
    if !alone_with_a_pair() {
        return;
    }
    let a = DatagramSocket::bind(address("[fd00:77::1]:4100")).unwrap();
    let b = DatagramSocket::bind(address("[fd00:77::2]:4100")).unwrap();
    assert!(a.try_send_to(b"one", address("[fd00:77::2]:4100")).unwrap());
    has_heard(&b, "one").await;
}

#[tokio::test]
async fn an_interface_without_an_address_carries_ipv4_multicast() {
    if !alone_with_a_pair() {
        return;
    }
    bare_pair("bare", "other");
    let group = address("239.255.77.1:4100");
    let socket = MulticastSocket::open(group, named("bare")).unwrap();
    assert!(socket.try_send(b"beat").unwrap());
    has_heard(&socket, "beat").await;
}

#[tokio::test]
async fn a_link_that_goes_and_comes_back_is_told_and_can_be_joined_again() {
    if !alone_with_a_pair() {
        return;
    }
    let watch = LinkWatch::new().unwrap();
    let group = address("[ff02::77:1]:4100");
    let index = |name: &str| named(name).find(&interfaces().unwrap()).map(|one| one.index);
    let (first, old) = (index("vb").unwrap(), MulticastSocket::open(group, named("vb")).unwrap());

    ip("link set va down");
    loop {
        is_told(&watch).await;
        let all = interfaces().unwrap();
        let vb = named("vb").find(&all).unwrap();
        if vb.up && !vb.running {
            break;
        }
    }

    ip("link del va");
    is_told(&watch).await;
    assert_eq!(index("vb").unwrap_err().kind(), io::ErrorKind::AddrNotAvailable);
    assert!(MulticastSocket::open(group, named("vb")).is_err());

    make_pair();
    is_told(&watch).await;
    assert_ne!(index("vb").unwrap(), first, "the same name, another interface");
    let sender = DatagramSender::open(group, named("va")).unwrap();
    let new = MulticastSocket::open(group, named("vb")).unwrap();
    sender.try_send(b"back").unwrap();
    has_heard(&new, "back").await;
    hear_nothing(&old).await;
}

#[tokio::test]
async fn a_changed_address_is_told() {
    if !alone_with_a_pair() {
        return;
    }
    for (change, gained) in
        [("addr add 10.77.9.1/24 dev va", 1), ("addr add fd00:99::1/64 dev va nodad", 1)]
    {
        let watch = LinkWatch::new().unwrap();
        let count = || named("va").find(&interfaces().unwrap()).unwrap().addresses.len();
        let before = count();
        ip(change);
        is_told(&watch).await;
        assert_eq!(count(), before + gained, "{change}");
        let quiet = tokio::time::timeout(Duration::from_millis(50), watch.changed());
        assert!(quiet.await.is_err(), "nothing has changed since");
    }
}
