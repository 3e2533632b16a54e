//! An ordinary life: claim, read, acknowledge, write, give back.

use std::path::PathBuf;
use std::time::Duration;

use sys::process::Signal;
use terminal_server::driver::Speech;
use terminal_server::{LineOptions, ListenOptions, Options, PortOptions, Server};
use tokio_util::sync::CancellationToken;
use wire::{Epoch, Frame, RefuseWhy, RevokeWhy, Written};

use crate::client::{Client, claim};
use crate::daemon::{Site, key, program, read, within, write};

#[tokio::test]
async fn a_holder_reads_acknowledges_and_writes() {
    for mut site in [Site::new(), Site::with_virtual_line()] {
        let mut daemon = site.start().await;
        let mut far = site.far_end();
        let (mut alpha, grant) = Client::granted(daemon.address, "alpha").await;
        assert_eq!(grant.epoch.count(), 1);
        assert_eq!((grant.acked, grant.position), (0, 0));
        let event = daemon.event("granted").await;
        assert_eq!((&event["node"], &event["line"]), (&"alpha".into(), &"pms".into()));
        assert_eq!(event["epoch"], grant.epoch.to_string());

        write(&mut far, b"record 1\n").await;
        assert_eq!(alpha.input(9).await, (0, b"record 1\n".to_vec()));
        alpha.output(0, b"answer 1\n", Some(9)).await;
        assert_eq!(read(&mut far, 9).await, b"answer 1\n");
        let drained = |frame: &Frame| match frame {
            Frame::Written(Written { accepted: 9, drained: 9 }) => Some(()),
            _ => None,
        };
        alpha.find(drained).await;
        alpha.renew(1).await;

        let status = &site.status().await["lines"][0];
        assert_eq!((&status["state"], &status["holder"]), (&"held".into(), &"alpha".into()));
        assert_eq!((&status["acked"], &status["end"]), (&9.into(), &9.into()));
        assert_eq!(status["counters"]["bytes_out"], 9);

        alpha.send(Frame::Release(None)).await;
        assert_eq!(alpha.next().await, None);
        assert_eq!(daemon.event("ended").await["cause"], "released");
        let (_, next) = Client::granted(daemon.address, "beta").await;
        assert_eq!(next.epoch, Epoch::new(grant.epoch.start(), 2));
        daemon.stop().await;
    }
}

#[tokio::test]
async fn i1_a_second_claimant_is_refused_and_told_by_whom() {
    let site = Site::new();
    let mut daemon = site.start().await;
    let (mut alpha, grant) = Client::granted(daemon.address, "alpha").await;
    let refuse = Client::try_claim(daemon.address, &claim("beta")).await.err().unwrap();
    assert_eq!(refuse.why, RefuseWhy::Held);
    assert_eq!((refuse.status.holder, refuse.status.epoch), ("alpha".parse().ok(), grant.epoch));
    let event = daemon.event("refused").await;
    assert_eq!((&event["node"], &event["cause"]), (&"beta".into(), &"held".into()));
    assert_eq!(site.count("refused_busy").await, 1);
    alpha.renew(1).await;
}

#[tokio::test]
async fn every_byte_passes_unchanged_both_ways_at_speed() {
    let mut site = Site::new();
    site.add(&["--pace", "off"]);
    let daemon = site.start().await;
    let mut far = site.far_end();
    let (mut alpha, _) = Client::granted(daemon.address, "alpha").await;
    let bytes: Vec<u8> = (0..200_000_u32).map(|n| (n * 7 + n / 256) as u8).collect();
    let mut received = Vec::new();
    let mut echoed = Vec::new();
    for block in bytes.chunks(2000) {
        write(&mut far, block).await;
        let (_, got) = alpha.input(block.len()).await;
        let ack = (received.len() + got.len()) as u64;
        alpha.output(echoed.len() as u64, &got, Some(ack)).await;
        received.extend(got);
        echoed.extend(read(&mut far, block.len()).await);
    }
    assert_eq!(received, bytes);
    assert_eq!(echoed, bytes);
}

