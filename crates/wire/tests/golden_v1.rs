//! The exact bytes of every message of version 1 of the line protocol and of the datagrams.
//!
//! If one of these fails, do NOT change the test: the wire changed, and the programs already
//! installed somewhere do not understand it. A new version gets a new file beside this one.
//!
//! The bytes were made by a second encoder in another language, with another implementation of
//! HMAC. Groups of digits are fields, in the order of `docs/wire-format.md`; the first group of a
//! frame is its length.

use bytes::{Bytes, BytesMut};
use wire::handshake::{self, Transcript};
use wire::{
    Ack, Beacon, BootId, Claim, Datagram, Epoch, ErrorCode, EventKind, Fate, Frame, FreeCause,
    Grant, Heartbeat, Hello, Input, Key, LastFrame, LineEvent, LineState, LineStatus, Name, Nonce,
    Output, PeerEcho, Refuse, RefuseWhy, RevokeWhy, Revoked, Role, Welcome, Written,
};

#[test]
fn constants() {
    assert_eq!(
        (wire::frame::VERSION_MIN, wire::frame::VERSION, wire::datagram::VERSION),
        (1, 2, 2)
    );
    assert_eq!((wire::frame::MAX_FRAME, wire::MAX_DATAGRAM), (8192, 1400));
    assert_eq!((wire::frame::MAX_INPUT, wire::frame::MAX_OUTPUT), (4096, 2048));
    assert_eq!((wire::frame::MAX_NOTE, wire::frame::MAX_ERROR_TEXT), (4096, 256));
    assert_eq!((wire::frame::INPUT_WINDOW, wire::frame::OUTPUT_WINDOW), (65536, 8192));
    assert_eq!((wire::name::MAX_NAME, wire::heartbeat::MAX_MEMBERS), (32, 16));
    assert_eq!(wire::beacon::MAX_BEACON_LINES, 10);
}

/// HMAC pads a key with zeros, so the short keys of RFC 4231 fit into our 32 bytes.
#[test]
fn the_mac_is_that_of_rfc_4231() {
    let case = |secret: &[u8], data: &[u8]| {
        let mut padded = [0; 32];
        padded[..secret.len()].copy_from_slice(secret);
        hex(&Key::new(0, padded).mac(&[data]))
    };
    assert_eq!(
        case(&[0x0b; 20], b"Hi There"),
        "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
    );
    assert_eq!(
        case(b"Jefe", b"what do ya want for nothing?"),
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    );
}

#[test]
fn hello_and_welcome() {
    frame(
        Frame::Hello(hello()),
        "001e 01 4c4b4c4e 01 01 a0a1a2a3a4a5a6a7a8a9aaabacadaeaf 066c696e652d31",
    );
    frame(
        Frame::Hello(Hello { min: 1, max: 3, line: name("x"), ..hello() }),
        "0019 01 4c4b4c4e 01 03 a0a1a2a3a4a5a6a7a8a9aaabacadaeaf 0178",
    );
    frame(Frame::Welcome(welcome()), "0017 02 01 b0b1b2b3b4b5b6b7b8b9babbbcbdbebf 0474732d31");
}

#[test]
fn claim_with_its_mac() {
    assert!(transcript().verify_claim(&key(), &claim()));
    frame(
        Frame::Claim(claim()),
        "004d 03 0762696c6c696e67 066e6f64652d61 c0c1c2c3c4c5c6c7c8c9cacbcccdcecf 0000000300000009
         00000190 07 3f1dd8cf80b1f54f4b768b1702562b9b1d9283c4b55bb92f87e48c7edb4c1f80",
    );
}

