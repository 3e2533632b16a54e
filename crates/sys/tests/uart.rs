//! What only a UART shows, seen at one: modem lines, break, parity, counts. See `tests/shim/uart.c`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

#[path = "../../../tests/shim/uart.rs"]
mod uart;

use std::path::Path;
use std::time::Duration;

use sys::parmrk::{Decoder, Piece};
use sys::{
    Level, LineSettings, OpenPolicy, Pty, SerialPort, SignalWatch, Slave, Wires, boottime,
    signal_watch,
};
use uart::{Input, Outputs, Uart, story};
use wire::{SignalChange, Signals};

const PATIENCE: Duration = Duration::from_secs(10);

fn settings(text: &str) -> LineSettings {
    text.parse().unwrap()
}

/// A story over a pseudo terminal that is the UART's tty.
fn line_story(tell: impl AsyncFnOnce(Uart, SerialPort)) {
    story(|uart| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let pty = Pty::open(Some(&uart.tty()), Slave::Held).unwrap();
            tell(uart, pty.into()).await;
        });
    });
}

fn open(uart: &Uart, policy: &OpenPolicy) -> SerialPort {
    SerialPort::open_tty_with(&uart.tty(), &settings("9600,8N1"), policy).unwrap()
}

fn acts(uart: &Uart) -> Vec<String> {
    uart.log().into_iter().map(|(_, what)| what).collect()
}

