//! The figures as a drawing: one panel a measure, one bar a contender, by hand.

use std::fmt::Write as _;

use super::contender::Contender;
use super::figures::{BenchReport, Row, Unit};
use super::table::figure;
use crate::drawing;

/// An SVG that can be read on light and on dark pages.
pub fn svg(report: &BenchReport) -> String {
    let rows: Vec<_> = report.rows.iter().filter(|row| is_drawn(row)).collect();
    let height = rows.iter().map(|row| panel_height(row)).sum::<f64>() + TOP;
    let label = "Figures of the terminal server beside others";
    let mut text = drawing::begin(WIDTH, height, label, STYLE);
    let mut y = TOP;
    for row in rows {
        panel(&mut text, row, y);
        y += panel_height(row);
    }
    text + drawing::END
}

/// What there is something to compare in.
fn is_drawn(row: &Row) -> bool {
    row.unit != Unit::Bytes && bars(row).count() > 1 && scale(row) > 0.0
}

fn bars(row: &Row) -> impl Iterator<Item = (Contender, f64)> + '_ {
    let bar = |contender| Some((contender, row.figure(contender)?.median));
    Contender::ALL.into_iter().filter_map(bar)
}

fn scale(row: &Row) -> f64 {
    bars(row).map(|(_, value)| value).fold(0.0, f64::max)
}

fn panel_height(row: &Row) -> f64 {
    TITLE + bars(row).count() as f64 * BAR + GAP
}

fn panel(text: &mut String, row: &Row, top: f64) {
    let better = if row.unit == Unit::Throughput { "more" } else { "less" };
    let (title, unit) = (&row.what, row.unit.name());
    let _ = writeln!(
        text,
        "<text class=\"title\" x=\"0\" y=\"{:.0}\">{title}<tspan class=\"note\" dx=\"8\">{unit}, {better} \
         is better</tspan></text>",
        top + TITLE - 8.0
    );
    let scale = (WIDTH - LABEL - VALUE) / scale(row);
    for ((contender, value), index) in bars(row).zip(0..) {
        let y = top + TITLE + f64::from(index) * BAR;
        // A figure that is next to nothing is seen to be there.
        let width = (value * scale).max(1.0);
        let class = match contender {
            Contender::Floor => "floor",
            Contender::Ours => "ours",
            _ => "others",
        };
        let middle = y + BAR * 0.65;
        let _ = writeln!(
            text,
            "<text x=\"{:.0}\" y=\"{middle:.1}\" text-anchor=\"end\">{contender}</text>\
             <rect class=\"{class}\" x=\"{LABEL}\" y=\"{:.1}\" width=\"{width:.1}\" \
             height=\"{:.1}\" rx=\"2\"/><text x=\"{:.1}\" y=\"{middle:.1}\">{}</text>",
            LABEL - 8.0,
            y + 2.0,
            BAR - 4.0,
            LABEL + width + 6.0,
            figure(value, row.unit),
        );
    }
}

const STYLE: &str = "\
.floor{fill:#8c959f}.ours{fill:#1a7f5a}.others{fill:#c77d2e}\
@media(prefers-color-scheme:dark){.floor{fill:#6e7681}.ours{fill:#3fb98a}.others{fill:#d29a55}}";
const WIDTH: f64 = 760.0;
/// Left of the bars.
const LABEL: f64 = 120.0;
/// Right of the longest.
const VALUE: f64 = 70.0;
const TOP: f64 = 6.0;
const TITLE: f64 = 26.0;
const BAR: f64 = 19.0;
const GAP: f64 = 14.0;

#[cfg(test)]
mod tests {
    use super::super::figures::{Figures, Setting};
    use super::*;

    #[test]
    fn a_bar_is_drawn_for_each_figure() {
        let mut figures = Figures::default();
        figures.push(Contender::Floor, 50.0);
        figures.push(Contender::Ours, 100.0);
        let row = Row::new("bulk", Unit::Throughput, &figures);
        let setting = Setting {
            command: String::new(),
            cores: 2,
            kernel: String::new(),
            build: "release",
            others: Vec::new(),
            load: String::new(),
        };
        let text = svg(&BenchReport { setting, rows: vec![row], faults: Vec::new() });
        assert_eq!(text.matches("<rect").count(), 2);
        assert!(text.contains("width=\"570.0\"") && text.contains("width=\"285.0\""), "{text}");
        assert!(text.starts_with("<svg ") && text.ends_with("</svg>\n"));
    }
}
