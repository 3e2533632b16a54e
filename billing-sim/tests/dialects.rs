//! The binary in each dialect over a real pseudo terminal, with the dialect's real gateway.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod desk;

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use billing::dialect::Dialect;
use billing_sim::core::exchange::Report;
use billing_sim::core::exchange::entry::{Entry, What};
use billing_sim::core::exchange::verdict::Verdict;
use desk::Desk;
use sys::{BootTimer, Pty, SerialPort, Slave, boottime};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

/// A virtual port with a gateway at its far end that posts `charges` charges.
fn gateway(name: &str, charges: u64) -> String {
    let pty = Pty::open(None, Slave::Held).unwrap();
    let path = pty.slave_path().to_str().unwrap().to_owned();
    let dialect = Dialect::named(name, &[]).unwrap();
    // A gateway is no value to be sent between threads, so it has one of its own.
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(serve(pty, &dialect, charges));
    });
    path
}

async fn serve(pty: Pty, dialect: &Dialect, charges: u64) {
    let mut line = SerialPort::from(pty);
    let charges = (1..=charges).map(|n| dialect.charge(1, n).unwrap()).collect();
    let mut desk = Desk::new(dialect, charges, Duration::ZERO, boottime());
    let (mut buf, mut timer) = (vec![0; 4096], BootTimer::new().unwrap());
    loop {
        desk.handle_timeout(boottime());
        while let Some(bytes) = desk.poll_left(boottime()) {
            let mut written = 0;
            while written < bytes.len() {
                written += line.write(&bytes[written..]).await.unwrap();
            }
        }
        let due = desk.poll_timeout();
        tokio::select! {
            read = line.read(&mut buf) => match read {
                Ok(len) => desk.handle_input(&buf[..len], boottime()),
                Err(_) => break,
            },
            () = timer.until(due) => {}
        }
    }
}

async fn program(args: &str) -> Output {
    let child = Command::new(env!("CARGO_BIN_EXE_billing-sim"))
        .args(args.split(' '))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let output = tokio::time::timeout(Duration::from_secs(60), child.wait_with_output());
    output.await.expect("ends within 60 s").unwrap()
}

