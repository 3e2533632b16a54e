//! What to do with arbitrary bytes: never panic, keep to the bounds, and take only one spelling.
//!
//! Plain functions, so that a fuzzer, the seeds in `corpus/` and the property tests call the same.

use bytes::{Bytes, BytesMut};
use tokio_util::codec::Decoder;
use wire::beacon::MAX_BEACON_LINES;
use wire::datagram::VERSION;
use wire::frame::{MAX_ERROR_TEXT, MAX_FRAME, MAX_INPUT, MAX_NOTE, MAX_OUTPUT};
use wire::heartbeat::MAX_MEMBERS;
use wire::rfc2217::{Command, Sender};
use wire::telnet::{MAX_SUBNEGOTIATION, Verb};
use wire::telnet_options::option;
use wire::{CrLf, Datagram, Frame, FrameCodec, Key, MAX_DATAGRAM, Name, TelnetEvent, TelnetParser};

/// One frame, type byte first.
pub(crate) fn fuzz_frame(data: &[u8]) {
    let Ok(frame) = Frame::decode(Bytes::copy_from_slice(data)) else { return };
    check_bounds(&frame);
    let mut again = BytesMut::new();
    frame.encode(&mut again);
    // The text of an ERROR is repaired where it is no UTF-8; all else has exactly one spelling,
    // which is what allows MACs over the fields as they were understood.
    if !matches!(frame, Frame::Error(..)) {
        assert_eq!(&again[2..], data, "{} has two spellings", frame.name());
    }
}

/// A byte stream: the same frames and the same end, whole or in pieces. The first byte chooses the
/// size of the pieces.
pub(crate) fn fuzz_stream(data: &[u8]) {
    let Some((size, stream)) = data.split_first() else { return };
    let whole = frames(&[stream]);
    let pieces: Vec<_> = stream.chunks(usize::from(*size).max(1)).collect();
    assert_eq!(frames(&pieces), whole, "in pieces of {size}");
}

/// A datagram as it came, and the same content under a right MAC, which gets past the door.
pub(crate) fn fuzz_datagram(data: &[u8]) {
    let key = key();
    fuzz_one_datagram(data, &key);
    let mut signed = data.to_vec();
    signed.extend(key.mac(&[b"linekeeper 1 datagram", data]));
    fuzz_one_datagram(&signed, &key);
    // And as the fields of each kind, since few random bytes make an envelope.
    for (version, kind) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
        let mut content = [b"LKDG", &[version, kind, key.id(), 1, b'g'][..], data].concat();
        content.extend(key.mac(&[b"linekeeper 1 datagram", &content]));
        fuzz_one_datagram(&content, &key);
    }
}

/// All frames of a stream that comes in `pieces`, and why it gave no more.
pub(crate) fn frames(pieces: &[&[u8]]) -> (Vec<Frame>, Option<String>) {
    let (mut buffer, mut found) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            let taken = buffer.len();
            match FrameCodec.decode(&mut buffer) {
                Ok(Some(frame)) => {
                    assert!(buffer.len() < taken, "a frame takes bytes");
                    check_bounds(&frame);
                    found.push(frame);
                }
                Ok(None) => break,
                Err(error) => return (found, Some(error.to_string())),
            }
        }
        let most = (2 + MAX_FRAME).max(piece.len()) * 2;
        assert!(buffer.len() < 2 + MAX_FRAME, "a frame was complete and was not given");
        assert!(buffer.capacity() <= most, "{} reserved for one frame", buffer.capacity());
    }
    let end = FrameCodec.decode_eof(&mut buffer).err();
    (found, end.map(|error| error.to_string()))
}

/// Telnet: the same events, whole or in pieces. The first byte chooses the size of the pieces, and
/// how data is taken at first.
pub(crate) fn fuzz_telnet(data: &[u8]) {
    let Some((how, stream)) = data.split_first() else { return };
    let parser = || {
        let mut parser = TelnetParser::new(if how & 1 == 0 { CrLf::Keep } else { CrLf::Cr });
        parser.set_binary(how & 2 != 0);
        if how & 4 != 0 {
            parser.handle_urgent();
        }
        parser
    };
    let whole = telnet_events(parser(), &[stream]);
    let size = usize::from(how >> 3).max(1);
    let pieces: Vec<_> = stream.chunks(size).collect();
    assert_eq!(telnet_events(parser(), &pieces), whole, "in pieces of {size}");
    let len = |event: &TelnetEvent| match event {
        TelnetEvent::Data(bytes) => bytes.len(),
        TelnetEvent::Command(_) => 2,
        TelnetEvent::Negotiation(..) => 3,
        TelnetEvent::Subnegotiation(_, bytes) => {
            assert!(bytes.len() <= MAX_SUBNEGOTIATION);
            bytes.len() + 5
        }
    };
    assert!(whole.iter().map(len).sum::<usize>() <= stream.len(), "more came out than went in");
}

