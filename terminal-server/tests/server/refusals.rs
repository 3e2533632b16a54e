//! Strangers and nonsense: refused, counted, and the holder does not notice.

use std::time::Duration;

use bytes::{BufMut, BytesMut};
use terminal_server::core::config::LINGER;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wire::frame::MAX_FRAME;
use wire::{Ack, Claim, ErrorCode, Frame, RefuseWhy};

use crate::client::{Client, claim};
use crate::daemon::{Site, read, within, write};

/// What somebody is told who connects and sends just this.
async fn answer(site: &Site, address: std::net::SocketAddr, bytes: &[u8]) -> Option<Frame> {
    let before = site.count("misuse").await;
    let mut client = Client::connect(address).await;
    within(client.stream.write_all(bytes)).await.unwrap();
    let answer = client.next().await;
    site.counted("misuse", before + 1).await;
    answer
}

#[tokio::test]
async fn garbage_oversized_and_misplaced_frames_are_refused_and_counted() {
    let mut site = Site::new();
    let mut daemon = site.start().await;
    let mut far = site.far_end();
    let (mut alpha, _) = Client::granted(daemon.address, "alpha").await;
    let mut oversized = BytesMut::new();
    oversized.put_u16(MAX_FRAME as u16 + 1);
    let mut misplaced = BytesMut::new();
    Frame::Renew(1).encode(&mut misplaced);
    let bad = [
        (&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], ErrorCode::BadFrame),
        (b"\0\0", ErrorCode::BadFrame),
        (b"\0\x01\xee", ErrorCode::BadFrame),
        (&oversized, ErrorCode::BadFrame),
        (&misplaced, ErrorCode::Unexpected),
    ];
    for (bytes, code) in bad {
        let answer = answer(&site, daemon.address, bytes).await;
        assert!(matches!(&answer, Some(Frame::Error(c, _)) if *c == code), "{answer:?}");
    }
    let event = daemon.event("misuse").await;
    assert_eq!(event["cause"], "bad_frame");
    assert!(event["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
    let mut stranger = Client::connect(daemon.address).await;
    let error = stranger.hello("elsewhere").await.err();
    assert!(matches!(error, Some(Frame::Error(ErrorCode::UnknownLine, _))), "{error:?}");

    alpha.output(0, b"undisturbed", None).await;
    assert_eq!(read(&mut far, 11).await, b"undisturbed");
    write(&mut far, b"indeed").await;
    assert_eq!(alpha.input(6).await, (0, b"indeed".to_vec()));
    assert_eq!(
        site.status().await["lines"][0]["epoch"].as_str().unwrap().split('.').nth(1),
        Some("1")
    );
}

#[tokio::test]
async fn a_frame_cut_by_the_end_of_its_connection_is_nothing() {
    let site = Site::new();
    let daemon = site.start().await;
    let (mut alpha, _) = Client::granted(daemon.address, "alpha").await;
    for cut in [&b"\0"[..], b"\0\x20", b"\0\x20\x01LKLN\x01"] {
        let mut stranger = TcpStream::connect(daemon.address).await.unwrap();
        stranger.write_all(cut).await.unwrap();
        stranger.shutdown().await.unwrap();
        assert_eq!(within(stranger.read(&mut [0; 10])).await.unwrap(), 0);
    }
    alpha.renew(1).await;
}

#[tokio::test]
async fn a_wrong_key_is_refused_and_counted() {
    let site = Site::new();
    let daemon = site.start().await;
    let (mut alpha, _) = Client::granted(daemon.address, "alpha").await;
    for (spoil, why) in [
        ((|c| Claim { mac: [7; 32], ..c }) as fn(Claim) -> Claim, RefuseWhy::Mac),
        (|c| Claim { group: "pirates".parse().unwrap(), ..c }, RefuseWhy::Group),
    ] {
        let mut client = Client::connect(daemon.address).await;
        client.hello("pms").await.unwrap();
        client.send(Frame::Claim(spoil(claim("mallory")))).await;
        let answer = client.next().await;
        assert!(matches!(&answer, Some(Frame::Refuse(r)) if r.why == why), "{answer:?}");
        assert_eq!(client.next().await, None);
    }
    assert_eq!(site.count("refused_stranger").await, 2);
    alpha.renew(1).await;
}

#[tokio::test]
async fn a_crowd_that_says_nothing_keeps_nobody_out() {
    let site = Site::new();
    let daemon = site.start().await;
    let mut crowd = Vec::new();
    for _ in 0..300 {
        crowd.push(within(TcpStream::connect(daemon.address)).await.unwrap());
    }
    let (mut alpha, _) = Client::granted(daemon.address, "alpha").await;
    alpha.renew(1).await;
    assert!(site.status().await["refused"]["crowded"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn a_crowd_that_says_hello_and_nothing_more_keeps_nobody_out() {
    let site = Site::new();
    let daemon = site.start().await;
    let mut crowd = Vec::new();
    for _ in 0..100 {
        let mut client = Client::connect(daemon.address).await;
        client.hello("pms").await.unwrap();
        crowd.push(client);
    }
    let (mut alpha, _) = Client::granted(daemon.address, "alpha").await;
    alpha.renew(1).await;
    assert!(site.count("full").await >= 37);
}

#[tokio::test]
async fn a_holder_that_chatters_and_does_not_renew_is_ended_and_delays_nobody() {
    let site = Site::new();
    let daemon = site.start().await;
    let short = Claim { lease_ms: 200, ..claim("alpha") };
    let (alpha, _) = Client::try_claim(daemon.address, &short).await.ok().unwrap();
    let mut chatter = BytesMut::new();
    for _ in 0..4000 {
        Frame::Ack(Ack { offset: 0, note: None }).encode(&mut chatter);
    }
    let mut stream = alpha.stream.into_std().unwrap();
    stream.set_nonblocking(false).unwrap();
    // It ends with its connection.
    std::thread::spawn(move || while std::io::Write::write_all(&mut stream, &chatter).is_ok() {});
    tokio::time::sleep(Duration::from_millis(400)).await;
    let others = async {
        site.counted("expired", 1).await;
        let (mut beta, _) = Client::granted(daemon.address, "beta").await;
        beta.renew(1).await;
    };
    // Well before the chatterer's connection is closed for being over.
    tokio::time::timeout(LINGER * 4 / 5, others).await.unwrap();
}

#[tokio::test]
async fn a_holder_that_floods_is_ended_and_the_line_goes_on() {
    let mut site = Site::new();
    let daemon = site.start().await;
    let mut far = site.far_end();
    let (mut alpha, _) = Client::granted(daemon.address, "alpha").await;
    for n in 0..100 {
        alpha.output(n * 2000, &[b'x'; 2000], None).await;
    }
    let error = |frame: &Frame| match frame {
        Frame::Error(code, _) => Some(*code),
        _ => None,
    };
    assert_eq!(alpha.find(error).await, ErrorCode::Window);
    let (mut beta, grant) = Client::granted(daemon.address, "beta").await;
    beta.output(grant.position, b"beta", None).await;
    let tty = read(&mut far, grant.position as usize + 4).await;
    assert!(tty.ends_with(b"xbeta"));
    assert!(tty.len() < 3000, "what had not begun was dropped");
}

#[tokio::test]
async fn a_client_that_does_not_read_costs_little_and_loses_only_its_lease() {
    let mut site = Site::new();
    let daemon = site.start().await;
    let mut far = site.far_end();
    let deaf = Claim { lease_ms: 300, ..claim("alpha") };
    let (alpha, _) = Client::try_claim(daemon.address, &deaf).await.ok().unwrap();
    let line = vec![b'i'; 300_000];
    write(&mut far, &line).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    let (mut beta, grant) = Client::granted(daemon.address, "beta").await;
    assert_eq!(grant.acked, 0);
    assert!(grant.delivered <= 64 * 1024, "{grant:?}");
    let (_, got) = beta.input(64 * 1024).await;
    assert_eq!(got.len(), 64 * 1024);
    drop(alpha);
}