#[test]
fn grant_with_its_mac() {
    let last = |fate, end| LastFrame { epoch: Epoch::new(3, 9), end, fate };
    granted(
        grant(LastFrame::default(), b""),
        "006a 04 000000030000000a 00000190 1122334455667788 00000000000003e8 00000000000005dc
         00000000000007d0 000000000000012c 0000000000000000 0000000000000000 00 0000 0000
         3f392190d2689c9391dae6b13ca3b393b32f30f6475c923a858d16ae8b577a2b",
    );
    granted(
        grant(last(Fate::Finished, 300), b"last=41"),
        "0071 04 000000030000000a 00000190 1122334455667788 00000000000003e8 00000000000005dc
         00000000000007d0 000000000000012c 0000000300000009 000000000000012c 01 0000 0007
         6c6173743d3431 b7f4659ae4ffe83dd1eea9aff87461a1f4dea19ec74a9d9a293eaa35c3d9ec7a",
    );
    granted(
        grant(last(Fate::Finishing, 340), b""),
        "006a 04 000000030000000a 00000190 1122334455667788 00000000000003e8 00000000000005dc
         00000000000007d0 000000000000012c 0000000300000009 0000000000000154 02 0000 0000
         933b5538973eee4adf0908c7c6d1722d47c4014774754351c37197d2ef0c04d9",
    );
    granted(
        grant(last(Fate::Cut(17), 340), b""),
        "006a 04 000000030000000a 00000190 1122334455667788 00000000000003e8 00000000000005dc
         00000000000007d0 000000000000012c 0000000300000009 0000000000000154 03 0011 0000
         195f8f9118f69708a24442139c00079c46d2939c50e3a4883484ae2e1b621b2d",
    );
}

#[test]
fn refuse_with_its_mac() {
    refused(
        refuse(RefuseWhy::Held, 250, held()),
        "0047 05 01 000000fa 066c696e652d31 01 00 066e6f64652d62 0000000300000009 00000190 000000fa
         00 74d84e9f5d5c2031c0417aae98020ca5dac3a8cb5119b0da412e3db279949960",
    );
    let state = LineState::Free(FreeCause::Reserved);
    let reserved = LineStatus { state, left_ms: 80, reserved_for: Some(name("node-c")), ..held() };
    refused(
        refuse(RefuseWhy::Reserved, 80, reserved),
        "004d 05 02 00000050 066c696e652d31 01 05 066e6f64652d62 0000000300000009 00000190 00000050
         066e6f64652d63 1a141e5b408c2b542b31eb1f938f57e43569d59a8c98b5df5503ff91881e6680",
    );
    let state = LineState::Free(FreeCause::Released);
    refused(
        refuse(RefuseWhy::Stopping, 1000, LineStatus { up: false, state, left_ms: 0, ..held() }),
        "0047 05 05 000003e8 066c696e652d31 00 04 066e6f64652d62 0000000300000009 00000190 00000000
         00 2c9a9069321419ab41dffae4bfc41a6e77ff4bddb090873a8e558154336b03b8",
    );
    let (state, holder, epoch) = (LineState::Free(FreeCause::Restarted), None, Epoch::NONE);
    let fresh = LineStatus { state, holder, epoch, lease_ms: 0, left_ms: 0, ..held() };
    refused(
        refuse(RefuseWhy::Storage, 1000, fresh),
        "0041 05 06 000003e8 066c696e652d31 01 01 00 0000000000000000 00000000 00000000 00
         a52436adb02787aec001ac0edf5fe6789acd13b27f8049443ff2f3ad6c8b0a1f",
    );
}

/// Without a common key there is nothing to sign with: the MAC is zero.
#[test]
fn refuse_without_a_key() {
    let unsigned = |why| Frame::Refuse(Refuse { mac: [0; 32], ..refuse(why, 0, held()) });
    frame(
        unsigned(RefuseWhy::Group),
        "0047 05 03 00000000 066c696e652d31 01 00 066e6f64652d62 0000000300000009 00000190 000000fa
         00 0000000000000000000000000000000000000000000000000000000000000000",
    );
    frame(
        unsigned(RefuseWhy::Mac),
        "0047 05 04 00000000 066c696e652d31 01 00 066e6f64652d62 0000000300000009 00000190 000000fa
         00 0000000000000000000000000000000000000000000000000000000000000000",
    );
}

#[test]
fn input_and_ack() {
    let bytes = Bytes::from_static(b"\x02HELLO\x03\xff");
    frame(Frame::Input(Input { offset: 1000, bytes }), "0011 10 00000000000003e8 0248454c4c4f03ff");
    let ack = |note| Frame::Ack(Ack { offset: 1008, note });
    frame(ack(None), "000a 11 00000000000003f0 00");
    frame(ack(Some(note())), "0011 11 00000000000003f0 01 6c6173743d3432");
    frame(ack(Some(Bytes::new())), "000a 11 00000000000003f0 01");
}

