//! The test's side of `uart.c`: a UART for a pseudo terminal.
//!
//! Taken into a test with `#[path = "…/tests/shim/uart.rs"] mod uart;`, since no crate may depend on
//! the tests. Needs `cc`, and a program that calls the system through libc, as ours do.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is at the far side of the pseudo terminal named [`Uart::tty`], once a test has linked one
/// there: the wires as the test moves them, and what the program did.
///
/// The shim keeps PARMRK from the kernel, so that the test can send line errors: what a test writes
/// at the master must go through [`Uart::received`] and its like.
pub(crate) struct Uart {
    dir: PathBuf,
    state: File,
}

/// An input, as its TIOCM bit and the index of its count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    Cts,
    Dsr,
    Ri,
    Dcd,
}

/// What the program did with its outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outputs {
    pub(crate) dtr: bool,
    pub(crate) rts: bool,
    pub(crate) brk: bool,
}

/// Features of a UART, to be added up. A new one has all but [`NUMBER`].
pub(crate) const MODEM: u32 = 1;
pub(crate) const COUNTS: u32 = 2;
pub(crate) const WAIT: u32 = 4;
pub(crate) const BREAK: u32 = 8;
pub(crate) const SERIAL: u32 = 16;
/// The device number of a serial port: a program that asks takes it for no pseudo terminal.
pub(crate) const NUMBER: u32 = 32;

/// Indexes of counts that are not of an input.
pub(crate) const FRAME: u64 = 6;
pub(crate) const OVERRUN: u64 = 7;
pub(crate) const PARITY: u64 = 8;
pub(crate) const BREAKS: u64 = 9;
pub(crate) const BUF_OVERRUN: u64 = 10;

impl Uart {
    /// Compiles the shim into `dir` and lays out a UART with DTR and RTS up, as Linux leaves them
    /// at an opening, and HUPCL set, as it is by default. `None` if there is no `cc`.
    pub(crate) fn create(dir: &Path) -> Option<Self> {
        if Command::new("cc").arg("--version").output().is_err() {
            let required = std::env::var_os("LINEKEEPER_CI").is_some_and(|value| value == "1");
            assert!(!required, "cc is missing, and LINEKEEPER_CI=1 demands it");
            println!("skipped: needs cc");
            return None;
        }
        let source = dir.join("uart.c");
        fs::write(&source, include_str!("uart.c")).unwrap();
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-O1", "-Wall", "-o"]);
        let status = cc.arg(dir.join("uart.so")).arg(&source).status().unwrap();
        assert!(status.success(), "cc: {status}");
        fs::write(dir.join("uart"), [0; SIZE]).unwrap();
        let uart = Self::at(dir).unwrap();
        uart.set_features(MODEM | COUNTS | WAIT | BREAK | SERIAL);
        uart.set(OUTPUTS, TIOCM_DTR | TIOCM_RTS);
        uart.set(CFLAG, CS8 | HUPCL);
        Some(uart)
    }

    /// The UART that [`Uart::create`] laid out in `dir`.
    pub(crate) fn at(dir: &Path) -> io::Result<Self> {
        let state = OpenOptions::new().read(true).write(true).open(dir.join("uart"))?;
        Ok(Self { dir: dir.to_owned(), state })
    }

    /// Where the test links the slave of its pseudo terminal, and the program opens it. It may be
    /// unlinked and linked anew at any time.
    pub(crate) fn tty(&self) -> PathBuf {
        self.dir.join("tty")
    }

