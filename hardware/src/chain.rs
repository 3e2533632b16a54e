//! The chain: one terminal server, some nodes, the cable and the billing system.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use billing_sim::{Options, Report};
use daemon::Exit;
use rand::TryRng;
use rand::rngs::SysRng;
use serde_json::Value;
use sys::process::Signal;
use tempfile::TempDir;

use crate::accounts::till::Till;
use crate::deed::Deed;
use crate::drill::Held;
use crate::error::{Doing, LabError, Result};
use crate::far::{FarEnd, Verdict};
use crate::history::History;
use crate::ledger::Ledger;
use crate::net::Network;
use crate::place::{Ground, Place};
use crate::process::{Orphans, Process};
use crate::programs::Programs;
use crate::saying::Saying;
use crate::settings::{Settings, node_name};
use crate::timeline::{Entry, Source, Timeline, What};

/// The chain of real processes. Dropping it ends them all.
///
/// Start it on the thread that drops it, on a current-thread runtime: the kernel kills the
/// processes when the thread that started them ends.
#[derive(Debug)]
pub struct Chain {
    // In the order in which they have to go: processes first, their directory last.
    pub(crate) till: Option<Till>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) server: Option<Process>,
    /// Programs that belong to no group, or to another one.
    pub(crate) others: Vec<Process>,
    pub(crate) orphans: Orphans,
    pub(crate) far: FarEnd,
    pub(crate) settings: Settings,
    pub(crate) programs: Programs,
    pub(crate) place: Place,
    pub(crate) network: Option<Network>,
    timeline: Timeline,
    pub(crate) dir: TempDir,
}

/// Who a node is, and where it runs.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// Its name in the lab: of its log, its socket and its sayings.
    pub(crate) label: String,
    /// Its name in its group.
    pub(crate) name: String,
    pub(crate) group: String,
    pub(crate) key_file: PathBuf,
    /// Its host in a network.
    pub(crate) host: usize,
}

/// One node, running or not.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) process: Option<Process>,
}

impl Chain {
    /// Lays the line and starts nothing.
    ///
    /// # Errors
    /// No line, no directory, no free address.
    pub async fn lay(settings: Settings, programs: &Programs, timeline: Timeline) -> Result<Self> {
        let orphans = Orphans::new()?;
        let mut dir = tempfile::Builder::new();
        let dir = dir.prefix(DIR_PREFIX).disable_cleanup(settings.keep).tempdir();
        let dir = dir.doing(|| "make a temporary directory".to_owned())?;
        write_key(&dir.path().join(KEY))?;
        let journal = dir.path().join(JOURNAL);
        fs::create_dir(&journal).doing(|| format!("make {}", journal.display()))?;
        let far = FarEnd::lay(&settings, dir.path(), &timeline).await?;
        let nodes = (0..settings.nodes).map(|index| Node { name: node_name(index), process: None });
        let (place, network) = match settings.ground {
            Ground::Loopback => (Place::choose()?, None),
            Ground::Network { ways, ipv6 } => {
                let hosts = 1 + settings.nodes + SPARE_HOSTS;
                (Place::in_network(ways, ipv6), Some(Network::lay(hosts, ways)?))
            }
        };
        Ok(Self {
            till: None,
            nodes: nodes.collect(),
            server: None,
            others: Vec::new(),
            orphans,
            far,
            programs: programs.clone(),
            place,
            network,
            timeline,
            dir,
            settings,
        })
    }

    /// Bytes that were lost on the cable; see [`Settings::overruns`].
    pub fn overrun(&self) -> u64 {
        self.far.overrun()
    }

    /// Starts the terminal server and waits until it is ready.
    ///
    /// # Errors
    /// It did not start.
    pub async fn start_server(&mut self) -> Result<()> {
        for attempt in 1.. {
            let moment = self.timeline.now();
            let command = self.server_command()?;
            let mut process = self.process(SERVER, Source::Server, command)?;
            let ready = self.timeline.wait(moment, START, "its start", |entry| {
                is(entry, &Source::Server, "ready").then_some(())
            });
            let ended = tokio::select! {
                ready = ready => {
                    ready?;
                    self.server = Some(process);
                    return Ok(());
                }
                status = process.ended(START * 2) => status?,
            };
            // Somebody was quicker to take the address; but only a first start may move.
            let taken = ended.code() == Some(Exit::Unavailable.code().into());
            let first = self.nodes.iter().all(|node| node.process.is_none());
            if !(taken && first && attempt < START_ATTEMPTS && self.network.is_none()) {
                return Err(died(process).await);
            }
            self.place = Place::choose()?;
        }
        Ok(())
    }

