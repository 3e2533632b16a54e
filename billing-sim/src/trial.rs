//! What `run` does in all dialects but `numbered`.

use std::fs::{self, File};
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use billing::Dialect;
use daemon::{Exit, Failure, OrExit};
use sys::Flow;

use crate::cli::{RunArgs, TrialArgs};
use crate::core::exchange::Report;
use crate::core::exchange::entry::{Entry, Sink};
use crate::core::exchange::truth::Truth;
use crate::driver::exchange::run_dialect;
use crate::driver::line::Device;
use crate::driver::options::Shutdown;
use crate::follow::Follower;
use crate::journal::{Header, Writer, Written};
use crate::program::until_signals;
use crate::report_file::ReportFile;
use crate::scenario::{Scenario, words};
use crate::{junit, report_file, truth_files, verdicts};

/// Runs a dialect and reports; the status says whether the gateway passed.
///
/// # Errors
/// The run could not be made or not be reported.
pub fn run(args: &RunArgs) -> Result<Exit, Failure> {
    let scenario = scenario(args)?;
    if let (Some(report), Some(junit)) = (&args.report, &args.trial.junit)
        && report_file::is_one(report, junit)
    {
        let message = format!("--report and --junit are one file: {}", report.display());
        return Err(Failure::new(Exit::Usage, message));
    }
    // Before the run: a report that can't be kept is not worth ten minutes.
    let report_file = args.report.as_deref().map(ReportFile::create).transpose()?;
    let junit_file = args.trial.junit.as_deref().map(ReportFile::create).transpose()?;
    look_at(&args.trial, &scenario)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let run = runtime.or_exit(Exit::OsError)?.block_on(run_on_device(args, &scenario))?;
    let Run { report, wrong } = run;
    let json = serde_json::to_string_pretty(&report).or_exit(Exit::Io)? + "\n";
    let text = match (args.json, args.events) {
        (true, _) => json.clone(),
        (_, true) => format!("{}\n", serde_json::json!({ "event": "report", "report": report })),
        (false, false) => verdicts::render(&report, is_colourful()),
    };
    // A reader that has gone is no reason to forget the verdict.
    let _ = io::stdout().write_all(text.as_bytes());
    let junit = junit::render(&report);
    let files =
        [report_file.map(|file| file.write(&json)), junit_file.map(|file| file.write(&junit))];
    // One that can't be written costs not the other one.
    let failed = files.into_iter().flatten().filter_map(Result::err);
    if let Some(failure) = failed.reduce(joined) {
        return Err(failure);
    }
    match wrong {
        Some(error) => Err(Failure::new(Exit::NoInput, error)),
        None if report.pass => Ok(Exit::Ok),
        None => Ok(Exit::Negative),
    }
}

fn joined(one: Failure, other: Failure) -> Failure {
    Failure::new(one.exit, format!("{one}; {other}"))
}

/// What can be known before the run of the files that are compared after it: they may still be
/// written meanwhile.
fn look_at(args: &TrialArgs, scenario: &Scenario) -> Result<(), Failure> {
    let dialect = scenario.dialect().or_exit(Exit::Usage)?;
    if args.expect.is_some() && !dialect.posts() {
        let message = format!("nobody posts charges in {}: leave --expect out", dialect.name());
        return Err(Failure::new(Exit::Usage, message));
    }
    for path in [&args.expect, &args.records].into_iter().flatten() {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or_else(|| Path::new("."));
        let found = match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => fs::metadata(folder).map(drop),
            Ok(found) if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
            // A pipe is opened once only, by who reads it.
            Ok(found) if !found.is_file() => Ok(()),
            _ => File::open(path).map(drop),
        };
        found.map_err(|error| format!("{}: {error}", path.display())).or_exit(Exit::NoInput)?;
    }
    Ok(())
}

/// The scenario that the arguments ask for.
///
/// # Errors
/// Its file can't be read or is wrong, or an argument does not go with it.
pub fn scenario(args: &RunArgs) -> Result<Scenario, Failure> {
    let mut scenario = match &args.scenario {
        Some(path) => {
            let text = fs::read_to_string(path)
                .map_err(|error| format!("{}: {error}", path.display()))
                .or_exit(Exit::NoInput)?;
            Scenario::parse(path, &text).or_exit(Exit::Usage)?
        }
        None => Scenario::new(args.dialect.as_deref().unwrap_or_default()),
    };
    args.change(&mut scenario);
    let dialect = scenario.dialect().or_exit(Exit::Usage)?;
    for fault in &scenario.faults {
        words::check(fault, &dialect).or_exit(Exit::Usage)?;
    }
    if scenario.holds_gateway() && scenario.line.flow == Flow::None {
        let message = "the fault hold needs a line with flow control, as --line 9600,8N1,rtscts";
        return Err(Failure::new(Exit::Usage, message));
    }
    if args.numbered.first.is_some() || args.numbered.unserved_over.is_some() {
        let message = "--first and --unserved-over are for the dialect numbered only";
        return Err(Failure::new(Exit::Usage, message));
    }
    Ok(scenario)
}

