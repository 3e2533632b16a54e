//! The payload that the lab's nodes run: a gateway that answers each record once.
//!
//! It is what a `framed` payload has to be, and no more: it reads GRANT, INPUT, EVENT and WRITTEN on
//! its standard input and writes OUTPUT, each with the acknowledgement of the record it answers, so
//! that answer and acknowledgement are one step. Told so, it misbehaves, for tests.
//!
//! - [`replies`]: frames in, frames out, as a value.
//! - [`misdeeds`]: how it can be made to misbehave.
//! - [`journal`]: what it says to have offered, for whoever compares it with the line.
//! - [`run`]: the process.

pub mod journal;
pub mod misdeeds;
pub mod replies;
pub mod run;

pub use misdeeds::Misdeeds;
pub use replies::Replies;
pub use run::Job;
