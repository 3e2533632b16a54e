//! What the binary does with its command line.

use std::io::{self, IsTerminal, Write};
use std::thread;
use std::time::Duration;

use billing::dialect::Dialect;
use daemon::{Exit, Failure, OrExit, ports};
use sys::SerialPort;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::cli::{ChargesArgs, Cli, Command, ListArgs, NUMBERED, RunArgs};
use crate::core::event::{Event, Verdict};
use crate::core::report::Report;
use crate::driver::options::Shutdown;
use crate::driver::run::{EVENT_QUEUE, run};
use crate::report_file::ReportFile;
use crate::{journal, listing, table, trial};

/// Does what the command line says; messages go to standard error.
pub fn main(cli: Cli) -> Exit {
    let result = match cli.command {
        Command::Run(args) => match is_numbered(&args) {
            Ok(true) => return run_and_report(&args),
            Ok(false) => match trial::run(&args) {
                Ok(exit) => return exit,
                Err(failure) => Err(failure),
            },
            Err(failure) => Err(failure),
        },
        Command::Show(args) => journal::program::run_show(&args),
        Command::Replay(args) => match journal::program::run_replay(&args) {
            Ok(exit) => return exit,
            Err(failure) => Err(failure),
        },
        Command::List(args) => list(&args),
        Command::Charges(args) => charges(&args),
        Command::Completions { shell } => {
            daemon::program::completions::<Cli>(shell);
            Ok(())
        }
        Command::Man { subcommand } => daemon::program::man::<Cli>(subcommand.as_deref()),
    };
    match result {
        Err(failure) => complain(failure.exit, &failure.message),
        Ok(()) => Exit::Ok,
    }
}

/// Whether the dialect is `numbered`, and nothing was asked for that it has not.
fn is_numbered(args: &RunArgs) -> Result<bool, Failure> {
    let named = args.dialect.as_deref().unwrap_or(NUMBERED) == NUMBERED;
    let trial = &args.trial;
    let is_trial = !(trial.set.is_empty() && trial.fault.is_empty() && trial.allow.is_empty())
        || trial.charges.is_some()
        || trial.jitter.is_some()
        || trial.patience.is_some()
        || [&trial.expect, &trial.records, &trial.journal, &trial.junit]
            .into_iter()
            .any(Option::is_some);
    match named && args.scenario.is_none() {
        true if is_trial => {
            let message = "the dialect numbered has none of these options; give --dialect fias";
            Err(Failure::new(Exit::Usage, message))
        }
        numbered => Ok(numbered),
    }
}

fn charges(args: &ChargesArgs) -> Result<(), Failure> {
    let dialect = Dialect::named(&args.dialect, &[]).or_exit(Exit::Usage)?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    for n in 1..=args.count {
        let Some(charge) = dialect.charge(args.seed, n) else {
            let message = format!("nobody posts charges in {}", dialect.name());
            return Err(Failure::new(Exit::Usage, message));
        };
        let line = serde_json::to_string(&charge).or_exit(Exit::Io)?;
        if let Err(error) = writeln!(out, "{line}") {
            // A reader that has had enough.
            return if error.kind() == io::ErrorKind::BrokenPipe {
                Ok(())
            } else {
                Err(error).or_exit(Exit::Io)
            };
        }
    }
    out.flush().or_exit(Exit::Io)
}

fn run_and_report(args: &RunArgs) -> Exit {
    // Before the run: a report that cannot be kept is not worth ten minutes.
    let file = match args.report.as_deref().map(ReportFile::create).transpose() {
        Ok(file) => file,
        Err(failure) => return complain(failure.exit, &failure.message),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(Exit::Io, &error.to_string()),
    };
    let report = match runtime.block_on(run_on_port(args)) {
        Ok(report) => report,
        Err((exit, message)) => return complain(exit, &message),
    };
    let json = match serde_json::to_string_pretty(&report) {
        Ok(json) => json + "\n",
        Err(error) => return complain(Exit::Io, &error.to_string()),
    };
    let text = match (args.json, args.events) {
        (true, _) => json.clone(),
        (_, true) => format!("{}\n", serde_json::json!({ "event": "report", "report": report })),
        (false, false) => table::render(&report),
    };
    // A reader that has gone is no reason to forget the verdict.
    let _ = io::stdout().write_all(text.as_bytes());
    if let Some(Err(failure)) = file.map(|file| file.write(&json)) {
        return complain(failure.exit, &failure.message);
    }
    if report.pass { Exit::Ok } else { Exit::Negative }
}

