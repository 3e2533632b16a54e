//! What was measured, and what was aimed at.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::contender::Contender;

/// All that a run found.
#[derive(Debug, Clone, Serialize)]
pub struct BenchReport {
    /// When, where and with what it was measured.
    pub setting: Setting,
    /// The figures.
    pub rows: Vec<Row>,
    /// Bytes that were lost, doubled or changed where none may be, by whom.
    pub faults: Vec<Fault>,
}

/// When, where and with what it was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Setting {
    /// The command line.
    pub command: String,
    /// Processors.
    pub cores: usize,
    /// The kernel's release.
    pub kernel: String,
    /// How our programs were built.
    pub build: &'static str,
    /// The versions of the others that are installed.
    pub others: Vec<String>,
    /// The load of the machine in the minute before.
    pub load: String,
}

/// Something that a serial line must not do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Who.
    pub contender: Contender,
    /// What, and where.
    pub what: String,
}

/// One measure.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// What was measured.
    pub what: String,
    /// In what.
    pub unit: Unit,
    /// What came out.
    pub cells: BTreeMap<Contender, Cell>,
    /// Ours as a multiple of the floor's, measured in pairs.
    pub ratio: Option<Spread>,
    /// What ours was to be.
    pub goal: Option<Goal>,
}

/// What came out for one contender.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Cell {
    /// A figure.
    Figure(Spread),
    /// None, and why.
    Absent(&'static str),
}

/// What some measurements have in common.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// The one in the middle.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
    /// How many there were.
    pub count: usize,
}

/// In what a figure is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Unit {
    /// Megabytes per second.
    #[serde(rename = "MB/s")]
    Throughput,
    /// Seconds of processor time for a gigabyte.
    #[serde(rename = "CPU s/GB")]
    CpuPerGigabyte,
    /// Of one processor.
    #[serde(rename = "% of a core")]
    Cpu,
    /// Microseconds.
    #[serde(rename = "µs")]
    Micros,
    /// Milliseconds.
    #[serde(rename = "ms")]
    Millis,
    /// Memory.
    #[serde(rename = "KiB")]
    Kibibytes,
    /// Bytes.
    #[serde(rename = "bytes")]
    Bytes,
    /// One figure as a multiple of another.
    #[serde(rename = "×")]
    Times,
}

/// What ours is to be; all that is given must hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Goal {
    /// At least so many times the floor's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
    /// At most so many times the floor's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_most: Option<f64>,
    /// At most so much, in the row's unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<f64>,
    /// Less than ser2net's.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub below_ser2net: bool,
}

impl Spread {
    /// Of some measurements; nothing of none.
    pub fn of(figures: &[f64]) -> Option<Self> {
        let mut sorted = figures.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = match sorted.len() % 2 {
            0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
            _ => sorted[middle],
        };
        Some(Self { median, min, max, count: sorted.len() })
    }
}

impl Row {
    /// From the figures of each contender, in the order in which they were measured: the n-th of
    /// ours and the n-th of the floor are a pair.
    pub(crate) fn new(what: &str, unit: Unit, figures: &Figures) -> Self {
        let ours = figures.of(Contender::Ours).zip(figures.of(Contender::Floor));
        // How many times as many bytes somebody lost says nothing.
        let ours = ours.filter(|_| !matches!(unit, Unit::Bytes | Unit::Times));
        let ratios = ours.map(|(ours, floor)| {
            let pairs = ours.iter().zip(floor).filter(|(_, floor)| **floor > 0.0);
            pairs.map(|(ours, floor)| ours / floor).collect::<Vec<_>>()
        });
        Self {
            what: what.to_owned(),
            unit,
            cells: figures.cells(),
            ratio: ratios.and_then(|ratios| Spread::of(&ratios)),
            goal: None,
        }
    }

    pub(crate) fn goal(self, goal: Goal) -> Self {
        Self { goal: Some(goal), ..self }
    }

    /// The figure of a contender, if there is one.
    pub fn figure(&self, contender: Contender) -> Option<Spread> {
        match self.cells.get(&contender) {
            Some(Cell::Figure(spread)) => Some(*spread),
            _ => None,
        }
    }

