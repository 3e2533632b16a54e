//! Billing: what the built-in payload keeps, and the commands that show it and add to it.
//!
//! - [`store`]: what came from the line and what is to be posted, durable

pub mod store;
