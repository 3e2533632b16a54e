//! The billing system and its judge as values: no socket, clock, task or random source inside.
//!
//! - [`generator`]: the records, at the line's true character time.
//! - [`judge`]: what was sent, what must come back, and what did.
//! - [`unserved`]: the spans in which records waited and no answer came.
//! - [`latency`]: the spread of answer times, in bounded memory.
//! - [`exchange`]: a run in one of the billing dialects; all else here is the dialect `numbered`.
//! - [`event`]: what happened, as it happens.
//! - [`simulation`]: generator and judge in one run with a beginning and an end.
//! - [`report`]: what a run amounts to, for machines; [`crate::table`] renders it for people.

#![deny(clippy::disallowed_methods)]

pub mod event;
pub mod exchange;
pub mod generator;
pub mod judge;
pub mod latency;
pub mod report;
pub mod simulation;
pub mod unserved;
