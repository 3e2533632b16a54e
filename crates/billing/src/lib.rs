//! Billing protocols as values: link engines and the records they carry, without any input or output.
//!
//! A *link engine* turns bytes from a line into records, and commands into bytes for the line. It
//! holds no socket, clock, task or random source, so the same value serves the gateway, the
//! simulated billing system and the simulated world, and a test can put both ends into one loop.
//!
//! The seams:
//! - [`engine`]: the calling contract of a link engine, from either end of the line.
//! - [`gateway`]: the gateway's end of a dialect, between the line and a store.
//! - [`billing_end`]: the billing system's end, for a simulator that judges.
//! - [`settings`]: settings as text, the same from file, command line and scenario.
//!
//! What they share:
//! - [`civil`]: date and time of day, and how a core gets to know them.
//! - [`charge`]: what is to be posted, in no dialect yet.
//! - [`ledger`]: what nodes must know of each other's numbers.
//! - [`reset`]: when a sender's numbers begin again.
//!
//! The dialects, which [`dialect`] knows by name:
//! - [`fias`]: charges to hotel guests, by the published specification of a hotel system.
//! - [`numbered`]: the lab's own dialect, readable on the wire; every answer is a pure function of
//!   its record, so that a judge can say exactly what must come back.
//! - [`cdr`]: call records of a telephone exchange, one way, any column layout.
//! - [`hx`]: call accounting, HOBIC records; [`cable`]: generic provisioning, not vendor-exact. Both
//!   on the link engine [`bid`].

#![deny(clippy::disallowed_methods)]

pub mod bid;
pub mod billing_end;
pub mod cable;
pub mod cdr;
mod chance;
pub mod charge;
pub mod civil;
pub mod dialect;
pub mod engine;
pub mod fias;
pub mod gateway;
pub mod hx;
pub mod ledger;
pub mod numbered;
pub mod reset;
pub mod settings;

pub use billing_end::{BillingEnd, Misdeed, SimEvent};
pub use charge::Charge;
pub use civil::{Civil, WallClock};
pub use dialect::{Dialect, DialectError};
pub use engine::{LinkEngine, Transmit};
pub use gateway::{Gateway, LineNews, Notice, Outcome, Output, Posting, Reply, Resume, Write};
pub use ledger::Ledger;
pub use settings::Settings;
