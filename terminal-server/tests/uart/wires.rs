//! Modem lines.

use std::time::Duration;

use sys::boottime;
use tokio::net::TcpStream;
use wire::rfc2217::{Command, Control};

use crate::bench::until;
use crate::client::Client;
use crate::daemon::within;
use crate::port::Port;
use crate::python::Pyserial;
use crate::uart::{BREAK, COUNTS, Input, MODEM, NUMBER, Outputs};

const CTS: u8 = 16;
const DSR: u8 = 32;
const RI: u8 = 64;
const DCD: u8 = 128;

#[tokio::test]
async fn m1_m2_n3_levels_and_changes_are_told_as_they_are() {
    let Some(port) = Port::start("").await else { return };
    port.uart.set_input(Input::Dcd, true);
    let (mut client, state) = Client::connect(port.bench.telnet).await;
    // The change may be told with the first state or after it, and is told once.
    let state = if state & DCD == 0 { client.modem_state().await } else { state };
    assert_eq!(state & 0xf0, DCD);
    for (input, on, told) in [
        (Input::Cts, true, DCD | CTS | 1),
        (Input::Dsr, true, DCD | CTS | DSR | 2),
        (Input::Cts, false, DCD | DSR | 1),
        (Input::Dcd, false, DSR | 8),
        (Input::Ri, true, DSR | RI),
        (Input::Ri, false, DSR | 4),
    ] {
        port.uart.set_input(input, on);
        assert_eq!(client.modem_state().await, told, "{input:?} {on}");
    }
    // Nothing is told that is masked.
    client.set(Command::ModemStateMask(Some(DCD))).await;
    assert_eq!(client.modem_state().await, DSR);
    port.uart.set_input(Input::Dsr, false);
    port.uart.set_input(Input::Dcd, true);
    assert_eq!(client.modem_state().await & 0xf0, DCD);
}

#[tokio::test]
async fn m3_changes_are_told_at_once_where_they_are_waited_for_and_else_within_100_ms() {
    for (features, keys) in [(None, ""), (Some(MODEM | COUNTS | BREAK | NUMBER), "")] {
        let Some(port) = Port::start(keys).await else { return };
        if let Some(features) = features {
            port.uart.set_features(features);
            // The thread that waits notices with the next change.
            port.uart.set_input(Input::Dsr, true);
        }
        let (mut client, mut state) = Client::connect(port.bench.telnet).await;
        while features.is_some() && state & DSR == 0 {
            state = client.modem_state().await;
        }
        let mut took = Vec::new();
        for n in 0..9 {
            let begin = boottime();
            port.uart.set_input(Input::Cts, n % 2 == 0);
            let state = client.modem_state().await;
            assert_eq!(state & CTS != 0, n % 2 == 0);
            took.push(boottime() - begin);
        }
        took.sort();
        println!("waits: {}: {took:?}", features.is_none());
        assert!(took[4] < Duration::from_millis(100), "{took:?}");
    }
}

#[tokio::test]
async fn m3_pyserial_sees_every_wire_move() {
    let Some(port) = Port::start("").await else { return };
    let Some(mut client) = Pyserial::open(port.bench.telnet, "{}").await else { return };
    for (input, name) in
        [(Input::Cts, "cts"), (Input::Dsr, "dsr"), (Input::Ri, "ri"), (Input::Dcd, "cd")]
    {
        for (on, told) in [(true, "True"), (false, "False")] {
            port.uart.set_input(input, on);
            client.agrees(&[&format!("becomes('{name}', {told})")]).await;
        }
    }
}

#[tokio::test]
async fn o3_dtr_and_rts_of_one_segment_move_in_one_step() {
    let Some(port) = Port::start("").await else { return };
    let (mut client, _) = Client::connect(port.bench.telnet).await;
    let mark = port.mark();
    let (dtr, rts) = (Control::Dtr(Some(false)), Control::Rts(Some(false)));
    client.tell(&[Command::Control(dtr), Command::Control(rts)]).await;
    assert_eq!(client.answer().await, Command::Control(dtr));
    assert_eq!(client.answer().await, Command::Control(rts));
    assert_eq!(port.acts_since(mark), ["dtr=0 rts=0"]);
}

#[tokio::test]
async fn no_client_that_comes_goes_or_takes_over_moves_a_wire() {
    let Some(mut port) = Port::start("on_busy = \"replace\"").await else { return };
    assert!(!port.uart.hupcl(), "a crash of ours would drop DTR");
    let mark = port.mark();
    let held = within(TcpStream::connect(port.bench.raw)).await.unwrap();
    port.bench.daemon.event("granted").await;
    let (client, _) = Client::connect(port.bench.telnet).await;
    port.bench.daemon.event("granted").await;
    drop((held, client));
    port.bench.daemon.event("ended").await;
    port.bench.clients(0).await;
    assert_eq!(port.acts_since(mark), [""; 0]);
    assert_eq!(port.uart.outputs(), Outputs { dtr: true, rts: true, brk: false });
    let Port { bench, uart } = port;
    bench.daemon.stop().await;
    assert_eq!(uart.outputs(), Outputs { dtr: true, rts: true, brk: false }, "nor does our end");
    assert!(!uart.hupcl());
}

#[tokio::test]
async fn n5_wires_follow_the_configuration_at_attach_and_detach() {
    let keys = "dtr = { open = \"off\", attach = \"on\", detach = \"off\" }\n\
                rts = { open = \"off\", attach = \"keep\", close = \"on\" }\n\
                hupcl = { close = \"on\" }";
    let Some(port) = Port::start(keys).await else { return };
    let wires = |dtr, rts| Outputs { dtr, rts, brk: false };
    assert_eq!(port.uart.outputs(), wires(false, false), "at the opening");
    let (client, _) = Client::connect(port.bench.telnet).await;
    until("attached", || port.uart.outputs() == wires(true, false)).await;
    drop(client);
    until("detached", || port.uart.outputs() == wires(false, false)).await;
    // Whatever the client did in between.
    let (mut client, _) = Client::connect(port.bench.telnet).await;
    client.control(Control::Dtr(Some(false))).await;
    client.control(Control::Dtr(Some(true))).await;
    drop(client);
    until("detached again", || port.uart.outputs() == wires(false, false)).await;
    let Port { bench, uart } = port;
    bench.daemon.stop().await;
    assert_eq!((uart.outputs(), uart.hupcl()), (wires(false, true), true), "at the close");
}