/// A run that is over.
struct Run {
    report: Report,
    /// What it should have been compared with could not be had.
    wrong: Option<String>,
}

async fn run_on_device(args: &RunArgs, scenario: &Scenario) -> Result<Run, Failure> {
    let dialect = scenario.dialect().or_exit(Exit::Usage)?;
    let device = Device::open(args.port.clone(), scenario.line).or_exit(Exit::Unavailable)?;
    if let Some(port) = device.port().filter(|port| !port.is_pty()) {
        for difference in port.differences() {
            eprintln!("billing-sim: warning: {}: {difference}", args.port.display());
        }
    }
    let shutdown = Shutdown::default();
    let signals = tokio::spawn(until_signals(shutdown.clone()));
    let journal = args.trial.journal.as_deref();
    let mut writer = journal.map(|path| writer(path, args, scenario)).transpose()?;
    let mut follower = match args.events {
        true => Follower::events(),
        false => Follower::progress(&scenario.load),
    };
    let began = daemon::wall::now();
    let mut wrong = Vec::new();
    let truth = || Ok(truth(&args.trial, &dialect, began, &mut wrong));
    let settings = scenario.exchange(args.trial.expect.is_some());
    let seed = scenario.seed;
    let end = |wall, now| dialect.billing_end(seed, wall, now);
    let mut sink = Both(&mut follower, writer.as_mut());
    let run = run_dialect(settings, end, device, shutdown, &mut sink, truth).await;
    signals.abort();
    let events_dropped = follower.end();
    if let (Some(writer), Some(path)) = (writer, journal) {
        tell(&writer.end(), path);
    }
    let exchange = run.or_exit(Exit::OsError)?;
    let mut outcome = exchange.outcome(sys::boottime());
    outcome.doubts.extend_from_slice(&wrong);
    let run = scenario.run(&args.port.display().to_string());
    let report = Report::new(run, outcome, scenario.expectations.clone());
    let wrong = (!wrong.is_empty()).then(|| wrong.join("; "));
    Ok(Run { report: Report { events_dropped, ..report }, wrong })
}

/// What the files say that there are. Those that can't be read are not compared: the run was long,
/// and what the billing system saw itself is worth a report.
fn truth(args: &TrialArgs, dialect: &Dialect, began: Duration, wrong: &mut Vec<String>) -> Truth {
    let mut had = |error: io::Error| wrong.push(format!("not compared: {error}"));
    let charges = args.expect.as_ref().map(|path| truth_files::charges(path, dialect));
    let charges = charges.and_then(|charges| charges.map_err(&mut had).ok());
    let records = args.records.as_ref().map(|path| truth_files::records(path, dialect, began));
    let records = records.and_then(|records| records.map_err(&mut had).ok());
    let before = records.as_ref().map_or(0, |taken| taken.before);
    if let (1.., Some(path)) = (before, &args.records) {
        let path = path.display();
        eprintln!(
            "billing-sim: warning: {path}: {before} records from before the run do not count"
        );
    }
    Truth { charges, records: records.map(|taken| taken.texts), before }
}

/// Whoever follows, and the journal if there is one.
struct Both<'a>(&'a mut Follower, Option<&'a mut Writer>);

impl Sink for Both<'_> {
    fn take(&mut self, entry: &Entry) {
        self.0.take(entry);
        if let Some(writer) = &mut self.1 {
            writer.take(entry);
        }
    }
}

fn writer(path: &Path, args: &RunArgs, scenario: &Scenario) -> Result<Writer, Failure> {
    let header = Header {
        settings: scenario.settings.iter().cloned().collect(),
        seed: scenario.seed,
        port: args.port.display().to_string(),
        line: scenario.line.to_string(),
        ..Header::new(&scenario.dialect, sys::boottime())
    };
    let writer = Writer::create(path, &header);
    writer.map_err(|error| format!("{}: {error}", path.display())).or_exit(Exit::CannotCreate)
}

/// A journal that is not whole does not change the verdict, but nobody should think it is.
fn tell(written: &Written, path: &Path) {
    let path = path.display();
    if let Some(error) = &written.error {
        eprintln!("billing-sim: warning: {path}: the journal ends early: {error}");
    }
    if written.dropped > 0 {
        eprintln!("billing-sim: warning: {path}: {} entries are missing", written.dropped);
    }
}

fn is_colourful() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}
