//! What the binary does with its command line.

use std::path::{Path, PathBuf};

use daemon::program::{self, print};
use daemon::watch::{self, Watched};
use daemon::{CancellationToken, Exit, Failure, OrExit, ports};
use serde_json::json;
use tokio::sync::mpsc;

use crate::cli::{Cli, Command, ServeArgs, StatusArgs};
use crate::config::{Config, read_key};
use crate::console::attach;
use crate::driver::{Options, ServerReport, run};
use crate::table;
use crate::tools::{clients, pair};

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
        Some(Command::Attach(args)) => attach::run(&args),
        Some(Command::Clients(args)) => clients::clients(&args),
        Some(Command::Kick(args)) => clients::kick(&args),
        Some(Command::Pair(args)) => pair::run(&args),
        Some(Command::CheckConfig { file }) => print(&table::of_config(&read(&file)?)),
        Some(Command::Completions { shell }) => {
            program::completions::<Cli>(shell);
            Ok(())
        }
        Some(Command::Man { subcommand }) => program::man::<Cli>(subcommand.as_deref()),
    }
}

fn serve(args: &ServeArgs) -> Result<(), Failure> {
    let config = args.config.as_deref().map(read).transpose()?;
    let (log, format) = match &config {
        Some(config) => (config.log.as_deref(), config.log_format),
        None => (None, None),
    };
    let format = args.log_format.or(format).unwrap_or_default();
    daemon::logs::init(format, args.log.as_deref().or(log)).or_exit(Exit::Usage)?;
    let (options, warnings) = match config {
        Some(config) => (Options { new_state: args.new_state, ..config.options }, config.warnings),
        None => (args.options()?, args.warning().into_iter().collect()),
    };
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    if let Err(error) = sys::process::raise_open_files() {
        tracing::warn!(%error, "failed to raise the limit of open files");
    }
    let service = async |shutdown: CancellationToken, hangups| {
        let (reload, reloads) = mpsc::channel(1);
        let reader = args.config.clone().map(|file| tokio::spawn(reread(file, hangups, reload)));
        let ended = run(options, shutdown, reloads).await;
        if let Some(reader) = reader {
            reader.abort();
        }
        ended.map_err(|e| Failure::new((&e).into(), e.to_string()))
    };
    program::serve_reloading(service, "kept input is lost")
}

/// Reads the file again at each SIGHUP, and passes on what it says. A file with an error changes
/// nothing.
async fn reread(file: PathBuf, mut hangups: mpsc::Receiver<()>, reload: mpsc::Sender<Options>) {
    while hangups.recv().await.is_some() {
        daemon::notify::reloading();
        let path = file.clone();
        let read = tokio::task::spawn_blocking(move || read(&path));
        match read
            .await
            .unwrap_or_else(|error| Err(Failure::new(Exit::Software, error.to_string())))
        {
            Ok(config) => {
                config.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
                if reload.send(config.options).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::error!(%error, "the configuration was not taken; nothing has changed");
                daemon::notify::reloaded();
            }
        }
    }
}

fn read(file: &Path) -> Result<Config, Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::new(Exit::NoInput, format!("{}: {error}", file.display())))?;
    Config::parse(file, &text, &read_key).or_exit(Exit::Usage)
}

fn list(as_json: bool) -> Result<(), Failure> {
    let found = sys::ports::list();
    if as_json {
        return print(&format!("{:#}\n", ports::json(&found)));
    }
    let mut text = ports::table(&found);
    if let Some(port) = found.iter().find(|port| matches!(port.kind, sys::PortKind::Usb(_))) {
        let (id, path) = (&port.stable_id, port.path.display());
        text += &format!(
            "\nAn ID that begins with usb: names its adapter wherever it is plugged in:\n    \
             --serial {id},9600,8N1\ninstead of\n    --serial {path},9600,8N1\n"
        );
    }
    print(&text)
}

fn status(args: &StatusArgs) -> Result<(), Failure> {
    if let Some(interval) = args.watch {
        let render = |answer| serde_json::from_value(answer).map(|report| table::render(&report));
        let watched = Watched { socket: &args.status, program: PROGRAM, render };
        return watch::run(watched, interval, args.json);
    }
    let mut request = json!({ "command": "status" });
    if let Some(line) = &args.line {
        request["line"] = line.as_str().into();
    }
    let answer = daemon::status::request(&args.status, PROGRAM, &request)
        .map_err(|error| Failure::new((&error).into(), error.to_string()))?;
    if args.json {
        return print(&format!("{answer:#}\n"));
    }
    let report: ServerReport = serde_json::from_value(answer).or_exit(Exit::Protocol)?;
    print(&table::render(&report))
}
