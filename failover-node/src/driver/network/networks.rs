//! Heartbeats out on every path, heartbeats and beacons in, and why some are refused.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;

use sys::{BootTimer, Received};
use wire::{Datagram, DatagramError, Heartbeat, KeyRing, MAX_DATAGRAM, Name, Time};

use super::links::{Links, open_first};
use super::path::{Path, Plan, Socket, same_family, scoped};
use super::refusals::Refusals;
use crate::core::Paths;
use crate::core::diagnosis::Diagnosis;
use crate::core::paths::MAX_PATHS;
use crate::driver::options::{Network, Options};

/// The sockets of the heartbeat function: all that a standby has.
#[derive(Debug)]
pub(crate) struct Networks {
    pub(super) group: Name,
    pub(super) node: Name,
    keys: KeyRing,
    /// As configured.
    networks: Vec<Network>,
    pub(super) paths: Vec<Path>,
    /// What came from whom by which path.
    pub(super) heard: Paths,
    pub(super) refusals: Refusals,
    pub(super) diagnosis: Diagnosis,
    /// When the facts are looked at again.
    pub(super) diagnosed: Time,
    pub(super) started: Time,
    links: Links,
    timer: BootTimer,
    /// Which path is looked at first: one that is flooded must not keep the others waiting.
    turn: usize,
    buffer: Vec<u8>,
}

/// What one look at the sockets found.
#[derive(Debug)]
pub(crate) enum Heard {
    /// One to believe, as far as its MAC goes.
    Datagram(Datagram),
    /// One that was counted and forgotten.
    Refused,
    /// None.
    Nothing,
}

impl Networks {
    /// # Errors
    /// No path could be opened, or what is configured makes no paths.
    pub(crate) fn open(options: &Options, now: Time) -> io::Result<Self> {
        let mut paths = plan(&options.networks)?;
        open_first(&mut paths, now)?;
        Ok(Self {
            group: options.group.clone(),
            node: options.node.clone(),
            keys: options.keys.clone(),
            networks: options.networks.clone(),
            paths,
            heard: Paths::default(),
            refusals: Refusals::default(),
            diagnosis: Diagnosis::default(),
            diagnosed: now,
            started: now,
            links: Links::new(),
            timer: BootTimer::new()?,
            turn: 0,
            // One byte more than allowed shows an oversize datagram for what it is.
            buffer: vec![0; MAX_DATAGRAM + 1],
        })
    }

    /// From now on these keys are good, and their sender signs.
    pub(crate) fn set_keys(&mut self, keys: KeyRing) {
        self.keys = keys;
    }

    /// Waits until [`Self::hear`] is worth calling: for a datagram, a change of the links, or
    /// some seconds. Cancel-safe.
    pub(crate) async fn readable(&mut self) {
        let Self { paths, links, timer, .. } = self;
        let next = links.next().since_boot();
        std::future::poll_fn(|cx| {
            let mut sockets = paths.iter().filter_map(|path| path.socket.as_ref());
            // An error means that the runtime is going, and then nothing is waited for any more.
            if sockets.any(|socket| socket.datagrams().poll_readable(cx).is_ready())
                || links.poll(cx).is_ready()
            {
                return std::task::Poll::Ready(());
            }
            timer.poll_until(cx, Some(next))
        })
        .await;
    }

    /// Takes one datagram.
    pub(crate) fn hear(&mut self, now: Time) -> Heard {
        self.links.tend(&mut self.paths, now);
        for _ in 0..self.paths.len() {
            let number = self.turn % self.paths.len();
            self.turn = number + 1;
            match self.take(number, now) {
                Heard::Nothing => {}
                heard => return heard,
            }
        }
        Heard::Nothing
    }

