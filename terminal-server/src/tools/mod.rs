//! What the program does beside serving lines.
//!
//! - [`pair`]: two pseudo terminals with a null-modem cable between them
//! - [`watch`]: the status, painted again and again
//! - [`clients`]: who is connected to a line, and closing them

pub mod clients;
pub mod pair;
pub mod watch;
