//! What a coordinator runs for a line.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::exec::{Exec, OWN_BINARY};
use crate::billing::options::{HandlerOptions, Job};

/// What a coordinator runs for a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PayloadOptions {
    /// A program of the user's.
    Exec(Exec),
    /// A door to the line for other programs.
    Bridge(Bridge),
    /// The gateway of a billing line, built in.
    Billing(Billing),
}

/// The gateway of a billing line. It runs as a process of its own below the guard, like any
/// program, so that a slow disk never holds up heartbeats and renewals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Billing {
    /// What it does.
    pub job: Job,
    /// The binary that has the `gateway` and `guard` subcommands: this one, unless a test is the
    /// host.
    pub binary: PathBuf,
}

impl Billing {
    /// From what it is to do.
    pub fn new(job: Job) -> Self {
        Self { job, binary: OWN_BINARY.into() }
    }

    /// As the program that it is.
    pub(crate) fn exec(&self) -> io::Result<Exec> {
        let job = serde_json::to_string(&self.job)?;
        let arguments = vec!["gateway".into(), job.into()];
        let mut exec = Exec::new(self.binary.clone().into(), arguments);
        exec.guard = self.binary.clone();
        exec.prints = self.job.handler == HandlerOptions::Stdout;
        Ok(exec)
    }
}

/// How a program takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExecMode {
    /// The line protocol's frames on its standard input and output.
    #[default]
    Framed,
    /// The line's bytes on its standard input and output, which are pipes.
    Stream(Stream),
    /// The line's bytes on its standard input and output, which are a terminal.
    Pty(Stream),
}

/// A door to the line that exists only on the coordinator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bridge {
    /// What it looks like.
    pub door: Door,
    /// How the client's bytes become output.
    pub stream: Stream,
}

/// What a bridge looks like to other programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Door {
    /// A TCP socket; one client at a time.
    Tcp(SocketAddr),
    /// A Unix socket; one client at a time.
    Unix(PathBuf),
    /// A terminal, found by this link.
    Pty(PathBuf),
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp {address}"),
            Self::Unix(path) => write!(f, "unix {}", path.display()),
            Self::Pty(link) => write!(f, "pty {}", link.display()),
        }
    }
}

/// How plain bytes become output: a record ends after so long without a byte, or when it is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream {
    /// Zero: each read is a record.
    pub gap: Duration,
}

impl Default for Stream {
    fn default() -> Self {
        Self { gap: Duration::from_millis(2) }
    }
}
