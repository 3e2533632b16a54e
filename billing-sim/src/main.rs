//! See the library; this only turns its verdict into an exit status.

use std::process::ExitCode;

use billing_sim::cli::Cli;
use billing_sim::program;
use clap::Parser;
use daemon::Exit;

fn main() -> ExitCode {
    let exit = match Cli::try_parse() {
        Ok(cli) => program::main(cli),
        Err(error) => {
            // If the message cannot be printed there is nobody to tell.
            let _ = error.print();
            if error.use_stderr() { Exit::Usage } else { Exit::Ok }
        }
    };
    ExitCode::from(exit.code())
}
