//! The failover node: heartbeats, and the component of whoever is coordinator.

pub mod core;
