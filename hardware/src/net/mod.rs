//! Hosts of their own on this machine: a network namespace each, joined by bridges, with frames that
//! vanish on command.
//!
//! - [`tools`]: `ip` and `tc`, and whether they may be used here
//! - [`namespace`]: one namespace, removed when it is not needed, even after a crash
//! - [`filter`]: which frames vanish, as a program for the kernel
//! - [`network`]: the hosts and their bridges

pub mod filter;
pub mod namespace;
pub mod network;
pub mod tools;

pub use filter::{Loss, Traffic};
pub use network::Network;
