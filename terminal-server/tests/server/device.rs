//! A device that goes away and comes back.

use sys::{Pty, SerialPort, Slave};
use wire::{EventKind, Frame, LineEvent};

use crate::client::Client;
use crate::daemon::{Site, read, write};

#[tokio::test]
async fn a_device_that_goes_and_comes_is_an_event_and_no_failover() {
    let mut site = Site::new();
    let mut daemon = site.start().await;
    let mut far = site.far_end();
    let (mut alpha, grant) = Client::granted(daemon.address, "alpha").await;
    write(&mut far, b"before").await;
    alpha.input(6).await;
    drop(far);
    let gone = daemon.event("device").await;
    assert_eq!((&gone["up"], &gone["line"]), (&false.into(), &"pms".into()));
    assert_eq!(site.status().await["lines"][0]["up"], false);
    // Output waits for the device, and its sender's lease lives.
    alpha.output(0, b"patience", None).await;
    alpha.renew(1).await;

    let again = Pty::open(Some(&site.path("cable")), Slave::Held).unwrap();
    let mut far = SerialPort::from(again);
    assert_eq!(daemon.event("device").await["up"], true);
    assert_eq!(read(&mut far, 8).await, b"patience");
    write(&mut far, b"after").await;
    let (offset, input) = alpha.input(5).await;
    assert_eq!((offset, &input[..]), (6, &b"after"[..]));
    let events: Vec<_> = alpha.skipped.iter().filter(|f| matches!(f, Frame::Event(_))).collect();
    let at = |kind| Frame::Event(LineEvent { offset: 6, kind });
    assert_eq!(events, [&at(EventKind::Down), &at(EventKind::Up)]);
    let line = &site.status().await["lines"][0];
    assert_eq!((&line["up"], &line["state"]), (&true.into(), &"held".into()));
    assert_eq!(line["epoch"], grant.epoch.to_string());
}
