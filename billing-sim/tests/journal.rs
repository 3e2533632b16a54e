//! Journals: shown, byte for byte as in the golden files, and played back on a pseudo terminal.
//! After a wanted change: `LINEKEEPER_ACCEPT=1 cargo test -p billing-sim --test journal`, then read
//! the diff.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use billing_sim::journal::show::{Only, Options, show};
use billing_sim::journal::{Footer, Journal};
use sys::{Pty, SerialPort, Slave};
use tokio::process::Command;

const DIALECTS: [&str; 4] = ["fias", "hx", "cable", "cdr"];
const ALL: Options = Options { from: Duration::ZERO, to: Duration::MAX, only: None, json: false };

fn path(dialect: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/journals");
    folder.join(format!("{dialect}.jsonl"))
}

fn text(dialect: &str) -> String {
    std::fs::read_to_string(path(dialect)).unwrap()
}

fn shown(dialect: &str, options: Options) -> String {
    let text = text(dialect);
    let mut out = Vec::new();
    show(Journal::open(text.as_bytes()).unwrap(), options, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn plain(dialect: &str, options: Options) -> String {
    anstream::adapter::strip_str(&shown(dialect, options)).to_string()
}

fn check(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("LINEKEEPER_ACCEPT").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(text == golden, "{name} differs from its golden file; it is now:\n{text}");
}

async fn program(args: &[&str]) -> Output {
    let child =
        Command::new(env!("CARGO_BIN_EXE_billing-sim")).args(args).kill_on_drop(true).output();
    tokio::time::timeout(Duration::from_secs(60), child).await.expect("ends within 60 s").unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

#[test]
fn every_dialect_is_shown_with_its_meaning() {
    for dialect in DIALECTS {
        check(&format!("show-{dialect}.txt"), &plain(dialect, ALL));
    }
}

#[test]
fn the_page_shows_what_is_shown() {
    let page = include_str!("../../docs/journal.md");
    let shown = page.split("held by a test -->\n```\n").nth(1).unwrap();
    let shown = shown.split("```").next().unwrap();
    // No line of the page ends in blanks.
    let lines: Vec<_> =
        plain("cable", ALL).lines().map(|line| line.trim_end().to_owned()).collect();
    assert!(lines.join("\n").starts_with(shown.trim_end()), "{shown}");
}

#[test]
fn parts_of_a_journal_are_shown() {
    for (only, name) in
        [(Only::Bytes, "bytes"), (Only::Frames, "frames"), (Only::Verdicts, "verdicts")]
    {
        let options = Options { only: Some(only), ..ALL };
        check(&format!("show-{name}.txt"), &plain("fias", options));
    }
    let (from, to) = (Duration::from_secs(7), Duration::from_millis(7750));
    check("show-part.txt", &plain("fias", Options { from, to, ..ALL }));
}

#[test]
fn programs_get_lines_of_json() {
    let text = shown("fias", Options { json: true, ..ALL });
    check("show.jsonl", &text);
    for line in text.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
}

#[tokio::test]
async fn a_pipe_gets_no_escape_sequences_and_a_terminal_does() {
    assert!(shown("fias", ALL).contains("\x1b["));
    let output = program(&["show", path("fias").to_str().unwrap()]).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(stdout(&output), plain("fias", ALL));
}

#[test]
fn a_journal_is_shown_wherever_it_breaks_off() {
    let whole = text("hx");
    let head = whole.find('\n').unwrap() + 1;
    for end in head..whole.len() {
        let mut out = Vec::new();
        show(Journal::open(&whole.as_bytes()[..end]).unwrap(), ALL, &mut out).unwrap();
        assert!(String::from_utf8(out).unwrap().contains("the run was killed"), "at {end}");
    }
}

#[tokio::test]
async fn what_is_no_journal_has_status_66() {
    for file in ["/nosuch/file", file!(), env!("CARGO_MANIFEST_DIR")] {
        let output = program(&["show", file]).await;
        assert_eq!(output.status.code(), Some(66), "{file}: {output:?}");
        let message = std::str::from_utf8(&output.stderr).unwrap();
        assert!(message.contains(file), "{message}");
    }
}

/// A port behind which somebody answers with what came back in the journal of `dialect`, byte by
/// byte as much as had come back by then; `spoil` may change a byte.
fn peer(dialect: &str, mut spoil: impl FnMut(usize, u8) -> u8 + Send + 'static) -> String {
    use billing_sim::core::exchange::entry::What;
    let pty = Pty::open(None, Slave::Held).unwrap();
    let path = pty.slave_path().to_str().unwrap().to_owned();
    let mut line = SerialPort::from(pty);
    let text = text(dialect);
    let entries: Vec<_> =
        Journal::open(text.as_bytes()).unwrap().map(|entry| entry.unwrap().what).collect();
    tokio::spawn(async move {
        let (mut heard, mut due, mut said, mut buf) = (0, 0, 0, [0; 4096]);
        for what in entries {
            match what {
                What::Out { bytes } => due += bytes.len(),
                What::In { bytes } => {
                    while heard < due {
                        heard += line.read(&mut buf).await.unwrap();
                    }
                    let spoiled: Vec<_> =
                        (said..).zip(&bytes).map(|(at, byte)| spoil(at, *byte)).collect();
                    said += bytes.len();
                    let mut written = 0;
                    while written < spoiled.len() {
                        written += line.write(&spoiled[written..]).await.unwrap();
                    }
                }
                _ => {}
            }
        }
        // The port stays open until the far end has read it all.
        std::future::pending::<()>().await;
    });
    path
}

#[tokio::test]
async fn the_same_answers_are_recognised_and_journalled() {
    let folder = tempfile::tempdir().unwrap();
    for (dialect, fast) in [("cable", false), ("fias", true)] {
        let port = peer(dialect, |_, byte| byte);
        let (file, again) = (path(dialect), folder.path().join("again.jsonl"));
        let (file, again) = (file.to_str().unwrap(), again.to_str().unwrap());
        let mut args =
            vec!["replay", file, "--port", &port, "--journal", again, "--settle", "300ms"];
        args.extend(fast.then_some("--fast"));
        let output = program(&args).await;
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(stdout(&output).starts_with("the same bytes came back: "), "{output:?}");
        let text = std::fs::read_to_string(again).unwrap();
        let mut journal = Journal::open(text.as_bytes()).unwrap();
        assert_eq!(journal.header().dialect, dialect);
        assert!(journal.by_ref().count() > 8);
        assert_eq!(journal.footer(), Some(Footer { dropped: 0 }));
    }
}

#[tokio::test]
async fn another_answer_is_told_with_its_place() {
    let port = peer("cable", |at, byte| if at == 4 { byte ^ 1 } else { byte });
    let file = path("cable");
    let args = ["replay", file.to_str().unwrap(), "--port", &port, "--settle", "300ms"];
    let output = program(&args).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = stdout(&output);
    assert!(text.starts_with("other bytes came back: "), "{text}");
    assert!(text.contains("they differ after 4 bytes"), "{text}");
    assert!(text.contains("  then  05 02 30") && text.contains("  now   04\n"), "{text}");
}

#[tokio::test]
async fn a_port_that_is_not_there_has_status_69() {
    let file = path("cable");
    let output = program(&["replay", file.to_str().unwrap(), "--port", "/dev/nosuch"]).await;
    assert_eq!(output.status.code(), Some(69), "{output:?}");
}
