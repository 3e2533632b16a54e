//! Drills on real processes: what must hold when programs are killed, stopped, flooded and deceived.
//!
//! Each test prints what it measured. Those that start a chain run one at a time: see [`common`].

mod answerer;
mod common;
