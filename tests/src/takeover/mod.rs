//! Takeovers of a billing line, from the billing system's end to the stores, in one process and
//! virtual time: every byte can be the last one of a holder.
//!
//! - [`setting`]: a run: dialect, load, stores, and what happens to whom where
//! - [`faults`]: counts bytes, commits and frames, and says when it happens
//! - [`far`]: the billing system's end and its cable
//! - [`port`]: the terminal server's line and its tty
//! - [`payload`]: a gateway with its store, as the payload's process drives it
//! - [`holder`]: a connection from HELLO to its end
//! - [`place`]: where the stores are, and what is in them
//! - [`chain`]: all of it, and the loop
//! - [`mod@judge`]: what must be true in the end
//! - [`pipe`]: gateways at the bare cable, for what our terminal server never does

pub mod chain;
pub mod far;
pub mod faults;
pub mod holder;
pub mod judge;
pub mod payload;
pub mod pipe;
pub mod place;
pub mod port;
pub mod setting;

pub use chain::{Chain, run};
pub use faults::{Fault, Moment, Next, What};
pub use judge::{Report, judge};
pub use pipe::Pipe;
pub use place::Place;
pub use setting::{Setting, Stores};
