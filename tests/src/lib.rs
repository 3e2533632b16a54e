//! What tests the house as a whole.
//!
//! - [`takeover`]: billing dialects from end to end while holders of the line die under them
//! - [`world`]: nodes, a terminal server, a network, a serial line and their clocks, from one seed

pub mod takeover;
pub mod world;
