//! A gateway's desk, for the tests of runs in a dialect: see [`bench`].
#![allow(dead_code, unused_imports, reason = "each test takes what it needs")]

mod bench;

pub(crate) use bench::{
    Desk, Played, play, play_compared, play_spoilt, play_spoilt_and_stopped, play_stopped,
};
