//! Short stories of one node, told to the core: no socket, no process, no real time. Each is named
//! after the rule of `docs` or the invariant of `ARCHITECTURE.md` that it holds.

#![allow(clippy::unwrap_used, reason = "a story that cannot go on has failed")]

mod bound;
mod duty;
mod election;
mod endings;
mod lease;
mod lines;
mod liveness;
mod releases;
mod story;
