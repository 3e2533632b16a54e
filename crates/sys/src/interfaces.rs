//! The network interfaces of this host: what they are called, and how they stand at the moment.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ffi::CStr;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::ptr;
use std::str::FromStr;

use socket2::{SockAddr, SockAddrStorage};

/// How a user names an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InterfaceName {
    /// By an address that it has; an unspecified one leaves the choice to the system.
    Address(IpAddr),
    /// By its name, whatever its addresses are at the moment.
    Name(String),
}

/// An interface as it is at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// The system's number for it: one that is made anew gets another.
    pub index: u32,
    /// Somebody switched it on.
    pub up: bool,
    /// It has a carrier.
    pub running: bool,
    /// Its addresses, in order.
    pub addresses: Vec<IpAddr>,
}

/// All interfaces of this host, by name.
///
/// # Errors
/// The system gives no list.
pub fn interfaces() -> io::Result<Vec<Interface>> {
    let mut first = ptr::null_mut();
    // SAFETY: the pointer that the call fills is a live local.
    if unsafe { libc::getifaddrs(&raw mut first) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let list = List(first);
    let mut found: BTreeMap<String, Interface> = BTreeMap::new();
    let mut next = list.0;
    // SAFETY: `next` is null or an entry of the list, which `list` keeps alive.
    while let Some(entry) = unsafe { next.as_ref() } {
        next = entry.ifa_next;
        // SAFETY: each entry has a name that ends with a zero, alive as long as the list.
        let name = unsafe { CStr::from_ptr(entry.ifa_name) };
        let flag = |flag: libc::c_int| entry.ifa_flags & flag as libc::c_uint != 0;
        let text = name.to_string_lossy().into_owned();
        let interface = found.entry(text.clone()).or_insert_with(|| Interface {
            name: text,
            // SAFETY: the name ends with a zero.
            index: unsafe { libc::if_nametoindex(name.as_ptr()) },
            up: flag(libc::IFF_UP),
            running: flag(libc::IFF_RUNNING),
            addresses: Vec::new(),
        });
        // SAFETY: null, or an address of the list that is as long as its family says.
        interface.addresses.extend(unsafe { address(entry.ifa_addr) });
    }
    let mut found: Vec<_> = found.into_values().filter(|one| one.index != 0).collect();
    found.iter_mut().for_each(|one| one.addresses.sort());
    Ok(found)
}

impl InterfaceName {
    /// The one of `interfaces` that is meant.
    ///
    /// # Errors
    /// None is; the text says which is missing and what there is.
    pub fn find<'i>(&self, interfaces: &'i [Interface]) -> io::Result<&'i Interface> {
        let is_meant = |interface: &&Interface| match self {
            Self::Name(name) => interface.name == *name,
            // All of 127.0.0.0/8 is loopback's, although it has one address.
            Self::Address(address) if address.is_loopback() => {
                interface.addresses.iter().any(IpAddr::is_loopback)
            }
            Self::Address(address) => interface.addresses.contains(address),
        };
        interfaces.iter().find(is_meant).ok_or_else(|| {
            let names: Vec<_> = interfaces.iter().map(|one| one.name.as_str()).collect();
            let what = match self {
                Self::Name(name) => format!("there is no interface {name}"),
                Self::Address(address) => format!("no interface has the address {address}"),
            };
            let text = format!("{what} (there are: {})", names.join(", "));
            io::Error::new(io::ErrorKind::AddrNotAvailable, text)
        })
    }

    /// Whether the choice is left to the system.
    pub fn is_any(&self) -> bool {
        matches!(self, Self::Address(address) if address.is_unspecified())
    }

    /// The IPv4 address that datagrams are to come from, if it names one.
    pub(crate) fn source(&self) -> Ipv4Addr {
        match self {
            Self::Address(IpAddr::V4(address)) => *address,
            _ => Ipv4Addr::UNSPECIFIED,
        }
    }

    /// Its index now; 0 for the system's choice.
    pub(crate) fn index(&self) -> io::Result<u32> {
        if self.is_any() { Ok(0) } else { Ok(self.find(&interfaces()?)?.index) }
    }
}

impl Default for InterfaceName {
    fn default() -> Self {
        Self::Address(Ipv4Addr::UNSPECIFIED.into())
    }
}

impl FromStr for InterfaceName {
    type Err = Infallible;

    /// What is no address is a name; whether there is one is seen when it is needed.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text.parse().map_or_else(|_| Self::Name(text.to_owned()), Self::Address))
    }
}

impl<A: Into<IpAddr>> From<A> for InterfaceName {
    fn from(address: A) -> Self {
        Self::Address(address.into())
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// What `getifaddrs` gave; given back on drop.
struct List(*mut libc::ifaddrs);

impl Drop for List {
    fn drop(&mut self) {
        // SAFETY: from a successful `getifaddrs`, and freed once.
        unsafe { libc::freeifaddrs(self.0) }
    }
}

/// An IPv4 or IPv6 address; other families have none.
///
/// # Safety
/// `from` is null or points to an address that is as long as its family says.
unsafe fn address(from: *const libc::sockaddr) -> Option<IpAddr> {
    // SAFETY: the caller's promise; every address has a family.
    let family = unsafe { from.as_ref() }?.sa_family;
    let len = match i32::from(family) {
        libc::AF_INET => size_of::<libc::sockaddr_in>(),
        libc::AF_INET6 => size_of::<libc::sockaddr_in6>(),
        _ => return None,
    };
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: `len` bytes are there by the caller's promise, and the storage has room for any
    // address of a socket.
    unsafe { ptr::copy_nonoverlapping(from.cast::<u8>(), (&raw mut storage).cast(), len) };
    // SAFETY: the storage holds an address of `len` bytes of that family.
    let address = unsafe { SockAddr::new(storage, len as libc::socklen_t) };
    Some(address.as_socket()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_found_by_its_name_and_by_its_address() {
        let all = interfaces().unwrap();
        let lo = InterfaceName::Name("lo".into()).find(&all).unwrap();
        assert!(lo.up && lo.running && lo.index > 0, "{lo:?}");
        assert!(lo.addresses.contains(&Ipv4Addr::LOCALHOST.into()));
        for address in ["127.0.0.1", "127.0.0.77"] {
            assert_eq!(address.parse::<InterfaceName>().unwrap().find(&all).unwrap(), lo);
        }
    }

    #[test]
    fn an_interface_that_is_not_there_is_named_beside_those_that_are() {
        let all = interfaces().unwrap();
        for (text, expected) in [
            ("nosuch7", "there is no interface nosuch7 (there are: "),
            ("192.0.2.77", "no interface has the address 192.0.2.77 (there are: "),
        ] {
            let error = text.parse::<InterfaceName>().unwrap().find(&all).unwrap_err().to_string();
            assert!(error.starts_with(expected) && error.contains("lo"), "{error}");
        }
    }
}
