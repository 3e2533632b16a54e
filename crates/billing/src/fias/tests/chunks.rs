//! However the bytes are cut, and whenever a timer is looked at.
#![deny(clippy::disallowed_methods)]

use std::time::Duration;

use proptest::prelude::*;

use super::super::{Gateway, Pms, Settings};
use super::bench::frame;
use super::world::{WALL, World};
use crate::billing_end::BillingEnd;
use crate::gateway::{Gateway as _, Resume};

const NOW: Duration = Duration::from_secs(100);

/// Records, pieces of them, and bytes of any kind.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let texts = ["LS|", "LA|", "LE|", "PS|RN1|TA5|P#1|", "PA|ASOK|P#1|", "GI|RN101|", "DS|", "?"];
    let whole = prop::sample::select(texts.to_vec()).prop_map(|text| frame(text).to_vec());
    let piece = prop_oneof![
        4 => whole.clone(),
        2 => (whole, 0..12usize).prop_map(|(frame, len)| frame[..len.min(frame.len())].to_vec()),
        2 => prop::sample::select(vec![vec![5], vec![6], vec![0x15], vec![2], vec![3]]),
        1 => prop::collection::vec(any::<u8>(), 0..6),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn gateway_says(bytes: &[u8], cuts: &[usize], looks: bool) -> String {
    let resume = Resume { acked: 0, note: None, cut: false, last_number: 0, wall: WALL };
    let mut gateway = Gateway::new(Settings::default(), resume, NOW);
    let (mut offset, mut said) = (0, String::new());
    for chunk in pieces(bytes, cuts) {
        gateway.handle_input(offset, chunk, NOW);
        offset += chunk.len() as u64;
        if looks {
            gateway.handle_timeout(NOW);
        }
    }
    for write in std::iter::from_fn(|| gateway.poll_write()) {
        said += &format!("{write:?}\n");
    }
    for output in std::iter::from_fn(|| gateway.poll_output()) {
        said += &format!("{output:?}\n");
    }
    for notice in std::iter::from_fn(|| gateway.poll_event()) {
        said += &format!("{notice:?}\n");
    }
    said
}

fn pms_says(bytes: &[u8], cuts: &[usize], looks: bool) -> String {
    let mut pms = Pms::new(Settings::default(), 1, WALL, NOW);
    for chunk in pieces(bytes, cuts) {
        pms.handle_bytes(chunk, NOW);
        if looks {
            pms.handle_timeout(NOW);
        }
    }
    let mut said = String::new();
    for bytes in std::iter::from_fn(|| pms.poll_transmit()) {
        said += &format!("{bytes:?}\n");
    }
    for event in std::iter::from_fn(|| pms.poll_event()) {
        said += &format!("{event:?}\n");
    }
    said
}

fn pieces<'a>(mut bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    for cut in cuts {
        let (piece, rest) = bytes.split_at((*cut).min(bytes.len()));
        pieces.push(piece);
        bytes = rest;
    }
    pieces.push(bytes);
    pieces
}

proptest! {
    #[test]
    fn any_chunks_give_the_same(
        bytes in stream(),
        cuts in prop::collection::vec(0..9usize, 0..40),
        looks in any::<bool>(),
    ) {
        prop_assert_eq!(gateway_says(&bytes, &cuts, looks), gateway_says(&bytes, &[], false));
        prop_assert_eq!(pms_says(&bytes, &cuts, looks), pms_says(&bytes, &[], false));
    }
}

#[test]
fn news_of_written_bytes_may_come_late_and_timers_may_be_looked_at_early() {
    for lag in [1, 2, 13, 80, 400] {
        let mut world = World::new(Settings::default(), 10, 10);
        world.lag = lag;
        world.is_impatient = true;
        assert!(world.run(Duration::from_secs(600)), "{lag}: {:?}", world.notices.last());
        world.assert_exact(10);
    }
}