#[test]
fn output_and_written() {
    let output = |ack, note, bytes| {
        Frame::Output(Output { position: 300, ack, note, bytes: Bytes::from_static(bytes) })
    };
    frame(output(None, None, b"A"), "000b 12 000000000000012c 00 41");
    frame(output(Some(1008), None, b"\x06"), "0013 12 000000000000012c 01 00000000000003f0 06");
    frame(
        output(None, Some(note()), b"\x06"),
        "0014 12 000000000000012c 02 0007 6c6173743d3432 06",
    );
    frame(
        output(Some(1008), Some(note()), b"\x02OK\x03"),
        "001f 12 000000000000012c 03 00000000000003f0 0007 6c6173743d3432 024f4b03",
    );
    frame(output(None, Some(Bytes::new()), b"\x15"), "000d 12 000000000000012c 02 0000 15");
    frame(
        Frame::Written(Written { accepted: 304, drained: 301 }),
        "0011 13 0000000000000130 000000000000012d",
    );
}

#[test]
fn event() {
    let event = |kind| Frame::Event(LineEvent { offset: 1008, kind });
    frame(event(EventKind::Gap(512)), "0012 14 00000000000003f0 01 0000000000000200");
    frame(event(EventKind::Gap(u64::MAX)), "0012 14 00000000000003f0 01 ffffffffffffffff");
    frame(event(EventKind::Break), "0012 14 00000000000003f0 02 0000000000000000");
    frame(event(EventKind::Parity), "0012 14 00000000000003f0 03 0000000000000000");
    frame(event(EventKind::Framing), "0012 14 00000000000003f0 04 0000000000000000");
    frame(event(EventKind::Overrun), "0012 14 00000000000003f0 05 0000000000000000");
    frame(event(EventKind::Down), "0012 14 00000000000003f0 06 0000000000000000");
    frame(event(EventKind::Up), "0012 14 00000000000003f0 07 0000000000000000");
}

#[test]
fn lease_frames() {
    frame(Frame::Renew(5), "0009 20 0000000000000005");
    frame(Frame::Renewed(5), "0009 21 0000000000000005");
    frame(Frame::Release(None), "0002 22 00");
    frame(Frame::Release(Some(name("node-c"))), "0008 22 066e6f64652d63");
    let revoked = |why| Frame::Revoked(Revoked { epoch: Epoch::new(3, 10), why });
    frame(revoked(RevokeWhy::Expired), "000a 23 000000030000000a 01");
    frame(revoked(RevokeWhy::Replaced), "000a 23 000000030000000a 02");
    frame(revoked(RevokeWhy::Stopping), "000a 23 000000030000000a 03");
    frame(revoked(RevokeWhy::Misuse), "000a 23 000000030000000a 04");
}

#[test]
fn error() {
    let error = |code| Frame::Error(code, String::new());
    frame(error(ErrorCode::BadFrame), "0002 7f 01");
    frame(error(ErrorCode::Version), "0002 7f 02");
    frame(
        Frame::Error(ErrorCode::UnknownLine, "no such line: line-9".into()),
        "0016 7f 03 6e6f2073756368206c696e653a206c696e652d39",
    );
    frame(error(ErrorCode::Unexpected), "0002 7f 04");
    frame(error(ErrorCode::Window), "0002 7f 05");
    frame(error(ErrorCode::Position), "0002 7f 06");
    frame(error(ErrorCode::Offset), "0002 7f 07");
    frame(error(ErrorCode::Slow), "0002 7f 08");
    frame(error(ErrorCode::Full), "0002 7f 09");
}

#[test]
fn heartbeat_of_a_lonely_node() {
    let lonely = Heartbeat { role: Role::Standby, priority: 0, seq: 1, digest: 0, ..heartbeat() };
    datagram(
        Datagram::Heartbeat(Heartbeat { epoch: Epoch::NONE, ..lonely }),
        "4c4b4447 01 01 07 0762696c6c696e67 066e6f64652d61 c0c1c2c3c4c5c6c7c8c9cacbcccdcecf
         0000000000000001 00 00 00 0000000000000000 0000000000000000 00
         327aafe0967516c758b8e451032e38bcf85259f1a677c8f19f872bed160ecb42",
    );
}

