//! See the library; this only turns its outcome into an exit status.

use std::process::ExitCode;

use clap::Parser;
use daemon::Exit;
use terminal_server::cli::Cli;
use terminal_server::program::{self, PROGRAM};

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
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(PROGRAM),
    }
}
