//! `cdr`: call records of a telephone exchange, line by line, one way.
//!
//! Nothing is asked, answered or repeated on such a line: whoever does not listen loses calls,
//! unless flow control holds the exchange back. How a line looks is data, not code:
//!
//! ```text
//! exchange:  ___1235004079_801_____8056881000_2781 … ␍␊␀␀␀      (teleseer)
//! columns:      time│duration │access │dialled │calling
//! ```
//!
//! - [`layout`]: what the columns of a line are; composing and checking a line.
//! - [`layout_file`]: layouts as TOML, the built-in ones and a user's own.
//! - [`sequence`]: record numbers, where they begin again, and what is missing.
//! - [`lines`]: bytes in any chunks to lines with their offsets.
//! - [`page`]: titles and page ends between the records.
//! - [`collector`]: the gateway's end, which takes lines and says nothing.
//! - [`exchange`]: the billing system's end: an exchange with a buffer that may overflow.
//! - [`generate`]: plausible calls from a seed.
//! - [`settings`]: what can be set.

pub mod collector;
pub mod exchange;
pub mod generate;
pub mod layout;
pub mod layout_file;
pub mod lines;
pub mod page;
pub mod sequence;
pub mod settings;

pub use collector::{Collector, kind};
pub use exchange::Exchange;
pub use generate::{Call, call};
pub use layout::Layout;
pub use layout_file::LayoutError;
pub use settings::CdrSettings;
