//! Whose bytes were on the line: the history checker.
//!
//! Who was coordinator is what the programs say of themselves. Here it is looked at from the other
//! side: the terminal server's trace has every byte that it handed to the line, with its position,
//! and grants and their ends between them; every payload wrote down its records before it gave them
//! away. So each byte has an owner, and the owners' turns must be disjoint and in order.
//!
//! - [`rows`]: the trace, understood
//! - [`mod@check`]: what must never be
//! - [`book`]: both read from a run's directory

pub mod book;
pub mod check;
pub mod rows;

pub use book::Ledger;
pub use check::{Turn, check};
pub use rows::Row;
