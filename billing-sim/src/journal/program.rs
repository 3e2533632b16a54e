//! What the binary does for `show` and `replay`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;

use daemon::{Exit, Failure, OrExit};
use sys::{LineSettings, SerialPort, boottime};

use super::args::{ReplayArgs, ShowArgs};
use super::file::{Header, Journal};
use super::player::play;
use super::replay::{Outcome, Pace, Replay};
use super::show::{ShowError, show};
use super::writer::Writer;
use crate::core::exchange::entry::End;

/// Shows a journal.
///
/// # Errors
/// It can't be read.
pub fn run_show(args: &ShowArgs) -> Result<(), Failure> {
    let journal = open(&args.file)?;
    // Escape sequences only where a terminal understands them.
    let mut out = anstream::AutoStream::auto(io::stdout().lock());
    match show(journal, args.options(), &mut out) {
        Ok(()) => Ok(()),
        // A pager that has been left.
        Err(ShowError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(ShowError::Output(error)) => Err(error).or_exit(Exit::Io),
        Err(error) => Err(named(&args.file, Exit::NoInput, &error)),
    }
}

/// Plays a journal. The status says whether the same came back.
///
/// # Errors
/// The journal can't be read, the port not be opened.
pub fn run_replay(args: &ReplayArgs) -> Result<Exit, Failure> {
    let journal = open(&args.file)?;
    let header = journal.header().clone();
    let line = match args.line {
        Some(line) => line,
        None => header.line.parse().map_err(|error| {
            let message = format!("the journal's line settings: {error}; pass --line");
            Failure::new(Exit::Usage, message)
        })?,
    };
    let pace = if args.fast { Pace::Fast } else { Pace::Original };
    let replay = Replay::read(journal, pace, args.settle)
        .map_err(|error| named(&args.file, Exit::NoInput, &error))?;
    let mut sink = None;
    let mut played = None;
    let service = async |stop| {
        let port = SerialPort::open_tty(&args.port, &line).or_exit(Exit::Unavailable)?;
        sink = begin(args.journal.as_deref(), &again(header, args, line))?;
        played = Some(play(replay, port, stop, &mut sink).await.or_exit(Exit::OsError)?);
        Ok(())
    };
    daemon::program::serve(service, "the journal may end early")?;
    let Some((outcome, why)) = played else { return Ok(Exit::Negative) };
    let text = match args.json {
        true => serde_json::to_string(&outcome).or_exit(Exit::Io)? + "\n",
        false => told(&outcome, why),
    };
    // A reader that has gone is no reason to forget the outcome.
    let _ = io::stdout().write_all(text.as_bytes());
    finish(sink, args.journal.as_deref())?;
    Ok(if outcome.same { Exit::Ok } else { Exit::Negative })
}

/// Begins a journal, if one is wanted.
///
/// # Errors
/// Its file can't be made.
pub fn begin(path: Option<&Path>, header: &Header) -> Result<Option<Writer>, Failure> {
    let create = |path| {
        Writer::create(path, header).map_err(|error| named(path, Exit::CannotCreate, &error))
    };
    path.map(create).transpose()
}

/// Ends it. What is missing is told on standard error.
///
/// # Errors
/// It could not be written to its end.
pub fn finish(writer: Option<Writer>, path: Option<&Path>) -> Result<(), Failure> {
    let (Some(writer), Some(path)) = (writer, path) else { return Ok(()) };
    let written = writer.end();
    if let Some(error) = written.error {
        return Err(named(path, Exit::CannotCreate, &error));
    }
    if written.dropped > 0 {
        let (path, dropped) = (path.display(), written.dropped);
        eprintln!("billing-sim: warning: {path}: {dropped} entries are missing");
    }
    Ok(())
}

/// The outcome for people.
pub fn told(outcome: &Outcome, why: End) -> String {
    let Outcome { same, sent, unsent, expected, received, difference } = outcome;
    let verdict = if *same { "the same bytes came back" } else { "other bytes came back" };
    let mut text = format!("{verdict}: {received} now, {expected} then; {sent} were played\n");
    if *unsent > 0 {
        text += &format!("{unsent} were not played: {}\n", why.words());
    }
    if let Some(difference) = difference {
        let seconds = difference.at_us as f64 / 1e6;
        let bytes =
            |hex: &str| if hex.is_empty() { "nothing more".to_owned() } else { hex.to_owned() };
        let (then, now) = (bytes(&difference.expected), bytes(&difference.received));
        text += &format!(
            "they differ after {} bytes, at {seconds:.6} s\n  then  {then}\n  now   {now}\n",
            difference.after
        );
    }
    text
}

fn open(path: &Path) -> Result<Journal<Box<dyn BufRead>>, Failure> {
    let input: Box<dyn BufRead> = match path.as_os_str() == "-" {
        true => Box::new(BufReader::new(io::stdin())),
        false => {
            let file = File::open(path).map_err(|error| named(path, Exit::NoInput, &error))?;
            Box::new(BufReader::new(file))
        }
    };
    Journal::open(input).map_err(|error| named(path, Exit::NoInput, &error))
}

/// The head of the journal of a replay.
fn again(header: Header, args: &ReplayArgs, line: LineSettings) -> Header {
    let new = Header::new(&header.dialect, boottime());
    let (port, line) = (args.port.display().to_string(), line.to_string());
    Header { settings: header.settings, seed: header.seed, port, line, ..new }
}

fn named(path: &Path, exit: Exit, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(exit, format!("{}: {error}", path.display()))
}