#[test]
fn heartbeat_of_a_coordinator_with_two_peers() {
    let (challenge, echo) = (0x1111_1111_1111_1111, 0x2222_2222_2222_2222);
    let heard = PeerEcho { node: name("node-b"), challenge, echo, heard_ms: 12 };
    let challenge = 0x3333_3333_3333_3333;
    let unheard = PeerEcho { node: name("node-c"), challenge, echo: 0, heard_ms: u16::MAX };
    datagram(
        Datagram::Heartbeat(Heartbeat {
            seq: 258,
            role: Role::Coordinator,
            priority: 200,
            hears_beacons: true,
            connect_failed: true,
            held_down: true,
            leaving: true,
            digest: 0x0123_4567_89ab_cdef,
            peers: vec![heard, unheard],
            ..heartbeat()
        }),
        "4c4b4447 01 01 07 0762696c6c696e67 066e6f64652d61 c0c1c2c3c4c5c6c7c8c9cacbcccdcecf
         0000000000000102 02 c8 0f 000000030000000a 0123456789abcdef 02 066e6f64652d62
         1111111111111111 2222222222222222 000c 066e6f64652d63 3333333333333333 0000000000000000
         ffff 7cf0c816a3d174397d96da9263236b0d38eb561f7f2646df1051e48926708119",
    );
}

#[test]
fn heartbeat_flags_one_by_one() {
    datagram(
        Datagram::Heartbeat(Heartbeat { hears_beacons: true, ..heartbeat() }),
        "4c4b4447 01 01 07 0762696c6c696e67 066e6f64652d61 c0c1c2c3c4c5c6c7c8c9cacbcccdcecf
         0000000000000002 01 01 01 000000030000000a 0000000000000009 00
         84cf3848bf56952908423c8c2c3dbb10253678b17622617894520b8ec6aeb8a7",
    );
    datagram(
        Datagram::Heartbeat(Heartbeat { connect_failed: true, ..heartbeat() }),
        "4c4b4447 01 01 07 0762696c6c696e67 066e6f64652d61 c0c1c2c3c4c5c6c7c8c9cacbcccdcecf
         0000000000000002 01 01 02 000000030000000a 0000000000000009 00
         be86d51603e24b8313ce38d25c76303cca4e76fe0adb0094a9faec5631a6c994",
    );
    datagram(
        Datagram::Heartbeat(Heartbeat { held_down: true, ..heartbeat() }),
        "4c4b4447 01 01 07 0762696c6c696e67 066e6f64652d61 c0c1c2c3c4c5c6c7c8c9cacbcccdcecf
         0000000000000002 01 01 04 000000030000000a 0000000000000009 00
         4c0ef4a9b538ee67cc9c91a7838cb32128a5101688136bc740dfb0b3a00a9041",
    );
    datagram(
        Datagram::Heartbeat(Heartbeat { leaving: true, ..heartbeat() }),
        "4c4b4447 01 01 07 0762696c6c696e67 066e6f64652d61 c0c1c2c3c4c5c6c7c8c9cacbcccdcecf
         0000000000000002 01 01 08 000000030000000a 0000000000000009 00
         6bb385e9ce4f9f737e0a93c10f4fd38e3d92f0ed38fa1ea3f1bb97de151957a1",
    );
}

#[test]
fn beacon_with_a_held_and_a_free_line() {
    datagram(
        beacon(1, 100, vec![]),
        "4c4b4447 01 02 07 0762696c6c696e67 0474732d31 00000003 0000000000000001 00000064 00
         37446d5bf900ebd4fca0e1bc77e515e005602b2aa80b17974efce547c72be546",
    );
    let (state, epoch) = (LineState::Free(FreeCause::Lease), Epoch::new(3, 4));
    let free = LineStatus { line: name("line-2"), up: false, state, epoch, left_ms: 0, ..held() };
    datagram(
        beacon(77, 100, vec![held(), free]),
        "4c4b4447 01 02 07 0762696c6c696e67 0474732d31 00000003 000000000000004d 00000064 02
         066c696e652d31 01 00 066e6f64652d62 0000000300000009 00000190 000000fa 00 066c696e652d32
         00 03 066e6f64652d62 0000000300000004 00000190 00000000 00
         4cee53485c66a4a0ac7fff67f3980bdcd07b9e2fe81f24df9f1988bfca0b59db",
    );
}

