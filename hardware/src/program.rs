//! What the binary does with its command line.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::thread;

use daemon::{Exit, Failure, OrExit, SignalEvent, Signals};
use rand::TryRng;
use rand::rngs::SysRng;
use sys::boottime;
use tokio::sync::{mpsc, oneshot};

use crate::answerer::{misdeeds, run as answerer};
use crate::bench::{self, BenchArgs};
use crate::chain::Chain;
use crate::cli::{Cli, Command, RunArgs};
use crate::deed::Deed;
use crate::drills::cli::DrillsArgs;
use crate::error::LabError;
use crate::programs::Programs;
use crate::report::LabReport;
use crate::schedule::Schedule;
use crate::session;
use crate::show::{self, Detail};
use crate::timeline::{Entry, Timeline};
use crate::{document, drills, ear, net};

/// The program's name in messages.
pub const PROGRAM: &str = "lab";

/// The name of the bench's table in its page.
const BENCH: &str = "bench";
/// Likewise, of the drills'.
const DRILLS: &str = "drills";

/// How the program ends, besides the ends that all programs have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// As all programs.
    Usual(Exit),
    /// By Ctrl-C or SIGTERM; everything was ended first.
    Interrupted,
}

/// Does what the command line says.
///
/// # Errors
/// What to say on standard error, and how to end.
pub fn main(cli: Cli) -> Result<End, Failure> {
    match cli.command {
        None => run(&cli.run),
        Some(Command::Answerer(job)) => match answerer::run(job).or_exit(Exit::Io)? {
            answerer::Ended::Asked => Ok(End::Usual(Exit::Ok)),
            answerer::Ended::Crashed => Ok(End::Usual(Exit::Software)),
        },
        Some(Command::Bench(args)) => measure(args),
        Some(Command::Drills(args)) => drill(&args),
        Some(Command::Ear(args)) => {
            ear::listen(args).or_exit(Exit::Io)?;
            Ok(End::Usual(Exit::Ok))
        }
        Some(Command::Floor { pairs }) => {
            bench::floor::run(&pairs).or_exit(Exit::Io)?;
            Ok(End::Usual(Exit::Ok))
        }
        Some(Command::Holder { address }) => {
            bench::next::hold(address).or_exit(Exit::Unavailable)?;
            Ok(End::Usual(Exit::Ok))
        }
        Some(Command::Grandchild { dir }) => {
            misdeeds::grandchild(&dir).or_exit(Exit::Io)?;
            Ok(End::Usual(Exit::Ok))
        }
        Some(Command::Completions { shell }) => {
            daemon::program::completions::<Cli>(shell);
            Ok(End::Usual(Exit::Ok))
        }
        Some(Command::Man) => {
            daemon::program::man::<Cli>(None)?;
            Ok(End::Usual(Exit::Ok))
        }
    }
}

fn run(args: &RunArgs) -> Result<End, Failure> {
    let seed = match args.seed {
        Some(seed) => seed,
        None => u64::from(SysRng.try_next_u32().or_exit(Exit::OsError)?),
    };
    let programs = Programs::find(args.bin_dir.as_deref()).or_exit(Exit::Unavailable)?;
    // One thread: the kernel ends the chain's processes with the thread that started them.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let report = runtime.or_exit(Exit::OsError)?.block_on(async {
        let mut signals = Signals::listen().or_exit(Exit::OsError)?;
        tokio::select! {
            biased;
            // The chain is dropped here, and with it every process.
            () = interrupted(&mut signals) => Ok(None),
            report = run_and_show(args, seed, &programs) => report.map(Some),
        }
    })?;
    let Some(report) = report else { return Ok(End::Interrupted) };
    print(args, &report)?;
    Ok(End::Usual(if report.pass { Exit::Ok } else { Exit::Negative }))
}

