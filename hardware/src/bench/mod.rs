//! The bench: what the terminal server costs and how fast it is, beside a floor and beside others,
//! in one run on one machine.
//!
//! - [`contender`], [`floor`]: who is measured
//! - `server`, `usage`: one of them running, and what it costs
//! - `device`, `client`, `pattern`: the bench's own two ends of a line, and the bytes between
//! - `bulk`, `trip`, [`next`], `swap`, `many`, `stalled`: what is measured
//! - [`suite`]: all of it in a row
//! - [`figures`]: what came out
//! - [`table`], [`plot`]: for people
//! - [`cli`]: the command line

mod bulk;
pub mod cli;
mod client;
pub mod contender;
mod device;
pub mod figures;
pub mod floor;
mod many;
pub mod next;
mod pattern;
pub mod plot;
mod server;
mod stalled;
pub mod suite;
mod swap;
pub mod table;
mod trip;
mod usage;

pub use cli::BenchArgs;
pub use contender::Contender;
pub use figures::{BenchReport, Row};
