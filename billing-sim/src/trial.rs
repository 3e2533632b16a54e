//! What `run` does in all dialects but `numbered`.

use std::fs::{self, File};
use std::io::{self, IsTerminal, Write};
use std::path::Path;

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
use crate::scenario::Scenario;
use crate::{junit, truth_files, verdicts};

/// Runs a dialect and reports; the status says whether the gateway passed.
///
/// # Errors
/// The run could not be made or not be reported.
pub fn run(args: &RunArgs) -> Result<Exit, Failure> {
    let scenario = scenario(args)?;
    // Before the run: a report that can't be kept is not worth ten minutes.
    let report_file = create(args.report.as_deref())?;
    let junit_file = create(args.trial.junit.as_deref())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let report = runtime.or_exit(Exit::OsError)?.block_on(run_on_device(args, &scenario))?;
    let json = serde_json::to_string_pretty(&report).or_exit(Exit::Io)? + "\n";
    write(report_file, args.report.as_deref(), &json)?;
    write(junit_file, args.trial.junit.as_deref(), &junit::render(&report))?;
    let text = match (args.json, args.events) {
        (true, _) => json,
        (_, true) => format!("{}\n", serde_json::json!({ "event": "report", "report": report })),
        (false, false) => verdicts::render(&report, is_colourful()),
    };
    // A reader that has gone is no reason to forget the verdict.
    let _ = io::stdout().write_all(text.as_bytes());
    Ok(if report.pass { Exit::Ok } else { Exit::Negative })
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
    scenario.dialect().or_exit(Exit::Usage)?;
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

async fn run_on_device(args: &RunArgs, scenario: &Scenario) -> Result<Report, Failure> {
    let dialect = scenario.dialect().or_exit(Exit::Usage)?;
    let device = Device::open(args.port.clone(), scenario.line).or_exit(Exit::Unavailable)?;
    if let Some(port) = device.port().filter(|port| !port.is_pty()) {
        for difference in port.differences() {
            eprintln!("billing-sim: warning: {}: {difference}", args.port.display());
        }
    }
    let shutdown = Shutdown::default();
    let signals = tokio::spawn(until_signals(shutdown.clone()));
    let load = scenario.load;
    let wanted = load.count.map(|count| count + load.charges);
    let journal = args.trial.journal.as_deref();
    let mut writer = journal.map(|path| writer(path, args, scenario)).transpose()?;
    let mut follower = match args.events {
        true => Follower::events(),
        false => Follower::progress(wanted.or_else(|| (load.charges > 0).then_some(load.charges))),
    };
    let TrialArgs { expect, records, .. } = &args.trial;
    let truth = || {
        let charges = expect.as_ref().map(|path| truth_files::charges(path, &dialect)).transpose();
        let records = records.as_ref().map(|path| truth_files::records(path)).transpose();
        Ok(Truth { charges: charges?, records: records? })
    };
    let settings = scenario.exchange(expect.is_some());
    let seed = scenario.seed;
    let end = |wall, now| dialect.billing_end(seed, wall, now);
    let mut sink = Both(&mut follower, writer.as_mut());
    let run = run_dialect(settings, end, device, shutdown, &mut sink, truth).await;
    signals.abort();
    let events_dropped = follower.end();
    if let (Some(writer), Some(path)) = (writer, journal) {
        tell(&writer.end(), path);
    }
    let exchange = run.or_exit(Exit::NoInput)?;
    let outcome = exchange.outcome(sys::boottime());
    let run = scenario.run(&args.port.display().to_string());
    let report = Report::new(run, outcome, scenario.expectations.clone());
    Ok(Report { events_dropped, ..report })
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

fn create(path: Option<&Path>) -> Result<Option<File>, Failure> {
    let file =
        path.map(|path| File::create(path).map_err(|error| format!("{}: {error}", path.display())));
    file.transpose().or_exit(Exit::CannotCreate)
}

fn write(file: Option<File>, path: Option<&Path>, text: &str) -> Result<(), Failure> {
    let (Some(mut file), Some(path)) = (file, path) else { return Ok(()) };
    let written = file.write_all(text.as_bytes());
    written.map_err(|error| format!("{}: {error}", path.display())).or_exit(Exit::CannotCreate)
}

fn is_colourful() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}