/// Runs the bench on a thread of its own, so that a signal can end it at any time.
fn measure(args: BenchArgs) -> Result<End, Failure> {
    if let Some(page) = &args.doc {
        document::check(page, BENCH).or_exit(Exit::Io)?;
    }
    let programs = Programs::find(args.bin_dir.as_deref()).or_exit(Exit::Unavailable)?;
    let dir =
        tempfile::Builder::new().prefix("lab-bench-").tempdir().or_exit(Exit::CannotCreate)?;
    let (done, is_done) = oneshot::channel();
    let work = {
        let (args, dir) = (args.clone(), dir.path().to_owned());
        move || {
            // Nobody listens any more if a signal came.
            let _ = done.send(bench::suite::run(&args, programs, &dir));
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let report = runtime.or_exit(Exit::OsError)?.block_on(async {
        let mut signals = Signals::listen().or_exit(Exit::OsError)?;
        thread::Builder::new().name("bench".to_owned()).spawn(work).or_exit(Exit::OsError)?;
        tokio::select! {
            biased;
            // The servers end with this process.
            () = interrupted(&mut signals) => Ok(None),
            // A panic was shown when it happened.
            report = is_done => report.or_exit(Exit::Software).map(Some),
        }
    })?;
    let Some(report) = report else { return Ok(End::Interrupted) };
    let report = report.or_exit(Exit::Unavailable)?;
    let text = match args.json {
        true => serde_json::to_string_pretty(&report).or_exit(Exit::Software)? + "\n",
        false => bench::table::render(&report),
    };
    write_out(write!(anstream::stdout(), "{text}"))?;
    if let Some(path) = &args.plot {
        fs::write(path, bench::plot::svg(&report)).or_exit(Exit::CannotCreate)?;
    }
    if let Some(path) = &args.doc {
        document::rewrite(path, BENCH, &bench::table::markdown(&report)).or_exit(Exit::Io)?;
    }
    let harm = report.faults.iter().any(|fault| fault.contender == bench::Contender::Ours);
    Ok(End::Usual(if harm { Exit::Negative } else { Exit::Ok }))
}

/// Drills every failure, on one thread like [`run`].
fn drill(args: &DrillsArgs) -> Result<End, Failure> {
    if let Some(need) = net::tools::missing() {
        let text = format!("the drills need {need}: they make networks of their own");
        return Err(Failure::new(Exit::Unavailable, text));
    }
    if let Some(page) = &args.doc {
        document::check(page, DRILLS).or_exit(Exit::Io)?;
    }
    let programs = Programs::find(args.bin_dir.as_deref()).or_exit(Exit::Unavailable)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime.or_exit(Exit::OsError)?.block_on(async {
        let mut signals = Signals::listen().or_exit(Exit::OsError)?;
        let work = async {
            let report = drills::suite::all(args, &programs).await?;
            let picture = match &args.svg {
                Some(path) => Some((path, drills::suite::draw(args, &programs).await?)),
                None => None,
            };
            Ok::<_, LabError>((report, picture))
        };
        tokio::select! {
            biased;
            // The chain and its network are dropped here.
            () = interrupted(&mut signals) => Ok(None),
            done = work => done.or_exit(Exit::Unavailable).map(Some),
        }
    })?;
    let Some((report, picture)) = done else { return Ok(End::Interrupted) };
    let text = match args.json {
        true => serde_json::to_string_pretty(&report).or_exit(Exit::Software)? + "\n",
        false => drills::table::render(&report),
    };
    write_out(write!(anstream::stdout(), "{text}"))?;
    if let Some((path, picture)) = picture {
        fs::write(path, picture).or_exit(Exit::CannotCreate)?;
    }
    if let Some(path) = &args.doc {
        document::rewrite(path, DRILLS, &drills::table::markdown(&report)).or_exit(Exit::Io)?;
    }
    Ok(End::Usual(if report.pass() { Exit::Ok } else { Exit::Negative }))
}

async fn interrupted(signals: &mut Signals) {
    while matches!(signals.recv().await, SignalEvent::Hangup) {}
}

/// Drills the chain; what happens is shown meanwhile.
async fn run_and_show(
    args: &RunArgs,
    seed: u64,
    programs: &Programs,
) -> Result<LabReport, Failure> {
    let timeline = Timeline::default();
    let (entries, began) = (timeline.follow(), boottime());
    let detail = if args.verbose { Detail::Everything } else { Detail::Usual };
    let (events, json) = (args.events, args.json);
    let shown = thread::spawn(move || match (events, json) {
        (true, _) => print_events(entries),
        (_, true) => show::follow(entries, began, detail, anstream::stderr()),
        (_, false) => show::follow(entries, began, detail, anstream::stdout()),
    });
    let settings = args.settings(seed);
    let summary = format!(
        "{} nodes, profile {}, {} over {}, seed {seed}",
        args.nodes,
        args.profile,
        args.line,
        settings.wire.name(),
    );
    timeline.did(Deed::Note { text: summary });
    let chain = Chain::lay(settings, programs, timeline.clone()).await;
    let mut chain = chain.or_exit(Exit::Unavailable)?;
    let started = session::begin(&mut chain).await;
    if started.is_err() {
        eprintln!("{PROGRAM}: the logs are kept in {}", chain.keep().display());
    }
    started.or_exit(Exit::Unavailable)?;
    let mut report = session::drill(&mut chain, Schedule::new(args.kills, seed)).await;
    if args.keep || !report.pass {
        report.logs = Some(chain.keep());
    }
    timeline.unfollow();
    // Joined, so that the last line stands before the table.
    let _ = shown.join();
    Ok(report)
}

fn print_events(mut entries: mpsc::UnboundedReceiver<Entry>) {
    while let Some(entry) = entries.blocking_recv() {
        let Ok(line) = serde_json::to_string(&entry) else { continue };
        let mut out = io::stdout().lock();
        if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
            break;
        }
    }
}

fn print(args: &RunArgs, report: &LabReport) -> Result<(), Failure> {
    let written = if args.events {
        let last = serde_json::json!({ "event": "report", "report": report });
        writeln!(io::stdout(), "{last}")
    } else if args.json {
        let text = serde_json::to_string_pretty(report).or_exit(Exit::Software)?;
        writeln!(io::stdout(), "{text}")
    } else {
        write!(anstream::stdout(), "{}", show::table(report))
    };
    if args.json && io::stderr().is_terminal() {
        // The document may go to a file; the verdict is for whoever sits here.
        let _ = write!(anstream::stderr(), "{}", show::table(report));
    }
    write_out(written)
}

fn write_out(written: io::Result<()>) -> Result<(), Failure> {
    match written {
        // A reader that has gone has seen enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Io, error.to_string()))
        }
        _ => Ok(()),
    }
}
