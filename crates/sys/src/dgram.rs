//! Datagrams of the groups: multicast and unicast, IPv4 and IPv6, with the hops they had left.

use std::io;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::num::NonZeroU32;
use std::ops::Deref;
use std::os::fd::AsRawFd;
use std::task::{Context, Poll};

use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockRef, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::interfaces::InterfaceName;

mod message;

pub use message::Received;
use message::{enable_recv_ttl, recvmsg, set_multicast_if};

/// A socket that receives and sends datagrams. What it sends has TTL (IPv6: hop limit) 255, which
/// no router lets pass unchanged.
#[derive(Debug)]
pub struct DatagramSocket {
    socket: UdpSocket,
}

/// A member of one multicast group on one interface; hears itself and others on this host.
///
/// Any number of processes may be members of the same group and port. What arrives was sent to
/// the group and came in at the interface: the socket is bound to the group's address, so unicast,
/// other groups on the same port and other interfaces are not heard.
#[derive(Debug)]
pub struct MulticastSocket {
    socket: DatagramSocket,
    group: SocketAddr,
}

/// Sends datagrams to one destination, multicast or unicast, and never receives.
#[derive(Debug)]
pub struct DatagramSender {
    socket: Socket,
    dest: SocketAddr,
}

impl DatagramSocket {
    /// Receives what is sent to `address`, and nobody else does. Needs a tokio runtime with I/O
    /// enabled.
    ///
    /// # Errors
    /// No interface has the address, or the port is in use.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = udp(address)?;
        socket.bind(&address.into())?;
        // Only now: it lets members of groups use the port, too, and no second one the address.
        socket.set_reuse_address(true)?;
        Self::new(socket, address)
    }

    fn new(socket: Socket, address: SocketAddr) -> io::Result<Self> {
        // Linux gives a socket what *any* socket of the host joined, unless told not to.
        match address {
            SocketAddr::V4(_) => {
                socket.set_multicast_all_v4(false)?;
                enable_recv_ttl(&socket)?;
            }
            SocketAddr::V6(_) => {
                socket.set_multicast_all_v6(false)?;
                socket.set_recv_hoplimit_v6(true)?;
            }
        }
        Ok(Self { socket: UdpSocket::from_std(socket.into())? })
    }

    /// Waits for a datagram and puts it into `buf`. Cancel-safe.
    ///
    /// # Errors
    /// What the system says about the socket; the next call may succeed.
    pub async fn recv(&self, buf: &mut [u8]) -> io::Result<Received> {
        self.socket.async_io(Interest::READABLE, || recvmsg(self.socket.as_raw_fd(), buf)).await
    }

    /// Ready when [`Self::try_recv`] is worth calling.
    ///
    /// # Errors
    /// Only when the runtime is shutting down.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_recv_ready(cx)
    }

    /// Takes a datagram that is already there.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if there is none, or if the reactor has not seen it yet.
    pub fn try_recv(&self, buf: &mut [u8]) -> io::Result<Received> {
        self.socket.try_io(Interest::READABLE, || recvmsg(self.socket.as_raw_fd(), buf))
    }

    /// Sends `bytes`, or drops them: `false` means that a buffer is full and the datagram is lost,
    /// as the network may lose any. Never waits.
    ///
    /// # Errors
    /// The network is down or the datagram too long; nothing was sent.
    pub fn try_send_to(&self, bytes: &[u8], dest: impl Into<SocketAddr>) -> io::Result<bool> {
        // Past the reactor, which calls a new socket not writable until it has looked.
        send(&SockRef::from(&self.socket), bytes, dest.into())
    }
}

