//! The failover node: heartbeats, and the component of whoever is coordinator.
//!
//! - [`core`]: what it decides, sans-IO
//! - [`driver`]: what it does, around the core
//! - [`component`]: what only a candidate and the coordinator run: the guard and the payload
//! - [`billing`]: the built-in payload, its store, and the commands about it
//! - [`config`]: the configuration file
//! - [`cli`], [`program`]: the command line, and what the binary does with it
//! - [`table`], [`history`]: what it prints
//!
//! ```no_run
//! # async fn example(options: failover_node::Options) -> Result<(), failover_node::Error> {
//! let shutdown = daemon::CancellationToken::new();
//! failover_node::run(options, shutdown.clone()).await
//! # }
//! ```

#![warn(missing_docs)]

pub mod billing;
pub mod cli;
pub mod component;
pub mod config;
pub mod core;
pub mod driver;
pub mod history;
pub mod program;
pub mod table;

pub use component::{Exec, PayloadOptions};
pub use driver::{Error, NodeReport, Options, run};
