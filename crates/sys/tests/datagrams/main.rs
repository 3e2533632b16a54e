//! Datagrams on loopback and, where the right is there, on links that come and go.

#![allow(clippy::unwrap_used, reason = "a story that cannot go on has failed")]

mod links;
mod loopback;
mod scene;
