//! What holds for every message, every chunking and every damage.
//!
//! A failure is printed as small as it gets and kept in `main.regressions`, from which every later
//! run begins. `PROPTEST_CASES` sets how many cases are tried.

#[path = "../fuzz/bodies.rs"]
mod bodies;
mod settings;
mod telnet;
mod values;

use bodies::{frames, key};
use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use wire::beacon::MAX_BEACON_LINES;
use wire::frame::{MAX_FRAME, MAX_NOTE, MAX_OUTPUT};
use wire::handshake::{self, Transcript};
use wire::heartbeat::MAX_MEMBERS;
use wire::key::MAC_LEN;
use wire::{
    Beacon, BootId, Claim, Datagram, DatagramError, DecodeError, Epoch, Frame, Grant, Heartbeat,
    LastFrame, LineState, LineStatus, MAX_DATAGRAM, Name, Observe, ObserveFrom, Output, PeerEcho,
    Refuse, RefuseWhy, Role,
};

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_frame_comes_back(frame in values::frame()) {
        let bytes = encoded(&frame);
        prop_assert!(bytes.len() <= 2 + MAX_FRAME);
        prop_assert_eq!(Frame::decode(bytes.slice(2..)), Ok(frame));
    }

    #[test]
    fn every_datagram_comes_back(datagram in values::datagram()) {
        let bytes = datagram.encode(&key());
        prop_assert!(bytes.len() <= MAX_DATAGRAM);
        prop_assert_eq!(received(&bytes, group(&datagram)), Ok(datagram));
    }

    /// Whoever must not be coordinator, or is not well, goes last for the release before.
    #[test]
    fn version_1_of_a_heartbeat_comes_back_and_asks_for_no_more(heartbeat in values::heartbeat()) {
        let old = heartbeat.for_version_1(7);
        let good_for_nothing = !heartbeat.eligible() || heartbeat.last_resort();
        prop_assert_eq!(good_for_nothing, old.last_resort() || old.leaving);
        prop_assert_eq!((old.seq, old.boot, old.role), (heartbeat.seq, heartbeat.boot, heartbeat.role));
        let old = Datagram::Heartbeat(old);
        let bytes = old.encode(&key());
        prop_assert_eq!(bytes[4], 1);
        prop_assert_eq!(received(&bytes, &heartbeat.group), Ok(old));
    }

    #[test]
    fn any_chunking_gives_the_same_frames(
        sent in proptest::collection::vec(values::frame(), 0..8),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let stream = sent.iter().map(encoded).collect::<Vec<_>>().concat();
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut from = 0;
        for cut in cuts.into_iter().chain([stream.len()]) {
            pieces.push(&stream[from..cut]);
            from = cut;
        }
        prop_assert_eq!(frames(&pieces), (sent.clone(), None));
        let bytes: Vec<_> = stream.chunks(1).collect();
        prop_assert_eq!(frames(&bytes), (sent, None));
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(data in proptest::collection::vec(any::<u8>(), 0..1500)) {
        bodies::fuzz_frame(&data);
        bodies::fuzz_stream(&data);
        bodies::fuzz_datagram(&data);
    }

    /// Arbitrary fields behind each type byte, which arbitrary bytes alone seldom reach.
    #[test]
    fn arbitrary_fields_do_no_harm(
        kind in prop::sample::select(&TYPES[..]),
        data in proptest::collection::vec(prop_oneof![Just(0), Just(1), any::<u8>()], 0..300),
    ) {
        let message = [&[kind], &data[..]].concat();
        bodies::fuzz_frame(&message);
        let len = (message.len() as u16).to_be_bytes();
        bodies::fuzz_stream(&[&[3], &len[..], &message[..], &len[..], &message[..]].concat());
    }

    #[test]
    fn a_flipped_bit_in_a_datagram_is_refused(
        datagram in values::datagram(),
        at in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let mut bytes = datagram.encode(&key()).to_vec();
        *at.get_mut(&mut bytes) ^= 1_u8 << bit;
        prop_assert!(received(&bytes, group(&datagram)).is_err());
    }

    #[test]
    fn a_flipped_bit_in_a_handshake_is_refused(
        (hello, welcome, claim) in (values::hello(), values::welcome(), values::claim()),
        (grant, refuse) in (values::grant(), values::refuse()),
        at in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let transcript = Transcript::new(&hello, &welcome);
        let claim = transcript.sign_claim(&key(), claim);
        let grant = handshake::sign_grant(&key(), &claim.mac, grant);
        let refuse = handshake::sign_refuse(&key(), &claim.mac, refuse);
        let mac = claim.mac;
        for frame in [Frame::Claim(claim), Frame::Grant(grant), Frame::Refuse(refuse)] {
            let mut bytes = encoded(&frame).to_vec();
            prop_assert_eq!(believed(&bytes, &transcript, &mac), 1);
            *at.get_mut(&mut bytes) ^= 1_u8 << bit;
            prop_assert_eq!(believed(&bytes, &transcript, &mac), 0);
        }
    }

    #[test]
    fn a_flipped_bit_in_an_observers_handshake_is_refused(
        (hello, welcome) in (values::hello(), values::welcome()),
        (observe, observing) in (values::observe(), values::observing()),
        at in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let transcript = Transcript::new(&hello, &welcome);
        let observe = transcript.sign_observe(&key(), observe);
        let mac = observe.mac;
        let observing = handshake::sign_observing(&key(), &mac, observing);
        for frame in [Frame::Observe(observe), Frame::Observing(observing)] {
            let mut bytes = encoded(&frame).to_vec();
            prop_assert_eq!(believed(&bytes, &transcript, &mac), 1);
            *at.get_mut(&mut bytes) ^= 1_u8 << bit;
            prop_assert_eq!(believed(&bytes, &transcript, &mac), 0);
        }
    }

    /// As for a CLAIM; and the MAC of the one is none of the other.
    #[test]
    fn an_observers_handshake_counts_for_one_connection(
        (hello, other_hello) in (values::hello(), values::hello()),
        (welcome, other_welcome) in (values::welcome(), values::welcome()),
        (claim, observe, observing) in (values::claim(), values::observe(), values::observing()),
    ) {
        prop_assume!(hello != other_hello && welcome != other_welcome);
        let here = Transcript::new(&hello, &welcome);
        let signed = here.sign_observe(&key(), observe.clone());
        prop_assert!(here.verify_observe(&key(), &signed));
        prop_assert!(!here.verify_observe(&wire::Key::new(7, [9; 32]), &signed));
        let observing = handshake::sign_observing(&key(), &signed.mac, observing);
        for (hello, welcome) in [(&other_hello, &welcome), (&hello, &other_welcome)] {
            let there = Transcript::new(hello, welcome);
            prop_assert!(!there.verify_observe(&key(), &signed));
            let elsewhere = there.sign_observe(&key(), observe.clone()).mac;
            prop_assert!(!handshake::verify_observing(&key(), &elsewhere, &observing));
        }
        let claim = here.sign_claim(&key(), claim);
        prop_assert!(!handshake::verify_observing(&key(), &claim.mac, &observing));
        let borrowed = Observe { mac: claim.mac, ..observe };
        prop_assert!(!here.verify_observe(&key(), &borrowed));
    }

    /// A recorded CLAIM is worthless on any other connection, line or key, and so is its answer.
    #[test]
    fn a_handshake_counts_for_one_connection(
        (hello, other_hello) in (values::hello(), values::hello()),
        (welcome, other_welcome) in (values::welcome(), values::welcome()),
        (claim, grant, refuse) in (values::claim(), values::grant(), values::refuse()),
    ) {
        prop_assume!(hello != other_hello && welcome != other_welcome);
        let here = Transcript::new(&hello, &welcome);
        let signed = here.sign_claim(&key(), claim.clone());
        prop_assert!(here.verify_claim(&key(), &signed));
        prop_assert!(!here.verify_claim(&wire::Key::new(7, [9; 32]), &signed));
        let grant = handshake::sign_grant(&key(), &signed.mac, grant);
        let refuse = handshake::sign_refuse(&key(), &signed.mac, refuse);
        for (hello, welcome) in [(&other_hello, &welcome), (&hello, &other_welcome)] {
            let there = Transcript::new(hello, welcome);
            prop_assert!(!there.verify_claim(&key(), &signed));
            let elsewhere = there.sign_claim(&key(), claim.clone()).mac;
            prop_assert!(!handshake::verify_grant(&key(), &elsewhere, &grant));
            prop_assert!(!handshake::verify_refuse(&key(), &elsewhere, &refuse));
        }
    }

    /// The beginning of a frame is never that frame, and the stream says that it was cut.
    #[test]
    fn a_truncated_frame_is_no_frame(frame in values::frame(), at in any::<prop::sample::Index>()) {
        let bytes = encoded(&frame);
        let cut = at.index(bytes.len());
        let (found, end) = frames(&[&bytes[..cut]]);
        prop_assert_eq!(found, vec![]);
        prop_assert_eq!(end.is_some(), cut > 0, "{:?}", end);
        if !ends_in_all_the_rest(&frame) {
            let short = bytes.slice(2..2.max(cut));
            prop_assert_eq!(Frame::decode(short), Err(DecodeError::UnexpectedEnd));
        }
    }

    #[test]
    fn trailing_bytes_are_an_error(frame in values::frame(), extra in 1_usize..9) {
        if ends_in_all_the_rest(&frame) {
            return Ok(());
        }
        let mut bytes = encoded(&frame)[2..].to_vec();
        bytes.extend(vec![0; extra]);
        prop_assert_eq!(Frame::decode(bytes.into()), Err(DecodeError::TrailingBytes(extra)));
    }

    #[test]
    fn a_truncated_datagram_is_refused(
        datagram in values::datagram(),
        at in any::<prop::sample::Index>(),
    ) {
        let bytes = datagram.encode(&key());
        let refused = received(&bytes[..at.index(bytes.len())], group(&datagram));
        prop_assert!(matches!(refused, Err(DatagramError::Foreign | DatagramError::Mac)));
    }
}

