//! The command line of the drills.

use std::path::PathBuf;

use clap::Args;
use failover_node::core::profile::Profile;

use super::case::Case;
use super::plan::Plan;
use crate::settings::MAX_NODES;

/// What to drill, and where to put it.
#[derive(Debug, Clone, Args)]
pub struct DrillsArgs {
    /// Drill only this; may be given several times
    #[arg(long, value_enum, value_name = "DRILL", value_delimiter = ',')]
    pub only: Vec<Case>,
    /// How many nodes [default: 2, and for the decisive drills 3 and 5 besides]
    #[arg(short, long, value_parser = parse_nodes)]
    pub nodes: Option<usize>,
    /// The nodes' times [default: standard, and for the decisive drills fast besides]
    #[arg(short, long)]
    pub profile: Option<Profile>,
    /// How many failures of each kind [default: 20]
    #[arg(short, long, value_name = "COUNT", value_parser = parse_runs)]
    pub runs: Option<usize>,
    /// Drill for seconds only: shows that all works; the figures mean little
    #[arg(long)]
    pub short: bool,
    /// Print one JSON document instead of the table
    #[arg(long)]
    pub json: bool,
    /// Show what happens as it happens
    #[arg(short, long)]
    pub verbose: bool,
    /// Write the table into this page, between its marks
    #[arg(long, value_name = "FILE.md")]
    pub doc: Option<PathBuf>,
    /// Draw the decisive cases into this file
    #[arg(long, value_name = "FILE.svg")]
    pub svg: Option<PathBuf>,
    /// Where the other programs are [default: beside this one; under cargo they are built first]
    #[arg(long, value_name = "DIR", env = crate::programs::BIN_DIR)]
    pub bin_dir: Option<PathBuf>,
}

impl DrillsArgs {
    /// The drills that are asked for, in order.
    pub fn plans(&self) -> Vec<(Case, Plan)> {
        let cases =
            Case::all().iter().filter(|case| self.only.is_empty() || self.only.contains(case));
        cases.flat_map(|case| self.variants(*case).into_iter().map(|plan| (*case, plan))).collect()
    }

    fn variants(&self, case: Case) -> Vec<Plan> {
        let usual = self.usual();
        if self.nodes.is_some() || self.profile.is_some() || !case.is_decisive() {
            return vec![usual];
        }
        let fast = Plan { profile: Profile::FAST, ..self.usual() };
        let more = [3, 5].map(|nodes| Plan { nodes, ..self.usual() });
        [usual, fast].into_iter().chain(more).collect()
    }

    /// The plan of a drill that is not done in several ways.
    pub fn usual(&self) -> Plan {
        let plan = if self.short { Plan::short() } else { Plan::full() };
        Plan {
            nodes: self.nodes.unwrap_or(plan.nodes),
            profile: self.profile.unwrap_or(plan.profile),
            times: self.runs.unwrap_or(plan.times),
            ..plan
        }
    }

    /// The command line without what changes nothing about the figures.
    pub fn command(&self) -> String {
        let mut text = "cargo lab drills".to_owned();
        text += if self.short { " --short" } else { "" };
        text.extend(self.only.iter().map(|case| format!(" --only {}", case.word())));
        text.extend(self.nodes.map(|nodes| format!(" --nodes {nodes}")));
        text.extend(self.profile.map(|profile| format!(" --profile {profile}")));
        text.extend(self.runs.map(|runs| format!(" --runs {runs}")));
        text
    }
}

fn parse_nodes(text: &str) -> Result<usize, String> {
    let nodes = text.parse().ok().filter(|nodes| (2..=MAX_DRILLED).contains(nodes));
    nodes.ok_or_else(|| format!("give a number from 2 to {MAX_DRILLED}"))
}

fn parse_runs(text: &str) -> Result<usize, String> {
    let runs = text.parse().ok().filter(|runs| (1..=MAX_RUNS).contains(runs));
    runs.ok_or_else(|| format!("give a number from 1 to {MAX_RUNS}"))
}

/// There are 127 pairs of halves then, five seconds each.
const MAX_DRILLED: usize = 7;
const MAX_RUNS: usize = 1000;
const _: () = assert!(MAX_DRILLED <= MAX_NODES);

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: DrillsArgs,
    }

    fn args(line: &str) -> DrillsArgs {
        Line::parse_from(format!("drills {line}").split_whitespace()).args
    }

    #[test]
    fn decisive_drills_are_done_with_more_nodes_and_fast_besides() {
        let plans = args("--only kill,quiet").plans();
        let shape: Vec<_> = plans.iter().map(|(case, plan)| (*case, plan.nodes)).collect();
        let kill = Case::Kill;
        assert_eq!(shape, [(kill, 2), (kill, 2), (kill, 3), (kill, 5), (Case::Quiet, 2)]);
        assert_eq!(plans[1].1.profile, Profile::FAST);
        assert!(args("").plans().len() > Case::all().len());
    }

    #[test]
    fn what_is_asked_for_is_done_once() {
        let plans = args("--only stop --nodes 4 --runs 7 --short").plans();
        let [(Case::Stop, plan)] = &plans[..] else { panic!("{plans:?}") };
        assert_eq!((plan.nodes, plan.times), (4, 7));
        let command = args("--only loss-5 --nodes 4 --short --json").command();
        assert_eq!(command, "cargo lab drills --short --only loss-5 --nodes 4");
    }
}
