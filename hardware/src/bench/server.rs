//! A server under test, running.

use std::fs::{self, File};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rand::rngs::SysRng;
use rand::{RngExt, TryRng};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use sys::process::{Signal, Waiter};
use sys::{boottime, spawn};
use wire::Key;

use super::contender::{self, Access, Contender, Served};
use super::device::{Device, PATIENCE, late};
use super::usage;
use crate::error::{Doing, LabError, Result};
use crate::programs::Programs;

/// Starts servers, and keeps what they need.
#[derive(Debug)]
pub(crate) struct Stage {
    programs: Programs,
    dir: PathBuf,
    /// Whether the terminal server takes many lines from a file.
    many: bool,
}

/// A server and the processes that it consists of. Dropping it ends them.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) contender: Contender,
    children: Vec<Child>,
    /// One for each line.
    pub(crate) addresses: Vec<SocketAddr>,
    /// From the start of the process until all lines could be connected to.
    pub(crate) opening: Duration,
    log: PathBuf,
}

/// Why a column is empty.
pub(crate) type Absent = &'static str;

impl Stage {
    /// Files go into `dir`.
    pub(crate) fn new(programs: Programs, dir: &Path) -> Result<Self> {
        let help = Command::new(&programs.terminal_server).arg("--help").output();
        let help = help.doing(|| format!("start {}", programs.terminal_server.display()))?;
        let many = String::from_utf8_lossy(&help.stdout).contains("--config");
        let key = dir.join(contender::KEY_FILE);
        let file = File::options().write(true).create_new(true).mode(0o600).open(&key);
        let write = || format!("write {}", key.display());
        file.doing(write)?.write_all(KEY.as_bytes()).doing(write)?;
        Ok(Self { programs, dir: dir.to_owned(), many })
    }

    /// Why a contender cannot serve so many lines, if it cannot.
    pub(crate) fn absent(&self, contender: Contender, lines: usize) -> Option<Absent> {
        match contender {
            _ if contender.package().is_some_and(|package| !contender::is_installed(package)) => {
                Some("not installed")
            }
            Contender::Ours if lines > 1 && !self.many => Some("one line only"),
            Contender::Socat if lines > 1 => Some("two processes a line"),
            _ => None,
        }
    }

    /// Starts a contender on these devices and waits until it can be connected to.
    ///
    /// Somebody else may take an address before it does, so it has more than one try.
    pub(crate) fn start(
        &self,
        contender: Contender,
        devices: &[&Device],
        baud: u32,
        access: Access,
    ) -> Result<Server> {
        for _ in 1..STARTS {
            match self.try_start(contender, devices, baud, access) {
                Err(LabError::Ended { .. }) => {}
                other => return other,
            }
        }
        self.try_start(contender, devices, baud, access)
    }

    fn try_start(
        &self,
        contender: Contender,
        devices: &[&Device],
        baud: u32,
        access: Access,
    ) -> Result<Server> {
        let addresses = free_addresses(devices.len())?;
        let lines = devices.iter().zip(&addresses);
        let lines = lines.map(|(device, listen)| Served { device, listen: *listen, baud });
        let lines: Vec<_> = lines.collect();
        let dir = tempfile::tempdir_in(&self.dir).doing(|| "make a directory".to_owned())?.keep();
        let commands = self.commands(contender, &lines, access, &dir)?;
        let log = dir.join("log");
        let begun = boottime();
        let mut server =
            Server { contender, children: Vec::new(), addresses, opening: Duration::ZERO, log };
        for command in commands {
            server.spawn(command)?;
        }
        server.wait_until_open(begun)?;
        Ok(server)
    }

    /// The key of the line with a key.
    pub(crate) fn key(&self) -> Result<Key> {
        Key::from_file_content(0, KEY.as_bytes()).map_err(|e| LabError::Misuse(e.to_string()))
    }

    /// The lab's own program.
    pub(crate) fn lab(&self) -> &Path {
        &self.programs.lab
    }

