//! The commands beside serving: real processes, pseudo terminals, and a line's loop played by the
//! test where one is needed.
#![allow(clippy::disallowed_methods, reason = "no line waits for a test")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]
#![allow(unreachable_pub, reason = "nothing is outside of a test")]

mod attach;
mod clients;
mod pair;
mod pipe;
mod server;
mod support;
mod terminal;
mod watch;
mod whole;
