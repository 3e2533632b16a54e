//! pyserial on a bare pseudo terminal, which can neither do parity nor modem lines.

use crate::bench::Bench;
use crate::python::Pyserial;

#[tokio::test]
async fn m5_pyserial_opens_a_bare_pseudo_terminal_and_finds_fixed_levels() {
    let mut bench = Bench::start("settings = \"9600,8N1\"").await;
    let Some(mut port) = Pyserial::open(bench.telnet, "{}").await else { return };
    port.agrees(&["port.cts", "port.dsr", "port.cd", "not port.ri"]).await;
    for wire in ["dtr", "rts"] {
        for on in ["True", "False", "True"] {
            port.does(&[&format!("port.{wire} = {on}")]).await;
            assert_eq!(port.tell(&format!("port.{wire}")).await, on, "{wire}");
        }
    }
    port.does(&["port.break_condition = True", "port.break_condition = False"]).await;
    port.does(&["port.send_break(0.02)", "port.close()"]).await;
    assert_eq!(port.0.ends().await, Some(0));
    bench.is_free().await;
}

#[tokio::test]
async fn c1_pyserial_gets_every_speed_and_the_line_has_its_own_again_afterwards() {
    let mut bench = Bench::start("settings = \"4800,8N1\"").await;
    let Some(mut port) = Pyserial::open(bench.telnet, "{\"baudrate\": 255}").await else { return };
    assert_eq!(bench.settings(), "255");
    let usual = [300, 1200, 2400, 9600, 19_200, 38_400, 57_600, 115_200, 230_400, 460_800];
    for baud in usual.into_iter().chain([921_600, 250_000, 31_250, 65_280, 1_250_000]) {
        port.does(&[&format!("port.baudrate = {baud}")]).await;
        assert_eq!(bench.settings(), baud.to_string());
    }
    port.does(&["port.rtscts = True"]).await;
    assert_eq!(bench.settings(), "1250000 rtscts");
    port.does(&["port.rtscts = False", "port.xonxoff = True"]).await;
    assert_eq!(bench.settings(), "1250000 xonxoff");
    port.does(&["port.close()"]).await;
    bench.is_free().await;
    crate::bench::until("4800 again", || bench.settings() == "4800").await;
}

#[tokio::test]
async fn c2_c3_c4_pyserial_gets_every_format_and_no_impossible_one() {
    let bench = Bench::start("settings = \"9600,8N1\"").await;
    let Some(mut port) = Pyserial::open(bench.telnet, "{}").await else { return };
    for bits in [8, 7, 6, 5] {
        port.does(&[&format!("port.bytesize = {bits}")]).await;
        for parity in ["E", "O", "M", "S", "N"] {
            port.does(&[&format!("port.parity = '{parity}'")]).await;
        }
    }
    port.does(&["port.stopbits = 1.5"]).await;
    // It hears what is in force instead of silence, and says so at once.
    port.agrees(&["raises('stopbits', 2)"]).await;
    port.does(&["port._stopbits = 1", "port.bytesize = 7", "port.stopbits = 2"]).await;
    port.agrees(&["raises('stopbits', 1.5)"]).await;
}

#[tokio::test]
async fn t1_pyserial_has_64_kib_of_all_byte_values_come_back_unchanged() {
    let mut bench = Bench::start("settings = \"921600,8N1\"").await;
    let arguments = "{\"baudrate\": 921600}";
    let Some(mut port) = Pyserial::open(bench.telnet, arguments).await else { return };
    port.begin("carries(65536)").await;
    let (echoed, told) = tokio::join!(bench.echoes(65_536), port.told());
    assert_eq!(told, "True");
    assert!(echoed.iter().enumerate().all(|(at, byte)| at % 256 == usize::from(*byte)));
}

#[tokio::test]
async fn c12_pyserial_purges_what_came_and_what_was_to_go() {
    let mut bench = Bench::start("settings = \"9600,8N1\"").await;
    let Some(mut port) = Pyserial::open(bench.telnet, "{\"baudrate\": 300}").await else { return };
    bench.says(b"12345").await;
    port.does(&["while port.in_waiting < 5: pass", "port.reset_input_buffer()"]).await;
    assert_eq!(port.tell("port.in_waiting").await, "0");
    // Of 100 characters at 300 baud, some have gone; the others would need three seconds.
    assert_eq!(port.tell("port.write(b'x' * 100)").await, "100");
    port.does(&["port.reset_output_buffer()"]).await;
    assert_eq!(port.tell("port.write(b'y')").await, "1");
    let mut got = Vec::new();
    while !got.ends_with(b"y") {
        got.extend(bench.arrived(1).await);
    }
    assert!(got.len() < 90, "{} characters went", got.len());
    bench.says(b"z").await;
    assert_eq!(port.tell("port.read(1)").await, "b'z'");
}

#[tokio::test]
async fn o4_a_second_pyserial_may_look_on_and_moves_nothing() {
    let keys = "settings = \"9600,8N1\"\non_busy = \"observe\"";
    let mut bench = Bench::start(keys).await;
    let Some(mut holder) = Pyserial::open(bench.telnet, "{\"baudrate\": 19200}").await else {
        return;
    };
    // It opens, as it wants what is in force.
    let Some(mut other) = Pyserial::open(bench.telnet, "{\"baudrate\": 19200}").await else {
        return;
    };
    other.agrees(&["raises('baudrate', 300)"]).await;
    assert_eq!(bench.settings(), "19200");
    assert_eq!(other.tell("port.write(b'other')").await, "5");
    bench.says(b"both").await;
    for port in [&mut holder, &mut other] {
        assert_eq!(port.tell("port.read(4)").await, "b'both'");
    }
    other.does(&["port.close()"]).await;
    bench.clients(1).await;
    assert_eq!(bench.settings(), "19200", "it was not its line to restore");
    assert_eq!(holder.tell("port.write(b'holder')").await, "6");
    assert_eq!(bench.arrived(6).await, b"holder");
}
