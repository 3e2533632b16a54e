//! The `lab` binary itself.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use sys::process::Waiter;
use sys::{Cable, CablePace, boottime};
use tokio_util::sync::CancellationToken;

use crate::common::{LAB, Turn, programs};

/// The lab with these arguments, in its own dialect, and a temporary directory that goes with the
/// test.
fn lab(arguments: &[&str]) -> (Command, tempfile::TempDir) {
    lab_in("numbered", arguments)
}

fn lab_in(dialect: &str, arguments: &[&str]) -> (Command, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let bin_dir = programs().terminal_server.parent().unwrap();
    let mut command = Command::new(LAB);
    command
        .args(["--dialect", dialect])
        .args(arguments)
        .arg("--bin-dir")
        .arg(bin_dir)
        .env("TMPDIR", dir.path());
    (command, dir)
}

fn run(arguments: &[&str]) -> (Output, Value, tempfile::TempDir) {
    let (mut command, dir) = lab(arguments);
    let output = command.output().unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&output.stderr));
    });
    (output, report, dir)
}

fn left(dir: &Path) -> usize {
    dir.read_dir().unwrap().count()
}

#[test]
fn a_small_run_passes_and_leaves_nothing() {
    let _turn = Turn::take();
    let (output, report, dir) = run(&["--nodes", "2", "--kills", "1", "--json", "--seed", "7"]);
    let timeline = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{timeline}");
    assert_eq!(report["pass"], true);
    assert_eq!(report["drills"].as_array().unwrap().len(), 6);
    assert_eq!(report["billing"]["verdicts"]["lost"], 0);
    assert_eq!(report["logs"], Value::Null);
    assert!(timeline.contains("kill -9 node-") && timeline.contains("holds the line"));
    assert_eq!(left(dir.path()), 0);
}

#[test]
fn a_run_in_a_billing_dialect_compares_the_books() {
    let _turn = Turn::take();
    let (mut command, dir) = lab_in("fias", &["--nodes", "2", "--kills", "1", "--seed", "7"]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&output.stderr));
    for words in ["charges taken at the till", "posted by the billing system", "lab: PASS"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_eq!(left(dir.path()), 0);
}

#[test]
fn a_run_whose_payloads_lie_fails_and_keeps_its_logs() {
    let _turn = Turn::take();
    let arguments = ["--nodes", "2", "--kills", "0", "--json", "--sabotage", "lose"];
    let (output, report, dir) = run(&arguments);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(report["pass"], false);
    assert!(report["billing"]["verdicts"]["lost"].as_u64().unwrap() > 0);
    let logs = Path::new(report["logs"].as_str().unwrap());
    assert!(logs.starts_with(dir.path()) && logs.join("terminal-server.log").is_file());
}

#[test]
fn the_whole_chain_runs_over_socat() {
    let found = Command::new("socat").arg("-V").stdout(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        let required = std::env::var_os("LINEKEEPER_CI").is_some_and(|value| value == "1");
        assert!(!required, "socat is missing, and LINEKEEPER_CI=1 demands it");
        println!("skipped: needs socat");
        return;
    }
    let _turn = Turn::take();
    let (output, report, _dir) = run(&["--nodes", "2", "--kills", "2", "--json", "--socat"]);
    let timeline = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{timeline}\n{report:#}");
    assert_eq!(report["run"]["wire"], "socat");
}

#[test]
fn two_ports_of_ones_own_may_be_joined() {
    let _turn = Turn::take();
    // Not the lab's: a pair that stands for two adapters and their null-modem cable.
    let links = tempfile::tempdir().unwrap();
    let ends = ["near", "far"].map(|name| links.path().join(name));
    let unplug = CancellationToken::new();
    let (laid, is_laid) = std::sync::mpsc::channel();
    let cable = std::thread::spawn({
        let (ends, unplug) = (ends.clone(), unplug.clone());
        move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let (near, far) = (Some(&*ends[0]), Some(&*ends[1]));
                let mut cable = Cable::open(near, far, CablePace::default()).unwrap();
                laid.send(()).unwrap();
                cable.run(unplug.cancelled()).await.unwrap();
            });
        }
    });
    is_laid.recv().unwrap();
    let [near, far] = ends.each_ref().map(|end| end.to_str().unwrap());
    let ports = ["--serial", near, "--far", far];
    let (output, report, _dir) =
        run(&[&["--nodes", "2", "--kills", "0", "--json"], &ports[..]].concat());
    unplug.cancel();
    cable.join().unwrap();
    let timeline = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{timeline}\n{report:#}");
    assert_eq!(report["run"]["wire"], "serial");
}

