//! All measures in a row.

use std::path::Path;
use std::process::Command;
use std::thread;

use clap::ValueEnum;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::cli::{BenchArgs, Measure};
use super::contender::Contender;
use super::figures::{BenchReport, Fault, Setting};
use super::pattern::Pattern;
use super::server::{Absent, Stage};
use super::{bulk, many, next, stalled, swap, trip};
use crate::error::Result;
use crate::programs::Programs;

/// What every measure needs.
pub(crate) struct Bench {
    pub(crate) stage: Stage,
    pub(crate) pattern: Pattern,
    pub(crate) quick: bool,
    faults: Vec<Fault>,
}

impl Bench {
    /// Those who can serve so many lines, and those who cannot, with the reason.
    pub(crate) fn contenders(&self, lines: usize) -> (Vec<Contender>, Vec<(Contender, Absent)>) {
        let (mut present, mut absent) = (Vec::new(), Vec::new());
        for contender in Contender::ALL {
            let reason = match contender.package() {
                // It shows that our own things work.
                Some(_) if self.quick => Some("not in a quick run"),
                _ => self.stage.absent(contender, lines),
            };
            match reason {
                None => present.push(contender),
                Some(why) => absent.push((contender, why)),
            }
        }
        (present, absent)
    }

    /// Nothing if somebody else's program failed: the others are measured all the same.
    pub(crate) fn spare<T>(&self, contender: Contender, result: Result<T>) -> Result<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if contender.package().is_some() => {
                anstream::eprintln!("\x1b[33m{contender}: {error}\x1b[0m");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    pub(crate) fn progress(&self, what: &str) {
        anstream::eprintln!("\x1b[2m{what}\x1b[0m");
    }

    pub(crate) fn fault(&mut self, contender: Contender, what: String) {
        anstream::eprintln!("\x1b[31m{contender}: {what}\x1b[0m");
        self.faults.push(Fault { contender, what });
    }
}

/// Measures what is asked for. Files go into `dir`. Run it on one thread: the kernel ends the
/// servers with the thread that started them.
///
/// # Errors
/// A server cannot be started, or does not serve at all.
pub fn run(args: &BenchArgs, programs: Programs, dir: &Path) -> Result<BenchReport> {
    raise_limit();
    let stage = Stage::new(programs, dir)?;
    let (quick, faults) = (args.quick, Vec::new());
    let mut bench = Bench { stage, pattern: Pattern::new(), quick, faults };
    let setting = setting(args);
    let mut rows = Vec::new();
    let measures: [(Measure, Measuring); 6] = [
        (Measure::Bulk, bulk::run),
        (Measure::Trip, trip::run),
        (Measure::Next, next::run),
        (Measure::Swap, swap::run),
        (Measure::Many, many::run),
        (Measure::Stalled, stalled::run),
    ];
    for (measure, run) in measures {
        if args.only.is_empty() || args.only.contains(&measure) {
            rows.extend(run(&mut bench)?);
        }
    }
    Ok(BenchReport { setting, rows, faults: bench.faults })
}

type Measuring = fn(&mut Bench) -> Result<Vec<super::figures::Row>>;

/// As many descriptors as are allowed: a thousand lines need three thousand.
fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    // Without it the measure of many lines says what is missing.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

fn setting(args: &BenchArgs) -> Setting {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let load = read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned();
    // Where the programs are and the results go changes nothing.
    let quick = if args.quick { " --quick" } else { "" };
    let only = args.only.iter().filter_map(|measure| measure.to_possible_value());
    let only: String = only.map(|value| format!(" --only {}", value.get_name())).collect();
    let mut others: Vec<_> = Contender::ALL.iter().filter_map(|c| c.package()).collect();
    others.dedup();
    Setting {
        command: format!("cargo lab bench{quick}{only}"),
        cores: thread::available_parallelism().map_or(1, usize::from),
        kernel: read("/proc/sys/kernel/osrelease"),
        build: if cfg!(debug_assertions) { "debug" } else { "release" },
        others: others.into_iter().filter_map(version).collect(),
        load,
    }
}

/// What an installed program says of itself, in short.
fn version(package: &str) -> Option<String> {
    let flag = if package == "socat" { "-V" } else { "-v" };
    let output = Command::new(super::contender::path_of(package)).arg(flag).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let is_number = |word: &&str| word.starts_with(|c: char| c.is_ascii_digit());
    let number = text.split_whitespace().find(|word| is_number(word))?;
    Some(format!("{package} {number}"))
}