    /// Has `command` see the UART.
    pub(crate) fn environment(&self) -> [(&'static str, OsString); 3] {
        [
            ("LD_PRELOAD", self.dir.join("uart.so").into()),
            ("LINEKEEPER_SHIM_TTY", self.tty().into()),
            (STATE, self.dir.join("uart").into()),
        ]
    }

    /// Takes from it all but the features given. From the next call of the program.
    pub(crate) fn set_features(&self, features: u32) {
        self.set(FEATURES, features);
    }

    /// Moves an input and counts it, as a UART does. Ringing counts when it ends.
    pub(crate) fn set_input(&self, input: Input, on: bool) {
        let (bit, count) = input.bit_and_count();
        let levels = self.get(INPUTS);
        if (levels & bit != 0) == on {
            return;
        }
        if !(input == Input::Ri && on) {
            self.count(count);
        }
        self.set(INPUTS, if on { levels | bit } else { levels & !bit });
    }

    /// Counts something once.
    pub(crate) fn count(&self, index: u64) {
        let at = COUNT + 4 * index;
        self.set(at, self.get(at).wrapping_add(1));
    }

    /// The outputs now.
    pub(crate) fn outputs(&self) -> Outputs {
        let levels = self.get(OUTPUTS);
        Outputs {
            dtr: levels & TIOCM_DTR != 0,
            rts: levels & TIOCM_RTS != 0,
            brk: self.get(BREAKING) != 0,
        }
    }

    /// Whether the last close would drop DTR and RTS.
    pub(crate) fn hupcl(&self) -> bool {
        self.get(CFLAG) & HUPCL != 0
    }

    /// How many threads of the program wait for a wire.
    pub(crate) fn waiting(&self) -> u32 {
        self.get(WAITING)
    }

    /// Bytes that the program has written.
    pub(crate) fn written(&self) -> u64 {
        let mut bytes = [0; 8];
        self.state.read_exact_at(&mut bytes, WRITTEN).unwrap();
        u64::from_ne_bytes(bytes)
    }

    /// What the program did, each with the count of bytes it had written before: `settings 9600,7E1
    /// rtscts hupcl parmrk` (the words as set), `dtr=1 rts=0`, `break on`, `break off`, `flush
    /// input`, `serial low_latency=1 closing_wait=65535`.
    pub(crate) fn log(&self) -> Vec<(u64, String)> {
        let text = fs::read_to_string(self.dir.join("uart.log")).unwrap_or_default();
        let lines = text.lines().map(|line| line.split_once(' ').unwrap());
        lines.map(|(before, what)| (before.parse().unwrap(), what.to_owned())).collect()
    }

    /// What arrives when good characters are received: with PARMRK set, FF doubled.
    pub(crate) fn received(&self, bytes: &[u8]) -> Vec<u8> {
        let marks = self.marks();
        let double = bytes
            .iter()
            .flat_map(|b| std::iter::repeat_n(*b, 1 + usize::from(marks && *b == 0xff)));
        double.collect()
    }

    /// What arrives for a break, which is counted, too.
    pub(crate) fn received_break(&self) -> Vec<u8> {
        self.count(BREAKS);
        if self.marks() { vec![0xff, 0, 0] } else { vec![0] }
    }

    /// What arrives for a character without a stop bit ([`FRAME`]) or with a wrong parity bit
    /// ([`PARITY`]), which is counted, too.
    pub(crate) fn received_error(&self, kind: u64, byte: u8) -> Vec<u8> {
        self.count(kind);
        if self.marks() { vec![0xff, 0, byte] } else { vec![0] }
    }

    fn marks(&self) -> bool {
        self.get(IFLAG) & PARMRK != 0
    }

    fn get(&self, at: u64) -> u32 {
        let mut bytes = [0; 4];
        self.state.read_exact_at(&mut bytes, at).unwrap();
        u32::from_ne_bytes(bytes)
    }

    fn set(&self, at: u64, value: u32) {
        self.state.write_all_at(&value.to_ne_bytes(), at).unwrap();
    }
}

impl Input {
    fn bit_and_count(self) -> (u32, u64) {
        match self {
            Self::Cts => (0x20, 0),
            Self::Dsr => (0x100, 1),
            Self::Ri => (0x80, 2),
            Self::Dcd => (0x40, 3),
        }
    }
}

/// Runs `story` in a process of its own under the shim: this test binary again, with the one test.
/// The story makes the pseudo terminal, linked as [`Uart::tty`].
pub(crate) fn story(story: impl FnOnce(Uart)) {
    if let Some(state) = std::env::var_os(STATE) {
        return story(Uart::at(Path::new(&state).parent().unwrap()).unwrap());
    }
    let dir = tempfile::tempdir().unwrap();
    let Some(uart) = Uart::create(dir.path()) else { return };
    let mut command = Command::new(std::env::current_exe().unwrap());
    let name = std::thread::current().name().unwrap().to_owned();
    let output = command.args([&name, "--exact", "--nocapture"]).envs(uart.environment());
    let output = output.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.contains("1 passed"), "{name} under the shim:\n{said}");
}

const STATE: &str = "LINEKEEPER_SHIM_STATE";

/// Where the fields of `struct uart` are.
const FEATURES: u64 = 0;
const INPUTS: u64 = 4;
const OUTPUTS: u64 = 8;
const BREAKING: u64 = 12;
const IFLAG: u64 = 16;
const CFLAG: u64 = 20;
const WAITING: u64 = 36;
const COUNT: u64 = 40;
const WRITTEN: u64 = 88;
const SIZE: usize = 96;

const TIOCM_DTR: u32 = 2;
const TIOCM_RTS: u32 = 4;
const CS8: u32 = 0o60;
const HUPCL: u32 = 0o2000;
const PARMRK: u32 = 0o10;
