//! The node's heart, sans-IO: no socket, clock, task, file or random number inside.
//!
//! - [`profile`]: the times a group agrees on
//! - [`config`]: what a node is told at its start
//! - [`members`]: whom it hears, and whom it believes
//! - [`evidence`]: what is known about the line, and since when it is vacant
//! - [`election`]: a node's rank for a vacancy
//! - [`link`]: its side of the line protocol, and the lease
//! - [`successors`]: to whom the line was given, and how that went
//! - [`tenancy`]: one line in its care
//! - [`timers`]: the named deadlines
//! - [`paths`]: by which paths each node is heard, and what is lost on each
//! - [`diagnosis`]: what is wrong with the network, in plain words
//! - [`node`]: all of it together, and the calling contract

#![deny(clippy::disallowed_methods)]

pub mod config;
pub mod diagnosis;
pub mod election;
pub mod evidence;
pub mod link;
pub mod members;
pub mod node;
pub mod paths;
pub mod profile;
pub mod successors;
pub mod tenancy;
pub mod timers;

pub use config::{Behaviour, Membership, NodeConfig};
pub use diagnosis::{Diagnosis, Finding};
pub use link::{Link, LinkEnd};
pub use members::{MemberView, Members, Unheard};
pub use node::{
    Action, Counters, HandoverError, LATE_BOUNDS_MS, LOCK, LineId, Maintenance, Node, Obstacle,
    Occurrence, ResignCause,
};
pub use paths::{PathView, Paths};
pub use profile::{Profile, ProfileError};
