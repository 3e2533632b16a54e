//! Being told that something changed about this host's interfaces.

use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::descriptor::watch;

/// Tells that interfaces or their addresses came, went or changed; not which: look at
/// [`crate::interfaces()`].
///
/// The messages of the kernel (rtnetlink) are thrown away unread, since only the present counts. A
/// kernel may drop some when there are too many, so look now and then without being told, too.
#[derive(Debug)]
pub struct LinkWatch {
    fd: AsyncFd<OwnedFd>,
}

impl LinkWatch {
    /// Begins to listen. Needs a tokio runtime with I/O enabled.
    ///
    /// # Errors
    /// The process has no descriptors left, or may not open such a socket.
    pub fn new() -> io::Result<Self> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        // No protocol means rtnetlink.
        let fd = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        bind(&fd, &SocketAddrNetlink::new(0, GROUPS))?;
        Ok(Self { fd: watch(fd, Interest::READABLE)? })
    }

    /// Ready when something has changed since the last time that it was ready.
    pub fn poll_changed(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut changed = false;
        loop {
            let guard = match self.fd.poll_read_ready(cx) {
                Poll::Pending if changed => return Poll::Ready(()),
                // An error means that the runtime is going; nothing will be waited for again.
                ready => ready!(ready),
            };
            let Ok(mut guard) = guard else { return Poll::Pending };
            let mut message = [0_u8; 512];
            let took = guard.try_io(|fd| match recv(fd, &mut message[..], RecvFlags::empty()) {
                // Too many at once: some are lost, but that there were some is what counts.
                Ok(_) | Err(Errno::NOBUFS) => Ok(()),
                Err(error) => Err(error.into()),
            });
            match took {
                Ok(Ok(())) => changed = true,
                // Only a broken descriptor could say so; the caller's slow look remains.
                Ok(Err(_)) => return Poll::Pending,
                // Read to its end.
                Err(_would_block) => {}
            }
        }
    }

    /// Waits until something changes. Cancel-safe.
    pub async fn changed(&self) {
        std::future::poll_fn(|cx| self.poll_changed(cx)).await;
    }
}

/// Changes of links, and of IPv4 and IPv6 addresses.
const GROUPS: u32 =
    (libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV6_IFADDR) as u32;
