//! `numbered`: records that carry their number and a check, answers that prove what was read.
//!
//! It is the lab's own dialect, no vendor's. Both directions are lines of printable ASCII, so a
//! person with a terminal can follow the wire:
//!
//! ```text
//! billing system:  R00000042 07/14 12:03:55 00:02:31 T014 1205 0441234567890 5f3a01c2␍␊
//! gateway:         A00000042 9be41d07 1c22f0aa␍␊
//!                  │number   │text or digest …   │CRC-32 of all before it
//! ```
//!
//! The billing system sends freely and waits for nothing. The answer to record n holds a digest of
//! its number and text: answer n is a pure function of record n, so a cut or spliced record that
//! was taken as good betrays itself. Hexadecimal digits are lower case, so that the letter `A`
//! occurs in an answer only as its first byte and a cut answer can be told from a mixed one.
//!
//! - [`frame`]: the bytes of one record and one answer.
//! - [`parser`]: bytes in any chunks to frames with their offsets; finds its feet after damage.
//! - [`gateway`]: the end that answers, with the offset that each answer acknowledges.
//! - [`source`]: the end that sends records and hears answers.
//! - [`generate`]: plausible records from a seed.

pub mod frame;
pub mod gateway;
pub mod generate;
pub mod parser;
pub mod source;

pub use frame::{Answer, Frame, MAX_FRAME, MAX_NUMBER, MAX_TEXT, Record, RecordError, answer_for};
pub use gateway::Gateway;
pub use generate::{record, record_bytes};
pub use parser::{Damage, Parser, Received};
pub use source::Source;
