//! The null-modem pair.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Running, carries, ended, open, program, read};

struct Pair {
    near: PathBuf,
    far: PathBuf,
    running: Running,
    ready: String,
    _dir: tempfile::TempDir,
}

fn pair(options: &[&str]) -> Pair {
    let dir = tempfile::tempdir().unwrap();
    let (near, far) = (dir.path().join("near"), dir.path().join("far"));
    let mut running = Running::start(command(&near, &far, options).stdout(Stdio::piped()));
    let ready = running.line();
    Pair { near, far, running, ready, _dir: dir }
}

fn command(near: &Path, far: &Path, options: &[&str]) -> Command {
    let mut command = program();
    command.arg("pair").args([near, far]).args(options);
    command
}

fn is_there(link: &Path) -> bool {
    link.symlink_metadata().is_ok()
}

#[test]
fn a_pair_outlives_the_programs_at_its_ends() {
    let Pair { near, far, ready, .. } = &pair(&["--fast"]);
    let expected = format!("{} <-> {}, as fast as it goes\n", near.display(), far.display());
    assert_eq!(*ready, expected);
    for round in 0..5_u8 {
        // Every byte value passes unchanged, and the ends are opened and closed each time.
        let bytes: Vec<u8> = (0..=255).map(|byte: u8| byte.wrapping_add(round)).collect();
        carries(near, far, &bytes);
        carries(far, near, &bytes);
    }
    // What is written while nobody has the other end open waits there.
    open(near).write_all(b"left here").unwrap();
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(read(open(far), 9), b"left here");
}

#[test]
fn every_signal_that_ends_a_pair_takes_its_links_away() {
    for signal in ["-TERM", "-INT", "-HUP"] {
        let mut pair = pair(&[]);
        assert!(is_there(&pair.near) && is_there(&pair.far));
        pair.running.signal(signal);
        assert_eq!(pair.running.wait(), Some(0), "{signal}");
        assert!(!is_there(&pair.near) && !is_there(&pair.far), "{signal}");
    }
}

#[test]
fn links_of_a_killed_pair_are_replaced() {
    let mut pair = pair(&["--fast"]);
    pair.running.signal("-KILL");
    pair.running.wait();
    assert!(is_there(&pair.near) && is_there(&pair.far));
    let mut command = command(&pair.near, &pair.far, &["--fast"]);
    let mut next = Running::start(command.stdout(Stdio::piped()));
    next.line();
    carries(&pair.near, &pair.far, b"again");
}

#[test]
fn characters_take_their_time() {
    let Pair { near, far, ready, .. } = &pair(&["--settings", "2400,7E1"]);
    assert!(ready.ends_with(", 2400,7E1: 240 characters a second\n"), "{ready}");
    let begin = Instant::now();
    carries(near, far, &[0x55; 120]);
    // Half a second by the line. Early is wrong, late is a busy machine.
    assert!(begin.elapsed() >= Duration::from_millis(499), "{:?}", begin.elapsed());
}

#[test]
fn the_ends_have_the_mode_that_was_asked_for() {
    let Pair { near, far, .. } = &pair(&["--mode", "0620"]);
    for end in [near, far] {
        assert_eq!(end.metadata().unwrap().permissions().mode() & 0o777, 0o620);
    }
}

#[test]
fn what_cannot_be_made_is_said_and_nothing_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let (near, file) = (dir.path().join("near"), dir.path().join("file"));
    std::fs::write(&file, "precious").unwrap();
    let (code, _, said) = ended(&mut command(&near, &file, &[]));
    assert_eq!(code, Some(73), "{said}");
    assert!(said.contains("file: exists and is not a symbolic link; not replaced"), "{said}");
    assert_eq!(std::fs::read(&file).unwrap(), b"precious");
    assert!(!is_there(&near));
    let (code, _, said) = ended(&mut command(&near, &near, &[]));
    assert_eq!((code, said.contains("the same name")), (Some(64), true), "{said}");
    let (code, _, said) = ended(&mut command(&near, &near, &["--owner", "no-such-user"]));
    assert_eq!((code, said.contains("/etc/passwd has no user")), (Some(64), true), "{said}");
}
