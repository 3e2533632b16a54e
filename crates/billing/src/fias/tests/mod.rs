//! Stories of both ends.
#![deny(clippy::disallowed_methods)]

mod conversation;
mod takeover;
mod world;
