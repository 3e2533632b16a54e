//! `fias`: the hotel's dialect, by the published specification of Oracle's IFC8 interface.
//!
//! Vendors (pay-TV, telephone, minibar, internet) post charges to the property management system
//! and hear of guests who come and go. `docs/fias.md` has the bytes, the rules and the sequences.
//!
//! - [`frame`]: STX, data, ETX, check.
//! - [`link`]: one record at a time in each direction, ACK, NAK, and ENQ for "say that again".
//! - [`record`] and [`posting`]: what a record says.
//! - [`gateway`]: the vendor's end. [`pms`]: the billing system's.
//! - [`generate`]: a load for both.
#![deny(clippy::disallowed_methods)]

pub mod frame;
pub mod gateway;
pub mod generate;
pub mod link;
mod note;
pub mod pms;
pub mod posting;
pub mod record;
pub mod settings;
#[cfg(test)]
mod tests;

pub use frame::Check;
pub use gateway::Gateway;
pub use pms::Pms;
pub use settings::Settings;
