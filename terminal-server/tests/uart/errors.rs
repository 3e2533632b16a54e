//! Line errors and lost input, told at their places in the data.

use wire::rfc2217::Command;

use crate::client::Client;
use crate::port::Port;
use crate::uart::{FRAME, OVERRUN, PARITY};

async fn told(settings: &str, mask: u8) -> Option<(Port, Client)> {
    let port = Port::start(&format!("settings = \"{settings}\"")).await?;
    let (mut client, _) = Client::connect(port.bench.telnet).await;
    client.set(Command::LineStateMask(Some(mask))).await;
    Some((port, client))
}

#[tokio::test]
async fn m4_breaks_and_parity_errors_are_told_in_their_places() {
    let Some((mut port, mut client)) = told("9600,7E1", 255).await else { return };
    let arrives = [
        port.uart.received(b"ab"),
        port.uart.received_break(),
        port.uart.received(b"cd"),
        port.uart.received_error(PARITY, b'e'),
        port.uart.received(b"f\xffg"),
    ];
    port.receives(&arrives).await;
    assert_eq!(client.transcript("g").await, r"ab<16>cd<4>ef\xffg");
}

#[tokio::test]
async fn m4_without_parity_a_wrong_character_is_a_framing_error() {
    let Some((mut port, mut client)) = told("9600,8N1", 8).await else { return };
    let arrives = [
        port.uart.received(b"ab"),
        port.uart.received_break(),
        port.uart.received_error(FRAME, b'c'),
        port.uart.received(b"d"),
    ];
    port.receives(&arrives).await;
    assert_eq!(client.transcript("d").await, "ab<8>cd", "the break is masked");
}

#[tokio::test]
async fn m4_an_overrun_is_told_and_so_is_that_input_was_lost() {
    let Some((mut port, mut client)) = told("9600,8N1", 2).await else { return };
    port.receives(&[port.uart.received(b"before")]).await;
    assert_eq!(client.transcript("before").await, "before");
    port.uart.count(OVERRUN);
    assert_eq!(client.transcript("<2>").await, "<2>");
    port.receives(&[port.uart.received(b"after")]).await;
    assert_eq!(client.transcript("after").await, "after");
}
