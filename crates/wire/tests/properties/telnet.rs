//! Telnet: any chunking gives the same events, and what is encoded is what is read.

use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use wire::telnet::{IAC, SB, SE, Verb, encode_data, encode_negotiation, encode_subnegotiation};
use wire::{CrLf, TelnetEvent, TelnetParser};

use crate::bodies::{self, telnet_events};

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_chunking_gives_the_same_telnet(how in 0..8_u8, size in 1..32_u8, stream in stream()) {
        bodies::fuzz_telnet(&[&[how | size << 3], &stream[..]].concat());
    }

    #[test]
    fn any_cuts_give_the_same_telnet(
        binary: bool,
        stream in stream(),
        cuts in vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let parser = || {
            let mut parser = TelnetParser::new(CrLf::Keep);
            parser.set_binary(binary);
            parser
        };
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let pieces: Vec<_> = cuts.windows(2).map(|cut| &stream[cut[0]..cut[1]]).collect();
        prop_assert_eq!(telnet_events(parser(), &pieces), telnet_events(parser(), &[&stream]));
    }

    #[test]
    fn what_is_sent_by_telnet_is_read(
        binary: bool,
        said in vec(said(), 0..20),
        size in 1..64_usize,
    ) {
        let mut parser = TelnetParser::new(CrLf::Keep);
        parser.set_binary(binary);
        let (mut out, mut wanted) = (BytesMut::new(), Vec::<TelnetEvent>::new());
        for event in said {
            match &event {
                TelnetEvent::Data(bytes) => encode_data(bytes, binary, &mut out),
                TelnetEvent::Negotiation(verb, option) => {
                    encode_negotiation(*verb, *option, &mut out);
                }
                TelnetEvent::Subnegotiation(option, bytes) => {
                    encode_subnegotiation(*option, bytes, &mut out);
                }
                TelnetEvent::Command(_) => {}
            }
            match (wanted.last_mut(), event) {
                (Some(TelnetEvent::Data(before)), TelnetEvent::Data(next)) => {
                    *before = [&before[..], &next[..]].concat().into();
                }
                (_, event) => wanted.push(event),
            }
        }
        let pieces: Vec<_> = out.chunks(size).collect();
        prop_assert_eq!(telnet_events(parser, &pieces), wanted);
    }

    #[test]
    fn arbitrary_bytes_do_telnet_no_harm(data in vec(any::<u8>(), 0..1500)) {
        bodies::fuzz_telnet(&data);
        bodies::fuzz_rfc2217(&data);
    }

    #[test]
    fn arbitrary_values_do_rfc2217_no_harm(
        code in prop_oneof![0..13_u8, 100..113_u8],
        value in vec(any::<u8>(), 0..6),
    ) {
        bodies::fuzz_rfc2217(&[&[code], &value[..]].concat());
    }
}

/// Bytes that mean something far more often than by chance.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        4 => vec(any::<u8>(), 1..40),
        4 => Just(vec![IAC]),
        2 => Just(vec![IAC, IAC]),
        2 => Just(vec![b'\r']),
        1 => Just(vec![0]),
        1 => Just(vec![b'\n']),
        2 => (240..=255_u8).prop_map(|command| vec![IAC, command]),
        1 => (251..=254_u8, prop_oneof![Just(0_u8), any::<u8>()])
            .prop_map(|(verb, option)| vec![IAC, verb, option]),
        1 => Just(vec![IAC, SB, 44]),
        1 => Just(vec![IAC, SE]),
        1 => vec(Just(b'x'), 1000..1100),
    ];
    vec(token, 0..40).prop_map(|tokens| tokens.concat())
}

fn said() -> impl Strategy<Value = TelnetEvent> {
    let bytes = |most| {
        let byte = prop_oneof![any::<u8>(), Just(IAC), Just(b'\r'), Just(b'\n'), Just(0)];
        vec(byte, 1..most).prop_map(Bytes::from)
    };
    let verbs = [Verb::Will, Verb::Wont, Verb::Do, Verb::Dont];
    prop_oneof![
        4 => bytes(200).prop_map(TelnetEvent::Data),
        // Option 0 would turn data binary on one side only.
        1 => (prop::sample::select(verbs.to_vec()), 1..=255_u8)
            .prop_map(|(verb, option)| TelnetEvent::Negotiation(verb, option)),
        1 => (any::<u8>(), bytes(100))
            .prop_map(|(option, bytes)| TelnetEvent::Subnegotiation(option, bytes)),
    ]
}
