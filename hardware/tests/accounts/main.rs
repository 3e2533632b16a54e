//! Chains of real processes that speak a billing dialect: `billing_sim` at the far end, a terminal
//! server, nodes with the built-in gateway, a till; and everything that can happen to the
//! coordinator.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod common;
mod flow;
mod long;
mod points;
mod rates;
