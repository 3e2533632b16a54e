//! The console on a user's terminal.

use terminal_server::driver::question::AttachFrom;
use wire::{EventKind, Frame};

use crate::server::Server;
use crate::terminal::Terminal;

#[test]
fn a_person_sees_the_line_and_leaves_by_the_escape_key() {
    let (server, mut terminal) = (Server::start(), Terminal::new());
    let mut running = terminal.run(&mut server.command(&["attach", "pms"]));
    let mut console = server.console();
    assert_eq!((console.hold, console.from), (false, AttachFrom::Live));
    console.observe(100);
    terminal.sees("pms: observing pms; ctrl-t ? lists the commands\r\n");
    assert!(!terminal.echoes() && !terminal.is_as_before());
    console.input(100, b"login: ");
    terminal.sees("login: ");
    terminal.types(b"\x14?");
    terminal.sees("q  quit");
    terminal.types(b"\x14q");
    assert_eq!(running.wait(), Some(0));
    assert!(terminal.is_as_before());
    assert_eq!(console.hears(), None);
}

#[test]
fn the_terminal_is_put_back_whatever_signal_ends_the_console() {
    let server = Server::start();
    for signal in ["-TERM", "-INT", "-HUP", "-QUIT"] {
        let mut terminal = Terminal::new();
        let mut running = terminal.run(&mut server.command(&["attach"]));
        server.console().observe(0);
        terminal.sees("observing");
        assert!(!terminal.is_as_before());
        running.signal(signal);
        assert_eq!(running.wait(), Some(0), "{signal}");
        assert!(terminal.is_as_before(), "{signal}");
    }
}

#[test]
fn a_holder_types_and_what_is_on_the_screen_is_acknowledged() {
    let (server, mut terminal) = (Server::start(), Terminal::new());
    let args = ["attach", "pms", "--hold", "--escape", "^A", "--map", "OCRNL"];
    let mut running = terminal.run(&mut server.command(&args));
    let mut console = server.console();
    assert!(console.hold);
    console.grant(1000, 50);
    terminal.sees("holding pms; ctrl-a ? lists");
    // Ctrl-C and Ctrl-T are the line's.
    terminal.types(b"ls\r\x03\x14");
    let (output, _) = console.hears_output(5);
    assert_eq!(output, b"ls\n\x03\x14");
    console.input(50, b"README\r\n");
    terminal.sees("README\r\n");
    assert!(matches!(console.hears(), Some(Frame::Ack(ack)) if ack.offset == 58));
    terminal.types(b"\x01b\x01c");
    assert_eq!(console.hears(), Some(Frame::Break(250)));
    terminal.sees("pms: up, held by this console, 9600,8N1");
    terminal.sees("DTR on, RTS off");
    terminal.types(b"\x01q");
    assert_eq!(running.wait(), Some(0));
}

#[test]
fn the_line_is_taken_from_the_menu_and_what_was_seen_is_not_shown_again() {
    let (server, mut terminal) = (Server::start(), Terminal::new());
    let mut running = terminal.run(&mut server.command(&["attach", "--from", "oldest"]));
    let mut console = server.console();
    assert_eq!(console.from, AttachFrom::Oldest);
    console.observe(10);
    console.input(10, b"seen");
    terminal.sees("seen");
    terminal.types(b"\x14o");
    assert_eq!(console.hears(), None, "the old connection ends first");
    let mut console = server.console();
    let from = AttachFrom::At { offset: 14, incarnation: Some(7) };
    assert_eq!((console.hold, console.from), (true, from));
    console.grant(0, 10);
    console.input(10, b"seen and new");
    let screen = terminal.sees(" and new");
    assert!(!screen.contains("seen"), "{screen:?}");
    terminal.types(b"\x14q");
    assert_eq!(running.wait(), Some(0));
}

#[test]
fn a_line_that_goes_down_and_a_terminal_server_that_goes_away_are_said_once() {
    let (server, mut terminal) = (Server::start(), Terminal::new());
    let mut running = terminal.run(&mut server.command(&["attach", "pms"]));
    let mut console = server.console();
    console.observe(0);
    for kind in [EventKind::Down, EventKind::Down, EventKind::Up, EventKind::Up] {
        console.event(kind);
    }
    console.input(0, b"<end>");
    let screen = terminal.sees("<end>");
    for text in ["pms is down: its device has gone", "pms is up again"] {
        assert_eq!(screen.matches(text).count(), 1, "{text} in {screen:?}");
    }
    // Twice, and the third connection is heard.
    drop(console);
    drop(server.console());
    let mut console = server.console();
    assert_eq!(console.from, AttachFrom::At { offset: 5, incarnation: Some(7) });
    console.observe(5);
    let screen = terminal.sees("connected again: observing pms");
    assert_eq!(screen.matches("trying again until it is back").count(), 1, "{screen:?}");
    terminal.types(b"\x14q");
    assert_eq!(running.wait(), Some(0));
}

#[test]
fn a_line_that_somebody_holds_is_observed_until_it_can_be_had() {
    let (server, mut terminal) = (Server::start(), Terminal::new());
    let mut running = terminal.run(&mut server.command(&["attach", "pms", "--hold"]));
    server.console().refuse();
    let mut console = server.console();
    assert!(!console.hold);
    console.observe(0);
    terminal.sees("pms is held by alpha (Held); observing it; ctrl-t o asks again");
    terminal.types(b"\x14q");
    assert_eq!(running.wait(), Some(0));
}
