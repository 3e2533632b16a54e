//! Stories of both ends.
#![deny(clippy::disallowed_methods)]

mod bench;
mod chunks;
mod conversation;
mod courses;
mod hazards;
mod link;
mod page;
mod takeover;
mod vectors;
mod world;
