//! What loopback shows: IPv4 multicast and unicast between members of one host.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use sys::{DatagramSender, DatagramSocket, MulticastSocket};

use crate::scene::{LO, group, has_heard, hear, hear_nothing};

#[tokio::test]
async fn two_members_on_one_host_hear_a_datagram_with_ttl_255() {
    let group = group(1);
    let first = MulticastSocket::open(group, LO).unwrap();
    let second = MulticastSocket::open(group, LO).unwrap();
    assert!(first.try_send(b"heartbeat").unwrap());
    let mut buf = [0; 64];
    for member in [&first, &second] {
        let received = hear(member, &mut buf).await;
        assert_eq!(&buf[..received.len], b"heartbeat");
        assert_eq!(received.ttl, Some(255));
        assert_eq!(received.from.ip(), LO);
        assert!(!received.truncated);
    }
}

#[tokio::test]
async fn a_sender_reaches_the_group_and_a_single_peer() {
    let group = group(2);
    let member = MulticastSocket::open(group, LO).unwrap();
    let sender = DatagramSender::open(group, LO).unwrap();
    assert!(sender.try_send(b"beacon").unwrap());
    let mut buf = [0; 4];
    let received = hear(&member, &mut buf).await;
    assert_eq!((received.len, received.truncated), (4, true));
    assert_eq!(received.ttl, Some(255));

    let peer = std::net::UdpSocket::bind((LO, 0)).unwrap();
    let SocketAddr::V4(dest) = peer.local_addr().unwrap() else { unreachable!() };
    peer.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    for send in
        [DatagramSender::open(dest, LO).unwrap().try_send(b"one"), member.try_send_to(b"one", dest)]
    {
        assert!(send.unwrap());
        assert_eq!(peer.recv(&mut buf).unwrap(), 3);
    }
}

#[tokio::test]
async fn another_group_or_a_unicast_on_the_same_port_is_not_heard() {
    let ours = group(3);
    let other = SocketAddrV4::new(Ipv4Addr::new(239, 255, 78, 3), ours.port());
    let member = MulticastSocket::open(ours, LO).unwrap();
    let _somebody_else = MulticastSocket::open(other, LO).unwrap();
    let unicast = SocketAddrV4::new(LO, ours.port());
    for dest in [other, unicast] {
        DatagramSender::open(dest, LO).unwrap().try_send(b"not for us").unwrap();
    }
    member.try_send(b"for us").unwrap();
    let mut buf = [0; 64];
    let received = hear(&member, &mut buf).await;
    assert_eq!(&buf[..received.len], b"for us");
    let nothing = member.try_recv(&mut buf).unwrap_err();
    assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn an_address_that_is_no_group_is_refused() {
    let error = MulticastSocket::open(SocketAddrV4::new(LO, 4100), LO).unwrap_err();
    assert!(error.to_string().contains("127.0.0.1 is no multicast address"));
}

#[tokio::test]
async fn an_interface_may_be_named_instead_of_its_address() {
    let group = group(4);
    let by_name = MulticastSocket::open(group, sys::InterfaceName::Name("lo".into())).unwrap();
    let by_address = MulticastSocket::open(group, LO).unwrap();
    by_name.try_send(b"by name").unwrap();
    has_heard(&by_address, "by name").await;
    has_heard(&by_name, "by name").await;
}

#[tokio::test]
async fn a_unicast_address_has_one_owner_and_no_multicast_comes_to_it() {
    let group = group(5);
    let member = MulticastSocket::open(group, LO).unwrap();
    for listen in ["127.0.0.1", "[::1]"] {
        let listen = format!("{listen}:{}", group.port()).parse().unwrap();
        let socket = DatagramSocket::bind(listen).unwrap();
        let error = DatagramSocket::bind(listen).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse, "{listen}");
        member.try_send(b"to the group").unwrap();
        hear_nothing(&socket).await;
        socket.try_send_to(b"to one", listen).unwrap();
        has_heard(&socket, "to one").await;
    }
}

#[tokio::test]
async fn hops_that_a_datagram_has_lost_are_seen() {
    let group = group(6);
    let member = MulticastSocket::open(group, LO).unwrap();
    let far = std::net::UdpSocket::bind((LO, 0)).unwrap();
    far.set_multicast_ttl_v4(254).unwrap();
    let far = socket2::SockRef::from(&far).set_multicast_if_v4(&LO).map(|()| far).unwrap();
    far.send_to(b"routed", group).unwrap();
    let mut buf = [0; 64];
    assert_eq!(hear(&member, &mut buf).await.ttl, Some(254));
}
