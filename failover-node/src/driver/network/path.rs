//! One path: a receiving socket, and what it needs to be opened.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use sys::{DatagramSocket, Interface, InterfaceName, MulticastSocket};
use wire::Time;

/// What a path is to be. It is opened off the loop, so it travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    /// Datagrams come to this group, or to this address of ours.
    pub(super) address: SocketAddr,
    pub(super) interface: InterfaceName,
}

/// An open path.
#[derive(Debug)]
pub(super) enum Socket {
    Multicast(MulticastSocket),
    Unicast(DatagramSocket),
}

/// One path of this node. Its number, which is its place, never changes.
#[derive(Debug)]
pub(super) struct Path {
    pub(super) plan: Plan,
    /// In words.
    pub(super) name: String,
    /// The place of its network among those configured.
    pub(super) network: usize,
    pub(super) socket: Option<Socket>,
    /// Its interface as it was when the socket was opened; `None` where the system chooses.
    pub(super) interface: Option<Interface>,
    /// Why it does not work, as far as this host knows.
    pub(super) trouble: Option<String>,
    /// Since when it has worked without trouble.
    pub(super) open: Option<Time>,
    /// When it was joined last.
    pub(super) joined: Time,
    /// When another node or a terminal server was heard by it last.
    pub(super) heard: Option<Time>,
}

impl Plan {
    pub(super) fn is_unicast(&self) -> bool {
        !self.address.ip().is_multicast()
    }

    /// Which interface must be there: the group's, or that which has our address.
    fn needs(&self) -> InterfaceName {
        if self.is_unicast() { self.address.ip().into() } else { self.interface.clone() }
    }

    /// Its interface among these; `None` where the system chooses.
    pub(super) fn find(&self, interfaces: &[Interface]) -> io::Result<Option<Interface>> {
        let needs = self.needs();
        if needs.is_any() { Ok(None) } else { needs.find(interfaces).cloned().map(Some) }
    }

    /// Needs a runtime.
    pub(super) fn open(&self, interface: Option<&Interface>) -> io::Result<Socket> {
        let index = interface.map_or(0, |interface| interface.index);
        if self.is_unicast() {
            DatagramSocket::bind(scoped(self.address, index)).map(Socket::Unicast)
        } else {
            let interface = self.interface.clone();
            MulticastSocket::open(self.address, interface).map(Socket::Multicast)
        }
    }
}

impl Socket {
    pub(super) fn datagrams(&self) -> &DatagramSocket {
        match self {
            Self::Multicast(socket) => socket,
            Self::Unicast(socket) => socket,
        }
    }
}

impl Path {
    pub(super) fn new(plan: Plan, network: usize) -> Self {
        Self {
            name: plan.to_string(),
            plan,
            network,
            socket: None,
            interface: None,
            trouble: None,
            open: None,
            joined: Time::ZERO,
            heard: None,
        }
    }

    /// Whether the socket must be opened anew now that its interface is this.
    pub(super) fn is_outdated(&self, now: Option<&Interface>) -> bool {
        match (self.interface.as_ref(), now) {
            (Some(old), Some(new)) if self.plan.is_unicast() => old.index != new.index,
            (old, new) => old != new,
        }
    }

    /// The number of its interface, for addresses that mean something on one link only.
    pub(super) fn index(&self) -> u32 {
        self.interface.as_ref().map_or(0, |interface| interface.index)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_unicast() {
            write!(f, "unicast {}", self.address)
        } else {
            write!(f, "{} on {}", self.address, self.interface)
        }
    }
}

/// A link-local IPv6 address without an interface gets this one.
pub(super) fn scoped(address: SocketAddr, index: u32) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) if v6.ip().is_unicast_link_local() && v6.scope_id() == 0 => {
            SocketAddrV6::new(*v6.ip(), v6.port(), v6.flowinfo(), index).into()
        }
        other => other,
    }
}

/// An interface that cannot carry anything at the moment, in words.
pub(super) fn trouble(interface: &Interface) -> Option<String> {
    let name = &interface.name;
    match (interface.up, interface.running) {
        (true, true) => None,
        (true, false) => Some(format!("{name} has no carrier: is the cable in?")),
        (false, _) => Some(format!("{name} is switched off (ip link set {name} up)")),
    }
}

/// What goes from one to the other must be of one family.
pub(super) fn same_family(one: IpAddr, other: IpAddr) -> bool {
    one.is_ipv4() == other.is_ipv4()
}
