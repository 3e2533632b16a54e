//! See the library; this only turns its verdict into an exit status.

use std::process::ExitCode;

use clap::Parser;
use daemon::Exit;
use lab::cli::Cli;
use lab::program::{self, End, PROGRAM};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // If the message cannot be printed there is nobody to tell.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Ok.into() };
        }
    };
    match program::main(cli) {
        Ok(End::Usual(exit)) => exit.into(),
        // As a shell reports a program that SIGINT ended.
        Ok(End::Interrupted) => ExitCode::from(130),
        Err(failure) => failure.report(PROGRAM),
    }
}