#[test]
fn an_oversize_length_is_an_error_at_once() {
    let len = MAX_FRAME as u16 + 1;
    let (found, end) = frames(&[&len.to_be_bytes()]);
    assert_eq!(found, vec![]);
    assert_eq!(end, Some(DecodeError::TooLong(MAX_FRAME + 1).to_string()));
    let message = Bytes::from(vec![0x20; MAX_FRAME + 1]);
    assert_eq!(Frame::decode(message), Err(DecodeError::TooLong(MAX_FRAME + 1)));
}

#[test]
fn fields_beyond_their_bounds_are_errors() {
    let message = |kind: u8, fields: &[u8], rest: usize| {
        Frame::decode([&[kind], fields, &vec![b'x'; rest][..]].concat().into()).err()
    };
    let too_many = Some(DecodeError::BadValue("bytes"));
    assert_eq!(message(0x10, &[0; 8], 4097), too_many, "INPUT");
    assert_eq!(message(0x10, &[0; 8], 0), too_many, "INPUT of nothing");
    assert_eq!(message(0x12, &[0; 9], 2049), too_many, "OUTPUT");
    assert_eq!(message(0x12, &[0; 9], 0), too_many, "OUTPUT of nothing");
    let note = Some(DecodeError::BadValue("note"));
    assert_eq!(message(0x11, &[0, 0, 0, 0, 0, 0, 0, 0, 1], 4097), note, "ACK");
    assert_eq!(message(0x12, &[0, 0, 0, 0, 0, 0, 0, 0, 2, 0x10, 1], 4098), note, "OUTPUT's note");
    assert_eq!(message(0x7f, &[1], 257), Some(DecodeError::BadValue("text")), "ERROR");
    assert_eq!(message(0x22, &[33], 33), Some(DecodeError::BadValue("reserve_for")), "a name");
    let field = |name| Some(DecodeError::BadValue(name));
    assert_eq!(message(0x30, &[0, 0, 0, 0, 4, 0, 0, 0], 0), field("data_bits"));
    assert_eq!(message(0x30, &[0, 0, 0, 0, 9, 0, 0, 0], 0), field("data_bits"));
    assert_eq!(message(0x30, &[0, 0, 0, 0, 0, 6, 0, 0], 0), field("parity"));
    assert_eq!(message(0x30, &[0, 0, 0, 0, 0, 0, 4, 0], 0), field("stop_bits"));
    assert_eq!(message(0x30, &[0, 0, 0, 0, 0, 0, 0, 4], 0), field("flow"));
    assert_eq!(message(0x31, &[4, 0], 0), field("signals"), "CTS is not ours");
    assert_eq!(message(0x31, &[1, 2], 0), field("signals"), "a level of a wire that stays");
    assert_eq!(message(0x32, &[128], 0), field("signals"));
    assert_eq!(message(0x33, &[0, 0, 0, 0], 0), field("break"));
    assert_eq!(message(0x33, &[0, 0, 0x13, 0x89], 0), field("break"), "5001 ms");
    assert_eq!(message(0x40, &[], 0), Some(DecodeError::UnknownFrame(0x40)));
}

