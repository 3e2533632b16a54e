//! A dialect by its name: the one place that knows them all.
#![deny(clippy::disallowed_methods)]

use std::time::Duration;

use bytes::Bytes;

use crate::billing_end::{BillingEnd, Misdeed};
use crate::charge::Charge;
use crate::civil::WallClock;
use crate::gateway::{Gateway, Resume};
use crate::settings::{Key, SettingError, Settings};
use crate::{cable, cdr, fias, hx};

/// A dialect with its settings.
#[derive(Debug, Clone)]
pub enum Dialect {
    /// Generic provisioning commands.
    Cable(cable::Settings),
    /// Call records of a telephone exchange.
    Cdr(cdr::CdrSettings),
    /// A hotel's property management.
    Fias(fias::Settings),
    /// Call accounting.
    Hx(hx::Settings),
}

/// No such dialect, or a setting that it does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DialectError {
    /// There is none of this name.
    #[error("`{0}` is no dialect; there are {known}", known = Dialect::NAMES.join(", "))]
    Unknown(String),
    /// A setting is wrong.
    #[error(transparent)]
    Setting(#[from] SettingError),
}

impl Dialect {
    /// All names.
    pub const NAMES: [&'static str; 4] = ["fias", "hx", "cable", "cdr"];

    /// The dialect `name` with the usual settings but for these.
    ///
    /// # Errors
    /// There is none, or a setting is wrong.
    pub fn named(name: &str, settings: &[(String, String)]) -> Result<Self, DialectError> {
        Ok(match name {
            "cable" => Self::Cable(set(settings)?),
            "cdr" => Self::Cdr(set(settings)?),
            "fias" => Self::Fias(set(settings)?),
            "hx" => Self::Hx(set(settings)?),
            _ => return Err(DialectError::Unknown(name.chars().take(40).collect())),
        })
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Cable(_) => cable::Settings::DIALECT,
            Self::Cdr(_) => cdr::CdrSettings::DIALECT,
            Self::Fias(_) => fias::Settings::DIALECT,
            Self::Hx(_) => hx::Settings::DIALECT,
        }
    }

