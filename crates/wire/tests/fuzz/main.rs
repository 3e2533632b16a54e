//! The fuzz bodies over the committed seeds. To fuzz in earnest, call them from a fuzz target with
//! `corpus/` as the start; a crash found there comes back here as a seed named after it.

mod bodies;

use std::fs;
use std::path::Path;

#[test]
fn frame_seeds() {
    let seeds = each_seed("frame", bodies::fuzz_frame);
    assert!(seeds >= 21, "one of every frame type, {seeds} found");
}

#[test]
fn stream_seeds() {
    assert!(each_seed("stream", bodies::fuzz_stream) >= 5);
}

#[test]
fn datagram_seeds() {
    assert!(each_seed("datagram", bodies::fuzz_datagram) >= 3);
}

#[test]
fn telnet_seeds() {
    assert!(each_seed("telnet", bodies::fuzz_telnet) >= 8);
}

#[test]
fn rfc2217_seeds() {
    assert!(each_seed("rfc2217", bodies::fuzz_rfc2217) >= 13, "one of every command");
}

/// Calls `body` with every seed, with each of its beginnings and with each byte of it spoilt.
fn each_seed(folder: &str, body: impl Fn(&[u8])) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(folder);
    let mut seeds = 0;
    for entry in fs::read_dir(&folder).expect("the corpus is committed") {
        let path = entry.expect("a readable folder").path();
        let seed = fs::read(&path).expect("a readable seed");
        assert!(!seed.is_empty() && seed.len() <= 2048, "{}: keep seeds small", path.display());
        body(&seed);
        for at in 0..seed.len() {
            body(&seed[..at]);
            for flip in [0x01, 0x80, 0xff] {
                let mut spoilt = seed.clone();
                spoilt[at] ^= flip;
                body(&spoilt);
            }
        }
        seeds += 1;
    }
    seeds
}
