//! What users and their programs see, byte for byte. After a wanted change:
//! `LINEKEEPER_ACCEPT=1 cargo test -p billing-sim --test golden`, then read the diff.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::path::Path;
use std::time::Duration;

use billing_sim::cli::Cli;
use billing_sim::core::event::{End, Finding, Span, Verdict};
use billing_sim::core::judge::Tally;
use billing_sim::core::latency::LatencySummary;
use billing_sim::core::report::{Outcome, Received, Report, Run, Sent};
use billing_sim::core::unserved::UnservedSummary;
use billing_sim::{Event, exchange, junit, listing, table, verdicts};
use clap::CommandFactory;
use daemon::ports;
use sys::{PortInfo, PortKind, UsbInfo};

fn check(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("LINEKEEPER_ACCEPT").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(text == golden, "{name} differs from its golden file; it is now:\n{text}");
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn run() -> Run {
    Run {
        dialect: "numbered".to_owned(),
        port: "/dev/ttyUSB0".to_owned(),
        line: "9600,8N1".to_owned(),
        paced: true,
        interval: ms(200),
        seed: 1,
        first: 1,
    }
}

fn passed() -> Report {
    let longest = Span { from: ms(100_250), to: ms(100_281) };
    let outcome = Outcome {
        ended: End::Count,
        started: ms(100_000),
        finished: ms(122_100),
        sent: Sent { records: 100, bytes: 5123 },
        received: Received { answers: 100, bytes: 2900 },
        verdicts: Tally { partial: 1, ..Tally::default() },
        unserved: UnservedSummary {
            longest: Some(longest),
            longest_length: longest.length(),
            over: ms(150),
            spans: Vec::new(),
            spans_omitted: 0,
        },
        latency: Some(LatencySummary {
            min: Duration::from_micros(730),
            median: Duration::from_micros(30_240),
            p99: Duration::from_micros(30_720),
            max: ms(31),
        }),
        findings: vec![Finding {
            at: ms(100_281),
            verdict: Verdict::Partial,
            number: Some(2),
            detail: "answer cut off after \"A00000002 9b\"".to_owned(),
        }],
        findings_omitted: 0,
    };
    Report::new(run(), outcome, 0)
}

fn failed() -> Report {
    let longest = Span { from: ms(105_000), to: ms(108_200) };
    let good = passed().outcome;
    let outcome = Outcome {
        ended: End::Stopped,
        verdicts: Tally { lost: 3, doubled: 1, torn: 0, partial: 0, reordered: 2, mixed: 12 },
        unserved: UnservedSummary {
            longest: Some(longest),
            longest_length: longest.length(),
            spans: vec![longest],
            ..good.unserved
        },
        latency: None,
        findings: vec![Finding {
            at: ms(122_100),
            verdict: Verdict::Lost,
            number: Some(7),
            detail: "records 7 to 9 were never answered".to_owned(),
        }],
        findings_omitted: 17,
        ..good
    };
    Report::new(run(), outcome, 5)
}

#[test]
fn report_as_json() {
    for (name, report) in [("passed.json", passed()), ("failed.json", failed())] {
        let json = serde_json::to_string_pretty(&report).unwrap() + "\n";
        check(name, &json);
        assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
    }
}

#[test]
fn report_as_table() {
    check("passed.txt", &table::render(&passed()));
    check("failed.txt", &table::render(&failed()));
}

#[test]
fn events_as_json_lines() {
    let finding = failed().outcome.findings[0].clone();
    let events = [
        Event::Started { at: ms(1) },
        Event::Sent { at: ms(2), number: 1, outstanding: 1 },
        Event::Answered { at: ms(33), number: 1, latency: ms(31), outstanding: 0 },
        Event::Found(finding),
        Event::Unserved(Span { from: ms(2), to: ms(33) }),
        Event::Settling { at: ms(40) },
        Event::Ended { at: ms(50), why: End::Count },
    ];
    let mut text = String::new();
    for event in events {
        let line = serde_json::to_string(&event).unwrap();
        assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event);
        text += &format!("{line}\n");
    }
    check("events.jsonl", &text);
}