fn report(output: &Output) -> Report {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[tokio::test]
async fn each_dialect_runs_on_a_pseudo_terminal_and_leaves_a_journal() {
    let dir = tempfile::tempdir().unwrap();
    let all = [
        ("fias", "--count 30 --charges 30"),
        ("hx", "--charges 30"),
        ("cable", "--count 30"),
        ("cdr", "--count 30"),
    ];
    assert_eq!(all.map(|(name, _)| name), Dialect::NAMES);
    for (name, options) in all {
        let charges = if options.contains("--charges") { 30 } else { 0 };
        let port = gateway(name, charges);
        let journal = dir.path().join(name);
        let args = format!(
            "run --dialect {name} --port {port} --fast --rate 50/s --settle 100ms --json {options} \
             --journal {}",
            journal.display()
        );
        let output = program(&args).await;
        let report = report(&output);
        let tally = report.outcome.tally;
        assert!(tally.posted + tally.confirmed >= 30, "{report:#?}");
        assert_eq!(report.events_dropped, 0, "{name}");
        // Nothing comes back in cdr: without a comparison, nobody may have been there.
        let is_proof = name != "cdr";
        assert_eq!((report.pass, output.status.code() == Some(0)), (is_proof, is_proof), "{name}");
        assert!(is_proof || report.complaint().unwrap().contains("--records"), "{report:#?}");
        let shown = program(&format!("show {}", journal.display())).await;
        assert_eq!(shown.status.code(), Some(0), "{name}: {shown:?}");
        assert!(shown.stdout.len() > 1000, "{name}: {shown:?}");
    }
}

#[tokio::test]
async fn a_dialect_is_paced_like_a_line() {
    let port = gateway("cdr", 0);
    let args = format!("run --dialect cdr --port {port} --rate max --count 20 --settle 0s --json");
    let report = report(&program(&args).await);
    let took = report.outcome.finished - report.outcome.started;
    // 20 records of 81 bytes at 9600 bauds.
    assert!(took.as_secs_f64() >= report.outcome.bytes_out as f64 * 10.0 / 9600.0, "{report:#?}");
    assert!(report.outcome.bytes_out >= 20 * 70);
}

#[tokio::test]
async fn what_was_wanted_is_compared_at_the_end() {
    let charges = program("charges --dialect fias --count 12").await;
    let dir = tempfile::tempdir().unwrap();
    let list = dir.path().join("charges.jsonl");
    std::fs::write(&list, &charges.stdout).unwrap();
    for (posted, lost, status) in [(12, 0, 0), (10, 2, 1)] {
        let port = gateway("fias", posted);
        let junit = dir.path().join("verdicts.xml");
        let args = format!(
            "run --dialect fias --port {port} --fast --rate 20 --charges {posted} --settle 100ms \
             --expect {} --junit {} --json",
            list.display(),
            junit.display(),
        );
        let output = program(&args).await;
        assert_eq!(output.status.code(), Some(status), "{output:?}");
        assert_eq!(report(&output).outcome.verdicts.get(Verdict::Lost), lost);
        let xml = std::fs::read_to_string(junit).unwrap();
        assert!(
            xml.contains(&format!("tests=\"14\" failures=\"{}\"", u32::from(lost > 0))),
            "{xml}"
        );
    }
}

#[tokio::test]
async fn a_fault_strikes_and_is_told() {
    let port = gateway("fias", 10);
    let args = format!(
        "run|--dialect|fias|--port|{port}|--fast|--rate|20|--charges|10|--settle|100ms|--events|\
         --fault|nak count=2 record=3|--fault|reopen record=6 pause=100ms"
    );
    let output = program_of(args.split('|')).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let (last, events) = lines.split_last().unwrap();
    assert!(last.starts_with("{\"event\":\"report\""), "{last}");
    let entries: Vec<Entry> =
        events.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let faults: Vec<_> = entries
        .iter()
        .filter_map(|entry| match &entry.what {
            What::Fault { fault } => Some(fault.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults.contains(&"nak count=2 record=3"));
    assert!(matches!(entries[0].what, What::Started));
    assert!(matches!(entries[entries.len() - 1].what, What::Ended { .. }));
    assert!(entries.is_sorted_by_key(|entry| entry.at));
}

async fn program_of<'a>(args: impl Iterator<Item = &'a str>) -> Output {
    let child = Command::new(env!("CARGO_BIN_EXE_billing-sim"))
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let output = tokio::time::timeout(Duration::from_secs(60), child.wait_with_output());
    output.await.expect("ends within 60 s").unwrap()
}

#[tokio::test]
async fn each_mistake_has_its_status() {
    let dir = tempfile::tempdir().unwrap();
    let wrong = dir.path().join("wrong.toml");
    std::fs::write(&wrong, "dialect = \"fias\"\nspeed = 3\n").unwrap();
    let port = gateway("fias", 0);
    let missing = Path::new("/does/not/exist");
    for (args, status, part) in [
        (format!("run --port x --scenario {}", missing.display()), 66, "/does/not/exist"),
        (
            format!("run --port x --scenario {}", wrong.display()),
            64,
            "wrong.toml:2:1: the file has",
        ),
        ("run --port x --dialect fias --set lrc=maybe".to_owned(), 64, "`lrc`"),
        ("run --port x --dialect fias --first 3".to_owned(), 64, "--first"),
        ("run --port x --charges 3".to_owned(), 64, "--dialect fias"),
        ("charges --dialect cdr".to_owned(), 64, "nobody posts charges in cdr"),
        ("run --port /dev/does-not-exist --dialect fias".to_owned(), 69, "does-not-exist"),
        (
            format!("run --port {port} --dialect fias --fast --count 1 --expect /does/not/exist"),
            66,
            "/does/not/exist",
        ),
        ("run --port x --dialect cdr --expect x".to_owned(), 64, "leave --expect out"),
        ("run --port x --dialect cdr --records /tmp".to_owned(), 66, "/tmp: "),
        (
            format!(
                "run --port x --dialect fias --report {0} --junit {0}",
                dir.path().join("one").display()
            ),
            64,
            "are one file",
        ),
    ] {
        let output = program(&args).await;
        assert_eq!(output.status.code(), Some(status), "{args}: {output:?}");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains(part), "{args}: {told}");
    }
}

#[tokio::test]
async fn a_file_that_can_not_be_compared_costs_the_comparison_and_not_the_report() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    std::fs::write(path("records"), "{\"record\":\"x\"}\nnonsense\n").unwrap();
    std::fs::write(path("report"), "the last one").unwrap();
    let args = format!(
        "--dialect fias --fast --rate 20 --count 5 --settle 100ms --records {} --report {}",
        path("records"),
        path("report")
    );
    // Without a port nothing is touched.
    let output = program(&format!("run --port /dev/does-not-exist {args}")).await;
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    assert_eq!(std::fs::read_to_string(path("report")).unwrap(), "the last one");
    let port = gateway("fias", 0);
    let output =
        program(&format!("run --port {port} {args} --json --journal {}", path("journal"))).await;
    assert_eq!(output.status.code(), Some(66), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("records:2: "), "{output:?}");
    let report = report(&output);
    assert_eq!((report.pass, report.outcome.tally.confirmed), (false, 5));
    assert!(report.complaint().unwrap().starts_with("not compared: "), "{report:#?}");
    assert_eq!(std::fs::read_to_string(path("report")).unwrap().as_bytes(), output.stdout);
    let journal = std::fs::read_to_string(path("journal")).unwrap();
    assert!(journal.contains("\"event\":\"ended\""), "{journal}");
}

#[tokio::test]
async fn dialects_and_faults_are_listed() {
    for (args, word) in [
        ("list --dialects", "on_enq_exhausted"),
        ("list --dialects --json", "\"name\": \"fias\""),
        ("list --faults", "night_audit"),
        ("list --faults --json", "\"keys\""),
        ("charges --dialect hx --count 2", "\"room\""),
    ] {
        let output = program(args).await;
        assert_eq!(output.status.code(), Some(0), "{args}: {output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains(word), "{args}: {output:?}");
    }
}

#[tokio::test]
async fn sigterm_ends_a_run_and_nothing_is_lost_by_that() {
    let port = gateway("fias", 5);
    let mut child = Command::new(env!("CARGO_BIN_EXE_billing-sim"))
        .args(["run", "--dialect", "fias", "--port", &port, "--rate", "20", "--events"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (mut last, mut told) = (String::new(), false);
    while let Some(line) = lines.next_line().await.unwrap() {
        if !told && line.contains("\"confirmed\"") {
            told = true;
            let pid = child.id().unwrap().to_string();
            assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
        }
        last = line;
    }
    let output = tokio::time::timeout(Duration::from_secs(30), child.wait_with_output());
    let output = output.await.expect("ends within 30 s").unwrap();
    assert_eq!(output.status.code(), Some(0), "{last} {output:?}");
    let last: serde_json::Value = serde_json::from_str(&last).unwrap();
    assert_eq!(last["report"]["ended"], "stopped");
}
