//! `hx`: call accounting and in-room charges. A HOBIC record between ENQ, ACK and STX … ETX check.
//!
//! ```text
//! gateway:         ENQ
//! billing system:                                                                 ACK
//! gateway:         STX 417C HTL 06/18  2781 12:35 0004 $010.50 805-688-1000 L ETX 6D
//! billing system:                                                                 ACK
//! ```
//!
//! Only the gateway sends. The link's ACK of a text is all the confirmation there is: it settles the
//! charge. The record's number tells a record that came twice from a new one.
//!
//! - [`record`]: the columns; [`number`]: number and letter, resets, and what follows what.
//! - [`settings`]: what a site may choose.
//! - [`gateway`]: the end that sends charges; [`note`]: what it leaves for its successor.
//! - [`billing`]: the end that posts them.
//! - [`generate`]: plausible charges from a seed.

pub mod billing;
pub mod gateway;
pub mod generate;
pub mod note;
pub mod number;
pub mod record;
pub mod settings;

#[cfg(test)]
mod hazards;
#[cfg(test)]
mod stories;

pub use billing::Billing;
pub use gateway::Gateway;
pub use settings::Settings;
