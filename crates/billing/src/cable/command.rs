//! The texts of both directions.
#![deny(clippy::disallowed_methods)]

use bytes::Bytes;

use crate::gateway::Reply;

use super::settings::{Auth, Settings};

/// What a text from the billing system is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    /// `LO id`.
    Logon(String),
    /// `LF`.
    Logoff,
    /// `NNNNNN …`, with a number.
    Command(Command),
}

/// `NNNNNN CC ADDR CODE ARG`, with a unit behind the number where the site has units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The transaction's number, six digits.
    pub number: u64,
    /// For which unit.
    pub unit: Option<[u8; 2]>,
    /// What to do, two letters: `AU` authorise, `DA` deauthorise, `RF` refresh; others are the
    /// handler's business. Empty if the text has no such form.
    pub kind: String,
    /// The code that counts.
    pub code: Option<String>,
    /// What is wrong with it, as the two characters of an `ER`.
    pub fault: Option<[u8; 2]>,
}

impl Command {
    /// Whether its response is for this gateway to give.
    pub fn is_ours(&self, settings: &Settings) -> bool {
        settings.unit_id.is_none() || self.unit.is_none() || self.unit == settings.unit_id
    }
}

/// Takes off what a site has around its commands. `None`: there is no start character.
pub fn strip(text: &Bytes, settings: &Settings) -> Option<Bytes> {
    let start = match settings.start_char {
        Some(start) => text.iter().position(|byte| *byte == start)? + 1,
        None => 0,
    };
    let spaces = text[start..].iter().rev().take_while(|byte| **byte == b' ').count();
    let end = text.len() - spaces.min(settings.trailing_spaces.into());
    Some(text.slice(start..end))
}

/// Puts on what a site has around its commands.
pub fn dress(text: &[u8], settings: &Settings) -> Bytes {
    let mut dressed: Vec<u8> = settings.start_char.into_iter().collect();
    dressed.extend_from_slice(text);
    dressed.resize(dressed.len() + usize::from(settings.trailing_spaces), b' ');
    dressed.into()
}

/// What the text is; `None` if it has no number and is no logon either.
pub fn parse(text: &[u8], settings: &Settings) -> Option<Parsed> {
    let text = std::str::from_utf8(text).ok()?;
    if text == "LF" {
        return Some(Parsed::Logoff);
    }
    if let Some(id) = text.strip_prefix("LO ") {
        return Some(Parsed::Logon(id.to_owned()));
    }
    let (digits, rest) = text.split_once(' ').unwrap_or((text, ""));
    if digits.len() != DIGITS || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number = digits.parse().ok()?;
    let mut fields = rest.split(' ');
    let unit = settings.unit_id.and_then(|_| fields.next()?.as_bytes().try_into().ok());
    let kind = fields.next().unwrap_or_default();
    let is_kind = kind.len() == 2 && kind.bytes().all(|b| b.is_ascii_uppercase());
    let (addr, written) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
    let code = winner(written, settings.auth);
    let is_authorisation = matches!(kind, "AU" | "DA");
    let fault = if !is_kind || addr.is_empty() || unit.is_some() != settings.unit_id.is_some() {
        Some(*b"FM")
    } else if is_authorisation && code.is_none() {
        Some(*b"CD")
    } else {
        None
    };
    let kind = if is_kind { kind.to_owned() } else { String::new() };
    let code = code.map(str::to_owned);
    Some(Parsed::Command(Command { number, unit, kind, code, fault }))
}

/// The code that counts among those written as `39` or `39,40`.
fn winner(written: &str, auth: Auth) -> Option<&str> {
    let known: &[&str] = match auth {
        Auth::Any => return Some(written).filter(|code| !code.is_empty()),
        Auth::Base => &["00", "01"],
        Auth::ExtC => &["39", "40"],
    };
    let all_known = written.split(',').all(|code| known.contains(&code));
    // Of both, the higher one wins: 40.
    written.split(',').max().filter(|_| all_known)
}

/// The response to a command.
pub fn response(number: u64, reply: Reply, taken_over: bool) -> Bytes {
    let mut text = format!("{number:0DIGITS$}");
    match reply {
        Reply::Ok => text.push_str(" OK"),
        Reply::Error(why) => {
            let shown = |b: u8| if b.is_ascii_graphic() { char::from(b) } else { '?' };
            text.push_str(" ER ");
            text.extend(why.map(shown));
        }
    }
    if taken_over {
        text.push_str(" TK");
    }
    text.into()
}

