//! The status socket: how a running daemon is asked and told things on its own host.
//!
//! A client connects to the Unix socket, sends one JSON object with a `command` on one line and
//! gets one JSON value on one line. The socket decides nothing: it hands a [`Request`] to the
//! program's one loop, which answers when it gets to it. A reply `{"error": "..."}` is a refusal.
//!
//! A request may also end with an upgrade: after the reply the connection is no longer the status
//! socket's but the program's, which speaks on it what both sides know from the command.

mod client;
mod server;

pub use client::{RequestError, request, request_async, upgrade_async};
pub use server::{Request, StatusError, StatusSocket, Upgraded};

use std::time::Duration;

/// Longest request line in bytes, line end included: commands with a few arguments.
pub const MAX_REQUEST: usize = 4096;

/// Longest reply line that a client reads: the status of a terminal server with thousands of lines,
/// each of them less than a kilobyte.
pub const MAX_REPLY: usize = 16 << 20;

/// Clients served at once; a further one is told to try again. People and probes, not load.
pub const MAX_CLIENTS: usize = 8;

/// How long a client may take to send its request, and to take its reply.
pub const CLIENT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a client waits for an answer: longer than the daemon's own limit, so that it hears of
/// that rather than nothing.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(6);

/// How long the program's loop may take to answer.
pub const REPLY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long clients that are being answered are waited for when the daemon stops.
pub const DRAIN_TIMEOUT: Duration = Duration::from_millis(500);
