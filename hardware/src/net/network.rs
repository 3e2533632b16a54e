//! Hosts and what joins them.

use std::ffi::OsStr;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::process::Command;

use super::filter::{self, Loss, mark};
use super::namespace::{Namespace, sweep};
use super::tools::{batch, ip};
use crate::error::{LabError, Result};

/// Some hosts, each with an interface to each of the bridges. Nothing of the machine's own network
/// takes part, and nothing of it is changed. Dropping it removes all.
#[derive(Debug)]
pub struct Network {
    hub: Namespace,
    hosts: Vec<Namespace>,
    ways: usize,
}

impl Network {
    /// So many hosts, joined by so many bridges.
    ///
    /// # Errors
    /// Something of it is not to be had here.
    pub fn lay(hosts: usize, ways: usize) -> Result<Self> {
        if let Some(need) = super::tools::missing() {
            return Err(LabError::Misuse(format!("networks of one's own need {need}")));
        }
        sweep();
        let hub = Namespace::new("hub")?;
        let spaces = (0..hosts).map(|host| Namespace::new(&format!("h{host}")));
        let network = Self { hub, hosts: spaces.collect::<Result<_>>()?, ways };
        for way in 0..ways {
            // No snooping and no spanning tree: a plain switch that forwards from its first moment.
            let bridge = "type bridge mcast_snooping 0 stp_state 0 forward_delay 0";
            ip(&format!("-n {} link add br{way} {bridge}", network.hub.name()))?;
            ip(&format!("-n {} link set br{way} up", network.hub.name()))?;
            for host in 0..hosts {
                network.join(host, way)?;
            }
        }
        network.lose(&[])?;
        Ok(network)
    }

    fn join(&self, host: usize, way: usize) -> Result<()> {
        let (hub, space) = (self.hub.name(), self.hosts[host].name());
        let (port, mark) = (port(host, way), mark(host));
        let near = format!("eth{way} address 02:6c:6b:00:{way:02x}:{mark:02x} netns {space}");
        ip(&format!("link add {near} type veth peer name {port} netns {hub}"))?;
        batch(
            "ip",
            hub,
            &[format!("link set dev {port} master br{way}"), format!("link set dev {port} up")],
        )?;
        let (four, six) = (Self::address_on(host, way), Self::address_6_on(host, way));
        batch(
            "ip",
            space,
            &[
                format!("addr add {four}/24 dev eth{way}"),
                // It is nobody else's, so nobody has to be asked first.
                format!("addr add {six}/64 dev eth{way} nodad"),
                format!("link set dev eth{way} up"),
            ],
        )?;
        batch("tc", hub, &[format!("qdisc add dev {port} clsact")])
    }

    /// A host's address on the first bridge.
    pub fn address(host: usize) -> Ipv4Addr {
        Self::address_on(host, 0)
    }

    /// A host's address on one of the bridges.
    pub fn address_on(host: usize, way: usize) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, u8::try_from(way).unwrap_or(u8::MAX), mark(host))
    }

    /// Likewise, for IPv6.
    pub fn address_6_on(host: usize, way: usize) -> Ipv6Addr {
        let way = u16::try_from(way).unwrap_or(u16::MAX);
        Ipv6Addr::new(0xfd77, 0, 0, way, 0, 0, 0, u16::from(mark(host)))
    }

    /// What a host calls its interface to one of the bridges.
    pub fn interface(way: usize) -> String {
        format!("eth{way}")
    }

    /// How many hosts there are.
    pub fn hosts(&self) -> usize {
        self.hosts.len()
    }

    /// A command that runs on a host.
    pub fn command(&self, host: usize, program: impl AsRef<OsStr>) -> Command {
        self.hosts[host].command(program)
    }

    /// From now on these frames vanish, on all bridges, and no others do.
    ///
    /// # Errors
    /// The kernel takes no filter.
    pub fn lose(&self, losses: &[Loss]) -> Result<()> {
        let ways: Vec<_> = (0..self.ways).collect();
        self.lose_on(&ways, losses)
    }

    /// Likewise on these bridges only; the others stay as they are.
    ///
    /// # Errors
    /// As [`Self::lose`].
    pub fn lose_on(&self, ways: &[usize], losses: &[Loss]) -> Result<()> {
        let mut lines = Vec::new();
        for (way, host) in ways.iter().flat_map(|way| (0..self.hosts()).map(move |h| (way, h))) {
            let (port, program) = (port(host, *way), filter::program(host, losses));
            lines.push(format!(
                "filter replace dev {port} egress protocol all pref 1 handle 1 bpf da bytecode \
                 \"{program}\""
            ));
        }
        batch("tc", self.hub.name(), &lines)
    }

    /// No frames vanish any more.
    ///
    /// # Errors
    /// As [`Self::lose`].
    pub fn heal(&self) -> Result<()> {
        self.lose(&[])
    }

    /// Every frame to and from these hosts, among themselves excepted.
    pub fn apart(&self, hosts: &[usize]) -> Vec<Loss> {
        let others = |host: &usize| !hosts.contains(host);
        let pairs = hosts.iter().flat_map(|one| {
            (0..self.hosts())
                .filter(others)
                .flat_map(|other| [Loss::cut(*one, other), Loss::cut(other, *one)])
        });
        pairs.collect()
    }
}

/// The bridge's end of a host's cable.
fn port(host: usize, way: usize) -> String {
    format!("p{host}w{way}")
}
