//! Looking on over the network: from any kept offset, in nobody's way.

use wire::handshake::{self, Transcript};
use wire::{Ack, Frame, Hello, Nonce, Observe, ObserveFrom, SettingsChange};

use crate::client::Client;
use crate::daemon::{Site, key, write};

/// Connects and observes, from there on.
async fn observe(site: std::net::SocketAddr, from: ObserveFrom) -> (Client, wire::Observing) {
    let mut client = Client::connect(site).await;
    let hello = Hello { min: 1, max: 2, nonce: Nonce([7; 16]), line: "pms".parse().unwrap() };
    client.send(Frame::Hello(hello.clone())).await;
    let Some(Frame::Welcome(welcome)) = client.next().await else { panic!("no WELCOME") };
    let observe = Observe {
        group: "crew".parse().unwrap(),
        node: "recorder".parse().unwrap(),
        from,
        key_id: 0,
        mac: [0; 32],
    };
    let observe = Transcript::new(&hello, &welcome).sign_observe(&key(), observe);
    client.send(Frame::Observe(observe.clone())).await;
    let Some(Frame::Observing(observing)) = client.next().await else { panic!("not observing") };
    assert!(handshake::verify_observing(&key(), &observe.mac, &observing));
    (client, observing)
}

#[tokio::test]
async fn an_observer_sees_all_from_an_offset_on_and_takes_nothing_away() {
    let mut site = Site::new();
    let daemon = site.start().await;
    let mut far = site.far_end();
    let (mut alpha, grant) = Client::granted(daemon.address, "alpha").await;
    write(&mut far, b"settled|kept").await;
    alpha.input(12).await;
    alpha.send(Frame::Ack(Ack { offset: 8, note: None })).await;
    alpha.send(Frame::Renew(1)).await;
    alpha.find(|frame| matches!(frame, Frame::Renewed(1)).then_some(())).await;

    let from = ObserveFrom::At { incarnation: grant.incarnation, offset: 4 };
    let (mut watcher, observing) = observe(daemon.address, from).await;
    assert_eq!((observing.offset, observing.end), (4, 12), "acknowledged input is history");
    assert_eq!(watcher.input(8).await, (4, b"led|kept".to_vec()));
    watcher.send(Frame::Settings(SettingsChange::default())).await;
    let Some(Frame::Settings(settings)) = watcher.next().await else { panic!("no SETTINGS") };
    assert_eq!(settings.baud, Some(115_200));

    write(&mut far, b"|live").await;
    assert_eq!(watcher.input(5).await, (12, b"|live".to_vec()));
    assert_eq!(alpha.input(5).await, (12, b"|live".to_vec()));
    let offsets = &site.status().await["lines"][0];
    assert_eq!((&offsets["acked"], &offsets["end"]), (&8.into(), &17.into()));
}