    /// Starts all nodes that do not run, in the same instant.
    ///
    /// # Errors
    /// One cannot be started.
    pub fn start_nodes(&mut self) -> Result<()> {
        for index in 0..self.nodes.len() {
            if self.nodes[index].process.is_none() {
                let process = self.start_identity(&self.identity(index))?;
                self.nodes[index].process = Some(process);
            }
        }
        Ok(())
    }

    /// The billing system begins to send.
    ///
    /// # Errors
    /// It does already.
    pub fn start_billing(&mut self) -> Result<()> {
        if let Some(accounts) = self.settings.speech.accounts().cloned() {
            return self.start_accounts(&accounts);
        }
        let options = Options {
            port: self.far.near().display().to_string(),
            line: self.settings.line,
            interval: Some(self.settings.interval),
            seed: self.settings.seed,
            settle: self.settings.settle,
            ..Options::default()
        };
        self.far.begin(options, &self.timeline)
    }

    /// The billing system stops sending, waits for late answers and gives its verdict.
    ///
    /// # Errors
    /// It never began, or has died.
    pub async fn finish_billing(&mut self) -> Result<Report> {
        match self.far.finish().await? {
            Verdict::Numbered(report) => Ok(report),
            Verdict::Dialect(_) => Err(LabError::Misuse("the line speaks a dialect".to_owned())),
        }
    }

    /// Ends all programs in order with SIGTERM: standbys, coordinator, terminal server.
    ///
    /// # Errors
    /// One did not end in time, or not with exit status 0.
    pub async fn stop(&mut self) -> Result<()> {
        let holder = self.history().holder().map(|held| held.node);
        let mut processes = Vec::new();
        self.nodes.sort_by_key(|node| Some(&node.name) == holder.as_ref());
        processes.extend(self.nodes.iter_mut().filter_map(|node| node.process.take()));
        processes.extend(self.server.take());
        for mut process in processes {
            self.orphans.expect(process.family());
            self.timeline.did(Deed::asked_to_end(&process));
            process.signal(Signal::TERM)?;
            if !process.ended(STOP).await?.success() {
                return Err(died(process).await);
            }
        }
        Ok(())
    }

    /// What was on the line by the terminal server's own record, and who had offered it. Whole
    /// only when the terminal server has ended.
    pub fn ledger(&self) -> Ledger {
        Ledger::read(&self.trace(), &self.dir.path().join(JOURNAL))
    }

    /// The terminal server's own record of the line.
    pub(crate) fn trace(&self) -> PathBuf {
        self.dir.path().join(TRACE)
    }

    /// All that happened so far.
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// What it is made of.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Its addresses.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Where links, sockets and logs are.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The directory with the logs stays when the chain goes.
    pub fn keep(&mut self) -> PathBuf {
        self.dir.disable_cleanup(true);
        self.dir.path().to_owned()
    }

    /// The key file.
    pub fn key_file(&self) -> PathBuf {
        self.dir.path().join(KEY)
    }

    /// Who held the line so far.
    pub fn history(&self) -> History {
        History::of(&self.timeline.entries())
    }

    /// Who holds the line now.
    pub fn coordinator(&self) -> Option<Held> {
        self.history().holder()
    }