/// Number of a response, if it is one.
pub fn answered(text: &[u8]) -> Option<u64> {
    let (digits, rest) = text.split_at_checked(DIGITS)?;
    let is_response = rest.starts_with(b" OK") || rest.starts_with(b" ER ");
    let digits = std::str::from_utf8(digits).ok().filter(|_| is_response)?;
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// Digits of a transaction's number.
pub const DIGITS: usize = 6;
/// Not logged on.
pub const NO_LOGON: [u8; 2] = *b"LO";
/// The kind of a command that was refused for want of a logon. It comes again after one.
pub const BEFORE_LOGON: &str = "before-logon";
/// The number was another command's.
pub const NUMBER_TAKEN: [u8; 2] = *b"SQ";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings as _;
    use proptest::prelude::*;

    fn settings(pairs: &[(&str, &str)]) -> Settings {
        let mut settings = Settings::default();
        pairs.iter().for_each(|(key, value)| settings.set(key, value).unwrap());
        settings
    }

    fn command(text: &str, settings: &Settings) -> Command {
        let Some(Parsed::Command(command)) = parse(text.as_bytes(), settings) else {
            panic!("{text} is no command")
        };
        command
    }

    #[test]
    fn the_example_of_the_reference() {
        let found = command("000417 AU 2781 39 ADD", &settings(&[]));
        assert_eq!((found.number, found.kind.as_str(), found.fault), (417, "AU", None));
        assert_eq!(response(417, Reply::Ok, false), "000417 OK");
        assert_eq!(response(417, Reply::Error(*b"17"), true), "000417 ER 17 TK");
        assert_eq!(answered(b"000417 ER 17 TK"), Some(417));
        assert_eq!(answered(b"000417 AU 2781"), None);
    }

    #[test]
    fn of_both_codes_40_wins_and_others_are_unknown() {
        let ext_c = settings(&[("auth", "ext-c")]);
        assert_eq!(command("000001 AU 2781 40,39 ADD", &ext_c).code.as_deref(), Some("40"));
        assert_eq!(command("000001 AU 2781 00 ADD", &ext_c).fault, Some(*b"CD"));
        assert_eq!(command("000001 RF 2781 00", &ext_c).fault, None);
        let base = settings(&[("auth", "base")]);
        assert_eq!(command("000001 DA 2781 01 DEL", &base).code.as_deref(), Some("01"));
    }

    #[test]
    fn a_unit_stands_behind_the_number() {
        let units = settings(&[("unit_id", "07")]);
        assert!(command("000001 07 AU 2781 39", &units).is_ours(&units));
        assert!(!command("000001 08 AU 2781 39", &units).is_ours(&units));
        assert_eq!(command("000001 AUX 2781 39", &units).fault, Some(*b"FM"));
    }

    #[test]
    fn what_a_site_has_around_its_commands_is_taken_off() {
        let site = settings(&[("start_char", ":"), ("trailing_spaces", "2")]);
        let text = Bytes::from_static(b"000001 RF 2781");
        assert_eq!(dress(&text, &site), ":000001 RF 2781  ");
        assert_eq!(strip(&dress(&text, &site), &site), Some(text.clone()));
        assert_eq!(
            strip(&Bytes::from_static(b"xx:000001 RF 2781   "), &site).unwrap(),
            "000001 RF 2781 "
        );
        assert_eq!(strip(&text, &site), None);
    }

    #[test]
    fn what_has_no_number_is_no_command() {
        for text in ["", "AU 2781", "00041 AU 2781 39", "0004170 AU", "00041x AU 2781 39"] {
            assert_eq!(parse(text.as_bytes(), &settings(&[])), None, "{text}");
        }
        assert_eq!(command("000417", &settings(&[])).fault, Some(*b"FM"));
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in prop::collection::vec(any::<u8>(), 0..40)) {
            for site in [settings(&[]), settings(&[("unit_id", "07"), ("start_char", "0")])] {
                let text = Bytes::from(text.clone());
                let _ = strip(&text, &site).map(|text| parse(&text, &site));
                let _ = answered(&text);
            }
        }
    }
}
