//! See the library; this only turns its outcome into an exit status.

use std::process::ExitCode;

use terminal_server::cli::Cli;
use terminal_server::program::{self, PROGRAM};

fn main() -> ExitCode {
    let cli = match daemon::program::parse::<Cli>() {
        Ok(cli) => cli,
        Err(status) => return status,
    };
    match program::main(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(PROGRAM),
    }
}