    /// The names of the nodes.
    pub fn node_names(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.name.clone()).collect()
    }

    /// The number of a running node.
    pub fn node_pid(&self, name: &str) -> Option<u32> {
        let node = self.nodes.iter().find(|node| node.name == name)?;
        node.process.as_ref().map(Process::pid)
    }

    /// The number of the terminal server.
    pub fn server_pid(&self) -> Option<u32> {
        self.server.as_ref().map(Process::pid)
    }

    /// What a node says about itself.
    ///
    /// # Errors
    /// It does not answer.
    pub fn node_status(&self, name: &str) -> Result<Value> {
        let command = Command::new(&self.programs.failover_node);
        status(command, &self.status_socket(name))
    }

    /// What the terminal server says about itself.
    ///
    /// # Errors
    /// It does not answer.
    pub fn server_status(&self) -> Result<Value> {
        let command = Command::new(&self.programs.terminal_server);
        status(command, &self.status_socket(SERVER))
    }

    /// Asks a node by its socket, without a program between.
    pub(crate) async fn ask_node(&self, name: &str, question: &Value) -> Result<Value> {
        let asked = daemon::status::request_async(&self.status_socket(name), name, question).await;
        asked.map_err(|error| LabError::Refused {
            program: name.to_owned(),
            words: error.to_string(),
        })
    }

    /// A command of the node's program, for its socket.
    pub(crate) fn node_tool(&self, name: &str, words: &[&str]) -> Command {
        let mut command = Command::new(&self.programs.failover_node);
        command.args(words).arg("--status").arg(self.status_socket(name));
        command
    }

    /// The program that the nodes run as payload.
    pub(crate) fn payload_program(&self) -> &Path {
        &self.programs.lab
    }

    /// Starts `command` as part of this chain.
    pub(crate) fn process(&self, name: &str, source: Source, command: Command) -> Result<Process> {
        let timeline = self.timeline.clone();
        let heard = move |line: &str| {
            let saying = Saying::parse(line).unwrap_or_else(|| Saying::plain(line));
            let entry = Entry { at: saying.at, source: source.clone(), what: What::Said(saying) };
            timeline.push(entry);
        };
        let log = self.dir.path().join(format!("{name}.log"));
        let process = Process::start(name, command, log, heard)?;
        self.timeline.did(Deed::started(&process));
        Ok(process)
    }

    pub(crate) fn status_socket(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("{name}.status"))
    }

    /// Who the node number `index` is.
    pub(crate) fn identity(&self, index: usize) -> Identity {
        let name = self.nodes[index].name.clone();
        Identity {
            label: name.clone(),
            name,
            group: GROUP.to_owned(),
            key_file: self.key_file(),
            // In the order of names, whatever became of the list's.
            host: self.host_of(&self.nodes[index].name),
        }
    }

    /// The host of a node in a network; the terminal server's is 0.
    pub(crate) fn host_of(&self, name: &str) -> usize {
        1 + (0..self.settings.nodes).position(|index| node_name(index) == name).unwrap_or_default()
    }

    /// Starts a node.
    pub(crate) fn start_identity(&self, identity: &Identity) -> Result<Process> {
        let source = Source::Node(identity.label.clone());
        self.process(&identity.label, source, self.node_command(identity)?)
    }

    /// A key file beside the group's own.
    pub(crate) fn another_key(&self, name: &str) -> Result<PathBuf> {
        let path = self.dir.path().join(name);
        write_key(&path)?;
        Ok(path)
    }

    /// A command that runs on a host, if there are hosts.
    pub(crate) fn on_host(&self, host: usize, program: &Path) -> Command {
        match &self.network {
            None => Command::new(program),
            Some(network) => network.command(host, program),
        }
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the logs are kept in {}", self.keep().display());
        }
        let nodes = self.nodes.iter_mut().filter_map(|node| node.process.take());
        for process in nodes.chain(self.others.drain(..)) {
            self.orphans.expect(process.family());
        }
        self.server = None;
        // Guards end their payloads by themselves; whoever does not is killed.
        self.orphans.end(GUARDS);
    }
}

/// Whether `source` said `word`.
pub(crate) fn is(entry: &Entry, source: &Source, word: &str) -> bool {
    matches!(&entry.what, What::Said(saying) if saying.word == word && entry.source == *source)
}

/// Why `process`, which has ended, did.
async fn died(mut process: Process) -> LabError {
    let name = process.name().to_owned();
    let failure = process.failure().await;
    failure.unwrap_or_else(|| LabError::Misuse(format!("{name} has not ended")))
}

fn status(mut command: Command, socket: &Path) -> Result<Value> {
    command.arg("status").arg("--status").arg(socket).arg("--json");
    let program = command.get_program().display().to_string();
    let output = command.output().doing(|| format!("start {program}"))?;
    // A probe's exit status says what the node is; what it says is on standard output.
    serde_json::from_slice(&output.stdout).map_err(|_| LabError::Refused {
        program,
        words: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

fn write_key(path: &Path) -> Result<()> {
    let mut secret = [0; 32];
    SysRng.try_fill_bytes(&mut secret).doing(|| "draw a key".to_owned())?;
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let file = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(path);
    let written = file.and_then(|mut file: File| file.write_all(hex.as_bytes()));
    written.doing(|| format!("write {}", path.display()))
}

/// The terminal server's name in the lab.
pub const SERVER: &str = "terminal-server";
/// The nodes' group.
pub const GROUP: &str = "lab";
/// The line.
pub const LINE: &str = "line";

const DIR_PREFIX: &str = "linekeeper-lab-";
const KEY: &str = "key";
/// What the terminal server has written down of the line.
const TRACE: &str = "trace";
/// What the payloads have.
pub(crate) const JOURNAL: &str = "journal";
/// The terminal server's host in a network; the nodes' follow.
pub(crate) const SERVER_HOST: usize = 0;
/// Hosts for strangers, and for whoever listens.
const SPARE_HOSTS: usize = 1;
/// Ready takes some milliseconds; a debug build on a busy machine takes longer.
const START: Duration = Duration::from_secs(10);
const START_ATTEMPTS: u32 = 3;
/// A payload has half a second to end, a record being written takes some tens of milliseconds.
const STOP: Duration = Duration::from_secs(5);
/// A guard whose node is gone ends its payload within milliseconds.
const GUARDS: Duration = Duration::from_millis(500);
