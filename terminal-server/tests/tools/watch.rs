//! The status, again and again.

use std::process::{Command, Stdio};

use crate::support::{Running, eventually, program};
use crate::terminal::Terminal;

/// A terminal server with a virtual line.
struct Server {
    _running: Running,
    dir: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (link, status) = (dir.path().join("line"), dir.path().join("status"));
        let mut command = program();
        command.args(["--name", "ts", "--listen-raw", "127.0.0.1:0", "--virtual"]).arg(link);
        command.arg("--status").arg(&status).stderr(Stdio::null());
        let running = Running::start(&mut command);
        eventually("the terminal server answers", || status.exists());
        Self { _running: running, dir }
    }

    fn watch(&self, more: &[&str]) -> Command {
        let mut command = program();
        command.args(["status", "--watch", "0.1"]).args(more);
        command.arg("--status").arg(self.dir.path().join("status"));
        command
    }
}

#[test]
fn on_a_terminal_it_is_painted_in_place_until_q() {
    let (server, mut terminal) = (Server::start(), Terminal::new());
    let mut running = terminal.run(&mut server.watch(&[]));
    terminal.sees("\x1b[?1049h");
    for _ in 0..3 {
        terminal.sees("\x1b[Hts: terminal-server ");
        terminal.sees("q ends it");
    }
    assert!(!terminal.echoes());
    terminal.types(b"xq");
    assert_eq!(running.wait(), Some(0));
    terminal.sees("\x1b[?25h\x1b[?1049l");
    assert!(terminal.is_as_before());
}

#[test]
fn a_signal_puts_the_terminal_back() {
    let (server, mut terminal) = (Server::start(), Terminal::new());
    for signal in ["-INT", "-TERM"] {
        let mut running = terminal.run(&mut server.watch(&[]));
        terminal.sees("ts: terminal-server ");
        running.signal(signal);
        assert_eq!(running.wait(), Some(0), "{signal}");
        terminal.sees("\x1b[?1049l");
        assert!(terminal.is_as_before(), "{signal}");
    }
}

#[test]
fn elsewhere_it_is_printed_again_and_again() {
    let server = Server::start();
    for (more, begins) in [(&[][..], "ts: terminal-server "), (&["--json"][..], "{\"")] {
        let mut command = server.watch(more);
        let mut running = Running::start(command.stdin(Stdio::null()).stdout(Stdio::piped()));
        let lines: Vec<String> = (0..30).map(|_| running.line()).collect();
        let seen = lines.iter().filter(|line| line.starts_with(begins)).count();
        assert!(seen >= 3, "{lines:?}");
        running.signal("-INT");
        assert_eq!(running.wait(), Some(0));
    }
}

#[test]
fn a_terminal_server_that_does_not_answer_is_asked_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = program();
    command.args(["status", "--watch", "0.1", "--status"]).arg(dir.path().join("status"));
    let mut running = Running::start(command.stdin(Stdio::null()).stdout(Stdio::piped()));
    for _ in 0..2 {
        let line = running.line();
        assert!(line.ends_with("is it running?\n"), "{line}");
    }
}
