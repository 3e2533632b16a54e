//! The hooks before serving, and a group of two lines.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use sys::process::Signal;
use tempfile::TempDir;

use crate::line::Line;
use crate::node::{free_group, place};
use crate::support::{Kept, PROGRAM, pause, signal, until_so};

/// A node of two lines whose payloads leave a file with their line's name when they start.
fn text(dir: &TempDir, lines: [&Line; 2], hook: &str) -> String {
    let (at, group) = (dir.path().display(), free_group());
    let mut text = format!(
        "[node]\nname = \"a\"\ngroup = \"test\"\nkeys = {{ 0 = \"{at}/key\" }}\n\
         [[network]]\ninterface = \"127.0.0.1\"\nmulticast = \"{group}\"\n"
    );
    for (name, line) in ["first", "second"].into_iter().zip(lines) {
        text += &format!(
            "[[line]]\nname = \"{name}\"\nterminal_server = \"{}\"\n\
             command = [\"sh\", \"-c\", \"touch {at}/started-$LINEKEEPER_LINE; exec sleep 1000\"]\n",
            line.address
        );
    }
    text + hook
}

fn start(dir: &Path, text: &str) -> Kept {
    let file = dir.join("node.toml");
    fs::write(&file, text).unwrap();
    let log = File::create(dir.join("log")).unwrap();
    let mut command = Command::new(PROGRAM);
    command.arg("--config").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    Kept::spawn(&mut command)
}

fn hook(script: &str) -> String {
    format!(
        "[[hook]]\nevent = \"before-serve\"\ncommand = [\"sh\", \"-c\", \"{script}\"]\ntimeout = \"10s\"\n"
    )
}

fn started(dir: &TempDir) -> [bool; 2] {
    ["first", "second"].map(|line| dir.path().join(format!("started-{line}")).exists())
}

fn count(dir: &TempDir, word: &str) -> usize {
    let log = fs::read_to_string(dir.path().join("log")).unwrap_or_default();
    log.lines().filter(|line| line.contains(word)).count()
}

fn two_lines() -> (TempDir, [Line; 2]) {
    let (dir, key) = place();
    // The second answers later: its grant comes when the gate of the first was decided already.
    let second = Line::start_slow(key.clone(), b"", Duration::from_millis(50));
    (dir, [Line::start(key, b""), second])
}

#[test]
fn no_payload_of_any_line_starts_before_the_hooks_have_passed() {
    let (dir, [first, second]) = two_lines();
    let at = dir.path().display();
    let wait = format!("while [ ! -e {at}/go ]; do sleep 0.02; done");
    let _node = start(dir.path(), &text(&dir, [&first, &second], &hook(&wait)));
    until_so("both lines are held", || count(&dir, "granted") >= 2);
    pause(Duration::from_millis(50));
    assert_eq!(started(&dir), [false, false]);
    fs::write(dir.path().join("go"), "").unwrap();
    until_so("both payloads start", || started(&dir) == [true, true]);
    assert_eq!(count(&dir, "granted"), 2, "nothing was claimed twice");
}

#[test]
fn a_hook_that_fails_keeps_all_lines_from_being_served_until_a_reload_takes_it_away() {
    let (dir, [first, second]) = two_lines();
    let with_hook = text(&dir, [&first, &second], &hook("exit 1"));
    let node = start(dir.path(), &with_hook);
    until_so("the hook fails again and again", || count(&dir, "hook-failed") >= 3);
    assert_eq!(started(&dir), [false, false], "no gate has passed");
    let without = with_hook.split("[[hook]]").next().unwrap();
    fs::write(dir.path().join("node.toml"), without).unwrap();
    signal(&node.0, Signal::HUP);
    until_so("both payloads start", || started(&dir) == [true, true]);
}