#[test]
fn datagrams_beyond_their_bounds_are_errors() {
    let long = vec![0; MAX_DATAGRAM + 1];
    assert_eq!(received(&long, &longest('g')), Err(DatagramError::Oversize(MAX_DATAGRAM + 1)));
    let signed = |content: Vec<u8>| {
        let mac = key().mac(&[b"linekeeper 1 datagram", &content]);
        received(&[content, mac.to_vec()].concat(), &longest('g'))
    };
    for datagram in worst_datagrams() {
        let bytes = datagram.encode(&key());
        let content = &bytes[..bytes.len() - MAC_LEN];
        let more = [content, &[0; 5]].concat();
        assert_eq!(signed(more), Err(DecodeError::TrailingBytes(5).into()));
        let less = content[..content.len() - 1].to_vec();
        assert_eq!(signed(less), Err(DecodeError::UnexpectedEnd.into()));
        let (field, entry, most) = match datagram {
            Datagram::Heartbeat(_) => ("peers", PEER_LEN, MAX_MEMBERS),
            Datagram::Beacon(_) => ("lines", STATUS_LEN, MAX_BEACON_LINES),
        };
        let count = content.len() - most * entry - 1;
        assert_eq!(usize::from(content[count]), most, "the count stands before the entries");
        let mut many = content.to_vec();
        many[count] += 1;
        assert_eq!(signed(many), Err(DecodeError::BadValue(field).into()));
        let mut version = content.to_vec();
        version[4] = 3;
        assert_eq!(signed(version.clone()), Err(DatagramError::Version(3)));
        version[4] = 0;
        assert_eq!(signed(version), Err(DatagramError::Version(0)));
    }
    let [two, one, beacon] = worst_datagrams().map(|datagram| {
        let bytes = datagram.encode(&key());
        bytes[..bytes.len() - MAC_LEN].to_vec()
    });
    let with = |content: &[u8], at: usize, byte: u8| {
        let mut content = content.to_vec();
        content[at] = byte;
        signed(content)
    };
    let wrong = |field| Err(DecodeError::BadValue(field).into());
    assert_eq!(with(&beacon, 4, 2), wrong("kind"), "there is no beacon of version 2");
    assert_eq!(with(&one, FLAGS, 0x10), wrong("flags"), "version 1 has four");
    assert_eq!(with(&two, FLAGS + 1, 1), wrong("speaks"), "it sent version 2");
    assert_eq!(with(&two, FLAGS - 2, 3), wrong("role"));
}

