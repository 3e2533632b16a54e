//! The far end of the cable: a simulated billing system, and the judge of whoever answers it.
//!
//! It sends numbered, checksummed records at the line's true character time and knows the exact
//! bytes that must come back, so it can say what a gateway lost, doubled, tore, reordered or mixed
//! and for how long it was not served.
//!
//! - [`core`]: generator, judge and run as values, for simulated worlds.

pub mod core;
