//! A user's terminal: a pseudo terminal whose keys the test types and whose screen it reads.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{ControlModes, LocalModes, tcgetattr};

use crate::support::{PATIENCE, Running};

/// Linux's bits for the speed of the input.
const CIBAUD: u32 = 0o2_003_600_000;

pub struct Terminal {
    keys: File,
    slave: OwnedFd,
    pieces: Receiver<Vec<u8>>,
    screen: Vec<u8>,
    before: String,
}

impl Terminal {
    pub fn new() -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let slave = ioctl_tiocgptpeer(&master, flags).unwrap();
        let keys = File::from(master);
        let (send, pieces) = channel();
        let mut out = keys.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(count @ 1..) = out.read(&mut piece) {
                if send.send(piece[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        let mut terminal = Self { keys, slave, pieces, screen: Vec::new(), before: String::new() };
        terminal.before = terminal.modes();
        terminal
    }

    /// Runs a program on it.
    pub fn run(&self, command: &mut Command) -> Running {
        let end = || Stdio::from(self.slave.try_clone().unwrap());
        Running::start(command.stdin(end()).stdout(end()).stderr(end()))
    }

    pub fn types(&mut self, keys: &[u8]) {
        self.keys.write_all(keys).unwrap();
    }

    /// Waits until this is on the screen, and forgets all up to it.
    pub fn sees(&mut self, text: &str) -> String {
        let begin = Instant::now();
        loop {
            let screen = String::from_utf8_lossy(&self.screen).into_owned();
            if let Some(at) = screen.find(text) {
                let (seen, rest) = screen.split_at(at + text.len());
                self.screen = rest.as_bytes().to_vec();
                return seen.to_owned();
            }
            let left = PATIENCE.saturating_sub(begin.elapsed());
            match self.pieces.recv_timeout(left) {
                Ok(piece) => self.screen.extend(piece),
                Err(_) => panic!("no {text:?} on the screen, but {screen:?}"),
            }
        }
    }

    /// Its settings, as a text to be compared.
    pub fn modes(&self) -> String {
        let mut modes = tcgetattr(self.slave.as_fd()).unwrap();
        // Setting anything makes the input's speed, which is the output's, an explicit one.
        modes.control_modes -= ControlModes::from_bits_retain(CIBAUD);
        format!("{modes:?}")
    }

    pub fn echoes(&self) -> bool {
        tcgetattr(self.slave.as_fd()).unwrap().local_modes.contains(LocalModes::ECHO)
    }

    pub fn is_as_before(&self) -> bool {
        self.modes() == self.before
    }
}
