//! What can be done to a chain.

use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{Pid, kill_process};
use serde_json::json;
use sys::boottime;
use sys::process::Signal;

use crate::accounts::Speech;
use crate::chain::{Chain, Node, SERVER, is};
use crate::deed::Deed;
use crate::drill::{Drill, Held, Kind};
use crate::error::{Doing, LabError, Result};
use crate::process::Process;
use crate::timeline::{Entry, Moment, Source};

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
        self.timeline().did_then(moment, Deed::killed(&process));
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
        let ready = |entry: &Entry| is(entry, &source, "ready").then_some(());
        self.timeline().wait(moment, START, format!("{name}'s start"), ready).await?;
        let deadline = boottime() + START;
        for peer in self.node_names().iter().filter(|peer| *peer != name) {
            while self.running(peer).is_ok() && !self.know_each_other(peer, name, moment).await? {
                if boottime() > deadline {
                    let what = format!("{peer}'s belief in {name}");
                    return Err(LabError::Late { what, within: START });
                }
                tokio::time::sleep(ASK_AGAIN).await;
            }
        }
        Ok(())
    }

    /// Whether two nodes believe each other, and have heard each other since `moment`.
    async fn know_each_other(&self, one: &str, other: &str, moment: Moment) -> Result<bool> {
        Ok(self.knows(one, other, moment).await? && self.knows(other, one, moment).await?)
    }

    async fn knows(&self, observer: &str, peer: &str, moment: Moment) -> Result<bool> {
        let status = self.ask_node(observer, &json!({ "command": "status" })).await?;
        let members = status["members"].as_array().map(Vec::as_slice).unwrap_or_default();
        let member = members.iter().find(|member| member["node"] == peer);
        let heard = member.and_then(|member| member["heard_ms"].as_u64());
        // A life before that is not meant.
        let since = (boottime() - moment.at).as_millis();
        Ok(heard.is_some_and(|heard| u128::from(heard) <= since))
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
            Signal::STOP => self.timeline().did_then(moment, Deed::stopped(process)),
            Signal::CONT => self.timeline().did_then(moment, Deed::continued(process)),
            _ => {}
        }
        Ok(moment)
    }

    /// Sends a signal to the terminal server.
    ///
    /// # Errors
    /// It does not run.
    pub fn signal_server(&self, signal: Signal) -> Result<()> {
        let server = self.server.as_ref().ok_or_else(|| not_running(SERVER))?;
        server.signal(signal)
    }

    /// The payload of a node, if one runs.
    pub fn payload(&self, name: &str) -> Option<u32> {
        let family = self.running(name).ok()?.family();
        let (program, word) = match self.settings.speech {
            Speech::Numbered => (&self.programs.lab, "answerer"),
            Speech::Dialect(_) => (&self.programs.failover_node, "gateway"),
        };
        family.into_iter().find(|pid| is_payload(*pid, program, word))
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
        self.timeline().did_then(moment, Deed::CrashedPayload { node: held.node.clone(), pid });
        Ok((held, moment))
    }

    /// Has the coordinator hand over.
    ///
    /// # Errors
    /// There is no coordinator, or it refuses.
    pub async fn handover(&mut self) -> Result<(Held, Moment)> {
        let held = self.holder()?;
        let moment = self.timeline().now();
        self.timeline().did_then(moment, Deed::AskedToHandOver { node: held.node.clone() });
        self.ask_for_handover(&held.node, None).await?;
        Ok((held, moment))
    }

    /// Asks a node to hand over, as an operator would; to the best, or to this one.
    ///
    /// # Errors
    /// It refuses.
    pub async fn ask_for_handover(&self, name: &str, to: Option<&str>) -> Result<()> {
        let words: Vec<_> =
            std::iter::once("handover").chain(to.into_iter().flat_map(|to| ["--to", to])).collect();
        let mut command = self.node_tool(name, &words);
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
        self.timeline().did_then(moment, Deed::asked_to_end(&server));
        let status = server.ended(STOP).await?;
        if !status.success() {
            let words = format!("ended with {status}");
            return Err(LabError::Refused { program: SERVER.to_owned(), words });
        }
        drop(server);
        self.start_server().await?;
        Ok(moment)
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
            Kind::PowerLoss
            | Kind::CutFromServer
            | Kind::Partition
            | Kind::KillServer
            | Kind::Unfit
            | Kind::KillAll => {
                return Err(LabError::Misuse(format!("{kind} is a drill of its own")));
            }
        };
        self.timeline().did(Deed::Drilled(Box::new(drill.clone())));
        if matches!(kind, Kind::Kill | Kind::KillStandby) {
            self.start_node(&drill.victim).await?;
        }
        self.orphans.reap();
        Ok(drill)
    }

    async fn drill_kill(&mut self) -> Result<Drill> {
        let held = self.holder()?;
        let moment = self.kill9(&held.node)?;
        let victim = held.node.clone();
        Ok(self.recovery(Kind::Kill, victim, held, moment).await)
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
        let lost = |entry: &Entry| is(entry, &source, "lost").then_some(());
        let noticed =
            self.timeline().wait(woken, self.patience(), "its notice of the loss", lost).await;
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

    pub(crate) fn holder(&self) -> Result<Held> {
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

/// Whether `pid` is the payload itself: not its guard, and no grandchild, whose program is the same.
fn is_payload(pid: u32, program: &Path, word: &str) -> bool {
    let runs = std::fs::read_link(format!("/proc/{pid}/exe"));
    let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    runs.is_ok_and(|runs| runs == program)
        && words.split(|byte| *byte == 0).nth(1) == Some(word.as_bytes())
}

/// As long as the drill.
const STOPPED_FOR: Duration = Duration::from_secs(3);
const START: Duration = Duration::from_secs(10);
const STOP: Duration = Duration::from_secs(10);
/// A member is believed after some milliseconds; a question takes less than one.
const ASK_AGAIN: Duration = Duration::from_millis(10);
/// A new member is believed after two heartbeats each way.
const HEARTBEATS_TO_SETTLE: u32 = 6;
