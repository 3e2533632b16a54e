//! Those who follow a run in a dialect on a terminal or in a pipe.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use sys::boottime;

use crate::core::exchange::entry::{Entry, Sink, What};
use crate::core::exchange::load::Load;
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

    /// A line on the terminal that follows a run of this load; nothing where there is no terminal.
    pub fn progress(load: &Load) -> Self {
        let load = *load;
        Self::new(move |entries| show_progress(&entries, &load))
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
        // A reader that has gone misses nothing.
        if let Err(TrySendError::Full(_)) = self.to.try_send(entry.clone()) {
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

fn show_progress(entries: &Receiver<Entry>, load: &Load) {
    if !io::stderr().is_terminal() {
        return;
    }
    let (began, mut shown) = (boottime(), Duration::ZERO);
    let mut progress = Progress::default();
    loop {
        match entries.recv_timeout(INTERVAL) {
            Ok(entry) => progress.take(&entry.what),
            // Nothing happens, and that is to be seen, too.
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        let now = boottime();
        if now.saturating_sub(shown) >= INTERVAL {
            shown = now;
            eprint!("\r\x1b[K{}", progress.line(load, now.saturating_sub(began)));
        }
    }
    eprint!("\r\x1b[K");
}

/// How far a run is.
#[derive(Debug, Default)]
struct Progress {
    confirmed: u64,
    posted: u64,
    failures: u64,
    faults: u64,
}

impl Progress {
    fn take(&mut self, what: &What) {
        match what {
            What::Saw(seen) if seen.what == "confirmed" => self.confirmed += 1,
            What::Saw(seen) if seen.what == "posted" => self.posted += 1,
            What::Found(finding) if finding.verdict.grade() == Grade::Failure => {
                self.failures += finding.count;
            }
            What::Fault { .. } => self.faults += 1,
            _ => {}
        }
    }

    /// By count or by time, whichever is further: a run of so long ends with that.
    fn share(&self, load: &Load, took: Duration) -> Option<f64> {
        let wanted = load.count.unwrap_or_default().saturating_add(load.charges);
        let done = (self.confirmed + self.posted) as f64;
        let by_count = (wanted > 0).then(|| done / wanted as f64);
        let by_time = load.duration.map(|all| took.as_secs_f64() / all.as_secs_f64().max(0.001));
        by_count.into_iter().chain(by_time).reduce(f64::max)
    }

    fn line(&self, load: &Load, took: Duration) -> String {
        let Self { confirmed, posted, failures, faults } = self;
        let bar = self.share(load, took).map(bar).unwrap_or_default();
        format!(
            "{bar}{} s, {confirmed} records confirmed, {posted} charges posted, {faults} faults, \
             {failures} failures",
            took.as_secs()
        )
    }
}

fn bar(share: f64) -> String {
    let share = share.min(1.0);
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
        assert_eq!(bar(0.0), "[------------------------]   0 %  ");
        assert_eq!(bar(0.5), "[############------------]  50 %  ");
        assert_eq!(bar(2.2), "[########################] 100 %  ");
    }

    #[test]
    fn progress_is_by_count_and_by_time() {
        let s = Duration::from_secs;
        let progress = Progress { confirmed: 3, posted: 2, ..Progress::default() };
        let load = Load { count: Some(10), charges: 10, ..Load::default() };
        assert_eq!(progress.share(&load, s(7)), Some(0.25));
        let timed = Load { duration: Some(s(10)), ..load };
        assert_eq!(progress.share(&timed, s(7)), Some(0.7));
        assert_eq!(progress.share(&Load::default(), s(7)), None);
        let line = progress.line(&Load::default(), s(7));
        assert!(line.starts_with("7 s, 3 records confirmed, 2 charges posted"), "{line}");
    }

    #[test]
    fn a_reader_that_has_gone_misses_nothing() {
        let mut follower = Follower::new(drop);
        while !follower.thread.is_finished() {
            thread::yield_now();
        }
        follower.take(&Entry { at: Duration::ZERO, what: What::Started });
        assert_eq!(follower.end(), 0);
    }
}
