//! The command line of the bench.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// What to measure, and where to put it.
#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    /// Measure for seconds only: shows that all works and no byte is lost; the figures mean nothing
    #[arg(long)]
    pub quick: bool,
    /// Measure only this; may be given several times
    #[arg(long, value_enum, value_name = "MEASURE", value_delimiter = ',')]
    pub only: Vec<Measure>,
    /// Print one JSON document instead of the table
    #[arg(long)]
    pub json: bool,
    /// Draw the figures into this file
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,
    /// Write the table into this page, between its marks
    #[arg(long, value_name = "FILE.md")]
    pub doc: Option<PathBuf>,
    /// Where the other programs are [default: beside this one; under cargo they are built first]
    #[arg(long, value_name = "DIR", env = crate::programs::BIN_DIR)]
    pub bin_dir: Option<PathBuf>,
}

/// What can be measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Measure {
    /// As much as a line carries, each way, and its cost
    Bulk,
    /// Round trips, raw and by the line protocol
    Trip,
    /// The next client, when the one before has gone
    Next,
    /// Clients that take over from one another under load
    Swap,
    /// Many lines, at work and idle
    Many,
    /// A client beside a hundred that never read
    Stalled,
}