#[tokio::test]
async fn a_lease_that_is_not_renewed_ends() {
    let site = Site::new();
    let mut daemon = site.start().await;
    let short = wire::Claim { lease_ms: 50, ..claim("alpha") };
    let (mut alpha, grant) = Client::try_claim(daemon.address, &short).await.ok().unwrap();
    let revoked = |frame: &Frame| match frame {
        Frame::Revoked(revoked) => Some(*revoked),
        _ => None,
    };
    let revoked = alpha.find(revoked).await;
    assert_eq!((revoked.epoch, revoked.why), (grant.epoch, RevokeWhy::Expired));
    assert_eq!(alpha.next().await, None);
    assert_eq!(daemon.event("ended").await["cause"], "lease");
    Client::granted(daemon.address, "beta").await;
}

#[tokio::test]
async fn a_server_that_was_stopped_expires_no_lease_whose_renewal_lies_unread() {
    let site = Site::new();
    let daemon = site.start().await;
    let short = wire::Claim { lease_ms: 400, ..claim("alpha") };
    let (mut alpha, _) = Client::try_claim(daemon.address, &short).await.ok().unwrap();
    for n in 0..5 {
        daemon.signal(Signal::STOP);
        tokio::time::sleep(Duration::from_millis(500)).await;
        alpha.send(Frame::Renew(n)).await;
        daemon.signal(Signal::CONT);
        alpha.find(|frame| (*frame == Frame::Renewed(n)).then_some(())).await;
    }
    assert_eq!(site.count("expired").await, 0);
}

#[tokio::test]
async fn the_status_is_a_table_and_json() {
    let site = Site::new();
    let daemon = site.start().await;
    let (_alpha, _) = Client::granted(daemon.address, "alpha").await;
    let socket = site.path("status").display().to_string();
    let ask = |more: &'static [&'static str]| {
        let mut command = tokio::process::Command::new(program());
        command.args(["status", "--status", &socket]).args(more);
        command
    };
    let table = within(ask(&[]).output()).await.unwrap();
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.contains("held by alpha"), "{table}");
    let json = within(ask(&["--json"]).output()).await.unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["lines"][0]["holder"], "alpha");
    daemon.stop().await;
    let gone = within(ask(&[]).output()).await.unwrap();
    assert_eq!(gone.status.code(), Some(69));
    assert!(String::from_utf8(gone.stderr).unwrap().contains("is it running?"));
}

#[tokio::test]
async fn the_library_binds_port_0_says_which_and_stops_when_told() {
    let dir = tempfile::tempdir().unwrap();
    let settings = "9600,8N1".parse().unwrap();
    let (link, access) = (dir.path().join("line"), sys::PtyAccess::default());
    let port = PortOptions::Virtual { link, settings, access };
    let group =
        terminal_server::core::GroupKeys { group: "crew".parse().unwrap(), keys: key().into() };
    let mut line = LineOptions::new("pms".parse().unwrap(), port);
    line.groups = vec![group];
    line.listeners = vec![ListenOptions::new(Speech::Line, ([127, 0, 0, 1], 0).into())];
    let options = Options {
        state: Some(PathBuf::from(dir.path())),
        new_state: true,
        ..Options::new("ts".parse().unwrap(), vec![line])
    };
    let server = Server::bind(options).await.unwrap();
    let (address, asker) = (server.address().unwrap(), server.asker());
    assert_ne!(address.port(), 0);
    let shutdown = CancellationToken::new();
    let served = tokio::spawn(server.serve(shutdown.clone()));
    let (_alpha, grant) = Client::granted(address, "alpha").await;
    assert_eq!(within(asker.ask()).await.lines[0].epoch, grant.epoch.to_string());
    shutdown.cancel();
    within(served).await.unwrap().unwrap();
    assert!(asker.ask().await.lines.is_empty());
    assert!(!dir.path().join("line").exists(), "the link went with the line");
}
