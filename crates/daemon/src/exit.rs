//! Exit codes: the numbers of `sysexits.h`, so that scripts and systemd units can tell a wrong flag
//! from a busy port.

use std::fmt;
use std::io;
use std::process::ExitCode;

use sys::{PtyError, TtyError};

/// How a program of the house ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exit {
    /// 0: did what was asked.
    Ok,
    /// 1: ran to its end and the answer is "no": a verdict failed, a probe is negative.
    Negative,
    /// 64: a flag or the configuration is wrong. Starting again does not help.
    Usage,
    /// 66: a file that was named cannot be read.
    NoInput,
    /// 69: something this program needs is not there: the device, an address, another program.
    Unavailable,
    /// 70: an invariant of this program broke: a bug.
    Software,
    /// 71: the system refused something ordinary, as a process or a descriptor.
    OsError,
    /// 73: a file, socket or link cannot be made.
    CannotCreate,
    /// 74: reading or writing failed.
    Io,
    /// 75: not now; later may be different. A status probe of a node that is not coordinator.
    TemporaryFailure,
    /// 76: the other side does not keep the protocol.
    Protocol,
    /// 77: this user may not.
    Permission,
}

/// An error on its way to the end of `main`: what to say and which code to end with.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The code.
    pub exit: Exit,
    /// What is said, a fragment that fits after `program: `.
    pub message: String,
}

/// Gives errors their exit code where they arise, as only that place knows whose fault it is.
pub trait OrExit<T> {
    /// The error's text (with its causes, for an `anyhow::Error`) and this code.
    ///
    /// # Errors
    /// The error it is called on.
    fn or_exit(self, exit: Exit) -> Result<T, Failure>;
}

impl Exit {
    /// Every code, for help texts and the manual.
    pub const ALL: [Self; 12] = [
        Self::Ok,
        Self::Negative,
        Self::Usage,
        Self::NoInput,
        Self::Unavailable,
        Self::Software,
        Self::OsError,
        Self::CannotCreate,
        Self::Io,
        Self::TemporaryFailure,
        Self::Protocol,
        Self::Permission,
    ];

    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Negative => 1,
            Self::Usage => 64,
            Self::NoInput => 66,
            Self::Unavailable => 69,
            Self::Software => 70,
            Self::OsError => 71,
            Self::CannotCreate => 73,
            Self::Io => 74,
            Self::TemporaryFailure => 75,
            Self::Protocol => 76,
            Self::Permission => 77,
        }
    }

    /// A table of all codes for a `--help` text, one line each.
    pub fn help() -> String {
        Self::ALL.iter().map(|exit| format!("{:>4}  {exit}\n", exit.code())).collect()
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "done",
            Self::Negative => "the answer is no",
            Self::Usage => "wrong flag or configuration",
            Self::NoInput => "a named file cannot be read",
            Self::Unavailable => "something needed is not there",
            Self::Software => "a bug in this program",
            Self::OsError => "the system refused",
            Self::CannotCreate => "a file, socket or link cannot be made",
            Self::Io => "reading or writing failed",
            Self::TemporaryFailure => "not now, try later",
            Self::Protocol => "the other side breaks the protocol",
            Self::Permission => "not permitted",
        })
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// For errors about which nothing but the system's word is known.
impl From<&io::Error> for Exit {
    fn from(error: &io::Error) -> Self {
        use io::ErrorKind as Kind;
        match error.kind() {
            Kind::PermissionDenied => Self::Permission,
            Kind::AddrInUse | Kind::AddrNotAvailable | Kind::ConnectionRefused | Kind::NotFound => {
                Self::Unavailable
            }
            Kind::AlreadyExists | Kind::ReadOnlyFilesystem | Kind::StorageFull => {
                Self::CannotCreate
            }
            Kind::WouldBlock | Kind::TimedOut => Self::TemporaryFailure,
            Kind::InvalidData => Self::Protocol,
            Kind::OutOfMemory | Kind::Unsupported => Self::OsError,
            _ => Self::Io,
        }
    }
}

impl From<&TtyError> for Exit {
    fn from(error: &TtyError) -> Self {
        match error {
            TtyError::NoDevice(_) | TtyError::InUse(..) => Self::Unavailable,
            TtyError::Permission(_) => Self::Permission,
            TtyError::NotATerminal(_) | TtyError::Settings { .. } => Self::Usage,
            TtyError::Io { .. } => Self::Io,
        }
    }
}

impl From<&PtyError> for Exit {
    fn from(error: &PtyError) -> Self {
        match error {
            PtyError::Open { .. } => Self::OsError,
            PtyError::Occupied { .. } | PtyError::Link { .. } => Self::CannotCreate,
        }
    }
}

impl Failure {
    /// A failure without an error value behind it.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    /// Says `program: message` on standard error and gives what `main` returns.
    pub fn report(&self, program: &str) -> ExitCode {
        eprintln!("{program}: {self}");
        self.exit.into()
    }
}

impl<T, E: fmt::Display> OrExit<T> for Result<T, E> {
    fn or_exit(self, exit: Exit) -> Result<T, Failure> {
        // The alternate form is the chain of causes for anyhow and the plain text for others.
        self.map_err(|error| Failure::new(exit, format!("{error:#}")))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn codes_are_distinct_and_in_the_help() {
        let codes: HashSet<_> = Exit::ALL.iter().map(|exit| exit.code()).collect();
        assert_eq!(codes.len(), Exit::ALL.len());
        let help = Exit::help();
        assert_eq!(help.lines().count(), Exit::ALL.len());
        assert!(help.contains("  64  wrong flag or configuration\n"), "{help}");
    }

    #[test]
    fn errors_find_their_code() {
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        assert_eq!(Exit::from(&denied), Exit::Permission);
        assert_eq!(Exit::from(&TtyError::NoDevice("/dev/x".into())), Exit::Unavailable);
        let settings = "9600,9N1".parse::<sys::LineSettings>().or_exit(Exit::Usage).unwrap_err();
        assert_eq!(settings.exit.code(), 64);
        assert!(settings.to_string().starts_with("data bits `9`"), "{settings}");
    }
}
