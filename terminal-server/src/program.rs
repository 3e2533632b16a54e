//! What the binary does with its command line.

use std::io::{self, Write};

use clap::CommandFactory;
use daemon::{Exit, Failure, OrExit, SignalEvent, Signals, ports};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::cli::{Cli, Command, ServeArgs, StatusArgs};
use crate::driver::{ServerReport, run};
use crate::table;

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
        Some(Command::Completions { shell }) => {
            clap_complete::generate(shell, &mut Cli::command(), PROGRAM, &mut io::stdout());
            Ok(())
        }
        Some(Command::Man { subcommand }) => man(subcommand.as_deref()),
    }
}

fn serve(args: &ServeArgs) -> Result<(), Failure> {
    daemon::logs::init(args.log_format, args.log.as_deref()).or_exit(Exit::Usage)?;
    let options = args.options()?;
    if let Some(warning) = args.warning() {
        tracing::warn!("{warning}");
    }
    // One thread: if the line's loop hangs, its beacons, status and watchdog hang with it (I8).
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.or_exit(Exit::OsError)?;
    let ended = runtime.block_on(async {
        let signals = Signals::listen().or_exit(Exit::OsError)?;
        let shutdown = CancellationToken::new();
        let server = run(options, shutdown.clone());
        tokio::select! {
            // In order is in order, even when a second signal comes in the same instant.
            biased;
            ended = server => ended.map_err(|e| Failure::new((&e).into(), e.to_string())),
            signal = second_signal(signals, shutdown) => {
                let message = format!("stopped by a second {signal}; kept input is lost");
                Err(Failure::new(Exit::TemporaryFailure, message))
            }
        }
    });
    // A write to a dead disk must not keep the process.
    runtime.shutdown_background();
    ended
}

/// Passes the first signal on; its name when there is a second.
async fn second_signal(mut signals: Signals, shutdown: CancellationToken) -> &'static str {
    loop {
        match signals.recv().await {
            SignalEvent::Stop(reason) => {
                tracing::info!(reason, "stopping");
                daemon::notify::stopping();
                shutdown.cancel();
            }
            SignalEvent::StopNow(signal) => return signal,
            SignalEvent::Hangup => tracing::info!("SIGHUP: there is no configuration to read anew"),
        }
    }
}

fn list(as_json: bool) -> Result<(), Failure> {
    let found = sys::ports::list();
    print(&match as_json {
        true => format!("{:#}\n", ports::json(&found)),
        false => ports::table(&found),
    })
}

fn status(args: &StatusArgs) -> Result<(), Failure> {
    let answer = daemon::status::request(&args.status, PROGRAM, &json!({ "command": "status" }))
        .map_err(|error| Failure::new((&error).into(), error.to_string()))?;
    if args.json {
        return print(&format!("{answer:#}\n"));
    }
    let report: ServerReport = serde_json::from_value(answer).or_exit(Exit::Protocol)?;
    print(&table::render(&report))
}

fn man(subcommand: Option<&str>) -> Result<(), Failure> {
    let mut command = Cli::command();
    command.build();
    let page = match subcommand {
        None => clap_mangen::Man::new(command),
        Some(name) => {
            let found = command.find_subcommand(name).cloned();
            let found = found.ok_or("there is no such subcommand").or_exit(Exit::Usage)?;
            clap_mangen::Man::new(found).title(format!("{PROGRAM}-{name}"))
        }
    };
    let mut text = Vec::new();
    page.render(&mut text).or_exit(Exit::Io)?;
    print(&String::from_utf8_lossy(&text))
}

/// On standard output; a reader that has gone has seen enough.
fn print(text: &str) -> Result<(), Failure> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Io, error.to_string()))
        }
        _ => Ok(()),
    }
}
