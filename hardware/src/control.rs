//! What can be done to a chain, and how it is seen to recover.

use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use billing::numbered::frame::ANSWER_LEN;
use billing_sim::Event;
use rustix::process::{Pid, kill_process};
use sys::boottime;
use sys::process::Signal;
use wire::Epoch;

use crate::chain::{Chain, Node, SERVER};
use crate::deed::Deed;
use crate::drill::{Drill, Held, Kind};
use crate::error::{Doing, LabError, Result};
use crate::process::Process;
use crate::timeline::{Entry, Moment, Source, What};

impl Chain {
    /// Kills a node.
    ///
    /// # Errors
    /// It does not run.
    pub fn kill9(&mut self, name: &str) -> Result<Moment> {
        let process = self.node_mut(name)?.process.take();
        let process = process.ok_or_else(|| not_running(name))?;
        self.orphans.expect(process.family());
        let moment = self.timeline().now();
        process.signal(Signal::KILL)?;
        self.timeline().did(Deed::killed(&process));
        // Dropped here: waited for, so that its number is free only now.
        drop(process);
        Ok(moment)
    }

    /// Starts a node that does not run, and waits until it can stand in for the others.
    ///
    /// # Errors
    /// It did not start.
    pub async fn start_node(&mut self, name: &str) -> Result<()> {
        let moment = self.timeline().now();
        self.start_nodes()?;
        let source = Source::Node(name.to_owned());
        let ready = |entry: &Entry| crate::chain::is(entry, &source, "ready").then_some(());
        self.timeline().wait(moment, START, format!("{name}'s start"), ready).await?;
        for peer in self.node_names().iter().filter(|peer| *peer != name) {
            if self.running(peer).is_ok() {
                self.joined(peer, name, moment).await?;
            }
        }
        Ok(())
    }

    /// Waits until `peer` believes `name`.
    async fn joined(&self, peer: &str, name: &str, moment: Moment) -> Result<()> {
        let source = Source::Node(peer.to_owned());
        let joined = |entry: &Entry| match &entry.what {
            What::Said(saying) if entry.source == source && saying.word == "member-joined" => {
                (saying.text("peer") == Some(name)).then_some(())
            }
            _ => None,
        };
        let what = format!("{peer}'s belief in {name}");
        self.timeline().wait(moment, START, what, joined).await
    }

    /// Sends a node a signal, as SIGSTOP or SIGCONT.
    ///
    /// # Errors
    /// It does not run.
    pub fn signal(&self, name: &str, signal: Signal) -> Result<Moment> {
        let process = self.running(name)?;
        let moment = self.timeline().now();
        process.signal(signal)?;
        match signal {
            Signal::STOP => self.timeline().did(Deed::stopped(process)),
            Signal::CONT => self.timeline().did(Deed::continued(process)),
            _ => {}
        }
        Ok(moment)
    }

    /// The payload of a node, if one runs.
    pub fn payload(&self, name: &str) -> Option<u32> {
        let family = self.running(name).ok()?.family();
        family.into_iter().find(|pid| is_payload(*pid, self.payload_program()))
    }

    /// Kills the coordinator's payload.
    ///
    /// # Errors
    /// There is no coordinator, or it runs none.
    pub fn crash_payload(&mut self) -> Result<(Held, Moment)> {
        let held = self.holder()?;
        let pid = self.payload(&held.node);
        let pid = pid.ok_or_else(|| LabError::Misuse(format!("{} runs no payload", held.node)))?;
        let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let number = number.ok_or_else(|| LabError::Misuse(format!("{pid} is no process")))?;
        let moment = self.timeline().now();
        // Found a moment ago among our own descendants.
        kill_process(number, Signal::KILL).doing(|| "kill a payload".to_owned())?;
        self.timeline().did(Deed::CrashedPayload { node: held.node.clone(), pid });
        Ok((held, moment))
    }

