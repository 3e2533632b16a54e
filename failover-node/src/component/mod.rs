//! What only a candidate and the coordinator run: the component instance.
//!
//! - [`options`]: what it runs
//! - [`message`]: what node and guard tell each other
//! - [`guard`]: the process that owns the payload, and ends it when the node cannot
//! - [`exec`]: which program the payload is
//! - `instance`: the node's side of a guard
//! - `framed`: a payload that speaks the line protocol's frames on its standard streams

pub mod exec;
pub(crate) mod framed;
pub mod guard;
pub(crate) mod instance;
pub mod message;
pub mod options;

pub use exec::Exec;
pub use options::{Bridge, Door, ExecMode, PayloadOptions, Stream};