fn moved(uart: &Uart) -> Vec<String> {
    acts(uart).into_iter().filter(|what| what.starts_with("dtr")).collect()
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begin = boottime();
    while !done() {
        assert!(boottime() - begin < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[test]
fn opening_and_closing_moves_no_wire_by_default() {
    line_story(async |uart, _near| {
        assert!(uart.hupcl(), "as a UART begins");
        let port = open(&uart, &OpenPolicy::default());
        assert!(!uart.hupcl(), "a crash now would drop DTR");
        drop(port);
        assert!(!uart.hupcl(), "the close would drop DTR");
        assert_eq!(moved(&uart), [""; 0]);
        assert_eq!(uart.outputs(), Outputs { dtr: true, rts: true, brk: false });
    });
}

#[test]
fn a_policy_moves_the_wires_in_one_step_at_open_and_at_close() {
    line_story(async |uart, _near| {
        let policy = OpenPolicy {
            open: Wires { dtr: Level::Off, rts: Level::On, hupcl: Level::On },
            close: Wires { dtr: Level::Off, rts: Level::Off, hupcl: Level::On },
            ..OpenPolicy::default()
        };
        let port = open(&uart, &policy);
        assert!(uart.hupcl());
        assert_eq!(moved(&uart), ["dtr=0 rts=1"]);
        drop(port);
        assert_eq!(moved(&uart), ["dtr=0 rts=1", "dtr=0 rts=0"]);
        assert!(uart.hupcl());
    });
}

#[test]
fn what_was_found_is_put_back_if_asked() {
    line_story(async |uart, _near| {
        let close = Wires { hupcl: Level::Keep, ..Wires::default() };
        let port = open(&uart, &OpenPolicy { close, ..OpenPolicy::default() });
        assert!(!uart.hupcl());
        drop(port);
        assert!(uart.hupcl());
    });
}

#[test]
fn every_format_arrives_at_the_uart() {
    line_story(async |uart, _near| {
        let port = open(&uart, &OpenPolicy::default());
        for (text, at_uart) in [
            ("9600,7E1", "settings 9600,7E1"),
            ("115200,8M1,rtscts", "settings 115200,8M1 rtscts"),
            ("250000,6S2,xonxoff", "settings 250000,6S2 xonxoff"),
            ("31250,5O1.5", "settings 31250,5O2"),
            ("12000000,8N2", "settings 12000000,8N2"),
        ] {
            assert_eq!(port.control().set_settings(&settings(text)).unwrap(), settings(text));
            assert_eq!(acts(&uart).last().unwrap(), at_uart);
        }
    });
}

#[test]
fn dtr_and_rts_of_one_change_move_in_one_step() {
    line_story(async |uart, _near| {
        let port = open(&uart, &OpenPolicy::default());
        let control = port.control();
        for (dtr, rts) in [(false, false), (true, false), (false, true), (true, true)] {
            let change = SignalChange { dtr: Some(dtr), rts: Some(rts), brk: None };
            assert_eq!(control.set_signals(change).unwrap(), change);
            assert_eq!(uart.outputs(), Outputs { dtr, rts, brk: false });
        }
        assert_eq!(moved(&uart), ["dtr=0 rts=0", "dtr=1 rts=0", "dtr=0 rts=1", "dtr=1 rts=1"]);
    });
}

#[test]
fn a_break_comes_between_the_bytes_it_was_sent_between() {
    line_story(async |uart, _near| {
        let mut port = open(&uart, &OpenPolicy::default());
        let control = port.control();
        assert_eq!(port.write(b"seventeen bytes!\n").await.unwrap(), 17);
        let change = |on| SignalChange { brk: Some(on), ..SignalChange::default() };
        assert_eq!(control.set_signals(change(true)).unwrap(), change(true));
        assert!(control.signals().unwrap().unwrap().has(Signals::BREAK));
        assert!(uart.outputs().brk);
        control.set_signals(change(false)).unwrap();
        assert!(!control.signals().unwrap().unwrap().has(Signals::BREAK));
        assert_eq!(port.write(b"more").await.unwrap(), 4);
        control.flush_output().unwrap();
        let log = uart.log();
        let acts: Vec<_> = log.iter().map(|(at, what)| (*at, what.as_str())).collect();
        assert_eq!(
            acts[acts.len() - 3..],
            [(17, "break on"), (17, "break off"), (21, "flush output")]
        );
    });
}

#[test]
fn a_closed_port_sends_no_break() {
    line_story(async |uart, _near| {
        let port = open(&uart, &OpenPolicy::default());
        let brk = SignalChange { brk: Some(true), ..SignalChange::default() };
        port.control().set_signals(brk).unwrap();
        assert!(uart.outputs().brk);
        drop(port);
        assert!(!uart.outputs().brk);
    });
}

#[test]
fn a_uart_without_wires_opens_and_says_what_it_has_not() {
    line_story(async |uart, _near| {
        uart.set_features(0);
        let wires = Wires { dtr: Level::On, rts: Level::Off, hupcl: Level::Off };
        let policy = OpenPolicy { open: wires, close: wires, ..OpenPolicy::default() };
        let port = open(&uart, &policy);
        let change = SignalChange { dtr: Some(true), rts: Some(false), brk: Some(true) };
        assert_eq!(port.control().set_signals(change).unwrap(), SignalChange::default());
        assert_eq!(port.control().signals().unwrap(), None);
        assert_eq!(port.control().watch_signals().unwrap().last(), None);
        assert_eq!(moved(&uart), [""; 0]);
    });
}

#[test]
fn the_far_ends_wires_and_the_counts_are_read() {
    line_story(async |uart, _near| {
        let port = open(&uart, &OpenPolicy::default());
        let control = port.control();
        let ours = Signals::DTR | Signals::RTS;
        assert_eq!(control.signals().unwrap(), Some(ours));
        let before = control.counts().unwrap();
        for (input, wire) in [
            (Input::Cts, Signals::CTS),
            (Input::Dsr, Signals::DSR),
            (Input::Ri, Signals::RI),
            (Input::Dcd, Signals::DCD),
        ] {
            uart.set_input(input, true);
            assert_eq!(control.signals().unwrap(), Some(ours | wire));
            uart.set_input(input, false);
        }
        uart.count(uart::OVERRUN);
        let counts = control.counts().unwrap().since(&before);
        assert_eq!(
            (counts.cts, counts.dsr, counts.rng, counts.dcd, counts.overrun),
            (2, 2, 1, 2, 1)
        );
    });
}

#[test]
fn line_errors_come_in_place() {
    line_story(async |uart, mut near| {
        let mut port = open(&uart, &OpenPolicy { marks: true, ..OpenPolicy::default() });
        let sent = [
            uart.received(b"a\xff"),
            uart.received_break(),
            uart.received(b"b"),
            uart.received_error(uart::PARITY, b'c'),
            uart.received(b"d"),
        ];
        near.write(&sent.concat()).await.unwrap();
        let (mut decoder, mut got, mut buf) = (Decoder::default(), Vec::new(), [0; 1]);
        while !got.ends_with(b"d") {
            let count = port.read(&mut buf).await.unwrap();
            decoder.decode(&buf[..count], &mut |piece| match piece {
                Piece::Bytes(bytes) => got.extend_from_slice(bytes),
                Piece::Break => got.extend_from_slice(b"<break>"),
                Piece::Error(byte) => got.extend_from_slice(&[b'<', byte, b'>']),
            });
        }
        assert_eq!(got, b"a\xff<break>b<c>d");
    });
}

#[test]
fn the_driver_is_tuned_if_asked() {
    line_story(async |uart, _near| {
        drop(open(&uart, &OpenPolicy::default()));
        assert!(!acts(&uart).iter().any(|what| what.starts_with("serial")));
        let policy = OpenPolicy { low_latency: true, discard: true, ..OpenPolicy::default() };
        drop(open(&uart, &policy));
        let tuned: Vec<_> =
            acts(&uart).into_iter().filter(|what| what.starts_with("serial")).collect();
        let expected =
            ["serial low_latency=1 closing_wait=0", "serial low_latency=1 closing_wait=65535"];
        assert_eq!(tuned, expected);
        uart.set_features(0);
        drop(open(&uart, &policy));
    });
}

async fn changed(watch: &mut SignalWatch) -> sys::LineState {
    tokio::time::timeout(PATIENCE, watch.changed()).await.expect("a change")
}

#[test]
fn a_moved_wire_is_told_by_waiting_and_by_looking() {
    line_story(async |uart, _near| {
        for features in
            [uart::MODEM | uart::COUNTS | uart::WAIT, uart::MODEM | uart::COUNTS, uart::MODEM]
        {
            uart.set_features(features);
            let port = open(&uart, &OpenPolicy::default());
            let mut watch = port.control().watch_signals().unwrap();
            let waits = features & uart::WAIT != 0;
            assert!(!watch.last().unwrap().signals.unwrap().has(Signals::CTS));
            if waits {
                until("the thread waits", || uart.waiting() == 1).await;
            }
            let begin = boottime();
            uart.set_input(Input::Cts, true);
            // Each wait that is given up loses nothing.
            let none = tokio::time::timeout(Duration::from_micros(10), watch.changed()).await;
            let state = match none {
                Ok(state) => state,
                Err(_) => changed(&mut watch).await,
            };
            let took = boottime() - begin;
            assert!(state.signals.unwrap().has(Signals::CTS), "{state:?}");
            assert_eq!(state.counts.is_some(), features & uart::COUNTS != 0);
            println!("features {features}: told after {took:?}");
            uart.set_input(Input::Cts, false);
            assert!(!changed(&mut watch).await.signals.unwrap().has(Signals::CTS));
        }
    });
}

#[test]
fn an_overrun_is_told_though_no_wire_moved() {
    line_story(async |uart, _near| {
        let port = open(&uart, &OpenPolicy::default());
        let mut watch = port.control().watch_signals().unwrap();
        until("the thread waits", || uart.waiting() == 1).await;
        uart.count(uart::OVERRUN);
        let state = changed(&mut watch).await;
        assert_eq!(state.counts.unwrap().overrun, 1);
        assert_eq!(signal_watch::RECHECK, Duration::from_secs(1));
    });
}

/// Threads of this process that watch wires.
fn threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let name = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm")).ok();
    tasks.filter_map(name).filter(|name| name.trim() == "modem lines").count()
}

/// Descriptors of this process that name the tty.
fn descriptors(tty: &Path) -> usize {
    let open = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    open.filter(|fd| std::fs::read_link(fd.path()).is_ok_and(|at| at == tty)).count()
}

#[test]
fn dropping_a_watch_ends_its_thread_and_lets_go_of_the_device_at_once() {
    line_story(async |uart, _near| {
        let tty = uart.tty().canonicalize().unwrap();
        // The one that holds the line.
        assert_eq!(descriptors(&tty), 1);
        for round in 0..300 {
            uart.set_features(if round % 3 == 0 { uart::MODEM } else { uart::MODEM | uart::WAIT });
            let port = open(&uart, &OpenPolicy::default());
            let watch = port.control().watch_signals().unwrap();
            // At any point between its start and its wait.
            if round % 3 == 1 {
                until("the thread waits", || uart.waiting() == 1).await;
            }
            let begin = boottime();
            drop(watch);
            drop(port);
            assert_eq!(descriptors(&tty), 1, "round {round}");
            assert!(boottime() - begin < Duration::from_secs(1));
        }
        until("all threads have ended", || threads() == 0).await;
        assert_eq!(uart.waiting(), 0);
    });
}
