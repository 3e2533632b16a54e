//! The library's `run` on in-memory pipes, with the real clock.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::time::Duration;

use billing::LinkEngine;
use billing::numbered::Gateway;
use billing_sim::core::event::{End, Event};
use billing_sim::core::report::Report;
use billing_sim::{EVENT_QUEUE, Options, Shutdown, Stream, run};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

fn fast(count: u32) -> Options {
    Options {
        port: "pipe".to_owned(),
        interval: None,
        count: Some(count),
        settle: Duration::from_millis(200),
        fast: true,
        ..Options::default()
    }
}

/// Answers until the line closes. `spoil` may change an answer on its way.
async fn answer(mut line: DuplexStream, mut spoil: impl FnMut(u64, Vec<u8>) -> Vec<u8>) {
    let mut gateway = Gateway::new(0);
    let (mut buf, mut count) = (vec![0; 1000], 0);
    while let Ok(len @ 1..) = line.read(&mut buf).await {
        gateway.handle_bytes(&buf[..len], Duration::ZERO);
        while let Some(transmit) = gateway.poll_transmit() {
            count += 1;
            if line.write_all(&spoil(count, transmit.bytes.to_vec())).await.is_err() {
                return;
            }
        }
    }
}

async fn against(options: Options, spoil: impl FnMut(u64, Vec<u8>) -> Vec<u8>) -> Report {
    let (near, far) = tokio::io::duplex(4096);
    let running = run(options, Stream(near), CancellationToken::new(), None);
    tokio::select! {
        report = running => report.unwrap(),
        () = async { answer(far, spoil).await; std::future::pending().await } => unreachable!(),
    }
}

#[tokio::test]
async fn a_good_gateway_passes_ten_thousand_records() {
    let report = against(fast(10_000), |_, bytes| bytes).await;
    assert!(report.pass, "{report:#?}");
    assert_eq!((report.outcome.sent.records, report.outcome.received.answers), (10_000, 10_000));
}

#[tokio::test]
async fn a_bad_gateway_fails() {
    let spoil = |n, bytes: Vec<u8>| if n == 50 { Vec::new() } else { bytes };
    let report = against(fast(100), spoil).await;
    assert!(!report.pass);
    assert_eq!(report.outcome.verdicts.lost, 1);
}

#[tokio::test]
async fn paced_records_take_their_time_and_events_tell_it() {
    let mut options = Options { fast: false, ..fast(10) };
    options.line = "57600,8N1".parse().unwrap();
    let char_time = options.line.char_time();
    let (sender, mut receiver) = mpsc::channel(EVENT_QUEUE);
    let (near, far) = tokio::io::duplex(4096);
    tokio::spawn(answer(far, |_, bytes| bytes));
    let report = run(options, Stream(near), CancellationToken::new(), Some(sender)).await.unwrap();
    assert!(report.pass, "{report:#?}");
    assert_eq!(report.events_dropped, 0);
    let mut events = Vec::new();
    while let Some(event) = receiver.recv().await {
        events.push(event);
    }
    let last_sent = events.iter().rev().find_map(|event| match event {
        Event::Sent { at, number: 10, .. } => Some(*at),
        _ => None,
    });
    // Never ahead of the line; how far behind is up to the host.
    let took = last_sent.unwrap() - report.outcome.started;
    assert!(took >= char_time * report.outcome.sent.bytes as u32, "{took:?}");
    let answered = events.iter().filter(|event| matches!(event, Event::Answered { .. })).count();
    assert_eq!(answered, 10);
    assert!(matches!(events.last(), Some(Event::Ended { why: End::Count, .. })));
}

#[tokio::test]
async fn told_to_stop_it_finishes_its_record_and_settles() {
    let options = Options { count: None, interval: Some(Duration::from_millis(10)), ..fast(1) };
    let stop = CancellationToken::new();
    let (near, far) = tokio::io::duplex(4096);
    tokio::spawn(answer(far, |_, bytes| bytes));
    let running = tokio::spawn(run(options, Stream(near), stop.clone(), None));
    tokio::time::sleep(Duration::from_millis(100)).await;
    stop.cancel();
    let report = running.await.unwrap().unwrap();
    assert!(report.pass, "{report:#?}");
    assert_eq!(report.outcome.ended, End::Stopped);
}

#[tokio::test]
async fn aborted_it_reports_at_once_although_the_line_is_blocked() {
    let shutdown = Shutdown::default();
    // Nobody reads the far end, so the first write never ends.
    let (near, _far) = tokio::io::duplex(10);
    let running = tokio::spawn(run(fast(1000), Stream(near), shutdown.clone(), None));
    tokio::time::sleep(Duration::from_millis(20)).await;
    shutdown.stop.cancel();
    shutdown.abort.cancel();
    let running = tokio::time::timeout(Duration::from_secs(5), running);
    let report = running.await.expect("at once").unwrap().unwrap();
    assert!(!report.pass);
    assert_eq!(report.outcome.ended, End::Stopped);
}

#[tokio::test]
async fn a_port_that_goes_away_ends_the_run() {
    let (near, far) = tokio::io::duplex(4096);
    let running = tokio::spawn(run(fast(1_000_000), Stream(near), CancellationToken::new(), None));
    drop(far);
    let report = running.await.unwrap().unwrap();
    assert_eq!(report.outcome.ended, End::Gone);
    assert!(!report.pass);
}

#[tokio::test]
async fn a_slow_receiver_of_events_costs_events_and_nothing_else() {
    let (sender, receiver) = mpsc::channel(8);
    let (near, far) = tokio::io::duplex(4096);
    tokio::spawn(answer(far, |_, bytes| bytes));
    let report =
        run(fast(100), Stream(near), CancellationToken::new(), Some(sender)).await.unwrap();
    drop(receiver);
    assert!(report.pass);
    assert!(report.events_dropped > 100, "{}", report.events_dropped);
}
