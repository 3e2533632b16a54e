//! Records: `ID|XXvalue|XXvalue|`, fields in any order.
#![deny(clippy::disallowed_methods)]

use bytes::{BufMut, Bytes, BytesMut};

use super::frame::{MAX_TEXT, is_text};
use crate::civil::Civil;

/// A record's text, read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    kind: &'a str,
    fields: &'a [u8],
}

impl<'a> Record<'a> {
    /// Reads a text. `None`: it doesn't begin with two printable characters and `|`. A last field
    /// without its `|` is taken as it is.
    pub fn read(text: &'a [u8]) -> Option<Self> {
        let (kind, fields) = text.split_at_checked(3)?;
        let kind = str::from_utf8(kind.strip_suffix(b"|")?).ok()?;
        kind.bytes().all(|b| b.is_ascii_graphic()).then_some(Self { kind, fields })
    }

    /// Its type, such as `PS`.
    pub fn kind(&self) -> &'a str {
        self.kind
    }

    /// Its fields in the order written: two characters, and the value.
    pub fn fields(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        self.fields.split(|b| *b == b'|').filter_map(|field| field.split_at_checked(2))
    }

    /// The first field of this type.
    pub fn field(&self, id: &str) -> Option<&'a [u8]> {
        self.fields().find(|(name, _)| *name == id.as_bytes()).map(|(_, value)| value)
    }

    /// The record's number: 1 to [`MAX_NUMBER`].
    pub fn number(&self) -> Option<u64> {
        let digits = self.field("P#")?;
        let is_number = (1..=8).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
        let number = str::from_utf8(digits).ok().filter(|_| is_number)?;
        number.parse().ok().filter(|number| *number > 0)
    }

    /// What an answer says.
    pub fn status(&self) -> Option<Status> {
        Status::read(self.field("AS")?)
    }
}

/// What makes a charge this one and no other, whoever wrote it and in whichever order: room, date,
/// time, amount, number dialled; without an amount, what the billing system works it out from. Equal
/// contents are one charge, told twice.
pub fn content(text: &[u8]) -> Bytes {
    let Some(record) = Record::read(text) else { return Bytes::copy_from_slice(text) };
    let priced: &[&str] =
        if record.field("TA").is_some() { &[] } else { &["MP", "DU", "MA", "M#"] };
    let ids = ["RN", "DA", "TI", "TA", "DD"].iter().chain(priced);
    let add = |content: Composer, id: &&str| match record.field(id) {
        Some(value) => content.field(id, value),
        None => content,
    };
    ids.fold(Composer::new(record.kind()), add).finish()
}

/// Composes a text.
#[derive(Debug)]
pub struct Composer(BytesMut);

impl Composer {
    /// A record of this type.
    pub fn new(kind: &str) -> Self {
        let mut text = BytesMut::with_capacity(80);
        text.put_slice(kind.as_bytes());
        text.put_u8(b'|');
        Self(text)
    }

    /// Appends a field. Bytes that no value may have become spaces; a field that makes the record
    /// too long is left out.
    #[must_use]
    pub fn field(mut self, id: &str, value: impl AsRef<[u8]>) -> Self {
        let value = value.as_ref();
        if self.0.len() + id.len() + value.len() < MAX_TEXT {
            self.0.put_slice(id.as_bytes());
            let clean = |byte: u8| if is_text(byte) && byte != b'|' { byte } else { b' ' };
            self.0.extend(value.iter().map(|byte| clean(*byte)));
            self.0.put_u8(b'|');
        }
        self
    }

    /// Appends date and time.
    #[must_use]
    pub fn at(self, at: Civil) -> Self {
        let Civil { year, month, day, hour, minute, second } = at;
        let date = format!("{:02}{month:02}{day:02}", year % 100);
        self.field("DA", date).field("TI", format!("{hour:02}{minute:02}{second:02}"))
    }

    /// The text.
    pub fn finish(self) -> Bytes {
        self.0.freeze()
    }
}

/// `LS`, `LA`, `LE`, `DR`, `DS`, `DE`, `NS`, `NE`: a type, a date and a time.
pub fn plain(kind: &str, at: Civil) -> Bytes {
    Composer::new(kind).at(at).finish()
}

/// Whether a text is such a one.
pub fn is_plain(text: &[u8]) -> bool {
    let is_like = |(byte, form): (&u8, &u8)| match form {
        b'0' => byte.is_ascii_digit(),
        b'?' => byte.is_ascii_uppercase(),
        form => byte == form,
    };
    text.len() == PLAIN.len() && text.iter().zip(PLAIN).all(is_like)
}

/// `LD`: the description of the link begins.
pub fn description(at: Civil, version: &str, interface: &str) -> Bytes {
    Composer::new("LD").at(at).field("V#", version).field("IF", interface).finish()
}

/// `LR`: records of this type have these fields.
pub fn link_record(kind: &str) -> Bytes {
    let fields = DESCRIBED.iter().find(|(known, _)| *known == kind).map_or("", |(_, f)| *f);
    Composer::new("LR").field("RI", kind).field("FL", fields).finish()
}

/// The number as it is on the line: it wraps, and is never 0.
pub fn on_line(number: u64) -> u64 {
    (number.max(1) - 1) % MAX_NUMBER + 1
}

/// What an answer says: the field `AS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// `OK`: done.
    Ok,
    /// `NA`: night audit.
    NightAudit,
    /// `RY`: try again.
    Retry,
    /// `NG`: guest not found.
    NoGuest,
    /// `NP`: the guest may not be charged.
    NoPost,
    /// `UR`: can't be done, not to be tried again.
    Unprocessable,
    /// `CO`: above the credit limit.
    CreditLimit,
    /// `DM`: the parts are not the sum.
    Mismatch,
    /// `IA`: no such account.
    InvalidAccount,
    /// `DN`: denied.
    Denied,
    /// Another one, not meant for charges.
    Other([u8; 2]),
}

