//! Many lines in one daemon: a broken one keeps no other from running, and a thousand are no
//! trouble.

use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use sys::process::Signal;
use sys::{Pty, SerialPort, Slave, boottime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{Client, claim};
use crate::daemon::{program, read, within, write};
use crate::reload::{KEYED, Many};

fn bench(name: &str, address: &str) -> String {
    format!(
        "[line.{name}]\nvirtual = \"DIR/{name}\"\n\
         listen = [{{ speech = \"raw\", address = \"{address}\" }}]\n"
    )
}

#[tokio::test]
async fn one_listener_serves_many_lines_and_hello_names_the_line() {
    let shared = "[defaults]\ngroups = [\"crew\"]\n\
                  listen = [{ speech = \"line\", address = \"127.0.0.1:0\" }]\n\
                  [line.pms]\nvirtual = \"DIR/pms\"\n[line.cdr]\nvirtual = \"DIR/cdr\"\n";
    let many = Many::new(shared);
    let mut daemon = many.site.start().await;
    let (_alpha, _) = Client::granted(daemon.address, "alpha").await;
    let mut beta = Client::connect(daemon.address).await;
    let transcript = beta.hello("cdr").await.unwrap();
    beta.send(wire::Frame::Claim(transcript.sign_claim(&crate::daemon::key(), claim("beta"))))
        .await;
    assert!(matches!(beta.next().await, Some(wire::Frame::Grant(_))));
    let granted = [daemon.event("granted").await, daemon.event("granted").await];
    let of = |at: usize| (granted[at]["line"].as_str(), granted[at]["node"].as_str());
    assert_eq!((of(0), of(1)), ((Some("pms"), Some("alpha")), (Some("cdr"), Some("beta"))));
    let mut far = many.site.far_end_of("cdr");
    write(&mut far, b"call").await;
    assert_eq!(beta.input(4).await, (0, b"call".to_vec()));
    let error = Client::connect(daemon.address).await.hello("nowhere").await.err();
    assert!(
        matches!(error, Some(wire::Frame::Error(wire::ErrorCode::UnknownLine, _))),
        "{error:?}"
    );
    daemon.stop().await;
}

#[tokio::test]
async fn a_broken_line_keeps_no_other_from_running_and_comes_when_it_can() {
    // A host of its own, so that nobody else takes the port when it is free.
    let taken = TcpListener::bind("127.77.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let absent = "[line.absent]\nserial = \"DIR/absent\"\n\
                  listen = [{ speech = \"raw\", address = \"127.0.0.1:0\" }]\n\
                  [line.file]\nserial = \"DIR/key\"\n\
                  listen = [{ speech = \"raw\", address = \"127.0.0.1:0\" }]\n";
    let many = Many::new(&(KEYED.to_owned() + absent + &bench("deaf", &address.to_string())));
    let mut daemon = many.site.start().await;
    let (mut alpha, _) = Client::granted(daemon.address, "alpha").await;
    let reason = async |line: &str| many.line(line).await["trouble"].as_str().map(str::to_owned);
    assert!(reason("absent").await.unwrap().contains("no such device"));
    assert!(reason("file").await.unwrap().contains("key"));
    assert_eq!(reason("deaf").await, None);
    let deaf = async || {
        let status = many.site.status().await;
        let listeners = status["listeners"].as_array().unwrap().clone();
        let found = listeners.into_iter().find(|l| l["address"] == address.to_string());
        found.unwrap()["error"].as_str().map(str::to_owned)
    };
    assert!(deaf().await.unwrap().contains("in use"));

    drop(taken);
    within(async {
        while deaf().await.is_some() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let mut client = within(TcpStream::connect(address)).await.unwrap();
    let mut far = many.site.far_end_of("deaf");
    client.write_all(b"heard").await.unwrap();
    assert_eq!(read(&mut far, 5).await, b"heard");
    let mut far =
        SerialPort::from(Pty::open(Some(&many.site.path("absent")), Slave::Held).unwrap());
    within(async { while many.line("absent").await["up"] != true {} }).await;
    write(&mut far, b"kept").await;
    alpha.renew(1).await;
    drop(client);
    daemon.event("ended").await;
    daemon.stop().await;
}

#[tokio::test]
async fn a_daemon_that_can_listen_nowhere_does_not_start() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let many = Many::new(&bench("a", &taken.local_addr().unwrap().to_string()));
    let (code, said) = many.site.fails(&["--new-state"]).await;
    assert_eq!(code, Some(69));
    assert!(said.contains("failed to listen on 127.0.0.1"), "{said}");
}

#[tokio::test]
async fn an_address_has_no_more_connections_than_it_may_and_leaving_makes_room() {
    let lines: String = (0..4).map(|n| bench(&format!("l{n}"), "127.0.0.1:0")).collect();
    let many = Many::new(&("[limits]\naddress_clients = 2\n".to_owned() + &lines));
    let daemon = many.site.start().await;
    let status = many.site.status().await;
    let mut clients = Vec::new();
    for listener in status["listeners"].as_array().unwrap() {
        let address = listener["address"].as_str().unwrap();
        clients.push(within(TcpStream::connect(address)).await.unwrap());
    }
    for client in clients.drain(2..) {
        let mut client = client;
        assert_eq!(within(client.read(&mut [0; 1])).await.unwrap_or(0), 0);
    }
    assert_eq!(many.site.status().await["refused"]["crowding"], 2);
    let line = async |n: usize| many.line(&format!("l{n}")).await["clients"].as_u64();
    drop(clients);
    within(async { while line(0).await != Some(0) || line(1).await != Some(0) {} }).await;
    let address = status["listeners"][3]["address"].as_str().unwrap();
    let _client = within(TcpStream::connect(address)).await.unwrap();
    within(async { while line(3).await != Some(1) {} }).await;
    daemon.stop().await;
}

#[tokio::test]
async fn the_status_is_a_row_a_line_and_one_line_in_full() {
    let many = Many::new(&(KEYED.to_owned() + &bench("bench", "127.0.0.1:0")));
    let daemon = many.site.start().await;
    let socket = many.site.path("status").display().to_string();
    let ask = async |more: &[&str]| {
        let mut command = tokio::process::Command::new(program());
        command.args(["status", "--status", &socket]).args(more);
        let output = within(command.output()).await.unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, table) = ask(&[]).await;
    assert_eq!(code, Some(0));
    assert!(table.lines().any(|l| l.trim().starts_with("bench")), "{table}");
    assert!(table.lines().any(|l| l.trim().starts_with("pms")), "{table}");
    let (_, one) = ask(&["--line", "bench"]).await;
    assert!(one.contains("bench on") && !one.contains("pms"), "{one}");
    let (_, json) = ask(&["--line", "pms", "--json"]).await;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["lines"].as_array().unwrap().len(), 1);
    assert_ne!(ask(&["--line", "nowhere"]).await.0, Some(0));
    daemon.stop().await;
}

#[tokio::test]
async fn i8_systemd_hears_life_only_while_every_line_turns() {
    let many = Many::new(&(KEYED.to_owned() + &bench("bench", "127.0.0.1:0")));
    let socket = many.site.path("notify");
    let systemd = UnixDatagram::bind(&socket).unwrap();
    systemd.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut command = many.site.command(&["--new-state"]);
    command.env("NOTIFY_SOCKET", &socket).env("WATCHDOG_USEC", "200000");
    let child = command.stderr(std::process::Stdio::null()).spawn().unwrap();
    let hear = |wanted: &str| {
        let mut buf = [0; 256];
        loop {
            let n = systemd.recv(&mut buf).unwrap();
            if std::str::from_utf8(&buf[..n]).unwrap().starts_with(wanted) {
                return;
            }
        }
    };
    hear("READY=1\n");
    for _ in 0..5 {
        hear("WATCHDOG=1");
    }
    let group = child.id().unwrap();
    sys::process::kill_group(group, Signal::HUP).unwrap();
    hear("RELOADING=1\nMONOTONIC_USEC=");
    hear("READY=1");
    drop(child);
}

#[tokio::test]
async fn i3_a_line_that_stops_slowly_does_not_keep_from_the_disk_what_others_left() {
    // 2000 bytes take 400 s at this speed, and a record that was begun is finished.
    let slow = bench("slow", "127.0.0.1:0").replace("listen", "settings = \"50,8N1\"\nlisten");
    let many = Many::new(&(KEYED.to_owned() + &slow));
    let mut daemon = many.site.start().await;
    let mut client = within(TcpStream::connect(many.address("raw").await)).await.unwrap();
    client.write_all(&[b'x'; 2000]).await.unwrap();
    let mut slow = many.site.far_end_of("slow");
    read(&mut slow, 1).await;
    let mut far = many.site.far_end_of("line");
    write(&mut far, b"kept").await;
    within(async { while many.line("pms").await["end"] != 4 {} }).await;
    daemon.signal(Signal::TERM);
    daemon.event("stopping").await;
    let state = many.site.path("state/terminal-server.state");
    let saved = async {
        while !std::fs::read_to_string(&state).unwrap().contains("6b657074") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within(saved).await;
    daemon.kill().await;
    let daemon = many.site.restart().await;
    let (mut alpha, _) = Client::granted(daemon.address, "alpha").await;
    assert_eq!(alpha.input(4).await, (0, b"kept".to_vec()));
    daemon.kill().await;
}

#[tokio::test]
async fn a_thousand_lines_start_serve_and_stop_quickly() {
    let lines: String =
        (0..LINES).map(|n| format!("[line.l{n}]\nvirtual = \"DIR/l{n}\"\n")).collect();
    let shared = "[defaults]\ngroups = [\"crew\"]\n\
                  listen = [{ speech = \"line\", address = \"127.0.0.1:0\" }]\n";
    let many = Many::new(&(shared.to_owned() + &lines));
    let began = boottime();
    let daemon = many.site.start().await;
    let started = boottime() - began;
    let began = boottime();
    let status = many.site.status().await;
    let asked = boottime() - began;
    let all = status["lines"].as_array().unwrap();
    assert_eq!(all.len(), LINES);
    assert!(all.iter().all(|line| line["up"] == true));
    let mut client = Client::connect(daemon.address).await;
    let transcript = client.hello("l999").await.unwrap();
    client.send(wire::Frame::Claim(transcript.sign_claim(&crate::daemon::key(), claim("a")))).await;
    assert!(matches!(client.next().await, Some(wire::Frame::Grant(_))));
    let mut far = many.site.far_end_of("l999");
    write(&mut far, b"x").await;
    assert_eq!(client.input(1).await.1, b"x");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", daemon.child.id().unwrap()));
    let files =
        limits.unwrap().lines().find(|l| l.starts_with("Max open files")).unwrap().to_owned();
    let files: Vec<_> = files.split_whitespace().skip(3).take(2).collect();
    assert_eq!(files[0], files[1], "the soft limit was raised to the hard one");
    let statm = std::fs::read_to_string(format!("/proc/{}/statm", daemon.child.id().unwrap()));
    let pages: usize = statm.unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let began = boottime();
    drop((client, far));
    daemon.stop().await;
    let stopped = boottime() - began;
    println!(
        "{LINES} lines: start {started:?}, status {asked:?}, stop {stopped:?}, resident {} KiB a line",
        pages * 4 / LINES
    );
    // Generous: other work shares the machine, and this is an unoptimised build.
    assert!(started < Duration::from_secs(5) && stopped < Duration::from_secs(5));
    let began = boottime();
    let daemon = many.site.restart().await;
    println!("start with a saved state: {:?}", boottime() - began);
    daemon.stop().await;
}

const LINES: usize = 1000;
