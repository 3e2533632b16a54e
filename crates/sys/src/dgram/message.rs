//! What socket2 lacks: one received datagram with the hops it had left, and two options.

use std::io;
use std::mem::{MaybeUninit, size_of, zeroed};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};

use socket2::{SockAddr, SockAddrStorage, Socket};

/// What [`super::DatagramSocket::recv`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Bytes put into the buffer.
    pub len: usize,
    /// The sender.
    pub from: SocketAddr,
    /// Hops the datagram had left (TTL, or IPv6's hop limit): 255 only if it came from this link.
    /// `None` if the kernel did not say, which must be treated as "far away".
    pub ttl: Option<u8>,
    /// The datagram was longer than the buffer and its end is lost.
    pub truncated: bool,
}

/// From now on each received datagram comes with its TTL.
pub(super) fn enable_recv_ttl(socket: &Socket) -> io::Result<()> {
    let on: libc::c_int = 1;
    set_option(socket, libc::IP_RECVTTL, &on)
}

/// Multicasts leave by the interface with this index, and come from this address of it;
/// unspecified ones leave the choice to the system.
pub(super) fn set_multicast_if(socket: &Socket, index: u32, source: Ipv4Addr) -> io::Result<()> {
    let request = libc::ip_mreqn {
        imr_multiaddr: libc::in_addr { s_addr: 0 },
        imr_address: libc::in_addr { s_addr: u32::from_ne_bytes(source.octets()) },
        imr_ifindex: libc::c_int::try_from(index).map_err(io::Error::other)?,
    };
    set_option(socket, libc::IP_MULTICAST_IF, &request)
}

fn set_option<T: Copy>(socket: &Socket, option: libc::c_int, value: &T) -> io::Result<()> {
    // SAFETY: the two callers give what the option takes (an int, an ip_mreqn) with its size; the
    // kernel copies it before the call returns.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            option,
            (&raw const *value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// One `recvmsg` with room for the TTL.
pub(super) fn recvmsg(fd: RawFd, buf: &mut [u8]) -> io::Result<Received> {
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
        if HOPS.contains(&(message.cmsg_level, message.cmsg_type)) {
            // SAFETY: Linux puts an int into either message; unaligned reading is allowed for.
            let ttl = unsafe { libc::CMSG_DATA(message).cast::<libc::c_int>().read_unaligned() };
            return u8::try_from(ttl).ok();
        }
        // SAFETY: `message` is from this header, the macro stops at the end of the buffer.
        next = unsafe { libc::CMSG_NXTHDR(header, message) };
    }
    None
}

/// The messages that tell it, of IPv4 and IPv6.
const HOPS: [(libc::c_int, libc::c_int); 2] =
    [(libc::IPPROTO_IP, libc::IP_TTL), (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT)];

/// Room for control messages: a TTL needs 24 bytes, and the type gives `cmsghdr`'s alignment.
type Control = [u64; 8];
