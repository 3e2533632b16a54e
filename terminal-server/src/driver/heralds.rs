//! One herald for each group that has lines.

use std::collections::BTreeMap;
use std::sync::Arc;

use sys::BootTimer;
use tokio::task::JoinHandle;
use wire::Name;

use super::beacons::{Board, Boards, Herald};
use super::clock::now;
use super::options::{BeaconOptions, LineOptions};
use super::server::StartError;
use super::targets::Targets;
use crate::core::Announcer;

/// The heralds.
#[derive(Debug)]
pub(crate) struct Heralds {
    server: Name,
    options: BeaconOptions,
    groups: BTreeMap<Name, Group>,
}

#[derive(Debug)]
struct Group {
    board: Arc<Board>,
    /// Until it runs.
    ready: Option<Ready>,
    task: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Ready {
    targets: Targets,
    timer: BootTimer,
}

impl Heralds {
    pub(crate) fn new(server: Name, options: BeaconOptions) -> Self {
        Self { server, options, groups: BTreeMap::new() }
    }

    /// These are all lines from now on: groups without lines end, new ones are made, and all others
    /// sign with the key that is to send now. None without somebody to be told.
    ///
    /// # Errors
    /// A new one has no socket. The others are as they should be.
    pub(crate) async fn change(&mut self, lines: &[LineOptions]) -> Result<(), StartError> {
        let mut wanted = BTreeMap::new();
        for group in lines.iter().flat_map(|line| &line.groups) {
            if !self.options.targets.is_empty() {
                wanted.entry(group.group.clone()).or_insert_with(|| group.keys.sender());
            }
        }
        for (name, group) in std::mem::take(&mut self.groups) {
            if let Some(key) = wanted.get(&name) {
                group.board.sign_with(key);
                self.groups.insert(name, group);
            } else {
                group.end().await;
            }
        }
        for (name, key) in wanted {
            if !self.groups.contains_key(&name) {
                let timer = BootTimer::new().map_err(StartError::Timer)?;
                let ready = Some(Ready { targets: Targets::open(&self.options)?, timer });
                let group = Group { board: Arc::new(Board::new(key)), ready, task: None };
                self.groups.insert(name, group);
            }
        }
        Ok(())
    }

    /// Lets those run that do not run yet, under the start number `start`.
    pub(crate) fn run(&mut self, start: u32) {
        for (name, group) in &mut self.groups {
            let Some(Ready { targets, timer }) = group.ready.take() else { continue };
            let names = (name.clone(), self.server.clone());
            let announcer = Announcer::new(names, start, self.options.interval, &[], now());
            let herald = Herald::new(announcer, targets, group.board.clone(), timer);
            group.task = Some(tokio::spawn(herald.run()));
        }
    }

    /// Where a line is to post how it stands.
    pub(crate) fn boards(&self, line: &LineOptions) -> Boards {
        let groups = line.groups.iter().filter_map(|group| self.groups.get(&group.group));
        Boards(groups.map(|group| group.board.clone()).collect())
    }

    /// A line that is not there any more.
    pub(crate) fn leave(&self, line: &Name) {
        self.groups.values().for_each(|group| group.board.remove(line));
    }

    pub(crate) async fn end(self) {
        for group in self.groups.into_values() {
            group.end().await;
        }
    }
}

impl Group {
    async fn end(self) {
        self.board.close();
        if let Some(task) = self.task {
            let _ = task.await;
        }
    }
}
