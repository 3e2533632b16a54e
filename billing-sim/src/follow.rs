//! Those who follow a run in a dialect on a terminal or in a pipe.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::core::exchange::entry::{Entry, Sink, What};
use crate::core::exchange::verdict::Grade;
use crate::driver::run::EVENT_QUEUE;

/// Hands entries to a thread of its own: a terminal or a pipe may block, and the line must not wait
/// for it. What does not fit in between is dropped and counted.
#[derive(Debug)]
pub struct Follower {
    to: SyncSender<Entry>,
    thread: JoinHandle<()>,
    dropped: Arc<AtomicU64>,
}

impl Follower {
    /// Prints every entry as a line of JSON.
    pub fn events() -> Self {
        Self::new(print_events)
    }

    /// A line on the terminal that follows the run; nothing where there is no terminal. `wanted`:
    /// records and charges in all, if that is known.
    pub fn progress(wanted: Option<u64>) -> Self {
        Self::new(move |entries| show_progress(entries, wanted))
    }

    fn new(follow: impl FnOnce(Receiver<Entry>) + Send + 'static) -> Self {
        let (to, entries) = sync_channel(EVENT_QUEUE);
        Self { to, thread: thread::spawn(move || follow(entries)), dropped: Arc::default() }
    }

    /// Waits until all is shown; how much was dropped.
    pub fn end(self) -> u64 {
        drop(self.to);
        // It ended early if its reader has gone, which is no business of the run.
        let _ = self.thread.join();
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Sink for Follower {
    fn take(&mut self, entry: &Entry) {
        if self.to.try_send(entry.clone()).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn print_events(entries: Receiver<Entry>) {
    for entry in entries {
        let Ok(line) = serde_json::to_string(&entry) else { continue };
        // Each line at once: whoever follows wants it now.
        let mut out = io::stdout().lock();
        if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
            break;
        }
    }
}

fn show_progress(entries: Receiver<Entry>, wanted: Option<u64>) {
    if !io::stderr().is_terminal() {
        return;
    }
    let (mut confirmed, mut posted, mut failures, mut faults) = (0_u64, 0_u64, 0_u64, 0_u64);
    let mut shown = Duration::ZERO;
    for Entry { at, what } in entries {
        match what {
            What::Saw(seen) if seen.what == "confirmed" => confirmed += 1,
            What::Saw(seen) if seen.what == "posted" => posted += 1,
            What::Found(finding) if finding.verdict.grade() == Grade::Failure => {
                failures += finding.count;
            }
            What::Fault { .. } => faults += 1,
            _ => {}
        }
        if at.saturating_sub(shown) >= INTERVAL {
            shown = at;
            let bar = wanted.map(|wanted| bar(confirmed + posted, wanted)).unwrap_or_default();
            eprint!(
                "\r\x1b[K{bar}{confirmed} records confirmed, {posted} charges posted, \
                 {faults} faults, {failures} failures"
            );
        }
    }
    eprint!("\r\x1b[K");
}

fn bar(done: u64, wanted: u64) -> String {
    let share = done.min(wanted) as f64 / wanted.max(1) as f64;
    let full = (share * BAR as f64) as usize;
    format!("[{}{}] {:3.0} %  ", "#".repeat(full), "-".repeat(BAR - full), share * 100.0)
}

/// How often the progress line changes: quick enough to be alive, slow enough to be read.
const INTERVAL: Duration = Duration::from_millis(200);
/// Characters of the bar.
const BAR: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_fills() {
        assert_eq!(bar(0, 4), "[------------------------]   0 %  ");
        assert_eq!(bar(1, 2), "[############------------]  50 %  ");
        assert_eq!(bar(9, 4), "[########################] 100 %  ");
    }
}