async fn run_on_port(args: &RunArgs) -> Result<Report, (Exit, String)> {
    let line = args.options().line;
    let port = SerialPort::open_tty(&args.port, &line)
        .map_err(|error| (Exit::Unavailable, error.to_string()))?;
    for difference in port.differences().iter().filter(|_| !port.is_pty()) {
        eprintln!("billing-sim: warning: {}: {difference}", args.port.display());
    }
    let shutdown = Shutdown::default();
    let signals = tokio::spawn(until_signals(shutdown.clone()));
    let (sender, receiver) = mpsc::channel(EVENT_QUEUE);
    // A thread, because a terminal or a pipe may block, and the line must not wait for it.
    let shown = match args.events {
        true => thread::spawn(move || print_events(receiver)),
        false => thread::spawn(move || show_progress(receiver)),
    };
    let report = run(args.options(), port, shutdown, Some(sender)).await;
    signals.abort();
    let _ = shown.join();
    report.map_err(|error| (Exit::Io, format!("failed to start the run: {error}")))
}

/// The first signal stops, the second aborts.
pub(crate) async fn until_signals(shutdown: Shutdown) -> io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    for token in [&shutdown.stop, &shutdown.abort] {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        token.cancel();
    }
    Ok(())
}

fn print_events(mut events: mpsc::Receiver<Event>) {
    while let Some(event) = events.blocking_recv() {
        let Ok(line) = serde_json::to_string(&event) else { continue };
        // Each line at once: whoever follows wants it now.
        let mut out = io::stdout().lock();
        if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
            break;
        }
    }
}

/// A single line on the terminal that follows the run; nothing where there is no terminal.
fn show_progress(mut events: mpsc::Receiver<Event>) {
    if !io::stderr().is_terminal() {
        return;
    }
    let (mut sent, mut answers, mut failures, mut longest) = (0_u64, 0_u64, 0_u64, Duration::ZERO);
    let mut shown = Duration::ZERO;
    while let Some(event) = events.blocking_recv() {
        let at = match event {
            Event::Sent { at, .. } => {
                sent += 1;
                at
            }
            Event::Answered { at, .. } => {
                answers += 1;
                at
            }
            Event::Found(finding) => {
                failures += u64::from(finding.verdict != Verdict::Partial);
                finding.at
            }
            Event::Unserved(span) => {
                longest = longest.max(span.length());
                span.to
            }
            Event::Started { at } | Event::Settling { at } | Event::Ended { at, .. } => at,
        };
        if at.saturating_sub(shown) >= PROGRESS_INTERVAL {
            shown = at;
            let unserved = table::short(longest);
            eprint!(
                "\r\x1b[K{sent} sent, {answers} answered, {failures} failures, \
                 longest unserved over the threshold {unserved}"
            );
        }
    }
    eprint!("\r\x1b[K");
}

fn list(args: &ListArgs) -> Result<(), Failure> {
    if args.dialects {
        return daemon::program::print(&listing::dialects(args.json));
    }
    if args.faults {
        return daemon::program::print(&listing::faults(args.json));
    }
    let found = sys::ports::list();
    daemon::program::print(&match args.json {
        true => format!("{:#}\n", ports::json(&found)),
        false => ports::table(&found),
    })
}

fn complain(exit: Exit, message: &str) -> Exit {
    eprintln!("billing-sim: error: {message}");
    exit
}

/// How often the progress line changes: quick enough to be alive, slow enough to be read.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);
