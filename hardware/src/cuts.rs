//! What can be done to a chain's network, and to what stands in it beside the group.

use std::path::PathBuf;
use std::time::Duration;

use sys::process::Signal;

use crate::chain::{Chain, Identity, SERVER, SERVER_HOST, is};
use crate::deed::Deed;
use crate::error::{LabError, Result};
use crate::net::{Loss, Network};
use crate::timeline::{Moment, Source};

impl Chain {
    /// From now on these frames vanish, and no others.
    ///
    /// # Errors
    /// The chain has no network.
    pub fn cut(&self, what: impl Into<String>, losses: &[Loss]) -> Result<Moment> {
        let moment = self.timeline().now();
        self.net()?.lose(losses)?;
        self.timeline().did_then(moment, Deed::Cut { what: what.into() });
        Ok(moment)
    }

    /// These hosts hear nothing of the others, and are not heard by them.
    ///
    /// # Errors
    /// As [`Self::cut`].
    pub fn cut_apart(&self, what: impl Into<String>, hosts: &[usize]) -> Result<Moment> {
        let losses = self.net()?.apart(hosts);
        self.cut(what, &losses)
    }

    /// From now on all frames vanish on this one of the chain's networks.
    ///
    /// # Errors
    /// As [`Self::cut`].
    pub fn cut_way(&self, way: usize) -> Result<Moment> {
        let (network, moment) = (self.net()?, self.timeline().now());
        let hosts: Vec<_> = (0..network.hosts()).collect();
        let pairs = hosts.iter().flat_map(|from| hosts.iter().map(|to| Loss::cut(*from, *to)));
        network.lose_on(&[way], &pairs.filter(|loss| loss.from != loss.to).collect::<Vec<_>>())?;
        let what = format!("the network of {}", Network::interface(way));
        self.timeline().did_then(moment, Deed::Cut { what });
        Ok(moment)
    }

    /// No frames vanish any more.
    ///
    /// # Errors
    /// As [`Self::cut`].
    pub fn heal(&self) -> Result<Moment> {
        let moment = self.timeline().now();
        self.net()?.heal()?;
        self.timeline().did_then(moment, Deed::Healed);
        Ok(moment)
    }

    /// Losses between a node and the terminal server, both ways.
    pub fn between_node_and_server(&self, name: &str) -> [Loss; 2] {
        let host = self.host_of(name);
        [Loss::cut(host, SERVER_HOST), Loss::cut(SERVER_HOST, host)]
    }

    /// The hosts of all nodes, in the order of their names.
    pub fn node_hosts(&self) -> Vec<usize> {
        (1..=self.settings().nodes).collect()
    }

    /// The host on which nothing of the group runs.
    pub fn spare_host(&self) -> usize {
        self.settings().nodes + 1
    }

    /// Kills the terminal server.
    ///
    /// # Errors
    /// It does not run.
    pub fn kill_server(&mut self) -> Result<Moment> {
        let server = self.server.take();
        let server = server.ok_or_else(|| LabError::Misuse(format!("{SERVER} does not run")))?;
        let moment = self.timeline().now();
        server.signal(Signal::KILL)?;
        self.timeline().did_then(moment, Deed::killed(&server));
        Ok(moment)
    }

    /// Starts a node on the spare host that is not one of the chain's: with a name of the group's or
    /// its own, with the group's key or another one. It goes with the chain.
    ///
    /// # Errors
    /// It cannot be started, or never says that it is ready.
    pub async fn start_stranger(
        &mut self,
        label: &str,
        name: &str,
        group: &str,
        key_file: Option<PathBuf>,
    ) -> Result<()> {
        let key_file = match key_file {
            Some(file) => file,
            None => self.another_key(&format!("key-of-{label}"))?,
        };
        let identity = Identity {
            label: label.to_owned(),
            name: name.to_owned(),
            group: group.to_owned(),
            key_file,
            host: self.spare_host(),
        };
        let moment = self.timeline().now();
        let process = self.start_identity(&identity)?;
        self.others.push(process);
        let source = Source::Node(label.to_owned());
        let ready = |entry: &crate::Entry| is(entry, &source, "ready").then_some(());
        self.timeline().wait(moment, START, format!("{label}'s start"), ready).await
    }

    /// Has somebody on the spare host listen to heartbeats and beacons.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_ear(&mut self) -> Result<()> {
        let host = self.spare_host();
        let mut command = self.on_host(host, self.payload_program());
        command.arg("ear").arg(self.place().multicast.to_string());
        command.arg(Network::address(host).to_string());
        let process = self.process(EAR, Source::Node(EAR.to_owned()), command)?;
        self.others.push(process);
        Ok(())
    }

    /// Ends all strangers.
    pub fn end_strangers(&mut self) {
        for process in self.others.drain(..) {
            self.orphans.expect(process.family());
        }
    }

    fn net(&self) -> Result<&Network> {
        self.network.as_ref().ok_or_else(|| LabError::Misuse("there is no network".to_owned()))
    }
}

/// The listener's name in the lab.
pub(crate) const EAR: &str = "ear";
const START: Duration = Duration::from_secs(10);
