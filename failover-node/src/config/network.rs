//! The keys of `[[network]]`.

use std::net::{IpAddr, SocketAddr};

use daemon::config::values::{flag, list, text};
use daemon::config::{Findings, Section};
use sys::InterfaceName;

use super::values;
use crate::driver::Network;

/// All of them, in order.
pub(super) fn read<'t>(file: &mut Section<'t>, findings: &mut Findings<'t>) -> Vec<Network> {
    let sections = file.tables(findings, "network");
    if sections.is_empty() {
        let example = "a [[network]] with `interface` and `multicast`";
        findings.add(&(0..0), format!("there is no network: add {example}"));
    }
    let mut all: Vec<Network> = Vec::new();
    for section in sections {
        let place = section.place();
        let Some(network) = one(section, findings) else { continue };
        let same = |other: &Network| {
            network.multicast.is_some()
                && other.multicast == network.multicast
                && other.interface == network.interface
        };
        let listens = |other: &Network| network.listen.is_some() && other.listen == network.listen;
        if all.iter().any(same) {
            findings.add(&place, format!("{network} is there twice"));
        } else if all.iter().any(listens) {
            let message = "`listen` is that of another network already; give it another port";
            findings.add(&place, message);
        }
        all.push(network);
    }
    all
}

fn one<'t>(mut section: Section<'t>, findings: &mut Findings<'t>) -> Option<Network> {
    let interface = section
        .need(findings, "interface", "\"10.0.0.11\" or \"eth0\"", |v| values::interface(text(v)?));
    let multicast = section.read(findings, "multicast", |v| values::multicast(text(v)?));
    let listen = section.read(findings, "listen", |v| values::listen(text(v)?));
    let peers = section.read(findings, "peers", list(|v| values::peer(text(v)?)));
    let routed = section.read(findings, "routed", flag).unwrap_or(false);
    let place = section.place();
    let has = |key| section.has(key);
    let (groups, listens, sends) = (has("multicast"), has("listen"), has("peers"));
    section.finish(findings);
    if sends && !listens {
        let message = "`peers` needs `listen`, the address and port where they send to this node";
        findings.add(&place, message);
    } else if !groups && !sends {
        findings.add(&place, "nobody hears this node: give `multicast`, or `listen` and `peers`");
    }
    let network = Network {
        interface: interface?,
        multicast,
        listen,
        peers: peers.unwrap_or_default(),
        routed,
    };
    if let Some(message) = mixed(&network) {
        findings.add(&place, message);
    }
    Some(network)
}

/// What is of the wrong family.
fn mixed(network: &Network) -> Option<String> {
    let Network { interface, multicast, listen, peers, .. } = network;
    let family = |address: &SocketAddr| if address.is_ipv4() { "IPv4" } else { "IPv6" };
    let own = match interface {
        InterfaceName::Address(address @ IpAddr::V4(_)) => Some((address.to_string(), "IPv4")),
        InterfaceName::Address(address @ IpAddr::V6(_)) => Some((address.to_string(), "IPv6")),
        InterfaceName::Name(_) => None,
    };
    let multicast_differs =
        multicast.iter().find(|group| own.as_ref().is_some_and(|(_, own)| *own != family(group)));
    if let Some((group, (address, own))) = multicast_differs.zip(own.as_ref()) {
        let other = family(group);
        return Some(format!(
            "{group} is {other} and {address} is {own}: name the interface, or take a group of {own}"
        ));
    }
    let listen = listen.as_ref()?;
    let peer = peers.iter().find(|peer| family(peer) != family(listen))?;
    Some(format!("{peer} cannot be reached from {listen}: one is IPv4, the other IPv6"))
}