/// What becomes of the charge that was answered so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// It is posted.
    Posted,
    /// It will not be posted, for good.
    Refused,
    /// It is not posted yet: again when the night audit is over.
    Later,
    /// It is not posted yet: again in a while.
    Retry,
}

const STATUSES: [(Status, &[u8; 2]); 10] = [
    (Status::Ok, b"OK"),
    (Status::NightAudit, b"NA"),
    (Status::Retry, b"RY"),
    (Status::NoGuest, b"NG"),
    (Status::NoPost, b"NP"),
    (Status::Unprocessable, b"UR"),
    (Status::CreditLimit, b"CO"),
    (Status::Mismatch, b"DM"),
    (Status::InvalidAccount, b"IA"),
    (Status::Denied, b"DN"),
];

impl Status {
    /// Reads the field's value.
    pub fn read(code: &[u8]) -> Option<Self> {
        let code: [u8; 2] = code.try_into().ok()?;
        let known = STATUSES.iter().find(|(_, known)| **known == code);
        Some(known.map_or(Self::Other(code), |(status, _)| *status))
    }

    /// The field's value.
    pub fn code(self) -> [u8; 2] {
        if let Self::Other(code) = self {
            return code;
        }
        STATUSES.iter().find(|(status, _)| *status == self).map_or(*b"UR", |(_, code)| **code)
    }

    /// What becomes of the charge. What isn't known is a refusal: waiting for another answer would
    /// hold up every charge behind it, and a refusal is kept with its answer for people to read.
    pub fn class(self) -> Class {
        match self {
            Self::Ok => Class::Posted,
            Self::NightAudit => Class::Later,
            Self::Retry => Class::Retry,
            _ => Class::Refused,
        }
    }
}

/// Highest number on the line.
pub const MAX_NUMBER: u64 = 99_999_999;

/// Record types that can be described, and the fields asked for.
pub const DESCRIBED: [(&str, &str); 8] = [
    ("GI", "RNG#GNGLGSSF"),
    ("GO", "RNG#GSSF"),
    ("GC", "RNG#GNGLGSSF"),
    ("RE", "RNCSDNMLTV"),
    ("NS", "DATI"),
    ("NE", "DATI"),
    ("PS", "RNPTTADADUDDCTTIP#"),
    ("PA", "RNASCTDATIP#WSSO"),
];

/// The form of [`plain`].
const PLAIN: &[u8; 21] = b"??|DA000000|TI000000|";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_whatever_the_order_of_its_fields() {
        let record = Record::read(b"PA|P#1729|ASNG|CTno such guest|RN2781|").unwrap();
        assert_eq!((record.kind(), record.number()), ("PA", Some(1729)));
        assert_eq!(record.status(), Some(Status::NoGuest));
        assert_eq!(record.field("CT"), Some(&b"no such guest"[..]));
        assert_eq!(record.field("TA"), None);
        assert_eq!(record.fields().count(), 4);
    }

    #[test]
    fn what_is_no_record_or_no_number_is_none() {
        for text in [&b""[..], b"PS", b"PSRN", b"P |RN1|", b"\xe4\xf6|RN1|"] {
            assert_eq!(Record::read(text), None, "{text:?}");
        }
        for text in ["PA|", "PA|P#|", "PA|P#0|", "PA|P#123456789|", "PA|P#1x|", "PA|P#-1|"] {
            assert_eq!(Record::read(text.as_bytes()).unwrap().number(), None, "{text}");
        }
    }

    #[test]
    fn content_is_what_makes_a_charge_whoever_wrote_it() {
        let ours = content(b"PS|RN1|PTC|TA5|DA180618|TI120000|P#17|DD8051|CTLocal|");
        assert_eq!(ours, "PS|RN1|DA180618|TI120000|TA5|DD8051|");
        assert_eq!(content(b"PS|P#18|TI120000|DA180618|DD8051|TA5|RN1|SO2|DU000400|"), ours);
        // Without an amount, pulses and articles are what it costs.
        let pulses = content(b"PS|RN1|PTT|MP7|DU000400|DA180618|TI120000|P#19|");
        assert_eq!(pulses, "PS|RN1|DA180618|TI120000|MP7|DU000400|");
        assert_ne!(content(b"PS|RN1|PTM|MA3|M#2|P#20|"), content(b"PS|RN1|PTM|MA3|M#1|P#20|"));
    }

    #[test]
    fn no_value_breaks_a_record() {
        let text = Composer::new("GI").field("GN", b"a|b\x02\x03\xe4").finish();
        assert_eq!(&text[..], b"GI|GNa b  \xe4|");
        let long = Composer::new("GI").field("GN", [b'x'; MAX_TEXT]).field("RN", "1").finish();
        assert_eq!(long, "GI|RN1|");
    }

    #[test]
    fn numbers_on_the_line_wrap_without_zero() {
        let numbers = [1, 99_999_999, 100_000_000, 200_000_000].map(on_line);
        assert_eq!(numbers, [1, 99_999_999, 1, 2]);
    }

    #[test]
    fn every_status_has_its_code_and_class() {
        for (status, code) in STATUSES {
            assert_eq!((Status::read(code), status.code()), (Some(status), *code));
        }
        assert_eq!(Status::read(b"BM"), Some(Status::Other(*b"BM")));
        let classes = [Status::Ok, Status::NightAudit, Status::Retry, Status::NoPost];
        let expected = [Class::Posted, Class::Later, Class::Retry, Class::Refused];
        assert_eq!(classes.map(Status::class), expected);
    }
}
