//! The console in a script.

use std::io::{Read, Write};
use std::process::Stdio;
use std::time::Duration;

use crate::server::Server;
use crate::support::{Running, ended, program, read, timely};

fn piped(command: &mut std::process::Command) -> Running {
    Running::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()))
}

fn rest(mut from: impl Read + Send + 'static) -> String {
    timely(move || {
        let mut text = String::new();
        from.read_to_string(&mut text).unwrap();
        text
    })
}

#[test]
fn a_script_writes_all_and_ends_when_it_has_left_the_port() {
    let server = Server::start();
    let mut running = piped(&mut server.command(&["attach", "pms", "--hold"]));
    let mut console = server.console();
    console.grant(500, 0);
    // More than the output window, and no key of it is a command.
    let text: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
    let (mut stdin, all) = (running.0.stdin.take().unwrap(), text.clone());
    let writer = std::thread::spawn(move || stdin.write_all(&all).unwrap());
    let mut got = Vec::new();
    while got.len() < text.len() {
        let (output, _) = console.hears_output(1);
        got.extend(output);
        assert!(got.len() <= text.len());
        console.written(500 + got.len() as u64, 500);
    }
    assert!(got == text);
    writer.join().unwrap();
    std::thread::sleep(Duration::from_millis(50));
    assert!(running.0.try_wait().unwrap().is_none(), "not before the last byte has left");
    console.written(100_500, 100_500);
    assert_eq!(running.wait(), Some(0));
    assert_eq!(rest(running.0.stderr.take().unwrap()), "");
}

#[test]
fn an_answer_is_waited_for_if_the_script_says_so() {
    let server = Server::start();
    let mut running = piped(&mut server.command(&["attach", "--hold", "--linger", "300ms"]));
    let mut console = server.console();
    console.grant(0, 0);
    let mut stdin = running.0.stdin.take().unwrap();
    stdin.write_all(b"ATI\r").unwrap();
    drop(stdin);
    assert_eq!(console.hears_output(4).0, b"ATI\r");
    console.written(4, 4);
    console.input(0, b"modem\r\nOK\r\n\x14q");
    assert_eq!(running.wait(), Some(0));
    assert_eq!(rest(running.0.stdout.take().unwrap()), "modem\r\nOK\r\n\x14q");
}

#[test]
fn an_observing_script_needs_no_input_and_ends_with_its_reader() {
    let server = Server::start();
    let mut command = server.command(&["attach"]);
    let mut running =
        Running::start(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()));
    let mut console = server.console();
    console.observe(0);
    console.input(0, b"0123456789");
    let out = running.0.stdout.take().unwrap();
    assert_eq!(read(out, 10), b"0123456789");
    // The reader has gone with that.
    console.input(10, b"more");
    assert_eq!(running.wait(), Some(0));
    assert_eq!(rest(running.0.stderr.take().unwrap()), "");
}

#[test]
fn a_reader_that_takes_nothing_holds_the_line_back_and_loses_nothing() {
    let server = Server::start();
    let mut command = server.command(&["attach"]);
    let mut running = Running::start(command.stdin(Stdio::null()).stdout(Stdio::piped()));
    let mut console = server.console();
    console.observe(0);
    let piece: Vec<u8> = (0..4096_u32).map(|n| (n % 251) as u8).collect();
    let (all, total) = (piece.repeat(500), 500 * 4096);
    let sent = std::thread::spawn(move || {
        for n in 0..500 {
            console.input(n * 4096, &piece);
        }
    });
    std::thread::sleep(Duration::from_millis(200));
    assert!(!sent.is_finished(), "2 MB fit nowhere: the sender waits");
    assert!(read(running.0.stdout.take().unwrap(), total) == all);
    sent.join().unwrap();
    assert_eq!(running.wait(), Some(69), "the terminal server has gone");
}

#[test]
fn what_keeps_a_script_from_its_line_is_its_exit_status() {
    let server = Server::start();
    let mut running = piped(&mut server.command(&["attach", "pms", "--hold"]));
    server.console().refuse();
    assert_eq!(running.wait(), Some(75));
    let said = rest(running.0.stderr.take().unwrap());
    assert!(said.starts_with("terminal-server: pms is held by alpha (Held); see: "), "{said}");

    let mut running = piped(&mut server.command(&["attach", "pms", "--hold"]));
    server.console().grant(0, 0);
    assert_eq!(running.wait(), Some(69), "the connection has ended");

    let (code, _, said) = ended(&mut server.command(&["attach", "cdr"]));
    assert_eq!(
        (code, said.contains("there is no line `cdr`, but pms")),
        (Some(75), true),
        "{said}"
    );

    let mut nobody = program();
    let (code, _, said) = ended(nobody.args(["attach", "--status", "/no/such/socket"]));
    assert_eq!((code, said.contains("is it running?")), (Some(69), true), "{said}");

    let mut running = piped(&mut server.command(&["attach", "--hold"]));
    let mut console = server.console();
    console.grant(0, 0);
    let mut stdin = running.0.stdin.take().unwrap();
    stdin.write_all(b"never written").unwrap();
    console.hears_output(13);
    running.signal("-TERM");
    assert_eq!(running.wait(), Some(75), "what a signal cut short is not done");
}
