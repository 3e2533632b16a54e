//! Stopped, killed, started again.

use std::time::Duration;

use wire::{EventKind, Frame, RefuseWhy, RevokeWhy};

use crate::client::{Client, claim};
use crate::daemon::{Site, read, within, write};

#[tokio::test]
async fn a_restart_by_sigterm_loses_nothing_and_prefers_the_last_holder() {
    let mut site = Site::new();
    let daemon = site.start().await;
    let mut far = site.far_end();
    let (mut alpha, before) = Client::granted(daemon.address, "alpha").await;
    write(&mut far, b"one two ").await;
    alpha.input(8).await;
    alpha.ack(4, Some(b"one is done")).await;
    alpha.renew(1).await;
    write(&mut far, b"three ").await;
    let stopping = tokio::spawn(daemon.stop());
    let revoked = alpha
        .find(|frame| match frame {
            Frame::Revoked(revoked) => Some(*revoked),
            _ => None,
        })
        .await;
    assert_eq!((revoked.epoch, revoked.why), (before.epoch, RevokeWhy::Stopping));
    drop(alpha);
    within(stopping).await.unwrap();
    // The billing system does not stop for that.
    write(&mut far, b"four ").await;

    let mut daemon = site.restart().await;
    let refuse = Client::try_claim(daemon.address, &claim("beta")).await.err().unwrap();
    assert_eq!(
        (refuse.why, refuse.status.reserved_for),
        (RefuseWhy::Reserved, "alpha".parse().ok())
    );
    let (mut alpha, after) = Client::granted(daemon.address, "alpha").await;
    assert_eq!(after.incarnation, before.incarnation);
    assert!(after.epoch > before.epoch);
    assert_eq!(after.acked, 4);
    assert_eq!(&after.note[..], b"one is done");
    let (first, input) = alpha.input(15).await;
    assert_eq!((first, &input[..]), (4, &b"two three four "[..]));
    assert!(!alpha.skipped.iter().any(|frame| matches!(frame, Frame::Event(_))), "no gap");
    daemon.event("granted").await;
    assert_eq!(site.count("granted").await, 1);
}

#[tokio::test]
async fn the_line_is_saved_before_its_device_is_closed() {
    let site = Site::with_virtual_line();
    let daemon = site.start().await;
    let (link, state) = (site.path("line"), site.path("state/terminal-server.state"));
    // The link goes when the device is closed. What is saved by then survives a kill.
    let watch = std::thread::spawn(move || {
        while link.symlink_metadata().is_ok() {}
        std::fs::read_to_string(state).unwrap()
    });
    daemon.stop().await;
    let saved = watch.join().unwrap();
    assert!(saved.contains("\"incarnation\""), "{saved}");
}

#[tokio::test]
async fn a_stop_finishes_the_record_that_was_begun() {
    let mut site = Site::new();
    // 200 bytes take 1.67 s at this speed.
    site.add(&["--pace", "on"]);
    let slow = format!("{},1200,8N1", site.path("cable").display());
    let at = site.args.iter().position(|arg| arg == "--serial").unwrap();
    site.args[at + 1] = slow;
    let daemon = site.start().await;
    let mut far = site.far_end();
    let (mut alpha, _) = Client::granted(daemon.address, "alpha").await;
    write(&mut far, b"question").await;
    alpha.input(8).await;
    alpha.output(0, &[b'x'; 200], Some(8)).await;
    alpha.output(200, b"never begun", None).await;
    read(&mut far, 1).await;
    daemon.stop().await;
    let mut rest = [0; 1000];
    let mut tty = 1;
    while let Some(count) = far.try_read(&mut rest).unwrap() {
        assert!(rest[..count].iter().all(|b| *b == b'x'));
        tty += count;
    }
    // What `read` took beyond its first byte was of the same record.
    assert!((200 - 20..=200).contains(&tty), "{tty}");
    let daemon = site.restart().await;
    let (_, grant) = Client::granted(daemon.address, "alpha").await;
    assert_eq!((grant.acked, grant.position), (8, 200), "the answer went out with its ack");
}

#[tokio::test]
async fn i5_a_kill_is_a_new_stream_a_gap_and_a_higher_epoch() {
    let mut site = Site::new();
    let daemon = site.start().await;
    let mut far = site.far_end();
    let (mut alpha, before) = Client::granted(daemon.address, "alpha").await;
    write(&mut far, b"lost").await;
    alpha.input(4).await;
    daemon.kill().await;
    assert_eq!(alpha.next().await, None);

    let daemon = site.restart().await;
    let (mut beta, after) = Client::granted(daemon.address, "beta").await;
    assert!(after.epoch > before.epoch && after.epoch.start() > before.epoch.start());
    assert!(after.incarnation > before.incarnation);
    assert_eq!((after.acked, after.position), (0, 0));
    let event = |frame: &Frame| match frame {
        Frame::Event(event) => Some(*event),
        _ => None,
    };
    let gap = beta.find(event).await;
    assert_eq!((gap.offset, gap.kind), (0, EventKind::Gap(u64::MAX)));
    write(&mut far, b"fresh").await;
    assert_eq!(beta.input(5).await, (0, b"fresh".to_vec()));
}

