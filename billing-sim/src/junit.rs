//! A report as JUnit XML, which every CI shows: one test case for each verdict, and one for the run.

use std::fmt::Write;

use crate::core::exchange::Report;
use crate::core::exchange::report::Mark;
use crate::core::exchange::verdict::Verdict;

/// The report as a document.
pub fn render(report: &Report) -> String {
    let name = match &report.run.scenario {
        Some(scenario) => format!("{}.{scenario}", report.run.dialect),
        None => report.run.dialect.clone(),
    };
    let name = escaped(&format!("billing-sim.{name}"));
    let outcome = &report.outcome;
    let seconds = outcome.finished.saturating_sub(outcome.started).as_secs_f64();
    let mut cases = String::new();
    let mut failures = 0_u32;
    let mut case = |case: &str, failure: Option<String>| {
        failures += u32::from(failure.is_some());
        let _ = write!(cases, "    <testcase classname=\"{name}\" name=\"{case}\"");
        let _ = match failure {
            None => writeln!(cases, "/>"),
            Some(text) => {
                let text = escaped(&text);
                let first = text.lines().next().unwrap_or_default();
                writeln!(
                    cases,
                    ">\n      <failure message=\"{first}\">{text}</failure>\n    </testcase>"
                )
            }
        };
    };
    case("run", report.complaint());
    for verdict in Verdict::ALL {
        let failed = report.expectations.mark(verdict, &outcome.verdicts) == Mark::Failed;
        case(verdict.name(), failed.then(|| failure(report, verdict)));
    }
    let tests = Verdict::ALL.len() + 1;
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  \
         <testsuite name=\"{name}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"0\" \
         skipped=\"0\" time=\"{seconds:.3}\">\n{cases}  </testsuite>\n</testsuites>\n"
    )
}

fn failure(report: &Report, verdict: Verdict) -> String {
    let count = report.outcome.verdicts.get(verdict);
    let mut text = match report.expectations.expected.get(&verdict) {
        Some(expected) => format!("{count}, where {expected} was expected"),
        None => format!("{count}: {}", verdict.meaning()),
    };
    let findings = report.outcome.findings.iter().map(|found| &found.finding);
    for finding in findings.filter(|finding| finding.verdict == verdict) {
        text += "\n";
        text += &finding.detail;
    }
    text
}

/// Fit for an attribute in double quotes and for text. Details are printable already.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\n' | '\t' => out.push(c),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
