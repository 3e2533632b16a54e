//! What the binary does with its command line.

use std::process::ExitCode;
use std::time::Duration;

use daemon::program::{self, print};
use daemon::watch::{self, Watched};
use daemon::{CancellationToken, Exit, Failure, OrExit, RequestError};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::billing::{post, process, records};
use crate::cli::{
    Cli, Command, GuardArgs, HandoverArgs, MaintenanceArgs, RunArgs, SocketArgs, StatusArgs, Switch,
};
use crate::component::{Exec, guard};
use crate::config::{Config, summary};
use crate::driver::reload::{Reload, compare};
use crate::driver::requests::{HandoverAnswer, MaintenanceAnswer, WhyNotAnswer};
use crate::driver::{NodeReport, run_reloading};
use crate::{history, table};

/// The program's name in messages.
pub const PROGRAM: &str = "failover-node";

/// Does what the command line says.
///
/// # Errors
/// What to say on standard error, and how to end.
pub fn main(cli: Cli) -> Result<ExitCode, Failure> {
    let done = |()| ExitCode::SUCCESS;
    match cli.command {
        None => run_node(&cli.run).map(done),
        Some(Command::Status(args)) => status(&args),
        Some(Command::Handover(args)) => handover(&args).map(done),
        Some(Command::Maintenance(args)) => maintenance(&args).map(done),
        Some(Command::WhyNot(args)) => why_not(&args),
        Some(Command::Events(args)) => history::show(&args).map(done),
        Some(Command::Records(args)) => records::show(&args),
        Some(Command::Post(args)) => post::run(&args),
        Some(Command::CheckConfig { file }) => {
            print(&summary::render(&Config::look_at(&file)?)).map(done)
        }
        Some(Command::Guard(args)) => run_guard(args).map(done),
        Some(Command::Gateway(args)) => process::run(&args.job).map(done),
        Some(Command::Completions { shell }) => {
            program::completions::<Cli>(shell);
            Ok(ExitCode::SUCCESS)
        }
        Some(Command::Man { subcommand }) => program::man::<Cli>(subcommand.as_deref()).map(done),
    }
}

fn run_node(args: &RunArgs) -> Result<(), Failure> {
    let config = args.config()?;
    let format = config.log_format.unwrap_or_default();
    daemon::logs::init(format, config.log.as_deref()).or_exit(Exit::Usage)?;
    config.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    // What a killed guard leaves behind becomes this process's, so that it can be ended.
    sys::process::become_subreaper().or_exit(Exit::OsError)?;
    let service = async |shutdown: CancellationToken, hangups| {
        let (send, reloads) = mpsc::channel(1);
        let options = config.options.clone();
        let from_file = args.config.is_some();
        let reader = from_file.then(|| tokio::spawn(reread(args.clone(), config, hangups, send)));
        let ended = run_reloading(options, shutdown, reloads).await;
        if let Some(reader) = reader {
            reader.abort();
        }
        ended.map_err(|e| Failure::new((&e).into(), e.to_string()))
    };
    program::serve_reloading(service, "the lease ends by itself")
}

/// Reads the file again at each SIGHUP, off the loop, and passes on what can change. A file that is
/// wrong, or that differs in what only a restart changes, changes nothing.
async fn reread(
    args: RunArgs,
    mut current: Config,
    mut hangups: mpsc::Receiver<()>,
    reloads: mpsc::Sender<Reload>,
) {
    while hangups.recv().await.is_some() {
        daemon::notify::reloading();
        let args = args.clone();
        let read = tokio::task::spawn_blocking(move || args.config());
        let read = read.await.unwrap_or_else(|e| Err(Failure::new(Exit::Software, e.to_string())));
        match read.map_err(|error| vec![error.message]).and_then(|new| changes(&current, new)) {
            Ok((new, reload)) => {
                current = new;
                if reloads.send(reload).await.is_err() {
                    return;
                }
            }
            Err(reasons) => refuse(&reasons),
        }
    }
}

fn changes(current: &Config, new: Config) -> Result<(Config, Reload), Vec<String>> {
    let reload = compare(&current.options, &new.options)?;
    if new.log_format != current.log_format {
        return Err(vec!["log_format differs, which only a restart changes".to_owned()]);
    }
    if new.log != current.log {
        daemon::logs::change(new.log.as_deref()).map_err(|error| vec![error.to_string()])?;
    }
    new.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    Ok((new, reload))
}

fn refuse(reasons: &[String]) {
    for reason in reasons {
        tracing::error!(reason, "reload-refused");
    }
    let first = reasons.first().and_then(|reason| reason.lines().next()).unwrap_or_default();
    daemon::notify::status(&format!("the configuration was not taken, nothing changed: {first}"));
    daemon::notify::reloaded();
}

