//! A terminal server with one line, reached by telnet and raw, whose far end is the test's.

use std::fs::OpenOptions;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::termios::{ControlModes, InputModes, tcgetattr};
use sys::{Pty, SerialPort, Slave};

use crate::daemon::{Daemon, Site, read, within, write};

/// The server and what is at both its sides. Configured by a file, as users do.
pub struct Bench {
    pub site: Site,
    pub daemon: Daemon,
    /// The far end of the line.
    pub far: SerialPort,
    pub telnet: SocketAddr,
    pub raw: SocketAddr,
}

impl Bench {
    /// On a bare pseudo terminal; `keys` are those of the line beyond its listeners.
    pub async fn start(keys: &str) -> Self {
        let site = Site::bare();
        let tty = site.path("tty");
        Self::start_at(&tty, site, keys).await
    }

    /// With the line at `tty`.
    pub async fn start_at(tty: &Path, mut site: Site, keys: &str) -> Self {
        let far = Pty::open(Some(tty), Slave::Held).unwrap();
        let (dir, file) = (site.dir.path().display(), site.path("ts.toml"));
        let text = format!(
            "[server]\nname = \"ts\"\nstatus = \"{dir}/status\"\n\
             [line.bench]\nserial = \"{}\"\nlisten = [\n\
             {{ speech = \"telnet\", address = \"127.0.0.1:0\" }},\n\
             {{ speech = \"raw\", address = \"127.0.0.1:0\" }},\n]\n{keys}\n",
            tty.display()
        );
        std::fs::write(&file, text).unwrap();
        let file = file.display().to_string();
        site.args = ["--config", &file, "--log-format", "json"].map(str::to_owned).into();
        let daemon = site.restart().await;
        let status = site.status().await;
        let address = |speech: &str| {
            let mut listeners = status["listeners"].as_array().unwrap().iter();
            let listener = listeners.find(|listener| listener["speech"] == speech).unwrap();
            listener["address"].as_str().unwrap().parse().unwrap()
        };
        let (telnet, raw) = (address("telnet"), address("raw"));
        Self { site, daemon, far: far.into(), telnet, raw }
    }

    /// The next `count` bytes at the far end.
    pub async fn arrived(&mut self, count: usize) -> Vec<u8> {
        read(&mut self.far, count).await
    }

    /// The device says this.
    pub async fn says(&mut self, bytes: &[u8]) {
        write(&mut self.far, bytes).await;
    }

    /// The device sends back the next `count` bytes that it gets, which are returned as well.
    pub async fn echoes(&mut self, count: usize) -> Vec<u8> {
        let mut all = Vec::new();
        let mut buf = [0; 4096];
        while all.len() < count {
            let got = within(self.far.read(&mut buf)).await.unwrap();
            write(&mut self.far, &buf[..got]).await;
            all.extend_from_slice(&buf[..got]);
        }
        all
    }

    /// What a bare pseudo terminal takes of the settings: `921600 rtscts`.
    pub fn settings(&self) -> String {
        let noctty = OFlags::NOCTTY.bits().cast_signed();
        let mut options = OpenOptions::new();
        let tty = options.read(true).write(true).custom_flags(noctty);
        let termios = tcgetattr(tty.open(self.site.path("tty")).unwrap()).unwrap();
        let rtscts = termios.control_modes.contains(ControlModes::CRTSCTS);
        let xonxoff = termios.input_modes.contains(InputModes::IXON);
        let flow = match (rtscts, xonxoff) {
            (false, false) => "",
            (true, _) => " rtscts",
            (false, true) => " xonxoff",
        };
        format!("{}{flow}", termios.output_speed())
    }

    /// Waits until so many are connected.
    pub async fn clients(&self, count: usize) {
        within(async {
            while self.site.status().await["lines"][0]["clients"] != count {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
    }

    /// Waits until the holder has lost the line.
    pub async fn is_free(&mut self) {
        self.daemon.event("ended").await;
    }
}

/// Not before something holds, nor for ever.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = sys::boottime();
    while !holds() {
        assert!(sys::boottime() - begin < crate::daemon::PATIENCE, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
