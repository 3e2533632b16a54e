//! Addresses on this machine that nobody else uses, so that labs that run side by side do not meet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};

use rand::rngs::SysRng;
use rand::{RngExt, TryRng};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::chain::SERVER_HOST;
use crate::error::{LabError, Result};
use crate::net::Network;

/// Where a chain meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Heartbeats and beacons.
    pub multicast: SocketAddr,
    /// The terminal server's listener.
    pub listen: SocketAddr,
}

/// What a chain stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ground {
    /// Everything on loopback.
    #[default]
    Loopback,
    /// A host of its own for each program, joined by so many bridges.
    Network {
        /// How many. The last one carries the connections to the terminal server.
        ways: usize,
        /// What is spoken there, by programs that know interfaces by name; or IPv4.
        ipv6: bool,
    },
}

impl Place {
    /// Addresses in a network of the chain's own, where nobody else is.
    pub fn in_network(ways: usize, ipv6: bool) -> Self {
        let last = ways.saturating_sub(1);
        let (group, server): (IpAddr, IpAddr) = match ipv6 {
            false => (GROUP.into(), Network::address_on(SERVER_HOST, last).into()),
            true => (GROUP_6.into(), Network::address_6_on(SERVER_HOST, last).into()),
        };
        Self { multicast: SocketAddr::new(group, 4100), listen: SocketAddr::new(server, 4000) }
    }

    /// Draws addresses until some are free.
    ///
    /// # Errors
    /// None was, which means that loopback does not work.
    pub fn choose() -> Result<Self> {
        let mut seed = [0; 32];
        // Without random numbers the process's own number still tells labs apart.
        if SysRng.try_fill_bytes(&mut seed).is_err() {
            seed[..4].copy_from_slice(&std::process::id().to_le_bytes());
        }
        let mut draw = ChaCha8Rng::from_seed(seed);
        for _ in 0..ATTEMPTS {
            let address = [239, 255, draw.random_range(1..255), draw.random_range(1..255)];
            let (group, listen) = (draw.random_range(PORTS), draw.random_range(PORTS));
            let place = Self {
                multicast: (address, group).into(),
                listen: (Ipv4Addr::LOCALHOST, listen).into(),
            };
            if place.is_free() {
                return Ok(place);
            }
        }
        Err(LabError::Line(format!("found no free address on loopback in {ATTEMPTS} attempts")))
    }

    /// Whether nobody is there. A multicast port can be shared, so it is asked for without sharing.
    fn is_free(&self) -> bool {
        UdpSocket::bind(self.multicast).is_ok() && TcpListener::bind(self.listen).is_ok()
    }
}

/// Groups for a site, as docs/network.md has them.
const GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 77, 1);
const GROUP_6: Ipv6Addr = Ipv6Addr::new(0xff08, 0, 0, 0, 0, 0, 0x77, 1);
/// Draws before giving up; the second one is rare already.
const ATTEMPTS: u32 = 50;
/// Below the ports that Linux gives to outgoing connections, which may take a free one at any time.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