#[test]
fn every_truncation_of_a_datagram_is_refused() {
    for datagram in worst_datagrams() {
        let bytes = datagram.encode(&key());
        for len in 0..bytes.len() {
            assert!(received(&bytes[..len], group(&datagram)).is_err(), "{len} bytes");
        }
    }
}

#[test]
fn every_single_bit_of_a_datagram_counts() {
    for datagram in worst_datagrams() {
        let bytes = datagram.encode(&key());
        for at in 0..bytes.len() * 8 {
            let mut flipped = bytes.to_vec();
            flipped[at / 8] ^= 1_u8 << (at % 8);
            assert!(received(&flipped, group(&datagram)).is_err(), "bit {at}");
        }
    }
}

/// The cause tells the operator which: another group, another key, another secret.
#[test]
fn a_strangers_datagram_says_what_is_wrong_with_it() {
    let bytes = worst_heartbeat().encode(&key());
    let decode = |group: &Name, known: &wire::Key| {
        Datagram::decode(&bytes, group, |id| (id == known.id()).then_some(known)).err()
    };
    assert_eq!(decode(&longest('h'), &key()), Some(DatagramError::Group(longest('g'))));
    let secret = std::array::from_fn(|i| i as u8);
    assert_eq!(decode(&longest('g'), &wire::Key::new(8, secret)), Some(DatagramError::KeyId(7)));
    assert_eq!(decode(&longest('g'), &wire::Key::new(7, [1; 32])), Some(DatagramError::Mac));
}

