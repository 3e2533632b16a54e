//! Bytes as published.
#![deny(clippy::disallowed_methods)]

use bytes::Bytes;

use super::super::frame::{Check, encode, lrc};
use super::super::record::{self, Record, Status};
use super::super::{Settings, posting};
use crate::charge::{Charge, Kind};
use crate::civil::Civil;

fn bytes(hex: &str) -> Bytes {
    let byte = |hex| u8::from_str_radix(hex, 16).expect("two digits each");
    hex.split_whitespace().map(byte).collect()
}

fn at(text: &str) -> Civil {
    text.parse().expect("it is a date")
}

#[test]
fn the_specification_s_own_vector() {
    assert_eq!(encode(b"12345", Check::Lrc), bytes("02 31 32 33 34 35 03 32"));
    assert_eq!(encode(b"12345", Check::None), bytes("02 31 32 33 34 35 03"));
}

#[test]
fn a_charge_and_its_answer() {
    let charge = Charge {
        key: "c1".into(),
        room: "2781".into(),
        kind: Kind::Direct,
        amount: 1050,
        at: at("2008-06-18T12:35:45"),
        duration: None,
        dialled: None,
        text: None,
    };
    let text = posting::charge(&charge, 1729);
    assert_eq!(text, "PS|RN2781|PTC|TA1050|DA080618|TI123545|P#1729|");
    assert_eq!(
        encode(&text, Check::Lrc),
        bytes(
            "02 50 53 7C 52 4E 32 37 38 31 7C 50 54 43 7C 54 41 31 30 35 30 7C 44 41 30 38 30 36 \
             31 38 7C 54 49 31 32 33 35 34 35 7C 50 23 31 37 32 39 7C 03 5F"
        )
    );
    let request = Record::read(&text).unwrap();
    let answer = posting::answer(&request, Status::Ok, at("2008-06-18T12:35:46"));
    assert_eq!(answer, "PA|RN2781|ASOK|P#1729|DA080618|TI123546|");
    assert_eq!(lrc(&answer), 0x72);
}

#[test]
fn a_call_has_its_number_and_its_length() {
    let charge = Charge {
        key: "c1".into(),
        room: "2781".into(),
        kind: Kind::Telephone,
        amount: 1050,
        at: at("2000-09-15T12:42:54"),
        duration: Some(225),
        dialled: Some("00498*9920920#".into()),
        text: Some("International, paid by the company".into()),
    };
    let text = posting::charge(&charge, 100_000_000);
    let expected = "PS|RN2781|PTC|TA1050|DA000915|TI124254|P#1|DD004989920920|DU000345|\
                    CTInternational, paid |";
    assert_eq!(text, expected);
    // A day is one second too long for hours, minutes and seconds.
    let text = posting::charge(&Charge { duration: Some(86_400), ..charge }, 1);
    assert!(text.windows(9).any(|part| part == b"|DU235959"), "{text:?}");
}

#[test]
fn the_start_of_the_link() {
    let ls = "02 4C 53 7C 44 41 31 36 31 31 31 37 7C 54 49 31 30 32 39 32 36 7C 03 77";
    let frame = |kind, date| encode(&record::plain(kind, at(date)), Check::Lrc);
    assert_eq!(frame("LS", "2016-11-17T10:29:26"), bytes(ls));
    let ls = "02 4C 53 7C 44 41 30 38 30 36 31 38 7C 54 49 31 32 33 35 30 30 7C 03 7A";
    assert_eq!(frame("LS", "2008-06-18T12:35:00"), bytes(ls));
    let la = "02 4C 41 7C 44 41 30 38 30 36 31 38 7C 54 49 31 32 33 35 30 31 7C 03 69";
    assert_eq!(frame("LA", "2008-06-18T12:35:01"), bytes(la));
    let version = Settings::default().version;
    let ld = record::description(at("2016-11-17T10:31:16"), &version, "WW");
    assert_eq!((&ld[..], lrc(&ld)), (&b"LD|DA161117|TI103116|V#1.0|IFWW|"[..], b'?'));
}

#[test]
fn a_check_may_look_like_any_control_byte() {
    let guest = "02 47 49 7C 52 4E 31 30 36 39 7C 47 4E 44 6F 65 7C 47 53 4E 7C 03 02";
    assert_eq!(encode(b"GI|RN1069|GNDoe|GSN|", Check::Lrc), bytes(guest));
    for (room, check) in [(1069, 0x02), (1068, 0x03), (1008, 0x05), (1029, 0x06)] {
        assert_eq!(lrc(format!("GI|RN{room}|GNDoe|GSN|").as_bytes()), check);
    }
    let guest = "02 47 49 7C 52 4E 31 36 38 7C 47 4E 44 6F 65 7C 03 15";
    assert_eq!(encode(b"GI|RN168|GNDoe|", Check::Lrc), bytes(guest));
}

/// The complete frames of the log of an RS-232 line in Oracle's specification of IFC8 FIAS,
/// 2.20.23, pages 103 to 108, each once: text and check. Three more are printed with a check that
/// is not theirs; they are below.
const LOG: [(&str, char); 18] = [
    ("LS|DA161117|TI102926|", 'w'),
    ("LS|DA161117|TI103020|", 'y'),
    ("LD|DA161117|TI103116|V#1.0|IFWW|", '?'),
    ("LA|DA161117|TI103118|", 'a'),
    ("LA|DA161117|TI103024|", 'o'),
    ("LS|DA161117|TI102107|", '|'),
    ("LD|DA161117|TI102203|V#1.0|IFWW|", '9'),
    ("LA|DA161117|TI102204|", 'n'),
    ("LA|DA161117|TI102111|", 'i'),
    ("LE|DA161117|TI102631|", 'h'),
    ("LE|DA161117|TI102536|", 'l'),
    ("LS|DA161117|TI102540|", '{'),
    ("LD|DA161117|TI102636|V#1.0|IFWW|", ';'),
    ("LA|DA161117|TI102637|", 'j'),
    ("LA|DA161117|TI102543|", 'j'),
    ("LE|DA161117|TI104524|", 'i'),
    ("LE|DA161117|TI104620|", 'n'),
    ("LE|DA161117|TI102841|", 'a'),
];

#[test]
fn the_published_log_has_our_checks() {
    for (text, check) in LOG {
        assert_eq!(char::from(lrc(text.as_bytes())), check, "{text}");
    }
}

#[test]
fn three_lines_of_the_published_log_were_edited() {
    let edited = [
        ("LS|DA161117|TI103116|", 'f'),
        ("LS|DA161117|TI112107|", 'j'),
        ("LA|DA161117|TI112111|", 'i'),
    ];
    for (text, printed) in edited {
        assert_ne!(char::from(lrc(text.as_bytes())), printed, "{text}");
    }
}
