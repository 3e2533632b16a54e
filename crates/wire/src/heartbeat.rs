//! The heartbeat: what every node of a group multicasts about itself.

use bytes::{BufMut, BytesMut};

use crate::cursor::{DecodeError, Reader, Write};
use crate::{BootId, Epoch, Name};

/// Most members a group can have; bounds every table that heartbeats fill.
pub const MAX_MEMBERS: usize = 16;

/// One node's heartbeat, version 1.
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
        let flags = [self.hears_beacons, self.connect_failed, self.held_down, self.leaving];
        out.put_u8(flags.iter().rev().fold(0, |bits, flag| bits << 1 | u8::from(*flag)));
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

    pub(crate) fn decode(group: Name, r: &mut Reader) -> Result<Self, DecodeError> {
        let (node, boot, seq) = (r.name("node")?, r.boot()?, r.u64()?);
        let role = match r.u8()? {
            0 => Role::Standby,
            1 => Role::Candidate,
            2 => Role::Coordinator,
            _ => return Err(DecodeError::BadValue("role")),
        };
        let priority = r.u8()?;
        let flags = r.u8()?;
        if flags > 0x0f {
            return Err(DecodeError::BadValue("flags"));
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
