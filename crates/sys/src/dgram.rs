//! Datagrams of the groups: multicast in and out, unicast out, with the TTL they arrived with.

use std::io;
use std::mem::{MaybeUninit, size_of, zeroed};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::{AsRawFd, RawFd};

use socket2::{Domain, Protocol, SockAddr, SockAddrStorage, SockRef, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// A member of one IPv4 multicast group on one interface; hears itself and others on this host.
///
/// Any number of processes may be members of the same group and port. What arrives was sent to
/// the group: the socket is bound to the group's address, so unicast and other groups on the same
/// port are not heard.
#[derive(Debug)]
pub struct MulticastSocket {
    socket: UdpSocket,
    group: SocketAddrV4,
}

/// What [`MulticastSocket::recv`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Bytes put into the buffer.
    pub len: usize,
    /// The sender.
    pub from: SocketAddr,
    /// Hops the datagram had left: 255 only if it came from this link. `None` if the kernel did
    /// not say, which must be treated as "far away".
    pub ttl: Option<u8>,
    /// The datagram was longer than the buffer and its end is lost.
    pub truncated: bool,
}

/// Sends datagrams to one destination, multicast or unicast, and never receives.
#[derive(Debug)]
pub struct DatagramSender {
    socket: Socket,
    dest: SocketAddrV4,
}

impl MulticastSocket {
    /// Joins `group` on the interface that has the address `interface` (127.0.0.1 for loopback).
    /// Needs a tokio runtime with I/O enabled.
    ///
    /// # Errors
    /// `group` is no multicast address ([`io::ErrorKind::InvalidInput`]), no interface has the
    /// address, or somebody bound the port without sharing it.
    pub fn open(group: SocketAddrV4, interface: Ipv4Addr) -> io::Result<Self> {
        if !group.ip().is_multicast() {
            let text = format!("{} is no multicast address", group.ip());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let socket = udp(interface)?;
        socket.set_reuse_address(true)?;
        socket.bind(&SocketAddr::V4(group).into())?;
        socket.join_multicast_v4(group.ip(), &interface)?;
        // Linux gives a socket what *any* socket of the host joined, unless told not to.
        socket.set_multicast_all_v4(false)?;
        enable_recv_ttl(&socket)?;
        Ok(Self { socket: UdpSocket::from_std(socket.into())?, group })
    }

    /// The group and port joined.
    pub fn group(&self) -> SocketAddrV4 {
        self.group
    }

    /// Waits for a datagram and puts it into `buf`. Cancel-safe.
    ///
    /// # Errors
    /// What the system says about the socket; the next call may succeed.
    pub async fn recv(&self, buf: &mut [u8]) -> io::Result<Received> {
        self.socket.async_io(Interest::READABLE, || recvmsg(self.socket.as_raw_fd(), buf)).await
    }

    /// Waits until [`Self::try_recv`] is worth calling.
    ///
    /// # Errors
    /// Only when the runtime is shutting down.
    pub async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// Takes a datagram that is already there.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if there is none, or if the reactor has not seen it yet.
    pub fn try_recv(&self, buf: &mut [u8]) -> io::Result<Received> {
        self.socket.try_io(Interest::READABLE, || recvmsg(self.socket.as_raw_fd(), buf))
    }

    /// Sends `bytes` to the group, or drops them: `false` means that the socket's buffer is full
    /// and the datagram is lost, as the network may lose any. Never waits.
    ///
    /// # Errors
    /// The network is down or the datagram too long; nothing was sent.
    pub fn try_send(&self, bytes: &[u8]) -> io::Result<bool> {
        self.try_send_to(bytes, self.group)
    }

    /// As [`Self::try_send`], to one peer.
    ///
    /// # Errors
    /// As [`Self::try_send`].
    pub fn try_send_to(&self, bytes: &[u8], dest: SocketAddrV4) -> io::Result<bool> {
        // Past the reactor, which calls a new socket not writable until it has looked.
        send(&SockRef::from(&self.socket), bytes, dest)
    }
}

impl DatagramSender {
    /// Prepares to send to `dest`; a multicast leaves by the interface with the address
    /// `interface` and is heard on this host as well.
    ///
    /// # Errors
    /// No interface has the address.
    pub fn open(dest: SocketAddrV4, interface: Ipv4Addr) -> io::Result<Self> {
        Ok(Self { socket: udp(interface)?, dest })
    }

    /// Where datagrams go.
    pub fn dest(&self) -> SocketAddrV4 {
        self.dest
    }

