//! A till: posts charges through `failover-node post`, at whichever node takes them.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use billing::{Charge, Dialect};
use daemon::Exit;
use sys::boottime;

use super::Accounts;
use crate::error::{Doing, LabError, Result};

/// What a till posts, and to whom.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) accounts: Accounts,
    pub(crate) dialect: Dialect,
    pub(crate) seed: u64,
    pub(crate) program: PathBuf,
    /// The nodes' status sockets.
    pub(crate) sockets: Vec<PathBuf>,
    /// At its end when the billing system has its port. A program that is started while another
    /// thread opens a port has that port, and its lock, for a moment.
    pub(crate) opened: Receiver<()>,
}

/// A till at work. Dropped, it stops after the charge that it is posting.
#[derive(Debug)]
pub(crate) struct Till {
    thread: Option<JoinHandle<Result<()>>>,
    posted: Arc<Mutex<Vec<Charge>>>,
    /// Dropped, it tells the thread to stop.
    stop: Option<Sender<()>>,
}

impl Till {
    /// Opens it.
    pub(crate) fn open(order: Order) -> Result<Self> {
        let posted = Arc::new(Mutex::new(Vec::new()));
        let (stop, stopped) = mpsc::channel();
        let work = {
            let posted = posted.clone();
            move || work(&order, &posted, &stopped)
        };
        let thread = std::thread::Builder::new().name("till".to_owned()).spawn(work);
        let thread = Some(thread.doing(|| "start a thread".to_owned())?);
        Ok(Self { thread, posted, stop: Some(stop) })
    }

    /// Closes it when it has posted what it was told to, or at once if that has no end. What was
    /// taken, in order.
    pub(crate) fn close(mut self, at_once: bool) -> Result<Vec<Charge>> {
        if at_once {
            self.stop = None;
        }
        let died = || LabError::Line("the till has died".to_owned());
        if let Some(thread) = self.thread.take() {
            thread.join().map_err(|_| died())??;
        }
        let mut posted = self.posted.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::take(&mut posted))
    }
}

impl Drop for Till {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // It ends with its last charge, and its panic was shown when it happened.
            let _ = thread.join();
        }
    }
}

fn work(order: &Order, posted: &Mutex<Vec<Charge>>, stop: &Receiver<()>) -> Result<()> {
    let _ = order.opened.recv();
    let begun = boottime();
    let limit = order.accounts.charge_count.unwrap_or(u64::MAX);
    let (mut done, mut node) = (0, 0);
    while done < limit {
        // All that are due, so that a gap of service is made up for in one go.
        let due = match order.accounts.charges {
            None => limit.min(done + BATCH),
            Some(interval) => {
                let elapsed = boottime().saturating_sub(begun).as_nanos();
                let due = elapsed / interval.as_nanos().max(1) + 1;
                limit.min(u64::try_from(due).unwrap_or(u64::MAX))
            }
        };
        let charges: Vec<_> =
            (done + 1..=due).filter_map(|n| order.dialect.charge(order.seed, n)).collect();
        let rest = if charges.is_empty() {
            LOOK
        } else if post(order, node, &charges)? {
            posted.lock().unwrap_or_else(PoisonError::into_inner).extend(charges);
            done = due;
            Duration::ZERO
        } else {
            node = (node + 1) % order.sockets.len();
            LOOK
        };
        if stop.recv_timeout(rest) == Err(RecvTimeoutError::Disconnected) {
            break;
        }
    }
    Ok(())
}

/// Whether this node took them.
fn post(order: &Order, node: usize, charges: &[Charge]) -> Result<bool> {
    let doing = || format!("post charges with {}", order.program.display());
    let mut child = Command::new(&order.program)
        .args(["post", "--file", "-", "--status"])
        .arg(&order.sockets[node])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .doing(doing)?;
    let mut lines = String::new();
    for charge in charges {
        lines += &serde_json::to_string(charge).map_err(std::io::Error::other).doing(doing)?;
        lines.push('\n');
    }
    if let Some(mut stdin) = child.stdin.take() {
        // Whoever is no coordinator may not read to the end.
        let _ = stdin.write_all(lines.as_bytes());
    }
    let output = child.wait_with_output().doing(doing)?;
    let code = output.status.code().unwrap_or_default();
    let not_now = [Exit::TemporaryFailure, Exit::Unavailable].map(|exit| i32::from(exit.code()));
    match output.status.success() {
        true => Ok(true),
        false if not_now.contains(&code) => Ok(false),
        false => Err(LabError::Refused {
            program: "failover-node post".to_owned(),
            words: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        }),
    }
}

/// Charges posted at once by a till without pauses.
const BATCH: u64 = 1000;
/// Between two tries.
const LOOK: Duration = Duration::from_millis(20);
