//! The far end of the cable: a simulated billing system, and the judge of whoever answers it.
//!
//! It sends numbered, checksummed records at the line's true character time and knows the exact
//! bytes that must come back, so it can say what a gateway lost, doubled, tore, reordered or mixed
//! and for how long it was not served.
//!
//! - [`core`]: generator, judge and run as values, for simulated worlds.
//! - [`driver`]: the run on a real port and the real clock: [`run()`].
//! - [`journal`]: every byte of a run in a file; showing it, and playing it back.
//! - [`table`]: a [`Report`] for people; for machines it is JSON.
//! - [`cli`]: the command line, from which help, manual page and completions come.
//! - [`program`]: what the binary does with it.

pub mod cli;
pub mod core;
pub mod driver;
pub mod follow;
pub mod journal;
pub mod junit;
pub mod listing;
pub mod program;
pub mod rate;
pub mod report_file;
pub mod scenario;
pub mod table;
pub mod trial;
pub mod truth_files;
pub mod verdicts;

pub use crate::core::event::{End, Event, Finding, Span, Verdict};
pub use crate::core::exchange;
pub use crate::core::report::Report;
pub use driver::exchange::run_dialect;
pub use driver::line::{Device, Line};
pub use driver::options::{Options, Shutdown};
pub use driver::port::{Port, Stream};
pub use driver::run::{EVENT_QUEUE, run};
pub use scenario::Scenario;
