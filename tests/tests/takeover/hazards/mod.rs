//! The hazards of a takeover on a line that nobody guards: frames are cut anywhere, two speak at
//! once, answers are lost. Their names are those of the table in `docs/billing.md`.

mod cable;
mod cdr;
mod fias;
mod hx;
mod seen;
