//! A terminal server in a process of its own, and what surrounds it.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use sys::process::{Signal, kill_group};
use sys::{LineSettings, Pty, SerialPort, Slave};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use wire::Key;

/// Longest time that anything here may take. Generous: other work shares the machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What outlives one process: its state, its key, its cable.
pub struct Site {
    pub dir: TempDir,
    /// The near end of the cable is the terminal server's, the far end the test's.
    pub cable: Option<SerialPort>,
    pub args: Vec<String>,
    /// What the daemon finds in its environment.
    pub envs: Vec<(&'static str, OsString)>,
}

/// A running terminal server.
pub struct Daemon {
    pub child: Child,
    pub address: SocketAddr,
    log: Lines<BufReader<ChildStderr>>,
    /// Everything it has logged that was looked at.
    pub seen: Vec<Value>,
}

pub const SECRET: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

pub fn key() -> Key {
    Key::from_file_content(0, SECRET.as_bytes()).unwrap()
}

impl Site {
    /// With a line over a cable that outlives the process, as a real one does: `pms`.
    pub fn new() -> Self {
        let mut site = Self::bare();
        let near = Pty::open(Some(&site.path("cable")), Slave::Held).unwrap();
        site.cable = Some(near.into());
        let serial = format!("{},115200,8N1", site.path("cable").display());
        site.add(&["--line", "pms", "--serial", &serial]);
        site.add_claims();
        site
    }

    /// With a line whose far end is the daemon's own link.
    pub fn with_virtual_line() -> Self {
        let mut site = Self::bare();
        let link = format!("{},115200,8N1", site.path("line").display());
        site.add(&["--line", "pms", "--virtual", &link]);
        site.add_claims();
        site
    }

    /// With neither line nor listener.
    pub fn bare() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut site = Self { dir, cable: None, args: Vec::new(), envs: Vec::new() };
        site.write_key(SECRET, 0o600);
        let status = site.path("status").display().to_string();
        site.add(&["--name", "ts", "--status", &status, "--log-format", "json"]);
        site
    }

    pub fn add(&mut self, args: &[&str]) {
        self.args.extend(args.iter().map(|arg| (*arg).to_owned()));
    }

    fn add_claims(&mut self) {
        let (key, state) = (self.path("key"), self.path("state"));
        let (key, state) = (key.display().to_string(), state.display().to_string());
        self.add(&["--listen-line", "127.0.0.1:0", "--group", "crew", "--key-file", &key]);
        self.add(&["--state", &state]);
    }

    /// Beacons on a multicast group of this test's own.
    pub fn add_beacons(&mut self) -> SocketAddrV4 {
        let probe = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = probe.local_addr().unwrap().port();
        let group = SocketAddrV4::new(Ipv4Addr::new(239, 255, 77, 13), port);
        self.add(&["--beacon", &group.to_string(), "--interface", "127.0.0.1"]);
        group
    }

    pub fn write_key(&self, content: &str, mode: u32) {
        let path = self.path("key");
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn command(&self, more: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(&self.args).args(more).process_group(0).kill_on_drop(true);
        command.env_remove("RUST_LOG").env_remove("NOTIFY_SOCKET").stdin(Stdio::null());
        command.env_remove("CREDENTIALS_DIRECTORY");
        command.envs(self.envs.iter().cloned());
        command
    }

    /// Starts for the first time.
    pub async fn start(&self) -> Daemon {
        self.start_with(&["--new-state"]).await
    }

    /// Starts again.
    pub async fn restart(&self) -> Daemon {
        self.start_with(&[]).await
    }

    pub async fn start_with(&self, more: &[&str]) -> Daemon {
        let mut child = self.command(more).stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = ([127, 0, 0, 1], 0).into();
        let mut daemon = Daemon { child, address, log, seen: Vec::new() };
        let ready = daemon.event("ready").await;
        daemon.address = ready["listen"].as_str().unwrap().parse().unwrap();
        daemon
    }

    /// Starts where it must not start: how it ended.
    pub async fn fails(&self, more: &[&str]) -> (Option<i32>, String) {
        ended(self.command(more)).await
    }

    /// The far end of the line, whichever kind it is. Settings are the daemon's business.
    pub fn far_end(&mut self) -> SerialPort {
        match self.cable.take() {
            Some(cable) => cable,
            None => self.far_end_of("line"),
        }
    }

    /// The far end of a virtual line.
    pub fn far_end_of(&self, link: &str) -> SerialPort {
        SerialPort::open_tty(&self.path(link), &LineSettings::new(115_200)).unwrap()
    }

    pub async fn status(&self) -> Value {
        let socket = self.path("status");
        let request = serde_json::json!({ "command": "status" });
        daemon::status::request_async(&socket, "terminal-server", &request).await.unwrap()
    }

    /// A counter of the only line.
    pub async fn count(&self, counter: &str) -> u64 {
        self.status().await["lines"][0]["counters"][counter].as_u64().unwrap()
    }

    /// Waits until a counter has reached `least`.
    pub async fn counted(&self, counter: &str, least: u64) {
        within(async {
            while self.count(counter).await < least {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
}

impl Daemon {
    /// The next log line of that name.
    pub async fn event(&mut self, name: &str) -> Value {
        loop {
            let line = within(self.log.next_line()).await.unwrap();
            let Some(line) = line else { panic!("ended without {name}: {:#?}", self.seen) };
            let line: Value = serde_json::from_str(&line).unwrap_or(Value::String(line));
            self.seen.push(line.clone());
            if line["fields"]["message"] == name {
                return line["fields"].clone();
            }
        }
    }

    pub fn signal(&self, signal: Signal) {
        assert!(kill_group(self.child.id().unwrap(), signal).unwrap());
    }

    /// As systemd stops it.
    pub async fn stop(mut self) -> Vec<Value> {
        self.signal(Signal::TERM);
        self.event("stopped").await;
        assert!(self.wait().await.success());
        self.seen
    }

    /// As nobody should, but somebody will.
    pub async fn kill(mut self) {
        self.signal(Signal::KILL);
        self.wait().await;
    }

    pub async fn wait(&mut self) -> ExitStatus {
        within(self.child.wait()).await.unwrap()
    }
}

pub fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_terminal-server"))
}

/// Exit status and standard error of a program that ends by itself.
pub async fn ended(mut command: Command) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = within(command.output()).await.unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

/// Not for ever.
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("in time")
}

/// So many bytes from a line's far end.
pub async fn read(port: &mut SerialPort, count: usize) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buf = [0; 4096];
    while all.len() < count {
        let got = within(port.read(&mut buf)).await.unwrap();
        all.extend_from_slice(&buf[..got]);
    }
    all
}

/// All of these bytes to a line's far end.
pub async fn write(port: &mut SerialPort, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let count = within(port.write(bytes)).await.unwrap();
        bytes = &bytes[count..];
    }
}
