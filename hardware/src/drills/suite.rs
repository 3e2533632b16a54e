//! Many drills, for the binary.

use std::time::Duration;

use serde::Serialize;
use sys::boottime;

use super::case::Case;
use super::cli::DrillsArgs;
use super::outcome::Outcome;
use super::picture::{self, Story};
use super::plan::Plan;
use super::run::{ALLOWANCE, missing, run};
use super::table;
use crate::error::Result;
use crate::programs::Programs;
use crate::show::{self, Detail};
use crate::timeline::Timeline;

/// All that was drilled. As JSON: one object.
#[derive(Debug, Clone, Serialize)]
pub struct DrillsReport {
    /// Version of this shape; grows when a field changes its meaning or goes.
    pub schema: u32,
    /// Where and how it was done.
    pub setting: Setting,
    /// What became of each.
    pub outcomes: Vec<Outcome>,
    /// What could not be done here, and why.
    pub skipped: Vec<Skipped>,
}

/// Where and how it was done.
#[derive(Debug, Clone, Serialize)]
pub struct Setting {
    /// The command line.
    pub command: String,
    /// Processors.
    pub cores: usize,
    /// The kernel's release.
    pub kernel: String,
    /// How the programs were built.
    pub build: &'static str,
    /// The load of the machine in the minute before.
    pub load: String,
}

/// What could not be done here.
#[derive(Debug, Clone, Serialize)]
pub struct Skipped {
    /// Which drill.
    pub case: Case,
    /// What it needs.
    pub needs: &'static str,
}

impl DrillsReport {
    /// The current version of this shape.
    pub const SCHEMA: u32 = 1;

    /// Whether every promise was kept, times aside unless they are far off.
    pub fn pass(&self) -> bool {
        let far_off = |outcome: &Outcome| outcome.late().is_some_and(|late| late > ALLOWANCE);
        !self.outcomes.iter().any(|outcome| outcome.failed() || far_off(outcome))
    }
}

/// Does all that is asked for, one after another, and says on standard error how it goes.
///
/// # Errors
/// A chain cannot be laid or started.
pub async fn all(args: &DrillsArgs, programs: &Programs) -> Result<DrillsReport> {
    let mut report = DrillsReport {
        schema: DrillsReport::SCHEMA,
        setting: setting(args),
        outcomes: Vec::new(),
        skipped: Vec::new(),
    };
    let plans = args.plans();
    let count = plans.len();
    for ((case, plan), number) in plans.into_iter().zip(1..) {
        if let Some(needs) = missing(case) {
            anstream::eprintln!("{case}: not done, it needs {needs}");
            report.skipped.push(Skipped { case, needs });
            continue;
        }
        let what = format!("{case}, {} nodes, {}", plan.nodes, plan.profile);
        anstream::eprintln!("{DIM}{number} of {count}: {what}{RESET}");
        let outcome = one(case, &plan, programs, args.verbose).await?.0;
        let colour = if outcome.failed() { RED } else { GREEN };
        anstream::eprintln!("   {colour}{}{RESET}", table::line(&outcome));
        for fault in &outcome.faults {
            anstream::eprintln!("   {RED}{fault}{RESET}");
        }
        report.outcomes.push(outcome);
    }
    Ok(report)
}

/// Does the decisive drills once more, one failure each, to be drawn.
///
/// # Errors
/// As [`all`]; or what happened makes no picture.
pub async fn draw(args: &DrillsArgs, programs: &Programs) -> Result<String> {
    let mut stories = Vec::new();
    for case in DRAWN.into_iter().filter(|case| missing(*case).is_none()) {
        anstream::eprintln!("{DIM}to be drawn: {case}{RESET}");
        let plan = Plan { times: 1, listen: true, ..args.usual() };
        let (_, timeline) = one(case, &plan, programs, args.verbose).await?;
        stories.extend(Story::of(case, &plan, &timeline.entries()));
    }
    Ok(picture::svg(&stories))
}

async fn one(
    case: Case,
    plan: &Plan,
    programs: &Programs,
    verbose: bool,
) -> Result<(Outcome, Timeline)> {
    let timeline = Timeline::default();
    let entries = timeline.follow();
    let shown = verbose.then(|| {
        let began = boottime();
        std::thread::spawn(move || {
            show::follow(entries, began, Detail::Usual, anstream::stderr());
        })
    });
    let outcome = run(case, plan, programs, timeline.clone()).await;
    timeline.unfollow();
    if let Some(shown) = shown {
        // Joined, so that its last line stands before what follows.
        let _ = shown.join();
    }
    Ok((outcome?, timeline))
}

fn setting(args: &DrillsArgs) -> Setting {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    Setting {
        command: args.command(),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        kernel: read("/proc/sys/kernel/osrelease"),
        build: if cfg!(debug_assertions) { "debug" } else { "release" },
        load: read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
    }
}

/// How long a picture takes: from before the failure to after the recovery.
pub(crate) const BEFORE: Duration = Duration::from_millis(350);
const DRAWN: [Case; 3] = [Case::Kill, Case::Stop, Case::Partition];
const RESET: &str = "\x1b[0m";
const DIM: &str = "\x1b[2m";
const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
