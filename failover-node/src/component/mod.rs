//! What only a candidate and the coordinator run: the component instance.
//!
//! - [`options`]: what it runs
//! - [`message`]: what node and guard tell each other
//! - [`guard`]: the process that owns the payload, and ends it when the node cannot
//! - [`exec`]: which program the payload is
//! - `instance`: the node's side of a payload, whatever its kind
//! - `guarded`: the node's side of a guard
//! - `feed`: the node's ends of what a payload takes and says, one of two kinds:
//! - `framed`: a payload that speaks the line protocol's frames on its standard streams
//! - `streamed`, `stream`: one that knows plain bytes, over pipes, a terminal or a door
//! - `door`: what a bridge's clients find
//! - `lines`: what programs say on their standard error, as log lines

pub(crate) mod door;
pub mod exec;
pub(crate) mod feed;
pub(crate) mod framed;
pub mod guard;
pub(crate) mod guarded;
pub(crate) mod instance;
pub(crate) mod lines;
pub mod message;
pub mod options;
pub(crate) mod stream;
pub(crate) mod streamed;

pub use exec::Exec;
pub use options::{Billing, Bridge, Door, ExecMode, PayloadOptions, Stream};