/// `encode` asserts the bounds; the sizes are those of the table in `docs/wire-format.md`.
#[test]
fn the_largest_messages_fit() {
    let sizes = worst_datagrams().map(|datagram| datagram.encode(&key()).len());
    assert_eq!(sizes, [966, 965, 1292]);
    let (position, ack) = (u64::MAX, Some(u64::MAX));
    let (note, bytes) = (Bytes::from(vec![0; MAX_NOTE]), Bytes::from(vec![0; MAX_OUTPUT]));
    let output = Output { position, ack, note: Some(note.clone()), bytes };
    assert_eq!(encoded(&Frame::Output(output)).len(), 2 + 6164);
    let (mac, last) = ([0; MAC_LEN], LastFrame::default());
    let (acked, delivered, end, incarnation) = (0, 0, 0, 0);
    let (epoch, lease_ms) = (Epoch::NONE, u32::MAX);
    let grant =
        Grant { epoch, lease_ms, incarnation, acked, delivered, end, position, last, note, mac };
    assert_eq!(encoded(&Frame::Grant(grant)).len(), 2 + 4202);
    let refuse = Refuse { why: RefuseWhy::Held, retry_ms: u32::MAX, status: worst_status(), mac };
    assert_eq!(encoded(&Frame::Refuse(refuse)).len(), 2 + 155);
    let (group, node, boot) = (longest('g'), longest('n'), BootId([9; 16]));
    let claim = Claim { group, node, boot, seen: epoch, lease_ms, key_id: 255, mac };
    assert_eq!(encoded(&Frame::Claim(claim)).len(), 2 + 128);
    let (group, node, from) = (longest('g'), longest('n'), ObserveFrom::Live);
    let observe = Observe { group, node, from, key_id: 255, mac };
    assert_eq!(encoded(&Frame::Observe(observe)).len(), 2 + 117);
}

/// Where the flags of a heartbeat are: behind the envelope, node, boot id, seq, role and priority.
const FLAGS: usize = 7 + 33 + 33 + 16 + 8 + 2;

/// An entry of a heartbeat and of a beacon with the longest names.
const PEER_LEN: usize = 51;
const STATUS_LEN: usize = 117;

