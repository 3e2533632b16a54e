//! The binary over a real pseudo terminal.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use billing::LinkEngine;
use billing::numbered::{Gateway, MAX_FRAME};
use billing_sim::core::event::{End, Event};
use billing_sim::core::report::Report;
use sys::{Pty, SerialPort, Slave};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// A virtual port, answered by a gateway that may spoil answers.
fn gateway(mut spoil: impl FnMut(u64, Vec<u8>) -> Vec<u8> + Send + 'static) -> String {
    let pty = Pty::open(None, Slave::Held).unwrap();
    let path = pty.slave_path().to_str().unwrap().to_owned();
    let mut line = SerialPort::from(pty);
    tokio::spawn(async move {
        let (mut gateway, mut buf, mut count) = (Gateway::new(0), vec![0; MAX_FRAME], 0);
        while let Ok(len) = line.read(&mut buf).await {
            gateway.handle_bytes(&buf[..len], Duration::ZERO);
            while let Some(transmit) = gateway.poll_transmit() {
                count += 1;
                let bytes = spoil(count, transmit.bytes.to_vec());
                let mut written = 0;
                while written < bytes.len() {
                    written += line.write(&bytes[written..]).await.unwrap();
                }
            }
        }
    });
    path
}

fn start(args: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_billing-sim"))
        .args(args.split(' '))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

async fn finish(child: Child) -> Output {
    let output = tokio::time::timeout(Duration::from_secs(30), child.wait_with_output());
    output.await.expect("ends within 30 s").unwrap()
}

async fn program(args: &str) -> Output {
    finish(start(args)).await
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

#[tokio::test]
async fn a_good_gateway_passes_with_status_0() {
    let port = gateway(|_, bytes| bytes);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("report.json");
    let args = format!(
        "run --port {port} --line 115200,8N1 --rate max --count 40 --settle 2s --report {}",
        file.display()
    );
    let output = program(&args).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(stdout(&output).contains("PASS: 40 records sent, 40 answers"), "{output:?}");
    let report: Report = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert!(report.pass);
    assert!(report.run.paced);
    // 40 records at 115200 bauds cannot take less than their character time.
    let sending = report.outcome.finished - report.outcome.started - Duration::from_secs(2);
    assert!(sending.as_secs_f64() >= report.outcome.sent.bytes as f64 * 10.0 / 115_200.0);
}

#[tokio::test]
async fn a_bad_gateway_fails_with_status_1() {
    let port = gateway(|n, bytes| if n == 7 { bytes.repeat(2) } else { bytes });
    let args = format!("run --port {port} --fast --rate max --count 500 --settle 2s --json");
    let output = program(&args).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let report: Report = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report.outcome.verdicts.doubled, 1, "{report:#?}");
    assert_eq!(report.outcome.verdicts.lost, 0);
}

#[tokio::test]
async fn sigterm_ends_the_run_and_it_reports() {
    let port = gateway(|_, bytes| bytes);
    let args = format!("run --port {port} --fast --rate 100 --settle 2s --events");
    let mut child = start(&args);
    let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut lines = Vec::new();
    let mut told = false;
    while let Some(line) = out.next_line().await.unwrap() {
        if !told && line.contains("answered") {
            told = true;
            let pid = child.id().unwrap().to_string();
            assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
        }
        lines.push(line);
    }
    let output = finish(child).await;
    assert_eq!(output.status.code(), Some(0), "{output:?} {lines:?}");
    let (report, events) = lines.split_last().unwrap();
    let report: serde_json::Value = serde_json::from_str(report).unwrap();
    assert_eq!(
        (&report["event"], &report["report"]["ended"]),
        (&"report".into(), &"stopped".into())
    );
    let last: Event = serde_json::from_str(&events[events.len() - 1]).unwrap();
    assert!(matches!(last, Event::Ended { why: End::Stopped, .. }));
}

#[tokio::test]
async fn each_mistake_has_its_status() {
    let missing = "run --port /dev/does-not-exist --count 1";
    let unwritable = "run --port /dev/null --count 1 --report /does/not/exist";
    for (args, status) in [
        ("run", 64),
        ("run --port x --line 9600,9N1", 64),
        ("man nonsense", 64),
        (missing, 69),
        ("run --port /dev/null --count 1", 69),
        (unwritable, 73),
    ] {
        let output = program(args).await;
        assert_eq!(output.status.code(), Some(status), "{args}: {output:?}");
        assert!(!output.stderr.is_empty() && output.stdout.is_empty(), "{args}: {output:?}");
    }
}

#[tokio::test]
async fn help_manual_and_completions_are_printed() {
    for (args, word) in [
        ("--help", "Examples:"),
        ("run --help", "--settle <TIME>"),
        ("--version", "billing-sim "),
        ("list --json", "["),
        ("man", ".TH billing-sim 1"),
        ("man run", "unserved"),
        ("completions bash", "_billing__sim()"),
        ("completions zsh", "#compdef billing-sim"),
    ] {
        let output = program(args).await;
        assert_eq!(output.status.code(), Some(0), "{args}: {output:?}");
        assert!(stdout(&output).contains(word), "{args}: {}", stdout(&output));
    }
}

#[tokio::test]
async fn a_link_to_the_port_will_do() {
    let port = gateway(|_, bytes| bytes);
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("line");
    std::os::unix::fs::symlink(Path::new(&port), &link).unwrap();
    let args = format!("run --port {} --fast --rate max --count 5 --settle 2s", link.display());
    assert_eq!(program(&args).await.status.code(), Some(0));
}
