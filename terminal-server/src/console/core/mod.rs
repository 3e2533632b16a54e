//! What a console decides, sans-IO.
//!
//! - [`keys`]: which keys are for the line, and which are commands
//! - [`mapping`]: what becomes of line ends on their way
//! - [`view`]: how the line's bytes are shown
//! - [`session`]: the whole

pub mod keys;
pub mod mapping;
pub mod session;
pub mod view;

pub use keys::Escape;
pub use mapping::Mapping;
pub use session::{Deed, Outcome, Session, SessionOptions, Show};
