//! Billing lines whose holders die, sleep and come back: nothing is lost, nothing is posted twice,
//! nothing is mixed. `docs/billing.md` has the table of all cases.
//!
//! - `offsets`: at every byte, commit and frame of a conversation
//! - `paused`: the holder sleeps there instead, and wakes when another has the line
//! - `restarted`: the terminal server dies there, and with it the note
//! - `numbers`: the numbers of `hx` over midnight, and where nobody knows the last
//! - `chains`: one takeover after the other, at fixed distances and by seed
//! - `hazards`: F1 to F8, at a bare cable
//! - `page`: the page names them all

mod chains;
mod hazards;
mod numbers;
mod offsets;
mod page;
mod paused;
mod restarted;
mod sweep;