fn run_guard(args: GuardArgs) -> Result<(), Failure> {
    let mut payload = args.payload.into_iter();
    let program = payload.next().ok_or("no payload").or_exit(Exit::Usage)?;
    guard::run(args.control, args.output, Exec::new(program, payload.collect()))
        .or_exit(Exit::OsError)
}

fn status(args: &StatusArgs) -> Result<ExitCode, Failure> {
    let socket = args.socket.path();
    if let Some(interval) = args.watch {
        let render = |answer| serde_json::from_value(answer).map(|report| table::render(&report));
        let watched = Watched { socket: &socket, program: PROGRAM, render };
        return watch::run(watched, interval, args.socket.json).map(|()| ExitCode::SUCCESS);
    }
    let answer = ask(&args.socket, &json!({ "command": "status" }))?;
    let report: NodeReport = serde_json::from_value(answer.clone()).or_exit(Exit::Protocol)?;
    print(&if args.socket.json { format!("{answer:#}\n") } else { table::render(&report) })?;
    Ok(ExitCode::from(probe(&report)))
}

/// What a probe wants to know: see the help of `status`.
fn probe(report: &NodeReport) -> u8 {
    let led = report.members.iter().any(|member| member.alive && member.role == "coordinator");
    match report.role.as_str() {
        "coordinator" => PROBE_COORDINATOR,
        _ if report.lines.first().is_some_and(|line| line.state == "held") || led => PROBE_READY,
        _ => PROBE_VACANT,
    }
}

fn handover(args: &HandoverArgs) -> Result<(), Failure> {
    let mut body = json!({ "command": "handover" });
    if let Some(to) = &args.to {
        body["to"] = json!(to.as_str());
    }
    let answer = ask(&args.socket, &body)?;
    if args.socket.json {
        return print(&format!("{answer:#}\n"));
    }
    let HandoverAnswer { node } = serde_json::from_value(answer).or_exit(Exit::Protocol)?;
    print(&format!("handing the line over to {node}\n"))
}

fn maintenance(args: &MaintenanceArgs) -> Result<(), Failure> {
    if args.switch == Some(Switch::Off) && (args.span.is_some() || args.until_off || args.force) {
        let message = "--for, --until-off and --force go with `maintenance on` only";
        return Err(Failure::new(Exit::Usage, message));
    }
    let mut body = json!({ "command": "maintenance" });
    if let Some(switch) = args.switch {
        body["on"] = json!(switch == Switch::On);
        body["force"] = json!(args.force);
        let span = args.span.unwrap_or(USUAL_MAINTENANCE);
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        body["for_ms"] = if args.until_off { Value::Null } else { json!(millis) };
    }
    let answer = ask(&args.socket, &body)?;
    if args.socket.json {
        return print(&format!("{answer:#}\n"));
    }
    let answer: MaintenanceAnswer = serde_json::from_value(answer).or_exit(Exit::Protocol)?;
    let to = answer.to.as_ref().map(|to| format!("; handing the line over to {to}"));
    print(&(table::maintenance(&answer) + &to.unwrap_or_default() + "\n"))
}

fn why_not(args: &SocketArgs) -> Result<ExitCode, Failure> {
    let answer = ask(args, &json!({ "command": "why-not" }))?;
    let why: WhyNotAnswer = serde_json::from_value(answer.clone()).or_exit(Exit::Protocol)?;
    print(&if args.json { format!("{answer:#}\n") } else { table::why_not(&why) })?;
    let would = why.leads || why.would;
    Ok(if would { ExitCode::SUCCESS } else { ExitCode::from(WOULD_NOT) })
}

fn ask(args: &SocketArgs, body: &Value) -> Result<Value, Failure> {
    daemon::status::request(&args.path(), PROGRAM, body).map_err(|error| {
        let exit = match &error {
            RequestError::Refused(_) => Exit::Negative,
            other => other.into(),
        };
        Failure::new(exit, error.to_string())
    })
}

/// This node is coordinator.
const PROBE_COORDINATOR: u8 = 0;
/// It stands ready, and somebody has the line.
const PROBE_READY: u8 = 3;
/// It stands ready, and nobody is known to have the line.
const PROBE_VACANT: u8 = 4;
/// Longer than an update takes, and not as long as it takes to be forgotten.
const USUAL_MAINTENANCE: Duration = Duration::from_secs(3600);
/// It would not lead.
const WOULD_NOT: u8 = 3;
