//! What is kept of a line beside the line itself: its spool, its trace, the account of its memory.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wire::{Name, Time};

use super::options::LineOptions;
use super::spool::{self, Spool};
use super::trace::{Trace, TraceOptions};
use crate::core::{Line, SpoolEntry, Start};

/// The keepers of one line.
#[derive(Debug)]
pub(crate) struct Keeping {
    pub(crate) spool: Option<Spool>,
    pub(crate) trace: Option<Trace>,
    memory: Arc<Memory>,
    /// What this line has in the account.
    accounted: usize,
}

/// Bytes of kept input of all lines together.
#[derive(Debug)]
pub(crate) struct Memory {
    used: AtomicUsize,
    most: usize,
}

impl Memory {
    /// `most`: when more is kept, whoever adds to it has to give up as much.
    pub(crate) fn new(most: usize) -> Self {
        Self { used: AtomicUsize::new(0), most }
    }

    /// A line keeps `to` bytes where it kept `from`. By how much all keep too much.
    fn change(&self, from: usize, to: usize) -> usize {
        if from == to {
            return 0;
        }
        // Two's complement: adding the difference goes either way.
        let difference = to.wrapping_sub(from);
        let used = self.used.fetch_add(difference, Ordering::Relaxed).wrapping_add(difference);
        used.saturating_sub(self.most)
    }
}

/// How a line starts: after a kill with what its spool has kept.
pub(crate) fn start(dir: Option<&Path>, options: &LineOptions, start: Start) -> Start {
    let Some(path) = dir.map(|dir| spool::path_of(dir, &options.line)) else { return start };
    if !options.policies.spool {
        // An older one must not be believed by a later start.
        let _ = std::fs::remove_file(path);
        return start;
    }
    if !start.unclean {
        return start;
    }
    let saved = spool::recover(&path);
    match &saved {
        Some(saved) => {
            let (line, bytes) = (&options.line, saved.bytes.len());
            tracing::info!(%line, bytes, acked = saved.acked, "spool");
        }
        None => tracing::warn!(line = %options.line, "there is no spool that can be believed"),
    }
    Start { unclean: saved.is_none(), saved, ..start }
}

impl Keeping {
    /// The keepers that the options ask for. One that cannot be had is logged: the line runs.
    pub(crate) fn open(
        dir: Option<&Path>,
        options: &LineOptions,
        line: &Line,
        memory: Arc<Memory>,
    ) -> Self {
        let name = &options.line;
        let path = dir.filter(|_| options.policies.spool).map(|dir| spool::path_of(dir, name));
        let spool = path.and_then(|path| {
            let spool = Spool::begin(path, &line.copy());
            spool.inspect_err(|error| tracing::error!(line = %name, %error, "no spool")).ok()
        });
        let trace = options.policies.trace.as_ref().and_then(|trace| {
            let trace = Trace::open(TraceOptions {
                path: trace.path.clone(),
                title: format!("{name} {}", options.port.settings()),
                max_size: trace.size,
                keep: trace.keep,
            });
            trace.inspect_err(|error| tracing::error!(line = %name, %error, "no trace")).ok()
        });
        Self::new(spool, trace, memory)
    }

    pub(crate) fn new(spool: Option<Spool>, trace: Option<Trace>, memory: Arc<Memory>) -> Self {
        Self { spool, trace, memory, accounted: 0 }
    }

    /// After every change of the line, before anything that depends on it is sent.
    pub(crate) fn settle(&mut self, name: &Name, line: &mut Line) {
        let kept = line.kept();
        let excess = self.memory.change(self.accounted, kept);
        self.accounted = kept;
        if excess > 0 && kept > 0 {
            line.handle_shortage(excess);
            self.memory.change(kept, line.kept());
            self.accounted = line.kept();
        }
        while let Some(entry) = line.poll_spool() {
            let Some(spool) = &mut self.spool else { continue };
            match entry {
                SpoolEntry::Input(bytes) => spool.input(&bytes),
                SpoolEntry::State => {
                    let (acked, _, end) = line.offsets();
                    spool.state(&line.snapshot(), (end - acked) as usize);
                }
            }
        }
        if let Some(spool) = &mut self.spool
            && let Err(error) = spool.write(|| line.copy())
        {
            tracing::error!(line = %name, %error, "the spool cannot be written; the line goes on without");
            if let Some(spool) = self.spool.take() {
                spool.discard();
            }
        }
    }

    /// Bytes were read.
    pub(crate) fn input(&self, offset: u64, bytes: &[u8], now: Time) {
        if let Some(trace) = &self.trace {
            trace.input(offset, bytes, now);
        }
    }

    /// The device took bytes.
    pub(crate) fn output(&self, position: u64, bytes: &[u8], now: Time) {
        if let Some(trace) = &self.trace {
            trace.output(position, bytes, now);
        }
    }

    /// Something else happened.
    pub(crate) fn event(&self, now: Time, text: impl FnOnce() -> String) {
        if let Some(trace) = &self.trace {
            trace.event(&text(), now);
        }
    }
}

impl Drop for Keeping {
    fn drop(&mut self) {
        self.memory.change(self.accounted, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::LineConfig;

    #[test]
    fn the_line_that_adds_too_much_gives_up_as_much() {
        let memory = Arc::new(Memory::new(200_000));
        let name: Name = "pms".parse().unwrap();
        let keeper = || Keeping::new(None, None, memory.clone());
        let config = || LineConfig::new(name.clone(), name.clone());
        let start = Start { number: 1, saved: None, unclean: false };
        let line = || Line::new(config(), start.clone(), Time::ZERO);
        let (mut first, mut a) = (keeper(), line());
        a.handle_input(&[0; 150_000], Time::ZERO);
        first.settle(&name, &mut a);
        let (mut second, mut b) = (keeper(), line());
        b.handle_input(&[0; 100_000], Time::ZERO);
        second.settle(&name, &mut b);
        assert_eq!((a.kept(), b.kept()), (150_000, 65_536), "a window is left to each");
        assert_eq!(b.counters().bytes_lost, 34_464, "and it is counted");
        drop(first);
        b.handle_input(&[0; 100_000], Time::ZERO);
        second.settle(&name, &mut b);
        assert_eq!(b.counters().bytes_lost, 34_464);
    }
}
