//! `cable`: provisioning of a cable headend. **Generic, not vendor-exact**: no vendor's frames are
//! public, so this is the published line discipline (ISO 1745, ANSI X3.28) with records of our own,
//! and the switches that public manuals name.
//!
//! ```text
//! billing system:  ENQ       STX 000417 AU 2781 39 ADD ETX 52       EOT
//! gateway:             ACK0                                   ACK1
//! gateway:         ENQ       STX 000417 OK ETX 25                   EOT
//! billing system:      ACK0                       ACK1
//! ```
//!
//! The billing system sends commands and expects a response to each; a handler at the gateway says
//! what it is. A command that comes again with its number and its text gets the same response and
//! is not carried out again.
//!
//! - [`command`]: the texts.
//! - [`settings`]: what a site may choose.
//! - [`gateway`]: the end that receives commands; [`note`]: what it leaves for its successor.
//! - [`billing`]: the end that sends them.
//! - [`generate`]: plausible commands from a seed.

pub mod billing;
pub mod command;
pub mod gateway;
pub mod generate;
pub mod note;
pub mod settings;

#[cfg(test)]
mod hazards;
#[cfg(test)]
mod stories;

pub use billing::Billing;
pub use command::BEFORE_LOGON;
pub use gateway::Gateway;
pub use settings::Settings;
