//! What the binary does with its command line.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::CommandFactory;
use daemon::{CancellationToken, Exit, Failure, OrExit, RequestError, SignalEvent, Signals};
use serde_json::{Value, json};

use crate::cli::{Cli, Command, GuardArgs, HandoverArgs, RunArgs, SocketArgs};
use crate::component::{Exec, guard};
use crate::driver::requests::HandoverAnswer;
use crate::driver::{NodeReport, run};
use crate::table;

/// The program's name in messages.
pub const PROGRAM: &str = "failover-node";

/// Does what the command line says.
///
/// # Errors
/// What to say on standard error, and how to end.
pub fn main(cli: Cli) -> Result<ExitCode, Failure> {
    match cli.command {
        None => run_node(&cli.run).map(|()| ExitCode::SUCCESS),
        Some(Command::Status(args)) => status(&args.socket),
        Some(Command::Handover(args)) => handover(&args).map(|()| ExitCode::SUCCESS),
        Some(Command::Guard(args)) => run_guard(args).map(|()| ExitCode::SUCCESS),
        Some(Command::Completions { shell }) => {
            clap_complete::generate(shell, &mut Cli::command(), PROGRAM, &mut io::stdout());
            Ok(ExitCode::SUCCESS)
        }
        Some(Command::Man { subcommand }) => man(subcommand.as_deref()).map(|()| ExitCode::SUCCESS),
    }
}

fn run_node(args: &RunArgs) -> Result<(), Failure> {
    daemon::logs::init(args.log_format, args.log.as_deref()).or_exit(Exit::Usage)?;
    let options = args.options()?;
    // What a killed guard leaves behind becomes this process's, so that it can be ended.
    sys::process::become_subreaper().or_exit(Exit::OsError)?;
    // One thread: if the loop hangs, its heartbeats, renewals and ticks hang with it (I8).
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.or_exit(Exit::OsError)?;
    let ended = runtime.block_on(async {
        let signals = Signals::listen().or_exit(Exit::OsError)?;
        let shutdown = CancellationToken::new();
        let node = run(options, shutdown.clone());
        tokio::select! {
            // In order is in order, even when a second signal comes in the same instant.
            biased;
            ended = node => ended.map_err(|e| Failure::new((&e).into(), e.to_string())),
            signal = second_signal(signals, shutdown) => {
                let message = format!("stopped by a second {signal}; the lease ends by itself");
                Err(Failure::new(Exit::TemporaryFailure, message))
            }
        }
    });
    // A name that is still being looked up must not keep the process.
    runtime.shutdown_background();
    ended
}

/// Passes the first signal on; its name when there is a second.
async fn second_signal(mut signals: Signals, shutdown: CancellationToken) -> &'static str {
    loop {
        match signals.recv().await {
            SignalEvent::Stop(reason) => {
                tracing::info!(reason, "signal");
                shutdown.cancel();
            }
            SignalEvent::StopNow(signal) => return signal,
            SignalEvent::Hangup => tracing::info!("SIGHUP: there is no configuration to read anew"),
        }
    }
}

fn run_guard(args: GuardArgs) -> Result<(), Failure> {
    let mut payload = args.payload.into_iter();
    let program = payload.next().ok_or("no payload").or_exit(Exit::Usage)?;
    guard::run(args.control, Exec::new(program, payload.collect())).or_exit(Exit::OsError)
}

fn status(args: &SocketArgs) -> Result<ExitCode, Failure> {
    let answer = ask(args, &json!({ "command": "status" }))?;
    let report: NodeReport = serde_json::from_value(answer.clone()).or_exit(Exit::Protocol)?;
    print(&if args.json { format!("{answer:#}\n") } else { table::render(&report) })?;
    Ok(ExitCode::from(probe(&report)))
}

/// What a probe wants to know: see the help of `status`.
fn probe(report: &NodeReport) -> u8 {
    let led = report.members.iter().any(|member| member.alive && member.role == "coordinator");
    match report.role.as_str() {
        "coordinator" => PROBE_COORDINATOR,
        _ if report.line.state == "held" || led => PROBE_READY,
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

fn ask(args: &SocketArgs, body: &Value) -> Result<Value, Failure> {
    daemon::status::request(&args.path(), PROGRAM, body).map_err(|error| {
        let exit = match &error {
            RequestError::Refused(_) => Exit::Negative,
            other => other.into(),
        };
        Failure::new(exit, error.to_string())
    })
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

/// This node is coordinator.
const PROBE_COORDINATOR: u8 = 0;
/// It stands ready, and somebody has the line.
const PROBE_READY: u8 = 3;
/// It stands ready, and nobody is known to have the line.
const PROBE_VACANT: u8 = 4;