#[tokio::test]
async fn i3_a_kill_with_a_spool_loses_nothing_and_the_stream_goes_on() {
    let mut site = Site::new();
    site.add(&["--spool"]);
    let daemon = site.start().await;
    let mut far = site.far_end();
    let (mut alpha, before) = Client::granted(daemon.address, "alpha").await;
    write(&mut far, b"settled, in doubt").await;
    alpha.input(17).await;
    let note = Some(bytes::Bytes::from_static(b"my note"));
    alpha.send(Frame::Ack(wire::Ack { offset: 9, note })).await;
    alpha.send(Frame::Renew(1)).await;
    alpha.find(|frame| matches!(frame, Frame::Renewed(1)).then_some(())).await;
    write(&mut far, b", unseen").await;
    alpha.input(8).await;
    daemon.kill().await;

    let daemon = site.restart().await;
    let (mut alpha, after) = Client::granted(daemon.address, "alpha").await;
    assert_eq!((after.incarnation, after.acked), (before.incarnation, 9));
    assert_eq!((after.delivered, after.end), (25, 25), "all of it is in doubt");
    assert_eq!(&after.note[..], b"my note");
    assert!(after.epoch > before.epoch);
    assert_eq!(alpha.input(16).await, (9, b"in doubt, unseen".to_vec()));
    daemon.kill().await;
    let daemon = site.restart().await;
    let (mut alpha, again) = Client::granted(daemon.address, "alpha").await;
    assert_eq!((again.incarnation, again.acked), (before.incarnation, 9), "nor does a second kill");
    assert_eq!(alpha.input(16).await, (9, b"in doubt, unseen".to_vec()));
}

#[tokio::test]
async fn the_traffic_can_be_written_down() {
    let mut site = Site::new();
    let trace = site.path("trace");
    site.add(&["--trace", trace.to_str().unwrap()]);
    let daemon = site.start().await;
    let mut far = site.far_end();
    let (mut alpha, grant) = Client::granted(daemon.address, "alpha").await;
    write(&mut far, b"\x02call\x03").await;
    alpha.input(6).await;
    let bytes = bytes::Bytes::from_static(b"\x06");
    let output = wire::Output { position: grant.position, ack: None, note: None, bytes };
    alpha.send(Frame::Output(output)).await;
    alpha.find(|frame| matches!(frame, Frame::Written(_)).then_some(())).await;
    daemon.stop().await;
    let text = std::fs::read_to_string(&trace).unwrap();
    for part in ["STX", "call", "ETX", "ACK", "Granted"] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

#[tokio::test]
async fn i5_a_node_that_has_seen_a_higher_epoch_gets_a_higher_one() {
    let site = Site::new();
    let daemon = site.start().await;
    let (alpha, first) = Client::granted(daemon.address, "alpha").await;
    drop(alpha);
    let seen = wire::Epoch::new(first.epoch.start() + 1000, 7);
    let ahead = wire::Claim { seen, ..claim("beta") };
    let (beta, grant) = Client::try_claim(daemon.address, &ahead).await.ok().unwrap();
    assert_eq!(grant.epoch, wire::Epoch::new(seen.start() + 1, 1));
    drop(beta);
    daemon.kill().await;
    let daemon = site.restart().await;
    let (_, after) = Client::granted(daemon.address, "alpha").await;
    assert!(after.epoch > grant.epoch, "it was on the disk before the grant");
}

#[tokio::test]
async fn a_start_that_fails_consumes_nothing() {
    let mut site = Site::new();
    let daemon = site.start().await;
    let mut far = site.far_end();
    let (mut alpha, before) = Client::granted(daemon.address, "alpha").await;
    write(&mut far, b"kept").await;
    alpha.input(4).await;
    drop(alpha);
    daemon.stop().await;

    let busy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = site.args.iter().position(|arg| arg == "--listen-line").unwrap();
    let free = std::mem::replace(&mut site.args[at + 1], busy.local_addr().unwrap().to_string());
    let (code, said) = site.fails(&[]).await;
    assert_eq!(code, Some(69));
    assert!(said.contains("failed to listen on 127.0.0.1"), "{said}");

    site.args[at + 1] = free;
    let daemon = site.restart().await;
    let (mut alpha, after) = Client::granted(daemon.address, "alpha").await;
    assert_eq!(after.incarnation, before.incarnation);
    assert_eq!(alpha.input(4).await, (0, b"kept".to_vec()));
}

#[tokio::test]
async fn a_client_that_takes_no_notice_does_not_hold_up_a_stop() {
    let site = Site::new();
    let daemon = site.start().await;
    let (_alpha, _) = Client::granted(daemon.address, "alpha").await;
    let silent = tokio::net::TcpStream::connect(daemon.address).await.unwrap();
    let began = sys::boottime();
    daemon.stop().await;
    assert!(sys::boottime() - began < Duration::from_secs(2));
    drop(silent);
}
