//! What tests the house as a whole.
//!
//! - [`world`]: nodes, a terminal server, a network, a serial line and their clocks, from one seed

pub mod world;