#[test]
fn list_of_ports() {
    let usb = UsbInfo {
        vid: 0x0403,
        pid: 0x6001,
        serial: Some("A10KZP45".to_owned()),
        manufacturer: Some("FTDI".to_owned()),
        product: Some("FT232R USB UART".to_owned()),
        interface: Some(0),
        port: 0,
        location: "1-1.2".to_owned(),
    };
    let found = [PortInfo {
        path: "/dev/ttyUSB0".into(),
        by_id: None,
        kind: PortKind::Usb(usb),
        driver: Some("ftdi_sio".to_owned()),
        stable_id: "usb:serial=A10KZP45".to_owned(),
    }];
    check("list.txt", &ports::table(&found));
    check("list.json", &format!("{:#}\n", ports::json(&found)));
    assert!(ports::table(&[]).starts_with("no serial ports"));
}

#[test]
fn help() {
    let mut command = Cli::command().term_width(100);
    command.build();
    check("help.txt", &command.render_long_help().to_string());
    for name in ["run", "show", "replay", "list"] {
        let sub = command.find_subcommand_mut(name).unwrap();
        check(&format!("help-{name}.txt"), &sub.render_long_help().to_string());
    }
}

fn trial() -> exchange::Report {
    use exchange::entry::{End, Finding};
    use exchange::judge::Tally;
    use exchange::report::{Amount, Expectations, Found, Outcome, Run};
    use exchange::verdict::Verdict;
    let at = Duration::from_secs;
    let finding = Finding {
        verdict: Verdict::SeqConflict,
        count: 1,
        detail: "number 7 is another charge's: \"PS|<3>\"".to_owned(),
    };
    let mut expectations = Expectations::default();
    expectations.expected.insert(Verdict::LostBySender, Amount::exactly(1));
    expectations.allowed.insert(Verdict::BadCheck);
    let counts = [
        (Verdict::SeqConflict, 1),
        (Verdict::LostBySender, 1),
        (Verdict::BadCheck, 3),
        (Verdict::DupSuppressed, 2),
    ];
    let outcome = Outcome {
        ended: End::Done,
        started: at(100),
        finished: at(110),
        tally: Tally {
            queued: 40,
            sent: 40,
            resent: 4,
            confirmed: 39,
            given_up: 1,
            posted: 50,
            ..Tally::default()
        },
        bytes_out: 2000,
        bytes_in: 3000,
        faults: 5,
        latency: None,
        standstill: Some(Span { from: at(103), to: at(105) }),
        answers_dropped: 0,
        withdrawn: 3,
        doubts: Vec::new(),
        verdicts: counts.into_iter().collect(),
        findings: vec![Found { at: at(104), finding }],
        findings_omitted: 6,
    };
    let run = Run {
        dialect: "fias".to_owned(),
        settings: vec![("check".to_owned(), "none".to_owned())],
        scenario: Some("night".to_owned()),
        port: "/dev/ttyUSB0".to_owned(),
        line: "9600,8N1".to_owned(),
        paced: true,
        seed: 1,
    };
    exchange::Report::new(run, outcome, expectations)
}

#[test]
fn a_report_of_a_dialect_for_people_programs_and_a_ci() {
    let report = trial();
    assert!(!report.pass);
    check("dialect.txt", &verdicts::render(&report, false));
    check("dialect.json", &(serde_json::to_string_pretty(&report).unwrap() + "\n"));
    check("dialect.xml", &junit::render(&report));
    let again: exchange::Report =
        serde_json::from_value(serde_json::to_value(&report).unwrap()).unwrap();
    assert_eq!(again, report);
}

#[test]
fn faults_are_listed() {
    check("list-faults.txt", &listing::faults(false));
}