#[test]
fn beacon_with_the_other_causes() {
    let free = |line, cause, count| LineStatus {
        line: name(line),
        state: LineState::Free(cause),
        epoch: Epoch::new(3, count),
        left_ms: 0,
        ..held()
    };
    let restarted = LineStatus {
        holder: None,
        epoch: Epoch::NONE,
        lease_ms: 0,
        ..free("a", FreeCause::Restarted, 0)
    };
    let (closed, released) = (free("b", FreeCause::Closed, 1), free("c", FreeCause::Released, 2));
    let (left_ms, reserved_for) = (120, Some(name("node-c")));
    let reserved = LineStatus { left_ms, reserved_for, ..free("d", FreeCause::Reserved, 3) };
    datagram(
        beacon(78, 20, vec![restarted, closed, released, reserved]),
        "4c4b4447 01 02 07 0762696c6c696e67 0474732d31 00000003 000000000000004e 00000014 04 0161
         01 01 00 0000000000000000 00000000 00000000 00 0162 01 02 066e6f64652d62 0000000300000001
         00000190 00000000 00 0163 01 04 066e6f64652d62 0000000300000002 00000190 00000000 00 0164
         01 05 066e6f64652d62 0000000300000003 00000190 00000078 066e6f64652d63
         d51ac49c44c807f97eef6e0d89433777767840b9a027a683c95a24ac214cb8fb",
    );
}

/// Encoding gives these bytes, and these bytes give the value.
#[track_caller]
fn frame(value: Frame, golden: &str) {
    let mut encoded = BytesMut::new();
    value.encode(&mut encoded);
    let golden = golden.split_whitespace().collect::<String>();
    assert_eq!(hex(&encoded), golden, "{} encoded", value.name());
    assert_eq!(Frame::decode(encoded.split_off(2).freeze()), Ok(value), "decoded");
}

#[track_caller]
fn granted(value: Grant, golden: &str) {
    assert!(handshake::verify_grant(&key(), &claim().mac, &value));
    frame(Frame::Grant(value), golden);
}

#[track_caller]
fn refused(value: Refuse, golden: &str) {
    assert!(handshake::verify_refuse(&key(), &claim().mac, &value));
    frame(Frame::Refuse(value), golden);
}

#[track_caller]
fn datagram(value: Datagram, golden: &str) {
    let key = key();
    let encoded = value.encode(&key);
    assert_eq!(hex(&encoded), golden.split_whitespace().collect::<String>(), "encoded");
    let decoded = Datagram::decode(&encoded, &name("billing"), |id| (id == 7).then_some(&key));
    assert_eq!(decoded, Ok(value), "decoded");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
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

fn note() -> Bytes {
    Bytes::from_static(b"last=42")
}

fn hello() -> Hello {
    Hello { min: 1, max: 1, nonce: Nonce(counting(0xa0)), line: name("line-1") }
}

fn welcome() -> Welcome {
    Welcome { version: 1, nonce: Nonce(counting(0xb0)), server: name("ts-1") }
}

fn transcript() -> Transcript {
    Transcript::new(&hello(), &welcome())
}

fn claim() -> Claim {
    let (group, node, boot) = (name("billing"), name("node-a"), BootId(counting(0xc0)));
    let (seen, mac) = (Epoch::new(3, 9), [0; 32]);
    let claim = Claim { group, node, boot, seen, lease_ms: 400, key_id: 7, mac };
    transcript().sign_claim(&key(), claim)
}

fn grant(last: LastFrame, note: &'static [u8]) -> Grant {
    let grant = Grant {
        epoch: Epoch::new(3, 10),
        lease_ms: 400,
        incarnation: 0x1122_3344_5566_7788,
        acked: 1000,
        delivered: 1500,
        end: 2000,
        position: 300,
        last,
        note: Bytes::from_static(note),
        mac: [0; 32],
    };
    handshake::sign_grant(&key(), &claim().mac, grant)
}

fn refuse(why: RefuseWhy, retry_ms: u32, status: LineStatus) -> Refuse {
    let refuse = Refuse { why, retry_ms, status, mac: [0; 32] };
    handshake::sign_refuse(&key(), &claim().mac, refuse)
}

fn held() -> LineStatus {
    LineStatus {
        line: name("line-1"),
        up: true,
        state: LineState::Held,
        holder: Some(name("node-b")),
        epoch: Epoch::new(3, 9),
        lease_ms: 400,
        left_ms: 250,
        reserved_for: None,
    }
}

fn heartbeat() -> Heartbeat {
    Heartbeat {
        role: Role::Candidate,
        priority: 1,
        epoch: Epoch::new(3, 10),
        digest: 9,
        speaks: 1,
        ..Heartbeat::new(name("billing"), name("node-a"), BootId(counting(0xc0)), 2)
    }
}

fn beacon(seq: u64, interval_ms: u32, lines: Vec<LineStatus>) -> Datagram {
    let (group, server) = (name("billing"), name("ts-1"));
    Datagram::Beacon(Beacon { group, server, start: 3, seq, interval_ms, lines })
}
