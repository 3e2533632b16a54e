//! See the library; this only turns its outcome into an exit status.

use std::process::ExitCode;

use clap::Parser;
use daemon::Exit;
use failover_node::cli::Cli;
use failover_node::program::{self, PROGRAM};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // If the message cannot be printed there is nobody to tell.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { ExitCode::SUCCESS };
        }
    };
    match program::main(cli) {
        Ok(code) => code,
        Err(failure) => failure.report(PROGRAM),
    }
}
