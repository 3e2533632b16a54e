//! What a chain is made of.

use std::ffi::OsString;
use std::time::Duration;

use failover_node::core::profile::Profile;
use sys::LineSettings;

use crate::accounts::Speech;
use crate::answerer::Misdeeds;
use crate::far::Wire;
use crate::place::Ground;

/// What a chain is made of. Start from [`Settings::default`].
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// How many nodes there are; they are named `node-a`, `node-b` and so on.
    pub nodes: usize,
    /// Their times.
    pub profile: Profile,
    /// The line.
    pub line: LineSettings,
    /// What is spoken on the line.
    pub speech: Speech,
    /// From the beginning of one record to that of the next, in the lab's own dialect.
    pub interval: Duration,
    /// Seed of the records and of the drills' moments.
    pub seed: u64,
    /// What joins the terminal server to the billing system.
    pub wire: Wire,
    /// Whether the terminal server's end of the lab's own cable is without flow control: what comes
    /// while nobody reads and the kernel has no room is lost.
    pub overruns: bool,
    /// What the payloads do wrong.
    pub misdeeds: Misdeeds,
    /// Further arguments for every node, before its payload.
    pub node_arguments: Vec<OsString>,
    /// Further tables for the nodes' files. With them, or with more than one network, nodes are
    /// started from files instead of flags.
    pub node_tables: String,
    /// The terminal server is started from a file, too, so that it can be told to read it again.
    pub server_file: bool,
    /// Further arguments for the terminal server.
    pub server_arguments: Vec<OsString>,
    /// Further variables for the environment of nodes and terminal server.
    pub environment: Vec<(OsString, OsString)>,
    /// What it stands on.
    pub ground: Ground,
    /// How long late answers are awaited at the end: longer than any failover.
    pub settle: Duration,
    /// Whether the directory with the logs stays.
    pub keep: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            nodes: 3,
            profile: Profile::STANDARD,
            line: LineSettings::new(9600),
            speech: Speech::default(),
            interval: Duration::from_millis(100),
            seed: 1,
            wire: Wire::default(),
            overruns: false,
            misdeeds: Misdeeds::default(),
            node_arguments: Vec::new(),
            node_tables: String::new(),
            server_file: false,
            server_arguments: Vec::new(),
            environment: Vec::new(),
            ground: Ground::default(),
            settle: Duration::from_secs(1),
            keep: false,
        }
    }
}

/// The name of the node number `index`, from 0.
pub fn node_name(index: usize) -> String {
    let letter = u8::try_from(index).ok().filter(|index| *index < 26).unwrap_or(25);
    format!("node-{}", char::from(b'a' + letter))
}

/// Most nodes of a chain: what a group can have.
pub const MAX_NODES: usize = wire::heartbeat::MAX_MEMBERS;
