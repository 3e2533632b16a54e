//! The built-in payload of a billing line: the gateway's end of a dialect, backed by a store; and the
//! commands about it.
//!
//! It is this binary run again, below the guard, as a payload that knows frames. The node's loop
//! never waits for its disk, and what ends any payload ends this one.
//!
//! - [`options`]: what it is told
//! - [`store`]: what came from the line and what is to be posted, durable
//! - [`session`]: the gateway between the node's frames and the store's writes
//! - [`payload`]: gateway and store, and the order between them
//! - [`note`]: the envelope of what a successor reads
//! - `fields`: what stands in a record, by name
//! - `handler`: what happens with records once they are durable
//! - `pipes`, `notices`: the way to the node, and to its log
//! - [`process`]: the process and its loop
//! - [`records`], [`post`]: the commands of these names
//! - [`finder`]: which store a command is about, and who leads its line
//! - [`calendar`]: moments as people write them, by the host's clock on the wall

pub mod calendar;
pub(crate) mod fields;
pub mod finder;
pub(crate) mod handler;
pub mod note;
pub(crate) mod notices;
pub mod options;
pub mod payload;
pub(crate) mod pipes;
pub mod post;
pub mod process;
pub mod records;
pub mod session;
pub mod store;
