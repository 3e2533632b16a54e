//! What the rest of the daemon may ask a line's loop, and what it answers.
//!
//! Each question carries the way back for its answer. The loop answers at once or not at all: one
//! who asked and has gone is no error.

use serde::{Deserialize, Serialize};
use tokio::net::UnixStream;
use tokio::sync::oneshot;

use super::report::LineReport;
use crate::core::GroupKeys;

/// A question to a line's loop, or a thing to be done there.
#[derive(Debug)]
pub enum LineQuestion {
    /// How does the line stand?
    Report(oneshot::Sender<LineReport>),
    /// Who is connected? In order of coming.
    Clients(oneshot::Sender<Vec<ClientReport>>),
    /// Close some clients.
    Kick {
        /// Which.
        who: Kick,
        /// Those that were closed, as they were just before; none if nobody fitted.
        answer: oneshot::Sender<Vec<ClientReport>>,
    },
    /// Let a console in: from here on it is a client like any other.
    Attach(Attach),
    /// From now on claims need other keys. No grant ends.
    SetGroups {
        /// The line's groups, as many as before.
        groups: Vec<GroupKeys>,
        /// Told when it is so.
        answer: oneshot::Sender<()>,
    },
}

/// Which clients are to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kick {
    /// Whoever holds the line. Its grant ends as if it had closed the connection, after REVOKED
    /// where it speaks frames.
    Holder,
    /// The one of this number, in whatever role.
    Client(u64),
    /// All that only observe.
    Observers,
}

/// A console that wants to be a client of the line.
///
/// Its connection carries frames of the line protocol without HELLO, CLAIM or OBSERVE, and MACs in
/// what is sent to it are zero: whoever may open the status socket may do this. The first frame to
/// it is GRANT or REFUSE if it asked to hold, else OBSERVING; SETTINGS and SIGNALS follow. A holder
/// then is a holder as others are: it sends ACK, OUTPUT, SETTINGS, SET_SIGNALS, BREAK, RENEW (if
/// GRANT names a lease; 0 ms is a grant that ends with the connection only) and RELEASE.
#[derive(Debug)]
pub struct Attach {
    /// The connection, past the answer to the request.
    pub stream: UnixStream,
    /// What the console has sent after its request already; less than a request's length.
    pub inbox: Vec<u8>,
    /// Whether it wants to hold the line and not only to observe.
    pub hold: bool,
    /// Where an observer begins. A holder begins at the last acknowledged byte, as all do.
    pub from: AttachFrom,
    /// The process at the other end, in place of an address: `uid 1000 pid 4711`.
    pub user: String,
}

/// Where a console begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttachFrom {
    /// With what comes next.
    #[default]
    Live,
    /// With the oldest byte that is kept.
    Oldest,
    /// At an offset; with the oldest kept byte if that is later.
    At {
        /// Offset of the first byte wanted.
        offset: u64,
        /// Name of the stream that the offset is of; without it the present one is meant. With
        /// another stream's name it begins with the oldest kept byte.
        incarnation: Option<u64>,
    },
}

/// A client of a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientReport {
    /// Its number, never given twice in the life of a terminal server's process.
    pub id: u64,
    /// Where it comes from: an address and port, or a local process.
    pub address: String,
    /// How it speaks: `line`, `raw`, `telnet` or `console`.
    pub kind: String,
    /// What it does: `holder`, `observer`, or `waiting` before it said what it wants.
    pub role: String,
    /// The name it gave itself, as a node does.
    pub name: Option<String>,
    /// How long it has been connected.
    pub connected_ms: u64,
    /// Bytes that were read from its connection.
    pub bytes_in: u64,
    /// Bytes that were sent on its connection.
    pub bytes_out: u64,
    /// Kept bytes of the line that it was not sent yet.
    pub lag: u64,
}
