//! Who has no key: other groups on the same address, and a false terminal server.

use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use failover_node::core::LOCK;
use rand::RngExt;
use wire::{
    Beacon, Datagram, Epoch, Frame, FreeCause, Grant, Key, LineState, LineStatus, Nonce, Refuse,
    RefuseWhy, Welcome,
};

use super::clock::{MS, True};
use super::network::Segment;
use super::nodes::{group, keys, line, name};
use super::schedule::{Event, World};

impl World {
    /// Datagrams that are not ours reach every node until then.
    pub fn strangers(&mut self, until: True) {
        let mut at = self.now;
        while at < until {
            let bytes = self.strange();
            (0..self.nodes.len()).for_each(|i| self.at(at, Event::Strange(i, bytes.clone())));
            at += self.rng.random_range(5 * MS..40 * MS);
        }
    }

    /// What was recorded, or the worst there could be, in another's name or with another's key.
    fn strange(&mut self) -> Bytes {
        let recorded = self.recorded.back().map(|datagram| (**datagram).clone());
        let mut datagram = recorded.unwrap_or_else(|| Datagram::Beacon(false_beacon()));
        if self.rng.random_bool(0.5) {
            datagram = Datagram::Beacon(false_beacon());
        }
        let [key, _] = keys();
        let other = Key::new(key.id(), *b"another key of the same id is 32");
        match self.rng.random_range(0..4) {
            0 => {
                let elsewhere = "elsewhere".parse().expect("letters");
                match &mut datagram {
                    Datagram::Heartbeat(heartbeat) => heartbeat.group = elsewhere,
                    Datagram::Beacon(beacon) => beacon.group = elsewhere,
                }
                datagram.encode(&key)
            }
            1 => datagram.encode(&other),
            2 => datagram.encode(&Key::new(key.id() + 7, [7; 32])),
            _ => {
                let mut bytes = BytesMut::from(&datagram.encode(&key)[..]);
                let at = self.rng.random_range(0..bytes.len());
                bytes[at] ^= 1 << self.rng.random_range(0..8);
                bytes.freeze()
            }
        }
    }

    /// A datagram has come as bytes. What is not ours must be refused.
    pub fn decoded(&mut self, i: usize, bytes: &[u8], strange: bool) {
        let ring = self.names.ring(0);
        match Datagram::decode(bytes, &self.names.group, |id| ring.get(id)) {
            Ok(datagram) => {
                if strange {
                    self.oracle.fail(format!("node {i} takes a stranger's datagram: {datagram:?}"));
                }
                self.node_event(i, Event::Datagram(i, Rc::new(datagram)));
            }
            Err(error) if strange => self.coverage.state(match error.cause() {
                "group" => "datagram refused: another group",
                "key_id" => "datagram refused: unknown key",
                "mac" => "datagram refused: wrong MAC",
                _ => "datagram refused: no sense",
            }),
            Err(error) => self.oracle.fail(format!("node {i} refuses a good datagram: {error}")),
        }
    }

    /// The false terminal server answers as well as it can without the key.
    pub fn impostor_hears(&mut self, conn: usize, segment: Segment) {
        let answer = match segment {
            Segment::Frame(Frame::Hello(_)) => {
                let server = "server".parse().expect("letters");
                Frame::Welcome(Welcome { version: 1, nonce: Nonce([3; 16]), server })
            }
            Segment::Frame(Frame::Claim(claim)) => {
                let epoch = Epoch(self.oracle.highest_granted().0 + (5 << 32));
                if self.rng.random_bool(0.5) {
                    Frame::Grant(false_grant(epoch, claim.lease_ms))
                } else {
                    let status = LineStatus { epoch, ..false_status() };
                    let why = RefuseWhy::Held;
                    Frame::Refuse(Refuse { why, retry_ms: 0, status, mac: [1; 32] })
                }
            }
            _ => return,
        };
        self.send(conn, false, Segment::Frame(answer));
    }
}

fn false_status() -> LineStatus {
    LineStatus {
        line: line(LOCK),
        up: true,
        state: LineState::Free(FreeCause::Closed),
        holder: Some(name(0)),
        epoch: Epoch(u64::MAX),
        lease_ms: 400,
        left_ms: 400,
        reserved_for: None,
    }
}

fn false_beacon() -> Beacon {
    Beacon {
        group: group(),
        server: "server".parse().expect("letters"),
        start: u32::MAX,
        seq: u64::MAX,
        interval_ms: 100,
        lines: vec![false_status()],
    }
}

fn false_grant(epoch: Epoch, lease_ms: u32) -> Grant {
    Grant {
        epoch,
        lease_ms,
        incarnation: 1,
        acked: 0,
        delivered: 0,
        end: 0,
        position: 0,
        last: wire::frame::LastFrame::default(),
        note: Bytes::new(),
        mac: [1; 32],
    }
}