    /// Has the coordinator hand over.
    ///
    /// # Errors
    /// There is no coordinator, or it refuses.
    pub async fn handover(&mut self) -> Result<(Held, Moment)> {
        let held = self.holder()?;
        let moment = self.timeline().now();
        self.timeline().did(Deed::AskedToHandOver { node: held.node.clone() });
        self.ask_for_handover(&held.node).await?;
        Ok((held, moment))
    }

    /// Asks a node to hand over, as an operator would.
    ///
    /// # Errors
    /// It refuses.
    pub async fn ask_for_handover(&self, name: &str) -> Result<()> {
        let mut command = self.node_tool(name, &["handover"]);
        let output = tokio::task::spawn_blocking(move || command.output());
        let output = output.await.map_err(|_| not_running(name))?;
        let output = output.doing(|| "ask for a hand-over".to_owned())?;
        match output.status.success() {
            true => Ok(()),
            false => Err(LabError::Refused {
                program: name.to_owned(),
                words: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            }),
        }
    }

    /// Waits for the end of a node that was asked to end; it does not run any more then.
    ///
    /// # Errors
    /// It does not end in time.
    pub async fn ended(&mut self, name: &str) -> Result<ExitStatus> {
        let process = self.node_mut(name)?.process.take();
        process.ok_or_else(|| not_running(name))?.ended(STOP).await
    }

    /// Ends the terminal server with SIGTERM and starts it again.
    ///
    /// # Errors
    /// It does not run, does not end in order, or does not start.
    pub async fn restart_terminal_server(&mut self) -> Result<Moment> {
        let mut server = self.server.take().ok_or_else(|| not_running(SERVER))?;
        let moment = self.timeline().now();
        server.signal(Signal::TERM)?;
        self.timeline().did(Deed::asked_to_end(&server));
        let status = server.ended(STOP).await?;
        if !status.success() {
            let words = format!("ended with {status}");
            return Err(LabError::Refused { program: SERVER.to_owned(), words });
        }
        drop(server);
        self.start_server().await?;
        Ok(moment)
    }

    /// Waits until a node holds the line.
    ///
    /// # Errors
    /// None does in time.
    pub async fn wait_for_grant(&self, within: Duration) -> Result<()> {
        let beginning = self.timeline().beginning();
        let granted =
            |entry: &Entry| crate::chain::is(entry, &Source::Server, "granted").then_some(());
        self.timeline().wait(beginning, within, "the first grant", granted).await
    }

    /// Waits until a node holds the line and its payload has its first input.
    ///
    /// # Errors
    /// None does in time.
    pub async fn wait_for_coordinator(&self, within: Duration) -> Result<Held> {
        let beginning = self.timeline().beginning();
        let served = self.served(beginning, Epoch::NONE, within).await;
        served.map(|(held, _)| held)
    }

    /// Waits until the nodes know each other and the line is served.
    pub async fn settle(&self) {
        tokio::time::sleep(self.settings.profile.heartbeat * HEARTBEATS_TO_SETTLE).await;
    }

    /// One drill of this kind, from the failure to the chain being whole again.
    ///
    /// # Errors
    /// The chain cannot be drilled any further. That the line is not served again is no error of
    /// the lab's: the drill says so.
    pub async fn drill(&mut self, kind: Kind) -> Result<Drill> {
        let drill = match kind {
            Kind::Kill => self.drill_kill().await?,
            Kind::Stop => self.drill_stop(STOPPED_FOR).await?,
            Kind::CrashPayload => {
                let (held, moment) = self.crash_payload()?;
                self.watch(kind, held, moment).await
            }
            Kind::HandOver => {
                let (held, moment) = self.handover().await?;
                self.watch(kind, held, moment).await
            }
            Kind::KillStandby => self.drill_standby().await?,
            Kind::RestartServer => {
                let held = self.holder()?;
                let moment = self.restart_terminal_server().await?;
                self.recovery(kind, SERVER.to_owned(), held, moment).await
            }
        };
        self.orphans.reap();
        self.timeline().did(Deed::Drilled(Box::new(drill.clone())));
        Ok(drill)
    }

