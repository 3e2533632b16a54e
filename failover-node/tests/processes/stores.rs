//! `records` and `post` as people and programs call them.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use billing::gateway::{HandledBy, Outcome, Record};
use billing::{Ledger, Posting, Write};
use bytes::Bytes;
use failover_node::billing::store::listing::{Filter, Page};
use failover_node::billing::store::{Handling, LastSent, SqliteStore, Store, Tenure};
use serde_json::Value;
use sys::process::Signal;
use tempfile::TempDir;
use wire::Epoch;

use crate::line::{Line, Seen};
use crate::node::{Node, place};
use crate::support::{Kept, PROGRAM, ended, free_address, signal, until_so};

fn run(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(PROGRAM).current_dir(dir).args(arguments).env("TZ", "UTC").output().unwrap()
}

/// Standard output of a call that ends with this code.
fn said(dir: &Path, code: i32, arguments: &[&str]) -> String {
    let output = run(dir, arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
    if code == 0 { String::from_utf8(output.stdout).unwrap() } else { stderr.into_owned() }
}

fn json(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn tenure(epoch: u32) -> Tenure {
    Tenure {
        line: "pms".parse().unwrap(),
        epoch: Epoch::new(7, epoch),
        incarnation: 1,
        node: "a".parse().unwrap(),
        shared: false,
        handling: Handling::Records,
    }
}

fn record(start: u64, kind: &str, text: &'static [u8]) -> Write {
    Write::Receive(Record {
        start,
        end: start + 20,
        kind: kind.to_owned(),
        number: Some(start),
        text: Bytes::from_static(text),
        handled_by: HandledBy::Handler,
    })
}

/// A store with two records from the line, and its gateway's hold on it.
fn store(dir: &TempDir) -> SqliteStore {
    let mut store = SqliteStore::open(&dir.path().join("s")).unwrap();
    store.begin(&tenure(1)).unwrap();
    let records = [record(0, "GI", b"GI|RN2781|GNDoe, \"J\"|"), record(20, "GO", b"\xe4\x01")];
    store.commit(&records).unwrap();
    store
}

/// What a gateway does with the next charge when the billing system says yes.
fn post_next(store: &mut SqliteStore, ledger: &Ledger) -> String {
    let posting = store.next_posting(ledger).unwrap().unwrap();
    let Posting::New { id, charge } = posting else { panic!("{posting:?}") };
    let number = ledger.last() + 1;
    let text = Bytes::from(format!("PS|RN{}|P#{number}|", charge.room));
    let answer = Bytes::from_static(b"PA|ASOK|");
    let settle = Write::Settle { number, outcome: Outcome::Posted, answer };
    store.commit(&[Write::Number { id, number, text }, settle]).unwrap();
    charge.key
}

const ONE: [&str; 11] =
    ["post", "--store", "s", "--line", "pms", "--key", "k1", "--room", "27", "--amount", "1050"];

#[test]
fn what_is_in_a_store_is_listed_filtered_and_exported() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = store(&dir);
    said(dir.path(), 0, &ONE);
    post_next(&mut store, &Ledger::new(0));
    let records =
        |more: &[&str]| said(dir.path(), 0, &[&["records", "--store", "s"], more].concat());
    let table = records(&[]);
    for part in ["inbox\n", "GI|RN2781|GNDoe", "e401", "outbox\n", "posted", "PA|ASOK|", "1050"] {
        assert!(table.contains(part), "{part} in\n{table}");
    }
    let lines = json(&records(&["--json"]));
    let boxes: Vec<_> = lines.iter().map(|line| line["box"].as_str().unwrap()).collect();
    assert_eq!(boxes, ["in", "in", "out"]);
    assert_eq!(lines[0]["record"], "GI|RN2781|GNDoe, \"J\"|");
    assert_eq!((&lines[1]["record_hex"], &lines[1]["record"]), (&"e401".into(), &Value::Null));
    assert_eq!((&lines[2]["key"], &lines[2]["number"]), (&"k1".into(), &1.into()));
    assert_eq!(lines[2]["epoch"], "7.1");
    let csv = records(&["--inbox", "--csv"]);
    assert!(csv.starts_with("box,row,line,received,state,kind,number,record,"), "{csv}");
    assert!(csv.contains(",\"GI|RN2781|GNDoe, \"\"J\"\"|\","), "{csv}");
    for (filter, rows) in [
        (&["--inbox", "--kind", "GO"][..], 1),
        (&["--outbox", "--kind", "direct", "--state", "posted"], 1),
        (&["--number", "0"], 1),
        (&["--key", "k1"], 1),
        (&["--since", "2020-01-01", "--until", "2999-01-01T00:00:00"], 3),
        (&["--inbox", "--after", "1"], 1),
        (&["--inbox", "--after", "0", "--limit", "1"], 1),
        (&["--limit", "1"], 2),
        (&["--line", "pms"], 3),
    ] {
        assert_eq!(json(&records(&[&["--json"], filter].concat())).len(), rows, "{filter:?}");
    }
    let nothing = run(dir.path(), &["records", "--store", "s", "--state", "doubt"]);
    assert_eq!((nothing.status.code(), &nothing.stdout[..]), (Some(1), &b""[..]));
    for (code, wrong, words) in [
        (64, &["--csv"][..], "add --inbox or --outbox"),
        (64, &["--state", "lost"], "`lost` is no state"),
        (64, &["--line", "x"], "no line x; it has pms"),
        (66, &["--store", "t"], "no such store"),
    ] {
        let arguments = match wrong[0] {
            "--store" => [&["records"], wrong].concat(),
            _ => [&["records", "--store", "s"], wrong].concat(),
        };
        let error = said(dir.path(), code, &arguments);
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn what_is_added_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = store(&dir);
    let out = std::fs::File::create(dir.path().join("out")).unwrap();
    let arguments = ["records", "--store", "s", "--inbox", "--json", "--follow", "-n", "1"];
    let mut command = Command::new(PROGRAM);
    let mut follower = Kept::spawn(command.current_dir(dir.path()).args(arguments).stdout(out));
    let shown = || {
        let text = std::fs::read_to_string(dir.path().join("out")).unwrap();
        json(&text).iter().map(|line| line["row"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    until_so("what is there", || shown() == [2]);
    store.commit(&[record(40, "GC", b"GC|"), record(60, "GC", b"GC|")]).unwrap();
    until_so("what was added", || shown() == [2, 3, 4]);
    signal(&follower.0, Signal::INT);
    assert!(ended(&mut follower.0).success());
}

#[test]
fn a_charge_is_added_once_whoever_tries_again() {
    let dir = tempfile::tempdir().unwrap();
    drop(store(&dir));
    let added = |arguments: &[&str]| json(&said(dir.path(), 0, &[arguments, &["--json"]].concat()));
    assert_eq!(added(&ONE)[0]["added"], "now");
    let again = added(&ONE);
    assert_eq!((&again[0]["added"], &again[0]["row"]), (&"before".into(), &1.into()));
    let mut other = ONE;
    other[10] = "1051";
    let error = said(dir.path(), 1, &other);
    assert!(error.contains("key k1 is taken by another charge, nothing was added"), "{error}");
    assert!(error.contains("\"amount\":1050"), "{error}");
    for (wrong, words) in [
        (["--amount", "100000000"], "amount: at most 99999999"),
        (["--kind", "gold"], "kind: direct, telephone or minibar"),
        (["--at", "yesterday"], "at: `yesterday` is no date"),
    ] {
        let one = if wrong[0] == "--amount" { &ONE[..9] } else { &ONE[..] };
        let error = said(dir.path(), 64, &[one, &wrong].concat());
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn a_file_is_added_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    let good = "key,room,amount,at\na,27,5,2018-06-18T12:35:45\nb,28,6,2018-06-18T12:35:45\n";
    std::fs::write(dir.path().join("good.csv"), good).unwrap();
    std::fs::write(dir.path().join("bad.csv"), format!("{good}c,,7,2018-06-18T12:35:45\n"))
        .unwrap();
    let post =
        |file: &str| ["post", "--store", "s", "--line", "pms", "--file", file].map(String::from);
    let call = |code, file: &str| {
        let arguments = post(file);
        said(dir.path(), code, &arguments.each_ref().map(String::as_str))
    };
    assert!(call(64, "bad.csv").contains("bad.csv:4: room: is missing"));
    assert_eq!(store.outbox(&Filter::default(), Page::Last(9)).unwrap(), [], "nothing was added");
    assert!(call(66, "none.csv").contains("none.csv: "));
    assert!(call(0, "good.csv").starts_with("2 added, 0 there already"));
    let mut child = Command::new(PROGRAM)
        .current_dir(dir.path())
        .args(post("-"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let more = "{\"key\":\"c\",\"room\":\"1\",\"amount\":1,\"at\":\"2018-06-18T12:35:45\"}\n\
                {\"key\":\"b\",\"room\":\"28\",\"amount\":6,\"at\":\"2018-06-18T12:35:45\"}\n";
    child.stdin.take().unwrap().write_all(more.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with("1 added, 1 there already"), "{said}");
}

#[test]
fn a_store_and_a_line_that_no_node_uses_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut elsewhere = ONE;
    elsewhere[2] = "typo";
    assert!(said(dir.path(), 66, &elsewhere).contains("typo: there is no such store"));
    assert!(!dir.path().join("typo").exists());
    drop(store(&dir));
    let mut other = ONE;
    other[4] = "typo";
    assert!(said(dir.path(), 64, &other).contains("s: no line typo; it has pms"));
    assert!(said(dir.path(), 1, &["records", "--store", "s", "--outbox"]).is_empty());
}

#[test]
fn a_caller_can_wait_for_the_end_and_a_person_ends_a_doubt() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = store(&dir);
    assert!(run(dir.path(), &[&ONE[..], &["--wait=1"]].concat()).status.code() == Some(75));
    let mut waiting = Kept::spawn(
        Command::new(PROGRAM).current_dir(dir.path()).args([&ONE[..], &["--wait"]].concat()),
    );
    assert_eq!(post_next(&mut store, &Ledger::new(0)), "k1");
    assert_eq!(ended(&mut waiting.0).code(), Some(0));
    // Numbered, and then nothing is known any more.
    let mut two = ONE;
    two[6] = "k2";
    said(dir.path(), 0, &two);
    let Some(Posting::New { id, .. }) = store.next_posting(&Ledger::new(1)).unwrap() else {
        panic!("k2 is new")
    };
    let number = Write::Number { id, number: 2, text: Bytes::from_static(b"PS|") };
    store.commit(&[number]).unwrap();
    store.begin(&tenure(2)).unwrap();
    assert_eq!(store.next_posting(&Ledger::new(2)).unwrap(), None);
    let states = || {
        let text = said(dir.path(), 0, &["records", "--store", "s", "--outbox", "--json"]);
        json(&text).iter().map(|l| l["state"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(states(), ["posted", "doubt"]);
    let decide = |flag, key| ["post", "--store", "s", "--line", "pms", flag, key];
    assert!(said(dir.path(), 1, &decide("--again", "k1")).contains("no charge in doubt"));
    said(dir.path(), 0, &decide("--again", "k2"));
    assert_eq!(states(), ["posted", "new"]);
    assert_eq!(post_next(&mut store, &Ledger::new(2)), "k2");
}

#[test]
fn a_person_tells_the_last_number() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = store(&dir);
    let last = LastSent::Known(Bytes::from_static(b"417C"));
    let tell = |last| ["post", "--store", "s", "--line", "pms", "--last", last];
    assert!(said(dir.path(), 64, &tell("417")).contains("a number is 000A to 999Z"));
    assert_ne!(store.last_sent().unwrap(), last);
    let goes_on = "line pms goes on after 417C, if its gateway waits for a number\n";
    assert_eq!(said(dir.path(), 0, &tell("417C")), goes_on);
    assert_eq!(store.last_sent().unwrap(), last);
}

/// A node that leads a line in this dialect.
fn speaking(dir: TempDir, line: &Line, dialect: &str) -> Node {
    let flags = ["--billing", dialect, "--store", "s"];
    let node = Node::start_by(dir, &line.address.to_string(), &flags, |arguments| {
        let mut command = Command::new(PROGRAM);
        command.args(arguments);
        command
    });
    assert_eq!(line.seen(), Seen::Granted);
    node
}

#[test]
fn a_node_says_where_its_store_is_and_who_leads() {
    let (dir, key) = place();
    let line = Line::start(key, b"");
    let node = speaking(dir, &line, "fias");
    until_so("the store", || node.path("s").exists());
    let report = node.report();
    assert_eq!(report["lines"][0]["store"], node.path("s").display().to_string());
    assert_eq!(report["lines"][0]["dialect"], "fias");
    let added = node.ask(&["post", "--key", "k", "--room", "1", "--amount", "5"]);
    let stderr = String::from_utf8_lossy(&added.stderr);
    assert_eq!(added.status.code(), Some(0), "{stderr}");
    let shown = node.ask(&["records", "--json"]);
    let shown = json(std::str::from_utf8(&shown.stdout).unwrap());
    assert_eq!((&shown[0]["key"], &shown[0]["state"]), (&"k".into(), &"new".into()));
}

#[test]
fn a_line_that_posts_nothing_takes_no_charge() {
    let (dir, key) = place();
    let line = Line::start(key, b"");
    let node = speaking(dir, &line, "cdr");
    let of_one = "line pms posts no charges: `fias` and `hx` do";
    let of_all = "no line of this node posts charges: `fias` and `hx` do";
    for (more, why) in [(&[][..], of_all), (&["--line", "pms"], of_one)] {
        let one = ["post", "--key", "k", "--room", "1", "--amount", "5"];
        let refused = node.ask(&[&one, more].concat());
        let stderr = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(64), "{stderr}");
        assert!(stderr.contains(why), "{stderr}");
    }
}

#[test]
fn on_a_standby_a_charge_is_not_taken() {
    let (dir, _key) = place();
    // Nobody listens: it never gets the line.
    let free = free_address();
    let flags = ["--billing", "fias", "--store", "s"];
    let node = Node::start_by(dir, &free.to_string(), &flags, |arguments| {
        let mut command = Command::new(PROGRAM);
        command.args(arguments);
        command
    });
    let refused = node.ask(&["post", "--key", "k", "--room", "1", "--amount", "5"]);
    let stderr = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(75), "{stderr}");
    assert!(stderr.contains("this node does not lead line pms, nobody is known to"), "{stderr}");
    assert!(!node.path("s").exists());
}
