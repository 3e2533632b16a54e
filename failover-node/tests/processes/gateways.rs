//! The built-in gateway as a process: what came from the line is durable, then acknowledged, then
//! handled.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use billing::{Dialect, WallClock};
use serde_json::Value;
use tempfile::TempDir;
use wire::{Ack, Frame};

use crate::line::{Line, Seen};
use crate::node::{Node, place};
use crate::support::{PROGRAM, until_so};

/// Two calls as an exchange prints them.
fn calls() -> &'static [u8] {
    let dialect = Dialect::named("cdr", &[]).unwrap();
    let mut exchange = dialect.billing_end(1, WallClock { at_boot: 0 }, Duration::ZERO);
    let mut bytes = Vec::new();
    for serial in 1..=2 {
        exchange.send(serial, Duration::ZERO);
        while let Some(line) = exchange.poll_transmit() {
            bytes.extend_from_slice(&line);
            exchange.handle_written(serial, Duration::ZERO);
        }
    }
    bytes.leak()
}

/// A node whose standard output is the file `out`.
fn gateway(dir: TempDir, line: &Line, handler: &str) -> Node {
    let flags = ["--billing", "cdr", "--store", "s", "--handler", handler];
    Node::start_by(dir, &line.address.to_string(), &flags, |arguments| {
        let mut command = Command::new("sh");
        command.args(["-c", r#"exec "$0" "$@" > out"#, PROGRAM]).args(arguments);
        command
    })
}

/// Waits until the whole input was acknowledged.
fn acknowledged(line: &Line, input: &[u8]) {
    assert_eq!(line.seen(), Seen::Granted);
    loop {
        match line.seen() {
            Seen::Frame(Frame::Ack(Ack { offset, .. })) if offset == input.len() as u64 => break,
            Seen::Frame(Frame::Ack(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn lines(node: &Node, file: &str) -> Vec<Value> {
    let text = fs::read_to_string(node.path(file)).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn states(node: &Node) -> Vec<Value> {
    let shown = node.ask(&["records", "--inbox", "--json"]);
    let text = String::from_utf8(shown.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["state"].take()).collect()
}

#[test]
fn a_gateway_prints_records_on_the_nodes_standard_output() {
    let ((dir, key), input) = (place(), calls());
    let line = Line::start(key, input);
    let node = gateway(dir, &line, "stdout");
    acknowledged(&line, input);
    until_so("two printed records", || lines(&node, "out").len() == 2);
    let printed = lines(&node, "out");
    assert_eq!((&printed[0]["kind"], &printed[0]["start"]), (&"call".into(), &0.into()));
    assert!(printed[1]["start"].as_u64() >= printed[0]["end"].as_u64(), "{printed:?}");
    until_so("their being handled", || states(&node) == ["handled", "handled"]);
}

#[test]
fn a_handler_that_dies_gets_the_record_again() {
    let ((dir, key), input) = (place(), calls());
    let line = Line::start(key, input);
    // It deals with one record in each life, and not with the first it ever sees.
    let script = r#"#!/bin/sh
read -r line || exit
echo "$line" >> seen
[ "$(wc -l < seen)" -eq 1 ] && exit 3
echo "{\"id\":$(printf %s "$line" | sed 's/.*"id":\([0-9]*\).*/\1/')}"
"#;
    let handler = dir.path().join("handler");
    fs::write(&handler, script).unwrap();
    fs::set_permissions(&handler, fs::Permissions::from_mode(0o755)).unwrap();
    let node = gateway(dir, &line, "./handler");
    acknowledged(&line, input);
    until_so("both records being handled", || states(&node) == ["handled", "handled"]);
    let seen: Vec<_> = lines(&node, "seen").iter().map(|record| record["start"].clone()).collect();
    assert_eq!(seen[0], seen[1], "{seen:?}");
    assert_eq!(seen.last().unwrap(), &lines(&node, "seen")[2]["start"]);
}
