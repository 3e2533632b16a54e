//! See the library; this only turns its outcome into an exit status.

use std::process::ExitCode;

use failover_node::cli::Cli;
use failover_node::program::{self, PROGRAM};

fn main() -> ExitCode {
    let cli = match daemon::program::parse::<Cli>() {
        Ok(cli) => cli,
        Err(status) => return status,
    };
    match program::main(cli) {
        Ok(code) => code,
        Err(failure) => failure.report(PROGRAM),
    }
}
