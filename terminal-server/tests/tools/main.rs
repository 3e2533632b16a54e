//! The commands beside serving: real processes, pseudo terminals, and a line's loop played by the
//! test where one is needed.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]
#![allow(clippy::disallowed_methods, reason = "no line waits for a test")]
#![allow(unreachable_pub, reason = "nothing is outside of a test")]

mod pair;
mod support;
