//! What a line is told at its start.

use std::time::Duration;

use wire::{Key, Name};

/// Shortest lease that is granted; below it a scheduler's hiccup would end grants.
pub const LEASE_MIN: Duration = Duration::from_millis(20);
/// Longest lease unless configured otherwise: the `wan` profile's 9 s with room.
pub const LEASE_MAX: Duration = Duration::from_secs(30);
/// Input kept for one line unless configured otherwise: 18 minutes at 9600 bit/s.
pub const RING: usize = 1024 * 1024;
/// Most clients of one line. For one more, the oldest that has not claimed or has ended goes.
pub const MAX_CLIENTS: usize = 64;
/// A client that has not claimed by then is closed.
pub const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long a connection whose grant has ended is read and discarded, so that its last frames
/// reach a client that was stopped for a while, before it is closed.
pub const LINGER: Duration = Duration::from_secs(10);

/// Everything one [`super::Line`] needs to know.
#[derive(Debug, Clone)]
pub struct LineConfig {
    /// The line's name, as HELLO and beacons say it.
    pub line: Name,
    /// The terminal server's name, as WELCOME and beacons say it.
    pub server: Name,
    /// The groups that may claim. Empty: a line for benches, owned by connecting.
    pub groups: Vec<GroupKeys>,
    /// Longest lease that is granted.
    pub lease_max: Duration,
    /// How long one character takes on the line.
    pub char_time: Duration,
    /// Whether output is kept back so that little is ever out of hand.
    pub pace: bool,
    /// What becomes of a started frame when its grant ends.
    pub frame_end: FrameEnd,
    /// Most input kept, in bytes.
    pub ring: usize,
    /// Whether the line can be throttled; else the oldest kept input gives way to the newest.
    pub flow_control: bool,
    /// Whether the device keeps what arrives while nobody has it open. A pseudo terminal does; a
    /// real port does not, so a restart shows as the device gone and back.
    pub keeps_when_closed: bool,
}

/// A group and its keys; several while one replaces another.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupKeys {
    /// The group.
    pub group: Name,
    /// Its keys, told apart by their ids.
    pub keys: Vec<Key>,
}

/// What becomes of an output frame that has started when its grant ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FrameEnd {
    /// It is finished; the next holder's output follows it.
    #[default]
    Finish,
    /// It ends where it is; the next holder is told after how many bytes.
    Cut,
}

impl LineConfig {
    /// With the defaults of a 9600 bit/s 8N1 line.
    pub fn new(line: Name, server: Name) -> Self {
        Self {
            line,
            server,
            groups: Vec::new(),
            lease_max: LEASE_MAX,
            char_time: Duration::from_nanos(1_041_667),
            pace: true,
            frame_end: FrameEnd::Finish,
            ring: RING,
            flow_control: false,
            keeps_when_closed: true,
        }
    }

    /// The key of that id of that group. `Err(())` when the group is not accepted at all.
    pub(crate) fn key(&self, group: &Name, id: u8) -> Result<Option<&Key>, ()> {
        let group = self.groups.iter().find(|g| g.group == *group).ok_or(())?;
        Ok(group.keys.iter().find(|key| key.id() == id))
    }
}