    async fn drill_kill(&mut self) -> Result<Drill> {
        let held = self.holder()?;
        let moment = self.kill9(&held.node)?;
        let victim = held.node.clone();
        let drill = self.recovery(Kind::Kill, victim.clone(), held, moment).await;
        self.start_node(&victim).await?;
        Ok(drill)
    }

    /// Stops the coordinator for so long.
    ///
    /// # Errors
    /// As [`Self::drill`].
    pub async fn drill_stop(&mut self, stopped_for: Duration) -> Result<Drill> {
        let held = self.holder()?;
        let victim = held.node.clone();
        let moment = self.signal(&victim, Signal::STOP)?;
        let mut drill = self.recovery(Kind::Stop, victim.clone(), held, moment).await;
        tokio::time::sleep((moment.at + stopped_for).saturating_sub(boottime())).await;
        let woken = self.signal(&victim, Signal::CONT)?;
        let source = Source::Node(victim.clone());
        let lost = |entry: &Entry| crate::chain::is(entry, &source, "lost").then_some(());
        let noticed = self.timeline().wait(woken, RECOVERY, "its notice of the loss", lost).await;
        if let Err(error) = noticed {
            drill.failure.get_or_insert_with(|| error.to_string());
        }
        self.settle().await;
        Ok(drill)
    }

    async fn drill_standby(&mut self) -> Result<Drill> {
        let held = self.holder()?;
        let standby = self.nodes.iter().find(|n| n.process.is_some() && n.name != held.node);
        let victim = standby.map(|node| node.name.clone());
        let victim = victim.ok_or_else(|| LabError::Misuse("there is no standby".to_owned()))?;
        let moment = self.kill9(&victim)?;
        // Longer than anybody could take it for the coordinator's end.
        tokio::time::sleep(self.settings.profile.dead_after * 2).await;
        let after = self.coordinator();
        let failure = match &after {
            Some(after) if *after == held => None,
            Some(_) => Some("the line changed hands".to_owned()),
            None => Some("the line lost its holder".to_owned()),
        };
        self.start_node(&victim).await?;
        Ok(Drill {
            kind: Kind::KillStandby,
            victim,
            at: moment.at,
            before: held,
            after,
            granted: None,
            unserved: None,
            first_answer: None,
            waited: self.waited(moment, boottime()),
            failure,
        })
    }

    /// Watches the chain recover from what was done to the holder at `moment`.
    pub async fn watch(&self, kind: Kind, before: Held, moment: Moment) -> Drill {
        self.recovery(kind, before.node.clone(), before, moment).await
    }

    async fn recovery(&self, kind: Kind, victim: String, before: Held, moment: Moment) -> Drill {
        let mut drill = Drill {
            kind,
            victim,
            at: moment.at,
            before,
            after: None,
            granted: None,
            unserved: None,
            first_answer: None,
            waited: None,
            failure: None,
        };
        let since = |at: Duration| Some(at.saturating_sub(moment.at));
        let seen = async {
            let (held, first_input) = self.served(moment, drill.before.epoch, RECOVERY).await?;
            drill.granted = since(held.since);
            drill.unserved = since(first_input);
            drill.after = Some(held);
            let answer = self.first_answer(moment, first_input).await?;
            drill.first_answer = since(answer);
            drill.waited = self.waited(moment, answer);
            Ok::<_, LabError>(())
        };
        if let Err(error) = seen.await {
            drill.failure = Some(error.to_string());
        }
        drill
    }

