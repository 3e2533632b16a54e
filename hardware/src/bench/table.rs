//! The figures for people: on a terminal, and as a part of a page.

use std::fmt::Write as _;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};

use super::contender::Contender;
use super::figures::{BenchReport, Cell, Row, Setting, Spread, Unit};

/// For a terminal.
pub fn render(report: &BenchReport) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    let names = Contender::ALL.map(|contender| contender.name().to_owned());
    let head = ["".to_owned(), "".to_owned()].into_iter().chain(names);
    table.set_header(head.chain(["ours : floor".to_owned(), "goal".to_owned(), String::new()]));
    for row in &report.rows {
        let cells = Contender::ALL.map(|contender| cell(row, contender));
        let (goal, verdict) = (goal(row), verdict(row));
        let verdict = match row.met() {
            Some(true) => format!("{GREEN}{verdict}{RESET}"),
            Some(false) => format!("{RED}{verdict}{RESET}"),
            None => verdict.to_owned(),
        };
        let head = [row.what.clone(), row.unit.name().to_owned()].into_iter().chain(cells);
        table.add_row(head.chain([row.ratio.map(ratio).unwrap_or_default(), goal, verdict]));
    }
    for column in 2..=2 + Contender::ALL.len() {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut text = format!("{}\n\n{DIM}{}{RESET}\n", table.trim_fmt(), setting(&report.setting));
    for fault in &report.faults {
        let _ = writeln!(text, "{RED}{}: {}{RESET}", fault.contender, fault.what);
    }
    text
}

/// For a page.
pub fn markdown(report: &BenchReport) -> String {
    let mut text = "| | unit |".to_owned();
    for contender in Contender::ALL {
        let _ = write!(text, " {contender} |");
    }
    text += " ours : floor | goal |\n|---|---|";
    text += &"--:|".repeat(Contender::ALL.len() + 1);
    text += "---|\n";
    for row in &report.rows {
        let _ = write!(text, "| {} | {} |", row.what, row.unit.name());
        for contender in Contender::ALL {
            let cell = cell(row, contender);
            let _ = match contender {
                Contender::Ours => write!(text, " **{cell}** |"),
                _ => write!(text, " {cell} |"),
            };
        }
        let goal = [goal(row), verdict(row).to_owned()].join(": ");
        let ratio = row.ratio.map(ratio).unwrap_or_default();
        let _ = writeln!(text, " {ratio} | {} |", goal.trim_matches([':', ' ']));
    }
    let text = text.replace("****", "").replace("|  |", "| |").replace("|  |", "| |");
    format!("{text}\n{}\n", setting(&report.setting))
}

fn setting(setting: &Setting) -> String {
    let Setting { command, cores, kernel, build, others, load } = setting;
    let others = match &others[..] {
        [] => String::new(),
        others => format!(", {}", others.join(", ")),
    };
    format!(
        "Measured with `{command}`: {cores} cores, Linux {kernel}, {build} build{others}; load \
         {load} before. Medians; where there are several measurements, the ratio is the median of \
         pairs, with the least and the greatest."
    )
}

fn goal(row: &Row) -> String {
    row.goal.map(|goal| goal.to_string()).unwrap_or_default()
}

fn verdict(row: &Row) -> &'static str {
    match row.met() {
        Some(true) => "met",
        Some(false) => "MISSED",
        None => "",
    }
}

fn cell(row: &Row, contender: Contender) -> String {
    match row.cells.get(&contender) {
        Some(Cell::Figure(spread)) => figure(spread.median, row.unit),
        Some(Cell::Absent(why)) => (*why).to_owned(),
        None => String::new(),
    }
}

/// With as many digits as mean something.
pub(crate) fn figure(figure: f64, unit: Unit) -> String {
    match figure {
        0.0 => "0".to_owned(),
        _ if unit == Unit::Bytes => format!("{figure:.0}"),
        figure if figure >= 100.0 => format!("{figure:.0}"),
        figure if figure >= 10.0 => format!("{figure:.1}"),
        figure => format!("{figure:.2}"),
    }
}

fn ratio(spread: Spread) -> String {
    let Spread { median, min, max, count } = spread;
    match count {
        1 => format!("{median:.2}"),
        _ => format!("{median:.2} ({min:.2}–{max:.2})"),
    }
}

const RESET: &str = "\x1b[0m";
const DIM: &str = "\x1b[2m";
const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