    fn take(&mut self, number: usize, now: Time) -> Heard {
        let path = &mut self.paths[number];
        let Some(socket) = &path.socket else { return Heard::Nothing };
        let received = match socket.datagrams().try_recv(&mut self.buffer) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Heard::Nothing,
            Err(error) => {
                // It is opened anew, so that a broken one cannot keep the loop busy.
                path.socket = None;
                self.refusals.add("socket", error.to_string(), path.name.clone(), now);
                return Heard::Nothing;
            }
        };
        let Received { len, from, ttl, .. } = received;
        if !self.networks[path.network].routed && ttl != Some(LINK_TTL) {
            let why = "it came through a router; allow that with --routed if you mean it";
            self.refusals.add("ttl", why.to_owned(), from.ip().to_string(), now);
            return Heard::Refused;
        }
        let keys = &self.keys;
        match Datagram::decode(&self.buffer[..len], &self.group, |id| keys.get(id)) {
            Ok(datagram) => {
                self.came(&datagram, number, now);
                Heard::Datagram(datagram)
            }
            Err(error) => {
                let about = match &error {
                    DatagramError::Group(group) => group.to_string(),
                    _ => from.ip().to_string(),
                };
                self.refusals.add(error.cause(), error.to_string(), about, now);
                Heard::Refused
            }
        }
    }

    fn came(&mut self, datagram: &Datagram, number: usize, now: Time) {
        match datagram {
            // Our own come back to us from every group.
            Datagram::Heartbeat(heartbeat) if heartbeat.node == self.node => return,
            Datagram::Heartbeat(h) => self.heard.heard(&h.node, h.boot, h.seq, number, now),
            Datagram::Beacon(_) => {}
        }
        self.paths[number].heard = Some(now);
    }

    /// Sends a heartbeat on every path: to each group, and to each peer. A loss is a loss, as on
    /// any network.
    pub(crate) fn send(&mut self, heartbeat: Heartbeat, now: Time) {
        let bytes = Datagram::Heartbeat(heartbeat).encode(self.keys.sender());
        for (number, network) in self.networks.iter().enumerate() {
            let mut paths = self.paths.iter().filter(|path| path.network == number);
            // The last one is the unicast socket, if there is one; peers then see our address.
            let Some(last) = paths.clone().next_back() else { continue };
            if let Some(path) = paths.next()
                && let Some(Socket::Multicast(socket)) = &path.socket
            {
                let sent = socket.try_send(&bytes);
                self.refusals.sent(sent, || path.name.clone(), now);
            }
            let Some(socket) = &last.socket else { continue };
            let peers = network.peers.iter().filter(|peer| Some(**peer) != network.listen);
            for peer in peers.map(|peer| scoped(*peer, last.index())) {
                let sent = socket.datagrams().try_send_to(&bytes, peer);
                self.refusals.sent(sent, || peer.to_string(), now);
            }
        }
    }

    /// How many were refused for each cause.
    pub(crate) fn refused(&self) -> BTreeMap<String, u64> {
        self.refusals.counts()
    }
}

impl Refusals {
    fn sent(&mut self, sent: io::Result<bool>, to: impl Fn() -> String, now: Time) {
        match sent {
            Ok(true) => {}
            Ok(false) => self.add("send", "the network's queue is full".to_owned(), to(), now),
            Err(error) => self.add("send", error.to_string(), to(), now),
        }
    }
}

/// The paths of these networks: of each its group, then its own address.
fn plan(networks: &[Network]) -> io::Result<Vec<Path>> {
    let mut paths = Vec::new();
    for (number, network) in networks.iter().enumerate() {
        let interface = network.interface.clone();
        let plan = |address: &SocketAddr| Plan { address: *address, interface: interface.clone() };
        let own: Vec<_> = network.multicast.iter().chain(&network.listen).map(plan).collect();
        let Some(last) = own.last() else {
            return Err(invalid(format!("{network} has neither a multicast group nor an address")));
        };
        for peer in &network.peers {
            if !same_family(peer.ip(), last.address.ip()) {
                let from = last.address.ip();
                return Err(invalid(format!(
                    "peer {peer} cannot be reached from {from}: give it \
                     a network of its own, with an address of its family to listen at"
                )));
            }
        }
        if let Some(group) = network.multicast.filter(|group| !group.ip().is_multicast()) {
            return Err(invalid(format!("{} is no multicast address", group.ip())));
        }
        paths.extend(own.into_iter().map(|plan| Path::new(plan, number)));
    }
    match paths.len() {
        0 => Err(invalid("there is no network".to_owned())),
        1..=MAX_PATHS => Ok(paths),
        count => Err(invalid(format!("{count} paths; a node has at most {MAX_PATHS}"))),
    }
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

/// The TTL of a datagram that no router has touched.
const LINK_TTL: u8 = 255;