    /// What can be set.
    pub fn keys(&self) -> &'static [Key] {
        match self {
            Self::Cable(_) => cable::Settings::KEYS,
            Self::Cdr(_) => cdr::CdrSettings::KEYS,
            Self::Fias(_) => fias::Settings::KEYS,
            Self::Hx(_) => hx::Settings::KEYS,
        }
    }

    /// Whether its billing system has records of its own.
    pub fn sends(&self) -> bool {
        !matches!(self, Self::Hx(_))
    }

    /// Whether its gateway says anything.
    pub fn answers(&self) -> bool {
        !matches!(self, Self::Cdr(_))
    }

    /// Whether its billing system can misbehave so.
    pub fn heeds(&self, misdeed: Misdeed) -> bool {
        use Misdeed::{CorruptCheck, DelayAnswers, DropAnswers, EndLink, LateEnq, Nak};
        match (self, misdeed) {
            (Self::Cable(settings), EndLink { .. }) => settings.logon.is_some(),
            (Self::Cdr(_), misdeed) => matches!(misdeed, EndLink { .. }),
            (Self::Fias(settings), CorruptCheck { .. }) => settings.check == fias::Check::Lrc,
            (Self::Fias(_), _) | (Self::Cable(_), CorruptCheck { .. }) => true,
            (Self::Cable(_) | Self::Hx(_), misdeed) => matches!(
                misdeed,
                DropAnswers { .. } | DelayAnswers { .. } | Nak { .. } | LateEnq { .. }
            ),
        }
    }

    /// Whether a gateway that keeps a record of this kind has taken it for what it says. Noise,
    /// repetitions and what was put off are kept, too.
    pub fn takes(&self, kind: &str) -> bool {
        match self {
            Self::Cdr(_) => kind == cdr::kind::CALL,
            Self::Cable(_) => kind != cable::BEFORE_LOGON,
            Self::Fias(_) | Self::Hx(_) => true,
        }
    }

    /// Whether its gateway posts charges.
    pub fn posts(&self) -> bool {
        matches!(self, Self::Fias(_) | Self::Hx(_))
    }

    /// The gateway's end.
    pub fn gateway(&self, resume: Resume, now: Duration) -> Box<dyn Gateway> {
        match self.clone() {
            Self::Cable(settings) => Box::new(cable::Gateway::new(settings, resume, now)),
            Self::Cdr(settings) => Box::new(cdr::Collector::new(&settings, resume, now)),
            Self::Fias(settings) => Box::new(fias::Gateway::new(settings, resume, now)),
            Self::Hx(settings) => Box::new(hx::Gateway::new(settings, resume, now)),
        }
    }

    /// The billing system's end. Its load is a pure function of the seed.
    pub fn billing_end(&self, seed: u64, wall: WallClock, now: Duration) -> Box<dyn BillingEnd> {
        match self.clone() {
            Self::Cable(settings) => Box::new(cable::Billing::new(settings, seed, wall, now)),
            Self::Cdr(settings) => Box::new(cdr::Exchange::new(settings, seed, wall, now)),
            Self::Fias(settings) => Box::new(fias::Pms::new(settings, seed, wall, now)),
            Self::Hx(settings) => Box::new(hx::Billing::new(settings, seed, wall, now)),
        }
    }

    /// What a charge says on the line, without its number, as `SimEvent::Posted` has it: charges
    /// with equal contents can't be told apart there. `None`: the dialect posts nothing.
    ///
    /// # Errors
    /// The charge does not fit the dialect's record; why, as a fragment that names the field.
    pub fn content(&self, charge: &Charge) -> Result<Option<Bytes>, String> {
        match self {
            Self::Fias(_) => Ok(Some(fias::record::content(&fias::posting::charge(charge, 1)))),
            Self::Hx(settings) => {
                hx::record::content(charge, settings).map(Some).map_err(|misfit| misfit.to_string())
            }
            Self::Cable(_) | Self::Cdr(_) => Ok(None),
        }
    }

    /// Charge number `n` of a load that is a pure function of the seed; its key is `c` and eight
    /// digits, its content its own. `None`: the dialect posts nothing.
    pub fn charge(&self, seed: u64, n: u64) -> Option<Charge> {
        match self {
            Self::Fias(_) => Some(fias::generate::charge(seed, n)),
            Self::Hx(_) => Some(hx::generate::charge(seed, n)),
            Self::Cable(_) | Self::Cdr(_) => None,
        }
    }
}

fn set<S: Settings>(pairs: &[(String, String)]) -> Result<S, SettingError> {
    let mut settings = S::default();
    for (name, value) in pairs {
        settings.set(name, value)?;
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_found_by_its_name_and_has_the_defaults_that_its_keys_state() {
        for name in Dialect::NAMES {
            let dialect = Dialect::named(name, &[]).unwrap();
            assert_eq!(dialect.name(), name);
            for key in dialect.keys() {
                let pair = (key.name.to_owned(), key.default.to_owned());
                if key.default.is_empty() {
                    continue;
                }
                let same = Dialect::named(name, &[pair]).map(|same| format!("{same:?}"));
                assert_eq!(same, Ok(format!("{dialect:?}")), "{name}: {}", key.name);
            }
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |name: &str, key: &str| {
            let pair = (key.to_owned(), "nonsense".to_owned());
            Dialect::named(name, &[pair]).unwrap_err().to_string()
        };
        assert!(error("morse", "key").starts_with("`morse` is no dialect; there are f"));
        assert!(error("hx", "colour").starts_with("hx has no setting `colour`; it has "));
        assert!(error("hx", "check").starts_with("check: `nonsense` is none of its values: "));
    }

    #[test]
    fn a_load_of_charges_is_what_a_till_could_post_and_tells_them_apart() {
        for dialect in Dialect::NAMES.map(|name| Dialect::named(name, &[]).unwrap()) {
            let mut contents = std::collections::BTreeSet::new();
            for n in 1..=500 {
                let Some(charge) = dialect.charge(7, n) else {
                    assert!(!dialect.posts());
                    break;
                };
                assert_eq!((charge.check(), &charge.key), (Ok(()), &format!("c{n:08}")));
                assert!(contents.insert(dialect.content(&charge).unwrap().unwrap()), "{charge:?}");
            }
        }
    }
}
