//! The billing system's end of a dialect, on the far end's thread.

use std::path::PathBuf;
use std::sync::mpsc as std_mpsc;

use billing::{Charge, Dialect};
use billing_sim::exchange::Settings as Exchanged;
use billing_sim::exchange::entry::{Entry, Sink, What};
use billing_sim::exchange::load::Load;
use billing_sim::exchange::outlet::Pace;
use billing_sim::exchange::report::{Expectations, Report, Run};
use billing_sim::exchange::truth::Truth;
use billing_sim::{Device, Shutdown, run_dialect};
use bytes::Bytes;
use sys::{LineSettings, boottime};
use tokio::sync::{mpsc, oneshot};

use super::{Accounts, audit};
use crate::error::{Doing, LabError, Result};
use crate::settings::Settings;

/// What the billing system is to do.
#[derive(Debug)]
pub(crate) struct Begin {
    pub(crate) accounts: Accounts,
    pub(crate) dialect: Dialect,
    pub(crate) line: LineSettings,
    pub(crate) seed: u64,
    pub(crate) settle: std::time::Duration,
    pub(crate) entries: mpsc::UnboundedSender<Entry>,
    /// Dropped when the port is open.
    pub(crate) opening: std_mpsc::Sender<()>,
    /// What is compared at the end.
    pub(crate) books: oneshot::Receiver<Books>,
}

/// What the billing system's view is compared with.
#[derive(Debug)]
pub(crate) struct Books {
    /// What the till has posted.
    pub(crate) charges: Vec<Charge>,
    /// Where the gateways keep what they took.
    pub(crate) stores: Vec<PathBuf>,
}

impl Begin {
    pub(crate) fn new(
        settings: &Settings,
        accounts: &Accounts,
        entries: mpsc::UnboundedSender<Entry>,
        opening: std_mpsc::Sender<()>,
        books: oneshot::Receiver<Books>,
    ) -> Result<Self> {
        let dialect = accounts.dialect().map_err(|e| LabError::Misuse(e.to_string()))?;
        let Settings { line, seed, settle, .. } = *settings;
        let accounts = accounts.clone();
        Ok(Self { accounts, dialect, line, seed, settle, entries, opening, books })
    }
}

/// Is the billing system until it is told to stop.
pub(crate) async fn bill(begin: Begin, far: PathBuf, shutdown: Shutdown) -> Result<Report> {
    let Begin { accounts, dialect, line, seed, settle, entries, opening, mut books } = begin;
    let pace = match accounts.fast {
        true => Pace::default(),
        false => Pace { char_time: Some(line.time_of(1)), ..Pace::default() },
    };
    let load = Load {
        interval: accounts.items,
        count: accounts.item_count,
        duration: None,
        // More than ever come: the run ends when it is told to, not when all has passed.
        charges: u64::MAX,
        outstanding: OUTSTANDING,
    };
    let exchanged = Exchanged {
        load,
        faults: Vec::new(),
        seed,
        pace,
        settle,
        patience: PATIENCE,
        has_list: true,
        answers: dialect.answers(),
    };
    let run = Run {
        dialect: accounts.dialect.clone(),
        settings: accounts.settings.clone(),
        port: far.display().to_string(),
        line: line.to_string(),
        paced: !accounts.fast,
        seed,
        ..Run::default()
    };
    let device = Device::open(far, line).doing(|| "open the billing system's end".to_owned())?;
    drop(opening);
    let end = |wall, now| dialect.billing_end(seed, wall, now);
    // They are handed over before it is told to stop. Nothing may be waited for here: the cable
    // lives on this thread, too.
    let truth = || {
        let ended = |_| std::io::Error::other("the billing system's run has ended by itself");
        truth(&dialect, &books.try_recv().map_err(ended)?).map_err(std::io::Error::other)
    };
    let mut sink = Follower { entries, everything: accounts.watched };
    let exchange = run_dialect(exchanged, end, device, shutdown, &mut sink, truth).await;
    let exchange = exchange.doing(|| "run the billing system".to_owned())?;
    Ok(Report::new(run, exchange.outcome(boottime()), Expectations::default()))
}

fn truth(dialect: &Dialect, books: &Books) -> Result<Truth> {
    let content = |charge: &Charge| dialect.content(charge).map(Option::unwrap_or_default);
    let charges: std::result::Result<Vec<Bytes>, String> =
        books.charges.iter().map(content).collect();
    let charges = charges.map_err(LabError::Misuse)?;
    let records = audit::records(dialect, &books.stores)?;
    Ok(Truth { charges: Some(charges), records: Some(records), before: 0 })
}

/// Passes on what happens.
struct Follower {
    entries: mpsc::UnboundedSender<Entry>,
    /// Bytes and records, too.
    everything: bool,
}

impl Sink for Follower {
    fn take(&mut self, entry: &Entry) {
        let plain = match &entry.what {
            What::In { .. } | What::Out { .. } => false,
            What::Saw(seen) => seen.up.is_some(),
            _ => true,
        };
        if plain || self.everything {
            // Who listens may have gone.
            let _ = self.entries.send(entry.clone());
        }
    }
}

/// Records begun and not confirmed: what a busy billing system has waiting.
const OUTSTANDING: usize = 16;
/// Nothing settled for so long ends a run: far longer than any failover.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
