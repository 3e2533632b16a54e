//! The envelope of heartbeats and beacons: magic, version, kind, key, group, body, HMAC.

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;

use crate::cursor::{DecodeError, Reader, Write};
use crate::key::MAC_LEN;
use crate::{Beacon, Heartbeat, Key, Name};

/// Longest datagram: no fragments on an Ethernet path, whatever tunnels it runs through.
pub const MAX_DATAGRAM: usize = 1400;
/// The oldest version of datagrams that is still read.
pub const VERSION_MIN: u8 = 1;
/// The newest version of datagrams that this code reads and sends. Beacons are still of version 1.
pub const VERSION: u8 = 2;

/// What version 2 leaves as it was keeps its version, so that the release before reads it.
const BEACON_VERSION: u8 = 1;

const MAGIC: [u8; 4] = *b"LKDG";
const HEARTBEAT: u8 = 1;
const BEACON: u8 = 2;

/// What travels by multicast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Datagram {
    /// From a node.
    Heartbeat(Heartbeat),
    /// From a terminal server.
    Beacon(Beacon),
}

/// Why a received datagram is not ours to believe. Each is counted by its name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DatagramError {
    /// Too short, a header that makes no sense, or another protocol altogether.
    #[error("not a datagram of this protocol")]
    Foreign,
    /// Longer than [`MAX_DATAGRAM`].
    #[error("{0} bytes is longer than any datagram of this protocol")]
    Oversize(usize),
    /// A version that this code does not read.
    #[error("version {0} is not known here; are all nodes of a release that can work together?")]
    Version(u8),
    /// Another group on the same address.
    #[error("group {0:?} uses the same multicast address")]
    Group(Name),
    /// A key id that we have not.
    #[error("key id {0} is not configured here")]
    KeyId(u8),
    /// Another secret, or a changed datagram.
    #[error("wrong HMAC: does the sender have the same key file?")]
    Mac,
    /// A right MAC over what the specification does not allow.
    #[error("malformed: {0}")]
    Malformed(#[from] DecodeError),
}

impl DatagramError {
    /// The counter's name.
    pub const fn cause(&self) -> &'static str {
        match self {
            Self::Foreign => "foreign",
            Self::Oversize(_) => "oversize",
            Self::Version(_) => "version",
            Self::Group(_) => "group",
            Self::KeyId(_) => "key_id",
            Self::Mac => "mac",
            Self::Malformed(_) => "malformed",
        }
    }
}

impl Datagram {
    /// The bytes to send, MAC included. A heartbeat goes in version 2 unless it
    /// [speaks](Heartbeat::speaks) only version 1.
    pub fn encode(&self, key: &Key) -> Bytes {
        let mut out = BytesMut::with_capacity(256);
        out.put_slice(&MAGIC);
        match self {
            Self::Heartbeat(heartbeat) => {
                out.put_u8(heartbeat.version());
                envelope(&mut out, HEARTBEAT, key, &heartbeat.group);
                heartbeat.encode(&mut out);
            }
            Self::Beacon(beacon) => {
                out.put_u8(BEACON_VERSION);
                envelope(&mut out, BEACON, key, &beacon.group);
                beacon.encode(&mut out);
            }
        }
        let mac = key.mac(&[b"linekeeper 1 datagram", &out]);
        out.put_slice(&mac);
        assert!(out.len() <= MAX_DATAGRAM, "{} bytes: the bounds keep it below", out.len());
        out.freeze()
    }

    /// From received bytes. `key` gives the key of that id, if the group has it.
    ///
    /// Cheap tests come first: nothing is computed for a stranger but a comparison or two.
    pub fn decode<'k>(
        bytes: &[u8],
        group: &Name,
        key: impl FnOnce(u8) -> Option<&'k Key>,
    ) -> Result<Self, DatagramError> {
        if bytes.len() > MAX_DATAGRAM {
            return Err(DatagramError::Oversize(bytes.len()));
        }
        let Some((content, mac)) = bytes.split_last_chunk::<MAC_LEN>() else {
            return Err(DatagramError::Foreign);
        };
        let mut r = Reader::new(Bytes::copy_from_slice(content));
        if r.array() != Ok(MAGIC) {
            return Err(DatagramError::Foreign);
        }
        // Before the MAC a cut header says nothing about the sender: it is a stranger's.
        let version = r.u8().map_err(|_| DatagramError::Foreign)?;
        if !(VERSION_MIN..=VERSION).contains(&version) {
            return Err(DatagramError::Version(version));
        }
        let (kind, key_id, sender_group) = head(&mut r).map_err(|_| DatagramError::Foreign)?;
        if sender_group != *group {
            return Err(DatagramError::Group(sender_group));
        }
        let key = key(key_id).ok_or(DatagramError::KeyId(key_id))?;
        if !key.verify(&[b"linekeeper 1 datagram", content], mac) {
            return Err(DatagramError::Mac);
        }
        let datagram = match kind {
            HEARTBEAT => Self::Heartbeat(Heartbeat::decode(version, sender_group, &mut r)?),
            BEACON if version == BEACON_VERSION => {
                Self::Beacon(Beacon::decode(sender_group, &mut r)?)
            }
            _ => return Err(DecodeError::BadValue("kind").into()),
        };
        r.finish()?;
        Ok(datagram)
    }
}

fn head(r: &mut Reader) -> Result<(u8, u8, Name), DecodeError> {
    Ok((r.u8()?, r.u8()?, r.name("group")?))
}

fn envelope(out: &mut BytesMut, kind: u8, key: &Key, group: &Name) {
    out.put_u8(kind);
    out.put_u8(key.id());
    out.put_name(group);
}
