//! The multicast socket: heartbeats out, heartbeats and beacons in, and why some are refused.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use sys::{MulticastSocket, Received};
use wire::{Datagram, Heartbeat, Key, MAX_DATAGRAM, Name, Time};

use super::options::{Interface, Network, Options};

/// The socket of the heartbeat function: all that a standby has.
#[derive(Debug)]
pub(crate) struct Heartbeats {
    socket: MulticastSocket,
    group: Name,
    key: Key,
    routed: bool,
    refused: BTreeMap<&'static str, Refused>,
    buffer: Vec<u8>,
}

/// Datagrams that were refused for one cause.
#[derive(Debug, Default)]
struct Refused {
    count: u64,
    logged: Option<Time>,
}

/// What one look at the socket found.
#[derive(Debug)]
pub(crate) enum Heard {
    /// One to believe, as far as its MAC goes.
    Datagram(Datagram),
    /// One that was counted and forgotten.
    Refused,
    /// None.
    Nothing,
}

impl Heartbeats {
    pub(crate) fn open(options: &Options) -> io::Result<Self> {
        Ok(Self {
            socket: open(&options.networks)?,
            group: options.group.clone(),
            key: options.keys.sender().clone(),
            routed: options.networks.iter().any(|network| network.routed),
            refused: BTreeMap::new(),
            // One byte more than allowed shows an oversize datagram for what it is.
            buffer: vec![0; MAX_DATAGRAM + 1],
        })
    }

    /// Waits until [`Self::hear`] is worth calling. Cancel-safe.
    pub(crate) async fn readable(&self) {
        // An error means that the runtime is going, and then nothing is waited for any more.
        let _ = self.socket.readable().await;
    }

    /// Takes one datagram.
    pub(crate) fn hear(&mut self, now: Time) -> Heard {
        let received = match self.socket.try_recv(&mut self.buffer) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Heard::Nothing,
            Err(error) => {
                self.refuse("socket", &error.to_string(), "?", now);
                return Heard::Nothing;
            }
        };
        let from = received.from.to_string();
        if !self.routed && received.ttl != Some(LINK_TTL) {
            let why = "it came through a router; allow that with --routed if you mean it";
            self.refuse("ttl", why, &from, now);
            return Heard::Refused;
        }
        let Received { len, .. } = received;
        let key = |id| (id == self.key.id()).then_some(&self.key);
        match Datagram::decode(&self.buffer[..len], &self.group, key) {
            Ok(datagram) => Heard::Datagram(datagram),
            Err(error) => {
                self.refuse(error.cause(), &error.to_string(), &from, now);
                Heard::Refused
            }
        }
    }

    /// Multicasts a heartbeat. A loss is a loss, as on any network.
    pub(crate) fn send(&mut self, heartbeat: Heartbeat, now: Time) {
        let bytes = Datagram::Heartbeat(heartbeat).encode(&self.key);
        match self.socket.try_send(&bytes) {
            Ok(true) => {}
            Ok(false) => self.refuse("send", "the network's queue is full", "here", now),
            Err(error) => self.refuse("send", &error.to_string(), "here", now),
        }
    }

    /// How many were refused for each cause.
    pub(crate) fn refused(&self) -> BTreeMap<String, u64> {
        self.refused.iter().map(|(cause, r)| ((*cause).to_owned(), r.count)).collect()
    }

    fn refuse(&mut self, cause: &'static str, why: &str, from: &str, now: Time) {
        let refused = self.refused.entry(cause).or_default();
        refused.count += 1;
        // A stranger who sends thousands must not fill the log.
        if refused.logged.is_none_or(|at| now.since(at) >= LOG_EVERY) {
            refused.logged = Some(now);
            tracing::warn!(cause, why, from, total = refused.count, "datagram-refused");
        }
    }
}

/// So far: the first one, IPv4, by address.
fn open(networks: &[Network]) -> io::Result<MulticastSocket> {
    let [
        Network {
            interface: Interface::Address(IpAddr::V4(interface)),
            multicast: Some(SocketAddr::V4(group)),
            ..
        },
        ..,
    ] = networks
    else {
        return Err(io::Error::other(
            "no IPv4 multicast group on an interface with an IPv4 address",
        ));
    };
    MulticastSocket::open(*group, *interface)
}

/// The TTL of a datagram that no router has touched.
const LINK_TTL: u8 = 255;
/// At most one line per cause and minute.
const LOG_EVERY: Duration = Duration::from_secs(60);
