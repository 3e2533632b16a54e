//! What users and their programs see, byte for byte. After a wanted change:
//! `LINEKEEPER_ACCEPT=1 cargo test -p terminal-server --test golden`, then read the diff.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::path::Path;

use bytes::Bytes;
use clap::CommandFactory;
use terminal_server::cli::Cli;
use terminal_server::config::Config;
use terminal_server::core::{Counters, Saved};
use terminal_server::driver::state_file::State;
use terminal_server::driver::{LineReport, ListenerReport, RefusalReport, ServerReport};
use terminal_server::table;
use wire::{Epoch, EventKind, Fate, LastFrame, LineEvent};

fn check(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("LINEKEEPER_ACCEPT").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(text == golden, "{name} differs from its golden file; it is now:\n{text}");
}

fn held() -> LineReport {
    LineReport {
        line: "pms".to_owned(),
        device: "usb:serial=A10KZP45".to_owned(),
        path: Some("/dev/ttyUSB0".to_owned()),
        up: true,
        trouble: None,
        settings: "9600,8N1".to_owned(),
        wires: "DTR RTS CTS".to_owned(),
        state: "held".to_owned(),
        cause: None,
        holder: Some("alpha".to_owned()),
        epoch: "1790000001.3".to_owned(),
        lease_ms: 400,
        left_ms: 312,
        reserved_for: None,
        clients: 2,
        acked: 5100,
        delivered: 5123,
        end: 5123,
        counters: Counters {
            granted: 3,
            refused_busy: 2,
            refused_stranger: 1,
            expired: 1,
            stale_output: 4,
            misuse: 5,
            slow: 6,
            full: 7,
            bytes_in: 5123,
            bytes_out: 2900,
            bytes_lost: 0,
            line_errors: 2,
            ..Counters::default()
        },
    }
}

fn report(line: LineReport) -> ServerReport {
    ServerReport {
        server: "ts1".to_owned(),
        version: "0.1.0".to_owned(),
        start: 1_790_000_001,
        refused: RefusalReport::default(),
        listeners: vec![ListenerReport {
            speech: "line".to_owned(),
            address: "192.0.2.10:4101".to_owned(),
            error: None,
            lines: 1,
        }],
        lines: vec![line],
    }
}

#[test]
fn a_held_line() {
    check("held.txt", &table::render(&report(held())));
    let json = serde_json::to_string_pretty(&report(held())).unwrap();
    check("held.json", &(json + "\n"));
}

#[test]
fn a_free_line_that_is_down_and_kept_for_somebody() {
    let line = LineReport {
        path: None,
        up: false,
        state: "free".to_owned(),
        cause: Some("reserved".to_owned()),
        reserved_for: Some("beta".to_owned()),
        ..held()
    };
    let mut report = report(line);
    report.refused = RefusalReport { silent: 1, crowded: 2, forbidden: 3, crowding: 4, no_line: 5 };
    report.listeners[0].error = Some("Address already in use (os error 98)".to_owned());
    check("free.txt", &table::render(&report));
}

#[test]
fn several_lines() {
    let trouble = Some("/dev/ttyUSB1: no such device".to_owned());
    let (line, device) = ("cdr".to_owned(), "/dev/ttyUSB1".to_owned());
    let mut absent = LineReport { line, device, path: None, up: false, trouble, ..held() };
    absent.state = "free".to_owned();
    let mut report = report(held());
    check(
        "trouble.txt",
        &table::render(&ServerReport { lines: vec![absent.clone()], ..report.clone() }),
    );
    report.lines.push(absent);
    check("lines.txt", &table::render(&report));
}

#[test]
fn a_checked_configuration() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/terminal-server.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let key = |_: &Path| Ok((0..32).collect());
    let open = text.replace("127.0.0.1:4001", "0.0.0.0:4001");
    let config = Config::parse(&path, &open, &key).unwrap();
    check("check-config.txt", &table::of_config(&config));
    let wrong = text
        .replace("speech = \"raw\"", "speech = \"rw\"")
        .replace("groups = [\"front", "group = [\"front");
    let errors = Config::parse(Path::new("terminal-server.toml"), &wrong, &key).unwrap_err();
    check("check-config-errors.txt", &format!("{errors}\n"));
}

#[test]
fn the_help() {
    check("help.txt", &Cli::command().term_width(100).render_long_help().to_string());
    check("help-short.txt", &Cli::command().term_width(100).render_help().to_string());
}

/// State files outlive releases: this one must always be readable.
#[test]
fn the_state_file_of_version_1() {
    let saved = Saved {
        incarnation: 1_790_000_001 << 32,
        acked: 5100,
        delivered: 5123,
        bytes: Bytes::from_static(b"\x02RE|RN101|\x03"),
        events: vec![
            LineEvent { offset: 5100, kind: EventKind::Gap(7) },
            LineEvent { offset: 5102, kind: EventKind::Down },
            LineEvent { offset: 5102, kind: EventKind::Up },
        ],
        note: Bytes::from_static(b"seq 17"),
        position: 2900,
        unfinished: Bytes::from_static(b"half"),
        last: LastFrame { epoch: Epoch::new(1_790_000_001, 3), end: 2900, fate: Fate::Finished },
        epoch: Epoch::new(1_790_000_001, 3),
        holder: "alpha".parse().ok(),
        lease_ms: 400,
    };
    let lines = [("pms".parse().unwrap(), Some(saved)), ("cdr".parse().unwrap(), None)];
    let state = State { start: 1_790_000_001, lines: lines.into() };
    check("terminal-server.state", std::str::from_utf8(&state.encode()).unwrap());
    let golden = include_bytes!("golden/terminal-server.state");
    assert_eq!(State::decode(golden).unwrap(), state);
}
