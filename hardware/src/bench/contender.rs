//! Who is measured.

use std::fmt;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Serialize;

use super::device::Device;

/// A program that serves lines to TCP clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contender {
    /// [`super::floor`].
    Floor,
    /// The terminal server.
    Ours,
    /// ser2net as it comes.
    Ser2net,
    /// ser2net without its wait for more characters, and with large buffers.
    Ser2netTuned,
    /// One socat a line.
    Socat,
}

impl Contender {
    /// All, in the order of the columns.
    pub const ALL: [Self; 5] =
        [Self::Floor, Self::Ours, Self::Ser2net, Self::Ser2netTuned, Self::Socat];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Ours => "terminal-server",
            Self::Ser2net => "ser2net",
            Self::Ser2netTuned => "ser2net, tuned",
            Self::Socat => "socat",
        }
    }

    /// The program that somebody else has to install.
    pub(crate) const fn package(self) -> Option<&'static str> {
        match self {
            Self::Floor | Self::Ours => None,
            Self::Ser2net | Self::Ser2netTuned => Some("ser2net"),
            Self::Socat => Some("socat"),
        }
    }
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How clients of ours come to a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Raw,
    Line,
}

/// One line that a server is to serve.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Served<'a> {
    pub(crate) device: &'a Device,
    pub(crate) listen: SocketAddr,
    pub(crate) baud: u32,
}

/// The floor for these lines.
pub(crate) fn floor(lab: &Path, lines: &[Served<'_>]) -> Command {
    let mut command = Command::new(lab);
    command.arg("floor");
    for line in lines {
        command.arg(format!("{}={}", line.listen, line.device.path().display()));
    }
    command
}

/// The terminal server for one line, by its flags alone.
pub(crate) fn ours(program: &Path, line: Served<'_>, access: Access, dir: &Path) -> Command {
    let mut command = Command::new(program);
    let serial = format!("{},{},8N1", line.device.path().display(), line.baud);
    command.args(["--serial", &serial, "--line", LINE, "--pace", "off", "--log", "warn"]);
    match access {
        Access::Raw => command.arg("--listen-raw").arg(line.listen.to_string()),
        Access::Line => command
            .arg("--listen-line")
            .arg(line.listen.to_string())
            .arg("--key-file")
            .arg(dir.join(KEY_FILE))
            .arg("--state")
            .arg(dir.join("state"))
            .arg("--new-state"),
    };
    command
}

/// The terminal server's configuration for many lines.
pub(crate) fn ours_config(lines: &[Served<'_>]) -> String {
    let mut text =
        "[server]\nname = \"bench\"\nlog = \"warn\"\n\n[defaults]\npace = false\n".to_owned();
    for (line, index) in lines.iter().zip(0..) {
        let Served { device, listen, baud } = line;
        let _ = write!(
            text,
            "\n[line.bench-{index}]\nserial = \"{}\"\nsettings = \"{baud},8N1\"\n\
             listen = [{{ speech = \"raw\", address = \"{listen}\" }}]\n",
            device.path().display()
        );
    }
    text
}

/// ser2net's configuration.
pub(crate) fn ser2net_config(lines: &[Served<'_>], tuned: bool) -> String {
    let mut text = "%YAML 1.1\n---\n".to_owned();
    for (line, index) in lines.iter().zip(0..) {
        let Served { device, listen, baud } = line;
        let _ = write!(
            text,
            "connection: &line{index}\n  accepter: tcp(nodelay),{},{}\n  \
             connector: serialdev,{},{baud}n81,local\n",
            listen.ip(),
            listen.port(),
            device.path().display(),
        );
        if tuned {
            text += "  options:\n    chardelay: false\n    dev-to-net-bufsize: 65536\n    \
                     net-to-dev-bufsize: 65536\n";
        }
    }
    text
}

/// ser2net with a configuration, in the foreground and without lock files.
pub(crate) fn ser2net(config: &Path) -> Command {
    let mut command = Command::new(path_of("ser2net"));
    command.args(["-n", "-u", "-c"]).arg(config);
    command
}

/// A socat for a line, one child for each client.
pub(crate) fn socat(line: Served<'_>) -> Command {
    let mut command = Command::new(path_of("socat"));
    let (ip, port) = (line.listen.ip(), line.listen.port());
    command.arg(format!("TCP-LISTEN:{port},bind={ip},reuseaddr,nodelay,fork"));
    command.arg(format!("OPEN:{},raw,echo=0", line.device.path().display()));
    command
}

/// Whether somebody can start it.
pub(crate) fn is_installed(package: &str) -> bool {
    path_of(package).is_file()
}

/// Where it is; its mere name if nowhere.
pub(crate) fn path_of(package: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian has ser2net where only root looks.
    let more = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let mut places = std::env::split_paths(&path).chain(more).map(|dir| dir.join(package));
    places.find(|path| path.is_file()).unwrap_or_else(|| package.into())
}

/// The name of the line that is served by flags.
pub(crate) const LINE: &str = "bench";
/// Its group.
pub(crate) const GROUP: &str = "linekeeper";
/// The key's file in the bench's directory.
pub(crate) const KEY_FILE: &str = "key";
