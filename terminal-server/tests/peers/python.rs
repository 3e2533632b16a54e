//! pyserial, told what to do.

use std::net::SocketAddr;
use std::process::Command as Plain;

use tokio::process::Command;

use crate::process::{Process, found};

/// A pyserial that has opened the port.
pub struct Pyserial(pub Process);

impl Pyserial {
    /// Opens the port with further arguments of `serial_for_url`, as in `{"baudrate": 9600}`. The
    /// opening itself sets speed and format, flow control, DTR and RTS, and insists on the answers.
    pub async fn open(address: SocketAddr, arguments: &str) -> Option<Self> {
        let python = python()?;
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/pyserial.py");
        let url = format!("rfc2217://{address}");
        let mut command = Command::new(python);
        // pyserial 3.5 uses what Python has since renamed, and Python says so on each run.
        command.args(["-B", "-W", "ignore", script, &url, arguments]);
        let mut process = Process::start(&mut command);
        process.says("open\n").await;
        Some(Self(process))
    }

    /// The value of a Python expression; a statement has `None`.
    pub async fn tell(&mut self, line: &str) -> String {
        self.begin(line).await;
        self.told().await
    }

    /// The first half of it.
    pub async fn begin(&mut self, line: &str) {
        self.0.types(format!("{line}\n").as_bytes()).await;
    }

    /// The second.
    pub async fn told(&mut self) -> String {
        self.0.says("\n").await.trim_end().to_owned()
    }

    /// Does all of them, none of which may raise.
    pub async fn does(&mut self, lines: &[&str]) {
        for line in lines {
            assert_eq!(self.tell(line).await, "None", "{line}");
        }
    }

    /// All of these are true.
    pub async fn agrees(&mut self, lines: &[&str]) {
        for line in lines {
            assert_eq!(self.tell(line).await, "True", "{line}");
        }
    }
}

/// The one that has pyserial: Debian's package belongs to /usr/bin/python3, which a user may have
/// hidden behind another one.
fn python() -> Option<&'static str> {
    let import = |python: &str| {
        let mut command = Plain::new(python);
        command.args(["-c", "import serial.rfc2217"]);
        command
    };
    let runs = |python: &&str| import(python).output().is_ok_and(|output| output.status.success());
    let python = ["python3", "/usr/bin/python3"].into_iter().find(runs);
    let python = python.unwrap_or("/usr/bin/python3");
    found(&mut import(python), "python3-serial").then_some(python)
}
