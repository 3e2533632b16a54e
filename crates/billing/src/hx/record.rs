//! The columns of a HOBIC record.
#![deny(clippy::disallowed_methods)]

use bytes::Bytes;

use crate::charge::Charge;

use super::settings::Settings;

/// The record of a charge behind its number: columns 5 to the end. Two charges with the same one
/// look alike to the billing system.
///
/// # Errors
/// The charge does not fit the columns; says why.
pub fn content(charge: &Charge, settings: &Settings) -> Result<Bytes, Misfit> {
    let (amount, room) = (charge.amount, charge.room.as_str());
    if amount > MAX_AMOUNT {
        return Err(Misfit("amount does not fit DDD.CC"));
    }
    if room.len() > STATION || !room.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return Err(Misfit("room does not fit 5 columns"));
    }
    let property = settings.property.map(char::from);
    let property: String = property.into_iter().collect();
    let station = if settings.station_left {
        format!("{room:<STATION$}")
    } else {
        format!("{room:>STATION$}")
    };
    let minutes = charge.duration.unwrap_or_default().div_ceil(60).min(9999);
    let width = settings.dialled_width;
    let digits = charge.dialled.as_deref().unwrap_or_default();
    let dialled = dashed(digits);
    let call = match digits.len() {
        0 => ' ',
        1..=10 => 'L',
        _ => 'F',
    };
    let at = charge.at;
    let text = format!(
        " {property} {:02}/{:02} {station} {:02}:{:02} {minutes:04} ${:03}.{:02} {dialled:<width$.width$} {call}",
        at.month,
        at.day,
        at.hour,
        at.minute,
        amount / 100,
        amount % 100,
    );
    Ok(Bytes::from(text))
}

/// The whole record: number and [`content`].
pub fn compose(number: [u8; 4], content: &[u8]) -> Bytes {
    Bytes::from([&number[..], content].concat())
}

/// Number and content of a record, if it is long enough to have both.
pub fn split(text: &Bytes) -> Option<(Bytes, Bytes)> {
    let is_record = text.len() > NUMBER && text[NUMBER] == b' ';
    is_record.then(|| (text.slice(..NUMBER), text.slice(NUMBER..)))
}

/// Ten digits as `805-688-1000`, others as they are.
fn dashed(digits: &str) -> String {
    let plain = digits.bytes().all(|b| b.is_ascii_digit());
    match (digits.get(..3), digits.get(3..6), digits.get(6..10)) {
        (Some(area), Some(office), Some(line)) if plain && digits.len() == 10 => {
            format!("{area}-{office}-{line}")
        }
        _ => digits.to_owned(),
    }
}

/// Why a charge does not fit the columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Misfit(pub &'static str);

/// Columns of the number.
pub(super) const NUMBER: usize = 4;
/// Columns of the station.
const STATION: usize = 5;
/// What `DDD.CC` holds.
const MAX_AMOUNT: u64 = 99_999;

#[cfg(test)]
mod tests {
    use super::super::generate;
    use super::*;
    use crate::charge::Kind;

    fn call() -> Charge {
        Charge {
            key: "k".into(),
            room: "2781".into(),
            kind: Kind::Telephone,
            amount: 1050,
            at: "2018-06-18T12:35:45".parse().unwrap(),
            duration: Some(181),
            dialled: Some("8056881000".into()),
            text: None,
        }
    }

    fn text(charge: &Charge, settings: &Settings) -> String {
        String::from_utf8(content(charge, settings).unwrap().to_vec()).unwrap()
    }

    #[test]
    fn the_worked_example_of_the_reference() {
        let content = content(&call(), &Settings::default()).unwrap();
        let record = compose(*b"417C", &content);
        assert_eq!(record, "417C HTL 06/18  2781 12:35 0004 $010.50 805-688-1000 L");
        let (number, rest) = split(&record).unwrap();
        assert_eq!((number, rest), (Bytes::from("417C"), content));
    }

    #[test]
    fn columns_stay_where_they_are() {
        let wide = Settings { dialled_width: 15, station_left: true, ..Settings::default() };
        let abroad = Charge { dialled: Some("01149301234567890".into()), ..call() };
        assert_eq!(text(&abroad, &wide), " HTL 06/18 2781  12:35 0004 $010.50 011493012345678 F");
        let direct = Charge { dialled: None, duration: None, amount: 5, ..call() };
        assert_eq!(text(&direct, &wide).len() + 4, 57);
        let narrow = text(&direct, &Settings::default());
        assert_eq!(narrow, " HTL 06/18  2781 12:35 0000 $000.05               ");
        assert_eq!(narrow.len() + 4, 54);
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let settings = Settings::default();
        let dear = Charge { amount: 100_000, ..call() };
        assert_eq!(content(&dear, &settings), Err(Misfit("amount does not fit DDD.CC")));
        let long = Charge { room: "ROOM12".into(), ..call() };
        assert!(content(&long, &settings).is_err());
    }

    #[test]
    fn generated_charges_are_valid_and_differ_in_their_content() {
        let settings = Settings::default();
        let charges: Vec<_> = (1..=3000).map(|n| generate::charge(7, n)).collect();
        assert!(charges.iter().all(|charge| charge.check().is_ok()));
        let mut contents: Vec<_> = charges.iter().map(|charge| text(charge, &settings)).collect();
        contents.sort_unstable();
        contents.dedup();
        assert_eq!((contents.len(), charges[41].key.as_str()), (3000, "c00000042"));
    }
}