    fn commands(
        &self,
        contender: Contender,
        lines: &[Served<'_>],
        access: Access,
        dir: &Path,
    ) -> Result<Vec<Command>> {
        let config = dir.join("config");
        let write =
            |text: String| fs::write(&config, text).doing(|| format!("write {}", config.display()));
        let terminal_server = &self.programs.terminal_server;
        Ok(match contender {
            Contender::Floor => vec![contender::floor(&self.programs.lab, lines)],
            Contender::Ours if lines.len() == 1 => {
                let key = dir.join(contender::KEY_FILE);
                fs::copy(self.dir.join(contender::KEY_FILE), &key)
                    .and_then(|_| fs::set_permissions(&key, fs::Permissions::from_mode(0o600)))
                    .doing(|| format!("write {}", key.display()))?;
                vec![contender::ours(terminal_server, lines[0], access, dir)]
            }
            Contender::Ours => {
                write(contender::ours_config(lines))?;
                let mut command = Command::new(terminal_server);
                command.arg("--config").arg(&config);
                vec![command]
            }
            Contender::Ser2net | Contender::Ser2netTuned => {
                let tuned = contender == Contender::Ser2netTuned;
                write(contender::ser2net_config(lines, tuned))?;
                vec![contender::ser2net(&config)]
            }
            Contender::Socat => lines.iter().map(|line| contender::socat(*line)).collect(),
        })
    }
}

impl Server {
    fn spawn(&mut self, mut command: Command) -> Result<()> {
        let log = File::options().create(true).append(true).open(&self.log);
        let log = log.doing(|| format!("open {}", self.log.display()))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0);
        spawn::die_with_parent(&mut command, Signal::KILL);
        let child = command.spawn();
        let child = child.doing(|| format!("start {}", command.get_program().display()))?;
        self.children.push(child);
        Ok(())
    }

    /// Listening can be seen from outside without being a client.
    fn wait_until_open(&mut self, begun: Duration) -> Result<()> {
        let waiter = Waiter::new().doing(|| "wait".to_owned())?;
        loop {
            let open = listening()?;
            if self.addresses.iter().all(|address| open.contains(&address.port())) {
                self.opening = boottime() - begun;
                return Ok(());
            }
            for child in &mut self.children {
                if let Ok(Some(status)) = child.try_wait() {
                    let words = fs::read_to_string(&self.log).unwrap_or_default();
                    let words = words.lines().last().unwrap_or("nothing").to_owned();
                    let program = self.contender.name().to_owned();
                    return Err(LabError::Ended { program, status, words });
                }
            }
            if boottime() - begun > PATIENCE * 3 {
                return Err(late(&format!("the start of {}", self.contender)));
            }
            let _ = waiter.wait(&[], Some(boottime() + LOOK_AGAIN));
        }
    }

    pub(crate) fn cpu(&self) -> Duration {
        self.children.iter().map(|child| usage::cpu(child.id())).sum()
    }

    pub(crate) fn memory(&self) -> u64 {
        self.children.iter().map(|child| usage::memory(child.id())).sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for child in &mut self.children {
            // socat's children are in its group, and still hold the device.
            let _ = sys::process::kill_group(child.id(), Signal::KILL);
            let _ = child.wait();
        }
    }
}

/// The ports on which somebody listens.
fn listening() -> Result<std::collections::BTreeSet<u16>> {
    let text = fs::read_to_string("/proc/net/tcp").doing(|| "read /proc/net/tcp".to_owned())?;
    let port = |line: &str| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, state) = (fields.next()?, fields.nth(1)?);
        let port = u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()?;
        (state == LISTEN).then_some(port)
    };
    Ok(text.lines().filter_map(port).collect())
}

/// Addresses on loopback where nobody listens, in a row.
fn free_addresses(count: usize) -> Result<Vec<SocketAddr>> {
    let mut seed = [0; 32];
    if SysRng.try_fill_bytes(&mut seed).is_err() {
        seed[..4].copy_from_slice(&std::process::id().to_le_bytes());
    }
    let mut draw = ChaCha8Rng::from_seed(seed);
    let length = u16::try_from(count).unwrap_or(u16::MAX);
    for _ in 0..ATTEMPTS {
        let first = draw.random_range(PORTS);
        let row = (first..first.saturating_add(length))
            .map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let row: Vec<_> = row.collect();
        if row.iter().all(|address| TcpListener::bind(address).is_ok()) {
            return Ok(row);
        }
    }
    Err(LabError::Line(format!("found no {count} free ports in a row")))
}

/// As in the kernel's table.
const LISTEN: &str = "0A";
const LOOK_AGAIN: Duration = Duration::from_millis(1);
const STARTS: u32 = 3;
const ATTEMPTS: u32 = 100;
/// Below the ports that Linux gives to outgoing connections; room for a long row.
const PORTS: std::ops::Range<u16> = 16_000..30_000;
/// Of no worth beyond a run.
const KEY: &str = "6c696e656b65657065722062656e6368206f6e6c792c206e6f20736563726574\n";
