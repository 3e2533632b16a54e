//! The exact bytes of what version 2 of the line protocol brought. All else is in `golden_v1.rs`.
//!
//! If one of these fails, do NOT change the test: the wire changed, and the programs already
//! installed somewhere do not understand it. A new version gets a new file beside this one.
//!
//! The bytes were made by a second encoder in another language, with another implementation of
//! HMAC. Groups of digits are fields, in the order of `docs/wire-format.md`; the first group of a
//! frame is its length.

use bytes::BytesMut;
use wire::handshake::{self, Transcript};
use wire::{
    BootId, Claim, Epoch, Flow, Frame, Hello, Key, LineState, LineStatus, Name, Nonce, Observe,
    ObserveFrom, Observing, Parity, Refuse, RefuseWhy, SettingsChange, SignalChange, Signals,
    StopBits, Welcome,
};

#[test]
fn constants() {
    assert_eq!(wire::frame::MAX_BREAK, 5000);
}

#[test]
fn hello_and_welcome_choose_version_2() {
    frame(
        Frame::Hello(hello()),
        "001e 01 4c4b4c4e 01 02 a0a1a2a3a4a5a6a7a8a9aaabacadaeaf 066c696e652d31",
    );
    frame(Frame::Welcome(welcome()), "0017 02 02 b0b1b2b3b4b5b6b7b8b9babbbcbdbebf 0474732d31");
}

/// The text in its MAC is still that of version 1; the version is in WELCOME.
#[test]
fn claim_with_its_mac() {
    let (group, node, boot) = (name("billing"), name("node-a"), BootId(counting(0xc0)));
    let (seen, mac) = (Epoch::new(3, 9), [0; 32]);
    let claim = Claim { group, node, boot, seen, lease_ms: 400, key_id: 7, mac };
    frame(
        Frame::Claim(transcript().sign_claim(&key(), claim)),
        "004d 03 0762696c6c696e67 066e6f64652d61 c0c1c2c3c4c5c6c7c8c9cacbcccdcecf 0000000300000009
         00000190 07 106ec57430248c501c7e02817a612d1c2a79fb68e08645e13136a7aabebd374c",
    );
}

#[test]
fn observe_with_its_mac() {
    let observe = |from| {
        let observe = observe(from);
        assert!(transcript().verify_observe(&key(), &observe));
        Frame::Observe(observe)
    };
    frame(
        observe(ObserveFrom::Live),
        "0043 06 0762696c6c696e67 0777617463682d31 00 0000000000000000 0000000000000000 07
         a19b5c43c057df5cd62c716feaf2cad5339d0ccb9e0e27492f0a5e5723a749fe",
    );
    frame(
        observe(ObserveFrom::Oldest),
        "0043 06 0762696c6c696e67 0777617463682d31 01 0000000000000000 0000000000000000 07
         1e9e5c1445f72d9a3bd9ebaa01d6283a0abb4da39af38e09f90ad72c29cb8f8d",
    );
    frame(
        observe(FROM_1500),
        "0043 06 0762696c6c696e67 0777617463682d31 02 1122334455667788 00000000000005dc 07
         25ac0be316dad3f51f8feb92b503320b3c7c3f29d354d688d3cceb80225592de",
    );
}

#[test]
fn observing_with_its_mac() {
    let (incarnation, offset, end) = (0x1122_3344_5566_7788, 1600, 2000);
    let observing = Observing { incarnation, offset, end, mac: [0; 32] };
    let asked = observe(FROM_1500).mac;
    let observing = handshake::sign_observing(&key(), &asked, observing);
    assert!(handshake::verify_observing(&key(), &asked, &observing));
    frame(
        Frame::Observing(observing),
        "0039 07 1122334455667788 0000000000000640 00000000000007d0
         b38f033c9adb84e6187337db278c7fcdeaec676b9891e79f3279b26751821bf1",
    );
}

#[test]
fn an_observe_can_be_refused() {
    let status = LineStatus {
        line: name("line-1"),
        up: true,
        state: LineState::Held,
        holder: Some(name("node-b")),
        epoch: Epoch::new(3, 9),
        lease_ms: 400,
        left_ms: 250,
        reserved_for: None,
    };
    let refuse = Refuse { why: RefuseWhy::Stopping, retry_ms: 0, status, mac: [0; 32] };
    frame(
        Frame::Refuse(handshake::sign_refuse(&key(), &observe(FROM_1500).mac, refuse)),
        "0047 05 05 00000000 066c696e652d31 01 00 066e6f64652d62 0000000300000009 00000190 000000fa
         00 acc7f714d6b5652279d1d44f990a095ad1e25f1e8506e3656218b1cab1283b48",
    );
}