    /// Sends `bytes`, or drops them: see [`MulticastSocket::try_send`].
    ///
    /// # Errors
    /// The network is down or the datagram too long; nothing was sent.
    pub fn try_send(&self, bytes: &[u8]) -> io::Result<bool> {
        send(&self.socket, bytes, self.dest)
    }
}

/// A non-blocking UDP socket whose datagrams carry TTL 255, which no router lets pass unchanged.
fn udp(interface: Ipv4Addr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    socket.set_multicast_if_v4(&interface)?;
    socket.set_multicast_loop_v4(true)?;
    socket.set_multicast_ttl_v4(LINK_TTL)?;
    socket.set_ttl_v4(LINK_TTL)?;
    Ok(socket)
}

fn send(socket: &Socket, bytes: &[u8], dest: SocketAddrV4) -> io::Result<bool> {
    match socket.send_to(bytes, &SocketAddr::V4(dest).into()) {
        Ok(_) => Ok(true),
        Err(error) if is_loss(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

fn is_loss(error: &io::Error) -> bool {
    // ENOBUFS is a full queue of the network device.
    error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(libc::ENOBUFS)
}

fn enable_recv_ttl(socket: &Socket) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the option takes an int, `on` is one and its size is given with it; the kernel
    // copies it before the call returns.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_RECVTTL,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// One `recvmsg` with room for the TTL.
fn recvmsg(fd: RawFd, buf: &mut [u8]) -> io::Result<Received> {
    let mut from = SockAddrStorage::zeroed();
    let mut iov = libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: buf.len() };
    let mut control = MaybeUninit::<Control>::uninit();
    // SAFETY: all zeros (no pointers, no lengths) is a valid msghdr.
    let mut header: libc::msghdr = unsafe { zeroed() };
    header.msg_name = (&raw mut from).cast();
    header.msg_namelen = from.size_of();
    header.msg_iov = &raw mut iov;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of::<Control>() as _;
    // SAFETY: every pointer in `header` is to a live local (or to `buf`) of the length given
    // beside it, and nothing else reads or writes them during the call.
    let len = unsafe { libc::recvmsg(fd, &raw mut header, 0) };
    let len = usize::try_from(len).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: the kernel filled `header` and wrote `msg_controllen` bytes of control messages.
    let ttl = unsafe { ttl_of(&header) };
    // SAFETY: the kernel wrote an address of `msg_namelen` bytes of the socket's family.
    let from = unsafe { SockAddr::new(from, header.msg_namelen) };
    let from = from.as_socket().ok_or_else(|| io::Error::other("a sender without an address"))?;
    Ok(Received { len, from, ttl, truncated: header.msg_flags & libc::MSG_TRUNC != 0 })
}

/// The TTL among the control messages.
///
/// # Safety
/// `header` is as a successful `recvmsg` left it, its control buffer alive and aligned as
/// `cmsghdr`.
unsafe fn ttl_of(header: &libc::msghdr) -> Option<u8> {
    // SAFETY: the caller's promise; the macro checks the length before it gives a pointer.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(header) };
    // SAFETY: not null means a whole header within the buffer.
    while let Some(message) = unsafe { next.as_ref() } {
        if (message.cmsg_level, message.cmsg_type) == (libc::IPPROTO_IP, libc::IP_TTL) {
            // SAFETY: Linux puts an int into an IP_TTL message; unaligned reading is allowed for.
            let ttl = unsafe { libc::CMSG_DATA(message).cast::<libc::c_int>().read_unaligned() };
            return u8::try_from(ttl).ok();
        }
        // SAFETY: `message` is from this header, the macro stops at the end of the buffer.
        next = unsafe { libc::CMSG_NXTHDR(header, message) };
    }
    None
}

/// Room for control messages: a TTL needs 24 bytes, and the type gives `cmsghdr`'s alignment.
type Control = [u64; 8];

/// What a receiver can demand to know that a datagram was sent on its own link.
const LINK_TTL: u32 = 255;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LO: Ipv4Addr = Ipv4Addr::LOCALHOST;

    /// A group of this test's own: the port is one that the system just gave away as free.
    fn group(last: u8) -> SocketAddrV4 {
        let free = std::net::UdpSocket::bind((LO, 0)).unwrap().local_addr().unwrap();
        SocketAddrV4::new(Ipv4Addr::new(239, 255, 77, last), free.port())
    }

    async fn hear(socket: &MulticastSocket, buf: &mut [u8]) -> Received {
        let hearing = tokio::time::timeout(Duration::from_secs(5), socket.recv(buf));
        hearing.await.expect("a datagram within 5 s").unwrap()
    }

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
        for send in [
            DatagramSender::open(dest, LO).unwrap().try_send(b"one"),
            member.try_send_to(b"one", dest),
        ] {
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
}
