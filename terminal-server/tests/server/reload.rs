//! SIGHUP: what differs is applied, and nothing else is disturbed.

use std::os::unix::fs::MetadataExt;

use sys::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::beacons::Ear;
use crate::client::Client;
use crate::daemon::{Daemon, Site, read, within, write};

/// A site whose daemon reads a file.
pub struct Many {
    pub site: Site,
}

impl Many {
    /// With these lines; each line's listeners are on ports of the system's choice.
    pub fn new(lines: &str) -> Self {
        let mut site = Site::bare();
        let file = site.path("ts.toml").display().to_string();
        site.args = ["--config", &file, "--log-format", "json"].map(str::to_owned).into();
        let many = Self { site };
        many.write(lines);
        many
    }

    /// Replaces the lines.
    pub fn write(&self, lines: &str) {
        self.write_with_keys("keys = { 0 = \"DIR/key\" }", lines);
    }

    /// As [`Self::write`], with these keys of the group `crew`.
    pub fn write_with_keys(&self, keys: &str, lines: &str) {
        let dir = self.site.dir.path().display();
        let head = format!(
            "[server]\nname = \"ts\"\nstate = \"{dir}/state\"\nstatus = \"{dir}/status\"\n\
             [group.crew]\n{keys}\n"
        );
        let text = (head + lines).replace("DIR", &dir.to_string());
        std::fs::write(self.site.path("ts.toml"), text).unwrap();
    }

    /// Has the daemon read the file.
    pub async fn reload(&self, daemon: &mut Daemon) {
        daemon.signal(Signal::HUP);
        daemon.event("reloaded").await;
    }

    /// Where the first listener that speaks `speech` and has so many lines is.
    pub async fn address(&self, speech: &str) -> std::net::SocketAddr {
        let status = self.site.status().await;
        let listeners = status["listeners"].as_array().unwrap();
        let listener = listeners.iter().find(|listener| listener["speech"] == speech).unwrap();
        listener["address"].as_str().unwrap().parse().unwrap()
    }

    pub async fn line(&self, name: &str) -> serde_json::Value {
        let status = self.site.status().await;
        let lines = status["lines"].as_array().unwrap();
        lines.iter().find(|line| line["line"] == name).cloned().unwrap_or_default()
    }
}

pub const KEYED: &str = r#"
[line.pms]
virtual = "DIR/line"
groups = ["crew"]
listen = [{ speech = "line", address = "127.0.0.1:0" }]
"#;

const BENCH: &str = r#"
[line.bench]
virtual = "DIR/bench"
listen = [{ speech = "raw", address = "127.0.0.1:0" }]
"#;

#[tokio::test]
async fn an_unchanged_line_and_its_client_notice_nothing() {
    let many = Many::new(KEYED);
    let mut daemon = many.site.start().await;
    let mut far = many.site.far_end_of("line");
    let (mut alpha, grant) = Client::granted(daemon.address, "alpha").await;
    let mut sent = 0;
    for step in 0..6 {
        write(&mut far, b"before").await;
        many.write(&match step % 3 {
            0 => KEYED.to_owned() + BENCH,
            1 => KEYED.to_owned() + &BENCH.replace("bench\"", "bench\"\nring = \"64KiB\""),
            _ => KEYED.to_owned(),
        });
        many.reload(&mut daemon).await;
        write(&mut far, b" after").await;
        assert_eq!(alpha.input(12).await, (sent, b"before after".to_vec()));
        sent += 12;
        alpha.ack(sent, None).await;
        alpha.renew(step).await;
        assert_eq!(many.line("bench").await.is_null(), step % 3 == 2, "step {step}");
    }
    assert!(alpha.skipped.iter().all(|f| !matches!(f, wire::Frame::Event(_))), "no gap");
    let line = many.line("pms").await;
    assert_eq!((&line["state"], &line["epoch"]), (&"held".into(), &grant.epoch.to_string().into()));
    daemon.stop().await;
}

#[tokio::test]
async fn a_line_that_came_with_a_reload_serves_and_one_that_went_is_gone() {
    let many = Many::new(KEYED);
    let mut daemon = many.site.start().await;
    many.write(&(KEYED.to_owned() + BENCH));
    many.reload(&mut daemon).await;
    let address = many.address("raw").await;
    let mut client = within(TcpStream::connect(address)).await.unwrap();
    let mut far = many.site.far_end_of("bench");
    client.write_all(b"hello").await.unwrap();
    assert_eq!(read(&mut far, 5).await, b"hello");
    drop(far);
    many.write(KEYED);
    many.reload(&mut daemon).await;
    assert_eq!(within(client.read(&mut [0; 10])).await.unwrap(), 0, "its connection is closed");
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
    assert!(!many.site.path("bench").exists(), "the link went with the line");
    daemon.stop().await;
}

