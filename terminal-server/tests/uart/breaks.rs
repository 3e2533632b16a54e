//! Breaks that are sent, and that somebody forgets to end.

use std::time::Duration;

use socket2::SockRef;
use sys::boottime;
use tokio::process::Command;
use wire::rfc2217::Control;

use crate::bench::until;
use crate::client::Client;
use crate::port::Port;
use crate::process::{Process, has};
use crate::python::Pyserial;

#[tokio::test]
async fn t6_o2_brk_sends_a_break_of_the_configured_length() {
    let Some(mut port) = Port::start("break_time = \"300ms\"").await else { return };
    let (mut client, _) = Client::connect(port.bench.telnet).await;
    client.send(&[b'a', 255, 243, b'b']).await;
    assert_eq!(port.bench.arrived(1).await, b"a");
    until("a break", || port.uart.outputs().brk).await;
    let begin = boottime();
    assert_eq!(port.bench.arrived(1).await, b"b", "after the break");
    assert!(!port.uart.outputs().brk);
    assert!(boottime() - begin > Duration::from_millis(200));
}

#[tokio::test]
async fn t6_a_break_of_gensiots_arrives_in_its_place() {
    if !has("gensiot", "gensio-bin") {
        return;
    }
    let Some(mut port) = Port::start("break_time = \"5ms\"").await else { return };
    let mark = port.uart.log().len();
    let address = format!("telnet(rfc2217=true),tcp,127.0.0.1,{}", port.bench.telnet.port());
    let mut gensiot = Process::start(Command::new("gensiot").args(["-e", "0x01", &address]));
    gensiot.types(b"first\x01bthen").await;
    assert_eq!(port.bench.arrived(9).await, b"firstthen");
    let breaks = || port.uart.log()[mark..].iter().filter(|(at, _)| *at == 5).count();
    until("a break began and ended after five characters", || breaks() == 2).await;
    gensiot.kill().await;
}

#[tokio::test]
async fn o2_a_killed_client_leaves_no_break_on() {
    let Some(port) = Port::start("").await else { return };
    let Some(mut client) = Pyserial::open(port.bench.telnet, "{}").await else { return };
    client.does(&["port.break_condition = True"]).await;
    assert!(port.uart.outputs().brk);
    client.0.kill().await;
    until("the break ends", || !port.uart.outputs().brk).await;
}

#[tokio::test]
async fn o2_n5_nor_does_one_whose_connection_is_reset() {
    let Some(port) = Port::start("settings = \"9600,8N1\"").await else { return };
    let (mut client, _) = Client::connect(port.bench.telnet).await;
    client.set(wire::rfc2217::Command::Baud(Some(300))).await;
    client.control(Control::Break(Some(true))).await;
    assert!(port.uart.outputs().brk);
    SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    until("the break ends", || !port.uart.outputs().brk).await;
    until("the line's own settings", || port.settings() == "9600,8N1").await;
}
