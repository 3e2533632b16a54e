//! Plausible commands, each a pure function of a seed and its number.
#![deny(clippy::disallowed_methods)]

use bytes::Bytes;

use crate::bid::values::Draw;

use super::settings::{Auth, Settings};

/// Command `serial` of the run with this seed: one tap or box is authorised, deauthorised or
/// refreshed. Its number is the serial's last six digits.
pub fn command(seed: u64, serial: u64, settings: &Settings) -> Bytes {
    let mut draw = Draw::new(seed, serial);
    let number = serial % NUMBERS;
    let unit = settings.unit_id.map(|[a, b]| {
        // One in eight is another unit's.
        let b = if draw.below(8) == 0 { if b == b'0' { b'1' } else { b'0' } } else { b };
        format!("{}{} ", char::from(a), char::from(b))
    });
    let (kind, arg) = match draw.below(10) {
        0..=4 => ("AU", "ADD"),
        5..=7 => ("DA", "DEL"),
        _ => ("RF", "ALL"),
    };
    let codes: &[&str] = match settings.auth {
        Auth::Any => &["00", "01", "39", "40"],
        Auth::Base => &["00", "01"],
        Auth::ExtC => &["39", "40", "39,40"],
    };
    let code = codes[draw.below(codes.len() as u64) as usize];
    let unit = unit.unwrap_or_default();
    format!("{number:06} {unit}{kind} {} {code} {arg}", 1000 + draw.below(9000)).into()
}

/// Numbers before the first comes again.
pub const NUMBERS: u64 = 1_000_000;
