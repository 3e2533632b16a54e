//! See the library; this only turns its verdict into an exit status.

use std::process::ExitCode;

use lab::cli::Cli;
use lab::program::{self, End, PROGRAM};

fn main() -> ExitCode {
    let cli = match daemon::program::parse::<Cli>() {
        Ok(cli) => cli,
        Err(status) => return status,
    };
    match program::main(cli) {
        Ok(End::Usual(exit)) => exit.into(),
        // As a shell reports a program that SIGINT ended.
        Ok(End::Interrupted) => ExitCode::from(130),
        Err(failure) => failure.report(PROGRAM),
    }
}