/// One subnegotiation of COM-PORT from either side: what was understood is what is written, and
/// understood again.
pub(crate) fn fuzz_rfc2217(data: &[u8]) {
    let sub = Bytes::copy_from_slice(&data[..data.len().min(MAX_SUBNEGOTIATION)]);
    for sender in [Sender::Client, Sender::Server] {
        let Some(command) = Command::decode(sender, &sub) else { continue };
        assert!(!(command.settings_change().is_some() && command.signal_change().is_some()));
        let mut out = BytesMut::new();
        command.encode(sender, &mut out);
        let events = telnet_events(TelnetParser::default(), &[&out]);
        let [TelnetEvent::Subnegotiation(option::COM_PORT, again)] = &events[..] else {
            panic!("{command:?} became {events:?}");
        };
        assert_eq!(Command::decode(sender, again), Some(command));
    }
}

/// What a stream that comes in `pieces` says, adjacent data as one. Binary data begins and ends as
/// the stream says.
pub(crate) fn telnet_events(mut parser: TelnetParser, pieces: &[&[u8]]) -> Vec<TelnetEvent> {
    let mut found = Vec::new();
    for piece in pieces {
        let mut input = Bytes::copy_from_slice(piece);
        while let Some(event) = parser.handle_bytes(&mut input) {
            match (&event, found.last_mut()) {
                (TelnetEvent::Data(next), Some(TelnetEvent::Data(before))) => {
                    *before = [&before[..], next].concat().into();
                    continue;
                }
                (TelnetEvent::Negotiation(Verb::Will, option::BINARY), _) => {
                    parser.set_binary(true);
                }
                (TelnetEvent::Negotiation(Verb::Wont, option::BINARY), _) => {
                    parser.set_binary(false);
                }
                _ => {}
            }
            found.push(event);
        }
        assert!(input.is_empty(), "the parser takes all of its input");
    }
    found
}

/// The key of the corpus and of the golden bytes.
pub(crate) fn key() -> Key {
    Key::new(7, std::array::from_fn(|i| i as u8))
}

fn fuzz_one_datagram(data: &[u8], key: &Key) {
    for group in ["billing", "g"] {
        let group: Name = group.parse().expect("a valid name");
        let decoded = Datagram::decode(data, &group, |id| (id == key.id()).then_some(key));
        let Ok(datagram) = decoded else { continue };
        assert!(data.len() <= MAX_DATAGRAM);
        match &datagram {
            Datagram::Heartbeat(heartbeat) => {
                within(heartbeat.peers.capacity(), MAX_MEMBERS);
                assert_eq!(
                    data[4],
                    heartbeat.speaks.min(VERSION),
                    "nobody speaks less than it sent"
                );
            }
            Datagram::Beacon(beacon) => within(beacon.lines.capacity(), MAX_BEACON_LINES),
        }
        assert_eq!(&datagram.encode(key)[..], data, "a datagram has two spellings");
    }
}

fn check_bounds(frame: &Frame) {
    let note = match frame {
        Frame::Grant(grant) => Some(&grant.note),
        Frame::Ack(ack) => ack.note.as_ref(),
        Frame::Output(output) => output.note.as_ref(),
        _ => None,
    };
    assert!(note.is_none_or(|note| note.len() <= MAX_NOTE));
    match frame {
        Frame::Input(input) => assert!((1..=MAX_INPUT).contains(&input.bytes.len())),
        Frame::Output(output) => assert!((1..=MAX_OUTPUT).contains(&output.bytes.len())),
        // Every byte that is no UTF-8 becomes the three of U+FFFD.
        Frame::Error(_, text) => assert!(text.len() <= 3 * MAX_ERROR_TEXT),
        _ => {}
    }
}

/// A list grows by doubling, so it may have reserved the next power of two.
fn within(capacity: usize, most: usize) {
    assert!(capacity <= most.next_power_of_two(), "{capacity} reserved for at most {most}");
}
