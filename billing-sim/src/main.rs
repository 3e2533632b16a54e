//! See the library; this only turns its verdict into an exit status.

use std::process::ExitCode;

use billing_sim::cli::Cli;
use billing_sim::program;

fn main() -> ExitCode {
    match daemon::program::parse::<Cli>() {
        Ok(cli) => program::main(cli).into(),
        Err(status) => status,
    }
}
