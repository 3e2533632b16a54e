//! Holds `docs/wire-format.md` against the code: its examples are golden, its bounds are ours.

use bytes::{Bytes, BytesMut};
use wire::beacon::MAX_BEACON_LINES;
use wire::frame::{
    INPUT_WINDOW, MAX_BREAK, MAX_ERROR_TEXT, MAX_FRAME, MAX_INPUT, MAX_NOTE, MAX_OUTPUT,
    OUTPUT_WINDOW,
};
use wire::heartbeat::MAX_MEMBERS;
use wire::keyring::MAX_KEYS;
use wire::name::MAX_NAME;
use wire::{Datagram, ErrorCode, Frame, Key, MAX_DATAGRAM};

const SPECIFICATION: &str = include_str!("../../../docs/wire-format.md");
const GOLDEN: [&str; 3] = [
    include_str!("golden_v1.rs"),
    include_str!("golden_v2.rs"),
    include_str!("golden_datagrams_v2.rs"),
];

#[test]
fn every_example_is_golden_and_decodes() {
    let golden: String = GOLDEN.iter().flat_map(|file| file.split_whitespace()).collect();
    let examples = examples();
    assert_eq!(examples.len(), 7);
    for example in examples {
        assert!(golden.contains(&format!("\"{example}\"")), "not golden: {example}");
        let bytes = unhex(&example);
        if bytes.starts_with(b"LKDG") {
            let key = Key::new(7, std::array::from_fn(|i| i as u8));
            let group = "billing".parse().expect("a valid name");
            assert!(Datagram::decode(&bytes, &group, |_| Some(&key)).is_ok(), "{example}");
        } else {
            assert!(Frame::decode(bytes.slice(2..)).is_ok(), "{example}");
        }
    }
}

#[test]
fn every_bound_has_its_value() {
    let bounds = [
        ("MAX_FRAME", MAX_FRAME),
        ("MAX_INPUT", MAX_INPUT),
        ("MAX_OUTPUT", MAX_OUTPUT),
        ("MAX_NOTE", MAX_NOTE),
        ("MAX_ERROR_TEXT", MAX_ERROR_TEXT),
        ("INPUT_WINDOW", INPUT_WINDOW as usize),
        ("OUTPUT_WINDOW", OUTPUT_WINDOW as usize),
        ("MAX_BREAK", MAX_BREAK as usize),
        ("MAX_DATAGRAM", MAX_DATAGRAM),
        ("MAX_NAME", MAX_NAME),
        ("MAX_MEMBERS", MAX_MEMBERS),
        ("MAX_BEACON_LINES", MAX_BEACON_LINES),
        ("MAX_KEYS", MAX_KEYS),
    ];
    for (name, value) in bounds {
        assert!(has_row(&[&format!("`{name}`"), &value.to_string()]), "{name} is {value}");
    }
}

/// The smallest of every frame has the type and the least size of the table.
#[test]
fn every_frame_has_its_row() {
    let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/frame");
    let mut rows = 0;
    for entry in std::fs::read_dir(seeds).expect("the corpus is committed") {
        let seed = std::fs::read(entry.expect("a readable folder").path()).expect("a seed");
        let frame = Frame::decode(seed.clone().into()).expect("seeds are frames");
        let kind = format!("`{:#04x}`", seed[0]);
        let row = row(&[&kind, frame.name()]).unwrap_or_else(|| panic!("no row for {kind}"));
        let (least, most) = row[3].split_once(" to ").unwrap_or((row[3], row[3]));
        let (least, most) = (least.parse().expect("a size"), most.parse().expect("a size"));
        assert!((least..=most).contains(&seed.len()), "{}: {} bytes", frame.name(), seed.len());
        rows += 1;
    }
    assert_eq!(rows, 21);
}

#[test]
fn every_error_code_has_its_row() {
    let codes = [
        (ErrorCode::BadFrame, "`bad frame`"),
        (ErrorCode::Version, "`version`"),
        (ErrorCode::UnknownLine, "`unknown line`"),
        (ErrorCode::Unexpected, "`unexpected`"),
        (ErrorCode::Window, "`window`"),
        (ErrorCode::Position, "`position`"),
        (ErrorCode::Offset, "`offset`"),
        (ErrorCode::Slow, "`slow`"),
        (ErrorCode::Full, "`full`"),
    ];
    for (code, word) in codes {
        assert!(has_row(&[&code.code().to_string(), word]), "{word}");
    }
}

/// The fenced blocks marked `hex`, without comments and white space.
fn examples() -> Vec<String> {
    let blocks = SPECIFICATION.split("```hex\n").skip(1);
    let block = |block: &str| {
        let lines = block.split("```").next().unwrap_or_default().lines();
        let code = lines.map(|line| line.split(';').next().unwrap_or_default());
        code.flat_map(str::split_whitespace).collect()
    };
    blocks.map(block).collect()
}

/// The cells of the table row that begins so.
fn row(start: &[&str]) -> Option<Vec<&'static str>> {
    SPECIFICATION.lines().map(cells).find(|cells| cells.starts_with(start))
}

fn has_row(start: &[&str]) -> bool {
    row(start).is_some()
}

fn cells(line: &'static str) -> Vec<&'static str> {
    line.trim_matches('|').split('|').map(str::trim).collect()
}

fn unhex(text: &str) -> Bytes {
    let mut bytes = BytesMut::new();
    for at in (0..text.len()).step_by(2) {
        bytes.extend([u8::from_str_radix(&text[at..at + 2], 16).expect("hex digits")]);
    }
    bytes.freeze()
}