#[test]
fn settings() {
    let none = SettingsChange::default();
    let settings = |text: &str| Frame::Settings(text.parse::<wire::LineSettings>().unwrap().into());
    frame(Frame::Settings(none), "0009 30 00000000 00 00 00 00");
    frame(settings("9600,7E2,rtscts"), "0009 30 00002580 07 03 02 03");
    frame(settings("50,5S1.5"), "0009 30 00000032 05 05 03 01");
    let baud = SettingsChange { baud: Some(115_200), ..none };
    frame(Frame::Settings(baud), "0009 30 0001c200 00 00 00 00");
    let parity = |parity| Frame::Settings(SettingsChange { parity: Some(parity), ..none });
    frame(parity(Parity::None), "0009 30 00000000 00 01 00 00");
    frame(parity(Parity::Odd), "0009 30 00000000 00 02 00 00");
    frame(parity(Parity::Even), "0009 30 00000000 00 03 00 00");
    frame(parity(Parity::Mark), "0009 30 00000000 00 04 00 00");
    frame(parity(Parity::Space), "0009 30 00000000 00 05 00 00");
    let stop = |stop| Frame::Settings(SettingsChange { stop_bits: Some(stop), ..none });
    frame(stop(StopBits::One), "0009 30 00000000 00 00 01 00");
    frame(stop(StopBits::Two), "0009 30 00000000 00 00 02 00");
    frame(stop(StopBits::OnePointFive), "0009 30 00000000 00 00 03 00");
    let flow = |flow| Frame::Settings(SettingsChange { flow: Some(flow), ..none });
    frame(flow(Flow::None), "0009 30 00000000 00 00 00 01");
    frame(flow(Flow::XonXoff), "0009 30 00000000 00 00 00 02");
    frame(flow(Flow::RtsCts), "0009 30 00000000 00 00 00 03");
}

#[test]
fn set_signals() {
    let set = |dtr, rts, brk| Frame::SetSignals(SignalChange { dtr, rts, brk });
    frame(set(None, None, None), "0003 31 00 00");
    frame(set(Some(true), None, None), "0003 31 01 01");
    frame(set(Some(false), None, None), "0003 31 01 00");
    frame(set(None, Some(true), None), "0003 31 02 02");
    frame(set(None, Some(false), None), "0003 31 02 00");
    frame(set(None, None, Some(true)), "0003 31 40 40");
    frame(set(None, None, Some(false)), "0003 31 40 00");
    frame(set(Some(false), Some(true), Some(true)), "0003 31 43 42");
    frame(set(Some(true), Some(true), Some(true)), "0003 31 43 43");
}

#[test]
fn signals() {
    frame(Frame::Signals(Signals::NONE), "0002 32 00");
    frame(Frame::Signals(Signals::DTR), "0002 32 01");
    frame(Frame::Signals(Signals::RTS), "0002 32 02");
    frame(Frame::Signals(Signals::CTS), "0002 32 04");
    frame(Frame::Signals(Signals::DSR), "0002 32 08");
    frame(Frame::Signals(Signals::RI), "0002 32 10");
    frame(Frame::Signals(Signals::DCD), "0002 32 20");
    frame(Frame::Signals(Signals::BREAK), "0002 32 40");
    frame(Frame::Signals(Signals::ALL), "0002 32 7f");
}

#[test]
fn a_break() {
    frame(Frame::Break(1), "0005 33 00000001");
    frame(Frame::Break(250), "0005 33 000000fa");
    frame(Frame::Break(5000), "0005 33 00001388");
}

/// Encoding gives these bytes, and these bytes give the value.
#[track_caller]
fn frame(value: Frame, golden: &str) {
    let mut encoded = BytesMut::new();
    value.encode(&mut encoded);
    let golden = golden.split_whitespace().collect::<String>();
    let hex: String = encoded.iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(hex, golden, "{} encoded", value.name());
    assert_eq!(Frame::decode(encoded.split_off(2).freeze()), Ok(value), "decoded");
}

fn name(text: &str) -> Name {
    text.parse().expect("names in this file are valid")
}

/// `first`, `first + 1`, and so on.
fn counting<const N: usize>(first: u8) -> [u8; N] {
    std::array::from_fn(|i| first + i as u8)
}

fn key() -> Key {
    Key::new(7, counting(0))
}

fn hello() -> Hello {
    Hello { min: 1, max: 2, nonce: Nonce(counting(0xa0)), line: name("line-1") }
}

fn welcome() -> Welcome {
    Welcome { version: 2, nonce: Nonce(counting(0xb0)), server: name("ts-1") }
}

fn transcript() -> Transcript {
    Transcript::new(&hello(), &welcome())
}

fn observe(from: ObserveFrom) -> Observe {
    let (group, node) = (name("billing"), name("watch-1"));
    let observe = Observe { group, node, from, key_id: 7, mac: [0; 32] };
    transcript().sign_observe(&key(), observe)
}

const FROM_1500: ObserveFrom = ObserveFrom::At { incarnation: 0x1122_3344_5566_7788, offset: 1500 };