const TYPES: [u8; 21] = [
    0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x10, 0x11, 0x12, 0x13, 0x14, 0x20, 0x21, 0x22, 0x23,
    0x30, 0x31, 0x32, 0x33, 0x7f,
];

fn encoded(frame: &Frame) -> Bytes {
    let mut out = BytesMut::new();
    frame.encode(&mut out);
    out.freeze()
}

/// How many frames of the stream have a right MAC, where `claimed` is that of the request.
fn believed(stream: &[u8], transcript: &Transcript, claimed: &wire::Mac) -> usize {
    let right = |frame: &Frame| match frame {
        Frame::Claim(claim) => transcript.verify_claim(&key(), claim),
        Frame::Grant(grant) => handshake::verify_grant(&key(), claimed, grant),
        Frame::Refuse(refuse) => handshake::verify_refuse(&key(), claimed, refuse),
        Frame::Observe(observe) => transcript.verify_observe(&key(), observe),
        Frame::Observing(observing) => handshake::verify_observing(&key(), claimed, observing),
        _ => false,
    };
    frames(&[stream]).0.iter().filter(|frame| right(frame)).count()
}

/// The last field has no length of its own, so more or fewer bytes make another valid frame.
fn ends_in_all_the_rest(frame: &Frame) -> bool {
    match frame {
        Frame::Input(_) | Frame::Output(_) | Frame::Error(..) => true,
        Frame::Ack(ack) => ack.note.is_some(),
        _ => false,
    }
}

fn received(bytes: &[u8], group: &Name) -> Result<Datagram, DatagramError> {
    let key = key();
    Datagram::decode(bytes, group, |id| (id == key.id()).then_some(&key))
}

fn group(datagram: &Datagram) -> &Name {
    match datagram {
        Datagram::Heartbeat(heartbeat) => &heartbeat.group,
        Datagram::Beacon(beacon) => &beacon.group,
    }
}

fn longest(letter: char) -> Name {
    letter.to_string().repeat(wire::name::MAX_NAME).parse().expect("the longest name")
}

/// A heartbeat of either version, and a beacon.
fn worst_datagrams() -> [Datagram; 3] {
    let Datagram::Heartbeat(heartbeat) = worst_heartbeat() else { panic!("a heartbeat") };
    let one = Datagram::Heartbeat(heartbeat.for_version_1(u64::MAX));
    [Datagram::Heartbeat(heartbeat), one, worst_beacon()]
}

fn worst_heartbeat() -> Datagram {
    let (challenge, echo, heard_ms) = (u64::MAX, u64::MAX, u16::MAX);
    let peer = PeerEcho { node: longest('p'), challenge, echo, heard_ms };
    Datagram::Heartbeat(Heartbeat {
        role: Role::Coordinator,
        priority: u8::MAX,
        hears_beacons: true,
        connect_failed: true,
        held_down: true,
        leaving: true,
        observer: true,
        barred: true,
        maintenance: true,
        unhealthy: true,
        speaks: u8::MAX,
        epoch: Epoch(u64::MAX),
        digest: u64::MAX,
        peers: vec![peer; MAX_MEMBERS],
        ..Heartbeat::new(longest('g'), longest('n'), BootId([0xff; 16]), u64::MAX)
    })
}

fn worst_beacon() -> Datagram {
    let lines = vec![worst_status(); MAX_BEACON_LINES];
    let (group, server, start, seq) = (longest('g'), longest('s'), u32::MAX, u64::MAX);
    Datagram::Beacon(Beacon { group, server, start, seq, interval_ms: u32::MAX, lines })
}

fn worst_status() -> LineStatus {
    LineStatus {
        line: longest('l'),
        up: true,
        state: LineState::Held,
        holder: Some(longest('h')),
        epoch: Epoch(u64::MAX),
        lease_ms: u32::MAX,
        left_ms: u32::MAX,
        reserved_for: Some(longest('r')),
    }
}
