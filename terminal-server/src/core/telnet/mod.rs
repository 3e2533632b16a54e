//! One telnet client: negotiation, RFC 2217 and what is to be said to it. Knows nothing of lines.
//!
//! - [`session`]: the state of one connection, and the calling contract
//! - [`query`]: what a client says that concerns the line
//! - `watch`: what it is told of errors and modem lines

#![deny(clippy::disallowed_methods)]

pub mod query;
pub mod session;
#[cfg(test)]
mod tests;
mod watch;

pub use query::{Answer, Query, Said, State};
pub use session::{MAX_SIGNATURE, Session, TelnetOptions};
