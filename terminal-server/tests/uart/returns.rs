//! A port that is closed, or goes, and is opened again.

use sys::{Pty, Slave};
use wire::rfc2217::{Command, Control};

use crate::bench::{Bench, until};
use crate::client::Client;
use crate::port::Port;

#[tokio::test]
async fn a_stop_holds_the_far_end_back_and_the_next_start_lets_it_go_on() {
    for (flow, holds) in [("rtscts", true), ("none", false)] {
        let Some(port) = Port::start(&format!("flow = \"{flow}\"")).await else { return };
        let Port { bench: Bench { site, daemon, .. }, uart } = port;
        assert!(uart.outputs().rts);
        let before = uart.log().len();
        daemon.stop().await;
        assert_eq!(!uart.outputs().rts, holds, "{flow}");
        let acts: Vec<_> = uart.log().into_iter().skip(before).map(|(_, act)| act).collect();
        let at = |what: &str| acts.iter().position(|act| act.starts_with(what));
        if holds {
            // Not as the port is closed, but before what has come is read for the last time.
            assert_eq!(at("dtr=1 rts=0"), Some(0), "{acts:?}");
        }
        assert!(at("flush output").is_some(), "nothing may hold the close up: {acts:?}");
        let daemon = site.restart().await;
        assert!(uart.outputs().rts, "{flow}");
        assert!(uart.outputs().dtr, "{flow}");
        daemon.stop().await;
    }
}

#[tokio::test]
async fn settings_and_wires_of_a_client_are_in_force_again_when_the_port_is_back() {
    let Some(mut port) = Port::start("").await else { return };
    let (mut client, _) = Client::connect(port.bench.telnet).await;
    client.set(Command::Baud(Some(4800))).await;
    client.set(Command::DataBits(Some(7))).await;
    client.control(Control::Dtr(Some(false))).await;
    assert_eq!(port.settings(), "4800,7N1");
    for _ in 0..3 {
        let mark = port.mark();
        // The old pseudo terminal goes; its port, on a thread of its own, is closed meanwhile.
        let nowhere = Pty::open(None, Slave::Held).unwrap();
        port.bench.far = nowhere.into();
        assert_eq!(port.bench.daemon.event("device").await["up"], false);
        port.bench.far = Pty::open(Some(&port.uart.tty()), Slave::Held).unwrap().into();
        assert_eq!(port.bench.daemon.event("device").await["up"], true);
        assert_eq!(port.settings(), "4800,7N1");
        let acts = port.acts_since(mark);
        assert!(acts.iter().any(|act| act == "dtr=0 rts=1"), "{acts:?}");
        port.bench.says(b"still here").await;
        assert!(client.transcript("still here").await.ends_with("still here"));
    }
    drop(client);
    until("the line is as configured", || port.settings() == "9600,8N1").await;
}
