//! Plausible guests and charges: pure functions of a seed and a count.
#![deny(clippy::disallowed_methods)]

use bytes::Bytes;

use super::posting::Guest;
use super::record::Composer;
use crate::chance::{STEP, scramble};
use crate::charge::{Charge, Kind};
use crate::civil::Civil;

/// Item number `serial` of a billing system's load: guests come, change and go, a few at a time.
/// No two items of a seed are equal.
pub fn item(seed: u64, serial: u64) -> Bytes {
    let at = serial.max(1) - 1;
    let (block, step) = (at / (3 * TOGETHER), at % (3 * TOGETHER));
    let (kind, stay) =
        ([GI, GC, GO][(step / TOGETHER) as usize], block * TOGETHER + step % TOGETHER);
    let Guest { room, reservation, name } = guest(seed, stay);
    let record = Composer::new(kind).field("RN", room).field("G#", reservation.to_string());
    let language = pick(&["EA", "GE", "FR", "SP"], seed, stay, 3);
    match kind {
        GO => record,
        GI => record.field("GN", name).field("GL", language),
        _ => record.field("GN", format!("{name}, Dr.")).field("GL", language),
    }
    .field("GS", "N")
    .finish()
}

/// The guest of a stay.
pub fn guest(seed: u64, stay: u64) -> Guest {
    let names = ["Doe", "Meyer", "Garibaldi", "Nakamura", "O'Neill", "Lopez", "Smith", "Virtanen"];
    let first = ["Ann", "Jan", "Kim", "Luca", "Maria", "Omar", "Robin", "Yuki"];
    let name = format!("{}, {}", pick(&names, seed, stay, 1), pick(&first, seed, stay, 2));
    let reservation = 10_001 + (stay % u64::from(u32::MAX - 10_001)) as u32;
    Guest { room: room(seed, stay), reservation, name }
}

/// The guest of a stay as told in a resync.
pub fn told(seed: u64, stay: u64) -> Bytes {
    let Guest { room, reservation, name } = guest(seed, stay);
    let record = Composer::new(GI).field("RN", room).field("G#", reservation.to_string());
    record.field("GN", name).field("SF", "").finish()
}

/// Charge number `n` of a gateway's load. Its key is `c` and eight digits.
pub fn charge(seed: u64, n: u64) -> Charge {
    let random = mix(seed, n, 10);
    let (kind, cents) = match random % 3 {
        0 => (Kind::Direct, 290 + random / 3 % 2500),
        1 => (Kind::Telephone, 20 + random / 3 % 900),
        _ => (Kind::Minibar, 150 + random / 3 % 1800),
    };
    let is_call = kind == Kind::Telephone;
    let number = mix(seed, n, 11) % 10_000_000_000;
    let text = match kind {
        Kind::Direct => Some(pick(&["Pay TV", "Internet 24 h", "Internet 1 h"], seed, n, 12)),
        Kind::Telephone => Some(pick(&["Local", "National", "International"], seed, n, 12)),
        Kind::Minibar => None,
    };
    Charge {
        key: format!("c{n:08}"),
        room: room(seed, mix(seed, n, 13)),
        kind,
        amount: cents,
        // No two begin at the same time, so no two are equal.
        at: Civil::from_seconds(FIRST.saturating_add_unsigned(n.saturating_mul(37))),
        duration: is_call.then_some((mix(seed, n, 14) % 3600) as u32),
        dialled: is_call.then(|| format!("0{number:010}")),
        text: text.map(str::to_owned),
    }
}

fn room(seed: u64, stay: u64) -> String {
    let random = mix(seed, stay, 4);
    format!("{}{:02}", 1 + random % 27, 1 + random / 27 % 40)
}

fn pick<'a>(from: &[&'a str], seed: u64, at: u64, what: u64) -> &'a str {
    from[(mix(seed, at, what) % from.len() as u64) as usize]
}

/// Chance for one purpose at one place of a run.
fn mix(seed: u64, at: u64, what: u64) -> u64 {
    let step = seed.wrapping_add(at.wrapping_mul(STEP));
    scramble(step.wrapping_add(what.wrapping_mul(0xd1b5_4a32_d192_ed03)))
}

const GI: &str = "GI";
const GC: &str = "GC";
const GO: &str = "GO";
/// Guests that stay at the same time.
const TOGETHER: u64 = 4;
/// 2026-01-05T08:00:00.
const FIRST: i64 = 1_767_600_000;

#[cfg(test)]
mod tests {
    use super::super::record::{Record, content};
    use super::super::{frame, posting};
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_item_is_a_record_and_is_unique() {
        let items: BTreeSet<_> = (1..=5000).map(|serial| item(7, serial)).collect();
        assert_eq!(items.len(), 5000);
        for item in &items {
            let record = Record::read(item).unwrap();
            assert!(["GI", "GC", "GO"].contains(&record.kind()), "{item:?}");
            assert!(record.field("RN").is_some() && item.iter().all(|b| frame::is_text(*b)));
        }
        assert_eq!(item(7, 1), item(7, 1));
        assert_ne!(item(7, 1), item(8, 1));
    }

    #[test]
    fn every_charge_can_be_posted_and_is_unique() {
        let charges: Vec<_> = (1..=5000).map(|n| charge(7, n)).collect();
        let texts: BTreeSet<_> =
            charges.iter().map(|charge| content(&posting::charge(charge, 1))).collect();
        assert_eq!(texts.len(), 5000);
        assert_eq!(charges[0].key, "c00000001");
        assert_eq!(charges[0].at.to_string(), "2026-01-05T08:00:37");
        for charge in &charges {
            charge.check().unwrap();
        }
        for kind in [Kind::Direct, Kind::Telephone, Kind::Minibar] {
            assert!(charges.iter().filter(|charge| charge.kind == kind).count() > 1000);
        }
    }
}
