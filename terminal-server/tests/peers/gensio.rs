//! gensio's client, and C-Kermit: other RFC 2217 clients than pyserial, with other habits.

use std::fs;

use tokio::process::Command;

use crate::bench::{Bench, until};
use crate::process::{Process, has};

const ESCAPE: u8 = 1;

#[tokio::test]
async fn gensiot_carries_bytes_and_sets_the_line() {
    if !has("gensiot", "gensio-bin") {
        return;
    }
    let mut bench = Bench::start("settings = \"9600,8N1\"").await;
    let address = format!("telnet(rfc2217=true),tcp,127.0.0.1,{}", bench.telnet.port());
    let mut gensiot = Process::start(Command::new("gensiot").args(["-e", "0x01", &address]));
    gensiot.types(b"out\xff\0\r").await;
    assert_eq!(bench.arrived(6).await, b"out\xff\0\r");
    bench.says(b"in\xff\0\r\n").await;
    assert_eq!(gensiot.hears(6).await, b"in\xff\0\r\n");
    // It counts on having the answer to each of these.
    gensiot.types(&[&[ESCAPE][..], b"s19200\n", &[ESCAPE], b"e", &[ESCAPE], b"7"].concat()).await;
    gensiot.types(&[&[ESCAPE][..], b"2", &[ESCAPE], b"x", &[ESCAPE], b"b"].concat()).await;
    until("settings and flow control", || bench.settings() == "19200 xonxoff").await;
    gensiot.types(&[ESCAPE, b'd']).await;
    assert!(gensiot.says("Speed: 19200E72").await.contains("Signature: linekeeper"));
    gensiot.types(&[ESCAPE, b'q']).await;
    assert_eq!(gensiot.ends().await, Some(0));
    bench.is_free().await;
    until("9600 again", || bench.settings() == "9600").await;
}

#[tokio::test]
async fn kermit_carries_lines_and_sets_the_line() {
    if !has("kermit", "ckermit") {
        return;
    }
    let mut bench = Bench::start("settings = \"9600,8N1\"").await;
    let script = bench.site.path("script");
    // A word that does not come back is an exit code.
    let text = "set exit warning off\n\
                set host /network-type:tcp 127.0.0.1 PORT /telnet\n\
                if fail exit 3 no connection\n\
                set speed 19200\n\
                if not equal \\v(speed) 19200 exit 4 the speed is \\v(speed)\n\
                lineout hello\n\
                input 10 hello\n\
                if fail exit 5 no echo\n\
                show communications\n\
                exit 0\n";
    fs::write(&script, text.replace("PORT", &bench.telnet.port().to_string())).unwrap();
    let mut command = Command::new("kermit");
    // Nobody's own start-up file.
    let mut kermit = Process::start(command.arg(&script).env("HOME", bench.site.dir.path()));
    assert_eq!(bench.echoes(6).await, b"hello\r");
    // Its own idea of flow control comes along.
    assert_eq!(bench.settings(), "19200 rtscts");
    let said = kermit.says("Carrier-watch").await;
    for fact in
        ["Signature            : linekeeper", "Speed                : 19200", "CTS Signal On"]
    {
        assert!(said.contains(fact), "{said}");
    }
    let ended = kermit.ends().await;
    assert_eq!(ended, Some(0), "{said}");
    bench.is_free().await;
    until("9600 again", || bench.settings() == "9600").await;
}
