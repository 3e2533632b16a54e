//! Cores are values: time, bytes and seeds come in as arguments, nothing else.

use crate::code::{code_only, line_of, words};
use crate::tree::{File, Findings, files, none, one, sample};

const TIME: &str = "time is an argument; drivers read the boot clock";
const NETWORK: &str = "a core yields bytes to send; drivers own sockets";
const TASKS: &str = "a core is a value and runs nothing; drivers own tasks and threads";
const FILES: &str = "a durable write is an output of the core; drivers own files";
const RANDOM: &str = "randomness is a seed argument, or a run would not replay";
const ORDER: &str = "its order is drawn at random, so a seed would not replay; take a BTreeMap";
const WORLD: &str = "input and output belong to drivers";

/// Words that no core may contain, each with the reason. Comments and literals do not count.
const BANNED: [(&str, &str); 41] = [
    ("Instant", TIME),
    ("SystemTime", TIME),
    ("UNIX_EPOCH", TIME),
    ("boottime", TIME),
    ("UdpSocket", NETWORK),
    ("TcpStream", NETWORK),
    ("TcpListener", NETWORK),
    ("TcpSocket", NETWORK),
    ("UnixStream", NETWORK),
    ("UnixListener", NETWORK),
    ("UnixDatagram", NETWORK),
    ("socket2", NETWORK),
    ("tokio::", TASKS),
    ("async", TASKS),
    ("await", TASKS),
    ("spawn", TASKS),
    ("thread::", TASKS),
    ("sleep", TASKS),
    ("Mutex", TASKS),
    ("std::process", TASKS),
    ("std::fs", FILES),
    ("File::", FILES),
    ("OpenOptions", FILES),
    ("tempfile", FILES),
    ("rand::rng", RANDOM),
    ("rand::random", RANDOM),
    ("ThreadRng", RANDOM),
    ("thread_rng", RANDOM),
    ("OsRng", RANDOM),
    ("SysRng", RANDOM),
    ("getrandom", RANDOM),
    ("HashMap", ORDER),
    ("HashSet", ORDER),
    ("std::env", WORLD),
    ("println!", WORLD),
    ("eprintln!", WORLD),
    ("stdin", WORLD),
    ("stdout", WORLD),
    ("stderr", WORLD),
    ("sys::", WORLD),
    ("libc::", WORLD),
];

/// The attribute by which clippy, too, keeps clocks and sleeps out.
const DENY: &str = "#![deny(clippy::disallowed_methods)]";

/// The head of each core.
const HEADS: [&str; 5] = [
    "crates/billing/src/lib.rs",
    "crates/wire/src/lib.rs",
    "billing-sim/src/core/mod.rs",
    "failover-node/src/core/mod.rs",
    "terminal-server/src/core/mod.rs",
];

fn is_core(path: &str) -> bool {
    path.contains("/src/core/")
        || path.starts_with("crates/wire/src/")
        || path.starts_with("crates/billing/src/")
}

fn impure(files: &[File]) -> Findings {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| is_core(&file.path)) {
        let code = code_only(&file.text);
        for (word, reason) in BANNED {
            for at in words(&code, word) {
                findings.push(format!("{}:{}: {word}: {reason}", file.path, line_of(&code, at)));
            }
        }
    }
    findings
}

fn undenied(files: &[File]) -> Findings {
    let denied =
        |head: &str| files.iter().any(|f| f.path == head && code_only(&f.text).contains(DENY));
    let missing = HEADS.into_iter().filter(|head| !denied(head));
    let mut findings: Findings = missing.map(|head| format!("{head}: no {DENY}")).collect();
    // A core that is not in the list would escape the rule.
    let unlisted = |file: &&File| {
        file.path.ends_with("/src/core/mod.rs") && !HEADS.contains(&file.path.as_str())
    };
    findings.extend(files.iter().filter(unlisted).map(|f| format!("{}: not in HEADS", f.path)));
    findings
}

#[test]
fn no_core_knows_a_clock_a_socket_a_task_a_file_or_chance() {
    none("cores are sans-IO", &impure(&files(&[".rs"])));
}

#[test]
fn a_core_with_a_clock_is_found() {
    for (word, reason) in BANNED {
        let text =
            format!("// {word} in a comment\nfn f() {{ {word} }}\nconst T: &str = \"{word}\";");
        let findings = impure(&[sample("failover-node/src/core/election.rs", &text)]);
        let line = format!("failover-node/src/core/election.rs:2: {word}: {reason}");
        assert!(findings.contains(&line), "{word}: {findings:?}");
        assert!(findings.iter().all(|finding| finding.contains(".rs:2:")), "{findings:?}");
        assert_eq!(impure(&[sample("failover-node/src/driver/clock.rs", &text)]), [""; 0]);
    }
    assert!(is_core("crates/wire/src/frame.rs") && is_core("crates/billing/src/a/b.rs"));
}

#[test]
fn every_core_denies_disallowed_methods() {
    none("clippy guards the cores", &undenied(&files(&[".rs"])));
}

#[test]
fn a_core_that_does_not_deny_is_found() {
    let good: Vec<_> = HEADS.iter().map(|head| sample(head, DENY)).collect();
    assert_eq!(undenied(&good), [""; 0]);
    let mut commented = good.clone();
    commented[1].text = format!("// {DENY}");
    one(&undenied(&commented), "crates/wire/src/lib.rs");
    one(&undenied(&good[..4]), "terminal-server/src/core/mod.rs");
    let new = [good, vec![sample("new-program/src/core/mod.rs", DENY)]].concat();
    one(&undenied(&new), "not in HEADS");
}
