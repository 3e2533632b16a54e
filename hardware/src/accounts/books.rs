//! A chain that speaks a dialect, from its first charge to the comparison of the books.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sys::boottime;

use super::far::Books;
use super::till::{Order, Till};
use super::{Accounts, Audit, Point, audit};
use crate::chain::Chain;
use crate::drill::{Drill, Kind};
use crate::error::{LabError, Result};
use crate::far::Verdict;

impl Chain {
    /// The billing system begins, and the till opens.
    pub(crate) fn start_accounts(&mut self, accounts: &Accounts) -> Result<()> {
        let opened = self.far.begin_dialect(&self.settings, accounts, &self.timeline().clone())?;
        let dialect = accounts.dialect().map_err(|e| LabError::Misuse(e.to_string()))?;
        if dialect.posts() && accounts.charge_count != Some(0) {
            let sockets = self.nodes.iter().map(|node| self.status_socket(&node.name)).collect();
            self.till = Some(Till::open(Order {
                accounts: accounts.clone(),
                dialect,
                seed: self.settings.seed,
                program: self.programs.failover_node.clone(),
                sockets,
                opened,
            })?);
        }
        Ok(())
    }

    /// The till closes, what was posted is settled, the billing system ends, and the books are
    /// compared. `at_once`: the till stops where it is.
    ///
    /// # Errors
    /// There are no accounts, the till or the billing system failed, or a store can't be read.
    pub async fn finish_accounts(&mut self, at_once: bool, within: Duration) -> Result<Audit> {
        let accounts = self.settings.speech.accounts().cloned();
        let accounts =
            accounts.ok_or_else(|| LabError::Misuse("no dialect is spoken".to_owned()))?;
        let charges = match self.till.take() {
            Some(till) => tokio::task::spawn_blocking(move || till.close(at_once))
                .await
                .map_err(|_| LabError::Line("the till has died".to_owned()))??,
            None => Vec::new(),
        };
        let stores = self.stores(&accounts);
        let deadline = boottime() + within;
        while let Some(store) = audit::unsettled(&stores)? {
            if boottime() > deadline {
                break;
            }
            // A charge that was taken by a node which lost the line waits there for it.
            if !accounts.shared {
                self.give_line_to_owner(&accounts, store).await?;
            }
            tokio::time::sleep(LOOK).await;
        }
        let posted = charges.len() as u64;
        self.far.hand_over(Books { charges, stores: stores.clone() });
        match self.far.finish().await? {
            Verdict::Dialect(report) => Audit::new(report, posted, &stores),
            Verdict::Numbered(_) => Err(LabError::Misuse("no dialect is spoken".to_owned())),
        }
    }

    /// Hands the line to the node whose store this is, unless it has it.
    async fn give_line_to_owner(&self, accounts: &Accounts, store: &Path) -> Result<()> {
        let names = self.node_names();
        let owner = names.iter().find(|name| accounts.store(self.dir(), name) == store);
        match (owner, self.coordinator()) {
            (Some(owner), Some(held)) if held.node != *owner => {
                match self.ask_for_handover(&held.node, Some(owner)).await {
                    // Not now; it is asked again.
                    Ok(()) | Err(LabError::Refused { .. }) => {}
                    Err(error) => return Err(error),
                }
                self.settle().await;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// How many charges are settled, if their number was given; else how many records are in the
    /// stores.
    ///
    /// # Errors
    /// A store can't be read.
    pub fn accounted(&self) -> Result<u64> {
        let Some(accounts) = self.settings.speech.accounts() else { return Ok(0) };
        audit::done(&self.stores(accounts), accounts.charge_count.is_some())
    }

    /// Kills the coordinator at this point of the conversation, and starts it again.
    ///
    /// # Errors
    /// The conversation does not come there, or the chain cannot be drilled any further.
    pub async fn kill_at(&mut self, point: Point) -> Result<Drill> {
        self.reach(point, PATIENCE).await?;
        self.drill(Kind::Kill).await
    }

    /// Stops the coordinator at this point of the conversation; it wakes up when another has long
    /// had the line.
    ///
    /// # Errors
    /// As [`Self::kill_at`].
    pub async fn stop_at(&mut self, point: Point) -> Result<Drill> {
        self.reach(point, PATIENCE).await?;
        self.drill_stop(STOPPED_FOR).await
    }

    /// The stores' files, each once, as far as there are any.
    fn stores(&self, accounts: &Accounts) -> Vec<PathBuf> {
        let mut stores: Vec<_> =
            self.node_names().iter().map(|name| accounts.store(self.dir(), name)).collect();
        stores.sort();
        stores.dedup();
        stores.retain(|store| store.exists());
        stores
    }
}

/// Until a point of the conversation comes: longer than a dialect's own timers.
const PATIENCE: Duration = Duration::from_secs(90);
/// Some leases.
const STOPPED_FOR: Duration = Duration::from_secs(2);
/// Between two looks into the stores.
const LOOK: Duration = Duration::from_millis(50);