impl MulticastSocket {
    /// Joins `group` on an interface (127.0.0.1 for loopback, IPv4 only). Needs a tokio runtime
    /// with I/O enabled.
    ///
    /// # Errors
    /// `group` is no multicast address ([`io::ErrorKind::InvalidInput`]), there is no such
    /// interface ([`io::ErrorKind::AddrNotAvailable`]), or somebody bound the port without sharing
    /// it.
    pub fn open(
        group: impl Into<SocketAddr>,
        interface: impl Into<InterfaceName>,
    ) -> io::Result<Self> {
        let (mut group, interface) = (group.into(), interface.into());
        if !group.ip().is_multicast() {
            let text = format!("{} is no multicast address", group.ip());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let index = interface.index()?;
        let socket = udp(group)?;
        leave_by(&socket, &mut group, index, &interface)?;
        socket.set_reuse_address(true)?;
        if group.is_ipv6() {
            // Linux looks at the group only, where IPv4 looks at the interface, too.
            socket.bind_device_by_index_v6(NonZeroU32::new(index))?;
        }
        socket.bind(&group.into())?;
        match group {
            SocketAddr::V4(group) => {
                let on = match index {
                    0 => InterfaceIndexOrAddress::Address(interface.source()),
                    index => InterfaceIndexOrAddress::Index(index),
                };
                socket.join_multicast_v4_n(group.ip(), &on)?;
            }
            SocketAddr::V6(group) => socket.join_multicast_v6(group.ip(), index)?,
        }
        Ok(Self { socket: DatagramSocket::new(socket, group)?, group })
    }

    /// The group and port joined.
    pub fn group(&self) -> SocketAddr {
        self.group
    }

    /// Sends `bytes` to the group; as [`DatagramSocket::try_send_to`].
    ///
    /// # Errors
    /// The network is down or the datagram too long; nothing was sent.
    pub fn try_send(&self, bytes: &[u8]) -> io::Result<bool> {
        self.try_send_to(bytes, self.group)
    }
}

impl Deref for MulticastSocket {
    type Target = DatagramSocket;

    fn deref(&self) -> &DatagramSocket {
        &self.socket
    }
}

impl DatagramSender {
    /// Prepares to send to `dest`; a multicast leaves by `interface` and is heard on this host as
    /// well.
    ///
    /// # Errors
    /// There is no such interface ([`io::ErrorKind::AddrNotAvailable`]).
    pub fn open(
        dest: impl Into<SocketAddr>,
        interface: impl Into<InterfaceName>,
    ) -> io::Result<Self> {
        let (mut dest, interface) = (dest.into(), interface.into());
        let socket = udp(dest)?;
        if dest.ip().is_multicast() {
            leave_by(&socket, &mut dest, interface.index()?, &interface)?;
        }
        Ok(Self { socket, dest })
    }

    /// Where datagrams go.
    pub fn dest(&self) -> SocketAddr {
        self.dest
    }

    /// Sends `bytes`, or drops them: see [`DatagramSocket::try_send_to`].
    ///
    /// # Errors
    /// The network is down or the datagram too long; nothing was sent.
    pub fn try_send(&self, bytes: &[u8]) -> io::Result<bool> {
        send(&self.socket, bytes, self.dest)
    }
}

/// A non-blocking UDP socket for an address or to a destination of that family.
fn udp(like: SocketAddr) -> io::Result<Socket> {
    let kind = Type::DGRAM.nonblocking();
    let socket = Socket::new(Domain::for_address(like), kind, Some(Protocol::UDP))?;
    match like {
        SocketAddr::V4(_) => {
            socket.set_multicast_loop_v4(true)?;
            socket.set_multicast_ttl_v4(LINK_TTL)?;
            socket.set_ttl_v4(LINK_TTL)?;
        }
        SocketAddr::V6(_) => {
            // Another socket may have the same port for IPv4.
            socket.set_only_v6(true)?;
            socket.set_multicast_loop_v6(true)?;
            socket.set_multicast_hops_v6(LINK_TTL)?;
            socket.set_unicast_hops_v6(LINK_TTL)?;
        }
    }
    Ok(socket)
}

/// Multicasts leave by this interface. By its number, so that it needs no address for it.
fn leave_by(
    socket: &Socket,
    group: &mut SocketAddr,
    index: u32,
    interface: &InterfaceName,
) -> io::Result<()> {
    match group {
        SocketAddr::V4(_) => set_multicast_if(socket, index, interface.source()),
        SocketAddr::V6(group) => {
            socket.set_multicast_if_v6(index)?;
            if is_of_a_link(group) {
                group.set_scope_id(index);
            }
            Ok(())
        }
    }
}

/// Whether the address means something on each link, so that it is none without its interface.
fn is_of_a_link(address: &SocketAddrV6) -> bool {
    let ip: &Ipv6Addr = address.ip();
    ip.is_unicast_link_local() || (ip.is_multicast() && ip.segments()[0] & 0x0f <= 2)
}

fn send(socket: &Socket, bytes: &[u8], dest: SocketAddr) -> io::Result<bool> {
    match socket.send_to(bytes, &dest.into()) {
        Ok(_) => Ok(true),
        Err(error) if is_loss(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

fn is_loss(error: &io::Error) -> bool {
    // ENOBUFS is a full queue of the network device.
    error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(libc::ENOBUFS)
}

/// What a receiver can demand to know that a datagram was sent on its own link.
const LINK_TTL: u32 = 255;
