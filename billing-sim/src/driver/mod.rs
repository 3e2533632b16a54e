//! The run on a real port and the real clock.
//!
//! - [`options`]: what to run.
//! - [`port`]: what a run needs of a port.
//! - [`run`]: the loop of the dialect `numbered`.
//! - [`mod@line`]: a port that faults can do something to.
//! - [`exchange`]: the loop of all other dialects.

pub mod exchange;
pub mod line;
pub mod options;
pub mod port;
pub mod run;
