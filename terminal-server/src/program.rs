//! What the binary does with its command line.

use daemon::program::{self, print};
use daemon::{Exit, Failure, OrExit, ports};
use serde_json::json;

use crate::cli::{Cli, Command, ServeArgs, StatusArgs};
use crate::driver::{ServerReport, run};
use crate::table;
use crate::tools::{clients, pair, watch};

/// The program's name in messages.
pub const PROGRAM: &str = "terminal-server";

/// Does what the command line says.
///
/// # Errors
/// What to say on standard error, and how to end.
pub fn main(cli: Cli) -> Result<(), Failure> {
    match cli.command {
        None if cli.serve.list => list(cli.serve.json),
        None => serve(&cli.serve),
        Some(Command::Status(args)) => status(&args),
        Some(Command::Clients(args)) => clients::clients(&args),
        Some(Command::Kick(args)) => clients::kick(&args),
        Some(Command::Pair(args)) => pair::run(&args),
        Some(Command::Completions { shell }) => {
            program::completions::<Cli>(shell);
            Ok(())
        }
        Some(Command::Man { subcommand }) => program::man::<Cli>(subcommand.as_deref()),
    }
}

fn serve(args: &ServeArgs) -> Result<(), Failure> {
    daemon::logs::init(args.log_format, args.log.as_deref()).or_exit(Exit::Usage)?;
    let options = args.options()?;
    if let Some(warning) = args.warning() {
        tracing::warn!("{warning}");
    }
    let service = async |shutdown| {
        run(options, shutdown).await.map_err(|e| Failure::new((&e).into(), e.to_string()))
    };
    program::serve(service, "kept input is lost")
}

fn list(as_json: bool) -> Result<(), Failure> {
    let found = sys::ports::list();
    print(&match as_json {
        true => format!("{:#}\n", ports::json(&found)),
        false => ports::table(&found),
    })
}

fn status(args: &StatusArgs) -> Result<(), Failure> {
    if let Some(interval) = args.watch {
        return watch::run(&args.status, interval, args.json);
    }
    let answer = daemon::status::request(&args.status, PROGRAM, &json!({ "command": "status" }))
        .map_err(|error| Failure::new((&error).into(), error.to_string()))?;
    if args.json {
        return print(&format!("{answer:#}\n"));
    }
    let report: ServerReport = serde_json::from_value(answer).or_exit(Exit::Protocol)?;
    print(&table::render(&report))
}
