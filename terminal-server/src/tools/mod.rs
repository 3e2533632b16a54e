//! What the program does beside serving lines.
//!
//! - [`pair`]: two pseudo terminals with a null-modem cable between them
//! - [`clients`]: who is connected to a line, and closing them

pub mod clients;
pub mod pair;
