//! What the binary does with its command line.

use std::process::ExitCode;

use daemon::program::{self, print};
use daemon::{Exit, Failure, OrExit, RequestError};
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
            program::completions::<Cli>(shell);
            Ok(ExitCode::SUCCESS)
        }
        Some(Command::Man { subcommand }) => {
            program::man::<Cli>(subcommand.as_deref()).map(|()| ExitCode::SUCCESS)
        }
    }
}

fn run_node(args: &RunArgs) -> Result<(), Failure> {
    daemon::logs::init(args.log_format, args.log.as_deref()).or_exit(Exit::Usage)?;
    let options = args.options()?;
    // What a killed guard leaves behind becomes this process's, so that it can be ended.
    sys::process::become_subreaper().or_exit(Exit::OsError)?;
    let service = async |shutdown| {
        run(options, shutdown).await.map_err(|e| Failure::new((&e).into(), e.to_string()))
    };
    program::serve(service, "the lease ends by itself")
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

/// This node is coordinator.
const PROBE_COORDINATOR: u8 = 0;
/// It stands ready, and somebody has the line.
const PROBE_READY: u8 = 3;
/// It stands ready, and nobody is known to have the line.
const PROBE_VACANT: u8 = 4;
