//! telnet as a person uses it, and socat.

use std::fs::{File, OpenOptions};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;

use rustix::fs::OFlags;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use sys::{Pty, SerialPort, Slave};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::bench::{Bench, until};
use crate::daemon::{within, write};
use crate::process::{Process, has};

/// A telnet at a terminal, whose keyboard and screen are the test's.
struct Terminal {
    screen: SerialPort,
    terminal: File,
    telnet: Child,
}

impl Terminal {
    fn start(bench: &Bench) -> Self {
        let link = bench.site.path("terminal");
        let screen = Pty::open(Some(&link), Slave::Held).unwrap();
        let noctty = OFlags::NOCTTY.bits().cast_signed();
        let mut options = OpenOptions::new();
        let terminal = options.read(true).write(true).custom_flags(noctty).open(link).unwrap();
        let mut cooked = tcgetattr(&terminal).unwrap();
        cooked.local_modes |= LocalModes::ICANON | LocalModes::ECHO;
        tcsetattr(&terminal, OptionalActions::Now, &cooked).unwrap();
        let mut command = Command::new("telnet");
        command.args(["127.0.0.1".to_owned(), bench.telnet.port().to_string()]);
        // Nobody's own start-up file.
        command.env("HOME", bench.site.dir.path());
        command.stdin(terminal.try_clone().unwrap()).stdout(terminal.try_clone().unwrap());
        let errors = terminal.try_clone().unwrap();
        let telnet = command.stderr(errors).kill_on_drop(true).spawn().unwrap();
        Self { screen: screen.into(), terminal, telnet }
    }

    /// To the line, as soon as telnet listens for that.
    async fn types(&mut self, bytes: &[u8]) {
        let raw = || !tcgetattr(&self.terminal).unwrap().local_modes.contains(LocalModes::ICANON);
        until("telnet reads keys", raw).await;
        write(&mut self.screen, bytes).await;
    }

    async fn shows(&mut self, text: &str) {
        let (mut shown, mut buf) = (Vec::new(), [0; 1]);
        while !shown.ends_with(text.as_bytes()) {
            let count = within(self.screen.read(&mut buf)).await.unwrap();
            shown.extend_from_slice(&buf[..count]);
        }
    }

    /// To telnet's own prompt, which is left again.
    async fn commands(&mut self, command: &str) {
        self.types(b"\x1d").await;
        self.shows("telnet> ").await;
        write(&mut self.screen, format!("{command}\n").as_bytes()).await;
    }

    async fn ends(mut self) -> bool {
        within(self.telnet.wait()).await.unwrap().success()
    }
}

#[tokio::test]
async fn t5_a_person_with_telnet_sends_lines_that_end_in_cr() {
    if !has("telnet", "inetutils-telnet") {
        return;
    }
    let mut bench = Bench::start("telnet.echo = true").await;
    let mut person = Terminal::start(&bench);
    person.shows("Escape character is '^]'.").await;
    bench.says(b"login: ").await;
    person.shows("login: ").await;
    person.types(b"root\r").await;
    assert_eq!(bench.arrived(5).await, b"root\r");
    // Not binary: each CR is sent as CR NUL, which means CR.
    person.commands("unset binary").await;
    person.types(b"not\rbinary\r").await;
    assert_eq!(bench.arrived(11).await, b"not\rbinary\r");
    bench.says(b"\rbare\r\n").await;
    person.shows("\rbare\r\n").await;
    person.commands("quit").await;
    assert!(person.ends().await);
    bench.is_free().await;
}

#[tokio::test]
async fn t6_t7_a_person_with_telnet_asks_breaks_and_synchronizes() {
    if !has("telnet", "inetutils-telnet") {
        return;
    }
    let mut bench = Bench::start("telnet.signature = \"the bench\"\nbreak_time = \"10ms\"").await;
    let mut person = Terminal::start(&bench);
    bench.says(b"hello").await;
    person.shows("hello").await;
    person.commands("send ayt").await;
    person.shows("[the bench]").await;
    person.commands("send brk").await;
    person.commands("send nop").await;
    person.commands("send synch").await;
    person.types(b"then").await;
    assert_eq!(bench.arrived(4).await, b"then");
    person.commands("quit").await;
    assert!(person.ends().await);
}

#[tokio::test]
async fn t5_cr_lf_becomes_what_the_configuration_says() {
    for (keys, arrives) in [("", "a\r\nb"), ("telnet.crlf = \"cr\"", "a\rb")] {
        let mut bench = Bench::start(keys).await;
        // Somebody who has never heard of options.
        let mut client = within(TcpStream::connect(bench.telnet)).await.unwrap();
        within(client.write_all(b"a\r\nb")).await.unwrap();
        assert_eq!(bench.arrived(arrives.len()).await, arrives.as_bytes());
    }
}

fn socat(address: SocketAddr) -> Process {
    Process::start(Command::new("socat").args(["-", &format!("TCP:{address}")]))
}

#[tokio::test]
async fn t9_raw_bytes_pass_socat_and_us_untouched() {
    if !has("socat", "socat") {
        return;
    }
    let mut bench = Bench::start("pace = false").await;
    let mut client = socat(bench.raw);
    // What telnet would take for commands: all of it is data.
    let all: Vec<u8> = (0..=255).chain([255, 253, 44, 255, 255, 244, 13, 0, 13, 10]).collect();
    client.types(&all).await;
    assert_eq!(bench.echoes(all.len()).await, all);
    assert_eq!(client.hears(all.len()).await, all, "and nothing else was said before it");
    client.kill().await;
    bench.is_free().await;
}

#[tokio::test]
async fn an_observing_socat_sees_all_and_writes_nothing() {
    if !has("socat", "socat") {
        return;
    }
    let mut bench = Bench::start("on_busy = \"observe\"").await;
    let mut holder = socat(bench.raw);
    holder.types(b"mine").await;
    assert_eq!(bench.arrived(4).await, b"mine");
    let mut observer = socat(bench.raw);
    observer.types(b"yours").await;
    bench.clients(2).await;
    bench.says(b"for both").await;
    assert_eq!(holder.hears(8).await, b"for both");
    assert_eq!(observer.hears(8).await, b"for both");
    observer.kill().await;
    holder.types(b"still mine").await;
    assert_eq!(bench.arrived(10).await, b"still mine");
}
