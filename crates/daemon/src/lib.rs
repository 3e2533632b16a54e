//! What every daemon of the house does alike.
//!
//! In reading order:
//!
//! - [`exit`]: documented exit codes, and the way from an error to one
//! - [`logs`]: lines on standard error, each stamped with `CLOCK_BOOTTIME`
//! - [`lifecycle`]: signals, phases, and a shutdown that ends within its grace period
//! - [`notify`]: what systemd is told
//! - [`program`]: what every `main` does alike
//! - [`ports`]: this machine's serial ports, as `--list` shows them
//! - [`secrets`]: key files that nobody else could have read
//! - [`status`]: the local socket that a running daemon answers on, and its client
//!
//! The order of a start, which every program keeps: parse the whole configuration, check it, bind,
//! log version and addresses, then [`notify::ready`].

pub mod exit;
pub mod lifecycle;
pub mod logs;
pub mod notify;
pub mod ports;
pub mod program;
pub mod secrets;
pub mod status;

pub use exit::{Exit, Failure, OrExit};
pub use lifecycle::{Lifecycle, Phase, SignalEvent, Signals, Stopped};
pub use logs::LogFormat;
pub use status::{Request, RequestError, StatusError, StatusSocket};

// What a program needs to use a `Lifecycle` without naming tokio-util itself.
pub use tokio_util::sync::CancellationToken;
pub use tokio_util::task::TaskTracker;
