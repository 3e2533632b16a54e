//! The payload as the node sees it: quick to begin, quick to end.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use billing::numbered::{answer_for, record, record_bytes};
use bytes::{Bytes, BytesMut};
use lab::Spread;
use rustix::process::{Pid, Signal, kill_process};
use sys::boottime;
use tokio_util::codec::Decoder;
use wire::{Epoch, Frame, FrameCodec, Grant, Input, LastFrame, Output};

use crate::common::{LAB, Turn};

/// Starts an answerer, and says how long it took to its first answer.
fn answered(arguments: &[&str]) -> (Child, Output, Duration) {
    let began = boottime();
    let mut child = Command::new(LAB)
        .arg("answerer")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let grant = Grant {
        epoch: Epoch::new(1, 1),
        lease_ms: 400,
        incarnation: 1,
        acked: 0,
        delivered: 0,
        end: 0,
        position: 10,
        last: LastFrame::default(),
        note: Bytes::new(),
        mac: [0; 32],
    };
    let mut bytes = BytesMut::new();
    Frame::Grant(grant).encode(&mut bytes);
    Frame::Input(Input { offset: 0, bytes: record_bytes(1, 1).into() }).encode(&mut bytes);
    child.stdin.as_mut().unwrap().write_all(&bytes).unwrap();
    let mut inbox = BytesMut::new();
    let output = loop {
        if let Some(frame) = FrameCodec.decode(&mut inbox).unwrap() {
            break frame;
        }
        let mut chunk = [0; 1024];
        let count = child.stdout.as_mut().unwrap().read(&mut chunk).unwrap();
        assert_ne!(count, 0, "it ended without an answer");
        inbox.extend_from_slice(&chunk[..count]);
    };
    let Frame::Output(output) = output else { panic!("{output:?}") };
    (child, output, boottime() - began)
}

#[test]
fn it_answers_within_milliseconds_of_its_start() {
    let _turns = Turn::take_all();
    let times = (0..20).map(|_| {
        let (mut child, output, took) = answered(&[]);
        assert_eq!(output.bytes, answer_for(&record(1, 1)));
        assert_eq!((output.position, output.ack), (10, Some(record_bytes(1, 1).len() as u64)));
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
        took
    });
    let spread = Spread::of(times).unwrap();
    println!("from exec to the first answer: median {:?}, worst {:?}", spread.median, spread.max);
    // An optimised build takes less than 3 ms; this one runs on whatever runs the tests.
    assert!(spread.median < Duration::from_millis(30), "{spread:?}");
}

#[test]
fn it_ends_at_once_when_asked_and_in_order() {
    let _turns = Turn::take_all();
    let times = (0..10).map(|round| {
        let (mut child, ..) = answered(&[]);
        let began = boottime();
        if round % 2 == 0 {
            kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        } else {
            drop(child.stdin.take());
        }
        assert_eq!(child.wait().unwrap().code(), Some(0));
        boottime() - began
    });
    let spread = Spread::of(times).unwrap();
    println!("from the request to the end: median {:?}, worst {:?}", spread.median, spread.max);
    assert!(spread.median < Duration::from_millis(20), "{spread:?}");
}

#[test]
fn it_crashes_and_stays_when_told_to() {
    let (mut child, ..) = answered(&["--crash-after", "1"]);
    assert_eq!(child.wait().unwrap().code(), Some(70));
    let (mut child, ..) = answered(&["--ignore-term"]);
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    drop(child.stdin.take());
    let waiter = sys::process::Waiter::new().unwrap();
    waiter.wait(&[], Some(boottime() + Duration::from_millis(50))).unwrap();
    assert_eq!(child.try_wait().unwrap(), None);
    child.kill().unwrap();
    child.wait().unwrap();
}
