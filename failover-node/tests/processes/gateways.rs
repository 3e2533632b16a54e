//! The built-in gateway as a process: what came from the line is durable, then acknowledged, then
//! handled.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use billing::{Dialect, WallClock};
use serde_json::Value;
use tempfile::TempDir;
use wire::{Ack, Frame};

use crate::headend::Headend;
use crate::line::{Line, Seen};
use crate::node::{Node, place};
use crate::support::{BUSY, PROGRAM, until_so};

/// Calls as an exchange prints them.
fn calls(count: u64) -> &'static [u8] {
    let dialect = Dialect::named("cdr", &[]).unwrap();
    let mut exchange = dialect.billing_end(1, WallClock { at_boot: 0 }, Duration::ZERO);
    let mut bytes = Vec::new();
    for serial in 1..=count {
        exchange.send(serial, Duration::ZERO);
        while let Some(line) = exchange.poll_transmit() {
            bytes.extend_from_slice(&line);
            exchange.handle_written(serial, Duration::ZERO);
        }
    }
    bytes.leak()
}

/// A node whose standard output is the file `out`.
fn gateway(dir: TempDir, address: SocketAddr, dialect: &str, handler: &str) -> Node {
    let flags = ["--billing", dialect, "--store", "s", "--handler", handler, "--retain", "1h"];
    Node::start_by(dir, &address.to_string(), &flags, |arguments| {
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
    let lines = text.lines().filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn states(node: &Node) -> Vec<Value> {
    let shown = node.ask(&["records", "--inbox", "--json"]);
    let text = String::from_utf8(shown.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["state"].take()).collect()
}

/// The program `handler`.
fn write_handler(dir: &TempDir, script: &str) {
    let handler = dir.path().join("handler");
    fs::write(&handler, script).unwrap();
    fs::set_permissions(&handler, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A handler that writes down each record's `field` and answers as `case` says, by the field and
/// how often it came: `$id` is the record's.
fn answering(field: &str, case: &str) -> String {
    format!(
        r#"#!/bin/sh
of() {{ printf %s "$line" | sed 's/.*"'$1'":\([0-9]*\).*/\1/'; }}
while read -r line; do
    id=$(of id) value=$(of {field})
    echo "$value" >> seen
    case "$value.$(grep -c "^$value\$" seen)" in
        {case}
        *) echo "{{\"id\":$id}}" ;;
    esac
done
"#
    )
}

fn seen(node: &Node) -> Vec<u64> {
    let text = fs::read_to_string(node.path("seen")).unwrap_or_default();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

#[test]
fn a_gateway_prints_records_on_the_nodes_standard_output() {
    let ((dir, key), input) = (place(), calls(2));
    let line = Line::start(key, input);
    let node = gateway(dir, line.address, "cdr", "stdout");
    acknowledged(&line, input);
    until_so("two printed records", || lines(&node, "out").len() == 2);
    let printed = lines(&node, "out");
    assert_eq!((&printed[0]["kind"], &printed[0]["start"]), (&"call".into(), &0.into()));
    assert!(printed[0]["fields"].as_object().is_some_and(|fields| fields.len() > 3), "{printed:?}");
    assert!(printed[1]["start"].as_u64() >= printed[0]["end"].as_u64(), "{printed:?}");
    until_so("their being handled", || states(&node) == ["handled", "handled"]);
}

#[test]
fn a_handler_that_dies_gets_the_record_again() {
    let ((dir, key), input) = (place(), calls(2));
    let line = Line::start(key, input);
    // It deals with one record in each life, and not with the first it ever sees.
    let script = r#"#!/bin/sh
read -r line || exit
echo "$line" >> seen
[ "$(wc -l < seen)" -eq 1 ] && exit 3
echo "{\"id\":$(printf %s "$line" | sed 's/.*"id":\([0-9]*\).*/\1/')}"
"#;
    write_handler(&dir, script);
    let node = gateway(dir, line.address, "cdr", "./handler");
    acknowledged(&line, input);
    until_so("both records being handled", || states(&node) == ["handled", "handled"]);
    let seen: Vec<_> = lines(&node, "seen").iter().map(|record| record["start"].clone()).collect();
    assert_eq!(seen[0], seen[1], "{seen:?}");
    assert_eq!(seen.last().unwrap(), &lines(&node, "seen")[2]["start"]);
}

#[test]
fn a_command_is_answered_as_the_handler_says_whatever_becomes_of_the_handler() {
    let (dir, key) = place();
    let headend = Headend::start(key, 5);
    let case = r#"2.*) echo "{\"id\":$id,\"error\":\"17\"}" ;;
        3.1) echo "{\"id\":$id,\"failed\":\"no route\"}" ;;
        4.1) exit 3 ;;"#;
    write_handler(&dir, &answering("number", case));
    let node = gateway(dir, headend.address, "cable", "./handler");
    let answers: Vec<_> = (0..5).map(|_| headend.answer()).collect();
    assert_eq!(answers, ["000001 OK", "000002 ER 17", "000003 OK", "000004 OK", "000005 OK"]);
    assert_eq!(seen(&node), [1, 2, 3, 3, 4, 4, 5]);
    assert_eq!(states(&node), ["handled"; 5]);
}

#[test]
fn without_a_handler_commands_are_answered_and_nothing_waits() {
    let (dir, key) = place();
    let headend = Headend::start(key, 2);
    let node = gateway(dir, headend.address, "cable", "store");
    assert_eq!([headend.answer(), headend.answer()], ["000001 OK", "000002 OK"]);
    assert_eq!(states(&node), ["handled"; 2]);
}

#[test]
fn what_is_behind_a_record_that_failed_waits_for_it() {
    let ((dir, key), input) = (place(), calls(70));
    let line = Line::start(key, input);
    let failed = r#"0.1|0.2) echo "{\"id\":$id,\"failed\":\"not yet\"}" ;;"#;
    write_handler(&dir, &answering("start", failed));
    let node = gateway(dir, line.address, "cdr", "./handler");
    acknowledged(&line, input);
    until_so("all records being handled", || states(&node) == ["handled"; 70]);
    let seen = seen(&node);
    let tries: Vec<_> = seen.iter().enumerate().filter(|(_, start)| **start == 0).collect();
    let at: Vec<_> = tries.iter().map(|(at, _)| *at).collect();
    assert_eq!((at.len(), at[0], at[2] - at[1]), (3, 0, 1), "alone when it comes again: {at:?}");
    assert!(at[1] <= 64, "no more than it was given with: {at:?}");
    assert_eq!(seen.len(), 72, "and no other comes twice");
    assert!(seen[at[2]..].is_sorted(), "{seen:?}");
}

#[test]
fn a_slow_handler_and_a_store_that_cannot_be_tidied_are_said_and_end_nothing() {
    let ((dir, key), input) = (place(), calls(2));
    let line = Line::start(key, input);
    let first = r#"0.*) echo "{\"id\":$id}" ;;
        *) sleep 1000 ;;"#;
    write_handler(&dir, &answering("start", first));
    let node = gateway(dir, line.address, "cdr", "./handler");
    acknowledged(&line, input);
    until_so("one record being handled", || states(&node) == ["handled", "new"]);
    // It is a minute older than `retain`, and somebody keeps the store locked.
    let other = rusqlite::Connection::open(node.path("s")).unwrap();
    let older = "UPDATE inbox SET received_at = received_at - 3660000 WHERE state = 'handled'";
    other.execute(older, ()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let says = |word: &str| {
        until_so(word, || {
            let mut events = node.events().into_iter();
            events.any(|event| event["text"].as_str().is_some_and(|text| text.starts_with(word)))
        })
    };
    says("store-forgets-nothing why=");
    says("handler-slow line=pms id=2 seconds=");
    other.execute_batch("ROLLBACK").unwrap();
    until_so("its being forgotten", || states(&node) == ["new"]);
    assert!(!line.seen_within(BUSY).contains(&Seen::Closed), "the grant is kept");
}