    /// Whether ours is what it was to be; nothing if that cannot be told.
    pub fn met(&self) -> Option<bool> {
        let Goal { at_least, at_most, limit, below_ser2net } = self.goal?;
        let ours = self.figure(Contender::Ours)?.median;
        let mut met = limit.is_none_or(|limit| ours <= limit);
        if let Some(at_least) = at_least {
            met &= self.ratio?.median >= at_least;
        }
        if let Some(at_most) = at_most {
            met &= self.ratio?.median <= at_most;
        }
        if below_ser2net && let Some(ser2net) = self.figure(Contender::Ser2net) {
            met &= ours < ser2net.median;
        }
        Some(met)
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Vec::new();
        words.extend(self.at_least.map(|least| format!("≥ {least} × floor")));
        words.extend(self.at_most.map(|most| format!("≤ {most} × floor")));
        words.extend(self.limit.map(|limit| match limit {
            0.0 => "none".to_owned(),
            limit => format!("≤ {limit}"),
        }));
        words.extend(self.below_ser2net.then(|| "below ser2net".to_owned()));
        f.write_str(&words.join(", "))
    }
}

impl Unit {
    /// As it is printed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Throughput => "MB/s",
            Self::CpuPerGigabyte => "CPU s/GB",
            Self::Cpu => "% of a core",
            Self::Micros => "µs",
            Self::Millis => "ms",
            Self::Kibibytes => "KiB",
            Self::Bytes => "bytes",
            Self::Times => "×",
        }
    }
}

/// Figures as they come in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures {
    measured: BTreeMap<Contender, Vec<f64>>,
    absent: BTreeMap<Contender, &'static str>,
}

impl Figures {
    /// With those that cannot be measured.
    pub(crate) fn without(absent: &[(Contender, &'static str)]) -> Self {
        Self { measured: BTreeMap::new(), absent: absent.iter().copied().collect() }
    }

    pub(crate) fn push(&mut self, contender: Contender, figure: f64) {
        self.measured.entry(contender).or_default().push(figure);
    }

    /// There is no figure to be had of somebody, whatever there was so far.
    pub(crate) fn give_up(&mut self, contender: Contender) {
        self.measured.remove(&contender);
        self.absent.insert(contender, "failed");
    }

    fn of(&self, contender: Contender) -> Option<&[f64]> {
        self.measured.get(&contender).map(Vec::as_slice)
    }

    fn cells(&self) -> BTreeMap<Contender, Cell> {
        let absent = self.absent.iter().map(|(contender, why)| (*contender, Cell::Absent(why)));
        let figure = |(contender, figures): (&Contender, &Vec<f64>)| {
            Some((*contender, Cell::Figure(Spread::of(figures)?)))
        };
        absent.chain(self.measured.iter().filter_map(figure)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(ours: &[f64], floor: &[f64], goal: Goal) -> Row {
        let mut figures = Figures::default();
        ours.iter().for_each(|figure| figures.push(Contender::Ours, *figure));
        floor.iter().for_each(|figure| figures.push(Contender::Floor, *figure));
        Row::new("bulk", Unit::Throughput, &figures).goal(goal)
    }

    #[test]
    fn the_ratio_is_the_median_of_pairs() {
        // One disturbed pair, as on a busy machine, moves neither.
        let row = row(&[100.0, 300.0, 110.0], &[100.0, 100.0, 100.0], Goal::default());
        assert_eq!(row.ratio.unwrap().median, 1.1);
        assert_eq!(row.figure(Contender::Ours).unwrap().median, 110.0);
    }

    #[test]
    fn a_goal_is_met_by_all_its_parts() {
        let goal = Goal { at_most: Some(1.3), limit: Some(120.0), ..Goal::default() };
        assert_eq!(goal.to_string(), "≤ 1.3 × floor, ≤ 120");
        assert_eq!(row(&[110.0], &[100.0], goal).met(), Some(true));
        assert_eq!(row(&[125.0], &[100.0], goal).met(), Some(false));
        assert_eq!(row(&[110.0], &[50.0], goal).met(), Some(false));
        assert_eq!(row(&[110.0], &[], goal).met(), None);
    }
}
