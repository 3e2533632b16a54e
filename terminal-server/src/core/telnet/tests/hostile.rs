//! Floods, and bytes that mean no good.

use proptest::collection::vec;
use proptest::prelude::*;

use super::rig::*;

/// Most that a session may have waiting: its bound, and what one more message adds.
const MOST: usize = 4 * 1024 + 1024;

#[test]
fn t8_a_flood_of_questions_is_answered_as_the_client_reads() {
    let mut rig = Rig::agreed();
    let asked = said_by_client(&[Command::Baud(None)]).repeat(10_000);
    let (mut left, mut answers) = (Bytes::from(asked), 0);
    while !left.is_empty() {
        let before = left.len();
        while let Some(said) = rig.session.handle_bytes(&mut left) {
            let Said::Ask(query) = said else { panic!("{said:?}") };
            rig.session.handle_answer(&query, &rig.state);
        }
        assert!(left.is_empty() || rig.session.is_full());
        assert!(left.len() < before, "it goes on after each reading");
        let mut out = BytesMut::new();
        rig.session.poll_control(&mut out);
        assert!(out.len() <= MOST, "{} bytes waited", out.len());
        answers += rig.understand(out).len();
    }
    assert_eq!(answers, 10_000);
}

#[test]
fn t8_unanswered_questions_are_bounded_too() {
    let mut rig = Rig::agreed();
    let mut bytes = Bytes::from(said_by_client(&[Command::DataBits(None)]).repeat(10_000));
    let said: Vec<_> = std::iter::from_fn(|| rig.session.handle_bytes(&mut bytes)).collect();
    assert!(rig.session.is_full() && (100..1000).contains(&said.len()), "{}", said.len());
    for said in said {
        let Said::Ask(query) = said else { panic!("{said:?}") };
        rig.session.handle_answer(&query, &rig.state);
    }
    let mut out = BytesMut::new();
    assert!(rig.session.poll_control(&mut out) && out.len() <= MOST);
    assert!(!rig.session.is_full() && rig.session.handle_bytes(&mut bytes).is_some());
}

/// It forbids the answers and asks on. Its RESUME, if there is one, lies behind the questions.
#[test]
fn t8_a_suspended_client_that_floods_is_answered_in_the_end() {
    let mut rig = Rig::agreed();
    let mut flood = said_by_client(&[Command::Suspend]);
    flood.extend(said_by_client(&[Command::DataBits(None)]).repeat(5000));
    flood.extend(said_by_client(&[Command::Resume]));
    flood.extend(*b"done");
    let (mut left, mut answers) = (flood.freeze(), 0);
    for _ in 0..5000 {
        while let Some(said) = rig.session.handle_bytes(&mut left) {
            match said {
                Said::Ask(query) => rig.session.handle_answer(&query, &rig.state),
                said => rig.line.push(said),
            }
        }
        answers += rig.hear().len();
        if left.is_empty() {
            break;
        }
    }
    assert_eq!((answers, &rig.data()[..]), (5000, &b"done"[..]));
    assert!(!rig.session.is_suspended());
}

#[test]
fn t8_other_subnegotiations_reach_nobody() {
    let mut rig = Rig::agreed();
    let mut bytes = BytesMut::new();
    for option in (0..=255).filter(|option| *option != COM_PORT) {
        telnet::encode_subnegotiation(option, &[0, 80, 0, 24, 255], &mut bytes);
    }
    for code in 13..=255 {
        bytes.extend(sub(&[code, 1, 2, 3, 4]));
    }
    bytes.extend(sub(&[]));
    telnet::encode_subnegotiation(COM_PORT, &[0; 5000], &mut bytes);
    assert_eq!(rig.say(&bytes), []);
    assert_eq!(rig.line, []);
    assert_eq!(rig.session.skipped(), 1);
}

/// The telnet seeds of `crates/wire`, each spoilt in every place.
#[test]
fn session_seeds() {
    for seed in SEEDS {
        fuzz_session(seed);
        for at in 0..seed.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut spoilt = seed.to_vec();
                spoilt[at] ^= flip;
                fuzz_session(&spoilt);
            }
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_clients_do_no_harm(
        how: u8,
        tokens in vec(prop_oneof![
            vec(any::<u8>(), 0..20),
            (0..13_u8, vec(any::<u8>(), 0..5)).prop_map(|(code, value)| {
                sub(&[&[code], &value[..]].concat()).to_vec()
            }),
            (251..=254_u8, prop_oneof![Just(0), Just(44), any::<u8>()])
                .prop_map(|(verb, option)| vec![255, verb, option]),
            Just(AGREE.to_vec()),
        ], 0..40),
    ) {
        fuzz_session(&[&[how], &tokens.concat()[..]].concat());
    }
}

/// The line and the client are told the same, in whatever pieces the client's bytes come. The first
/// byte chooses the size of the pieces and how the session begins.
fn fuzz_session(data: &[u8]) {
    let Some((how, stream)) = data.split_first() else { return };
    let size = usize::from(how >> 2).max(1);
    let whole = talk(*how, &[stream]);
    let pieces: Vec<_> = stream.chunks(size).collect();
    assert_eq!(talk(*how, &pieces), whole, "in pieces of {size}");
}

/// What the line was told, adjacent data as one, and the client, telnet bytes and all.
fn talk(how: u8, pieces: &[&[u8]]) -> (Vec<Said>, BytesMut) {
    let mut rig = if how & 1 == 0 { Rig::agreed() } else { Rig::new(TelnetOptions::default()) };
    if how & 2 != 0 {
        rig.session.handle_urgent();
    }
    let mut out = BytesMut::new();
    for piece in pieces {
        let mut bytes = Bytes::copy_from_slice(piece);
        loop {
            while let Some(said) = rig.session.handle_bytes(&mut bytes) {
                if let Said::Ask(query) = &said {
                    rig.carry_out(query);
                    rig.session.handle_answer(query, &rig.state);
                }
                match (rig.line.last_mut(), said) {
                    (Some(Said::Data(before)), Said::Data(next)) => {
                        *before = [&before[..], &next[..]].concat().into();
                    }
                    (_, said) => rig.line.push(said),
                }
            }
            if bytes.is_empty() {
                break;
            }
            let waited = out.len();
            assert!(rig.session.is_full() && rig.session.poll_control(&mut out));
            assert!(out.len() - waited <= MOST);
        }
    }
    let waited = out.len();
    rig.session.poll_control(&mut out);
    assert!(out.len() - waited <= MOST);
    (rig.line, out)
}

macro_rules! seed {
    ($name:literal) => {
        include_bytes!(concat!("../../../../../crates/wire/tests/corpus/telnet/", $name))
    };
}

const SEEDS: [&[u8]; 11] = [
    seed!("cr"),
    seed!("doubled"),
    seed!("endless"),
    seed!("nested"),
    seed!("options"),
    seed!("pyserial"),
    seed!("suspend"),
    seed!("synch"),
    seed!("terminal"),
    seed!("undoubled"),
    seed!("unfinished"),
];