/// Follows a lab until its line is served; the processes of its chain.
fn follow(child: &mut Child) -> Vec<u32> {
    let mut pids = Vec::new();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    loop {
        let event: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        let pid = || [&event["pid"], &event["fields"]["pid"]].into_iter().find_map(Value::as_u64);
        match event["event"].as_str() {
            Some("started" | "payload-started") => pids.extend(pid().map(|pid| pid as u32)),
            Some("answered") => break,
            _ => {}
        }
    }
    // Nobody reads further; the lab must not mind.
    drop(lines);
    pids
}

fn runs(pid: &u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // A zombie runs no more; whoever adopted it may take its time.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

fn ended_by(signal: Signal) -> (std::process::ExitStatus, tempfile::TempDir) {
    let (mut command, dir) = lab(&["--nodes", "2", "--events"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let pids = follow(&mut child);
    assert!(pids.len() >= 4, "terminal server, two nodes, a payload: {pids:?}");
    assert!(pids.iter().all(runs), "{pids:?}");
    kill_process(Pid::from_child(&child), signal).unwrap();
    let status = child.wait().unwrap();
    let deadline = boottime() + Duration::from_secs(3);
    while pids.iter().any(runs) {
        assert!(boottime() < deadline, "{:?} go on", pids.iter().filter(|pid| runs(pid)));
        let soon = boottime() + Duration::from_millis(10);
        Waiter::new().unwrap().wait(&[], Some(soon)).unwrap();
    }
    (status, dir)
}

#[test]
fn a_quick_bench_measures_everything_and_loses_nothing() {
    let _turn = Turn::take();
    let page = tempfile::tempdir().unwrap();
    let (doc, plot) = (page.path().join("page.md"), page.path().join("plot.svg"));
    std::fs::write(&doc, "# Page\n<!-- bench:begin -->\n<!-- bench:end -->\nrest\n").unwrap();
    let [doc, plot] = [&doc, &plot].map(|path| path.to_str().unwrap());
    let bin_dir = programs().terminal_server.parent().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(LAB);
    command.args(["bench", "--quick", "--json", "--doc", doc, "--plot", plot, "--bin-dir"]);
    let output = command.arg(bin_dir).env("TMPDIR", dir.path()).output().unwrap();
    let progress = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{progress}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["faults"].as_array().unwrap().len(), 0, "{report:#}");
    let figure = |row: &Value, who: &str| row["cells"][who]["median"].as_f64();
    let rows = report["rows"].as_array().unwrap();
    for what in ["bulk", "round trip", "next client", "lost in", "idle", "stalled"] {
        let row = rows.iter().find(|row| row["what"].as_str().unwrap().contains(what)).unwrap();
        assert!(figure(row, "ours").is_some(), "{row:#}");
    }
    let page = std::fs::read_to_string(doc).unwrap();
    assert!(page.contains("| bulk, client to line | MB/s |") && page.ends_with("rest\n"), "{page}");
    assert!(std::fs::read_to_string(plot).unwrap().starts_with("<svg "));
    assert_eq!(left(dir.path()), 0);
}

#[test]
fn a_page_without_marks_is_left_as_it_is() {
    let page = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(page.path(), "# Page\n").unwrap();
    let mut command = Command::new(LAB);
    command.args(["bench", "--quick", "--doc"]).arg(page.path());
    let output = command.arg("--bin-dir").arg(programs().lab.parent().unwrap()).output().unwrap();
    assert_eq!(output.status.code(), Some(74));
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.contains("<!-- bench:begin -->"), "{words}");
    assert_eq!(std::fs::read_to_string(page.path()).unwrap(), "# Page\n");
}

#[test]
fn ctrl_c_ends_everything() {
    let _turn = Turn::take();
    let (status, dir) = ended_by(Signal::INT);
    assert_eq!(status.code(), Some(130));
    assert_eq!(left(dir.path()), 0);
}

#[test]
fn a_killed_lab_takes_its_chain_with_it() {
    let _turn = Turn::take();
    let (status, _dir) = ended_by(Signal::KILL);
    assert_eq!(status.code(), None);
}

#[test]
fn wrong_usage_and_missing_programs_are_told_apart() {
    let usage = Command::new(LAB).args(["--nodes", "1"]).output().unwrap();
    assert_eq!(usage.status.code(), Some(64));
    let nowhere = tempfile::tempdir().unwrap();
    let missing = Command::new(LAB).arg("--bin-dir").arg(nowhere.path()).output().unwrap();
    assert_eq!(missing.status.code(), Some(69));
    let words = String::from_utf8_lossy(&missing.stderr);
    assert!(words.contains("there is no failover-node in"), "{words}");
}

#[test]
fn help_man_and_completions_come_from_one_definition() {
    for arguments in [&["--help"][..], &["man"], &["completions", "bash"]] {
        let output = Command::new(LAB).args(arguments).output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("nodes") && text.contains("kills"), "{text}");
        // Completions know everything.
        assert!(arguments[0] == "completions" || !text.contains("sabotage"), "hidden");
    }
}
