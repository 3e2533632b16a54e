//! A bench whose line is a UART.

use crate::bench::Bench;
use crate::daemon::Site;
use crate::uart::{BREAK, COUNTS, MODEM, NUMBER, SERIAL, Uart, WAIT};

/// A bench, and the UART of its line as the test moves and sees it.
pub struct Port {
    pub bench: Bench,
    pub uart: Uart,
}

impl Port {
    /// With these keys of the line. `None` without a C compiler.
    pub async fn start(keys: &str) -> Option<Self> {
        let mut site = Site::bare();
        let uart = Uart::create(site.dir.path())?;
        uart.set_features(MODEM | COUNTS | WAIT | BREAK | SERIAL | NUMBER);
        site.envs = uart.environment().into();
        let bench = Bench::start_at(&uart.tty(), site, keys).await;
        Some(Self { bench, uart })
    }

    /// What the program did from now on, as [`Port::acts_since`] tells it.
    pub fn mark(&self) -> usize {
        self.uart.log().len()
    }

    /// All that the program has done since a mark.
    pub fn acts_since(&self, mark: usize) -> Vec<String> {
        let log = self.uart.log().into_iter().skip(mark);
        log.map(|(_, what)| what).collect()
    }

    /// The settings at the UART, as `9600,7E1 rtscts`; that line errors are marked goes without
    /// saying.
    pub fn settings(&self) -> String {
        let log = self.uart.log();
        let mut settings = log.iter().rev().filter_map(|(_, what)| what.strip_prefix("settings "));
        settings.next().unwrap_or_default().replace(" parmrk", "")
    }

    /// What arrives from the line, as the UART delivers it.
    pub async fn receives(&mut self, arrives: &[Vec<u8>]) {
        self.bench.says(&arrives.concat()).await;
    }
}