#[tokio::test]
async fn a_virtual_line_is_a_link_with_owner_and_mode_that_lasts_until_the_stop() {
    let (user, group) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let line = format!(
        "[line.billing]\nvirtual = {{ link = \"DIR/ttyBilling\", owner = \"{user}:{group}\", \
         mode = \"0640\" }}\nlisten = [{{ speech = \"raw\", address = \"127.0.0.1:0\" }}]\n"
    );
    let many = Many::new(&line);
    let mut daemon = many.site.start().await;
    let link = many.site.path("ttyBilling");
    let target = std::fs::read_link(&link).unwrap();
    assert!(target.starts_with("/dev/pts"), "{target:?}");
    let meta = std::fs::metadata(&link).unwrap();
    assert_eq!((meta.uid(), meta.gid(), meta.mode() & 0o777), (user, group, 0o640));
    let status = many.line("billing").await;
    assert_eq!((&status["up"], &status["device"]), (&true.into(), &link.to_str().into()));

    // Other lines come and go; a program that has it open keeps its end.
    let mut client = within(TcpStream::connect(many.address("raw").await)).await.unwrap();
    let mut far = many.site.far_end_of("ttyBilling");
    for lines in [line.clone() + KEYED, line.clone()] {
        many.write(&lines);
        many.reload(&mut daemon).await;
        assert_eq!(std::fs::read_link(&link).unwrap(), target);
        client.write_all(b"hello").await.unwrap();
        assert_eq!(read(&mut far, 5).await, b"hello");
    }
    daemon.stop().await;
    assert!(link.symlink_metadata().is_err(), "the link went with the daemon");
}

#[tokio::test]
async fn i3_i5_a_changed_line_starts_again_alone_and_keeps_its_input() {
    let many = Many::new(&(KEYED.to_owned() + BENCH));
    let mut daemon = many.site.start().await;
    let mut bench = within(TcpStream::connect(many.address("raw").await)).await.unwrap();
    let mut far = many.site.far_end_of("line");
    let (mut alpha, before) = Client::granted(many.address("line").await, "alpha").await;
    write(&mut far, b"one two").await;
    alpha.input(7).await;
    alpha.ack(4, None).await;
    alpha.renew(1).await;
    drop(far);
    many.write(&(KEYED.replace("groups", "lease_max = \"9s\"\ngroups") + BENCH));
    many.reload(&mut daemon).await;
    let (mut alpha, after) = Client::granted(many.address("line").await, "alpha").await;
    assert_eq!((after.incarnation, after.acked), (before.incarnation, 4));
    assert!(after.epoch.start() > before.epoch.start());
    assert!(after.lease_ms <= 9000);
    assert_eq!(alpha.input(3).await, (4, b"two".to_vec()));
    let mut far = many.site.far_end_of("bench");
    bench.write_all(b"undisturbed").await.unwrap();
    assert_eq!(read(&mut far, 11).await, b"undisturbed");
    daemon.stop().await;
}

#[tokio::test]
async fn a_file_with_an_error_changes_nothing_and_is_logged() {
    let many = Many::new(KEYED);
    let mut daemon = many.site.start().await;
    let (mut alpha, _) = Client::granted(daemon.address, "alpha").await;
    many.write(&KEYED.replace("groups", "grops"));
    daemon.signal(Signal::HUP);
    let said = daemon.event("the configuration was not taken; nothing has changed").await;
    let error = said["error"].as_str().unwrap();
    assert!(error.contains("ts.toml:10:1: line.pms has no key `grops`"), "{error}");
    alpha.renew(1).await;
    // And the next one is taken again.
    many.write(KEYED);
    many.reload(&mut daemon).await;
    alpha.renew(2).await;
    daemon.stop().await;
}

#[tokio::test]
async fn the_list_of_who_may_connect_changes_without_ending_a_connection() {
    let many = Many::new(BENCH);
    let mut daemon = many.site.start().await;
    let address = many.address("raw").await;
    let mut first = within(TcpStream::connect(address)).await.unwrap();
    let mut far = many.site.far_end_of("bench");
    first.write_all(b"1").await.unwrap();
    assert_eq!(read(&mut far, 1).await, b"1");
    many.write(&BENCH.replace(" }", ", allow = [\"192.0.2.0/24\", \"2001:db8::/32\"] }"));
    many.reload(&mut daemon).await;
    let mut second = within(TcpStream::connect(address)).await.unwrap();
    assert_eq!(within(second.read(&mut [0; 10])).await.unwrap_or(0), 0, "closed at once");
    assert_eq!(many.site.status().await["refused"]["forbidden"], 1);
    assert_eq!(many.line("bench").await["counters"]["refused_busy"], 0, "the line never saw it");
    first.write_all(b"2").await.unwrap();
    assert_eq!(read(&mut far, 1).await, b"2");
    daemon.stop().await;
}

#[tokio::test]
async fn beacons_name_the_lines_that_came_and_grow_all_the_while() {
    let mut many = Many::new("");
    let group = many.site.add_beacons();
    many.site.args.truncate(4);
    let ear = Ear::new(group);
    let beacons = format!("[beacons]\nto = [\"{group}\"]\ninterface = \"127.0.0.1\"\n");
    let second = KEYED.replace("pms", "cdr").replace("DIR/line", "DIR/cdr");
    many.write(&(beacons.clone() + KEYED));
    let mut daemon = many.site.start().await;
    let mut last = (0, 0);
    for lines in [KEYED.to_owned(), KEYED.to_owned() + &second, second.clone()] {
        many.write(&(beacons.clone() + &lines));
        many.reload(&mut daemon).await;
        let wanted: Vec<_> = ["cdr", "pms"]
            .into_iter()
            .filter(|line| lines.contains(&format!("[line.{line}]")))
            .collect();
        loop {
            let beacon = ear.hear().await;
            assert!((beacon.start, beacon.seq) > last, "nobody would believe it");
            last = (beacon.start, beacon.seq);
            let told: Vec<_> = beacon.lines.iter().map(|line| line.line.to_string()).collect();
            if told == wanted {
                break;
            }
        }
    }
    daemon.stop().await;
}
