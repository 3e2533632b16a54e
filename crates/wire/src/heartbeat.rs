//! The heartbeat: what every node of a group multicasts about itself.

use bytes::{BufMut, BytesMut};

use crate::cursor::{DecodeError, Reader, Write};
use crate::{BootId, Epoch, Name, datagram};

/// Most members a group can have; bounds every table that heartbeats fill.
pub const MAX_MEMBERS: usize = 16;

/// The flags of version 1.
const FLAGS_1: u8 = 0x0f;

/// One node's heartbeat.
///
/// It travels in version 2, or in version 1 if [`Heartbeat::speaks`] says so: that is what
/// [`Heartbeat::for_version_1`] makes, and what a node of the release before sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    /// The group; its key makes the MAC.
    pub group: Name,
    /// The sender.
    pub node: Name,
    /// The life of its process.
    pub boot: BootId,
    /// Grows with every heartbeat of one boot.
    pub seq: u64,
    /// What the sender is.
    pub role: Role,
    /// Higher goes first.
    pub priority: u8,
    /// It hears the terminal server's beacons.
    pub hears_beacons: bool,
    /// Its last attempt to connect failed a short while ago.
    pub connect_failed: bool,
    /// It lost or gave up the line a short while ago and lets others go first.
    pub held_down: bool,
    /// It is stopping and must not be waited for.
    pub leaving: bool,
    /// It only watches: it has no payload and never claims.
    pub observer: bool,
    /// It is configured never to be coordinator, and is a full node besides.
    pub barred: bool,
    /// It is in maintenance: not coordinator until that ends.
    pub maintenance: bool,
    /// Its own check of its health fails.
    pub unhealthy: bool,
    /// The highest version of datagrams that it reads. Version 1 does not carry it.
    pub speaks: u8,
    /// The highest epoch it has seen.
    pub epoch: Epoch,
    /// Digest of the settings that all nodes of a group must share.
    pub digest: u64,
    /// Whom it hears; at most [`MAX_MEMBERS`].
    pub peers: Vec<PeerEcho>,
}

/// What the sender says to one peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerEcho {
    /// The peer.
    pub node: Name,
    /// The sender's challenge to it: a number that never repeats.
    pub challenge: u64,
    /// The peer's last challenge to the sender, given back. Zero: none was heard.
    pub echo: u64,
    /// How long ago the peer was last heard, in milliseconds, at most 65535.
    pub heard_ms: u16,
}

/// What a node is at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Only heartbeats.
    Standby,
    /// Its component instance has started and is claiming the line.
    Candidate,
    /// It has the grant.
    Coordinator,
}

impl Role {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standby => "standby",
            Self::Candidate => "candidate",
            Self::Coordinator => "coordinator",
        }
    }
}

impl Heartbeat {
    /// A standby's that has nothing to say yet.
    pub fn new(group: Name, node: Name, boot: BootId, seq: u64) -> Self {
        Self {
            group,
            node,
            boot,
            seq,
            role: Role::Standby,
            priority: 100,
            hears_beacons: false,
            connect_failed: false,
            held_down: false,
            leaving: false,
            observer: false,
            barred: false,
            maintenance: false,
            unhealthy: false,
            speaks: datagram::VERSION,
            epoch: Epoch::NONE,
            digest: 0,
            peers: Vec::new(),
        }
    }

    /// Whether its sender may be coordinator at all.
    #[must_use]
    pub fn eligible(&self) -> bool {
        !(self.observer || self.barred || self.maintenance || self.leaving)
    }

    /// Whether its sender has had a difficulty and lets others go first.
    #[must_use]
    pub fn last_resort(&self) -> bool {
        self.connect_failed || self.held_down || self.unhealthy
    }

    /// What a node of the release before is told: whoever must not be coordinator, or is not well,
    /// lets others go first, which is the most that version 1 can say. `digest` is that release's.
    #[must_use]
    pub fn for_version_1(&self, digest: u64) -> Self {
        let set_back = self.observer || self.barred || self.maintenance || self.unhealthy;
        Self {
            held_down: self.held_down || set_back,
            observer: false,
            barred: false,
            maintenance: false,
            unhealthy: false,
            speaks: 1,
            digest,
            ..self.clone()
        }
    }

    /// The version of datagrams that it travels in.
    pub(crate) fn version(&self) -> u8 {
        self.speaks.min(datagram::VERSION)
    }

    pub(crate) fn encode(&self, out: &mut BytesMut) {
        assert!(self.peers.len() <= MAX_MEMBERS);
        out.put_name(&self.node);
        out.put_slice(&self.boot.0);
        out.put_u64(self.seq);
        out.put_u8(match self.role {
            Role::Standby => 0,
            Role::Candidate => 1,
            Role::Coordinator => 2,
        });
        out.put_u8(self.priority);
        if self.version() == 1 {
            out.put_u8(self.flags() & FLAGS_1);
        } else {
            out.put_u8(self.flags());
            out.put_u8(self.speaks);
        }
        out.put_u64(self.epoch.0);
        out.put_u64(self.digest);
        out.put_u8(self.peers.len() as u8);
        for peer in &self.peers {
            out.put_name(&peer.node);
            out.put_u64(peer.challenge);
            out.put_u64(peer.echo);
            out.put_u16(peer.heard_ms);
        }
    }

    /// Bit 0 first.
    fn flags(&self) -> u8 {
        let flags = [
            self.hears_beacons,
            self.connect_failed,
            self.held_down,
            self.leaving,
            self.observer,
            self.barred,
            self.maintenance,
            self.unhealthy,
        ];
        flags.iter().rev().fold(0, |bits, flag| bits << 1 | u8::from(*flag))
    }

    pub(crate) fn decode(version: u8, group: Name, r: &mut Reader) -> Result<Self, DecodeError> {
        let (node, boot, seq) = (r.name("node")?, r.boot()?, r.u64()?);
        let role = match r.u8()? {
            0 => Role::Standby,
            1 => Role::Candidate,
            2 => Role::Coordinator,
            _ => return Err(DecodeError::BadValue("role")),
        };
        let priority = r.u8()?;
        let flags = r.u8()?;
        if version == 1 && flags & !FLAGS_1 != 0 {
            return Err(DecodeError::BadValue("flags"));
        }
        let speaks = if version == 1 { 1 } else { r.u8()? };
        if speaks < version {
            return Err(DecodeError::BadValue("speaks"));
        }
        let (epoch, digest) = (r.epoch()?, r.u64()?);
        let count = usize::from(r.u8()?);
        if count > MAX_MEMBERS {
            return Err(DecodeError::BadValue("peers"));
        }
        let peers = (0..count).map(|_| PeerEcho::decode(r)).collect::<Result<_, _>>()?;
        Ok(Self {
            group,
            node,
            boot,
            seq,
            role,
            priority,
            hears_beacons: flags & 1 != 0,
            connect_failed: flags & 2 != 0,
            held_down: flags & 4 != 0,
            leaving: flags & 8 != 0,
            observer: flags & 0x10 != 0,
            barred: flags & 0x20 != 0,
            maintenance: flags & 0x40 != 0,
            unhealthy: flags & 0x80 != 0,
            speaks,
            epoch,
            digest,
            peers,
        })
    }
}

impl PeerEcho {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { node: r.name("peer")?, challenge: r.u64()?, echo: r.u64()?, heard_ms: r.u16()? })
    }
}
