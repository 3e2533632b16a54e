//! The run on a real port and the real clock.
//!
//! - [`options`]: what to run.
//! - [`port`]: what a run needs of a port.
//! - [`run`]: the one loop.

pub mod options;
pub mod port;
pub mod run;
