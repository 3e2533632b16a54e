//! The payload of kind `exec`: a program of the user's, run as a child of the guard.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use sys::process::Signal;
use sys::spawn;

use super::options::ExecMode;

/// Which program, and how it is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exec {
    /// The program, looked for in `PATH` unless it has a slash.
    pub program: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// How it takes part.
    pub mode: ExecMode,
    /// The binary that has the `guard` subcommand: this one, unless a test is the host.
    pub guard: PathBuf,
    /// Whether the payload may print on the node's own standard output: it gets a descriptor of
    /// that, and its number in [`ENV_OUTPUT`].
    pub prints: bool,
}

impl Exec {
    /// From a command line: the program, then its arguments.
    pub fn new(program: OsString, arguments: Vec<OsString>) -> Self {
        Self { program, arguments, mode: ExecMode::Framed, guard: OWN_BINARY.into(), prints: false }
    }

    /// The guard's command: it will hold `control` and, as its own standard streams, the payload's:
    /// input, output and errors.
    pub(crate) fn guard_command(
        &self,
        control: OwnedFd,
        streams: [Stdio; 3],
    ) -> io::Result<Command> {
        let [stdin, stdout, stderr] = streams;
        let mut command = Command::new(&self.guard);
        let number = control.as_raw_fd();
        command
            .arg0("failover-node")
            .args(["guard", "--control", &number.to_string()])
            .stdin(stdin)
            .stdout(stdout)
            .stderr(stderr);
        spawn::inherit(&mut command, control);
        if self.prints {
            let output = io::stdout().as_fd().try_clone_to_owned()?;
            command.args(["--output", &output.as_raw_fd().to_string()]);
            spawn::inherit(&mut command, output);
        }
        command.arg("--").arg(&self.program).args(&self.arguments);
        Ok(command)
    }

    /// Starts the payload from within the guard, in a process group of its own; it inherits the
    /// guard's standard streams and dies with the guard, whatever ends that. Where its standard
    /// input is a terminal it gets a session of its own, too, and the terminal controls it.
    pub(crate) fn start(&self, epoch: u64, output: Option<&OwnedFd>) -> io::Result<Child> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).env(ENV_EPOCH, epoch.to_string());
        if let Some(output) = output {
            let output = output.try_clone()?;
            command.env(ENV_OUTPUT, output.as_raw_fd().to_string());
            spawn::inherit(&mut command, output);
        }
        spawn::hear_signals(&mut command);
        spawn::die_with_parent(&mut command, Signal::KILL);
        if io::stdin().is_terminal() {
            spawn::own_terminal(&mut command);
        } else {
            command.process_group(0);
        }
        command.spawn()
    }
}

/// The payload's environment: the number of the grant, decimal, one u64 that only grows.
pub const ENV_EPOCH: &str = "LINEKEEPER_EPOCH";
/// The number of a descriptor of the node's standard output, for a payload that prints there.
pub const ENV_OUTPUT: &str = "LINEKEEPER_OUTPUT";
/// The line.
pub const ENV_LINE: &str = "LINEKEEPER_LINE";
/// The node that runs the payload.
pub const ENV_NODE: &str = "LINEKEEPER_NODE";
/// The node's group.
pub const ENV_GROUP: &str = "LINEKEEPER_GROUP";
/// By this name it is the very file that runs now, even if a newer one has taken its place.
pub(crate) const OWN_BINARY: &str = "/proc/self/exe";
/// Always `coordinator`: nobody else runs a payload.
pub const ENV_ROLE: &str = "LINEKEEPER_ROLE";
