//! A chain that speaks a billing dialect: the nodes' payload is the built-in gateway, the far end is
//! a billing system that judges, charges come from a till, and at the end the books are compared.
//!
//! - [`speech`]: what is spoken on the line
//! - `far`: the billing system's end
//! - [`point`]: points of a conversation at which something can be done to the chain
//! - `till`: posts charges as an operator's programs would
//! - `books`: from the first charge to the comparison
//! - [`audit`]: what the stores hold, beside what the billing system saw

pub mod audit;
mod books;
pub(crate) mod far;
pub mod point;
pub mod speech;
pub(crate) mod till;

pub use audit::Audit;
pub use point::{Point, Side};
pub use speech::{Accounts, Speech};
