//! What every daemon of the house does alike.
//!
//! In reading order:
//!
//! - [`args`]: what command lines mean alike: times, and the host's name
//! - [`config`]: configuration files, and errors in them with their place
//! - [`exit`]: documented exit codes, and the way from an error to one
//! - [`logs`]: lines on standard error, each stamped with `CLOCK_BOOTTIME`
//! - [`signals`]: what SIGTERM, SIGINT and SIGHUP ask for
//! - [`notify`]: what systemd is told
//! - [`program`]: what every `main` does alike
//! - [`ports`]: this machine's serial ports, as `--list` shows them
//! - [`owner`]: who shall own a file, as people write it
//! - [`secrets`]: key files that nobody else could have read
//! - [`keyboard`], [`terminal`]: the user's own terminal, and what is typed or piped in
//! - [`watch`]: a status, painted again and again
//! - [`wall`]: the time of day, for people
//! - [`status`]: the local socket that a running daemon answers on, and its client
//!
//! The order of a start, which every program keeps: parse the whole configuration, check it, bind,
//! log version and addresses, then [`notify::ready`].

pub mod args;
pub mod config;
pub mod exit;
pub mod keyboard;
pub mod logs;
pub mod notify;
pub mod owner;
pub mod ports;
pub mod program;
pub mod secrets;
pub mod signals;
pub mod status;
pub mod terminal;
pub mod wall;
pub mod watch;

pub use exit::{Exit, Failure, OrExit};
pub use logs::LogFormat;
pub use owner::Owner;
pub use signals::{SignalEvent, Signals};
pub use status::{Request, RequestError, StatusError, StatusSocket, Upgraded};

// What a program is told to stop by, so that it need not name tokio-util itself.
pub use tokio_util::sync::CancellationToken;