    /// Waits until a node has a later grant than `before` and its payload runs and has its first
    /// input; when. A line that rests for a moment makes it later: nothing is there to be handed.
    async fn served(
        &self,
        moment: Moment,
        before: Epoch,
        within: Duration,
    ) -> Result<(Held, Duration)> {
        let first_input = |entry: &Entry| match (&entry.source, &entry.what) {
            (Source::Node(node), What::Said(saying)) if saying.word == "first-input" => {
                let epoch = saying.epoch().filter(|epoch| *epoch > before)?;
                Some((node.clone(), epoch, entry.at))
            }
            _ => None,
        };
        let what = "service by a coordinator";
        let (node, epoch, at) = self.timeline().wait(moment, within, what, first_input).await?;
        // The node writes into the pipe before the payload is there to read.
        let source = Source::Node(node.clone());
        let started = self.said(moment, within, &source, "payload-started", epoch).await?;
        // The two programs are read independently.
        let beginning = self.timeline().beginning();
        let since = self.said(beginning, within, &Source::Server, "granted", epoch).await?;
        let at = at.max(started).max(since);
        Ok((Held { node, epoch, since }, at))
    }

    /// When `source` said this of that grant.
    async fn said(
        &self,
        moment: Moment,
        within: Duration,
        source: &Source,
        word: &str,
        epoch: Epoch,
    ) -> Result<Duration> {
        let said = |entry: &Entry| match &entry.what {
            What::Said(saying) if entry.source == *source && saying.word == word => {
                (saying.epoch() == Some(epoch)).then_some(entry.at)
            }
            _ => None,
        };
        self.timeline().wait(moment, within, format!("{source}: {word}"), said).await
    }

    /// When the billing system had the first answer that the new payload can have given: a frame
    /// of its predecessor may have been finished before.
    async fn first_answer(&self, moment: Moment, first_input: Duration) -> Result<Duration> {
        let earliest = first_input + self.settings.line.time_of(ANSWER_LEN as u64);
        let answered = |entry: &Entry| match &entry.what {
            What::Billing(Event::Answered { at, .. }) => (*at >= earliest).then_some(*at),
            _ => None,
        };
        self.timeline().wait(moment, RECOVERY, "an answer", answered).await
    }

    /// The longest that a record waited for an answer that came between then and `until`.
    fn waited(&self, moment: Moment, until: Duration) -> Option<Duration> {
        let latency = |entry: &Entry| match &entry.what {
            What::Billing(Event::Answered { at, latency, .. }) => {
                (*at <= until).then_some(*latency)
            }
            _ => None,
        };
        self.timeline().all(moment, latency).into_iter().max()
    }

    fn holder(&self) -> Result<Held> {
        self.coordinator().ok_or_else(|| LabError::Misuse("nobody has the line".to_owned()))
    }

    fn running(&self, name: &str) -> Result<&Process> {
        let node = self.nodes.iter().find(|node| node.name == name);
        node.and_then(|node| node.process.as_ref()).ok_or_else(|| not_running(name))
    }

    fn node_mut(&mut self, name: &str) -> Result<&mut Node> {
        let node = self.nodes.iter_mut().find(|node| node.name == name);
        node.ok_or_else(|| not_running(name))
    }
}

fn not_running(name: &str) -> LabError {
    LabError::Misuse(format!("{name} does not run"))
}

/// Whether `pid` is the answerer itself: not its guard, and no grandchild, whose program is the same.
fn is_payload(pid: u32, program: &Path) -> bool {
    let runs = std::fs::read_link(format!("/proc/{pid}/exe"));
    let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    runs.is_ok_and(|runs| runs == program)
        && words.split(|byte| *byte == 0).nth(1) == Some(b"answerer".as_slice())
}

/// As long as the drill.
const STOPPED_FOR: Duration = Duration::from_secs(3);
/// What has not recovered by then has failed, on the slowest machine.
const RECOVERY: Duration = Duration::from_secs(10);
const START: Duration = Duration::from_secs(10);
const STOP: Duration = Duration::from_secs(10);
/// A new member is believed after two heartbeats each way.
const HEARTBEATS_TO_SETTLE: u32 = 6;
