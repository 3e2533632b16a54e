//! Settings, as they arrive at the UART.

use wire::rfc2217::{Command, Control};
use wire::{Flow, Parity, StopBits};

use crate::bench::until;
use crate::client::Client;
use crate::port::Port;
use crate::python::Pyserial;

#[tokio::test]
async fn c1_c2_c3_c4_every_format_arrives_and_is_told_as_it_is() {
    let Some(port) = Port::start("settings = \"9600,8N1\"").await else { return };
    assert_eq!(port.settings(), "9600,8N1");
    let (mut client, _) = Client::connect(port.bench.telnet).await;
    // A UART has one bit for more than one stop bit: at five data bits it means 1.5.
    for (baud, bits, parity, stop, at_uart) in [
        (9600, 7, Parity::Even, StopBits::One, "9600,7E1"),
        (115_200, 8, Parity::Mark, StopBits::One, "115200,8M1"),
        (250_000, 6, Parity::Space, StopBits::Two, "250000,6S2"),
        (31_250, 5, Parity::Odd, StopBits::OnePointFive, "31250,5O2"),
        (255, 8, Parity::None, StopBits::Two, "255,8N2"),
    ] {
        client.set(Command::Baud(Some(baud))).await;
        client.set(Command::DataBits(Some(bits))).await;
        client.set(Command::Parity(Some(parity))).await;
        client.set(Command::StopBits(Some(stop))).await;
        assert_eq!(port.settings(), at_uart);
    }
    for (flow, at_uart) in [
        (Flow::RtsCts, "255,8N2 rtscts"),
        (Flow::XonXoff, "255,8N2 xonxoff"),
        (Flow::None, "255,8N2"),
    ] {
        client.control(Control::Flow(Some(flow))).await;
        assert_eq!(port.settings(), at_uart);
    }
    drop(client);
    until("the line's own settings are back", || port.settings() == "9600,8N1").await;
}

#[tokio::test]
async fn o1_settings_and_breaks_take_effect_after_the_data_before_them() {
    let keys = "settings = \"115200,8N1\"\nbreak_time = \"5ms\"";
    let Some(mut port) = Port::start(keys).await else { return };
    let (mut client, _) = Client::connect(port.bench.telnet).await;
    let mark = port.mark();
    client.write(b"seventeen bytes!\n").await;
    client.tell(&[Command::Baud(Some(9600))]).await;
    client.write(b"more").await;
    client.send(&[255, 243]).await;
    client.write(b"end").await;
    assert_eq!(port.bench.arrived(24).await, b"seventeen bytes!\nmoreend");
    assert_eq!(client.answer().await, Command::Baud(Some(9600)));
    let log: Vec<_> = port.uart.log().into_iter().skip(mark).collect();
    let log: Vec<_> = log.iter().map(|(at, what)| (*at, what.as_str())).collect();
    assert_eq!(
        log,
        [(17, "settings 9600,8N1 parmrk"), (21, "break on"), (21, "break off")],
        "after so many bytes"
    );
}

#[tokio::test]
async fn c5_pyserial_sets_all_of_a_uart_and_leaves_it_as_it_was() {
    let Some(port) = Port::start("settings = \"19200,8N1\"\nrts.open = \"off\"").await else {
        return;
    };
    let arguments = "{\"bytesize\": 7, \"parity\": \"E\", \"baudrate\": 9600}";
    let Some(mut client) = Pyserial::open(port.bench.telnet, arguments).await else { return };
    assert_eq!(port.settings(), "9600,7E1");
    assert!(port.uart.outputs().rts, "pyserial wants it");
    client.does(&["port.bytesize = 5", "port.stopbits = 1.5", "port.parity = 'M'"]).await;
    assert_eq!(port.settings(), "9600,5M2");
    client.does(&["port.rtscts = True"]).await;
    assert_eq!(port.settings(), "9600,5M2 rtscts");
    client.does(&["port.rtscts = False", "port.dtr = False", "port.rts = False"]).await;
    let outputs = port.uart.outputs();
    assert_eq!((outputs.dtr, outputs.rts), (false, false));
    client.does(&["port.dtr = True", "port.break_condition = True"]).await;
    let outputs = port.uart.outputs();
    assert_eq!((outputs.dtr, outputs.rts, outputs.brk), (true, false, true));
    client.does(&["port.break_condition = False"]).await;
    assert!(!port.uart.outputs().brk);
    client.does(&["port.close()"]).await;
    until("the line's own settings", || port.settings() == "19200,8N1").await;
}
